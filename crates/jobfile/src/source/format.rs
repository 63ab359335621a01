//! The kinds of files.

use std::path::Path;

use kiln_core::{Fault, RawReader};
use kiln_files::{Compression, FileColumns, OpenFile};

use super::keys::LIST;
use super::{csv, fixed, json, parquet};
use crate::jobfile::JobFile;
use crate::load::not_there_yet;
use crate::nearest::suggestion;
use crate::problem::Problem;
use crate::shapes::Word;
use crate::spec::SourceSpec;

/// A kind of file.
pub(super) struct Format {
    /// Its word in the job file.
    pub(super) name: &'static str,
    /// The endings it is known by.
    endings: &'static [&'static str],
    /// Which of the keys it has that not every file has.
    pub(super) keys: &'static [&'static str],
    /// The way to open one, as the job file says.
    pub(super) opener: fn(&JobFile, &SourceSpec) -> Result<Box<OpenFile>, Problem>,
    /// The way to read a record by itself, where records are text.
    pub(super) raw: Option<Raw>,
}

/// Makes items of records of files that had these columns.
type Raw = fn(&JobFile, &SourceSpec, &FileColumns) -> Result<Box<dyn RawReader>, Problem>;

const CSV_KEYS: &[&str] = &[
    "compression",
    "encoding",
    "delimiter",
    "quote",
    "escape",
    "header",
    "null",
    "trim",
    "ragged",
    "max_record_bytes",
    "[source.columns]",
];

const JSON_KEYS: &[&str] =
    &["compression", "encoding", "null", "max_record_bytes", "[source.columns]"];

const FIXED_KEYS: &[&str] = &[
    "compression",
    "encoding",
    "header",
    "null",
    "ragged",
    "max_record_bytes",
    "[source.columns]",
];

/// Every kind of file that can be read.
const FORMATS: [Format; 6] = [
    Format {
        name: "csv",
        endings: &["csv", "txt"],
        keys: CSV_KEYS,
        opener: csv::commas,
        raw: Some(csv::raw_commas),
    },
    Format {
        name: "tsv",
        endings: &["tsv", "tab"],
        keys: CSV_KEYS,
        opener: csv::tabs,
        raw: Some(csv::raw_tabs),
    },
    Format {
        name: "jsonl",
        endings: &["jsonl", "ndjson"],
        keys: JSON_KEYS,
        opener: json::lines,
        raw: Some(json::raw),
    },
    Format {
        name: "json",
        endings: &["json"],
        keys: JSON_KEYS,
        opener: json::elements,
        raw: Some(json::raw),
    },
    Format {
        name: "fixed",
        endings: &["fixed"],
        keys: FIXED_KEYS,
        opener: fixed::opener,
        raw: Some(fixed::raw),
    },
    Format {
        name: "parquet",
        endings: &["parquet"],
        keys: &[LIST],
        opener: parquet::opener,
        raw: None,
    },
];

/// Kinds of files that will be read one day.
const LATER: [&str; 1] = ["xlsx"];

/// The kind of the files: as the job file says, or by their endings.
pub(super) fn of(
    job: &JobFile,
    source: &SourceSpec,
    files: &[Word],
) -> Result<&'static Format, Problem> {
    if let Some(word) = &source.format {
        let name = word.get_ref().to_ascii_lowercase();
        return FORMATS.iter().find(|f| f.name == name).ok_or_else(|| unknown(job, word, &name));
    }
    let mut known: Option<&Format> = None;
    for file in files {
        let format = by_ending(job, file)?;
        if let Some(other) = known.filter(|other| other.name != format.name) {
            let (one, two) = (other.name, format.name);
            let fault = Fault::config(format!("some of the files are {one}, some are {two}"))
                .with_hint("read them in steps of their own, or say which it is: format = \"…\"");
            return Err(job.problem(file.span(), fault));
        }
        known = Some(format);
    }
    known.ok_or_else(|| Fault::config("the list of files is empty").into())
}

fn names() -> Vec<&'static str> {
    FORMATS.iter().map(|f| f.name).collect()
}

fn unknown(job: &JobFile, word: &Word, name: &str) -> Problem {
    if LATER.contains(&name) {
        return later(job, word, name);
    }
    let fault = Fault::config(format!("{name:?} is no format")).with_hint(suggestion(
        "formats",
        name,
        &names(),
    ));
    job.problem(word.span(), fault)
}

fn later(job: &JobFile, word: &Word, name: &str) -> Problem {
    let hint = format!("formats that can be read: {}", names().join(", "));
    not_there_yet(job.text(), word.span(), &format!("reading {name}"), &hint)
}

fn by_ending(job: &JobFile, file: &Word) -> Result<&'static Format, Problem> {
    let ending = ending(file.get_ref());
    if let Some(known) = FORMATS.iter().find(|f| f.endings.contains(&&*ending)) {
        return Ok(known);
    }
    if LATER.contains(&&*ending) {
        return Err(later(job, file, &ending));
    }
    let fault = Fault::config(format!("{}: its ending tells no format", file.get_ref()))
        .with_hint("say it: format = \"csv\"");
    Err(job.problem(file.span(), fault))
}

/// The ending of a file's name, behind which only a compression may follow.
fn ending(name: &str) -> String {
    let name = Path::new(Compression::without_ending(name));
    name.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}
