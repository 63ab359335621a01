//! How alike two words are.

use super::words::is_code;

/// Shorter words are alike only if they are equal: `car` is no slip for `cat`.
pub(crate) const SHORTEST: usize = 4;
/// From here on two slips are borne.
const LONG: usize = 8;
/// Longer words are compared as they are.
const LONGEST: usize = 32;
/// A code and the same with letters behind it: `DSCW120`, `DSCW120B`.
const VARIANT: f64 = 0.9;
/// A word and its beginning: `Deli`, `Delicatessen`.
const SHORTENED: f64 = 0.8;
/// Words resemble each other from here on.
const CHANCE: f64 = 0.4;
/// The fewest letters that are a beginning.
pub(crate) const BEGINNING: usize = 3;

/// How many slips a word of this many letters bears.
pub(crate) fn slips_borne(letters: usize) -> usize {
    match letters {
        0..SHORTEST => 0,
        SHORTEST..LONG => 1,
        LONG..=LONGEST => 2,
        _ => 0,
    }
}

/// Between 0 (not alike) and 1 (equal).
///
/// Words may differ by a slip or two: a letter too many, missing or wrong, two
/// letters swapped; and one may be the beginning of the other. Numbers and codes
/// may not: `KDL46V4100` and `KDL52V4100` are two things. Of codes one may be
/// the other with up to three letters behind it.
pub(crate) fn likeness(a: &str, b: &str) -> f64 {
    if a == b {
        return 1.0;
    }
    match (is_code(a), is_code(b)) {
        (false, false) => likeness_of_words(a, b),
        (true, true) if variant_of(a) == Some(b) || variant_of(b) == Some(a) => VARIANT,
        _ => 0.0,
    }
}

fn likeness_of_words(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let (short, long) = if a.len() <= b.len() { (&a, &b) } else { (&b, &a) };
    let borne = slips_borne(short.len());
    let by_slips = match slips(short, long, borne) {
        Some(slips) => 1.0 - slips as f64 / long.len() as f64,
        None => 0.0,
    };
    let is_beginning = short.len() >= BEGINNING && long.starts_with(short);
    by_slips.max(if is_beginning { SHORTENED } else { 0.0 })
}

/// How much of two words that are not alike resembles each other, between 0 and
/// 1: the pairs of letters side by side that they share, of all (Dice's
/// coefficient). Less than this is chance, and none; so are codes.
pub(crate) fn resemblance(a: &str, b: &str) -> f64 {
    if is_code(a) || is_code(b) {
        return 0.0;
    }
    let (a, mut b) = (pairs(a), pairs(b));
    let all = a.len() + b.len();
    let mut shared = 0;
    for pair in a {
        if let Some(i) = b.iter().position(|other| *other == pair) {
            b.swap_remove(i);
            shared += 2;
        }
    }
    let share = f64::from(shared) / all as f64;
    if share >= CHANCE { share } else { 0.0 }
}

/// The pairs of letters side by side, with the edges of the word.
fn pairs(word: &str) -> Vec<(char, char)> {
    let before = std::iter::once(' ').chain(word.chars());
    before.zip(word.chars().chain([' '])).collect()
}

/// A code without the letters behind its last digit, where that leaves enough.
pub(crate) fn variant_of(code: &str) -> Option<&str> {
    let stem = code.trim_end_matches(|c: char| !c.is_numeric());
    let letters = code[stem.len()..].chars().count();
    let enough = stem.chars().count() >= SHORTEST && stem.chars().any(|c| !c.is_numeric());
    ((1..=3).contains(&letters) && enough).then_some(stem)
}

/// The slips between two words, if they are no more than `most`: two swapped
/// letters are one, else each letter too many, missing or wrong (Levenshtein's
/// distance).
fn slips(short: &[char], long: &[char], most: usize) -> Option<usize> {
    if most == 0 || long.len() > LONGEST || long.len() - short.len() > most {
        return None;
    }
    if is_swap(short, long) {
        return Some(1);
    }
    let mut last = [0usize; LONGEST + 1];
    let mut row = [0usize; LONGEST + 1];
    (0..=long.len()).for_each(|j| last[j] = j);
    for (i, a) in short.iter().enumerate() {
        row[0] = i + 1;
        let mut least = row[0];
        for (j, b) in long.iter().enumerate() {
            let changed = last[j] + usize::from(a != b);
            row[j + 1] = changed.min(last[j + 1] + 1).min(row[j] + 1);
            least = least.min(row[j + 1]);
        }
        if least > most {
            return None;
        }
        last = row;
    }
    Some(last[long.len()]).filter(|slips| *slips <= most)
}

/// Whether two letters side by side are swapped, and nothing else.
fn is_swap(a: &[char], b: &[char]) -> bool {
    let Some(i) = a.iter().zip(b).position(|(x, y)| x != y) else { return false };
    a.len() == b.len()
        && i + 1 < a.len()
        && (a[i], a[i + 1]) == (b[i + 1], b[i])
        && a[i + 2..] == b[i + 2..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_bear_slips_and_codes_do_not() {
        let cases = [
            ("turntable", "turntable", 1.0),
            ("turntable", "turtnable", 1.0 - 1.0 / 9.0),
            ("turntable", "turntible", 1.0 - 1.0 / 9.0),
            ("turntable", "tuntabel", 0.0),
            ("light", "lights", 1.0 - 1.0 / 6.0),
            ("cat", "car", 0.0),
            ("deli", "delicatessen", 0.8),
            ("st", "street", 0.0),
            ("kdl46v4100", "kdl52v4100", 0.0),
            ("dscw120", "dscw120b", 0.9),
            ("dscw120p", "dscw120b", 0.0),
            ("120", "120b", 0.0),
            ("house", "mouth", 0.0),
        ];
        for (a, b, expected) in cases {
            assert!((likeness(a, b) - expected).abs() < 1e-9, "{a} {b}: {}", likeness(a, b));
            assert_eq!(likeness(a, b), likeness(b, a), "{a} {b}");
        }
    }

    #[test]
    fn words_resemble_each_other_by_pairs_of_letters() {
        for (a, b, expected) in
            [("cat", "car", 0.5), ("candle", "cnadl", 0.0), ("st", "street", 0.6)]
        {
            assert!((resemblance(a, b) - expected).abs() < 1e-9, "{a} {b}: {}", resemblance(a, b));
        }
        assert_eq!(resemblance("shwarzeneger", "schwarzenegger"), 24.0 / 28.0);
        assert_eq!(resemblance("x120", "x130"), 0.0);
    }

    proptest! {
        #[test]
        fn slips_are_those_of_the_textbook(a in "[ab]{4,9}", b in "[ab]{4,9}") {
            let (x, y): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            let (short, long) = if x.len() <= y.len() { (x, y) } else { (y, x) };
            let swap = a.len() == b.len() && strsim::osa_distance(&a, &b) == 1;
            let distance = if swap { 1 } else { strsim::levenshtein(&a, &b) };
            let expected = Some(distance).filter(|d| *d <= 2);
            prop_assert_eq!(slips(&short, &long, 2), expected);
        }
    }
}
