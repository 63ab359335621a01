//! The rows of one page while it is read.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use kiln_core::{Cell, ChunkLimits, Fault, Result};

use super::fill::Filler;
use super::origins::json;
use super::place::Key;
use super::rows::{Failed, Row, Rows};

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
    began: Option<Instant>,
    fillers: Vec<Filler>,
    rows: Vec<Row>,
    bytes: usize,
}

impl Page {
    /// An empty page.
    pub(super) fn new(table: &str, schema: &SchemaRef, limits: ChunkLimits) -> Result<Self> {
        let fillers = schema.fields().iter().map(|f| Filler::new(f.data_type()));
        Ok(Self {
            table: table.to_owned(),
            schema: Arc::clone(schema),
            limits,
            began: None,
            fillers: fillers.collect::<Result<_>>()?,
            rows: Vec::new(),
            bytes: 0,
        })
    }

    /// Adds the next row: its key, and what was read in each column.
    pub(crate) fn push(&mut self, key: Key, cells: &[Result<Cell<'_>, Misfit>]) -> Result<()> {
        self.began.get_or_insert_with(Instant::now);
        let bytes = cells.iter().map(size).sum::<usize>();
        self.bytes += bytes;
        let misfit =
            cells.iter().zip(self.schema.fields()).find_map(|(c, f)| Some((c.as_ref().err()?, f)));
        let failed = match misfit {
            None => {
                for (filler, cell) in self.fillers.iter_mut().zip(cells.iter().flatten()) {
                    filler.push(*cell)?;
                }
                None
            }
            Some((misfit, field)) => {
                let fault = Fault::item(format!("{}.{} {}", self.table, field.name(), misfit.why))
                    .with_code("type")
                    .with_column(field.name());
                Some(Box::new(Failed { fault, raw: self.raw(cells) }))
            }
        };
        self.rows.push(Row { key, bytes, failed });
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
        is_full(&self.limits, self.rows.len(), self.bytes, self.began)
    }

    /// How many rows it has.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// How many bytes they have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The key of the last row.
    pub(super) fn last(&self) -> Option<&Key> {
        self.rows.last().map(|row| &row.key)
    }

    /// What was read.
    pub(super) fn finish(self) -> Result<Rows> {
        let items = self.rows.iter().filter(|row| row.failed.is_none()).count();
        let columns = self.fillers.into_iter().map(Filler::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(items));
        let batch = RecordBatch::try_new_with_options(self.schema, columns, &options)
            .map_err(|e| Fault::bug(format!("{}: its rows make no batch: {e}", self.table)))?;
        Ok(Rows { batch, rows: self.rows })
    }
}

/// Whether a limit is reached by so many rows and bytes since the first of them.
pub(super) fn is_full(
    limits: &ChunkLimits,
    rows: usize,
    bytes: usize,
    began: Option<Instant>,
) -> bool {
    let ChunkLimits { items, bytes: most, age } = *limits;
    (items > 0 && rows >= items)
        || (most > 0 && bytes >= most)
        || (!age.is_zero() && began.is_some_and(|began| began.elapsed() >= age))
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
