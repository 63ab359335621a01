//! Where the items of a page came from.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use kiln_core::{Cell, Origin, Origins, cells_as_json};
use serde_json::{Map, Value};

use super::place::{Key, shown};

/// The rows of a page by their ordinals.
#[derive(Debug)]
pub(super) struct RowOrigins {
    /// The table.
    pub(super) table: String,
    /// The last ordinal before the page.
    pub(super) before: u64,
    /// The key of each row.
    pub(super) keys: Vec<Key>,
    pub(super) batch: RecordBatch,
    /// The ordinal of each row of the batch.
    pub(super) ordinals: Vec<u64>,
    /// What the rows hold that are not in the batch.
    pub(super) failed: BTreeMap<u64, String>,
}

impl Origins for RowOrigins {
    fn source(&self, _: u64) -> &str {
        &self.table
    }

    fn line(&self, _: u64) -> Option<u64> {
        None
    }

    fn origin(&self, ordinal: u64) -> Origin {
        let source = self.table.clone();
        let row = ordinal.checked_sub(self.before + 1).and_then(|n| usize::try_from(n).ok());
        let Some(key) = row.and_then(|row| self.keys.get(row)) else {
            return Origin { source, ..Origin::default() };
        };
        let raw = match self.failed.get(&ordinal) {
            Some(raw) => raw.clone(),
            None => self.row(ordinal).unwrap_or_default(),
        };
        Origin { source, key: Some(shown(key)), raw, ..Origin::default() }
    }
}

impl RowOrigins {
    fn row(&self, ordinal: u64) -> Option<String> {
        let row = self.ordinals.binary_search(&ordinal).ok()?;
        cells_as_json(&self.batch, row).ok()
    }
}

/// A row as a JSON object that is not in a batch.
pub(super) fn json<'a>(values: impl Iterator<Item = (&'a str, Cell<'a>)>) -> String {
    let value = |cell| match cell {
        Cell::Null => Value::Null,
        Cell::Bool(b) => b.into(),
        Cell::Int(i) => i.into(),
        Cell::Float(x) => x.into(),
        other => other.to_string().into(),
    };
    let object: Map<String, Value> = values.map(|(n, c)| (n.to_owned(), value(c))).collect();
    Value::Object(object).to_string()
}
