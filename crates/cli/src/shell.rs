//! Commands that a person, or a script, can paste into a shell.

/// A command as a shell reads it.
pub(crate) fn command(words: &[String]) -> String {
    words.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" ")
}

/// How this program was called: by its name, or by a path to it.
pub(crate) fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    if called.contains('/') { called } else { "kiln".to_owned() }
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_same_words() {
        let words = ["plain/path.toml", "a b", "it's", "$(rm -rf /)", "", "x=*", "line\nend", "~"];
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        let script = format!("for w in {}; do printf '%s\\0' \"$w\"; done", command(&words));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let read: Vec<&[u8]> = output.stdout.split(|b| *b == 0).collect();
        let expected: Vec<&[u8]> = words.iter().map(String::as_bytes).chain([&b""[..]]).collect();
        assert_eq!(read, expected);
    }
}
