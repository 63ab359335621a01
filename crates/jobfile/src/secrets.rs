//! Passwords, and how they are kept out of what people and ledgers see.

use std::ops::Range;

/// What stands where a password was.
const MASK: &str = "***";

/// Where the passwords in a database's URL stand: behind the user's name, and
/// in parameters called like one.
fn passwords(url: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let Some(rest) = url.find("://").map(|i| i + 3) else { return found };
    let end = |ends: &[char]| url[rest..].find(ends).map_or(url.len(), |i| rest + i);
    // A password ends at the last `@` before the first slash, where a `?` may be
    // one of its characters; one that nobody escaped may have slashes, too.
    let at = url[rest..end(&['/'])].rfind('@').max(url[rest..end(&['?', '#'])].rfind('@'));
    let at = at.map_or(rest, |i| rest + i);
    if let Some(colon) = url[rest..at].find(':').map(|i| rest + i) {
        found.push(colon + 1..at);
    }
    let query = end(&['?', '#']);
    let mut at = query;
    for part in url[query..].split_inclusive(['?', '&', '#']) {
        let value = part.trim_end_matches(['?', '&', '#']);
        if let Some((name, text)) = value.split_once('=')
            && name.to_ascii_lowercase().contains("pass")
        {
            let from = at + name.len() + 1;
            if !found.iter().any(|password: &Range<usize>| password.contains(&from)) {
                found.push(from..from + text.len());
            }
        }
        at += part.len();
    }
    found.retain(|range| !range.is_empty());
    found
}

/// The passwords that a URL holds.
pub(crate) fn secrets_of(url: &str) -> Vec<String> {
    passwords(url).into_iter().map(|range| url[range].to_owned()).collect()
}

/// The URL with its passwords masked; what is no URL stays as it is.
pub fn without_secrets(url: &str) -> String {
    let mut masked = url.to_owned();
    for range in passwords(url).into_iter().rev() {
        masked.replace_range(range, MASK);
    }
    masked
}

/// A text with the passwords of all URLs in it masked, as many bytes as before,
/// so that places in it stay where they are.
pub(crate) fn without_secrets_in_place(text: &str) -> String {
    let mut masked = text.to_owned();
    let mut at = 0;
    for word in text.split_inclusive(['"', '\'', '\n']) {
        for range in passwords(word.trim_end_matches(['"', '\'', '\n'])) {
            masked.replace_range(at + range.start..at + range.end, &"*".repeat(range.len()));
        }
        at += word.len();
    }
    masked
}

/// A value that is, or is a part of, one of these secrets, is masked whole; in
/// others the secrets are.
pub(crate) fn hide(value: &str, secrets: &[String]) -> String {
    let value = without_secrets(value);
    if !value.is_empty() && secrets.iter().any(|s| s.contains(&value)) {
        return MASK.to_owned();
    }
    secrets.iter().fold(value, |v, secret| v.replace(secret.as_str(), MASK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_wherever_a_url_holds_one() {
        let cases = [
            ("postgres://ann:canary@h:5432/d", "postgres://ann:***@h:5432/d"),
            ("postgres://ann:can@ary@h/d", "postgres://ann:***@h/d"),
            ("postgres://ann:can?ary@h/d?x=1", "postgres://ann:***@h/d?x=1"),
            ("postgres://ann:can/ary@h/d", "postgres://ann:***@h/d"),
            ("postgres://ann:c@n/ary@h/d", "postgres://ann:***@h/d"),
            (
                "postgres://ann@h/d?sslmode=off&password=canary",
                "postgres://ann@h/d?sslmode=off&password=***",
            ),
            (
                "postgres://h?password=canary&application_name=a@b",
                "postgres://h?password=***&application_name=a@b",
            ),
            ("postgres://ann:can?pass=ary@h/d", "postgres://ann:***@h/d"),
            ("postgres://h/d?sslpassword=canary#x", "postgres://h/d?sslpassword=***#x"),
            ("postgres://ann:@h/d", "postgres://ann:@h/d"),
            ("postgres://h:5432/d", "postgres://h:5432/d"),
            ("sqlite:shop.db", "sqlite:shop.db"),
            ("plain text", "plain text"),
        ];
        for (url, shown) in cases {
            assert_eq!(without_secrets(url), shown);
        }
    }

    #[test]
    fn masking_in_place_keeps_places() {
        let text = "a = 1\nurl = \"postgres://ann:canäry@h/d\"\nfile = 'x@y:z'\n";
        let masked = without_secrets_in_place(text);
        assert_eq!(masked, "a = 1\nurl = \"postgres://ann:*******@h/d\"\nfile = 'x@y:z'\n");
        assert_eq!(masked.len(), text.len());
    }

    #[test]
    fn parts_of_a_secret_are_hidden_as_well() {
        let secrets = secrets_of("postgres://ann:s3cret@h/d");
        assert_eq!(secrets, ["s3cret"]);
        assert_eq!(hide("s3cret", &secrets), "***");
        assert_eq!(hide("s3c", &secrets), "***");
        assert_eq!(hide("x s3cret y", &secrets), "x *** y");
        assert_eq!(hide("ann", &secrets), "ann");
        assert_eq!(hide("", &secrets), "");
    }
}
