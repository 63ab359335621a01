//! What the scores mean.

use crate::index::Near;

/// The least score of a match, if nothing else is said.
pub const AT_LEAST: f64 = 0.5;
/// How much less alike the second row must be, if nothing else is said.
pub const MARGIN: f64 = 0.05;

/// What becomes of an item, given the rows that are near it.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// This row is meant.
    Matched(Near),
    /// One of these is meant, the likest first; no one can say which.
    Ambiguous(Vec<Near>),
    /// No row is near enough.
    None,
}

/// Decides for the likest row, if the next one is less alike by `margin` at
/// least. Rows that are equally alike are ambiguous with any margin. `near` are
/// the rows that are near enough, the likest first; `is_same` tells rows that
/// are one and the same to the database.
pub fn decide(near: &[Near], margin: f64, is_same: impl Fn(u32, u32) -> bool) -> Decision {
    let Some(first) = near.first() else { return Decision::None };
    let rivals = |n: &&Near| {
        let behind = first.score - n.score;
        (behind < margin || behind <= 0.0) && !is_same(first.row, n.row)
    };
    let rivals: Vec<Near> = near[1..].iter().filter(rivals).copied().collect();
    if rivals.is_empty() {
        return Decision::Matched(*first);
    }
    Decision::Ambiguous(std::iter::once(*first).chain(rivals).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likest_row_is_meant_if_it_stands_out() {
        let near = |scores: &[f64]| -> Vec<Near> {
            let near = |(i, score): (usize, &f64)| Near { row: i as u32, score: *score };
            scores.iter().enumerate().map(near).collect()
        };
        let told = |scores: &[f64], margin| match decide(&near(scores), margin, |_, b| b == 9) {
            Decision::Matched(n) => format!("{}", n.row),
            Decision::Ambiguous(all) => format!("{}?", all.len()),
            Decision::None => "-".to_owned(),
        };
        assert_eq!(told(&[], 0.0), "-");
        assert_eq!(told(&[0.7], 0.1), "0");
        assert_eq!(told(&[0.9, 0.8], 0.05), "0");
        assert_eq!(told(&[0.9, 0.88, 0.87, 0.5], 0.05), "3?");
        assert_eq!(told(&[0.9, 0.9], 0.0), "2?");
        assert_eq!(told(&[0.9, 0.899], 0.0), "0");
        let mut same = near(&[0.9, 0.9]);
        same[1].row = 9;
        assert!(matches!(decide(&same, 0.1, |_, b| b == 9), Decision::Matched(_)));
    }
}
