//! Exact numbers as text, and the SQL function that adds them.

use std::fmt;

use kiln_core::Cell;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error, ffi};

/// How many decimal digits a float of eight bytes always keeps.
pub(super) const FLOAT_DIGITS: u32 = 15;

/// `digits` with `scale` of them behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) digits: i128,
    pub(super) scale: u32,
}

impl Number {
    /// Reads what SQLite takes for a number: sign, digits, point, exponent,
    /// blanks around them. `None` also for one that is too long to be exact.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut digits: i128 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            let digit = byte.is_ascii_digit().then(|| i128::from(byte - b'0'))?;
            digits = digits.checked_mul(10)?.checked_add(digit)?;
        }
        let digits = if negative { -digits } else { digits };
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        Self { digits, scale: 0 }.shifted(scale)
    }

    /// `self / 10^scale`, where it is small enough to be exact.
    fn shifted(self, scale: i32) -> Option<Self> {
        match u32::try_from(scale) {
            Ok(scale) if scale <= 1_000 => Some(Self { scale, ..self }),
            Ok(_) => None,
            Err(_) => {
                let factor = 10i128.checked_pow(scale.unsigned_abs())?;
                Some(Self { digits: self.digits.checked_mul(factor)?, scale: 0 })
            }
        }
    }

    /// The number as a cell holds it.
    pub(super) fn of_decimal(digits: i128, scale: i8) -> Option<Self> {
        Self { digits, scale: 0 }.shifted(i32::from(scale))
    }

    /// The number that a value is, if it is one.
    pub(super) fn of_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Integer(i) => Some(Self { digits: i128::from(i), scale: 0 }),
            // The shortest text of a float is the number it was made from.
            ValueRef::Real(x) => Self::parse(&x.to_string()),
            ValueRef::Text(text) => Self::parse(std::str::from_utf8(text).ok()?),
            ValueRef::Null | ValueRef::Blob(_) => None,
        }
    }

    fn plus(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let digits = self.at_scale(scale)?.checked_add(other.at_scale(scale)?)?;
        Some(Self { digits, scale })
    }

    fn at_scale(self, scale: u32) -> Option<i128> {
        self.digits.checked_mul(10i128.checked_pow(scale - self.scale)?)
    }

    /// Its digits with `scale` of them behind the point, if no more are needed.
    pub(super) fn at_exactly(self, scale: u32) -> Option<i128> {
        if scale >= self.scale {
            return self.at_scale(scale);
        }
        let unit = 10i128.checked_pow(self.scale - scale)?;
        (self.digits % unit == 0).then_some(self.digits / unit)
    }

    /// The whole number it is, if it is one that SQLite holds.
    pub(super) fn as_integer(self) -> Option<i64> {
        match 10i128.checked_pow(self.scale) {
            Some(unit) if self.digits % unit == 0 => i64::try_from(self.digits / unit).ok(),
            Some(_) => None,
            None => (self.digits == 0).then_some(0),
        }
    }

    /// Whether a float keeps all its digits.
    pub(super) fn fits_float(self) -> bool {
        let mut digits = self.digits.unsigned_abs();
        while digits != 0 && digits.is_multiple_of(10) {
            digits /= 10;
        }
        digits < 10u128.pow(FLOAT_DIGITS)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i8::try_from(self.scale) {
            Ok(scale) => Cell::Decimal(self.digits, scale).fmt(f),
            Err(_) => write!(f, "{}e-{}", self.digits, self.scale),
        }
    }
}

/// The name of the SQL function that adds exactly.
pub(super) const ADD: &str = "kiln_add";

/// Gives a connection the function `kiln_add(a, b)`: the exact sum of two
/// numbers or texts of numbers. NULL counts as nothing; a sum that would lose a
/// digit, or an addend that is no number, is an error.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(ADD, 2, flags, |context: &Context<'_>| {
        // A message would replace the code, which says that the item is at fault.
        let refused =
            || Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CONSTRAINT_FUNCTION), None);
        add(context.get_raw(0), context.get_raw(1)).ok_or_else(refused)
    })
}

fn add(a: ValueRef<'_>, b: ValueRef<'_>) -> Option<Value> {
    match (a, b) {
        (ValueRef::Null, other) | (other, ValueRef::Null) => Value::try_from(other).ok(),
        (ValueRef::Integer(a), ValueRef::Integer(b)) => a.checked_add(b).map(Value::Integer),
        _ => {
            let sum = Number::of_value(a)?.plus(Number::of_value(b)?)?;
            let rounds = matches!(a, ValueRef::Real(_)) || matches!(b, ValueRef::Real(_));
            (!rounds || sum.fits_float()).then(|| Value::Text(sum.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<String> {
        Number::parse(text).map(|n| n.to_string())
    }

    #[test]
    fn numbers_are_read_as_sqlite_reads_them() {
        let cases = [
            ("12", Some("12")),
            (" -2.50 ", Some("-2.50")),
            ("+.5", Some("0.5")),
            ("3.", Some("3")),
            ("1e3", Some("1000")),
            ("12.5E-2", Some("0.125")),
            ("", None),
            (".", None),
            ("-", None),
            ("1.2.3", None),
            ("12x", None),
            ("0x10", None),
            ("inf", None),
            ("NaN", None),
            ("1e", None),
            ("1e999999999", None),
            ("9999999999999999999999999999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn sums_are_exact_or_refused() {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        let sum = |sql: &str| {
            connection.query_row(&format!("SELECT kiln_add({sql})"), [], |r| r.get::<_, Value>(0))
        };
        let text = |t: &str| Value::Text(t.to_owned());
        let cases = [
            ("'0.10', '0.20'", text("0.30")),
            ("'1.5', 2", text("3.5")),
            ("0.1, 0.2", text("0.3")),
            ("1, 2", Value::Integer(3)),
            ("NULL, '1.50'", text("1.50")),
            ("7, NULL", Value::Integer(7)),
            ("NULL, NULL", Value::Null),
            (
                "'99999999999999999999999999999999999.99', '0.01'",
                text("100000000000000000000000000000000000.00"),
            ),
        ];
        for (sql, expected) in cases {
            assert_eq!(sum(sql).unwrap(), expected, "{sql}");
        }
        for sql in [
            "9223372036854775807, 1",
            "'abc', 1",
            "x'00', 1",
            "123456789012345.5, 0.25",
            "'99999999999999999999999999999999999999', '0.000000000001'",
        ] {
            let error = sum(sql).unwrap_err();
            let code = error.sqlite_error().map(|e| e.extended_code);
            assert_eq!(code, Some(ffi::SQLITE_CONSTRAINT_FUNCTION), "{sql}");
        }
    }
}
