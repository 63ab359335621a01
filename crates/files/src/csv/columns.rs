//! Fields to typed columns.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use kiln_core::{Fault, Result};

use super::options::{CsvOptions, Ragged};
use super::scan::{Dialect, Field};
use crate::Column;
use crate::builder::{Builder, batch};
use crate::text::text_of;

/// The columns of a chunk while it is read.
#[derive(Debug)]
pub(super) struct Columns {
    schema: SchemaRef,
    dialect: Dialect,
    ragged: Ragged,
    columns: Vec<CsvColumn>,
    rows: usize,
    /// Where an escaped text is made plain before it is read as something else.
    scratch: String,
}

/// One of them.
#[derive(Debug)]
struct CsvColumn {
    builder: Builder,
    /// Unquoted texts that are NULL.
    nulls: Vec<String>,
}

impl Columns {
    /// Empty columns of that schema; each `Column` describes one of its fields.
    pub(super) fn new(schema: SchemaRef, columns: &[Column], options: &CsvOptions) -> Result<Self> {
        let columns = columns.iter().map(|c| CsvColumn::new(c, options)).collect::<Result<_>>()?;
        let dialect = Dialect::new(options);
        let (ragged, scratch) = (options.ragged, String::new());
        Ok(Self { schema, dialect, ragged, columns, rows: 0, scratch })
    }

    /// Adds a row; a record that does not fit adds nothing.
    ///
    /// # Errors
    /// Why it does not fit, of [`Kind::Item`](kiln_core::Kind::Item).
    pub(super) fn push(&mut self, raw: &[u8], fields: &[Field]) -> Result<()> {
        let text = text_of(raw)?;
        if fields.len() != self.columns.len() && self.ragged == Ragged::Reject {
            return Err(ragged(fields.len(), self.columns.len()));
        }
        for (i, column) in self.columns.iter_mut().enumerate() {
            if let Err(fault) = column.push(text, fields.get(i), &self.dialect, &mut self.scratch) {
                self.columns[..=i].iter_mut().for_each(|c| c.builder.truncate(self.rows));
                return Err(fault);
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows as a batch; the columns are empty then.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        batch(&self.schema, self.columns.iter_mut().map(|c| &mut c.builder))
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.columns.iter_mut().for_each(|c| c.builder.truncate(0));
        self.rows = 0;
    }
}

fn ragged(found: usize, expected: usize) -> Fault {
    let fields = if found == 1 { "field" } else { "fields" };
    let columns = if expected == 1 { "column" } else { "columns" };
    Fault::item(format!("{found} {fields} for {expected} {columns}")).with_code("ragged")
}

impl CsvColumn {
    fn new(column: &Column, options: &CsvOptions) -> Result<Self> {
        let mut nulls = [options.nulls.clone(), column.nulls.clone()].concat();
        if options.escape == Some(b'\\') {
            nulls.push(r"\N".to_owned());
        }
        Ok(Self { builder: Builder::new(column)?, nulls })
    }

    fn push(
        &mut self,
        record: &str,
        field: Option<&Field>,
        dialect: &Dialect,
        scratch: &mut String,
    ) -> Result<()> {
        let content = field.map(|f| (f, &record[f.start..f.end]));
        match content {
            None => self.builder.push_null(),
            Some((field, text)) if !field.quoted && self.is_null(text) => self.builder.push_null(),
            Some((field, text)) if field.escaped => {
                if !self.builder.push_written(|into| dialect.unescape(text, into)) {
                    scratch.clear();
                    dialect.unescape(text, scratch);
                    self.builder.push(scratch)?;
                }
            }
            Some((_, text)) => self.builder.push(text)?,
        }
        Ok(())
    }

    fn is_null(&self, text: &str) -> bool {
        text.is_empty() || self.nulls.iter().any(|n| n == text)
    }
}
