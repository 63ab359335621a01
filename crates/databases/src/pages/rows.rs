//! Rows that were read, and the chunk that they become.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use kiln_core::{Chunk, Failure, Fault, Items, Position, Stage};

use super::origins::RowOrigins;
use super::place::Key;

/// Rows in order, and the batch of those that are items.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) batch: RecordBatch,
    pub(super) rows: Vec<Row>,
}

/// A row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) key: Key,
    /// The bytes of its values, about.
    pub(super) bytes: usize,
    /// Why it is no row of the batch, if it is none.
    pub(super) failed: Option<Box<Failed>>,
}

/// A row with a value that its column can't be read as.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) fault: Fault,
    /// All its values.
    pub(super) raw: String,
}

impl Rows {
    /// The rows as the chunk that begins at `start` and ends at `place`; none
    /// without rows.
    pub(super) fn chunk(self, table: &str, start: Position, place: String) -> Option<Chunk> {
        if self.rows.is_empty() {
            return None;
        }
        let end = Position { ordinal: start.ordinal + self.rows.len() as u64, place };
        let mut origins = RowOrigins {
            table: table.to_owned(),
            before: start.ordinal,
            keys: Vec::with_capacity(self.rows.len()),
            batch: self.batch.clone(),
            ordinals: Vec::with_capacity(self.batch.num_rows()),
            failed: BTreeMap::new(),
        };
        let mut failures = Vec::new();
        for (row, ordinal) in self.rows.into_iter().zip(start.ordinal + 1..) {
            origins.keys.push(row.key);
            match row.failed {
                None => origins.ordinals.push(ordinal),
                Some(failed) => {
                    let Failed { fault, raw } = *failed;
                    failures.push(Failure { ordinal, stage: Stage::Parse, fault });
                    origins.failed.insert(ordinal, raw);
                }
            }
        }
        let ordinals = origins.ordinals.clone();
        let items = Items { batch: self.batch, ordinals, origins: Arc::new(origins) };
        Some(Chunk { start, end, items, failures })
    }
}
