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
#[cfg(feature = "query")]
pub(crate) mod query;
#[cfg(not(feature = "query"))]
#[path = "source/no_query.rs"]
pub(crate) mod query;
mod text;

use std::ops::Range;
use std::sync::Arc;

use kiln_core::{Fault, Kind, Source};
use kiln_files::OpenFile;
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::shapes::{Texts, Word};
use crate::spec::SourceSpec;

/// What a source reads.
pub(crate) enum Reads<'a> {
    Files(&'a Spanned<Texts>),
    Table(&'a Word),
    Query(&'a Word),
}

/// Whether the source is files, a table or a query. A key that says something of
/// the others is refused.
pub(crate) fn reads<'a>(job: &JobFile, source: &'a SourceSpec) -> Result<Reads<'a>, Problem> {
    match (&source.file, &source.table, &source.query) {
        (Some(files), None, None) => {
            keys::refuse(job, keys::of_tables(source), "file")?;
            keys::refuse(job, keys::of_queries(source), "file")?;
            Ok(Reads::Files(files))
        }
        (None, Some(table), None) => {
            keys::refuse(job, keys::of_files(source), "table")?;
            keys::refuse(job, keys::of_queries(source), "table")?;
            Ok(Reads::Table(table))
        }
        (None, None, Some(query)) => {
            keys::refuse(job, keys::of_no_query(source), "query")?;
            Ok(Reads::Query(query))
        }
        (None, None, None) => {
            let fault = Fault::config("[source] names neither a file nor a table");
            Err(fault.with_hint("write file = \"…\", table = \"…\" or query = \"…\"").into())
        }
        (Some(_), Some(table), None) => {
            let fault = Fault::config("a source is a file or a table, not both");
            Err(job.problem(table.span(), fault.with_hint("make it two jobs")))
        }
        (_, _, Some(query)) => {
            let fault = Fault::config("a source is a query or something else, not both")
                .with_hint("what a query reads is described in [source.tables]");
            Err(job.problem(query.span(), fault))
        }
    }
}

/// The query as people know it, by its tables.
pub(crate) fn shown_query(source: &SourceSpec) -> String {
    let tables = source.tables.iter().flat_map(|tables| tables.get_ref().keys());
    let names: Vec<&str> = tables.map(|name| name.get_ref().as_str()).collect();
    format!("query over {}", names.join(", "))
}

/// The way to open files, as often as they are to be read.
type OpenFiles = dyn Fn() -> kiln_core::Result<Box<dyn Source>> + Send + Sync;

/// Opens the files that a step reads.
pub(crate) fn open(
    job: &JobFile,
    source: &SourceSpec,
    written: &Spanned<Texts>,
) -> Result<Box<dyn Source>, Problem> {
    opener(job, source, written)?().map_err(|fault| problem(job, source, written, fault))
}

fn opener(
    job: &JobFile,
    source: &SourceSpec,
    written: &Spanned<Texts>,
) -> Result<Box<OpenFiles>, Problem> {
    let words = written.get_ref().words(written.span());
    words.iter().try_for_each(|file| files::refuse_remote(job, file))?;
    let format = format::of(job, source, &words)?;
    keys::refuse_of_other_formats(job, source, format)?;
    let opener: Arc<OpenFile> = (format.opener)(job, source)?.into();
    let input = files::find(job, source, &words)?;
    let shown = written.get_ref().to_string();
    Ok(Box::new(move || {
        let opener = Arc::clone(&opener);
        input.clone().open(&shown, Box::new(move |path, name| opener(path, name)))
    }))
}

/// A fault of files, at the column that it is about, if it is about one.
fn problem(job: &JobFile, source: &SourceSpec, written: &Spanned<Texts>, fault: Fault) -> Problem {
    match place_of_column(source, &fault) {
        Some(column) => job.problem(column, fault),
        None => job.problem(written.span(), fault),
    }
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
