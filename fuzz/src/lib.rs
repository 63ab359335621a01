//! What the targets share: a file to write the input to, and the law that every
//! source of a file keeps: it gives the same items, however it is cut into
//! chunks and wherever reading begins.

use std::path::{Path, PathBuf};

use kiln_core::{CellColumn, Chunk, ChunkLimits, Position, Result, Source};
use tokio::runtime::{Builder, Runtime};

/// A folder in memory, where the system has one, and a runtime.
pub struct Bench {
    folder: tempfile::TempDir,
    runtime: Runtime,
}

impl Default for Bench {
    fn default() -> Self {
        let memory = Path::new("/dev/shm");
        let below = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Self {
            folder: tempfile::tempdir_in(below).expect("a folder"),
            runtime: Builder::new_current_thread().build().expect("a runtime"),
        }
    }
}

impl Bench {
    /// A file with this content.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for a future.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Holds a source to the law. `open` gives a fresh one; a file that none can
    /// be made of, or that can't be read on, is no finding, but must be so each
    /// time.
    pub fn law<S: Source>(&self, open: impl Fn() -> Result<S>, items: usize) {
        let Ok(mut source) = open() else {
            assert!(open().is_err(), "it could be opened the second time");
            return;
        };
        let (whole, _, error) = self.rest(&mut source, usize::MAX);
        let ordinals = whole.iter().map(|record| record.0);
        assert!(ordinals.eq(1..=whole.len() as u64), "ordinals are not 1, 2, 3, …");

        let (cut, places, cut_error) = self.rest(&mut fresh(&open), items);
        assert_eq!(cut_error, error, "in chunks of {items}");
        agree(&whole, &cut, error.is_none());
        for place in places {
            let mut source = fresh(&open);
            self.wait(source.seek(&place)).expect("its own position");
            let (rest, _, rest_error) = self.rest(&mut source, items + 1);
            assert_eq!(rest_error, error, "from {place:?}");
            agree(&cut[place.ordinal as usize..], &rest, error.is_none());
        }
    }

    /// All that a source still gives, the places between its chunks, and the
    /// error that it ended with.
    fn rest(
        &self,
        source: &mut impl Source,
        items: usize,
    ) -> (Vec<Record>, Vec<Position>, Option<String>) {
        let limits = ChunkLimits { items, bytes: 0, ..ChunkLimits::default() };
        let (mut records, mut places) = (Vec::new(), Vec::new());
        loop {
            match self.wait(source.next(&limits)) {
                Ok(Some(chunk)) => {
                    records.extend(records_of(&chunk));
                    places.push(chunk.end);
                }
                Ok(None) => return (records, places, None),
                Err(fault) => return (records, places, Some(fault.to_string())),
            }
        }
    }
}

/// The same records; where a file can't be read on, the chunk that would have held
/// that place is not given, so one may end before the other.
#[track_caller]
fn agree(one: &[Record], other: &[Record], to_the_end: bool) {
    let both = one.len().min(other.len());
    assert_eq!(one[..both], other[..both]);
    assert!(!to_the_end || one.len() == other.len(), "{} and {}", one.len(), other.len());
}

fn fresh<S: Source>(open: impl Fn() -> Result<S>) -> S {
    open().expect("it could be opened before")
}

/// An item or a failure: its ordinal, its line, what it says.
type Record = (u64, Option<u64>, String);

fn records_of(chunk: &Chunk) -> Vec<Record> {
    let items = &chunk.items;
    assert!(chunk.start.ordinal < chunk.end.ordinal, "an empty chunk");
    let columns = CellColumn::of(&items.batch).expect("columns of known types");
    let mut records: Vec<Record> = Vec::with_capacity(items.len() + chunk.failures.len());
    for (row, ordinal) in items.ordinals.iter().enumerate() {
        let cells: Vec<_> = columns.iter().map(|column| column.cell(row)).collect();
        records.push((*ordinal, items.origins.line(*ordinal), format!("{cells:?}")));
    }
    for failure in &chunk.failures {
        let origin = items.origins.origin(failure.ordinal);
        records.push((failure.ordinal, origin.line, format!("{} {}", failure.fault, origin.raw)));
    }
    records.sort();
    records
}
