//! What one would do without more thought: the likest whole text.

use std::collections::HashSet;

use kiln_matching::{Near, fold};

use crate::judge::Task;

type Alike = fn(&Text, &Text) -> f64;

/// The measures to compare with.
pub(crate) const ALL: [(&str, Alike); 2] = [("Jaro-Winkler", jaro_winkler), ("trigrams", trigrams)];

/// A text, ready for both.
pub(crate) struct Text {
    folded: String,
    trigrams: HashSet<[char; 3]>,
}

impl Text {
    fn new(text: &str) -> Self {
        let folded = fold(text);
        let mut trigrams = HashSet::new();
        // As pg_trgm does it: two blanks before each word, one behind.
        for word in folded.split(' ') {
            let padded: Vec<char> = "  ".chars().chain(word.chars()).chain([' ']).collect();
            trigrams.extend(padded.windows(3).map(|w| [w[0], w[1], w[2]]));
        }
        Self { folded, trigrams }
    }
}

fn jaro_winkler(a: &Text, b: &Text) -> f64 {
    strsim::jaro_winkler(&a.folded, &b.folded)
}

/// Shared trigrams, of all trigrams.
fn trigrams(a: &Text, b: &Text) -> f64 {
    let shared = a.trigrams.intersection(&b.trigrams).count();
    shared as f64 / (a.trigrams.len() + b.trigrams.len() - shared).max(1) as f64
}

/// The three likest rows of each item, by comparing it with all.
pub(crate) fn find(task: &Task, alike: Alike) -> Vec<Vec<Near>> {
    let text = |values: &[Option<String>]| Text::new(values[0].as_deref().unwrap_or_default());
    let catalog: Vec<Text> = task.catalog.iter().map(|row| text(row)).collect();
    let near = |(item, _): &(Vec<Option<String>>, _)| {
        let item = text(item);
        let near =
            |(row, there): (usize, &Text)| Near { row: row as u32, score: alike(&item, there) };
        let mut near: Vec<Near> = catalog.iter().enumerate().map(near).collect();
        near.sort_by(|a, b| b.score.total_cmp(&a.score));
        near.truncate(3);
        near
    };
    task.items.iter().map(near).collect()
}
