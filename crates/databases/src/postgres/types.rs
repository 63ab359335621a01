//! Which values fit which columns.

use arrow_schema::DataType;
use kiln_core::Cell;

use crate::fit::ItemType;

/// The types of columns, as far as kiln tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Bool,
    Int,
    Float,
    /// With the digits kept behind the point, where they are limited.
    Numeric(Option<i32>),
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    /// Any other type, which the server reads from text.
    Other,
}

impl Family {
    /// The family of a type by its plain name, its category in `pg_type` and
    /// its modifier.
    pub(super) fn new(name: &str, category: &str, modifier: i32) -> Self {
        match name {
            "bool" => Self::Bool,
            "int2" | "int4" | "int8" => Self::Int,
            "float4" | "float8" => Self::Float,
            "numeric" => Self::Numeric(scale_of(modifier)),
            "bytea" => Self::Bytes,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" | "timestamptz" => Self::Timestamp,
            _ if category == "S" => Self::Text,
            _ => Self::Other,
        }
    }

    /// Whether values of an item's column may go into a column of this family.
    /// Text always may: the server reads it, and a value that does not fit
    /// fails its item.
    pub(super) fn takes(self, item: &DataType) -> bool {
        let Some(item) = ItemType::of(item) else { return false };
        match item {
            ItemType::Null | ItemType::Text => true,
            ItemType::Bytes => self == Self::Bytes,
            ItemType::Bool => matches!(self, Self::Bool | Self::Text),
            ItemType::Int => {
                matches!(self, Self::Int | Self::Numeric(_) | Self::Float | Self::Text)
            }
            ItemType::Float => matches!(self, Self::Float | Self::Numeric(_) | Self::Text),
            ItemType::Decimal(_, scale) => match self {
                Self::Numeric(_) | Self::Text => true,
                Self::Int => scale <= 0,
                _ => false,
            },
            ItemType::Date => matches!(self, Self::Date | Self::Timestamp | Self::Text),
            ItemType::Time => matches!(self, Self::Time | Self::Text),
            ItemType::Timestamp(_) => matches!(self, Self::Timestamp | Self::Text),
        }
    }

    /// Whether the column holds numbers that can be added up.
    pub(super) fn adds(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Numeric(_))
    }
}

/// The scale in the modifier of a numeric type: the lowest eleven bits, signed.
fn scale_of(modifier: i32) -> Option<i32> {
    (modifier >= 4).then(|| (((modifier - 4) & 0x7ff) ^ 0x400) - 0x400)
}

/// Whether a column that keeps `scale` digits behind the point would round the
/// value. Floats are rounded by nature and are not looked at.
pub(super) fn would_round(cell: Cell<'_>, scale: i32) -> bool {
    match cell {
        Cell::Decimal(digits, own) => loses_digits(digits, i32::from(own) - scale),
        Cell::Int(i) => loses_digits(i.into(), -scale),
        Cell::UInt(u) => loses_digits(u.into(), -scale),
        Cell::Text(text) => digits_behind_point(text).is_some_and(|n| n > i64::from(scale)),
        _ => false,
    }
}

/// Whether one of the last `places` digits is not zero.
fn loses_digits(digits: i128, places: i32) -> bool {
    match u32::try_from(places) {
        Err(_) | Ok(0) => false,
        Ok(places) => match 10i128.checked_pow(places) {
            Some(unit) => digits % unit != 0,
            None => digits != 0,
        },
    }
}

/// How many digits behind the point a number's text needs, zeros at its end
/// left out (negative: it ends in zeros before the point); `None` if it is no
/// plain number or zero.
fn digits_behind_point(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(behind.bytes());
    if !digits().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let zeros = digits().rev().take_while(|b| *b == b'0').count();
    if zeros == digits().count() {
        return None;
    }
    Some(behind.len() as i64 - zeros as i64 - i64::from(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_of_a_numeric_is_signed() {
        let modifier = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        assert_eq!(scale_of(-1), None);
        for scale in [0, 3, 1000, -3, -1000] {
            assert_eq!(scale_of(modifier(12, scale)), Some(scale));
        }
    }

    #[test]
    fn only_digits_that_are_not_zero_are_missed() {
        let cases = [
            (Cell::Decimal(2550, 3), 2, false),
            (Cell::Decimal(2555, 3), 2, true),
            (Cell::Decimal(-1, 38), 0, true),
            (Cell::Decimal(0, 38), 0, false),
            (Cell::Int(1500), -2, false),
            (Cell::Int(1550), -2, true),
            (Cell::Text("1.50"), 1, false),
            (Cell::Text("1.55"), 1, true),
            (Cell::Text(" -0.001 "), 2, true),
            (Cell::Text("155e-2"), 1, true),
            (Cell::Text("1.5e1"), 0, false),
            (Cell::Text("0.000"), 0, false),
            (Cell::Text("abc"), 0, false),
            (Cell::Text("NaN"), 0, false),
            (Cell::Null, 0, false),
        ];
        for (cell, scale, rounds) in cases {
            assert_eq!(would_round(cell, scale), rounds, "{cell:?} at {scale}");
        }
    }
}
