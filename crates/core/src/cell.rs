//! One value of a batch, as a plain value: for encoders, previews and dead
//! letters.

use std::fmt::{self, Write as _};

use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, BinaryArray, BooleanArray, LargeBinaryArray, LargeStringArray, PrimitiveArray,
    RecordBatch, StringArray, StringViewArray,
};
use arrow_schema::{DataType, TimeUnit};
use chrono::{Datelike, Timelike};

use crate::{Fault, Result};

/// A value. Its [`Display`](fmt::Display) is what databases read and people
/// expect: `t`/`f` are written out, decimals keep their scale, times are ISO
/// 8601 with a blank between date and time, bytes are hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer beyond the range of [`Cell::Int`].
    UInt(u64),
    /// A float of eight bytes, or one of four, widened.
    Float(f64),
    /// An exact number: digits, and how many of them are behind the point.
    Decimal(i128, i8),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01 00:00, and whether that is an instant (in
    /// UTC) or what a clock showed somewhere. What is finer than a microsecond
    /// is cut off: no database kiln knows keeps it.
    Timestamp(i64, bool),
}

impl Cell<'_> {
    /// Whether it is [`Cell::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Null => f.write_str("NULL"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(i) => write!(f, "{i}"),
            Self::UInt(u) => write!(f, "{u}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Decimal(digits, scale) => write_decimal(f, digits, scale),
            Self::Text(t) => f.write_str(t),
            Self::Bytes(b) => b.iter().try_for_each(|x| write!(f, "{x:02x}")),
            Self::Date(days) => match date32_to_datetime(days) {
                Some(d) => write_date(f, &d),
                None => f.write_str("date out of range"),
            },
            Self::Time(us) => write_time(f, us),
            Self::Timestamp(us, utc) => match timestamp_us_to_datetime(us) {
                Some(t) => {
                    write_date(f, &t)?;
                    f.write_char(' ')?;
                    let us = i64::from(t.num_seconds_from_midnight()) * 1_000_000
                        + i64::from(t.nanosecond() / 1_000);
                    write_time(f, us)?;
                    f.write_str(if utc { "+00" } else { "" })
                }
                None => f.write_str("timestamp out of range"),
            },
        }
    }
}

fn write_date(f: &mut fmt::Formatter<'_>, d: &impl Datelike) -> fmt::Result {
    write!(f, "{:04}-{:02}-{:02}", d.year(), d.month(), d.day())
}

fn write_time(f: &mut fmt::Formatter<'_>, us: i64) -> fmt::Result {
    let (s, us) = (us / 1_000_000, us % 1_000_000);
    write!(f, "{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)?;
    if us == 0 { Ok(()) } else { write!(f, ".{us:06}") }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, digits: i128, scale: i8) -> fmt::Result {
    let sign = if digits < 0 { "-" } else { "" };
    let size = digits.unsigned_abs();
    if scale <= 0 {
        let zeros = if size == 0 { 0 } else { usize::from(scale.unsigned_abs()) };
        return write!(f, "{sign}{size}{:0<zeros$}", "");
    }
    let places = usize::from(scale.unsigned_abs());
    match 10u128.checked_pow(u32::from(scale.unsigned_abs())) {
        Some(unit) => write!(f, "{sign}{}.{:0places$}", size / unit, size % unit),
        None => write!(f, "{sign}0.{size:0places$}"),
    }
}

/// A column of a batch, ready to give cells.
#[derive(Debug, Clone, Copy)]
pub enum CellColumn<'a> {
    /// Nothing but nulls.
    Null,
    /// See [`Cell::Bool`].
    Bool(&'a BooleanArray),
    /// See [`Cell::Int`].
    Int8(&'a PrimitiveArray<Int8Type>),
    /// See [`Cell::Int`].
    Int16(&'a PrimitiveArray<Int16Type>),
    /// See [`Cell::Int`].
    Int32(&'a PrimitiveArray<Int32Type>),
    /// See [`Cell::Int`].
    Int64(&'a PrimitiveArray<Int64Type>),
    /// See [`Cell::Int`].
    UInt8(&'a PrimitiveArray<UInt8Type>),
    /// See [`Cell::Int`].
    UInt16(&'a PrimitiveArray<UInt16Type>),
    /// See [`Cell::Int`].
    UInt32(&'a PrimitiveArray<UInt32Type>),
    /// See [`Cell::UInt`].
    UInt64(&'a PrimitiveArray<UInt64Type>),
    /// See [`Cell::Float`].
    Float32(&'a PrimitiveArray<Float32Type>),
    /// See [`Cell::Float`].
    Float64(&'a PrimitiveArray<Float64Type>),
    /// See [`Cell::Decimal`], with the scale.
    Decimal(&'a PrimitiveArray<Decimal128Type>, i8),
    /// See [`Cell::Text`].
    Text(&'a StringArray),
    /// See [`Cell::Text`].
    LargeText(&'a LargeStringArray),
    /// See [`Cell::Text`].
    TextView(&'a StringViewArray),
    /// See [`Cell::Bytes`].
    Bytes(&'a BinaryArray),
    /// See [`Cell::Bytes`].
    LargeBytes(&'a LargeBinaryArray),
    /// See [`Cell::Date`].
    Date(&'a PrimitiveArray<Date32Type>),
    /// See [`Cell::Time`].
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    /// See [`Cell::Timestamp`].
    TimestampS(&'a PrimitiveArray<TimestampSecondType>, bool),
    /// See [`Cell::Timestamp`].
    TimestampMs(&'a PrimitiveArray<TimestampMillisecondType>, bool),
    /// See [`Cell::Timestamp`].
    TimestampUs(&'a PrimitiveArray<TimestampMicrosecondType>, bool),
    /// See [`Cell::Timestamp`].
    TimestampNs(&'a PrimitiveArray<TimestampNanosecondType>, bool),
}

impl<'a> CellColumn<'a> {
    /// The column as cells.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::Kind::Config) for a type that kiln does not
    /// write, such as a list or a struct.
    pub fn new(array: &'a dyn Array) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(array.as_boolean()),
            DataType::Int8 => Self::Int8(array.as_primitive()),
            DataType::Int16 => Self::Int16(array.as_primitive()),
            DataType::Int32 => Self::Int32(array.as_primitive()),
            DataType::Int64 => Self::Int64(array.as_primitive()),
            DataType::UInt8 => Self::UInt8(array.as_primitive()),
            DataType::UInt16 => Self::UInt16(array.as_primitive()),
            DataType::UInt32 => Self::UInt32(array.as_primitive()),
            DataType::UInt64 => Self::UInt64(array.as_primitive()),
            DataType::Float32 => Self::Float32(array.as_primitive()),
            DataType::Float64 => Self::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Self::Decimal(array.as_primitive(), *scale),
            DataType::Utf8 => Self::Text(array.as_string()),
            DataType::LargeUtf8 => Self::LargeText(array.as_string()),
            DataType::Utf8View => Self::TextView(array.as_string_view()),
            DataType::Binary => Self::Bytes(array.as_binary()),
            DataType::LargeBinary => Self::LargeBytes(array.as_binary()),
            DataType::Date32 => Self::Date(array.as_primitive()),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(array.as_primitive()),
            DataType::Timestamp(unit, zone) => {
                let utc = zone.is_some();
                match unit {
                    TimeUnit::Second => Self::TimestampS(array.as_primitive(), utc),
                    TimeUnit::Millisecond => Self::TimestampMs(array.as_primitive(), utc),
                    TimeUnit::Microsecond => Self::TimestampUs(array.as_primitive(), utc),
                    TimeUnit::Nanosecond => Self::TimestampNs(array.as_primitive(), utc),
                }
            }
            other => {
                return Err(Fault::config(format!("values of type {other} can't be written"))
                    .with_hint("cast the column in [map] sql, for example to text"));
            }
        })
    }

    /// All columns of a batch.
    ///
    /// # Errors
    /// As [`new`](CellColumn::new), naming the column.
    pub fn of(batch: &'a RecordBatch) -> Result<Vec<Self>> {
        let schema = batch.schema_ref();
        let column = |(i, array): (usize, &'a arrow_array::ArrayRef)| {
            Self::new(array.as_ref())
                .map_err(|e| e.at(format_args!("column {}", schema.field(i).name())))
        };
        batch.columns().iter().enumerate().map(column).collect()
    }

    /// The value in a row.
    pub fn cell(&self, row: usize) -> Cell<'a> {
        macro_rules! value {
            ($array:expr, $wrap:expr) => {
                if $array.is_null(row) { Cell::Null } else { $wrap($array.value(row)) }
            };
        }
        match *self {
            Self::Null => Cell::Null,
            Self::Bool(a) => value!(a, Cell::Bool),
            Self::Int8(a) => value!(a, |v| Cell::Int(i64::from(v))),
            Self::Int16(a) => value!(a, |v| Cell::Int(i64::from(v))),
            Self::Int32(a) => value!(a, |v| Cell::Int(i64::from(v))),
            Self::Int64(a) => value!(a, Cell::Int),
            Self::UInt8(a) => value!(a, |v| Cell::Int(i64::from(v))),
            Self::UInt16(a) => value!(a, |v| Cell::Int(i64::from(v))),
            Self::UInt32(a) => value!(a, |v| Cell::Int(i64::from(v))),
            Self::UInt64(a) => value!(a, |v| i64::try_from(v).map_or(Cell::UInt(v), Cell::Int)),
            // The shortest text of a four-byte float is what its user wrote.
            Self::Float32(a) => {
                value!(a, |v: f32| Cell::Float(v.to_string().parse().unwrap_or(f64::from(v))))
            }
            Self::Float64(a) => value!(a, Cell::Float),
            Self::Decimal(a, scale) => value!(a, |v| Cell::Decimal(v, scale)),
            Self::Text(a) => value!(a, Cell::Text),
            Self::LargeText(a) => value!(a, Cell::Text),
            Self::TextView(a) => value!(a, Cell::Text),
            Self::Bytes(a) => value!(a, Cell::Bytes),
            Self::LargeBytes(a) => value!(a, Cell::Bytes),
            Self::Date(a) => value!(a, Cell::Date),
            Self::Time(a) => value!(a, Cell::Time),
            Self::TimestampS(a, utc) => {
                value!(a, |v: i64| Cell::Timestamp(v.saturating_mul(1_000_000), utc))
            }
            Self::TimestampMs(a, utc) => {
                value!(a, |v: i64| Cell::Timestamp(v.saturating_mul(1_000), utc))
            }
            Self::TimestampUs(a, utc) => value!(a, |v| Cell::Timestamp(v, utc)),
            Self::TimestampNs(a, utc) => {
                value!(a, |v: i64| Cell::Timestamp(v.div_euclid(1_000), utc))
            }
        }
    }
}

/// A row as a JSON object: what stands for the raw record where the source has
/// no text of its own. Numbers that JSON's readers might round are texts.
///
/// # Errors
/// As [`CellColumn::new`].
pub fn cells_as_json(batch: &RecordBatch, row: usize) -> Result<String> {
    let columns = CellColumn::of(batch)?;
    let mut object = serde_json::Map::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(&columns) {
        let value = match column.cell(row) {
            Cell::Null => serde_json::Value::Null,
            Cell::Bool(b) => b.into(),
            Cell::Int(i) => i.into(),
            // JSON has no infinity.
            Cell::Float(x) if x.is_finite() => x.into(),
            other => other.to_string().into(),
        };
        object.insert(field.name().clone(), value);
    }
    Ok(serde_json::Value::Object(object).to_string())
}

#[cfg(test)]
mod tests {
    use super::Cell;

    #[test]
    fn decimals_keep_their_scale() {
        let cases: [(i128, i8, &str); 9] = [
            (2550, 3, "2.550"),
            (-5, 2, "-0.05"),
            (0, 2, "0.00"),
            (7, 0, "7"),
            (7, -2, "700"),
            (0, -2, "0"),
            (i128::MIN, 0, "-170141183460469231731687303715884105728"),
            (12, 38, "0.00000000000000000000000000000000000012"),
            (12, 40, "0.0000000000000000000000000000000000000012"),
        ];
        for (digits, scale, text) in cases {
            assert_eq!(Cell::Decimal(digits, scale).to_string(), text);
        }
    }

    #[test]
    fn times_are_iso() {
        assert_eq!(Cell::Date(-1).to_string(), "1969-12-31");
        assert_eq!(Cell::Time(1_000_001).to_string(), "00:00:01.000001");
        assert_eq!(Cell::Timestamp(-1, false).to_string(), "1969-12-31 23:59:59.999999");
        assert_eq!(Cell::Timestamp(0, true).to_string(), "1970-01-01 00:00:00+00");
        assert_eq!(Cell::Timestamp(i64::MAX, true).to_string(), "timestamp out of range");
    }
}
