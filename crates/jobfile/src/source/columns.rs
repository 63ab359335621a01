//! `[source.columns]`: the columns of a file, in the order of the job file.

use std::ops::Range;

use kiln_files::{Column, ColumnType};
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::shapes::{TextOr, Word};
use crate::spec::{ColumnSpec, ColumnTypes, SourceSpec};

/// A column as it is written.
pub(super) struct Written<'a> {
    pub(super) name: &'a Word,
    spec: &'a Spanned<TextOr<ColumnSpec>>,
}

/// The columns.
pub(super) fn of(source: &SourceSpec) -> impl Iterator<Item = Written<'_>> {
    source.types().into_iter().flat_map(written)
}

/// The columns of a table of them.
pub(super) fn written(types: &ColumnTypes) -> impl Iterator<Item = Written<'_>> {
    let mut all: Vec<Written<'_>> =
        types.iter().map(|(name, spec)| Written { name, spec }).collect();
    all.sort_by_key(|c| c.name.span().start);
    all.into_iter()
}

impl Written<'_> {
    /// What it says beside its type.
    pub(super) fn more(&self) -> Option<&ColumnSpec> {
        match self.spec.get_ref() {
            TextOr::Text(_) => None,
            TextOr::Table(more) => Some(more),
        }
    }

    /// The word for its type.
    pub(super) fn kind(&self) -> &str {
        match self.spec.get_ref() {
            TextOr::Text(word) => word,
            TextOr::Table(more) => more.kind.as_deref().unwrap_or("text"),
        }
    }

    /// Where its description stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.spec.span()
    }

    /// Its name, its type, and how its texts are read.
    pub(super) fn column(&self, job: &JobFile) -> Result<Column, Problem> {
        let kind =
            ColumnType::parse(self.kind()).map_err(|fault| job.problem(self.span(), fault))?;
        let mut column = Column::new(self.name.get_ref(), kind);
        if let Some(more) = self.more() {
            column.format = more.format.clone();
            column.nulls = more.null.clone();
        }
        Ok(column)
    }
}
