//! The start of a file: its byte order mark, its header, its columns.

use std::path::Path;

use arrow_schema::SchemaRef;
use kiln_core::{Fault, Kind, Result};

use super::options::{CsvOptions, Header};
use super::records::{Record, Records};
use super::scan::Dialect;
use crate::Column;
use crate::builder::schema;
use crate::input::InputFile;
use crate::text::text_of;

/// What the records of a file are.
#[derive(Debug)]
pub(super) struct Layout {
    /// All columns, in order.
    pub(super) columns: Vec<Column>,
    pub(super) schema: SchemaRef,
}

/// Opens a file and goes to its first record.
pub(super) fn read(path: &Path, options: &CsvOptions) -> Result<(Records, Layout)> {
    let file = InputFile::open(path, options.compression, options.encoding)?;
    let dialect = Dialect::new(options);
    let mut records = Records::open(file, dialect, options.max_record_bytes)?;
    let start = records.place();
    let names = match &options.header {
        Header::Names(names) => names.clone(),
        Header::Yes => names_of_header(path, &mut records, &dialect)?,
        Header::No => numbered_names(path, &mut records)?,
    };
    if options.header == Header::No {
        records.seek(start)?;
    }
    let shown = path.display();
    Ok((records, layout(names, options).map_err(|e| e.at(shown))?))
}

/// What the records of a file are whose columns have these names.
pub(super) fn layout(names: Vec<String>, options: &CsvOptions) -> Result<Layout> {
    let columns = describe(names, &options.columns)?;
    let schema = schema(&columns);
    Ok(Layout { columns, schema })
}

fn names_of_header(path: &Path, records: &mut Records, dialect: &Dialect) -> Result<Vec<String>> {
    let shown = path.display();
    let Some(header) = records.next()? else {
        return Err(empty(path, "a header line was expected"));
    };
    let unusable = |what: &str| {
        Fault::new(
            Kind::InputInvalid,
            format!("{shown}:{}: the header is unusable: {what}", header.place.line),
        )
    };
    let fields = header.fields.map_err(|p| unusable(&p.to_string()))?;
    let text = text_of(header.raw).map_err(|e| {
        unusable(e.message()).with_hint(
            "is it another kind of file, or not in UTF-8? Say it: encoding = \"latin-1\"",
        )
    })?;
    let mut names = Vec::with_capacity(fields.len());
    for (i, field) in fields.iter().enumerate() {
        let mut name = text[field.start..field.end].to_owned();
        if field.escaped {
            let escaped = std::mem::take(&mut name);
            dialect.unescape(&escaped, &mut name);
        }
        if !field.quoted && name.contains('\r') {
            return Err(unusable("its lines end with CR alone")
                .with_hint("convert the line ends: tr '\\r' '\\n'"));
        }
        names.push(if name.trim().is_empty() { numbered(i) } else { name });
    }
    Ok(names)
}

/// As many names as the first good record has fields.
fn numbered_names(path: &Path, records: &mut Records) -> Result<Vec<String>> {
    loop {
        match records.next()? {
            Some(Record { fields: Ok(fields), .. }) => {
                return Ok((0..fields.len()).map(numbered).collect());
            }
            Some(_) => {}
            None => {
                return Err(empty(path, "without a header, its first record tells the columns"));
            }
        }
    }
}

fn numbered(index: usize) -> String {
    format!("column_{}", index + 1)
}

fn empty(path: &Path, expected: &str) -> Fault {
    Fault::new(Kind::InputInvalid, format!("{} is empty: {expected}", path.display()))
        .with_hint("if an empty file is no mistake, name its columns in the job")
}

/// Each column of the file, with what is known of it.
fn describe(names: Vec<String>, known: &[Column]) -> Result<Vec<Column>> {
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(Fault::config(format!("two columns are called {name:?}"))
                .with_hint("rename one in the file, or name the columns in the job"));
        }
    }
    for (i, column) in known.iter().enumerate() {
        if !names.contains(&column.name) {
            return Err(unknown_column(&column.name, &names));
        }
        if known[..i].iter().any(|k| k.name == column.name) {
            return Err(Fault::config(format!("column {:?} is described twice", column.name)));
        }
    }
    let describe = |name: String| {
        let known = known.iter().find(|k| k.name == name).cloned();
        known.unwrap_or_else(|| Column { name, ..Column::default() })
    };
    Ok(names.into_iter().map(describe).collect())
}

fn unknown_column(name: &str, names: &[String]) -> Fault {
    let distance =
        |other: &&String| strsim::damerau_levenshtein(&other.to_lowercase(), &name.to_lowercase());
    let near = names.iter().min_by_key(distance).map(String::as_str).unwrap_or_default();
    Fault::config(format!("there is no column {name:?}; did you mean {near:?}?"))
        .with_column(name)
        .with_hint(format!("its columns are {}", names.join(", ")))
}
