//! Parquet as a source.

mod bytes;
mod plain;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use async_trait::async_trait;
use kiln_core::{
    Chunk, ChunkLimits, Fault, Fingerprint, Items, Kind, Position, Progress, Result, RowOrigins,
    Source,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};

use self::bytes::open;
use crate::fingerprint::fingerprint;
use crate::input::InputFile;

/// How many rows are unpacked at a time.
const BATCH: usize = 1_024;

/// How a Parquet file is to be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParquetOptions {
    /// The columns that are read, in this order; `None`: all.
    pub columns: Option<Vec<String>>,
    /// The name of the source as people know it; the file's name if there is
    /// none.
    pub name: Option<String>,
}

/// A Parquet file.
///
/// * Columns that nobody asks for are not read.
/// * Columns have the file's own types: integers of any size, floats, decimals
///   (exact; of more than 38 digits: text), dates, times, timestamps (with
///   `isAdjustedToUTC` they are instants), texts, bytes. A list, a struct or a
///   map is text: JSON, in which decimals, dates and times are texts.
/// * A [`Position`]'s place is `row=12345`. Seeking reads the row group from its
///   start, and no other.
/// * No row fails; a page that can't be unpacked ends the reading with
///   [`Kind::InputInvalid`].
///
/// Reading blocks the thread for as long as the disk takes.
pub struct ParquetSource {
    name: Arc<str>,
    file: InputFile,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    /// For each column, the one of a batch as it is read.
    order: Vec<usize>,
    schema: SchemaRef,
    fingerprint: Fingerprint,
    /// All rows of the file.
    rows: u64,
    reader: Option<ParquetRecordBatchReader>,
    /// What was unpacked and not given yet.
    pending: Option<Rows>,
    position: Position,
    /// Whether an error came between, so that rows may have been lost.
    interrupted: bool,
}

/// Rows as they are in the file.
struct Rows {
    batch: RecordBatch,
    /// About as many bytes as each of them has.
    each: usize,
}

impl ParquetSource {
    /// Opens a file: reads it once for its [fingerprint](Source::fingerprint),
    /// and its footer.
    ///
    /// # Errors
    /// * [`Kind::InputMissing`]: there is no such file, or it is a directory.
    /// * [`Kind::NotPermitted`]: it may not be read.
    /// * [`Kind::InputInvalid`]: it is no Parquet file, or is damaged.
    /// * [`Kind::Config`]: a column that it does not have, or whose type can't be
    ///   read.
    pub fn open(path: &Path, options: &ParquetOptions) -> Result<Self> {
        let file = InputFile::open_stored(path)?;
        // The types are those of Parquet, whatever wrote the file.
        let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata =
            ArrowReaderMetadata::load(&open(&file)?, plain).map_err(|e| damaged(&file, e))?;
        let (order, mask) = projection(&file, &metadata, options)?;
        let read: Schema = metadata.schema().project(&order).map_err(|e| damaged(&file, e))?;
        let schema = Arc::new(plain::schema(&read).map_err(|e| e.at(path.display()))?);
        let fingerprint = fingerprint(&file, &schema, "parquet".to_owned())?;
        let groups = metadata.metadata().row_groups();
        let rows = groups.iter().map(|g| count(g.num_rows())).sum();
        let name = options.name.clone().unwrap_or_else(|| file.name()).into();
        // A batch has its columns in the order of the file.
        let mut in_file = order.clone();
        in_file.sort_unstable();
        let place = |column: &usize| in_file.binary_search(column).unwrap_or_default();
        let order = order.iter().map(place).collect();
        let (reader, pending, position) = (None, None, Position::default());
        let mut source = Self {
            name,
            file,
            metadata,
            mask,
            order,
            schema,
            fingerprint,
            rows,
            reader,
            pending,
            position,
            interrupted: false,
        };
        source.go_to(&Position::default())?;
        Ok(source)
    }

    fn go_to(&mut self, position: &Position) -> Result<()> {
        let row = position.ordinal;
        let at_start = *position == Position::default();
        if !at_start && (row == 0 || row > self.rows || position.place != written(row)) {
            return Err(Fault::config(format!(
                "{}: {:?} behind item {row} is no position in this file",
                self.name, position.place
            )));
        }
        let (groups, offset) = self.groups_from(row);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            open(&self.file)?,
            self.metadata.clone(),
        );
        let reader = builder
            .with_projection(self.mask.clone())
            .with_row_groups(groups)
            .with_offset(offset)
            .with_batch_size(BATCH)
            .build();
        self.reader = Some(reader.map_err(|e| damaged(&self.file, e))?);
        self.pending = None;
        self.position = position.clone();
        Ok(())
    }

    /// The row groups that hold what is behind `row` rows, and how many rows of
    /// the first one are not.
    fn groups_from(&self, row: u64) -> (Vec<usize>, usize) {
        let groups = self.metadata.metadata().row_groups();
        let mut before = 0;
        for (index, group) in groups.iter().enumerate() {
            let rows = count(group.num_rows());
            if row < before + rows {
                let offset = usize::try_from(row - before).unwrap_or(usize::MAX);
                return ((index..groups.len()).collect(), offset);
            }
            before += rows;
        }
        (Vec::new(), 0)
    }

    fn read(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        let began = Instant::now();
        let (mut rows, mut bytes) = (0, 0);
        let mut parts = Vec::new();
        while let Some(Rows { batch, each }) = self.unpack()? {
            let take = fits(limits, rows, bytes, batch.num_rows(), each);
            rows += take;
            bytes += take * each;
            let rest = batch.num_rows() - take;
            self.pending = (rest > 0).then(|| Rows { batch: batch.slice(take, rest), each });
            parts.push(batch.slice(0, take));
            let late = !limits.age.is_zero() && began.elapsed() >= limits.age;
            let many = limits.items > 0 && rows >= limits.items;
            if many || late || rest > 0 || limits.bytes > 0 && bytes >= limits.bytes {
                break;
            }
        }
        let Some(first) = parts.first() else { return Ok(None) };
        let bug = |e| Fault::bug(format!("{}: its rows are no batch: {e}", self.name));
        let batch = concat_batches(&first.schema(), &parts).map_err(bug)?;
        let batch = plain::batch(&batch.project(&self.order).map_err(bug)?, &self.schema)?;
        let before = self.position.ordinal;
        let ordinal = before + rows as u64;
        let end = Position { ordinal, place: written(ordinal) };
        let origins = RowOrigins { source: Arc::clone(&self.name), before, batch: batch.clone() };
        let ordinals = (before + 1..=ordinal).collect();
        let items = Items { batch, ordinals, origins: Arc::new(origins) };
        let start = std::mem::replace(&mut self.position, end.clone());
        Ok(Some(Chunk { start, end, items, failures: Vec::new() }))
    }

    /// The next rows as they are in the file.
    fn unpack(&mut self) -> Result<Option<Rows>> {
        if let Some(pending) = self.pending.take() {
            return Ok(Some(pending));
        }
        let Some(reader) = &mut self.reader else { return Ok(None) };
        loop {
            match reader.next() {
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => {
                    let each = batch.get_array_memory_size() / batch.num_rows();
                    return Ok(Some(Rows { batch, each }));
                }
                Some(Err(e)) => return Err(damaged(&self.file, e)),
                None => return Ok(None),
            }
        }
    }
}

/// How many of `of` rows of that size fit into what the limits leave.
fn fits(limits: &ChunkLimits, rows: usize, bytes: usize, of: usize, each: usize) -> usize {
    let by_items = match limits.items {
        0 => of,
        items => items.saturating_sub(rows),
    };
    let by_bytes = match (limits.bytes, each) {
        (0, _) | (_, 0) => of,
        (most, each) => most.saturating_sub(bytes).div_ceil(each),
    };
    // A row that is larger than the limit is a chunk of its own.
    of.min(by_items).min(by_bytes).max(1)
}

fn written(row: u64) -> String {
    format!("row={row}")
}

/// Parquet counts rows in an `i64`.
fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or_default()
}

fn damaged(file: &InputFile, error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    if let Some(fault) = file.remote.as_ref().and_then(|remote| remote.take_fault()) {
        return fault;
    }
    let message = format!("{} is no Parquet file, or damaged: {error}", file.path.display());
    Fault::new(Kind::InputInvalid, message)
        .with_hint("copy it again; a file that is still being written has no end yet")
        .caused_by(error)
}

/// The columns that are read, as places in the file, and how to ask for them.
fn projection(
    file: &InputFile,
    metadata: &ArrowReaderMetadata,
    options: &ParquetOptions,
) -> Result<(Vec<usize>, ProjectionMask)> {
    let fields = metadata.schema().fields();
    let Some(names) = &options.columns else {
        return Ok(((0..fields.len()).collect(), ProjectionMask::all()));
    };
    crate::column::refuse_twice(names.iter().map(String::as_str))?;
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let Ok(column) = metadata.schema().index_of(name) else {
            let all: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
            let message = format!("{} has no column {name:?}", file.path.display());
            return Err(Fault::config(message)
                .with_column(name)
                .with_hint(format!("its columns are {}", all.join(", "))));
        };
        columns.push(column);
    }
    let mask = ProjectionMask::roots(metadata.parquet_schema(), columns.iter().copied());
    Ok((columns, mask))
}

#[async_trait]
impl Source for ParquetSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The size and the hash of the file as it was when it was opened, and the
    /// columns that are read. Above 1 GiB the hash is taken of samples.
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

    /// Of the bytes of the file, the share that its rows are.
    fn progress(&self) -> Progress {
        let size = self.file.size;
        let share = u128::from(size) * u128::from(self.position.ordinal);
        let done = match self.rows {
            0 => size,
            rows => u64::try_from(share / u128::from(rows)).unwrap_or(size),
        };
        Progress { done, total: Some(size) }
    }
}
