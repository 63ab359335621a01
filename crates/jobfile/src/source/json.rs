//! JSON, as the job file describes it.

use std::path::Path;
use std::sync::OnceLock;

use kiln_core::{Fault, RawReader, Source};
use kiln_files::{
    Column, ColumnType, FileColumns, JsonColumn, JsonOptions, JsonPath, JsonRecords, JsonSource,
    Missing, OpenFile, RawJson,
};

use super::columns::{Written, written};
use super::{keys, text};
use crate::jobfile::JobFile;
use crate::nearest::suggestion;
use crate::problem::Problem;
use crate::shapes::Texts;
use crate::spec::{ColumnTypes, SourceSpec};

/// The type of a column that tells whether there is a value.
const EXISTS: &str = "exists";

/// An object a line.
pub(super) fn lines(job: &JobFile, source: &SourceSpec) -> Result<Box<OpenFile>, Problem> {
    opener(job, source, JsonRecords::Lines)
}

/// The elements of an array.
pub(super) fn elements(job: &JobFile, source: &SourceSpec) -> Result<Box<OpenFile>, Problem> {
    opener(job, source, JsonRecords::Elements)
}

/// The first file that is opened tells the columns of all.
fn opener(
    job: &JobFile,
    source: &SourceSpec,
    records: JsonRecords,
) -> Result<Box<OpenFile>, Problem> {
    let options = options(job, source, records)?;
    let complete: OnceLock<JsonOptions> = OnceLock::new();
    Ok(Box::new(move |path: &Path, name: &str| -> kiln_core::Result<Box<dyn Source>> {
        let options = complete.get().unwrap_or(&options);
        let named = JsonOptions { name: Some(name.to_owned()), ..options.clone() };
        let source = JsonSource::open(path, &named)?;
        complete.get_or_init(|| options.with_columns_of(&source.schema()));
        Ok(Box::new(source))
    }))
}

/// Records of either.
pub(super) fn raw(
    job: &JobFile,
    source: &SourceSpec,
    columns: &FileColumns,
) -> Result<Box<dyn RawReader>, Problem> {
    let options = options(job, source, JsonRecords::Lines)?;
    Ok(Box::new(RawJson::new(&options, columns)?))
}

fn options(
    job: &JobFile,
    source: &SourceSpec,
    records: JsonRecords,
) -> Result<JsonOptions, Problem> {
    let defaults = JsonOptions::default();
    Ok(JsonOptions {
        records,
        columns: source.types().map_or(Ok(Vec::new()), |types| columns(job, types))?,
        nulls: source.null.clone(),
        max_record_bytes: text::record_limit(job, source, defaults.max_record_bytes)?,
        compression: text::compression(job, source)?,
        encoding: text::encoding(job, source)?,
        ..defaults
    })
}

/// The columns of a JSON value, in the order in which they are written.
pub(crate) fn columns(job: &JobFile, types: &ColumnTypes) -> Result<Vec<JsonColumn>, Problem> {
    keys::refuse_of_columns(job, Some(types), &["path", "missing"])?;
    written(types).map(|column| self::column(job, &column)).collect()
}

fn column(job: &JobFile, written: &Written<'_>) -> Result<JsonColumn, Problem> {
    let name = written.name.get_ref();
    let wrong = |fault| job.problem(written.span(), fault);
    let path = match written.more().and_then(|more| more.path.as_ref()) {
        None => JsonPath::parse(name).map_err(wrong)?,
        Some(Texts::One(path)) => JsonPath::parse(path).map_err(wrong)?,
        Some(Texts::Many(keys)) => JsonPath::keys(keys.iter().map(|k| k.get_ref().as_str())),
    };
    let missing = missing(job, written)?;
    let column = if missing == Missing::Tell {
        Column::new(name, ColumnType::Bool)
    } else {
        written.column(job)?
    };
    Ok(JsonColumn { column, path, missing })
}

fn missing(job: &JobFile, written: &Written<'_>) -> Result<Missing, Problem> {
    let word = written.more().and_then(|more| more.missing.as_ref());
    let fault = match (word.map(|w| w.get_ref().as_str()), written.kind() == EXISTS) {
        (None, true) => return Ok(Missing::Tell),
        (None | Some("null"), false) => return Ok(Missing::Null),
        (Some("reject"), false) => return Ok(Missing::Reject),
        (Some(_), true) => Fault::config("a column that tells what is missing misses nothing")
            .with_hint("leave `missing` out"),
        (Some(other), false) => Fault::config(format!("{other:?} does not say what to do"))
            .with_hint(suggestion("missing is one of", other, &["null", "reject"])),
    };
    Err(job.problem(word.map_or(written.span(), |w| w.span()), fault))
}
