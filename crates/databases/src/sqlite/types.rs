//! What SQLite makes of a declared type, which items fit it, and how a value is
//! handed over.
//!
//! SQLite lets nearly every value into every column and changes some on the
//! way: text becomes a number where it looks like one, a decimal becomes a
//! float, NaN becomes NULL. Here such a value is refused instead, or the column
//! is, before anything is written.

use std::fmt::Write as _;

use arrow_schema::DataType;
use kiln_core::Cell;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use super::number::{FLOAT_DIGITS, Number};
use crate::fit::ItemType;

/// What a column does with values, from its declared type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Numbers become text.
    Text,
    /// Whole numbers.
    Integer,
    /// Numbers; a fraction is kept as a float.
    Number,
    /// Days and times as text, or as numbers.
    Moment,
    /// A type SQLite does not know: text that looks like a number becomes one.
    Word,
    /// Everything, as it is.
    Anything,
}

impl Takes {
    /// SQLite's rules for a column's affinity, and names that people use for
    /// what these rules call numeric.
    pub(super) fn of(declared: &str, strict: bool) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if declared.is_empty() || (strict && declared == "ANY") {
            Self::Anything
        } else if has(&["INT"]) {
            Self::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if has(&["BLOB"]) {
            Self::Anything
        } else if has(&["REAL", "FLOA", "DOUB", "NUM", "DEC", "MONEY", "BOOL"]) {
            Self::Number
        } else if has(&["DATE", "TIME"]) {
            Self::Moment
        } else {
            Self::Word
        }
    }
}

impl Takes {
    /// A type that compares values as the column does.
    pub(super) fn affinity(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Integer => "INTEGER",
            Self::Number | Self::Moment | Self::Word => "NUMERIC",
            Self::Anything => "BLOB",
        }
    }
}

/// Whether items of a type may go into a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fit {
    /// They may.
    Yes,
    /// They may, with something to know.
    Note(&'static str),
    /// They may not, and why, if that is not plain.
    No(Option<&'static str>),
}

/// Whether items of a type may go into a column.
pub(super) fn fit(type_: &DataType, takes: Takes) -> Fit {
    use ItemType as I;
    use Takes as T;
    let Some(item) = ItemType::of(type_) else { return Fit::No(None) };
    let fits = match item {
        I::Null => true,
        I::Text => match takes {
            T::Word => {
                return Fit::Note(
                    "SQLite turns text that looks like a number into one; declare it TEXT",
                );
            }
            _ => true,
        },
        I::Int => true,
        I::Float => matches!(takes, T::Number | T::Anything),
        I::Bool => matches!(takes, T::Integer | T::Number | T::Anything),
        I::Decimal(precision, scale) => match takes {
            T::Text | T::Anything => true,
            T::Integer => scale <= 0,
            T::Number | T::Word if u32::from(precision) > FLOAT_DIGITS => {
                return Fit::No(Some(
                    "SQLite keeps 15 digits there; declare it TEXT to keep every digit, or cast to decimal(15,…)",
                ));
            }
            T::Number | T::Word => {
                return Fit::Note("kept as a float by SQLite; declare it TEXT to keep every digit");
            }
            T::Moment => false,
        },
        I::Bytes => takes == T::Anything,
        I::Date | I::Time | I::Timestamp(_) => {
            matches!(takes, T::Text | T::Moment | T::Anything)
        }
    };
    if fits { Fit::Yes } else { Fit::No(None) }
}

/// The value as SQLite takes it, or why the column can't keep it as it is.
/// `text` is room for values that are written as text.
pub(super) fn value<'a>(
    cell: Cell<'a>,
    takes: Takes,
    text: &'a mut String,
) -> Result<ToSqlOutput<'a>, &'static str> {
    let integer = |i| Ok(ToSqlOutput::Owned(Value::Integer(i)));
    match cell {
        Cell::Null => Ok(ToSqlOutput::Owned(Value::Null)),
        Cell::Bool(b) => integer(i64::from(b)),
        Cell::Int(i) => integer(i),
        Cell::UInt(_) if matches!(takes, Takes::Text | Takes::Anything) => written(cell, text),
        Cell::UInt(_) => Err("is out of the range of SQLite's integers"),
        Cell::Float(x) if x.is_nan() => Err("is not a number (NaN), which SQLite makes NULL"),
        Cell::Float(x) => Ok(ToSqlOutput::Owned(Value::Real(x))),
        Cell::Decimal(digits, scale) => {
            let number = || Number::of_decimal(digits, scale);
            match takes {
                Takes::Integer => match number().and_then(Number::as_integer) {
                    Some(i) => integer(i),
                    None => Err("is no whole number in the range of SQLite's integers"),
                },
                Takes::Number | Takes::Word if !number().is_some_and(Number::fits_float) => {
                    Err("has more digits than SQLite keeps there")
                }
                _ => written(cell, text),
            }
        }
        Cell::Text(t) => checked_text(t, takes),
        Cell::Bytes(b) => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(b))),
        Cell::Date(_) | Cell::Time(_) | Cell::Timestamp(_, false) => in_range(written(cell, text)),
        Cell::Timestamp(us, true) => {
            // SQLite's own functions read a Z, not the short "+00".
            let _ = write!(text, "{}Z", Cell::Timestamp(us, false));
            in_range(Ok(borrowed(text)))
        }
    }
}

fn written<'a>(cell: Cell<'_>, text: &'a mut String) -> Result<ToSqlOutput<'a>, &'static str> {
    match write!(text, "{cell}") {
        Ok(()) => Ok(borrowed(text)),
        Err(_) => Err("can't be written as text"),
    }
}

/// A moment that has no date has words in place of one.
fn in_range<'a>(
    output: Result<ToSqlOutput<'a>, &'static str>,
) -> Result<ToSqlOutput<'a>, &'static str> {
    match output {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text([b'd' | b't', ..]))) => {
            Err("is out of the range of dates")
        }
        other => other,
    }
}

fn checked_text<'a>(text: &'a str, takes: Takes) -> Result<ToSqlOutput<'a>, &'static str> {
    let kept = match takes {
        Takes::Integer => Number::parse(text).is_some_and(|n| n.as_integer().is_some()),
        Takes::Number => Number::parse(text).is_some_and(Number::fits_float),
        _ => return Ok(borrowed(text)),
    };
    match (kept, takes) {
        (true, _) => Ok(borrowed(text)),
        (false, Takes::Integer) => Err("is no whole number in the range of SQLite's integers"),
        (false, _) => Err("is no number, or has more digits than SQLite keeps there"),
    }
}

fn borrowed(text: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_are_read_as_sqlite_reads_them() {
        let cases = [
            ("INTEGER", Takes::Integer),
            ("unsigned big int", Takes::Integer),
            ("POINT", Takes::Integer),
            ("varchar(20)", Takes::Text),
            ("BLOB", Takes::Anything),
            ("", Takes::Anything),
            ("double precision", Takes::Number),
            ("NUMERIC(10,2)", Takes::Number),
            ("BOOLEAN", Takes::Number),
            ("TIMESTAMP", Takes::Moment),
            ("DATETIME", Takes::Moment),
            ("UUID", Takes::Word),
            ("ANY", Takes::Word),
        ];
        for (declared, takes) in cases {
            assert_eq!(Takes::of(declared, false), takes, "{declared}");
        }
        assert_eq!(Takes::of("ANY", true), Takes::Anything);
    }

    #[test]
    fn a_value_is_kept_as_it_is_or_refused() {
        let kept = |cell: Cell<'_>, takes| {
            let mut text = String::new();
            match value(cell, takes, &mut text) {
                Ok(ToSqlOutput::Borrowed(value)) => Some(Value::try_from(value).unwrap()),
                Ok(ToSqlOutput::Owned(value)) => Some(value),
                _ => None,
            }
        };
        let text = |t: &str| Some(Value::Text(t.to_owned()));
        assert_eq!(kept(Cell::Decimal(2550, 3), Takes::Text), text("2.550"));
        assert_eq!(kept(Cell::Decimal(2000, 3), Takes::Integer), Some(Value::Integer(2)));
        assert_eq!(kept(Cell::Decimal(2550, 3), Takes::Integer), None);
        assert_eq!(kept(Cell::Decimal(10i128.pow(16) + 1, 2), Takes::Number), None);
        assert_eq!(
            kept(Cell::Decimal(10i128.pow(20), 2), Takes::Number),
            text("1000000000000000000.00")
        );
        assert_eq!(kept(Cell::Text("abc"), Takes::Integer), None);
        assert_eq!(kept(Cell::Text(" 12 "), Takes::Integer), text(" 12 "));
        assert_eq!(kept(Cell::Text("1.5"), Takes::Integer), None);
        assert_eq!(kept(Cell::Text(""), Takes::Number), None);
        assert_eq!(kept(Cell::Text("abc"), Takes::Text), text("abc"));
        assert_eq!(kept(Cell::Float(f64::NAN), Takes::Number), None);
        assert_eq!(kept(Cell::UInt(u64::MAX), Takes::Integer), None);
        assert_eq!(kept(Cell::UInt(u64::MAX), Takes::Text), text("18446744073709551615"));
        assert_eq!(kept(Cell::Timestamp(0, true), Takes::Text), text("1970-01-01 00:00:00Z"));
        assert_eq!(kept(Cell::Timestamp(i64::MAX, true), Takes::Text), None);
        assert_eq!(kept(Cell::Date(i32::MAX), Takes::Text), None);
    }
}
