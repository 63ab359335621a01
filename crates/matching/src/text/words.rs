//! The words of a text.

use crate::fold::{is_apostrophe, plain};

/// A code of more letters than these is a list of things, not one.
const LONGEST_CODE: usize = 24;

/// The different words of a text, folded, in order.
///
/// What stands between blanks and holds a digit is one word, whatever its
/// punctuation: `PS-LX350H` and `PSLX350H` are one code, `213/623-3287` and
/// `213 6233287` nearly so. Other punctuation parts words. In scripts without
/// blanks between words (Chinese, Japanese) each character is one.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |word: String| {
        if !words.contains(&word) {
            words.push(word);
        }
    };
    let plain: String = plain(text).chars().filter(|c| !is_apostrophe(*c)).collect();
    for piece in plain.split_whitespace() {
        let is_code = piece.chars().any(|c| c.is_numeric()) && piece.len() <= LONGEST_CODE;
        let parts = piece.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
        if is_code {
            let code: String = parts.collect();
            if !code.is_empty() {
                add(code);
            }
        } else {
            parts.flat_map(cut).for_each(&mut add);
        }
    }
    words
}

/// A word as it is, or as its characters.
fn cut(word: &str) -> Vec<String> {
    if word.chars().any(is_word_by_itself) {
        word.chars().map(String::from).collect()
    } else {
        vec![word.to_owned()]
    }
}

/// Kana and Han.
fn is_word_by_itself(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// Whether a word is a number or a code. They name things; words describe them.
pub(crate) fn is_code(word: &str) -> bool {
    word.chars().any(|c| c.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn codes_stay_whole_and_words_apart() {
        let cases: [(&str, &[&str]); 8] = [
            ("Sony Turntable - PS-LX350H", &["sony", "turntable", "pslx350h"]),
            ("Belt-Drive  TURNTABLE/black", &["belt", "drive", "turntable", "black"]),
            ("Arnie Morton's of Chicago", &["arnie", "mortons", "of", "chicago"]),
            ("435 S. La Cienega Blv.", &["435", "s", "la", "cienega", "blv"]),
            ("213/623-3287", &["2136233287"]),
            ("the the THE", &["the"]),
            ("東京 Tower", &["東", "京", "tower"]),
            (" -- ", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }
}
