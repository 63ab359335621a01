//! `[source]`: from a file's name to a source.

use std::ops::Range;
use std::path::Path;

use kiln_core::{Fault, Kind, Source};
use kiln_files::{Column, ColumnType, CsvOptions, CsvSource, Header, Ragged};
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::load::not_there_yet;
use crate::nearest::suggestion;
use crate::problem::Problem;
use crate::shapes::{HeaderSpec, ListOr, TextOr, Word};
use crate::spec::SourceSpec;

/// A kind of file.
struct Format {
    /// Its word in the job file.
    name: &'static str,
    /// The endings it is known by.
    endings: &'static [&'static str],
    /// What stands between fields if nothing else is said.
    delimiter: u8,
    open: fn(&Path, &CsvOptions) -> kiln_core::Result<Box<dyn Source>>,
}

/// Every kind of file that can be read.
const FORMATS: [Format; 2] = [
    Format { name: "csv", endings: &["csv", "txt"], delimiter: b',', open: open_csv },
    Format { name: "tsv", endings: &["tsv", "tab"], delimiter: b'\t', open: open_csv },
];

/// Kinds of files that will be read one day.
const LATER: [&str; 5] = ["jsonl", "ndjson", "json", "parquet", "xlsx"];

fn open_csv(path: &Path, options: &CsvOptions) -> kiln_core::Result<Box<dyn Source>> {
    Ok(Box::new(CsvSource::open(path, options)?))
}

/// What a source reads.
pub(crate) enum Reads<'a> {
    File(&'a Word),
    Table(&'a Word),
}

/// Whether the source is a file or a table. A key that says something of the
/// other one is refused.
pub(crate) fn reads<'a>(job: &JobFile, source: &'a SourceSpec) -> Result<Reads<'a>, Problem> {
    let (reads, what, other) = match (&source.file, &source.table) {
        (Some(file), None) => (Reads::File(file), "file", of_tables(source)),
        (None, Some(table)) => (Reads::Table(table), "table", of_files(source)),
        (Some(_), Some(table)) => {
            let fault = Fault::config("a source is a file or a table, not both");
            return Err(job.problem(table.span(), fault.with_hint("make it two jobs")));
        }
        (None, None) => {
            let fault = Fault::config("[source] names neither a file nor a table");
            return Err(fault.with_hint("write file = \"…\" or table = \"…\"").into());
        }
    };
    match other.into_iter().find_map(|(key, span)| Some((key, span?))) {
        None => Ok(reads),
        Some((key, span)) => {
            let fault =
                Fault::config(format!("`{key}` means nothing where the source is a {what}"));
            Err(job.problem(span, fault.with_hint("leave it out")))
        }
    }
}

/// Where keys stand that only a table has.
fn of_tables(source: &SourceSpec) -> Vec<(&'static str, Option<Range<usize>>)> {
    let word = |word: &Option<Word>| word.as_ref().map(Spanned::span);
    let list = source.columns.as_ref().filter(|c| matches!(c.get_ref(), ListOr::List(_)));
    vec![
        ("url", word(&source.url)),
        ("where", word(&source.filter)),
        ("key", source.key.as_ref().map(Spanned::span)),
        ("snapshot", source.snapshot.as_ref().map(Spanned::span)),
        ("watermark", word(&source.watermark)),
        ("lag", word(&source.lag)),
        ("columns = [ … ]", list.map(Spanned::span)),
    ]
}

/// Where keys stand that only a file has.
fn of_files(source: &SourceSpec) -> Vec<(&'static str, Option<Range<usize>>)> {
    let word = |word: &Option<Word>| word.as_ref().map(Spanned::span);
    let types = source.columns.as_ref().filter(|c| matches!(c.get_ref(), ListOr::Table(_)));
    vec![
        ("format", word(&source.format)),
        ("delimiter", word(&source.delimiter)),
        ("quote", word(&source.quote)),
        ("escape", word(&source.escape)),
        ("header", source.header.is_some().then_some(0..0)),
        ("null", (!source.null.is_empty()).then_some(0..0)),
        ("trim", source.trim.then_some(0..0)),
        ("ragged", word(&source.ragged)),
        ("max_record_bytes", source.max_record_bytes.as_ref().map(Spanned::span)),
        ("[source.columns]", types.map(Spanned::span)),
    ]
}

/// Opens the file that a step reads.
pub(crate) fn open(
    job: &JobFile,
    source: &SourceSpec,
    file: &Word,
) -> Result<Box<dyn Source>, Problem> {
    refuse_remote(job, file)?;
    let format = format(job, source, file)?;
    let options = options(job, source, format)?;
    let span = file.span();
    let path = job.path_of(file)?;
    (format.open)(&path, &options).map_err(|fault| match place_of_column(source, &fault) {
        Some(column) => job.problem(column, fault),
        None => job.problem(span, fault),
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

fn refuse_remote(job: &JobFile, file: &Word) -> Result<(), Problem> {
    let name = file.get_ref();
    let what = if name == "-" {
        "reading from standard input"
    } else if name.contains("://") {
        "reading from the network"
    } else if name.contains(['*', '?']) && !Path::new(name).exists() {
        "reading several files"
    } else {
        return Ok(());
    };
    Err(not_there_yet(job.text(), file.span(), what, "name one file on this machine"))
}

/// The kind of the file: as the job file says, or by its ending.
fn format(job: &JobFile, source: &SourceSpec, file: &Word) -> Result<&'static Format, Problem> {
    let names: Vec<&str> = FORMATS.iter().map(|f| f.name).collect();
    let (word, span) = match &source.format {
        Some(word) => (word.get_ref().to_ascii_lowercase(), word.span()),
        None => (ending(file.get_ref()), file.span()),
    };
    let named = source.format.is_some();
    let is_it = |f: &&Format| if named { f.name == word } else { f.endings.contains(&&*word) };
    if let Some(known) = FORMATS.iter().find(is_it) {
        return Ok(known);
    }
    if LATER.contains(&&*word) {
        let hint = format!("formats that can be read: {}", names.join(", "));
        return Err(not_there_yet(job.text(), span, &format!("reading {word}"), &hint));
    }
    let fault = if named {
        Fault::config(format!("{word:?} is no format"))
            .with_hint(suggestion("formats", &word, &names))
    } else {
        Fault::config(format!("{}: its ending tells no format", file.get_ref()))
            .with_hint("say it: format = \"csv\"")
    };
    Err(job.problem(span, fault))
}

/// The ending of a file's name, behind which only a compression may follow.
fn ending(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    Path::new(name).extension().unwrap_or_default().to_string_lossy().into_owned()
}

fn options(job: &JobFile, source: &SourceSpec, format: &Format) -> Result<CsvOptions, Problem> {
    let defaults = CsvOptions::default();
    let mark = |word: &Option<Word>, default| match word {
        None => Ok(default),
        Some(word) if word.get_ref().is_empty() => Ok(None),
        Some(word) => one_byte(job, word).map(Some),
    };
    let Some(delimiter) = mark(&source.delimiter, Some(format.delimiter))? else {
        let span = source.delimiter.as_ref().map_or(0..0, |d| d.span());
        return Err(job.problem(span, Fault::config("a delimiter can't be empty")));
    };
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
        max_record_bytes: match &source.max_record_bytes {
            None => defaults.max_record_bytes,
            Some(bytes) => job.positive(bytes)?,
        },
        columns: columns(job, source)?,
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

fn ragged(job: &JobFile, source: &SourceSpec) -> Result<Ragged, Problem> {
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

fn columns(job: &JobFile, source: &SourceSpec) -> Result<Vec<Column>, Problem> {
    let column = |(name, spec): (&Word, &toml::Spanned<TextOr<_>>)| {
        let kind =
            |word: &str| ColumnType::parse(word).map_err(|fault| job.problem(spec.span(), fault));
        Ok(match spec.get_ref() {
            TextOr::Text(word) => Column::new(name.get_ref(), kind(word)?),
            TextOr::Table(crate::spec::ColumnSpec { kind: word, format, null }) => Column {
                name: name.get_ref().clone(),
                kind: kind(word)?,
                format: format.clone(),
                nulls: null.clone(),
            },
        })
    };
    source.types().into_iter().flatten().map(column).collect()
}
