//! Texts to typed columns.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, Field, Schema, SchemaRef};
use kiln_core::{Fault, Result};

use crate::decimal::{self, NotDecimal};
use crate::time::Format;
use crate::value::{self, NotNumber};
use crate::{Column, ColumnType};

/// The schema of some columns; any of them may be NULL.
pub(crate) fn schema<'a>(columns: impl IntoIterator<Item = &'a Column>) -> SchemaRef {
    let field = |c: &Column| Field::new(&c.name, c.kind.data_type(), true);
    Arc::new(Schema::new(columns.into_iter().map(field).collect::<Vec<_>>()))
}

/// Columns as a batch.
pub(crate) fn batch<'a>(
    schema: &SchemaRef,
    builders: impl IntoIterator<Item = &'a mut Builder>,
) -> Result<RecordBatch> {
    let arrays = builders.into_iter().map(Builder::finish).collect::<Result<_, _>>();
    arrays
        .and_then(|arrays| RecordBatch::try_new(Arc::clone(schema), arrays))
        .map_err(|e| Fault::bug(format!("the columns of a file are no batch: {e}")))
}

/// One column while it is read.
#[derive(Debug)]
pub(crate) struct Builder {
    name: String,
    kind: ColumnType,
    format: Format,
    values: Values,
    valid: Vec<bool>,
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
    /// An empty column.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config): a format that is none, or that
    /// the type can't have.
    pub(crate) fn new(column: &Column) -> Result<Self> {
        let Column { name, kind, format, .. } = column.clone();
        let in_column = |fault: Fault| fault.at(format_args!("column {name}"));
        let format = match format {
            None => Format::Iso,
            Some(f) if kind.is_temporal() => Format::new(&f).map_err(in_column)?,
            Some(f) => {
                return Err(Fault::config(format!("column {name}: {kind} has no format, {f:?}"))
                    .with_hint("a format is for date, time, timestamp and timestamptz"));
            }
        };
        let values = Values::new(kind, None);
        Ok(Self { name, kind, format, values, valid: Vec::new() })
    }

    pub(crate) fn kind(&self) -> ColumnType {
        self.kind
    }

    /// Adds NULL.
    pub(crate) fn push_null(&mut self) {
        self.values.push_null();
        self.valid.push(false);
    }

    /// Adds a truth.
    pub(crate) fn push_bool(&mut self, is: bool) -> Result<()> {
        match &mut self.values {
            Values::Bool(v) => {
                v.push(is);
                self.valid.push(true);
                Ok(())
            }
            _ => self.push(if is { "true" } else { "false" }),
        }
    }

    /// Adds a text that is written by `write`, if this is a column of text.
    pub(crate) fn push_written(&mut self, write: impl FnOnce(&mut String)) -> bool {
        let Values::Text { ends, text } = &mut self.values else { return false };
        write(text);
        ends.push(offset(text.len()));
        self.valid.push(true);
        true
    }

    /// Adds the value of a text; blanks around it don't matter where it is not
    /// text that is asked for.
    ///
    /// # Errors
    /// [`Kind::Item`](kiln_core::Kind::Item), code `cast`: it is not of the
    /// column's type. Nothing is added then.
    pub(crate) fn push(&mut self, content: &str) -> Result<()> {
        let text = content.trim_ascii();
        let zoned = self.kind == ColumnType::TimestampTz;
        let fits = match &mut self.values {
            Values::Text { ends, text } => {
                text.push_str(content);
                ends.push(offset(text.len()));
                Ok(())
            }
            Values::Int(v) => number(value::int(text), v),
            Values::Float(v) => number(value::float(text), v),
            Values::Bool(v) => known(value::bool(text), v),
            Values::Decimal(v) => exact(text, self.kind, v),
            Values::Date(v) => known(self.format.date(text), v),
            Values::Time(v) => known(self.format.time(text), v),
            Values::Timestamp(v) => known(self.format.timestamp(text, zoned), v),
        };
        fits.map_err(|why| self.misfit(content, why))?;
        self.valid.push(true);
        Ok(())
    }

    /// Adds a number as JSON has it: `12.0` and `1e3` are whole.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub(crate) fn push_number(&mut self, digits: &str) -> Result<()> {
        let fraction = digits.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'));
        if self.kind == ColumnType::Int && fraction {
            let whole = decimal::parse(digits, 19, 0).map_err(Misfit::from);
            return match whole.and_then(|n| i64::try_from(n).map_err(|_| Misfit::Range)) {
                Ok(whole) => self.push(&whole.to_string()),
                Err(why) => Err(self.misfit(digits, why)),
            };
        }
        self.push(digits)
    }

    /// The fault of a value that is not of the column's type.
    pub(crate) fn misfit(&self, content: &str, why: Misfit) -> Fault {
        let noun = self.kind.noun();
        let why = match why {
            Misfit::Text => format!("is not {noun}"),
            Misfit::Range => format!("is too large for {noun}"),
            Misfit::Fine => format!("has too many digits behind the point for {noun}"),
        };
        self.refuse("cast", format!("{} {why}", shortened(content)))
    }

    /// A fault of this column's value.
    pub(crate) fn refuse(&self, code: &str, why: impl std::fmt::Display) -> Fault {
        Fault::item(format!("column {}: {why}", self.name)).with_code(code).with_column(&self.name)
    }

    /// Keeps the first rows only.
    pub(crate) fn truncate(&mut self, rows: usize) {
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
pub(crate) enum Misfit {
    /// It is something else.
    Text,
    /// It is too large.
    Range,
    /// It has digits that would be lost.
    Fine,
}

impl From<NotDecimal> for Misfit {
    fn from(why: NotDecimal) -> Self {
        match why {
            NotDecimal::Text => Self::Text,
            NotDecimal::TooLarge => Self::Range,
            NotDecimal::TooFine => Self::Fine,
        }
    }
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
    into.push(decimal::parse(text, precision, scale)?);
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
