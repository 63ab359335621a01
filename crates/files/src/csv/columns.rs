//! Fields to typed columns.

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, SchemaRef};
use kiln_core::{Fault, Result};
use std::sync::Arc;

use super::options::{Column, CsvOptions, Ragged};
use super::scan::{Dialect, Field};
use crate::ColumnType;
use crate::decimal::{self, NotDecimal};
use crate::time::Format;
use crate::value::{self, NotNumber};

/// The columns of a chunk while it is read.
#[derive(Debug)]
pub(super) struct Columns {
    schema: SchemaRef,
    dialect: Dialect,
    ragged: Ragged,
    columns: Vec<Builder>,
    rows: usize,
}

impl Columns {
    /// Empty columns of that schema; each `Column` describes one of its fields.
    pub(super) fn new(schema: SchemaRef, columns: &[Column], options: &CsvOptions) -> Result<Self> {
        let columns = columns.iter().map(|c| Builder::new(c, options)).collect::<Result<_>>()?;
        let dialect = Dialect::new(options);
        Ok(Self { schema, dialect, ragged: options.ragged, columns, rows: 0 })
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
            if let Err(fault) = column.push(text, fields.get(i), &self.dialect) {
                self.columns[..=i].iter_mut().for_each(|c| c.truncate(self.rows));
                return Err(fault);
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows as a batch; the columns are empty then.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        let arrays = self.columns.iter_mut().map(Builder::finish).collect::<Result<_, _>>();
        arrays
            .and_then(|arrays| RecordBatch::try_new(Arc::clone(&self.schema), arrays))
            .map_err(|e| Fault::bug(format!("the columns of a CSV file are no batch: {e}")))
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.columns.iter_mut().for_each(|c| c.truncate(0));
        self.rows = 0;
    }
}

/// The record as text, if it is text that every database takes.
pub(super) fn text_of(raw: &[u8]) -> Result<&str> {
    if let Some(at) = memchr::memchr(0, raw) {
        let message = format!("a NUL character, {at} bytes into the record");
        return Err(Fault::item(message).with_code("nul"));
    }
    std::str::from_utf8(raw).map_err(|e| {
        let at = e.valid_up_to();
        Fault::item(format!("no UTF-8: byte {:#04x}, {at} bytes into the record", raw[at]))
            .with_code("utf8")
    })
}

fn ragged(found: usize, expected: usize) -> Fault {
    let fields = if found == 1 { "field" } else { "fields" };
    let columns = if expected == 1 { "column" } else { "columns" };
    Fault::item(format!("{found} {fields} for {expected} {columns}")).with_code("ragged")
}

/// One column while it is read.
#[derive(Debug)]
struct Builder {
    name: String,
    kind: ColumnType,
    format: Format,
    nulls: Vec<String>,
    values: Values,
    valid: Vec<bool>,
    /// Where an escaped text is made plain before it is read as something else.
    scratch: String,
}

/// Values in Arrow's own layout; a NULL has some value, too.
#[derive(Debug)]
enum Values {
    Text { ends: Vec<i32>, text: String },
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
    Decimal(Vec<i128>),
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp(Vec<i64>),
}

impl Values {
    /// No values, with room for as many as `last` holds: chunks are alike.
    fn new(kind: ColumnType, last: Option<&Self>) -> Self {
        let (rows, bytes) = last.map_or((0, 0), Self::size);
        match kind {
            ColumnType::Text => {
                let mut ends = Vec::with_capacity(rows + 1);
                ends.push(0);
                Self::Text { ends, text: String::with_capacity(bytes) }
            }
            ColumnType::Int => Self::Int(Vec::with_capacity(rows)),
            ColumnType::Float => Self::Float(Vec::with_capacity(rows)),
            ColumnType::Bool => Self::Bool(Vec::with_capacity(rows)),
            ColumnType::Decimal { .. } => Self::Decimal(Vec::with_capacity(rows)),
            ColumnType::Date => Self::Date(Vec::with_capacity(rows)),
            ColumnType::Time => Self::Time(Vec::with_capacity(rows)),
            ColumnType::Timestamp | ColumnType::TimestampTz => {
                Self::Timestamp(Vec::with_capacity(rows))
            }
        }
    }

    /// Rows, and bytes of text.
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Text { ends, text } => (ends.len(), text.len() + text.len() / 8),
            Self::Int(v) | Self::Time(v) | Self::Timestamp(v) => (v.len(), 0),
            Self::Float(v) => (v.len(), 0),
            Self::Bool(v) => (v.len(), 0),
            Self::Decimal(v) => (v.len(), 0),
            Self::Date(v) => (v.len(), 0),
        }
    }

    fn push_null(&mut self) {
        match self {
            Self::Text { ends, text } => ends.push(offset(text.len())),
            Self::Int(v) | Self::Time(v) | Self::Timestamp(v) => v.push(0),
            Self::Float(v) => v.push(0.0),
            Self::Bool(v) => v.push(false),
            Self::Decimal(v) => v.push(0),
            Self::Date(v) => v.push(0),
        }
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Self::Text { ends, text } => {
                ends.truncate(rows + 1);
                text.truncate(ends.last().map_or(0, |e| *e as usize));
            }
            Self::Int(v) | Self::Time(v) | Self::Timestamp(v) => v.truncate(rows),
            Self::Float(v) => v.truncate(rows),
            Self::Bool(v) => v.truncate(rows),
            Self::Decimal(v) => v.truncate(rows),
            Self::Date(v) => v.truncate(rows),
        }
    }
}

/// A chunk holds less than 2 GiB (see `MOST_CHUNK_BYTES` of the source).
fn offset(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

impl Builder {
    fn new(column: &Column, options: &CsvOptions) -> Result<Self> {
        let Column { name, kind, format, nulls } = column.clone();
        let in_column = |fault: Fault| fault.at(format_args!("column {name}"));
        let format = match format {
            None => Format::Iso,
            Some(f) if kind.is_temporal() => Format::new(&f).map_err(in_column)?,
            Some(f) => {
                return Err(Fault::config(format!("column {name}: {kind} has no format, {f:?}"))
                    .with_hint("a format is for date, time, timestamp and timestamptz"));
            }
        };
        let mut nulls = [options.nulls.clone(), nulls].concat();
        if options.escape == Some(b'\\') {
            nulls.push(r"\N".to_owned());
        }
        let values = Values::new(kind, None);
        Ok(Self { name, kind, format, nulls, values, valid: Vec::new(), scratch: String::new() })
    }

    fn push(&mut self, record: &str, field: Option<&Field>, dialect: &Dialect) -> Result<()> {
        let Some(field) = field else { return self.push_null() };
        let content = &record[field.start..field.end];
        if !field.quoted && (content.is_empty() || self.nulls.iter().any(|n| n == content)) {
            return self.push_null();
        }
        if let Values::Text { ends, text } = &mut self.values {
            if field.escaped {
                dialect.unescape(content, text)
            } else {
                text.push_str(content)
            }
            ends.push(offset(text.len()));
        } else if field.escaped {
            let mut plain = std::mem::take(&mut self.scratch);
            plain.clear();
            dialect.unescape(content, &mut plain);
            let pushed = self.push_value(&plain);
            self.scratch = plain;
            pushed?;
        } else {
            self.push_value(content)?;
        }
        self.valid.push(true);
        Ok(())
    }

    fn push_null(&mut self) -> Result<()> {
        self.values.push_null();
        self.valid.push(false);
        Ok(())
    }

    /// Reads a value; blanks around it don't matter.
    fn push_value(&mut self, content: &str) -> Result<()> {
        let text = content.trim_ascii();
        let zoned = self.kind == ColumnType::TimestampTz;
        let fits = match &mut self.values {
            Values::Text { .. } => {
                return Err(Fault::bug("a text column was read as another type"));
            }
            Values::Int(v) => number(value::int(text), v),
            Values::Float(v) => number(value::float(text), v),
            Values::Bool(v) => known(value::bool(text), v),
            Values::Decimal(v) => exact(text, self.kind, v),
            Values::Date(v) => known(self.format.date(text), v),
            Values::Time(v) => known(self.format.time(text), v),
            Values::Timestamp(v) => known(self.format.timestamp(text, zoned), v),
        };
        fits.map_err(|why| self.misfit(content, why))
    }

    fn misfit(&self, content: &str, why: Misfit) -> Fault {
        let noun = self.kind.noun();
        let why = match why {
            Misfit::Text => format!("is not {noun}"),
            Misfit::Range => format!("is too large for {noun}"),
            Misfit::Fine => format!("has too many digits behind the point for {noun}"),
        };
        Fault::item(format!("column {}: {} {why}", self.name, shortened(content)))
            .with_code("cast")
            .with_column(&self.name)
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.valid.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let next = Values::new(self.kind, Some(&self.values));
        let values = std::mem::replace(&mut self.values, next);
        let valid = std::mem::take(&mut self.valid);
        let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
        Ok(match values {
            Values::Text { ends, text } => {
                let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
                Arc::new(StringArray::try_new(ends, Buffer::from(text.into_bytes()), nulls)?)
            }
            Values::Int(v) => primitive::<Int64Type>(v, nulls, self.kind)?,
            Values::Float(v) => primitive::<Float64Type>(v, nulls, self.kind)?,
            Values::Bool(v) => Arc::new(BooleanArray::new(v.into(), nulls)),
            Values::Decimal(v) => primitive::<Decimal128Type>(v, nulls, self.kind)?,
            Values::Date(v) => primitive::<Date32Type>(v, nulls, self.kind)?,
            Values::Time(v) => primitive::<Time64MicrosecondType>(v, nulls, self.kind)?,
            Values::Timestamp(v) => primitive::<TimestampMicrosecondType>(v, nulls, self.kind)?,
        })
    }
}

/// Why a text is not of its column's type.
#[derive(Debug, Clone, Copy)]
enum Misfit {
    Text,
    Range,
    Fine,
}

fn number<T>(parsed: Result<T, NotNumber>, into: &mut Vec<T>) -> Result<(), Misfit> {
    into.push(parsed.map_err(|e| match e {
        NotNumber::Text => Misfit::Text,
        NotNumber::Range => Misfit::Range,
    })?);
    Ok(())
}

fn known<T>(parsed: Option<T>, into: &mut Vec<T>) -> Result<(), Misfit> {
    into.push(parsed.ok_or(Misfit::Text)?);
    Ok(())
}

fn exact(text: &str, kind: ColumnType, into: &mut Vec<i128>) -> Result<(), Misfit> {
    let ColumnType::Decimal { precision, scale } = kind else { return Err(Misfit::Text) };
    into.push(decimal::parse(text, precision, scale).map_err(|e| match e {
        NotDecimal::Text => Misfit::Text,
        NotDecimal::TooLarge => Misfit::Range,
        NotDecimal::TooFine => Misfit::Fine,
    })?);
    Ok(())
}

fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    kind: ColumnType,
) -> Result<ArrayRef, ArrowError> {
    let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(values), nulls)?;
    Ok(Arc::new(array.with_data_type(kind.data_type())))
}

/// A text in quotes, its start if it is long; nothing in it can act on a
/// terminal.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}
