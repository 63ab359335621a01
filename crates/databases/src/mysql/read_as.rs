//! What the columns of a table are read as.
//!
//! Values come as the text that the server itself would read again; bytes come
//! as they are.

use arrow_schema::{DataType, TimeUnit};
use kiln_core::Cell;
use mysql_async::Value;

use super::table::Column;
use super::types::Family;
use crate::pages::{Misfit, date, decimal, hex, timestamp};

/// The type that the values of a column have as items; `None` for one whose text
/// the server would not read again, such as a geometry.
pub(super) fn type_of(column: &Column) -> Option<DataType> {
    let declared = Declared::of(&column.type_name);
    Some(match column.family {
        Family::Int => declared.integer(),
        Family::Float(true) => DataType::Float32,
        Family::Float(false) => DataType::Float64,
        Family::Numeric(scale) => declared.decimal(scale).unwrap_or(DataType::Utf8),
        Family::Bytes(_) => DataType::Binary,
        Family::Date => DataType::Date32,
        Family::Timestamp(_) => {
            let zone = declared.is_instant().then(|| "+00:00".into());
            DataType::Timestamp(TimeUnit::Microsecond, zone)
        }
        Family::Year => DataType::Int16,
        Family::Bit if declared.arguments == "1" => DataType::Boolean,
        Family::Bit => DataType::UInt64,
        // A time may be negative, or longer than a day.
        Family::Text | Family::Words | Family::Time(_) => DataType::Utf8,
        Family::Other => match declared.word {
            "json" | "uuid" | "inet4" | "inet6" => DataType::Utf8,
            _ => return None,
        },
    })
}

/// Whether values of a column are moments in time, the same everywhere.
pub(super) fn is_instant(column: &Column) -> bool {
    Declared::of(&column.type_name).is_instant()
}

/// A column, called by this name, as it is selected: bits as a number, and a
/// float with all its digits.
pub(super) fn selected(name: &str, column: &Column) -> String {
    match column.family {
        Family::Bit => format!("{name} + 0"),
        Family::Float(_) => format!("{name} * 1e0"),
        _ => name.to_owned(),
    }
}

/// A type as it was declared: `decimal(12,2) unsigned`.
struct Declared<'a> {
    word: &'a str,
    arguments: &'a str,
    is_unsigned: bool,
}

impl<'a> Declared<'a> {
    fn of(type_name: &'a str) -> Self {
        let word = type_name.split(['(', ' ']).next().unwrap_or_default();
        let arguments = type_name.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
        Self {
            word,
            arguments: arguments.map_or("", |(arguments, _)| arguments),
            is_unsigned: type_name.contains(" unsigned"),
        }
    }

    fn integer(&self) -> DataType {
        match (self.word, self.is_unsigned) {
            ("tinyint", _) | ("smallint", false) => DataType::Int16,
            ("smallint", true) | ("mediumint", _) | ("int", false) => DataType::Int32,
            ("bigint", true) => DataType::UInt64,
            _ => DataType::Int64,
        }
    }

    /// The type of a decimal all of whose digits fit; any other is read as text.
    fn decimal(&self, scale: u8) -> Option<DataType> {
        let precision = self.arguments.split(',').next()?.trim();
        let precision = precision.parse().ok().filter(|p| (1..=38).contains(p))?;
        let scale = i8::try_from(scale).ok().filter(|_| scale <= precision)?;
        Some(DataType::Decimal128(precision, scale))
    }

    fn is_instant(&self) -> bool {
        self.word == "timestamp"
    }
}

/// What was read in a column.
pub(super) fn cell<'a>(value: &'a Value, type_: &DataType) -> Result<Cell<'a>, Misfit> {
    let bytes = match value {
        Value::NULL => return Ok(Cell::Null),
        Value::Bytes(bytes) => bytes,
        other => {
            return Err(Misfit { raw: other.as_sql(true), why: "came in another form".to_owned() });
        }
    };
    if *type_ == DataType::Binary {
        return Ok(Cell::Bytes(bytes));
    }
    let misfit = |raw: String, why: &str| Misfit { raw, why: why.to_owned() };
    let text = std::str::from_utf8(bytes).map_err(|_| misfit(hex(bytes), "is not UTF-8"))?;
    let (cell, why) = match type_ {
        DataType::Utf8 => (Some(Cell::Text(text)), ""),
        DataType::Boolean => (bit(text), "is no bit"),
        DataType::UInt64 => (text.parse().ok().map(Cell::UInt), "is no whole number"),
        DataType::Float32 | DataType::Float64 => {
            (text.parse().ok().map(Cell::Float), "is no number")
        }
        DataType::Decimal128(precision, scale) => {
            let digits = decimal(text, *precision, *scale);
            (digits.map(|d| Cell::Decimal(d, *scale)), "is no number with so many digits")
        }
        DataType::Date32 => (date(text).map(Cell::Date), "is no date of the years from 1 on"),
        // The session is in UTC.
        DataType::Timestamp(_, zone) => {
            let moment = timestamp(text, false).map(|us| Cell::Timestamp(us, zone.is_some()));
            (moment, "is no timestamp of the years from 1 on")
        }
        _ => (text.parse().ok().map(Cell::Int), "is no whole number"),
    };
    cell.ok_or_else(|| misfit(text.to_owned(), why))
}

fn bit(text: &str) -> Option<Cell<'static>> {
    match text {
        "0" => Some(Cell::Bool(false)),
        "1" => Some(Cell::Bool(true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_room_that_its_type_needs() {
        let integer = |type_name| Declared::of(type_name).integer();
        for (type_name, expected) in [
            ("tinyint(1)", DataType::Int16),
            ("tinyint(3) unsigned", DataType::Int16),
            ("smallint(5) unsigned zerofill", DataType::Int32),
            ("mediumint", DataType::Int32),
            ("int(11)", DataType::Int32),
            ("int unsigned", DataType::Int64),
            ("bigint(20)", DataType::Int64),
            ("bigint unsigned", DataType::UInt64),
        ] {
            assert_eq!(integer(type_name), expected, "{type_name}");
        }
    }

    #[test]
    fn a_decimal_that_has_too_many_digits_is_text() {
        let decimal = |type_name, scale| Declared::of(type_name).decimal(scale);
        assert_eq!(decimal("decimal(38,18)", 18), Some(DataType::Decimal128(38, 18)));
        assert_eq!(decimal("decimal(5,0) unsigned", 0), Some(DataType::Decimal128(5, 0)));
        assert_eq!(decimal("decimal(39,2)", 2), None);
        assert_eq!(decimal("decimal", 0), None);
    }

    #[test]
    fn what_is_no_date_is_told_without_its_value() {
        let zero = Value::Bytes(b"0000-00-00".to_vec());
        let misfit = cell(&zero, &DataType::Date32).unwrap_err();
        assert_eq!(misfit.raw, "0000-00-00");
        assert!(!misfit.why.contains("0000"));
        assert_eq!(cell(&Value::NULL, &DataType::Date32), Ok(Cell::Null));
        let bytes = Value::Bytes(vec![0xff]);
        assert_eq!(cell(&bytes, &DataType::Binary), Ok(Cell::Bytes(&[0xff])));
        assert_eq!(cell(&bytes, &DataType::Utf8).unwrap_err().raw, "ff");
    }
}
