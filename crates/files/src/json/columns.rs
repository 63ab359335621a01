//! The columns of a file of JSON: declared, or found in its first records.

use std::collections::HashSet;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use kiln_core::{Fault, Kind, Result};

use super::options::{JsonColumn, JsonOptions};
use super::path::JsonStep;
use super::records::Records;
use super::tree::{Place, Tree, keys};
use super::values::JsonValues;
use crate::builder::{batch, schema};
use crate::text::text_of;

/// How many records are looked at to find the other columns, …
const SAMPLE: usize = 1_000;
/// … if they are not longer together.
const SAMPLE_BYTES: u64 = 1 << 20;

/// The columns of a chunk while it is read.
pub(super) struct Columns {
    schema: SchemaRef,
    tree: Tree,
    values: Vec<JsonValues>,
    places: Vec<Place>,
    rows: usize,
}

impl Columns {
    /// Empty columns.
    pub(super) fn new(columns: &[JsonColumn], nulls: &[String]) -> Result<Self> {
        let values =
            columns.iter().map(|c| JsonValues::new(c, nulls)).collect::<Result<Vec<_>>>()?;
        let tree = Tree::new(columns.iter().map(|c| &c.path));
        let schema = schema(columns.iter().map(|c| &c.column));
        Ok(Self { schema, tree, places: vec![None; values.len()], values, rows: 0 })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// Adds a row; a record that does not fit adds nothing.
    ///
    /// # Errors
    /// Why it does not fit, of [`Kind::Item`].
    pub(super) fn push(&mut self, raw: &[u8]) -> Result<()> {
        let record = text_of(raw)?;
        self.tree.find(record, &mut self.places).map_err(no_json)?;
        self.push_found(record)
    }

    /// The same for a value that may be of any kind, where some column takes the
    /// value itself.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub(super) fn push_any(&mut self, raw: &[u8]) -> Result<()> {
        if !self.tree.takes_all() {
            return self.push(raw);
        }
        let value = text_of(raw)?;
        self.tree.find_in_any(value, &mut self.places).map_err(no_json)?;
        self.push_found(value)
    }

    fn push_found(&mut self, record: &str) -> Result<()> {
        for i in 0..self.values.len() {
            if let Err(fault) = self.values[i].push(record, &self.places[i]) {
                self.values[..=i].iter_mut().for_each(|v| v.builder.truncate(self.rows));
                return Err(fault);
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows as a batch; the columns are empty then.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        batch(&self.schema, self.values.iter_mut().map(|v| &mut v.builder))
    }

    /// Keeps the first rows only.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.values.iter_mut().for_each(|v| v.builder.truncate(rows));
        self.rows = rows;
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.truncate(0);
    }
}

/// The fault of a record that is no JSON, with the place in the record.
pub(super) fn no_json(error: serde_json::Error) -> Fault {
    let shown = error.to_string();
    let what = shown.rsplit_once(" at line ").map_or(shown.as_str(), |(what, _)| what);
    let line = match error.line() {
        0 | 1 => String::new(),
        line => format!("line {line} of the record, "),
    };
    let message = match error.column() {
        0 => format!("no JSON: {what}"),
        column => format!("no JSON: {what}, {line}column {column}"),
    };
    Fault::item(message).with_code("json")
}

/// The columns that were declared, and the others.
///
/// # Errors
/// [`Kind::InputInvalid`]: nothing is declared, and no record tells anything.
pub(super) fn all(records: &mut Records, options: &JsonOptions) -> Result<Vec<JsonColumn>> {
    let mut columns: Vec<JsonColumn> = options.columns.iter().map(JsonColumn::plain).collect();
    if options.others {
        let start = records.place();
        let others = others(records, &columns)?;
        records.seek(start)?;
        columns.extend(others);
    }
    if columns.is_empty() {
        let shown = records.file().path.display();
        let message = format!("{shown} has no record that is an object: its keys tell the columns");
        return Err(Fault::new(Kind::InputInvalid, message)
            .with_hint("if an empty file is no mistake, name its columns in the job"));
    }
    Ok(columns)
}

/// Keys of the first records that no declared column is called by, and no path
/// leads through.
fn others(records: &mut Records, declared: &[JsonColumn]) -> Result<Vec<JsonColumn>> {
    let mut known: HashSet<String> = declared.iter().map(|c| c.column.name.clone()).collect();
    known.extend(declared.iter().filter_map(|c| match c.path.0.first() {
        Some(JsonStep::Key(key)) => Some(key.clone()),
        _ => None,
    }));
    let mut found = Vec::new();
    let end = records.place().byte + SAMPLE_BYTES;
    for _ in 0..SAMPLE {
        let Some(record) = records.next()? else { break };
        let text = text_of(record.raw).ok().filter(|_| !record.too_long);
        for key in text.and_then(|text| keys(text).ok()).unwrap_or_default() {
            if known.insert(key.clone()) {
                found.push(JsonColumn::of_key(key));
            }
        }
        if records.place().byte >= end {
            break;
        }
    }
    Ok(found)
}
