//! The rows of one chunk while it is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use kiln_core::{Cell, Chunk, ChunkLimits, Failure, Fault, Items, Position, Result, Stage};

use super::fill::Filler;
use super::origins::{RowOrigins, json};
use super::place::{KeyValue, write_place};

/// A value that its column can't be read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The value, as text.
    pub(crate) raw: String,
    /// What is wrong with it: `is no date`.
    pub(crate) why: String,
}

/// Rows read so far, each an item or a failure.
#[derive(Debug)]
pub(crate) struct Page {
    table: String,
    schema: SchemaRef,
    limits: ChunkLimits,
    start: Position,
    began: Option<Instant>,
    fillers: Vec<Filler>,
    ordinals: Vec<u64>,
    keys: Vec<Vec<KeyValue>>,
    failures: Vec<Failure>,
    failed: BTreeMap<u64, String>,
    bytes: usize,
}

impl Page {
    /// An empty page behind `start`.
    pub(super) fn new(
        table: &str,
        schema: &SchemaRef,
        limits: ChunkLimits,
        start: Position,
    ) -> Result<Self> {
        let fillers = schema.fields().iter().map(|f| Filler::new(f.data_type()));
        Ok(Self {
            table: table.to_owned(),
            schema: Arc::clone(schema),
            limits,
            start,
            began: None,
            fillers: fillers.collect::<Result<_>>()?,
            ordinals: Vec::new(),
            keys: Vec::new(),
            failures: Vec::new(),
            failed: BTreeMap::new(),
            bytes: 0,
        })
    }

    /// Adds the next row: its key, and what was read in each column.
    pub(crate) fn push(
        &mut self,
        key: Vec<KeyValue>,
        cells: &[Result<Cell<'_>, Misfit>],
    ) -> Result<()> {
        self.began.get_or_insert_with(Instant::now);
        let ordinal = self.start.ordinal + self.keys.len() as u64 + 1;
        self.keys.push(key);
        self.bytes += cells.iter().map(size).sum::<usize>();
        match cells.iter().zip(self.schema.fields()).find_map(|(c, f)| Some((c.as_ref().err()?, f)))
        {
            None => {
                for (filler, cell) in self.fillers.iter_mut().zip(cells.iter().flatten()) {
                    filler.push(*cell)?;
                }
                self.ordinals.push(ordinal);
            }
            Some((misfit, field)) => {
                let fault = Fault::item(format!("{}.{} {}", self.table, field.name(), misfit.why))
                    .with_code("type")
                    .with_column(field.name());
                self.failures.push(Failure { ordinal, stage: Stage::Parse, fault });
                self.failed.insert(ordinal, self.raw(cells));
            }
        }
        Ok(())
    }

    fn raw(&self, cells: &[Result<Cell<'_>, Misfit>]) -> String {
        let names = self.schema.fields().iter().map(|f| f.name().as_str());
        let cells = cells.iter().map(|cell| match cell {
            Ok(cell) => *cell,
            Err(misfit) => Cell::Text(&misfit.raw),
        });
        json(names.zip(cells))
    }

    /// Whether a limit is reached.
    pub(crate) fn is_full(&self) -> bool {
        let ChunkLimits { items, bytes, age } = self.limits;
        (items > 0 && self.rows() >= items)
            || (bytes > 0 && self.bytes >= bytes)
            || (!age.is_zero() && self.began.is_some_and(|began| began.elapsed() >= age))
    }

    /// How many rows it has.
    pub(super) fn rows(&self) -> usize {
        self.keys.len()
    }

    /// How many bytes they have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The key of the last row.
    pub(super) fn last(&self) -> Option<&[KeyValue]> {
        self.keys.last().map(Vec::as_slice)
    }

    /// The page as a chunk; none if it is empty.
    pub(super) fn finish(self) -> Result<Option<Chunk>> {
        let Some(last) = self.last() else { return Ok(None) };
        let place = write_place(last);
        let end = Position { ordinal: self.start.ordinal + self.keys.len() as u64, place };
        let columns = self.fillers.into_iter().map(Filler::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.ordinals.len()));
        let batch = RecordBatch::try_new_with_options(self.schema, columns, &options)
            .map_err(|e| Fault::bug(format!("{}: its rows make no batch: {e}", self.table)))?;
        let origins = RowOrigins {
            table: self.table,
            before: self.start.ordinal,
            keys: self.keys,
            batch: batch.clone(),
            ordinals: self.ordinals.clone(),
            failed: self.failed,
        };
        let items = Items { batch, ordinals: self.ordinals, origins: Arc::new(origins) };
        Ok(Some(Chunk { start: self.start, end, items, failures: self.failures }))
    }
}

/// The bytes of a value, about.
fn size(cell: &Result<Cell<'_>, Misfit>) -> usize {
    match cell {
        Ok(Cell::Text(text)) => text.len(),
        Ok(Cell::Bytes(bytes)) => bytes.len(),
        Ok(_) => 8,
        Err(misfit) => misfit.raw.len(),
    }
}
