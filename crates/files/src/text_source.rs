//! What all kinds of text files have in common as a source: chunks, positions,
//! and where each record came from.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use kiln_core::{
    Chunk, ChunkLimits, Failure, Fault, Fingerprint, Items, Position, Progress, Result, Stage,
};

use crate::origin::FileOrigins;
use crate::{Compression, Encoding};

/// A chunk is closed at this size whatever its limits are: an Arrow column
/// holds less than 2 GiB of text, and a record at most 512 MiB.
pub(crate) const MOST_CHUNK_BYTES: usize = 1 << 30;

/// What is kept of a record that is too long.
pub(crate) const KEPT: usize = 16 << 10;

/// The longest record that may be allowed.
const MOST_RECORD_BYTES: usize = 512 << 20;

/// Refuses a limit of a record's length that can't be kept.
pub(crate) fn check_record_limit(bytes: usize) -> Result<()> {
    if (1..=MOST_RECORD_BYTES).contains(&bytes) {
        return Ok(());
    }
    Err(Fault::config(format!("a record may be 1 to {MOST_RECORD_BYTES} bytes long, not {bytes}")))
}

/// How the text of a file is declared to be stored, in words: a part of the
/// layout that positions depend on.
pub(crate) fn of_text(compression: Option<Compression>, encoding: Option<Encoding>) -> String {
    let compression = compression.map(|c| format!(" compression {c}")).unwrap_or_default();
    compression + &encoding.map(|e| format!(" encoding {e}")).unwrap_or_default()
}

/// A place in the content of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Bytes before it, of the content as UTF-8.
    pub(crate) byte: u64,
    /// Its line, counted from 1.
    pub(crate) line: u64,
}

impl Place {
    /// `byte=12345;line=100`
    fn written(self) -> String {
        format!("byte={};line={}", self.byte, self.line)
    }

    /// Reads what was written exactly so.
    fn parse(text: &str) -> Option<Self> {
        let (byte, line) = text.strip_prefix("byte=")?.split_once(";line=")?;
        let place = Self { byte: byte.parse().ok()?, line: line.parse().ok()? };
        let is_possible = place.byte.max(place.line) <= Position::MOST;
        (is_possible && place.written() == text).then_some(place)
    }
}

/// The records of one kind of file, read one by one into columns.
pub(crate) trait Reader: Send {
    /// Reads a record, if there is one left: where it lies goes to `origins`,
    /// its values to the columns. The inner error is the record's own; it adds
    /// nothing to the columns.
    fn next(&mut self, origins: &mut FileOrigins) -> Result<Option<Result<()>>>;

    /// The records that were read as a batch; the columns are empty then.
    fn finish(&mut self) -> Result<RecordBatch>;

    /// Goes to where a record ended; the columns are empty then.
    fn seek(&mut self, place: Place) -> Result<()>;

    /// Where the last record ended.
    fn place(&self) -> Place;

    /// How far the file was read, in bytes of the file.
    fn progress(&self) -> Progress;
}

/// A file of text as a source.
pub(crate) struct TextSource<R> {
    name: Arc<str>,
    schema: SchemaRef,
    fingerprint: Fingerprint,
    /// Where the first record begins.
    start: Place,
    reader: R,
    position: Position,
    /// Whether an error came between, so that records may have been lost.
    interrupted: bool,
}

impl<R: Reader> TextSource<R> {
    /// The source of a reader that stands at the first record.
    pub(crate) fn new(name: &str, schema: SchemaRef, fingerprint: Fingerprint, reader: R) -> Self {
        let (start, position) = (reader.place(), Position::default());
        Self { name: name.into(), schema, fingerprint, start, reader, position, interrupted: false }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    pub(crate) fn progress(&self) -> Progress {
        self.reader.progress()
    }

    pub(crate) fn seek(&mut self, position: &Position) -> Result<()> {
        self.interrupted = true;
        let place = match Place::parse(&position.place) {
            _ if *position == Position::default() => self.start,
            Some(place)
                if place.byte >= self.start.byte
                    && place.line >= self.start.line
                    && (1..=Position::MOST).contains(&position.ordinal) =>
            {
                place
            }
            _ => {
                return Err(Fault::config(format!(
                    "{}: {:?} behind item {} is no position in this file",
                    self.name, position.place, position.ordinal
                )));
            }
        };
        self.reader.seek(place)?;
        self.position = position.clone();
        self.interrupted = false;
        Ok(())
    }

    pub(crate) fn next(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        if self.interrupted {
            return Err(Fault::bug(format!("{} was read on behind an error", self.name)));
        }
        self.interrupted = true;
        let chunk = self.read(limits)?;
        self.interrupted = false;
        Ok(chunk)
    }

    fn read(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        let before = self.position.ordinal;
        let mut origins = FileOrigins::new(Arc::clone(&self.name), before);
        let mut ordinals = Vec::new();
        let mut failures = Vec::new();
        let mut full = Full::new(limits, self.reader.place().byte);
        while let Some(record) = self.reader.next(&mut origins)? {
            let ordinal = before + origins.len() as u64;
            match record {
                Ok(()) => ordinals.push(ordinal),
                Err(fault) => failures.push(Failure { ordinal, stage: Stage::Parse, fault }),
            }
            if full.reached(&origins, self.reader.place().byte) {
                break;
            }
        }
        if origins.len() == 0 {
            return Ok(None);
        }
        let ordinal = before + origins.len() as u64;
        let end = Position { ordinal, place: self.reader.place().written() };
        let items = Items { batch: self.reader.finish()?, ordinals, origins: Arc::new(origins) };
        let start = std::mem::replace(&mut self.position, end.clone());
        Ok(Some(Chunk { start, end, items, failures }))
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

/// Makes a public type a source by the [`TextSource`] in its first field.
macro_rules! source_of_text {
    ($source:ty) => {
        #[async_trait::async_trait]
        impl kiln_core::Source for $source {
            fn name(&self) -> &str {
                self.0.name()
            }

            fn schema(&self) -> arrow_schema::SchemaRef {
                self.0.schema()
            }

            /// The size and the hash of the file as it was when it was opened,
            /// its columns, and the options that positions depend on. Above 1
            /// GiB the hash is taken of samples.
            fn fingerprint(&self) -> kiln_core::Fingerprint {
                self.0.fingerprint()
            }

            async fn seek(&mut self, position: &kiln_core::Position) -> kiln_core::Result<()> {
                self.0.seek(position)
            }

            async fn next(
                &mut self,
                limits: &kiln_core::ChunkLimits,
            ) -> kiln_core::Result<Option<kiln_core::Chunk>> {
                self.0.next(limits)
            }

            fn progress(&self) -> kiln_core::Progress {
                self.0.progress()
            }
        }
    };
}
pub(crate) use source_of_text;
