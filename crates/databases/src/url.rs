//! The parts of a URL that do not depend on the database.

/// What stands before the first colon, if it looks like the kind of a database.
pub(crate) fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once(':')?;
    let is_word = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_lowercase());
    is_word.then_some(scheme)
}

/// A URL that shows no password, without the user: who asks makes no difference
/// to what is there.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_what_stands_before_the_colon() {
        assert_eq!(scheme("sqlite::memory:"), Some("sqlite"));
        assert_eq!(scheme("postgres://u@h/d"), Some("postgres"));
        assert_eq!(scheme("shop.db"), None);
        assert_eq!(scheme("./a:b"), None);
        assert_eq!(scheme(":memory:"), None);
    }

    #[cfg(any(feature = "postgres", feature = "mysql"))]
    #[test]
    fn a_database_is_the_same_for_every_user() {
        assert_eq!(without_user("postgres://ann@db:5432/shop"), "postgres://db:5432/shop");
        assert_eq!(without_user("postgres://db:5432/shop"), "postgres://db:5432/shop");
    }
}
