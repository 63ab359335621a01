//! The parts of a URL that do not depend on the database.

/// What stands before the first colon, if it looks like the kind of a database.
pub(crate) fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once(':')?;
    let is_word = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_lowercase());
    is_word.then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::scheme;

    #[test]
    fn the_kind_is_what_stands_before_the_colon() {
        assert_eq!(scheme("sqlite::memory:"), Some("sqlite"));
        assert_eq!(scheme("postgres://u@h/d"), Some("postgres"));
        assert_eq!(scheme("shop.db"), None);
        assert_eq!(scheme("./a:b"), None);
        assert_eq!(scheme(":memory:"), None);
    }
}
