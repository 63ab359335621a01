//! What a catalog answers for some rows, where several are made at once.

use kiln_core::{Fault, Key, Result};

/// The rows that are asked for: those refused beforehand, and those to be made.
pub(crate) struct Answers {
    /// None for a row that is still to be made.
    rows: Vec<Option<Result<Key>>>,
    /// Which rows are.
    good: Vec<usize>,
    /// Whether rows are made up to the first that is refused.
    in_order: bool,
}

impl Answers {
    /// From what is known of the rows beforehand; in order, up to the first that
    /// is refused.
    pub(crate) fn new(mut rows: Vec<Option<Result<Key>>>, in_order: bool) -> Self {
        if in_order && let Some(refused) = rows.iter().position(Option::is_some) {
            rows.truncate(refused + 1);
        }
        let good = (0..rows.len()).filter(|i| rows[*i].is_none()).collect();
        Self { rows, good, in_order }
    }

    /// The rows to be made.
    pub(crate) fn good(&self) -> &[usize] {
        &self.good
    }

    /// The answers, with what became of the rows that were to be made; in order,
    /// up to the last that it is told of.
    pub(crate) fn with(mut self, made: Vec<Result<Key>>) -> Vec<Result<Key>> {
        if self.in_order && made.len() < self.good.len() {
            self.rows.truncate(self.good[made.len()]);
        }
        for (row, answer) in self.good.iter().zip(made) {
            self.rows[*row] = Some(answer);
        }
        let lost = || Err(Fault::bug("a row of a catalog got no answer"));
        self.rows.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
    }
}
