//! Origins of items that are rows of a batch, and have no text of their own.

use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::{Origin, Origins, cells_as_json};

/// The rows of a chunk; each is an item, known by its number in the source. Its
/// record is what [`cells_as_json`] makes of the row.
#[derive(Debug)]
pub struct RowOrigins {
    /// The file or table.
    pub source: Arc<str>,
    /// The last ordinal before the chunk.
    pub before: u64,
    /// Its rows.
    pub batch: RecordBatch,
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
