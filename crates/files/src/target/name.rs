//! How parts are called.

use std::fmt::Write as _;

use kiln_core::{Span, TableName};

/// The step of a job that has only one.
const MAIN: &str = "main";

/// The name of a part: table, span, and the ending of its kind. The digits are
/// so many that names sort like spans. The step stands before the table where
/// it says more.
pub(super) fn of_part(
    step: &str,
    lane: u32,
    table: &TableName,
    span: Span,
    ending: &str,
) -> String {
    let table = table.to_string();
    let mut name = String::new();
    if step != MAIN && step != table {
        name.push_str(&safe(step));
        name.push('.');
    }
    name.push_str(&safe(&table));
    if lane > 0 {
        name.push_str(&format!("-lane{lane}"));
    }
    format!("{name}-{:012}-{:012}.{ending}", span.from + 1, span.to)
}

/// A name that is one on every file system and in every store, and that no
/// reader passes over: other characters than letters, digits, `_`, `-` and `.`
/// are their bytes, as in a URL, and so is a `_` or `.` at the start.
pub(super) fn safe(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || byte == b'-';
        if plain || at > 0 && matches!(byte, b'_' | b'.') {
            safe.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_called_by_table_and_span() {
        let span = Span { from: 5_000, to: 10_000 };
        let name = |step, lane, table| {
            of_part(step, lane, &TableName::parse(table).unwrap(), span, "csv.gz")
        };
        assert_eq!(name("main", 0, "orders"), "orders-000000005001-000000010000.csv.gz");
        assert_eq!(name("orders", 0, "orders"), "orders-000000005001-000000010000.csv.gz");
        assert_eq!(name("b", 2, "s.o"), "b.s.o-lane2-000000005001-000000010000.csv.gz");
        assert_eq!(safe("../_a b/ä"), "%2E.%2F_a%20b%2F%C3%A4");
    }
}
