//! Records as dead letters keep them, as items again.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use kiln_core::{DeadLetter, Fault, RawReader, Result};

use super::columns::Columns;
use super::header::layout;
use super::options::{CsvOptions, Header};
use super::records::Problem;
use super::scan::{Dialect, Field, State, Walk};
use crate::raw::FileColumns;

/// Records of delimited text, each by itself.
pub struct RawCsv {
    schema: SchemaRef,
    dialect: Dialect,
    limit: usize,
    usual: Columns,
    /// Those of files with another order, and the way back to the usual one.
    others: BTreeMap<String, (Columns, Vec<usize>)>,
    fields: Vec<Field>,
}

impl RawCsv {
    /// Records of files that are as `options` say and had these columns. Names that
    /// the options give count more than those that were read from a header.
    ///
    /// # Errors
    /// As [`CsvSource::open`](crate::CsvSource::open).
    pub fn new(options: &CsvOptions, columns: &FileColumns) -> Result<Self> {
        options.check()?;
        let FileColumns { usual, others } = columns;
        let (usual, others) = match &options.header {
            Header::Names(names) => (names, &BTreeMap::new()),
            Header::Yes | Header::No => (usual, others),
        };
        let of = |names: &Vec<String>| -> Result<(SchemaRef, Columns)> {
            let layout = layout(names.clone(), options)?;
            let columns = Columns::new(layout.schema.clone(), &layout.columns, options)?;
            Ok((layout.schema, columns))
        };
        let (schema, usual) = of(usual)?;
        let mut with_order = BTreeMap::new();
        for (file, names) in others {
            let (own, columns) = of(names)?;
            let order = schema.fields().iter().map(|field| own.index_of(field.name()));
            let order = order.collect::<Result<_, _>>().map_err(no_batch)?;
            with_order.insert(file.clone(), (columns, order));
        }
        Ok(Self {
            schema,
            dialect: Dialect::new(options),
            limit: options.max_record_bytes,
            usual,
            others: with_order,
            fields: Vec::new(),
        })
    }

    fn fields(&mut self, raw: &[u8]) -> Result<(), Problem> {
        self.fields.clear();
        if raw.len() > self.limit {
            return Err(Problem::LineTooLong { limit: self.limit });
        }
        let walk = self.dialect.walk(raw, true, State::Field(0), &mut self.fields);
        let field = self.fields.len();
        match walk {
            Walk::Record { next, .. } if next == raw.len() => Ok(()),
            Walk::Incomplete(_) => Err(Problem::NotClosed { field: field + 1 }),
            Walk::Record { .. } | Walk::Bad(_) => Err(Problem::AfterQuote { field }),
        }
    }
}

impl RawReader for RawCsv {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn read(&mut self, letter: &DeadLetter) -> Result<RecordBatch> {
        let raw = letter.origin.raw.as_bytes();
        self.fields(raw).map_err(Problem::fault)?;
        match self.others.get_mut(&letter.origin.source) {
            None => {
                self.usual.push(raw, &self.fields)?;
                self.usual.finish()
            }
            Some((columns, order)) => {
                columns.push(raw, &self.fields)?;
                columns.finish()?.project(order).map_err(no_batch)
            }
        }
    }
}

fn no_batch(error: ArrowError) -> Fault {
    Fault::bug(format!("the columns of a file are not those of all: {error}"))
}
