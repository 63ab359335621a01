//! What is known of a catalog: the key of each row, by its `on` values.

use std::collections::HashMap;
use std::fmt::Write as _;

use kiln_core::{Cell, CellColumn, Key};

/// The rows of a catalog.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<String, Key>);

impl Known {
    /// From what the catalog loaded. A row with a NULL among its values is
    /// never equal to an item.
    pub(crate) fn new(rows: Vec<(Key, Vec<Option<String>>)>) -> Self {
        let named = |(key, values): (Key, Vec<Option<String>>)| {
            let mut name = String::new();
            for value in values {
                push(&mut name, &value?);
            }
            Some((name, key))
        };
        Self(rows.into_iter().filter_map(named).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Key> {
        self.0.get(name)
    }

    pub(crate) fn insert(&mut self, name: String, key: Key) {
        self.0.insert(name, key);
    }
}

/// The name of the row that an item wants, written into `name`; the position of
/// the first column that is NULL, if one is.
pub(crate) fn name_of(
    columns: &[CellColumn<'_>],
    row: usize,
    name: &mut String,
) -> Result<(), usize> {
    name.clear();
    let mut text = String::new();
    for (i, column) in columns.iter().enumerate() {
        let cell = column.cell(row);
        if cell.is_null() {
            return Err(i);
        }
        if let Cell::Text(text) = cell {
            push(name, text);
            continue;
        }
        text.clear();
        // Writing to a String does not fail.
        let _ = write!(text, "{cell}");
        push(name, &text);
    }
    Ok(())
}

/// Lengths keep ("ab", "c") apart from ("a", "bc").
fn push(name: &mut String, value: &str) {
    let _ = write!(name, "{}:{value}", value.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_apart() {
        let row = |key, values: &[Option<&str>]| {
            (Key::Int(key), values.iter().map(|v| v.map(str::to_owned)).collect())
        };
        let known = Known::new(vec![
            row(1, &[Some("ab"), Some("c")]),
            row(2, &[Some("a"), Some("bc")]),
            row(3, &[Some("1:a"), Some("")]),
            row(4, &[None, Some("x")]),
        ]);
        assert_eq!(known.0.len(), 3);
        let get = |values: &[&str]| {
            let mut name = String::new();
            values.iter().for_each(|v| push(&mut name, v));
            known.get(&name).cloned()
        };
        assert_eq!(get(&["ab", "c"]), Some(Key::Int(1)));
        assert_eq!(get(&["a", "bc"]), Some(Key::Int(2)));
        assert_eq!(get(&["1:a", ""]), Some(Key::Int(3)));
        assert_eq!(get(&["abc", ""]), None);
    }
}
