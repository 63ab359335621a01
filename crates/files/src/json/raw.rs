//! Records as dead letters keep them, as items again.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use kiln_core::{DeadLetter, RawReader, Result};

use super::columns::Columns;
use super::options::JsonOptions;
use crate::raw::FileColumns;

/// Records of JSON, each by itself.
pub struct RawJson(Columns);

impl RawJson {
    /// Records of files that are as `options` say and had these columns.
    ///
    /// # Errors
    /// As [`JsonSource::open`](crate::JsonSource::open).
    pub fn new(options: &JsonOptions, columns: &FileColumns) -> Result<Self> {
        options.check()?;
        let columns = options.with_columns(columns.usual.iter());
        Ok(Self(Columns::new(&columns, &options.nulls)?))
    }
}

impl RawReader for RawJson {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn read(&mut self, letter: &DeadLetter) -> Result<RecordBatch> {
        self.0.push(letter.origin.raw.as_bytes())?;
        self.0.finish()
    }
}
