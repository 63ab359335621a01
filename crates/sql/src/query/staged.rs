//! A query's result, as it lies in a file: Arrow's own format, so that no type
//! changes on the way.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::coalesce::BatchCoalescer;
use kiln_core::{Fault, Kind, Result, crash_point};
use twox_hash::XxHash3_128;

use super::table::ROWS;

/// What the file says of itself.
const COUNT: &str = "kiln.rows";
const CONTENT: &str = "kiln.content";

/// Writes a result. All batches but the last have [`ROWS`] rows.
pub(super) struct Writer {
    file: FileWriter<BufWriter<File>>,
    batches: BatchCoalescer,
    rows: RowConverter,
    content: XxHash3_128,
    count: u64,
}

impl Writer {
    pub(super) fn create(path: &Path, schema: &SchemaRef) -> Result<Self, ArrowError> {
        let options =
            IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        let file = BufWriter::new(File::create_new(path)?);
        let fields = schema.fields().iter().map(|f| SortField::new(f.data_type().clone()));
        Ok(Self {
            file: FileWriter::try_new_with_options(file, schema, options)?,
            batches: BatchCoalescer::new(Arc::clone(schema), ROWS),
            rows: RowConverter::new(fields.collect())?,
            content: XxHash3_128::new(),
            count: 0,
        })
    }

    pub(super) fn write(&mut self, batch: RecordBatch) -> Result<(), ArrowError> {
        self.batches.push_batch(batch)?;
        self.write_completed()
    }

    /// Writes the rest; gives the file back when the disk has all of it.
    pub(super) fn finish(mut self) -> Result<(), ArrowError> {
        self.batches.finish_buffered_batch()?;
        self.write_completed()?;
        self.file.write_metadata(COUNT, self.count.to_string());
        self.file.write_metadata(CONTENT, format!("{:032x}", self.content.finish_128()));
        self.file.finish()?;
        let mut file = self.file.into_inner()?;
        file.flush()?;
        file.get_ref().sync_all()?;
        Ok(())
    }

    fn write_completed(&mut self) -> Result<(), ArrowError> {
        while let Some(batch) = self.batches.next_completed_batch() {
            crash_point("stage");
            // Of the values alone, whatever bytes lie below what is NULL.
            for row in &self.rows.convert_columns(batch.columns())? {
                let bytes = row.data();
                self.content.write(&(bytes.len() as u64).to_le_bytes());
                self.content.write(bytes);
            }
            self.count += batch.num_rows() as u64;
            self.file.write(&batch)?;
        }
        Ok(())
    }
}

/// A result that is there.
pub(super) struct Staged {
    file: FileReader<BufReader<File>>,
    shown: String,
    /// How many rows it has.
    pub(super) count: u64,
    /// What tells its content: two results with the same have the same rows in
    /// the same order.
    pub(super) content: String,
}

impl Staged {
    /// # Errors
    /// [`Kind::Io`] if it can't be read.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let file = File::open(path).map_err(|e| Fault::io(&shown, e))?;
        let file = FileReader::try_new_buffered(file, None).map_err(|e| damaged(&shown, e))?;
        let said = |key: &str| file.custom_metadata().get(key).cloned();
        let count = said(COUNT).and_then(|count| count.parse().ok());
        let (Some(count), Some(content)) = (count, said(CONTENT)) else {
            return Err(damaged(&shown, "it does not say what it holds"));
        };
        Ok(Self { file, shown, count, content })
    }

    /// The rows from `row` to the end of their batch.
    pub(super) fn rows_from(&mut self, row: u64) -> Result<Option<RecordBatch>> {
        if row >= self.count {
            return Ok(None);
        }
        let index = usize::try_from(row / ROWS as u64).unwrap_or(usize::MAX);
        let before = usize::try_from(row % ROWS as u64).unwrap_or_default();
        let read = self.file.set_index(index).and_then(|()| self.file.next().transpose());
        match read {
            Ok(Some(batch)) if before < batch.num_rows() => {
                Ok(Some(batch.slice(before, batch.num_rows() - before)))
            }
            Ok(_) => Err(damaged(&self.shown, "it is too short")),
            Err(e) => Err(damaged(&self.shown, e)),
        }
    }
}

fn damaged(shown: &str, why: impl std::fmt::Display) -> Fault {
    Fault::new(Kind::Io, format!("{shown}, the result of the query, can't be read: {why}"))
        .with_hint("remove it, then run the job again: the query is run once more")
}
