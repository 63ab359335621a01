//! Columns of numbers, such as prices.

/// The numbers of the catalog's rows. A text with anything else in it than one
/// number (and a currency, say) is read by its digits, sign and point.
///
/// Memory: 8 bytes a row.
#[derive(Debug, Default)]
pub(crate) struct NumberColumn(Vec<f64>);

impl NumberColumn {
    pub(crate) fn push(&mut self, text: Option<&str>) {
        self.0.push(text.and_then(number).unwrap_or(f64::NAN));
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.0.truncate(rows);
    }

    pub(crate) fn bytes(&self) -> usize {
        8 * self.0.len()
    }

    /// The smaller of the two, of the larger: 1 if they are equal, 0 if their
    /// signs differ. None if one is no number.
    pub(crate) fn score(&self, asked: f64, row: u32) -> Option<f64> {
        let there = self.0.get(row as usize).copied().filter(|n| n.is_finite())?;
        if asked == there {
            return Some(1.0);
        }
        Some((asked / there).min(there / asked).max(0.0))
    }
}

/// The number in a text: `$1,234.50` is 1234.5. Of `1.234,50` the last of the
/// two signs is the point.
pub(crate) fn number(text: &str) -> Option<f64> {
    let point = match (text.rfind('.'), text.rfind(',')) {
        (Some(dot), Some(comma)) if comma > dot => ',',
        _ => '.',
    };
    let digits: String = text
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == '-' || *c == point)
        .map(|c| if c == point { '.' } else { c })
        .collect();
    digits.parse().ok().filter(|n: &f64| n.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_texts() {
        let cases = [
            ("$1,234.50", Some(1234.5)),
            ("1.234,50 €", Some(1234.5)),
            ("-12", Some(-12.0)),
            ("12", Some(12.0)),
            ("", None),
            ("n/a", None),
            ("1-2", None),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text), expected, "{text:?}");
        }
    }

    #[test]
    fn near_numbers_are_alike() {
        let mut column = NumberColumn::default();
        [Some("100"), Some("0"), None, Some("-5")].into_iter().for_each(|n| column.push(n));
        assert_eq!(column.score(100.0, 0), Some(1.0));
        assert_eq!(column.score(80.0, 0), Some(0.8));
        assert_eq!(column.score(125.0, 0), Some(0.8));
        assert_eq!(column.score(0.0, 1), Some(1.0));
        assert_eq!(column.score(1.0, 1), Some(0.0));
        assert_eq!(column.score(1.0, 2), None);
        assert_eq!(column.score(5.0, 3), Some(0.0));
    }
}
