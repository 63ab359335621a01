//! Delimited text, as the job file describes it.

use std::path::Path;

use kiln_core::{Fault, RawReader, Source};
use kiln_files::{Column, CsvOptions, CsvSource, FileColumns, Header, OpenFile, Ragged, RawCsv};

use super::{columns, keys, text};
use crate::jobfile::JobFile;
use crate::nearest::suggestion;
use crate::problem::Problem;
use crate::shapes::{HeaderSpec, Word};
use crate::spec::SourceSpec;

/// Fields with commas between them, if nothing else is said.
pub(super) fn commas(job: &JobFile, source: &SourceSpec) -> Result<Box<OpenFile>, Problem> {
    opener(job, source, b',')
}

/// Fields with tabs between them, if nothing else is said.
pub(super) fn tabs(job: &JobFile, source: &SourceSpec) -> Result<Box<OpenFile>, Problem> {
    opener(job, source, b'\t')
}

fn opener(job: &JobFile, source: &SourceSpec, delimiter: u8) -> Result<Box<OpenFile>, Problem> {
    let options = options(job, source, delimiter)?;
    Ok(Box::new(move |path: &Path, name: &str| -> kiln_core::Result<Box<dyn Source>> {
        let options = CsvOptions { name: Some(name.to_owned()), ..options.clone() };
        Ok(Box::new(CsvSource::open(path, &options)?))
    }))
}

/// Records of files with commas.
pub(super) fn raw_commas(
    job: &JobFile,
    source: &SourceSpec,
    columns: &FileColumns,
) -> Result<Box<dyn RawReader>, Problem> {
    Ok(Box::new(RawCsv::new(&options(job, source, b',')?, columns)?))
}

/// Records of files with tabs.
pub(super) fn raw_tabs(
    job: &JobFile,
    source: &SourceSpec,
    columns: &FileColumns,
) -> Result<Box<dyn RawReader>, Problem> {
    Ok(Box::new(RawCsv::new(&options(job, source, b'\t')?, columns)?))
}

fn options(job: &JobFile, source: &SourceSpec, delimiter: u8) -> Result<CsvOptions, Problem> {
    keys::refuse_of_columns(job, source.types(), &[])?;
    let defaults = CsvOptions::default();
    let mark = |word: &Option<Word>, default| match word {
        None => Ok(default),
        Some(word) if word.get_ref().is_empty() => Ok(None),
        Some(word) => one_byte(job, word).map(Some),
    };
    let Some(delimiter) = mark(&source.delimiter, Some(delimiter))? else {
        let span = source.delimiter.as_ref().map_or(0..0, |d| d.span());
        return Err(job.problem(span, Fault::config("a delimiter can't be empty")));
    };
    let columns = columns::of(source).map(|c| c.column(job)).collect::<Result<Vec<Column>, _>>();
    Ok(CsvOptions {
        delimiter,
        quote: mark(&source.quote, defaults.quote)?,
        escape: mark(&source.escape, defaults.escape)?,
        header: match &source.header {
            None | Some(HeaderSpec::Is(true)) => Header::Yes,
            Some(HeaderSpec::Is(false)) => Header::No,
            Some(HeaderSpec::Names(names)) => Header::Names(names.clone()),
        },
        nulls: source.null.clone(),
        trim: source.trim,
        ragged: ragged(job, source)?,
        max_record_bytes: text::record_limit(job, source, defaults.max_record_bytes)?,
        columns: columns?,
        compression: text::compression(job, source)?,
        encoding: text::encoding(job, source)?,
        name: None,
    })
}

fn one_byte(job: &JobFile, word: &Word) -> Result<u8, Problem> {
    match word.get_ref().as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => {
            let fault = Fault::config(format!("{:?} is not one ASCII character", word.get_ref()))
                .with_hint("a tab is written \"\\t\"");
            Err(job.problem(word.span(), fault))
        }
    }
}

/// What becomes of records with too few or too many fields.
pub(super) fn ragged(job: &JobFile, source: &SourceSpec) -> Result<Ragged, Problem> {
    let Some(word) = &source.ragged else { return Ok(Ragged::default()) };
    match word.get_ref().as_str() {
        "reject" => Ok(Ragged::Reject),
        "pad" => Ok(Ragged::Pad),
        other => {
            let fault = Fault::config(format!("{other:?} does not say what to do"))
                .with_hint(suggestion("ragged is one of", other, &["reject", "pad"]));
            Err(job.problem(word.span(), fault))
        }
    }
}
