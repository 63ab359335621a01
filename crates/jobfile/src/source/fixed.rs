//! Fields of fixed width, as the job file describes them.

use std::path::Path;

use kiln_core::{Fault, RawReader, Source};
use kiln_files::{FileColumns, FixedColumn, FixedOptions, FixedSource, OpenFile, RawFixed};

use super::columns::{self, Written};
use super::{csv, keys, text};
use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::shapes::HeaderSpec;
use crate::spec::SourceSpec;

/// Lines whose fields stand at fixed places.
pub(super) fn opener(job: &JobFile, source: &SourceSpec) -> Result<Box<OpenFile>, Problem> {
    let options = options(job, source)?;
    Ok(Box::new(move |path: &Path, name: &str| -> kiln_core::Result<Box<dyn Source>> {
        let options = FixedOptions { name: Some(name.to_owned()), ..options.clone() };
        Ok(Box::new(FixedSource::open(path, &options)?))
    }))
}

/// Lines by themselves.
pub(super) fn raw(
    job: &JobFile,
    source: &SourceSpec,
    _: &FileColumns,
) -> Result<Box<dyn RawReader>, Problem> {
    Ok(Box::new(RawFixed::new(&options(job, source)?)?))
}

fn options(job: &JobFile, source: &SourceSpec) -> Result<FixedOptions, Problem> {
    keys::refuse_of_columns(job, source.types(), &["at", "width"])?;
    let defaults = FixedOptions::default();
    let mut next = 1;
    let mut columns = Vec::new();
    for written in columns::of(source) {
        let column = column(job, &written, next)?;
        next = column.at.saturating_add(column.width);
        columns.push(column);
    }
    let header = match &source.header {
        None => defaults.header,
        Some(HeaderSpec::Is(is)) => *is,
        Some(HeaderSpec::Names(_)) => {
            let fault = Fault::config("the columns of a file of fixed width have their names")
                .with_hint("header = true passes over the first line");
            return Err(fault.into());
        }
    };
    Ok(FixedOptions {
        columns,
        header,
        nulls: source.null.clone(),
        ragged: csv::ragged(job, source)?,
        max_record_bytes: text::record_limit(job, source, defaults.max_record_bytes)?,
        compression: text::compression(job, source)?,
        encoding: text::encoding(job, source)?,
        ..defaults
    })
}

/// A column stands behind the one before, unless it says where.
fn column(job: &JobFile, written: &Written<'_>, next: usize) -> Result<FixedColumn, Problem> {
    let more = written.more();
    let Some(width) = more.and_then(|more| more.width.as_ref()) else {
        let fault =
            Fault::config(format!("column {}: its width is missing", written.name.get_ref()))
                .with_hint(
                    "write it as in { width = 10 } or { type = \"int\", at = 5, width = 3 }",
                );
        return Err(job.problem(written.span(), fault));
    };
    let at = more.and_then(|more| more.at.as_ref()).map_or(Ok(next), |at| job.positive(at))?;
    Ok(FixedColumn { column: written.column(job)?, at, width: job.positive(width)? })
}
