//! What the tests of this crate share.

use std::path::{Path, PathBuf};

use kiln_core::{CellColumn, Chunk, ChunkLimits, Fault, Position, Source};
use kiln_files::{CsvOptions, CsvSource, FixedOptions, FixedSource, JsonOptions, JsonSource};
use tempfile::TempDir;

#[allow(unreachable_pub, reason = "it is public where it lives")]
#[path = "../../../testkit/src/data.rs"]
mod data;
pub(crate) use data::shared_data;

/// A record as it came out of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) ordinal: u64,
    pub(crate) line: u64,
    pub(crate) offset: u64,
    pub(crate) raw: String,
    /// The values (`None`: NULL), or code and message.
    pub(crate) values: Result<Vec<Option<String>>, (String, String)>,
}

/// A file that lives as long as the value does.
pub(crate) struct Input {
    _folder: TempDir,
    pub(crate) path: PathBuf,
}

impl Input {
    pub(crate) fn new(content: impl AsRef<[u8]>) -> Self {
        Self::named("input.csv", content)
    }

    pub(crate) fn named(name: &str, content: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        Self { _folder: folder, path }
    }

    pub(crate) fn json(&self, options: &JsonOptions) -> JsonSource {
        JsonSource::open(&self.path, options).unwrap()
    }

    pub(crate) fn fixed(&self, options: &FixedOptions) -> FixedSource {
        FixedSource::open(&self.path, options).unwrap()
    }

    pub(crate) fn open(&self, options: &CsvOptions) -> CsvSource {
        CsvSource::open(&self.path, options).unwrap()
    }

    pub(crate) fn fault(&self, options: &CsvOptions) -> Fault {
        open_fault(&self.path, options)
    }

    pub(crate) fn read(&self, options: &CsvOptions) -> Vec<Read> {
        read_all(&mut self.open(options))
    }
}

pub(crate) fn open_fault(path: &Path, options: &CsvOptions) -> Fault {
    match CsvSource::open(path, options) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(fault) => fault,
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) fn items(items: usize) -> ChunkLimits {
    ChunkLimits { items, ..ChunkLimits::default() }
}

pub(crate) fn next(source: &mut (impl Source + ?Sized), limits: &ChunkLimits) -> Option<Chunk> {
    block_on(source.next(limits)).unwrap()
}

/// All that is left, in chunks of the default size.
pub(crate) fn read_all(source: &mut (impl Source + ?Sized)) -> Vec<Read> {
    let mut all = Vec::new();
    while let Some(chunk) = next(source, &ChunkLimits::default()) {
        all.extend(records(&chunk));
    }
    all
}

/// The records of a chunk in order; checks that each ordinal is there once.
pub(crate) fn records(chunk: &Chunk) -> Vec<Read> {
    let columns = CellColumn::of(&chunk.items.batch).unwrap();
    assert_eq!(chunk.items.batch.num_rows(), chunk.items.len());
    let row = |row: usize| {
        let text = |c: &CellColumn<'_>| {
            let cell = c.cell(row);
            (!cell.is_null()).then(|| cell.to_string())
        };
        Ok(columns.iter().map(text).collect())
    };
    let good = chunk.items.ordinals.iter().enumerate().map(|(i, o)| (*o, row(i)));
    let bad = chunk.failures.iter().map(|f| {
        assert_eq!(f.stage, kiln_core::Stage::Parse);
        (f.ordinal, Err((f.fault.code().unwrap().to_owned(), f.fault.message().to_owned())))
    });
    let mut all: Vec<_> = good.chain(bad).collect();
    all.sort_by_key(|r| r.0);
    let ordinals: Vec<u64> = all.iter().map(|r| r.0).collect();
    let expected: Vec<u64> = (chunk.start.ordinal + 1..=chunk.end.ordinal).collect();
    assert_eq!(ordinals, expected, "each ordinal once");
    let place = |(ordinal, values)| {
        let origin = chunk.items.origins.origin(ordinal);
        assert_eq!(chunk.items.origins.line(ordinal), origin.line);
        let (line, offset) = (origin.line.unwrap(), origin.offset.unwrap());
        Read { ordinal, line, offset, raw: origin.raw, values }
    };
    all.into_iter().map(place).collect()
}

pub(crate) fn seek(source: &mut (impl Source + ?Sized), position: &Position) -> Result<(), Fault> {
    block_on(source.seek(position))
}

/// The values of the good records, NULL as `\N`.
pub(crate) fn rows(all: &[Read]) -> Vec<Vec<String>> {
    let show = |v: &Option<String>| v.clone().unwrap_or_else(|| r"\N".to_owned());
    all.iter().filter_map(|r| Some(r.values.as_ref().ok()?.iter().map(show).collect())).collect()
}

/// The bad records: line, code, raw text.
pub(crate) fn bad(all: &[Read]) -> Vec<(u64, &str, &str)> {
    all.iter()
        .filter_map(|r| Some((r.line, r.values.as_ref().err()?.0.as_str(), r.raw.as_str())))
        .collect()
}
