//! `~/.pgpass`: passwords by host, port, database and user.

use std::path::Path;

/// Which password is looked for.
pub(super) struct Wanted<'a> {
    /// As the URL names it; `localhost` for the usual socket.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The text of a password file, if it is there and nobody else can read it. One
/// that others can read is left alone, as libpq does, and the log says so.
pub(super) fn read(path: &Path) -> Option<String> {
    let meta = std::fs::metadata(path).ok()?;
    let why = if !meta.is_file() {
        "it is no plain file"
    } else if others_may_read(&meta) {
        "others may read it: chmod 600"
    } else {
        return match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the password file is passed over");
                None
            }
        };
    };
    tracing::warn!(file = %path.display(), "the password file is passed over: {why}");
    None
}

#[cfg(unix)]
pub(super) fn others_may_read(meta: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
pub(super) fn others_may_read(_: &std::fs::Metadata) -> bool {
    false
}

/// The password of the first line that fits.
pub(super) fn find(text: &str, wanted: &Wanted<'_>) -> Option<String> {
    let port = wanted.port.to_string();
    let fields = [wanted.host, &port, wanted.database, wanted.user];
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.find_map(|line| password(line, &fields)).filter(|password| !password.is_empty())
}

/// The password of a line, if all fields before it fit.
fn password(line: &str, wanted: &[&str; 4]) -> Option<String> {
    let mut rest = line;
    for wanted in wanted {
        let (field, behind) = field(rest)?;
        if rest[..rest.len() - behind.len() - 1] != *"*" && field != *wanted {
            return None;
        }
        rest = behind;
    }
    Some(unescaped(rest))
}

/// The field up to the next colon that is not escaped, and what is behind it.
fn field(text: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b':' if !escaped => return Some((unescaped(&text[..at]), &text[at + 1..])),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

/// The text with each backslash gone that stands before another character.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => plain.extend(characters.next()),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# host:port:database:user:password
db.example.org:5432:shop:ann:first
db.example.org:*:shop:ann:second
*:5432:\\*:ann:star
10.0.0.1:5432:a\\:b:c\\\\d:p\\:w\\\\
::1:5432:shop:ann:never
\\:\\:1:5432:shop:ann:six
short:5432:shop
*:*:*:nobody:
*:*:*:nobody:never
*:*:*:bob:b:o:b
";

    fn found(host: &str, port: u16, database: &str, user: &str) -> Option<String> {
        find(FILE, &Wanted { host, port, database, user })
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let cases = [
            (("db.example.org", 5432, "shop", "ann"), Some("first")),
            (("db.example.org", 5433, "shop", "ann"), Some("second")),
            (("db.example.org", 5433, "shop", "eve"), None),
            (("x", 5432, "*", "ann"), Some("star")),
            (("x", 5432, "y", "ann"), None),
            (("10.0.0.1", 5432, "a:b", "c\\d"), Some("p:w\\")),
            (("::1", 5432, "shop", "ann"), Some("six")),
            (("short", 5432, "shop", "x"), None),
            (("x", 1, "shop", "nobody"), None),
            (("x", 1, "shop", "bob"), Some("b:o:b")),
        ];
        for ((host, port, database, user), password) in cases {
            assert_eq!(found(host, port, database, user).as_deref(), password, "{host} {user}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_passed_over() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        assert_eq!(read(&path), None);
        std::fs::write(&path, "a").unwrap();
        for (mode, text) in [(0o600, Some("a")), (0o400, Some("a")), (0o640, None), (0o604, None)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).as_deref(), text, "{mode:o}");
        }
        assert_eq!(read(folder.path()), None);
    }
}
