//! Records as dead letters keep them, as items again.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use kiln_core::{DeadLetter, RawReader, Result};

use super::columns::Columns;
use super::options::FixedOptions;
use crate::builder::schema;

/// Lines of fixed width, each by itself.
pub struct RawFixed {
    schema: SchemaRef,
    columns: Columns,
}

impl RawFixed {
    /// Lines of files that are as `options` say.
    ///
    /// # Errors
    /// As [`FixedSource::open`](crate::FixedSource::open).
    pub fn new(options: &FixedOptions) -> Result<Self> {
        options.check()?;
        let schema = schema(options.columns.iter().map(|c| &c.column));
        Ok(Self { columns: Columns::new(&schema, options)?, schema })
    }
}

impl RawReader for RawFixed {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn read(&mut self, letter: &DeadLetter) -> Result<RecordBatch> {
        self.columns.push(letter.origin.raw.as_bytes())?;
        self.columns.finish()
    }
}
