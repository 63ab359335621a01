//! Delimited text as a source.

mod columns;
mod header;
mod options;
mod records;
mod scan;
mod window;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use kiln_core::{
    Chunk, ChunkLimits, Failure, Fault, Fingerprint, Items, Position, Progress, Result, Source,
    Stage,
};

use self::columns::Columns;
use self::header::Layout;
pub use self::options::{Column, CsvOptions, Header, Ragged};
use self::records::Records;
use crate::fingerprint::content_hash;
use crate::input::Compression;
use crate::origin::FileOrigins;

/// A chunk is closed at this size whatever its limits are: an Arrow column
/// holds less than 2 GiB of text, and a record at most 512 MiB.
const MOST_CHUNK_BYTES: usize = 1 << 30;

/// A file of delimited text (CSV, TSV), in UTF-8, plain or compressed with gzip
/// or Zstandard.
///
/// * Lines end with LF or CRLF; a lone CR is data. A byte order mark is
///   skipped. Blank lines are no records, but count as lines.
/// * Inside quotes, delimiters and line ends are text; inside an unquoted field
///   a quote is.
/// * A record that can't be read is a [`Failure`] of [`Stage::Parse`] with one
///   of these codes: `quote`, `too_long`, `nul`, `utf8`, `ragged`, `cast`. Of a
///   record with bad quoting, only the first line is given up; the next line is
///   read as a record of its own.
/// * A [`Position`]'s place is `byte=12345;line=100`: where the next record
///   starts in the uncompressed content. Seeking in a plain file is immediate;
///   in a compressed one, everything before the place is inflated again.
///
/// Reading blocks the thread for as long as the disk takes.
pub struct CsvSource {
    name: Arc<str>,
    fingerprint: Fingerprint,
    records: Records,
    layout: Layout,
    columns: Columns,
    position: Position,
    /// Whether an error came between, so that records may have been lost.
    interrupted: bool,
}

impl CsvSource {
    /// Opens a file: reads it once for its [fingerprint](Source::fingerprint)
    /// and reads its header.
    ///
    /// # Errors
    /// * [`Kind::InputMissing`](kiln_core::Kind::InputMissing): there is no such
    ///   file, or it is a directory.
    /// * [`Kind::NotPermitted`](kiln_core::Kind::NotPermitted): it may not be
    ///   read.
    /// * [`Kind::InputInvalid`](kiln_core::Kind::InputInvalid): it has no usable
    ///   header, is not UTF-8, or is damaged.
    /// * [`Kind::Config`](kiln_core::Kind::Config): options that contradict each
    ///   other or the header.
    pub fn open(path: &Path, options: &CsvOptions) -> Result<Self> {
        options.check()?;
        let (records, layout) = header::read(path, options)?;
        let columns = Columns::new(layout.schema(), &layout.columns, options)?;
        let file = records.file();
        let names: Vec<&str> = layout.columns.iter().map(|c| c.name.as_str()).collect();
        let fingerprint = Fingerprint::default()
            .with("size", file.size)
            .with("content", content_hash(file)?)
            .with("columns", names.join(", "))
            .with("layout", options.layout());
        let file_name = || path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let name = options.name.as_deref().map_or_else(|| file_name().into(), Arc::from);
        let position = Position::default();
        Ok(Self { name, fingerprint, records, layout, columns, position, interrupted: false })
    }

    fn go_to(&mut self, position: &Position) -> Result<()> {
        let (byte, line) = match parse_place(&position.place) {
            _ if *position == Position::default() => (self.layout.offset, self.layout.line),
            Some((byte, line))
                if byte >= self.layout.offset
                    && line >= self.layout.line
                    && position.ordinal > 0 =>
            {
                (byte, line)
            }
            _ => {
                return Err(Fault::config(format!(
                    "{}: {:?} behind item {} is no position in this file",
                    self.name, position.place, position.ordinal
                )));
            }
        };
        self.records.seek(byte, line)?;
        self.columns.clear();
        self.position = position.clone();
        Ok(())
    }

    fn read(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        let before = self.position.ordinal;
        let mut origins = FileOrigins::new(Arc::clone(&self.name), before);
        let mut ordinals = Vec::new();
        let mut failures = Vec::new();
        let mut full = Full::new(limits, self.records.offset());
        while let Some(record) = self.records.next()? {
            origins.push(record.offset, record.line, record.raw);
            let ordinal = before + origins.len() as u64;
            let pushed = match record.fields {
                Ok(fields) => self.columns.push(record.raw, fields),
                Err(problem) => Err(problem.fault()),
            };
            match pushed {
                Ok(()) => ordinals.push(ordinal),
                Err(fault) => failures.push(Failure { ordinal, stage: Stage::Parse, fault }),
            }
            if full.reached(&origins, self.records.offset()) {
                break;
            }
        }
        if origins.len() == 0 {
            return Ok(None);
        }
        let end = Position {
            ordinal: before + origins.len() as u64,
            place: format!("byte={};line={}", self.records.offset(), self.records.line()),
        };
        let items = Items { batch: self.columns.finish()?, ordinals, origins: Arc::new(origins) };
        let start = std::mem::replace(&mut self.position, end.clone());
        Ok(Some(Chunk { start, end, items, failures }))
    }
}

#[async_trait]
impl Source for CsvSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        self.layout.schema()
    }

    /// The size and the hash of the file as it was when it was opened, its
    /// columns, and the options that positions depend on. Above 1 GiB the hash
    /// is taken of samples.
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    async fn seek(&mut self, position: &Position) -> Result<()> {
        self.interrupted = true;
        self.go_to(position)?;
        self.interrupted = false;
        Ok(())
    }

    async fn next(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        if self.interrupted {
            return Err(Fault::bug(format!("{} was read on behind an error", self.name)));
        }
        self.interrupted = true;
        let chunk = self.read(limits)?;
        self.interrupted = false;
        Ok(chunk)
    }

    fn progress(&self) -> Progress {
        let file = self.records.file();
        let done = match file.compression {
            Compression::None => self.records.offset(),
            Compression::Gzip | Compression::Zstd => self.records.stored_bytes(),
        };
        Progress { done, total: Some(file.size) }
    }
}

/// When a chunk is full.
struct Full {
    limits: ChunkLimits,
    start: u64,
    first: Option<Instant>,
}

impl Full {
    fn new(limits: &ChunkLimits, start: u64) -> Self {
        Self { limits: *limits, start, first: None }
    }

    /// Whether it is, now that a record more is read.
    fn reached(&mut self, origins: &FileOrigins, offset: u64) -> bool {
        let ChunkLimits { items, bytes, age } = self.limits;
        items > 0 && origins.len() >= items
            || bytes > 0 && offset - self.start >= bytes as u64
            || origins.bytes() >= MOST_CHUNK_BYTES
            || !age.is_zero() && self.first.get_or_insert_with(Instant::now).elapsed() >= age
    }
}

/// Byte and line of `byte=12345;line=100`, written exactly so.
fn parse_place(place: &str) -> Option<(u64, u64)> {
    let (byte, line) = place.strip_prefix("byte=")?.split_once(";line=")?;
    let place_of = |byte, line| format!("byte={byte};line={line}");
    let (byte, line) = (byte.parse().ok()?, line.parse().ok()?);
    (place_of(byte, line) == place).then_some((byte, line))
}
