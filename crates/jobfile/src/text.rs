//! Text that comes from data, made safe to show.

/// The text on one line, without anything that a terminal would obey: control
/// characters, and those that turn the direction of writing, are written out
/// (`\n`, `\u{1b}`).
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// As [`printable`], line by line: line ends are kept.
pub fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// As [`printable_lines`], with as many bytes as before, so that places in it
/// stay where they are.
pub(crate) fn masked_in_place(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => safe.push(c),
            c if is_unsafe(c) => safe.extend(std::iter::repeat_n('?', c.len_utf8())),
            c => safe.push(c),
        }
    }
    safe
}

fn is_unsafe(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(printable("a\x1b[31mb\u{9b}c\r\n\td"), r"a\u{1b}[31mb\u{9b}c\r\n\td");
        assert_eq!(printable("abc\u{202e}txt.exe"), r"abc\u{202e}txt.exe");
        assert_eq!(printable("Größe 漢字 £ 'x' \\n"), "Größe 漢字 £ 'x' \\n");
        assert_eq!(printable_lines("a\x07\nb"), "a\\u{7}\nb");
    }

    #[test]
    fn masking_keeps_places() {
        let text = "x = \"\u{9b}\u{202e}\"\ny = 1";
        let masked = masked_in_place(text);
        assert_eq!(masked, "x = \"?????\"\ny = 1");
        assert_eq!(masked.len(), text.len());
    }
}
