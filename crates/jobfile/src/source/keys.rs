//! Which keys of `[source]` mean something, by what is read.

use std::ops::Range;

use kiln_core::Fault;
use toml::Spanned;

use super::format::Format;
use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::shapes::{ListOr, Word};
use crate::spec::{ColumnSpec, ColumnTypes, SourceSpec};

/// A key, and where it stands, if it does.
pub(super) type Key = (&'static str, Option<Range<usize>>);

fn word(word: &Option<Word>) -> Option<Range<usize>> {
    word.as_ref().map(Spanned::span)
}

/// Keys that only a table has.
pub(super) fn of_tables(source: &SourceSpec) -> Vec<Key> {
    vec![
        ("url", word(&source.url)),
        ("where", word(&source.filter)),
        ("key", source.key.as_ref().map(Spanned::span)),
        ("snapshot", source.snapshot.as_ref().map(Spanned::span)),
        ("watermark", word(&source.watermark)),
        ("lag", word(&source.lag)),
        ("ranges", source.ranges.as_ref().map(Spanned::span)),
    ]
}

/// Keys that only a query has.
pub(super) fn of_queries(source: &SourceSpec) -> Vec<Key> {
    vec![
        ("[source.tables]", source.tables.as_ref().map(Spanned::span)),
        ("memory", source.memory.as_ref().map(Spanned::span)),
        ("work", word(&source.work)),
    ]
}

/// Keys that a query's tables have, and not the query.
pub(super) fn of_no_query(source: &SourceSpec) -> Vec<Key> {
    let list = of_formats(source).into_iter().filter(|key| key.0 == LIST);
    of_tables(source).into_iter().chain(of_files(source)).chain(list).collect()
}

/// Keys that only files have.
pub(super) fn of_files(source: &SourceSpec) -> Vec<Key> {
    let mut keys =
        vec![("format", word(&source.format)), ("ready", source.ready.as_ref().map(Spanned::span))];
    keys.extend(of_formats(source).into_iter().filter(|key| key.0 != LIST));
    keys
}

/// The key of a list of columns, which tables have, too.
pub(super) const LIST: &str = "columns = [ … ]";

/// Keys that some kinds of files have.
fn of_formats(source: &SourceSpec) -> Vec<Key> {
    let columns = source.columns.as_ref();
    let is_list = columns.is_some_and(|c| matches!(c.get_ref(), ListOr::List(_)));
    let span = columns.map(Spanned::span);
    vec![
        ("compression", word(&source.compression)),
        ("encoding", word(&source.encoding)),
        ("delimiter", word(&source.delimiter)),
        ("quote", word(&source.quote)),
        ("escape", word(&source.escape)),
        ("header", source.header.is_some().then_some(0..0)),
        ("null", (!source.null.is_empty()).then_some(0..0)),
        ("trim", source.trim.then_some(0..0)),
        ("ragged", word(&source.ragged)),
        ("max_record_bytes", source.max_record_bytes.as_ref().map(Spanned::span)),
        ("[source.columns]", span.clone().filter(|_| !is_list)),
        (LIST, span.filter(|_| is_list)),
    ]
}

/// Refuses what means nothing where the source is `what`.
pub(super) fn refuse(job: &JobFile, keys: Vec<Key>, what: &str) -> Result<(), Problem> {
    match keys.into_iter().find_map(|(key, span)| Some((key, span?))) {
        None => Ok(()),
        Some((key, span)) => {
            let fault =
                Fault::config(format!("`{key}` means nothing where the source is a {what}"));
            Err(job.problem(span, fault.with_hint("leave it out")))
        }
    }
}

/// Refuses keys that only other kinds of files have.
pub(super) fn refuse_of_other_formats(
    job: &JobFile,
    source: &SourceSpec,
    format: &Format,
) -> Result<(), Problem> {
    let others = of_formats(source).into_iter().filter(|key| !format.keys.contains(&key.0));
    refuse(job, others.collect(), &format!("{} file", format.name))
}

/// Refuses keys of columns that the format does not have.
pub(super) fn refuse_of_columns(
    job: &JobFile,
    types: Option<&ColumnTypes>,
    has: &[&str],
) -> Result<(), Problem> {
    for (name, column) in types.into_iter().flatten() {
        let crate::shapes::TextOr::Table(spec) = column.get_ref() else { continue };
        let ColumnSpec { path, missing, at, width, .. } = spec;
        let keys = [
            ("path", path.is_some()),
            ("missing", missing.is_some()),
            ("at", at.is_some()),
            ("width", width.is_some()),
        ];
        if let Some((key, _)) = keys.into_iter().find(|(key, is)| *is && !has.contains(key)) {
            let fault = Fault::config(format!(
                "column {}: `{key}` means nothing in a file of this kind",
                name.get_ref()
            ));
            return Err(job.problem(column.span(), fault.with_hint("leave it out")));
        }
    }
    Ok(())
}
