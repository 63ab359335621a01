//! One column of texts: which rows have which words.

use std::collections::HashMap;

use super::likeness::resemblance;
use super::vocabulary::{Kin, Vocabulary};
use super::words::{is_code, words};

/// No further posting.
const END: u32 = u32::MAX;
/// Rows that a text may be compared with in vain: beyond, the search for it
/// ends with those that share its rarest words.
const MOST_LOOKED_AT: usize = 100_000;
/// A catalog is taken to hold this many rows more, with none of its words, so
/// that the words of the first rows weigh about the same.
const UNSEEN_ROWS: f64 = 100.0;
/// How much words that merely resemble each other may count, beside those that
/// are alike.
const BESIDE: f64 = 0.5;
/// How much more a number or a code weighs than a word of the same rarity.
const CODE: f64 = 3.0;
/// Scores are told apart down to here.
const SLACK: f64 = 1e-6;

/// The texts of the catalog's rows, as words.
///
/// Memory: 4 bytes a row, 12 a word of a row, and some 200 a different word.
#[derive(Debug, Default)]
pub(crate) struct TextColumn {
    vocabulary: Vocabulary,
    /// For each word: whether it is a code, how many rows have it, and the last
    /// of its postings.
    codes: Vec<bool>,
    rows_with: Vec<u32>,
    heads: Vec<u32>,
    /// Postings: the row, and the posting before it of the same word.
    postings: Vec<(u32, u32)>,
    /// The words of all rows, and where each row's end.
    words: Vec<u32>,
    ends: Vec<u32>,
    /// Rows that have any word.
    filled: usize,
}

/// A text that is looked for.
#[derive(Debug)]
pub(crate) struct Asked {
    words: Vec<AskedWord>,
    weight: f64,
    /// For each word of the catalog that is alike to one of them: the most that
    /// they share.
    alike: HashMap<u32, f64>,
}

/// A word that is looked for, and those it may stand for.
#[derive(Debug)]
struct AskedWord {
    text: String,
    weight: f64,
    kin: Vec<Kin>,
}

impl TextColumn {
    /// Adds the text of the next row; NULL is a text without words.
    pub(crate) fn push(&mut self, text: Option<&str>) {
        let row = self.rows();
        let found = text.map(words).unwrap_or_default();
        self.filled += usize::from(!found.is_empty());
        for text in found {
            let word = self.vocabulary.add(&text);
            let at = word as usize;
            if at == self.heads.len() {
                self.codes.push(is_code(&text));
                self.heads.push(END);
                self.rows_with.push(0);
            }
            self.postings.push((row, self.heads[at]));
            self.heads[at] = (self.postings.len() - 1) as u32;
            self.rows_with[at] += 1;
            self.words.push(word);
        }
        self.ends.push(self.words.len() as u32);
    }

    /// Takes the rows behind the first `rows` out again.
    pub(crate) fn truncate(&mut self, rows: usize) {
        while self.ends.len() > rows {
            self.ends.pop();
            let begin = self.ends.last().map_or(0, |end| *end as usize);
            self.filled -= usize::from(self.words.len() > begin);
            for word in self.words.drain(begin..).rev() {
                let at = word as usize;
                if let Some((_, before)) = self.postings.pop() {
                    self.heads[at] = before;
                    self.rows_with[at] -= 1;
                }
            }
        }
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> u32 {
        self.ends.len() as u32
    }

    /// The memory it takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.vocabulary.bytes() + 8 * self.heads.len() + 12 * self.words.len() + 4 * self.ends.len()
    }

    /// What a word says: the information in it, as far as the catalog tells how
    /// rare it is (Spärck Jones, "A statistical interpretation of term
    /// specificity", 1972); more for a code.
    fn weight(&self, is_code: bool, rows_with: u32) -> f64 {
        let rows = self.filled as f64 + UNSEEN_ROWS;
        let information = (1.0 + rows / (f64::from(rows_with) + 1.0)).ln();
        information * if is_code { CODE } else { 1.0 }
    }

    fn weight_of(&self, word: u32) -> f64 {
        let is_code = self.codes.get(word as usize).copied().unwrap_or_default();
        self.weight(is_code, self.rows_with(word))
    }

    fn rows_with(&self, word: u32) -> u32 {
        self.rows_with.get(word as usize).copied().unwrap_or_default()
    }

    fn is_there(&self, word: &str) -> bool {
        self.vocabulary.number(word).is_some_and(|number| self.rows_with(number) > 0)
    }

    /// The words of the catalog that a word may stand for. The vocabulary may
    /// have words of rows that were taken out again.
    fn kin(&self, word: &str) -> Vec<Kin> {
        let mut kin = self.vocabulary.kin(word);
        kin.retain(|k| self.rows_with(k.word) > 0);
        kin
    }

    /// The words of a text, as the catalog has them.
    ///
    /// A word that it has not weighs as much as the likest one that it has: a
    /// slip makes no word important.
    pub(crate) fn ask(&self, text: &str) -> Asked {
        let words = self.recut(words(text)).into_iter().map(|word| {
            let kin = self.kin(&word);
            let weight = match kin.first() {
                Some(first) => self.weight_of(first.word),
                None => self.weight(is_code(&word), 0),
            };
            AskedWord { text: word, weight, kin }
        });
        let mut words: Vec<AskedWord> = words.collect();
        words.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let weight = words.iter().map(|w| w.weight).sum();
        let mut alike = HashMap::new();
        for word in &words {
            for (shared, kin) in self.shares(word) {
                let most: &mut f64 = alike.entry(kin).or_default();
                *most = most.max(shared);
            }
        }
        Asked { words, weight, alike }
    }

    /// Words put together or taken apart, where the catalog writes them so:
    /// `PS LX350H` where it has `PSLX350H`, and the other way round.
    fn recut(&self, words: Vec<String>) -> Vec<String> {
        let mut cut: Vec<String> = Vec::with_capacity(words.len());
        let mut add = |word: String| {
            if !cut.contains(&word) {
                cut.push(word);
            }
        };
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            if let Some(next) = words.peek() {
                let joined = format!("{word}{next}");
                let new = !self.is_there(&word) || !self.is_there(next);
                if new && self.is_there(&joined) {
                    words.next();
                    add(joined);
                    continue;
                }
            }
            match self.halves(&word) {
                Some(halves) => halves.into_iter().for_each(&mut add),
                None => add(word),
            }
        }
        cut
    }

    /// A word that the catalog has only in two; of several ways the one with
    /// the longest shorter half.
    fn halves(&self, word: &str) -> Option<[String; 2]> {
        if self.is_there(word) || word.len() < 4 {
            return None;
        }
        let cuts = word.char_indices().map(|(at, _)| word.split_at(at));
        let both = |(a, b): &(&str, &str)| self.is_there(a) && self.is_there(b);
        let best = cuts.filter(both).max_by_key(|(a, b)| a.len().min(b.len()))?;
        self.kin(word).is_empty().then(|| [best.0.to_owned(), best.1.to_owned()])
    }

    /// All rows whose score may be `at_least`: those that share enough of the
    /// weightiest words. A row that has none of these words can't have enough of
    /// the others (prefix filtering; Chaudhuri, Ganti, Kaushik, "A primitive
    /// operator for similarity joins in data cleaning", 2006).
    ///
    /// Looks at no more than 100,000 postings.
    pub(crate) fn candidates(&self, asked: &Asked, at_least: f64) -> Vec<u32> {
        let mut left = asked.weight;
        let mut looked_at = 0;
        let mut common: HashMap<u32, (f64, usize)> = HashMap::new();
        for (i, word) in asked.words.iter().enumerate() {
            if most(asked.weight, left) < at_least || looked_at >= MOST_LOOKED_AT {
                break;
            }
            left -= word.weight;
            for (shared, kin) in self.shares(word) {
                for row in self.rows_of(kin) {
                    looked_at += 1;
                    let (sum, last) = common.entry(row).or_insert((0.0, usize::MAX));
                    if *last != i {
                        *sum += shared;
                        *last = i;
                    }
                    if looked_at >= MOST_LOOKED_AT {
                        break;
                    }
                }
            }
        }
        let can =
            |(_, (shared, _)): &(u32, (f64, usize))| most(asked.weight, shared + left) >= at_least;
        let rows = common.into_iter().filter(can).map(|(row, _)| row);
        rows.filter(|row| self.may_score(asked, *row, at_least)).collect()
    }

    /// What a word shares with those it may stand for, the most first.
    fn shares(&self, word: &AskedWord) -> Vec<(f64, u32)> {
        let share =
            |kin: &Kin| (kin.likeness * word.weight.min(self.weight_of(kin.word)), kin.word);
        let mut shares: Vec<(f64, u32)> = word.kin.iter().map(share).collect();
        shares.sort_by(|a, b| b.0.total_cmp(&a.0));
        shares
    }

    /// The rows that have a word, the last one first.
    fn rows_of(&self, word: u32) -> impl Iterator<Item = u32> {
        let mut next = self.heads.get(word as usize).copied().unwrap_or(END);
        std::iter::from_fn(move || {
            let (row, before) = *self.postings.get(next as usize)?;
            next = before;
            Some(row)
        })
    }

    fn words_of(&self, row: u32) -> &[u32] {
        let row = row as usize;
        let begin =
            row.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |e| *e as usize);
        let end = self.ends.get(row).map_or(begin, |e| *e as usize);
        self.words.get(begin..end).unwrap_or_default()
    }

    /// Whether a row can have this score: quickly, from above.
    fn may_score(&self, asked: &Asked, row: u32, at_least: f64) -> bool {
        let (mut shared, mut weight) = (0.0, 0.0);
        for word in self.words_of(row) {
            weight += self.weight_of(*word);
            shared += asked.alike.get(word).copied().unwrap_or_default();
        }
        2.0 * (1.0 + BESIDE) * shared >= (at_least - SLACK) * (asked.weight + weight)
    }

    /// How alike a text is to that of a row, between 0 and 1; none if either
    /// has no words. It is the weight of the words they share, of the weight of
    /// all their words (Dice's coefficient, weighted); each word is shared once.
    /// Words that are only alike share less. Beside them words that merely
    /// resemble each other count, up to half as much.
    pub(crate) fn score(&self, asked: &Asked, row: u32) -> Option<f64> {
        if asked.words.is_empty() {
            return None;
        }
        let words: Vec<(u32, f64)> =
            self.words_of(row).iter().map(|w| (*w, self.weight_of(*w))).collect();
        let weight: f64 = words.iter().map(|(_, weight)| weight).sum();
        if words.is_empty() {
            return None;
        }
        let mut pairs = Pairs::new(asked.words.len(), words.len());
        for (i, word) in asked.words.iter().enumerate() {
            for kin in &word.kin {
                if let Some(j) = words.iter().position(|(w, _)| *w == kin.word) {
                    pairs.add(i, j, kin.likeness, word.weight.min(words[j].1));
                }
            }
        }
        let alike = pairs.take();
        if alike > 0.0 {
            for (i, j) in pairs.free() {
                let likeness = resemblance(&asked.words[i].text, self.vocabulary.word(words[j].0));
                if likeness > 0.0 {
                    pairs.add(i, j, likeness, asked.words[i].weight.min(words[j].1));
                }
            }
        }
        let shared = alike + pairs.take().min(BESIDE * alike);
        Some(rounded(2.0 * shared / (asked.weight + weight)))
    }
}

/// Words of two texts that are paired, each once.
struct Pairs {
    taken: Vec<bool>,
    given: Vec<bool>,
    /// Likeness and weight of the words i and j.
    wanted: Vec<(f64, f64, usize, usize)>,
}

impl Pairs {
    fn new(asked: usize, there: usize) -> Self {
        Self { taken: vec![false; asked], given: vec![false; there], wanted: Vec::new() }
    }

    fn add(&mut self, i: usize, j: usize, likeness: f64, weight: f64) {
        self.wanted.push((likeness, weight, i, j));
    }

    /// Pairs the words that were added, the likest first; gives the weight that
    /// they share.
    fn take(&mut self) -> f64 {
        self.wanted.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
        let mut shared = 0.0;
        for (likeness, weight, i, j) in self.wanted.drain(..) {
            if !self.taken[i] && !self.given[j] {
                (self.taken[i], self.given[j]) = (true, true);
                shared += likeness * weight;
            }
        }
        shared
    }

    /// The pairs of words that have no other yet.
    fn free(&self) -> Vec<(usize, usize)> {
        let free = |flags: &[bool]| -> Vec<usize> {
            flags.iter().enumerate().filter(|(_, is)| !**is).map(|(i, _)| i).collect()
        };
        let there = free(&self.given);
        free(&self.taken)
            .into_iter()
            .flat_map(|i| there.iter().map(move |j| (i, *j)).collect::<Vec<_>>())
            .collect()
    }
}

/// The highest score of a row that shares this much by words that are alike.
fn most(weight: f64, shared: f64) -> f64 {
    let shared = (1.0 + BESIDE) * shared;
    if shared <= 0.0 { 0.0 } else { 2.0 * shared / (weight + shared) + SLACK }
}

/// Sums of floats differ by their order; scores that people see don't.
fn rounded(score: f64) -> f64 {
    ((score * 1e6).round() / 1e6).clamp(0.0, 1.0)
}
