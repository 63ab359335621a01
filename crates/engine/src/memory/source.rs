//! Items that are in memory already.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use kiln_core::{
    Chunk, ChunkLimits, Fault, Fingerprint, Items, Position, Progress, Result, RowOrigins, Source,
};

/// A batch as a source: its rows are the items.
#[derive(Debug, Clone)]
pub struct MemorySource {
    name: String,
    batch: RecordBatch,
    at: usize,
}

impl MemorySource {
    /// A source of this name with the rows of a batch.
    pub fn new(name: impl Into<String>, batch: RecordBatch) -> Self {
        Self { name: name.into(), batch, at: 0 }
    }

    fn position(&self) -> Position {
        let place = if self.at == 0 { String::new() } else { self.at.to_string() };
        Position { ordinal: self.at as u64, place }
    }
}

#[async_trait]
impl Source for MemorySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        self.batch.schema()
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::default()
            .with("size", self.batch.num_rows())
            .with("columns", self.batch.schema())
    }

    async fn seek(&mut self, position: &Position) -> Result<()> {
        let at = if position.place.is_empty() { Some(0) } else { position.place.parse().ok() };
        match at.filter(|at| *at <= self.batch.num_rows() && *at as u64 == position.ordinal) {
            Some(at) => {
                self.at = at;
                Ok(())
            }
            None => Err(Fault::config(format!("{position:?} is no position in {}", self.name))),
        }
    }

    async fn next(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        let left = self.batch.num_rows() - self.at;
        let len = if limits.items == 0 { left } else { left.min(limits.items) };
        if len == 0 {
            return Ok(None);
        }
        let start = self.position();
        let batch = self.batch.slice(self.at, len);
        self.at += len;
        let origins = Arc::new(RowOrigins {
            source: self.name.as_str().into(),
            batch: batch.clone(),
            before: start.ordinal,
        });
        let ordinals = (start.ordinal + 1..=start.ordinal + len as u64).collect();
        let items = Items { batch, ordinals, origins };
        Ok(Some(Chunk { start, end: self.position(), items, failures: Vec::new() }))
    }

    fn progress(&self) -> Progress {
        Progress { done: self.at as u64, total: Some(self.batch.num_rows() as u64) }
    }
}
