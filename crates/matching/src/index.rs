//! Rows by their texts and numbers, and those that are most like an item.

use crate::number::{NumberColumn, number};
use crate::text::{Asked, TextColumn};

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compare {
    /// As words: the rarer a word is in the catalog, the more it counts.
    #[default]
    Text,
    /// As a number: the smaller of the two, of the larger.
    Number,
}

/// A row of the index and how alike an item is to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    /// Its number: rows are counted from 0 in the order in which they came.
    pub row: u32,
    /// Between 0 and 1.
    pub score: f64,
}

/// The rows of a catalog, ready to be compared with.
///
/// The score of a row is the mean of its columns' scores, by the columns'
/// weights; a column that is empty in the row or in the item is left out. A row
/// that shares no word has none.
#[derive(Debug)]
pub struct Index {
    columns: Vec<(Column, f64)>,
    rows: u32,
}

#[derive(Debug)]
enum Column {
    Text(Box<TextColumn>),
    Number(NumberColumn),
}

/// What is looked for in a column.
enum Wanted {
    Text(Asked),
    Number(f64),
}

impl Index {
    /// An empty one, of columns with weights above zero.
    pub fn new(columns: impl IntoIterator<Item = (Compare, f64)>) -> Self {
        let column = |(compare, weight)| match compare {
            Compare::Text => (Column::Text(Box::default()), weight),
            Compare::Number => (Column::Number(NumberColumn::default()), weight),
        };
        Self { columns: columns.into_iter().map(column).collect(), rows: 0 }
    }

    /// Adds a row: a value for each column.
    pub fn push(&mut self, values: &[Option<&str>]) {
        let values = values.iter().copied().chain(std::iter::repeat(None));
        for ((column, _), value) in self.columns.iter_mut().zip(values) {
            match column {
                Column::Text(column) => column.push(value),
                Column::Number(column) => column.push(value),
            }
        }
        self.rows += 1;
    }

    /// Takes the rows behind the first `rows` out again.
    pub fn truncate(&mut self, rows: u32) {
        for (column, _) in &mut self.columns {
            match column {
                Column::Text(column) => column.truncate(rows as usize),
                Column::Number(column) => column.truncate(rows as usize),
            }
        }
        self.rows = self.rows.min(rows);
    }

    /// The memory it takes in bytes, roughly.
    pub fn bytes(&self) -> usize {
        let bytes = |(column, _): &(Column, f64)| match column {
            Column::Text(column) => column.bytes(),
            Column::Number(column) => column.bytes(),
        };
        self.columns.iter().map(bytes).sum()
    }

    /// All rows with a score of `at_least`, the likest first; those that are
    /// equally so in the order in which they came. `values` has one for each
    /// column.
    ///
    /// Rows are found by the words they share. Of a text whose words are all
    /// very frequent not every row is looked at: the search ends behind 100,000
    /// rows that have one of them, the rarest words first.
    pub fn near(&self, values: &[Option<&str>], at_least: f64) -> Vec<Near> {
        let wanted: Vec<Option<Wanted>> =
            self.columns.iter().zip(values).map(|((c, _), value)| wanted(c, *value)).collect();
        let least = self.least_by_text(&wanted, at_least);
        let mut rows: Vec<u32> = Vec::new();
        for ((column, _), wanted) in self.columns.iter().zip(&wanted) {
            if let (Column::Text(column), Some(Wanted::Text(asked))) = (column, wanted) {
                rows.extend(column.candidates(asked, least));
            }
        }
        rows.sort_unstable();
        rows.dedup();
        let near = |row| self.score(&wanted, row).map(|score| Near { row, score });
        let mut near: Vec<Near> =
            rows.into_iter().filter_map(near).filter(|n| n.score >= at_least).collect();
        near.sort_by(|a, b| b.score.total_cmp(&a.score));
        near
    }

    /// The score of one row; none if it shares no word.
    fn score(&self, wanted: &[Option<Wanted>], row: u32) -> Option<f64> {
        let (mut sum, mut weights) = (0.0, 0.0);
        let mut shares_words = false;
        for ((column, weight), wanted) in self.columns.iter().zip(wanted) {
            let score = match (column, wanted) {
                (Column::Text(column), Some(Wanted::Text(asked))) => {
                    column.score(asked, row).inspect(|score| shares_words |= *score > 0.0)
                }
                (Column::Number(column), Some(Wanted::Number(n))) => column.score(*n, row),
                _ => None,
            };
            if let Some(score) = score {
                sum += weight * score;
                weights += weight;
            }
        }
        (shares_words && weights > 0.0).then(|| sum / weights)
    }

    /// What some column of texts must have as its score, so that all columns
    /// together can have `at_least`: numbers may all be equal.
    fn least_by_text(&self, wanted: &[Option<Wanted>], at_least: f64) -> f64 {
        let (mut least_text, mut numbers) = (f64::INFINITY, 0.0);
        for ((_, weight), wanted) in self.columns.iter().zip(wanted) {
            match wanted {
                Some(Wanted::Text(_)) => least_text = weight.min(least_text),
                Some(Wanted::Number(_)) => numbers += weight,
                None => {}
            }
        }
        at_least - (1.0 - at_least) * numbers / least_text
    }
}

fn wanted(column: &Column, value: Option<&str>) -> Option<Wanted> {
    match column {
        Column::Text(column) => Some(Wanted::Text(column.ask(value?))),
        Column::Number(_) => number(value?).map(Wanted::Number),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: [(Compare, f64); 3] =
        [(Compare::Text, 1.0), (Compare::Text, 0.5), (Compare::Number, 0.2)];

    type Row = (Option<String>, Option<String>, Option<String>);

    fn values(row: &Row) -> [Option<&str>; 3] {
        [row.0.as_deref(), row.1.as_deref(), row.2.as_deref()]
    }

    fn index(rows: &[Row]) -> Index {
        let mut index = Index::new(COLUMNS);
        rows.iter().for_each(|row| index.push(&values(row)));
        index
    }

    fn row() -> impl Strategy<Value = Row> {
        let word = "red|blue|chair|chairs|wooden|woden|garden|x1-20|x120b|x130|deli|delicatessen";
        let name = prop::collection::vec(word, 0..5).prop_map(|words| words.join(" "));
        let some = |often| prop::option::weighted(often, name.clone());
        (some(0.9), some(0.5), prop::option::weighted(0.5, "[1-9]"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// The ways by words lead to all rows that comparing with each row finds.
        #[test]
        fn all_that_is_near_is_found(
            rows in prop::collection::vec(row(), 0..40),
            asked in row(),
            at_least in 0.2f64..1.0,
        ) {
            let index = index(&rows);
            let asked = values(&asked);
            let wanted: Vec<_> =
                index.columns.iter().zip(asked).map(|((c, _), v)| wanted(c, v)).collect();
            let score = |row| index.score(&wanted, row).map(|score| Near { row, score });
            let mut expected: Vec<Near> =
                (0..rows.len() as u32).filter_map(score).filter(|n| n.score >= at_least).collect();
            expected.sort_by(|a, b| b.score.total_cmp(&a.score));
            prop_assert_eq!(index.near(&asked, at_least), expected);
        }

        /// Rows that are taken out leave nothing behind.
        #[test]
        fn rows_that_are_taken_out_were_never_there(
            rows in prop::collection::vec(row(), 1..20),
            kept in 0usize..20,
            asked in row(),
        ) {
            let kept = kept.min(rows.len());
            let mut cut = index(&rows);
            cut.truncate(kept as u32);
            let never = index(&rows[..kept]);
            prop_assert_eq!(cut.near(&values(&asked), 0.3), never.near(&values(&asked), 0.3));
        }

        #[test]
        fn a_row_is_like_itself(rows in prop::collection::vec(row(), 1..20), n in 0usize..20) {
            let n = n % rows.len();
            let near = index(&rows).near(&values(&rows[n]), 0.5);
            let found = near.iter().find(|near| near.row == n as u32);
            let has_text = |text: &Option<String>| text.as_ref().is_some_and(|t| !t.is_empty());
            let has_any = has_text(&rows[n].0) || has_text(&rows[n].1);
            prop_assert_eq!(found.map(|near| near.score), has_any.then_some(1.0));
        }
    }
}
