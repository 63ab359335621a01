//! The word somebody may have meant.

/// The known word that is nearest to `word`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let distance = |k: &str| strsim::damerau_levenshtein(&k.to_lowercase(), &lower);
    let best = known.into_iter().map(|k| (distance(k), k)).min_by_key(|(d, _)| *d);
    best.filter(|(d, k)| *d <= (k.chars().count().max(3)) / 3 + 1).map(|(_, k)| k)
}

/// "did you mean `file`? known are: …", or the second half alone.
pub(crate) fn suggestion(what: &str, word: &str, known: &[&str]) -> String {
    let all = || format!("{what}: {}", known.join(", "));
    match nearest(word, known.iter().copied()) {
        Some(near) if known.len() > 1 => format!("did you mean `{near}`? {}", all()),
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("{what}: none"),
        None => all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let known = ["file", "format", "delimiter"];
        assert_eq!(nearest("fiel", known), Some("file"));
        assert_eq!(nearest("File", known), Some("file"));
        assert_eq!(nearest("delimeter", known), Some("delimiter"));
        assert_eq!(nearest("password", known), None);
        assert_eq!(suggestion("keys", "x", &[]), "keys: none");
    }
}
