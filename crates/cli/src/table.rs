//! Tables for people: aligned columns, numbers in groups.

use kiln_jobfile::printable;

/// The longest text in a cell, in characters.
const WIDEST: usize = 60;

/// A table with a head.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with these heads; those that begin with `>` align to the right.
    pub(crate) fn new<'a>(heads: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = Self::default();
        let mut names = Vec::new();
        for head in heads {
            table.right.push(head.starts_with('>'));
            names.push(printable(head.strip_prefix('>').unwrap_or(head)));
        }
        table.rows.push(names);
        table
    }

    /// One more row. What comes from data is made safe to show, and cut.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|c| cut(&printable(&c))).collect());
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// The lines of the table, with this before each.
    pub(crate) fn lines(&self, indent: &str) -> String {
        let widths: Vec<usize> = (0..self.right.len())
            .map(|i| self.rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max())
            .map(|most| most.unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).zip(&self.right).map(|((cell, width), right)| {
                if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            text.push_str(indent);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDEST) {
        None => text.to_owned(),
        Some(_) => text.chars().take(WIDEST - 1).chain(['…']).collect(),
    }
}

/// A number in groups of three: 541,909.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_data_is_safe() {
        let mut table = Table::new(["name", ">n"]);
        table.row(["a".to_owned(), "1".to_owned()]);
        table.row(["\x1b[2Jlong".to_owned(), "1,000".to_owned()]);
        table.row(["x".repeat(100), String::new()]);
        let lines = table.lines("");
        let lines: Vec<&str> = lines.lines().collect();
        assert!(lines[1].ends_with("    1"), "{lines:?}");
        assert!(lines[2].starts_with(r"\u{1b}[2Jlong "), "{lines:?}");
        assert_eq!(lines[3].chars().count(), WIDEST);
    }

    #[test]
    fn numbers_are_grouped() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (541_909, "541,909")] {
            assert_eq!(grouped(n), text);
        }
    }
}
