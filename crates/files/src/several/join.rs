//! Chunks of several files to one.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;
use kiln_core::{Chunk, Failure, Fault, Items, Origin, Origins, Result};

use super::place::Place;

/// A chunk of one file, as a part of one of all files.
pub(super) struct Part {
    /// Ordinals of all files: the last one before it, and its last one.
    pub(super) before: u64,
    pub(super) last: u64,
    /// Where it ends.
    pub(super) place: Place,
    batch: RecordBatch,
    ordinals: Vec<u64>,
    failures: Vec<Failure>,
    origins: Arc<dyn Origins>,
}

impl Part {
    /// The chunk, its columns in the order of the whole.
    pub(super) fn new(chunk: Chunk, place: Place, columns: Option<&[usize]>) -> Result<Self> {
        let Items { batch, mut ordinals, origins } = chunk.items;
        let batch = match columns {
            None => batch,
            Some(columns) => batch.project(columns).map_err(no_batch)?,
        };
        let first = place.first;
        ordinals.iter_mut().for_each(|o| *o += first);
        let mut failures = chunk.failures;
        failures.iter_mut().for_each(|f| f.ordinal += first);
        let (before, last) = (first + chunk.start.ordinal, first + chunk.end.ordinal);
        Ok(Self { before, last, place, batch, ordinals, failures, origins })
    }

    /// About as many bytes as it holds.
    pub(super) fn bytes(&self) -> usize {
        self.batch.get_array_memory_size()
    }
}

/// The parts as one; they follow each other.
pub(super) fn join(parts: Vec<Part>, schema: &SchemaRef) -> Result<(Items, Vec<Failure>)> {
    let batch = match parts.as_slice() {
        [one] => RecordBatch::try_new(Arc::clone(schema), one.batch.columns().to_vec()),
        all => concat_batches(schema, all.iter().map(|part| &part.batch)),
    };
    let batch = batch.map_err(no_batch)?;
    let mut ordinals = Vec::with_capacity(batch.num_rows());
    let mut failures = Vec::new();
    let mut origins = Vec::with_capacity(parts.len());
    for part in parts {
        ordinals.extend(part.ordinals);
        failures.extend(part.failures);
        let of = OfFile { last: part.last, first: part.place.first, origins: part.origins };
        origins.push(of);
    }
    let items = Items { batch, ordinals, origins: Arc::new(JoinedOrigins(origins)) };
    Ok((items, failures))
}

fn no_batch(error: ArrowError) -> Fault {
    Fault::bug(format!("items of several files are no batch: {error}"))
}

/// Where items of several files came from.
#[derive(Debug)]
struct JoinedOrigins(Vec<OfFile>);

#[derive(Debug)]
struct OfFile {
    /// The last ordinal, of all files, that is the file's.
    last: u64,
    /// Items before the file.
    first: u64,
    origins: Arc<dyn Origins>,
}

impl JoinedOrigins {
    /// The origins of the file that an item is of, and its ordinal there.
    fn of(&self, ordinal: u64) -> Option<(&dyn Origins, u64)> {
        let file = self.0.get(self.0.partition_point(|f| f.last < ordinal))?;
        Some((file.origins.as_ref(), ordinal.checked_sub(file.first)?))
    }
}

impl Origins for JoinedOrigins {
    fn source(&self, ordinal: u64) -> &str {
        self.of(ordinal).map_or("", |(origins, ordinal)| origins.source(ordinal))
    }

    fn line(&self, ordinal: u64) -> Option<u64> {
        self.of(ordinal).and_then(|(origins, ordinal)| origins.line(ordinal))
    }

    fn origin(&self, ordinal: u64) -> Origin {
        self.of(ordinal).map(|(origins, ordinal)| origins.origin(ordinal)).unwrap_or_default()
    }
}
