//! Values as text that PostgreSQL reads.

use std::fmt::Write as _;

use arrow_array::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use kiln_core::{Cell, Fault};

use super::table::Column;
use super::types::{Family, would_round};

/// Whether the column can hold the value as it is; what the server would see
/// by itself is left to the server.
///
/// # Errors
/// [`Kind::Item`](kiln_core::Kind::Item) if not.
pub(super) fn check_value(cell: Cell<'_>, column: &Column) -> Result<(), Fault> {
    let wrong = match cell {
        Cell::Null => return Ok(()),
        Cell::Text(text) if text.as_bytes().contains(&0) => Some((
            "22021",
            "the text holds a NUL character, which PostgreSQL can't keep".to_owned(),
        )),
        Cell::Date(days) if date32_to_datetime(days).is_none() => {
            Some(("22008", "the date is out of range".to_owned()))
        }
        Cell::Timestamp(us, _) if timestamp_us_to_datetime(us).is_none() => {
            Some(("22008", "the timestamp is out of range".to_owned()))
        }
        _ => match column.family {
            Family::Numeric(Some(scale)) if would_round(cell, scale) => Some((
                "22003",
                format!("{cell} has more digits behind the point than {} keeps", column.type_name),
            )),
            _ => None,
        },
    };
    match wrong {
        None => Ok(()),
        Some((code, message)) => {
            Err(Fault::item(message).with_code(code).with_column(column.name.as_str()))
        }
    }
}

/// Adds a value to a line of `COPY … FROM STDIN` in text format.
pub(super) fn push_copy(line: &mut String, cell: Cell<'_>) {
    match cell {
        Cell::Null => line.push_str("\\N"),
        Cell::Text(text) => push_escaped(line, text),
        Cell::Bytes(_) => {
            line.push_str("\\\\x");
            push_plain(line, cell);
        }
        _ => push_plain(line, cell),
    }
}

/// The value as the text of a parameter; `None` is NULL.
pub(super) fn parameter(cell: Cell<'_>) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Bytes(_) => Some(format!("\\x{cell}")),
        _ => Some(cell.to_string()),
    }
}

fn push_plain(line: &mut String, cell: Cell<'_>) {
    // Writing to a String never fails.
    let _ = write!(line, "{cell}");
}

fn push_escaped(line: &mut String, mut text: &str) {
    while let Some(at) = text.find(['\\', '\t', '\n', '\r']) {
        line.push_str(&text[..at]);
        line.push_str(match text.as_bytes()[at] {
            b'\t' => "\\t",
            b'\n' => "\\n",
            b'\r' => "\\r",
            _ => "\\\\",
        });
        text = &text[at + 1..];
    }
    line.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_line_or_a_field_early() {
        let mut line = String::new();
        push_copy(&mut line, Cell::Text("a\tb\\N\r\n\\."));
        line.push('\t');
        push_copy(&mut line, Cell::Null);
        line.push('\t');
        push_copy(&mut line, Cell::Bytes(&[0, 255]));
        assert_eq!(line, "a\\tb\\\\N\\r\\n\\\\.\t\\N\t\\\\x00ff");
    }
}
