//! The words of a catalog, and which of them a word may stand for.

use std::collections::HashMap;
use std::sync::Arc;

use super::likeness::{BEGINNING, SHORTEST, likeness, slips_borne, variant_of};
use super::words::is_code;

/// A word of the vocabulary, and how alike it is to one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Kin {
    pub(crate) word: u32,
    pub(crate) likeness: f64,
}

/// Words by number, and ways to those that are alike.
///
/// Words that differ by slips are found by the pieces that the slips leave whole:
/// a word that bears one slip lies here in two pieces, one that bears two in
/// three, so at least one piece of it is in the other word, moved by no more
/// letters than there are slips (Li, Deng, Wang, Feng: "Pass-Join", PVLDB 5(3),
/// 2011). Two swapped letters can be in two pieces; so swaps are undone first.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    numbers: HashMap<Arc<str>, u32>,
    words: Vec<Arc<str>>,
    /// Which letters are in each word, as bits.
    letters: Vec<u32>,
    pieces: HashMap<(u8, u8, Box<str>), Vec<u32>>,
    /// Codes by themselves without the letters behind their last digit.
    variants: HashMap<Box<str>, Vec<u32>>,
    /// Words by their first letters.
    beginnings: HashMap<Box<str>, Vec<u32>>,
    bytes: usize,
}

impl Vocabulary {
    /// The number of a word that is known.
    pub(crate) fn number(&self, word: &str) -> Option<u32> {
        self.numbers.get(word).copied()
    }

    /// The memory it takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of a word, which is added if it is new.
    pub(crate) fn add(&mut self, word: &str) -> u32 {
        if let Some(number) = self.number(word) {
            return number;
        }
        let number = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        let shared: Arc<str> = word.into();
        self.words.push(Arc::clone(&shared));
        self.letters.push(letters_of(word.chars()));
        self.numbers.insert(shared, number);
        self.bytes += word.len() + 80;
        if is_code(word) {
            if let Some(stem) = variant_of(word) {
                self.variants.entry(stem.into()).or_default().push(number);
                self.bytes += stem.len() + 64;
            }
        } else {
            self.add_ways(word, number);
        }
        number
    }

    fn add_ways(&mut self, word: &str, number: u32) {
        let letters: Vec<char> = word.chars().collect();
        if letters.len() >= BEGINNING {
            let beginning: String = letters[..BEGINNING].iter().collect();
            self.beginnings.entry(beginning.into()).or_default().push(number);
            self.bytes += 8;
        }
        for (i, (from, to)) in pieces_of(letters.len()).into_iter().enumerate() {
            let piece: String = letters[from..to].iter().collect();
            self.bytes += piece.len() + 32;
            let way = (letters.len() as u8, i as u8, piece.into());
            self.pieces.entry(way).or_default().push(number);
        }
    }

    /// All words that are alike, the likest first; of words that are equally
    /// so the alphabet decides.
    pub(crate) fn kin(&self, word: &str) -> Vec<Kin> {
        let mut found: Vec<u32> = self.number(word).into_iter().collect();
        if is_code(word) {
            found.extend(self.variants.get(word).into_iter().flatten());
            found.extend(variant_of(word).and_then(|stem| self.number(stem)));
        } else {
            let letters: Vec<char> = word.chars().collect();
            self.find_slips(&letters, &mut found);
            self.find_beginnings(&letters, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        let kin = |number: u32| Kin { word: number, likeness: likeness(word, self.word(number)) };
        let mut kin: Vec<Kin> = found.into_iter().map(kin).filter(|k| k.likeness > 0.0).collect();
        kin.sort_by(|a, b| {
            b.likeness.total_cmp(&a.likeness).then_with(|| self.word(a.word).cmp(self.word(b.word)))
        });
        kin
    }

    /// The word with a number.
    pub(crate) fn word(&self, number: u32) -> &str {
        self.words.get(number as usize).map_or("", |word| word)
    }

    fn find_slips(&self, letters: &[char], found: &mut Vec<u32>) {
        let borne = slips_borne(letters.len());
        if borne == 0 {
            return;
        }
        let mut swapped = letters.to_vec();
        for i in 1..letters.len() {
            swapped.swap(i - 1, i);
            found.extend(self.number(&swapped.iter().collect::<String>()));
            swapped.swap(i - 1, i);
        }
        let mask = letters_of(letters.iter().copied());
        // A slip changes two letters at most.
        let may_be = |number: &&u32| {
            let there = self.letters.get(**number as usize).copied().unwrap_or_default();
            (mask ^ there).count_ones() as usize <= 2 * borne
        };
        // One word of the two may bear more slips than the other; the shorter
        // one decides, so no more than this one bears.
        for length in (letters.len() - borne).max(SHORTEST)..=letters.len() + borne {
            for (i, (from, to)) in pieces_of(length).into_iter().enumerate() {
                for at in from.saturating_sub(borne)..=from + borne {
                    let Some(piece) = letters.get(at..at + (to - from)) else { break };
                    let way = (length as u8, i as u8, piece.iter().collect::<String>().into());
                    found.extend(self.pieces.get(&way).into_iter().flatten().filter(may_be));
                }
            }
        }
    }

    fn find_beginnings(&self, letters: &[char], found: &mut Vec<u32>) {
        let Some(first) = letters.get(..BEGINNING) else { return };
        for end in BEGINNING..letters.len() {
            found.extend(self.number(&letters[..end].iter().collect::<String>()));
        }
        let first: String = first.iter().collect();
        let word: String = letters.iter().collect();
        let longer = self.beginnings.get(first.as_str()).into_iter().flatten();
        found.extend(longer.filter(|number| self.word(**number).starts_with(&word)));
    }
}

fn letters_of(letters: impl Iterator<Item = char>) -> u32 {
    letters.fold(0, |mask, letter| mask | 1 << (letter as u32 % 32))
}

/// Where a word of so many letters is cut: one piece more than it bears slips.
fn pieces_of(letters: usize) -> Vec<(usize, usize)> {
    let pieces = match slips_borne(letters) {
        0 => return Vec::new(),
        borne => borne + 1,
    };
    (0..pieces).map(|i| (i * letters / pieces, (i + 1) * letters / pieces)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// The ways lead to all words that are alike, and to no other.
        #[test]
        fn kin_are_all_that_are_alike(
            words in prop::collection::vec("[ab]{3,10}|[ab1]{3,7}", 1..60),
            asked in "[ab]{3,10}|[ab1]{3,7}",
        ) {
            let mut vocabulary = Vocabulary::default();
            words.iter().for_each(|word| { vocabulary.add(word); });
            let mut found: Vec<&str> =
                vocabulary.kin(&asked).iter().map(|k| vocabulary.word(k.word)).collect();
            let mut expected: Vec<&str> =
                words.iter().map(String::as_str).filter(|w| likeness(&asked, w) > 0.0).collect();
            found.sort_unstable();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(found, expected);
        }
    }
}
