//! Rows as Parquet.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema};
use kiln_core::{Fault, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::format::TargetOptions;
use super::pack::Packing;

/// A file with the types of the columns as they are, decimals and zones
/// included.
pub(super) fn encode(rows: &RecordBatch, options: &TargetOptions) -> Result<Vec<u8>> {
    let wrong = |e: parquet::errors::ParquetError| {
        Fault::config(format!("the rows can't be written as Parquet: {e}")).caused_by(e)
    };
    let properties = WriterProperties::builder().set_compression(match options.packing {
        Packing::None => Compression::UNCOMPRESSED,
        Packing::Gzip => Compression::GZIP(GzipLevel::default()),
        Packing::Zstd => Compression::ZSTD(ZstdLevel::default()),
        Packing::Snappy => Compression::SNAPPY,
        Packing::Lz4 => Compression::LZ4_RAW,
    });
    let rows = with_required(rows, options)?;
    let mut writer =
        ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties.build())).map_err(wrong)?;
    writer.write(&rows).map_err(wrong)?;
    writer.into_inner().map_err(wrong)
}

/// The same rows; columns that may not be NULL say so.
fn with_required(rows: &RecordBatch, options: &TargetOptions) -> Result<RecordBatch> {
    let field = |field: &Arc<Field>| {
        field.as_ref().clone().with_nullable(!options.is_required(field.name()))
    };
    let fields: Vec<Field> = rows.schema_ref().fields().iter().map(field).collect();
    let count = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let schema = Arc::new(Schema::new(fields));
    RecordBatch::try_new_with_options(schema, rows.columns().to_vec(), &count)
        .map_err(|e| Fault::bug(format!("a column that may not be NULL is: {e}")))
}
