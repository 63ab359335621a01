//! `[source]`: from the names of files to a source.
//!
//! ```text
//! file = "in/*.csv" ──format──▶ kind ──csv, json, …──▶ the way to open one
//!                   ──files───▶ paths ─────────────────▶ Source
//! ```

mod columns;
mod csv;
mod files;
mod fixed;
mod format;
pub(crate) mod json;
mod keys;
pub(crate) mod letters;
mod parquet;
mod text;

use std::ops::Range;

use kiln_core::{Fault, Kind, Source};
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::shapes::{Texts, Word};
use crate::spec::SourceSpec;

/// What a source reads.
pub(crate) enum Reads<'a> {
    Files(&'a Spanned<Texts>),
    Table(&'a Word),
}

/// Whether the source is files or a table. A key that says something of the
/// other one is refused.
pub(crate) fn reads<'a>(job: &JobFile, source: &'a SourceSpec) -> Result<Reads<'a>, Problem> {
    match (&source.file, &source.table) {
        (Some(files), None) => {
            keys::refuse(job, keys::of_tables(source), "file")?;
            Ok(Reads::Files(files))
        }
        (None, Some(table)) => {
            keys::refuse(job, keys::of_files(source), "table")?;
            Ok(Reads::Table(table))
        }
        (Some(_), Some(table)) => {
            let fault = Fault::config("a source is a file or a table, not both");
            Err(job.problem(table.span(), fault.with_hint("make it two jobs")))
        }
        (None, None) => {
            let fault = Fault::config("[source] names neither a file nor a table");
            Err(fault.with_hint("write file = \"…\" or table = \"…\"").into())
        }
    }
}

/// Opens the files that a step reads.
pub(crate) fn open(
    job: &JobFile,
    source: &SourceSpec,
    written: &Spanned<Texts>,
) -> Result<Box<dyn Source>, Problem> {
    let words = written.get_ref().words(written.span());
    words.iter().try_for_each(|file| files::refuse_remote(job, file))?;
    let format = format::of(job, source, &words)?;
    keys::refuse_of_other_formats(job, source, format)?;
    let opener = (format.opener)(job, source)?;
    let input = files::find(job, source, &words)?;
    let shown = written.get_ref().to_string();
    input.open(&shown, opener).map_err(|fault| match place_of_column(source, &fault) {
        Some(column) => job.problem(column, fault),
        None => job.problem(written.span(), fault),
    })
}

/// Where the column stands that does not fit the file.
fn place_of_column(source: &SourceSpec, fault: &Fault) -> Option<Range<usize>> {
    let columns = source.types()?.keys();
    let is_meant = |name: &&Word| {
        fault.column() == Some(name.get_ref())
            || fault.kind() == Kind::Config
                && fault.message().split(['"', '`', ' ']).any(|w| w == name.get_ref())
    };
    columns.into_iter().find(is_meant).map(|name| name.span())
}
