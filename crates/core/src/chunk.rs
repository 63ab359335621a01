//! What a source hands over at a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;

use crate::{Failure, Fault, Letters, Position, Result};

/// Where an item came from, for the person who has to find it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The file or table.
    pub source: String,
    /// The line on which the record starts, counted from 1.
    pub line: Option<u64>,
    /// The byte at which the record starts, counted from 0 in the
    /// uncompressed input.
    pub offset: Option<u64>,
    /// The key, where the source is a table.
    pub key: Option<String>,
    /// The record as it was read, without its line end.
    pub raw: String,
}

/// Tells where the items of one chunk came from.
///
/// Asked for failing items, and for every item by a mapping that uses `_line` or
/// `_file`; so [`line`](Origins::line) and [`source`](Origins::source) must be
/// cheap and [`origin`](Origins::origin) may build its text when called. For an
/// ordinal that is not of the chunk there is no line and no text.
pub trait Origins: fmt::Debug + Send + Sync {
    /// The file or table that an item comes from.
    fn source(&self, ordinal: u64) -> &str;
    /// The line on which an item starts.
    fn line(&self, ordinal: u64) -> Option<u64>;
    /// All there is to know of an item's origin.
    fn origin(&self, ordinal: u64) -> Origin;
    /// Which dead letters of an earlier run the items are, where they are any:
    /// they are redriven when the items are settled.
    fn letters(&self) -> Option<&Letters> {
        None
    }
}

/// The origins of items that have none, such as values made by a test.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoOrigins;

impl Origins for NoOrigins {
    fn source(&self, _: u64) -> &str {
        ""
    }
    fn line(&self, _: u64) -> Option<u64> {
        None
    }
    fn origin(&self, _: u64) -> Origin {
        Origin::default()
    }
}

/// Items in order: a batch, and for each of its rows the ordinal of the item.
///
/// Ordinals never fall from one row to the next; they may repeat where one item
/// gave several rows, and skip where items were taken out.
#[derive(Debug, Clone)]
pub struct Items {
    /// One row an item.
    pub batch: RecordBatch,
    /// The ordinal of each row.
    pub ordinals: Vec<u64>,
    /// Where they came from.
    pub origins: Arc<dyn Origins>,
}

impl Items {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ordinals.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ordinals.is_empty()
    }

    /// The rows where `keep` is true.
    ///
    /// # Errors
    /// A [`Kind::Bug`](crate::Kind::Bug) if `keep` is not as long as the items.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        let batch = filter_record_batch(&self.batch, keep)
            .map_err(|e| Fault::bug(format!("items can't be filtered: {e}")))?;
        let ordinals = self
            .ordinals
            .iter()
            .enumerate()
            .filter(|(i, _)| keep.value(*i) && arrow_array::Array::is_valid(keep, *i))
            .map(|(_, o)| *o)
            .collect();
        Ok(Self { batch, ordinals, origins: Arc::clone(&self.origins) })
    }

    /// The rows from `from`, `len` of them, without copying.
    #[must_use]
    pub fn slice(&self, from: usize, len: usize) -> Self {
        Self {
            batch: self.batch.slice(from, len),
            ordinals: self.ordinals[from..from + len].to_vec(),
            origins: Arc::clone(&self.origins),
        }
    }
}

/// A stretch of the source: its items, the records that are none, and where it
/// lies.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Where the chunk begins; the end of the chunk before.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
    /// What was read.
    pub items: Items,
    /// Records that could not be read, in order. Together with the ordinals of
    /// `items` they are all of (start, end], each once.
    pub failures: Vec<Failure>,
}

/// When a chunk is full. A limit that is zero is switched off; one that is
/// reached by an item closes the chunk behind that item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Records, failures included.
    pub items: usize,
    /// Bytes of input.
    pub bytes: usize,
    /// Time since the chunk's first item was read.
    pub age: Duration,
}

impl ChunkLimits {
    /// The items in a chunk if nothing else is said. Measured: 500 to 1,000
    /// cost 30 to 50 % more time (one disk flush a transaction), 10,000 gain
    /// another tenth.
    pub const DEFAULT_ITEMS: usize = 5_000;
    /// The bytes of a chunk if nothing else is said: it bounds the memory of a
    /// run whose items are large.
    pub const DEFAULT_BYTES: usize = 8 << 20;
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self { items: Self::DEFAULT_ITEMS, bytes: Self::DEFAULT_BYTES, age: Duration::ZERO }
    }
}
