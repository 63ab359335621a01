//! Values as the server reads them, and those that it would change unseen.

use std::fmt::Write as _;

use kiln_core::{Cell, Fault};

use super::table::Column;
use super::types::Family;

/// Whether the column would keep the value as it is. What the server refuses or
/// warns of by itself is left to the server; here is what it changes in silence:
/// digits behind a second or a point, years of two digits, the number of a word,
/// zeros behind bytes.
///
/// # Errors
/// [`Kind::Item`](kiln_core::Kind::Item) if not.
pub(super) fn check_value(cell: Cell<'_>, column: &Column) -> Result<(), Fault> {
    let wrong = match cell {
        Cell::Null if column.replaces_null => Some(("1048", "NULL would become another value")),
        Cell::Null => None,
        Cell::Text(text) => check_text(text, column),
        _ => check_other(cell, column.family),
    };
    match wrong {
        None => Ok(()),
        Some((code, why)) => Err(Fault::item(format!("{why} in {}", column.type_name))
            .with_code(code)
            .with_column(column.name.as_str())),
    }
}

type Wrong = Option<(&'static str, &'static str)>;

const TRUNCATED: &str = "1265";
const INCORRECT: &str = "1292";
const OUT_OF_CALENDAR: Wrong = Some((INCORRECT, "the year is out of range"));
/// Microseconds.
const DAY: i64 = 86_400_000_000;
const TOO_PRECISE: (&str, &str) = (TRUNCATED, "digits behind the second would be lost");

fn check_other(cell: Cell<'_>, family: Family) -> Wrong {
    match (cell, family) {
        (Cell::Float(x), _) if !x.is_finite() => Some(("1264", "what is no number has no place")),
        (Cell::Int(i), Family::Float(single)) if !is_exact(i.into(), single) => {
            Some((TRUNCATED, "digits of the number would be lost"))
        }
        (Cell::UInt(u), Family::Float(single)) if !is_exact(u.into(), single) => {
            Some((TRUNCATED, "digits of the number would be lost"))
        }
        (Cell::Int(year), Family::Year) if year != 0 && !(1901..=2155).contains(&year) => {
            Some(("1264", "the year is out of range"))
        }
        (Cell::Time(us), Family::Time(digits)) if loses(us, digits) => Some(TOO_PRECISE),
        (Cell::Timestamp(us, _), Family::Timestamp(digits)) if loses(us, digits) => {
            Some(TOO_PRECISE)
        }
        (Cell::Date(days), _) if !is_in_range(days.into()) => OUT_OF_CALENDAR,
        (Cell::Timestamp(us, _), _) if !is_in_range(us.div_euclid(DAY)) => OUT_OF_CALENDAR,
        (Cell::Bytes(bytes), Family::Bytes(Some(n))) if (bytes.len() as u64) < n => {
            Some((TRUNCATED, "zeros would be added to the bytes"))
        }
        _ => None,
    }
}

fn check_text(text: &str, column: &Column) -> Wrong {
    match column.family {
        Family::Int if !is_whole(text.trim()) => Some(("1366", "the text is no whole number")),
        Family::Year if !is_year(text.trim()) => Some(("1366", "the text is no year")),
        Family::Date if !is_date(text.trim()) => {
            Some((INCORRECT, "the text is no date of the form YYYY-MM-DD"))
        }
        Family::Timestamp(digits) => check_moment(text.trim(), digits),
        Family::Time(digits) => match text.contains(':') {
            false => Some((INCORRECT, "the text is no time of the form HH:MM:SS")),
            true => fraction(text.trim(), digits),
        },
        Family::Words if is_digits(text.trim()) && !column.has_word(text.trim()) => {
            Some((TRUNCATED, "there is no such word"))
        }
        Family::Bytes(Some(n)) if (text.len() as u64) < n => {
            Some((TRUNCATED, "zeros would be added to the bytes"))
        }
        _ => None,
    }
}

fn check_moment(text: &str, digits: u8) -> Wrong {
    let date = text.get(..10).unwrap_or(text);
    let rest = text.get(10..).unwrap_or_default();
    match is_date(date) {
        false => Some((INCORRECT, "the text is no time of the form YYYY-MM-DD HH:MM:SS")),
        true => fraction(rest, digits),
    }
}

fn fraction(text: &str, digits: u8) -> Wrong {
    let behind = text.split_once('.').map_or("", |(_, behind)| behind);
    let kept = behind.len().min(digits.into());
    let lost = behind.as_bytes()[kept..].iter().take_while(|b| b.is_ascii_digit());
    lost.copied().any(|b| b != b'0').then_some(TOO_PRECISE)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, behind) = digits.split_once('.').unwrap_or((digits, ""));
    is_digits(whole) && behind.bytes().all(|b| b == b'0')
}

fn is_year(text: &str) -> bool {
    text.len() == 4 && is_digits(text)
}

fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let mut next = |len: usize| parts.next().is_some_and(|p| p.len() == len && is_digits(p));
    next(4) && next(2) && next(2)
}

fn is_exact(number: i128, single: bool) -> bool {
    let kept = if single { f64::from(number as f32) } else { number as f64 };
    kept as i128 == number
}

/// Whether microseconds have digits behind those that are kept.
fn loses(us: i64, digits: u8) -> bool {
    10i64.checked_pow(6u32.saturating_sub(digits.into())).is_some_and(|unit| us % unit != 0)
}

/// Whether a day, counted from 1970-01-01, is in the years 0 to 9999.
fn is_in_range(day: i64) -> bool {
    (-719_528..=2_932_896).contains(&day)
}

/// Adds a value to a statement.
pub(super) fn push_literal(sql: &mut String, cell: Cell<'_>, family: Family) {
    match cell {
        Cell::Bytes(bytes) => {
            sql.push_str("x'");
            push_hex(sql, bytes);
            sql.push('\'');
        }
        Cell::Null | Cell::Int(_) | Cell::UInt(_) | Cell::Decimal(..) => push_plain(sql, cell),
        Cell::Bool(yes) if family != Family::Text => sql.push(if yes { '1' } else { '0' }),
        Cell::Text(text) => push_quoted(sql, trimmed(text, family)),
        _ => {
            sql.push('\'');
            push_unquoted(sql, cell, family);
            sql.push('\'');
        }
    }
}

/// Adds a value to a line of `LOAD DATA`; bytes are hexadecimal there.
pub(super) fn push_field(line: &mut String, cell: Cell<'_>, family: Family) {
    match cell {
        Cell::Null => line.push_str("\\N"),
        Cell::Bytes(bytes) => push_hex(line, bytes),
        Cell::Bool(yes) if family != Family::Text => line.push(if yes { '1' } else { '0' }),
        // The server turns the hexadecimal digits of such a column into bytes.
        Cell::Text(text) if matches!(family, Family::Bytes(_)) => push_hex(line, text.as_bytes()),
        Cell::Text(text) => push_escaped(line, trimmed(text, family)),
        _ => push_unquoted(line, cell, family),
    }
}

fn push_escaped(line: &mut String, mut text: &str) {
    while let Some(at) = text.find(['\\', '\t', '\n', '\0']) {
        line.push_str(&text[..at]);
        line.push_str(match text.as_bytes()[at] {
            b'\\' => "\\\\",
            b'\t' => "\\t",
            b'\n' => "\\n",
            _ => "\\0",
        });
        text = &text[at + 1..];
    }
    line.push_str(text);
}

/// A text that needs neither quotes nor escapes of its own.
fn push_unquoted(sql: &mut String, cell: Cell<'_>, family: Family) {
    // Writing to a String never fails.
    let _ = match (cell, family) {
        // A float is rounded by nature; the server would say so each time.
        (Cell::Float(x), Family::Numeric(scale)) => write!(sql, "{x:.*}", usize::from(scale)),
        (Cell::Float(x), Family::Float(_)) => write!(sql, "{x:e}"),
        // Sessions are in UTC.
        (Cell::Timestamp(us, _), Family::Timestamp(_)) => {
            write!(sql, "{}", Cell::Timestamp(us, false))
        }
        _ => write!(sql, "{cell}"),
    };
}

fn push_plain(sql: &mut String, cell: Cell<'_>) {
    let _ = write!(sql, "{cell}");
}

/// Of a number only its digits count.
fn trimmed(text: &str, family: Family) -> &str {
    if family.is_number() { text.trim() } else { text }
}

/// Adds a text in quotes. The session reads backslashes as escapes, and UTF-8.
pub(super) fn push_quoted(sql: &mut String, mut text: &str) {
    sql.push('\'');
    while let Some(at) = text.find(['\\', '\'', '\0']) {
        sql.push_str(&text[..at]);
        sql.push_str(match text.as_bytes()[at] {
            b'\\' => "\\\\",
            b'\'' => "\\'",
            _ => "\\0",
        });
        text = &text[at + 1..];
    }
    sql.push_str(text);
    sql.push('\'');
}

pub(super) fn push_hex(sql: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            sql.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(cell: Cell<'_>, family: Family) -> String {
        let mut sql = String::new();
        push_literal(&mut sql, cell, family);
        sql
    }

    #[test]
    fn nothing_leaves_its_quotes() {
        assert_eq!(literal(Cell::Text("a'b\\'c\0é"), Family::Text), "'a\\'b\\\\\\'c\\0é'");
        assert_eq!(literal(Cell::Bytes(b"\x00'\xff"), Family::Bytes(None)), "x'0027ff'");
        assert_eq!(literal(Cell::Text(" 12 "), Family::Int), "'12'");
        assert_eq!(literal(Cell::Text(" 12 "), Family::Text), "' 12 '");
        assert_eq!(literal(Cell::Bool(true), Family::Text), "'true'");
        assert_eq!(literal(Cell::Bool(true), Family::Bit), "1");
        assert_eq!(literal(Cell::Float(1e300), Family::Float(false)), "'1e300'");
        assert_eq!(literal(Cell::Float(0.1 + 0.2), Family::Numeric(2)), "'0.30'");
        assert_eq!(literal(Cell::Decimal(-5, 2), Family::Numeric(3)), "-0.05");
        assert_eq!(literal(Cell::Timestamp(1, true), Family::Timestamp(6)).len(), 28);
    }

    #[test]
    fn nothing_ends_a_line_or_a_field_early() {
        let mut line = String::new();
        push_field(&mut line, Cell::Text("a\tb\\N\n\0."), Family::Text);
        line.push('\t');
        push_field(&mut line, Cell::Null, Family::Text);
        line.push('\t');
        push_field(&mut line, Cell::Bytes(&[0, 255]), Family::Bytes(None));
        assert_eq!(line, "a\\tb\\\\N\\n\\0.\t\\N\t00ff");
    }

    #[test]
    fn what_the_server_changes_in_silence_is_refused() {
        let column = |type_name: &str, family| Column {
            name: "c".into(),
            type_name: type_name.into(),
            declared: String::new(),
            family,
            not_null: false,
            by_itself: false,
            only_by_itself: false,
            counts: false,
            replaces_null: false,
        };
        let kept =
            |cell, type_name: &str, family| check_value(cell, &column(type_name, family)).is_ok();
        let text = |t| Cell::Text(t);
        let second = Family::Timestamp(0);
        for (cell, type_name, family, is_kept) in [
            (text("1.5"), "int", Family::Int, false),
            (text(" +1.00 "), "int", Family::Int, true),
            (text("x"), "int", Family::Int, false),
            (Cell::Int(5), "year", Family::Year, false),
            (Cell::Int(2024), "year", Family::Year, true),
            (text("70"), "year", Family::Year, false),
            (text("2"), "enum('a','b')", Family::Words, false),
            (text("2"), "enum('1','2')", Family::Words, true),
            (text("c"), "enum('a','b')", Family::Words, true),
            (Cell::Timestamp(1_500_000, false), "datetime", second, false),
            (Cell::Timestamp(1_000_000, false), "datetime", second, true),
            (Cell::Timestamp(1_500_000, false), "datetime(1)", Family::Timestamp(1), true),
            (text("2020-01-01 00:00:00.70"), "datetime", second, false),
            (text("2020-01-01T00:00:00.70"), "datetime(1)", Family::Timestamp(1), true),
            (text("20-01-01"), "datetime", second, false),
            (text("20-01-01"), "date", Family::Date, false),
            (text("2020-01-01"), "date", Family::Date, true),
            (text("1200"), "time", Family::Time(0), false),
            (text("12:00"), "time", Family::Time(0), true),
            (Cell::Bytes(b"ab"), "binary(4)", Family::Bytes(Some(4)), false),
            (Cell::Bytes(b"abcd"), "binary(4)", Family::Bytes(Some(4)), true),
            (Cell::Int(16_777_217), "float", Family::Float(true), false),
            (Cell::Int(16_777_217), "double", Family::Float(false), true),
            (Cell::Float(f64::NAN), "double", Family::Float(false), false),
            (Cell::Date(i32::MAX), "date", Family::Date, false),
        ] {
            assert_eq!(kept(cell, type_name, family), is_kept, "{cell:?} in {type_name}");
        }
        let counting = Column { replaces_null: true, ..column("int", Family::Int) };
        assert!(check_value(Cell::Null, &counting).is_err());
    }
}
