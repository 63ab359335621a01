//! Which values a column may refuse, as far as it can be told without asking.

use std::ops::RangeInclusive;

use chrono::{NaiveDate, NaiveTime};
use kiln_core::Cell;
use serde_json::Value;

use super::table::Column;
use super::types::Family;

/// Whether the column may refuse the value. It is a guess: a value that the
/// server would read may be doubtful, one that it would not may seem plain.
pub(super) fn is_doubtful(cell: Cell<'_>, column: &Column) -> bool {
    match cell {
        Cell::Text(text) => !is_plain(text, column),
        Cell::Int(n) => !holds(column, n.into(), 0),
        Cell::UInt(n) => !holds(column, n.into(), 0),
        Cell::Decimal(digits, scale) => !holds(column, digits, scale),
        _ => false,
    }
}

/// Whether a text is written as values of the column usually are.
fn is_plain(text: &str, column: &Column) -> bool {
    match column.family {
        Family::Bool => matches!(text, "t" | "f" | "true" | "false" | "1" | "0" | "yes" | "no"),
        Family::Int => text.parse().is_ok_and(|n: i64| range(column).contains(&n.into())),
        Family::Float => is_number(text),
        Family::Numeric(_) => is_number(text) && whole_digits(text) <= room(column),
        Family::Text => limits(column).first().is_none_or(|most| text.chars().count() <= *most),
        Family::Bytes => !text.contains('\\') || text.starts_with("\\x"),
        Family::Date => is_date(text),
        Family::Time => is_time(text),
        Family::Timestamp => match text.split_once([' ', 'T']) {
            Some((date, time)) => is_date(date) && is_time(time),
            None => is_date(text),
        },
        Family::Other => match column.cast.as_str() {
            "uuid" => text.len() == 36 && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()),
            "json" | "jsonb" => serde_json::from_str::<Value>(text).is_ok(),
            _ => true,
        },
    }
}

/// Whether a number's column has room for it.
fn holds(column: &Column, digits: i128, scale: i8) -> bool {
    let unit = 10i128.checked_pow(scale.unsigned_abs().into()).unwrap_or(i128::MAX);
    let whole = if scale < 0 { digits.saturating_mul(unit) } else { digits / unit };
    match column.family {
        Family::Int => range(column).contains(&whole),
        Family::Numeric(_) => whole == 0 || (whole.unsigned_abs().ilog10() as usize) < room(column),
        _ => true,
    }
}

fn range(column: &Column) -> RangeInclusive<i128> {
    match column.cast.as_str() {
        "smallint" => i16::MIN.into()..=i16::MAX.into(),
        "integer" => i32::MIN.into()..=i32::MAX.into(),
        _ => i64::MIN.into()..=i64::MAX.into(),
    }
}

/// How many digits a `numeric` has before the point.
fn room(column: &Column) -> usize {
    match limits(column)[..] {
        [precision] => precision,
        [precision, scale] => precision.saturating_sub(scale),
        _ => usize::MAX,
    }
}

/// The numbers in the type's brackets.
fn limits(column: &Column) -> Vec<usize> {
    let inside = column.type_name.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let numbers = inside.map(|(inside, _)| inside.split(',').map(|n| n.trim().parse()));
    numbers.and_then(|numbers| numbers.collect::<Result<_, _>>().ok()).unwrap_or_default()
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, behind) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    is_digits(whole) && is_digits(behind)
}

fn whole_digits(text: &str) -> usize {
    let digits = text.trim_start_matches(['-', '+', '0']);
    digits.split_once('.').map_or(digits, |(whole, _)| whole).len()
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

fn is_time(text: &str) -> bool {
    let clock = text.trim_end_matches('Z');
    let clock = clock.split_once('+').map_or(clock, |(clock, _)| clock);
    ["%H:%M:%S%.f", "%H:%M"].iter().any(|form| NaiveTime::parse_from_str(clock, form).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(type_name: &str, family: Family) -> Column {
        let cast = type_name.split('(').next().unwrap_or_default().to_owned();
        Column { type_name: type_name.into(), cast, ..Column::plain("c", family) }
    }

    #[test]
    fn what_is_not_plain_is_doubtful() {
        let text = column("character varying(3)", Family::Text);
        let numeric = column("numeric(5,2)", Family::Numeric(Some(2)));
        let cases: &[(&Column, &[&str], &[&str])] = &[
            (
                &column("integer", Family::Int),
                &["0", "-12", "2147483647"],
                &["", "x", "1.5", "2147483648"],
            ),
            (&column("smallint", Family::Int), &["32767"], &["32768"]),
            (&numeric, &["1", "-999.99", "0001"], &["1000", "1e2", "1,5", "."]),
            (&text, &["", "äöü"], &["abcd"]),
            (&column("text", Family::Text), &["abcd"], &[]),
            (&column("boolean", Family::Bool), &["t", "false"], &["maybe", ""]),
            (&column("date", Family::Date), &["2024-02-29"], &["2023-02-29", "29.02.2024"]),
            (
                &column("timestamp without time zone", Family::Timestamp),
                &["2024-02-29 23:59:59.5", "2024-02-29T01:02", "2024-02-29"],
                &["2024-02-29 24:61", "soon"],
            ),
            (&column("uuid", Family::Other), &["67e55044-10b1-426f-9247-bb680e5fe0c8"], &["67e5"]),
            (&column("jsonb", Family::Other), &["{\"a\": [1]}"], &["{a}"]),
        ];
        for (column, plain, doubtful) in cases {
            for (texts, is) in [(plain, false), (doubtful, true)] {
                for text in *texts {
                    let found = is_doubtful(Cell::Text(text), column);
                    assert_eq!(found, is, "{text:?} as {}", column.type_name);
                }
            }
        }
    }

    #[test]
    fn numbers_are_doubtful_beyond_their_columns_room() {
        let (int, numeric) =
            (column("integer", Family::Int), column("numeric(5,2)", Family::Numeric(Some(2))));
        for (cell, of, is) in [
            (Cell::Int(1 << 31), &int, true),
            (Cell::Int(-(1 << 31)), &int, false),
            (Cell::Decimal(99_999, 2), &numeric, false),
            (Cell::Decimal(100_000, 2), &numeric, true),
            (Cell::UInt(u64::MAX), &int, true),
            (Cell::Null, &int, false),
        ] {
            assert_eq!(is_doubtful(cell, of), is, "{cell:?} as {}", of.type_name);
        }
    }
}
