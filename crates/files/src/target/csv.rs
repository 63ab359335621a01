//! Rows as delimited text.
//!
//! NULL is the text that stands for it, unquoted; every value that would look
//! like it is quoted, and so is one that holds what has a meaning. So what was
//! written is read again as it was.

use std::io::Write as _;

use arrow_array::RecordBatch;
use kiln_core::{Cell, Fault, Result};

use super::text::TextColumn;

const QUOTE: u8 = b'"';

/// A line for each row, each ended by LF.
pub(super) fn encode(
    rows: &RecordBatch,
    delimiter: u8,
    header: bool,
    null: &str,
) -> Result<Vec<u8>> {
    let columns = TextColumn::of(rows)?;
    let mut text = Vec::with_capacity(rows.num_rows() * columns.len() * 8);
    if header {
        for (i, field) in rows.schema_ref().fields().iter().enumerate() {
            separate(&mut text, i, delimiter);
            put(&mut text, field.name().as_bytes(), delimiter, null);
        }
        text.push(b'\n');
    }
    let mut value = Vec::new();
    for row in 0..rows.num_rows() {
        for (i, column) in columns.iter().enumerate() {
            separate(&mut text, i, delimiter);
            let written = column.value(row);
            match written.cell {
                Cell::Null => text.extend_from_slice(null.as_bytes()),
                Cell::Text(t) => put(&mut text, t.as_bytes(), delimiter, null),
                _ => {
                    value.clear();
                    write!(value, "{written}").map_err(|e| Fault::bug(e.to_string()))?;
                    put(&mut text, &value, delimiter, null);
                }
            }
        }
        text.push(b'\n');
    }
    Ok(text)
}

fn separate(text: &mut Vec<u8>, field: usize, delimiter: u8) {
    if field > 0 {
        text.push(delimiter);
    }
}

/// Adds a value, in quotes where it needs them.
fn put(text: &mut Vec<u8>, value: &[u8], delimiter: u8, null: &str) {
    let has_meaning = |b: &u8| *b == delimiter || matches!(*b, QUOTE | b'\n' | b'\r');
    let at_edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_whitespace);
    let looks_null = value == null.as_bytes() || value.is_empty();
    let quoted = looks_null
        || value.iter().any(has_meaning)
        || at_edge(value.first())
        || at_edge(value.last());
    if !quoted {
        return text.extend_from_slice(value);
    }
    text.push(QUOTE);
    for byte in value {
        if *byte == QUOTE {
            text.push(QUOTE);
        }
        text.push(*byte);
    }
    text.push(QUOTE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_need_it() {
        let cases = [
            ("plain", "", "plain"),
            ("", "", "\"\""),
            ("", "\\N", "\"\""),
            ("\\N", "\\N", "\"\\N\""),
            ("a;b", "", "\"a;b\""),
            ("a,b", "", "a,b"),
            ("a\"b\n", "", "\"a\"\"b\n\""),
            (" a", "", "\" a\""),
        ];
        for (value, null, expected) in cases {
            let mut text = Vec::new();
            put(&mut text, value.as_bytes(), b';', null);
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }
}
