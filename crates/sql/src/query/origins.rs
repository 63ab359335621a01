//! Where the items of a chunk came from: rows of the result.

use std::sync::Arc;

use arrow_array::RecordBatch;
use kiln_core::{Origin, Origins, cells_as_json};

/// The rows of a chunk; each is an item.
#[derive(Debug)]
pub(super) struct RowOrigins {
    pub(super) source: Arc<str>,
    /// The last ordinal before the chunk.
    pub(super) before: u64,
    pub(super) batch: RecordBatch,
}

impl Origins for RowOrigins {
    fn source(&self, _: u64) -> &str {
        &self.source
    }

    fn line(&self, _: u64) -> Option<u64> {
        None
    }

    fn origin(&self, ordinal: u64) -> Origin {
        let row = ordinal.checked_sub(self.before + 1).and_then(|n| usize::try_from(n).ok());
        let Some(row) = row.filter(|row| *row < self.batch.num_rows()) else {
            return Origin::default();
        };
        Origin {
            source: self.source.to_string(),
            key: Some(format!("row {ordinal}")),
            raw: cells_as_json(&self.batch, row).unwrap_or_default(),
            ..Origin::default()
        }
    }
}
