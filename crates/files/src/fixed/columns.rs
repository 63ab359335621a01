//! Lines to typed columns.

use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use kiln_core::{Fault, Result};

use super::options::FixedOptions;
use crate::Ragged;
use crate::builder::{Builder, batch};
use crate::text::text_of;

/// The columns of a chunk while it is read.
pub(super) struct Columns {
    schema: SchemaRef,
    columns: Vec<FixedValues>,
    /// How many characters a line must have.
    least: usize,
    trim: bool,
    /// Where the characters of a line begin, if not all of them are ASCII.
    begins: Vec<usize>,
    rows: usize,
}

/// One of them.
struct FixedValues {
    builder: Builder,
    /// Its characters, counted from 0.
    place: Range<usize>,
    nulls: Vec<String>,
}

impl Columns {
    /// Empty columns.
    pub(super) fn new(schema: &SchemaRef, options: &FixedOptions) -> Result<Self> {
        let mut columns = Vec::with_capacity(options.columns.len());
        for column in &options.columns {
            columns.push(FixedValues {
                builder: Builder::new(&column.column)?,
                place: column.at.saturating_sub(1)..column.end().unwrap_or(usize::MAX),
                nulls: [options.nulls.as_slice(), &column.column.nulls].concat(),
            });
        }
        let last = columns.iter().map(|c| c.place.end).max().unwrap_or_default();
        let least = if options.ragged == Ragged::Reject { last } else { 0 };
        let (trim, begins) = (options.trim, Vec::new());
        Ok(Self { schema: SchemaRef::clone(schema), columns, least, trim, begins, rows: 0 })
    }

    /// Adds a row; a line that does not fit adds nothing.
    ///
    /// # Errors
    /// Why it does not fit, of [`Kind::Item`](kiln_core::Kind::Item).
    pub(super) fn push(&mut self, raw: &[u8]) -> Result<()> {
        let line = text_of(raw)?;
        self.begins.clear();
        if !line.is_ascii() {
            self.begins.extend(line.char_indices().map(|(at, _)| at));
        }
        let characters = if line.is_ascii() { line.len() } else { self.begins.len() };
        if characters < self.least {
            let least = self.least;
            let message = format!("{characters} characters; the last column ends at {least}");
            return Err(Fault::item(message).with_code("ragged"));
        }
        let byte = |character: usize| match self.begins.as_slice() {
            [] => character.min(line.len()),
            begins => begins.get(character).copied().unwrap_or(line.len()),
        };
        for i in 0..self.columns.len() {
            let column = &mut self.columns[i];
            let field = &line[byte(column.place.start)..byte(column.place.end)];
            let field = if self.trim { field.trim_matches([' ', '\t']) } else { field };
            if let Err(fault) = column.push(field) {
                self.columns[..=i].iter_mut().for_each(|c| c.builder.truncate(self.rows));
                return Err(fault);
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows as a batch; the columns are empty then.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        batch(&self.schema, self.columns.iter_mut().map(|c| &mut c.builder))
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.columns.iter_mut().for_each(|c| c.builder.truncate(0));
        self.rows = 0;
    }
}

impl FixedValues {
    fn push(&mut self, field: &str) -> Result<()> {
        if field.is_empty() || self.nulls.iter().any(|n| n == field) {
            self.builder.push_null();
            return Ok(());
        }
        self.builder.push(field)
    }
}
