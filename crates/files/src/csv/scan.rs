//! The tokenizer: bytes to the fields of one record.
//!
//! It is kiln's own because it must tell `""` from an empty field, must report
//! bad quoting instead of guessing, and must know after a bad record where the
//! next one starts. The `csv` crate does none of these.

use memchr::{memchr, memchr_iter, memchr2};

use super::options::CsvOptions;

/// The characters that have a meaning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    trim: bool,
}

/// Where a field lies in its record, without quotes and dropped blanks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) quoted: bool,
    /// Whether some of its characters are escaped.
    pub(super) escaped: bool,
}

/// A place inside a record, and all there is to know to go on from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A field begins at this byte.
    Field(usize),
    /// The byte is inside a quoted field.
    Quoted(usize),
}

/// What a walk over a record came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// The record ends, without its line end; the next one begins.
    Record { end: usize, next: usize },
    /// The bytes end before the record does.
    Incomplete(State),
    /// Something follows a closing quote that can't stand there.
    Bad(usize),
}

/// What a field is followed by.
enum After {
    Field(usize),
    End { end: usize, next: usize },
    Incomplete,
    Bad(usize),
}

impl Dialect {
    pub(super) fn new(options: &CsvOptions) -> Self {
        let CsvOptions { delimiter, quote, escape, trim, .. } = *options;
        Self { delimiter, quote, escape, trim }
    }

    /// The first byte that is a line end or makes a line more than its fields
    /// with delimiters between them.
    pub(super) fn find_special(&self, data: &[u8]) -> Option<usize> {
        match self.quote {
            Some(quote) => memchr2(quote, b'\n', data),
            None => memchr(b'\n', data),
        }
    }

    /// The fields of a line without quotes, given without its line end.
    pub(super) fn split(&self, line: &[u8], fields: &mut Vec<Field>) {
        let mut start = 0;
        for end in memchr_iter(self.delimiter, line) {
            fields.push(self.unquoted(line, start, end));
            start = end + 1;
        }
        fields.push(self.unquoted(line, start, line.len()));
    }

    /// Whether a line holds nothing, given without its line end.
    pub(super) fn is_blank(&self, line: &[u8]) -> bool {
        line.is_empty() || self.trim && line.iter().all(|b| self.is_space(*b))
    }

    /// Goes from `state` to the end of the record and adds its fields; with
    /// `eof`, nothing comes after `data`.
    pub(super) fn walk(
        &self,
        data: &[u8],
        eof: bool,
        state: State,
        fields: &mut Vec<Field>,
    ) -> Walk {
        let mut state = state;
        loop {
            let (at, quoted) = match state {
                State::Quoted(at) => (at, true),
                State::Field(at) => match self.opening(data, at) {
                    Some(content) => (content, true),
                    None => (at, false),
                },
            };
            let after = if quoted {
                match self.closing(data, eof, at) {
                    Err(far) => return Walk::Incomplete(State::Quoted(far)),
                    Ok((end, escaped)) => {
                        fields.push(Field { start: at, end, quoted, escaped });
                        self.after_quote(data, eof, end + 1)
                    }
                }
            } else {
                self.walk_unquoted(data, eof, at, fields)
            };
            state = match after {
                After::Field(at) => State::Field(at),
                After::End { end, next } => return Walk::Record { end, next },
                After::Incomplete => return Walk::Incomplete(state),
                After::Bad(at) => return Walk::Bad(at),
            };
        }
    }

    /// Where the content of the field begins, if it is a quoted one.
    fn opening(&self, data: &[u8], at: usize) -> Option<usize> {
        let at = self.skip_spaces(data, at);
        (self.quote.is_some() && data.get(at).copied() == self.quote).then_some(at + 1)
    }

    /// The closing quote, and whether a character before it is escaped; or how
    /// far it certainly is not.
    fn closing(&self, data: &[u8], eof: bool, from: usize) -> Result<(usize, bool), usize> {
        let Some(quote) = self.quote else { return Err(data.len()) };
        let escape = self.escape.unwrap_or(quote);
        let mut escaped = false;
        let mut at = from;
        loop {
            at += memchr2(quote, escape, &data[at..]).ok_or(data.len())?;
            let pair = data.get(at + 1).copied();
            if pair.is_none() && !eof {
                return Err(at);
            }
            let is_quote = data[at] == quote;
            if pair == Some(quote) || !is_quote && pair == Some(escape) {
                escaped = true;
                at += 2;
            } else if is_quote {
                return Ok((at, escaped));
            } else {
                at += 1;
            }
        }
    }

    fn after_quote(&self, data: &[u8], eof: bool, at: usize) -> After {
        let here = self.skip_spaces(data, at);
        match (data.get(here), data.get(here + 1)) {
            (Some(b), _) if *b == self.delimiter => After::Field(here + 1),
            (Some(b'\n'), _) => After::End { end: here, next: here + 1 },
            (Some(b'\r'), Some(b'\n')) => After::End { end: here, next: here + 2 },
            (Some(b'\r'), None) if eof => After::End { end: here, next: here + 1 },
            (None, _) if eof => After::End { end: here, next: here },
            (Some(b'\r'), None) | (None, _) => After::Incomplete,
            (Some(_), _) => After::Bad(here),
        }
    }

    fn walk_unquoted(
        &self,
        data: &[u8],
        eof: bool,
        start: usize,
        fields: &mut Vec<Field>,
    ) -> After {
        let (end, after) = match memchr2(self.delimiter, b'\n', &data[start..]) {
            Some(n) if data[start + n] == self.delimiter => {
                (start + n, After::Field(start + n + 1))
            }
            Some(n) => {
                let end = start + without_cr(&data[start..start + n]).len();
                (end, After::End { end, next: start + n + 1 })
            }
            None if eof => {
                let end = start + without_cr(&data[start..]).len();
                (end, After::End { end, next: data.len() })
            }
            None => return After::Incomplete,
        };
        fields.push(self.unquoted(data, start, end));
        after
    }

    fn unquoted(&self, data: &[u8], mut start: usize, mut end: usize) -> Field {
        if self.trim {
            start = self.skip_spaces(&data[..end], start);
            while end > start && self.is_space(data[end - 1]) {
                end -= 1;
            }
        }
        Field { start, end, quoted: false, escaped: false }
    }

    fn skip_spaces(&self, data: &[u8], at: usize) -> usize {
        let spaces = data[at..].iter().take_while(|b| self.trim && self.is_space(**b));
        at + spaces.count()
    }

    fn is_space(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t') && byte != self.delimiter
    }

    /// The content of a field with escaped characters, as it is meant.
    pub(super) fn unescape(&self, content: &str, into: &mut String) {
        let Some(quote) = self.quote else { return into.push_str(content) };
        let escape = self.escape.unwrap_or(quote);
        let bytes = content.as_bytes();
        let mut kept = 0;
        let mut at = 0;
        while let Some(n) = memchr2(quote, escape, &bytes[at..]) {
            at += n;
            let pair = bytes.get(at + 1).copied();
            if pair == Some(quote) || bytes[at] == escape && pair == Some(escape) {
                into.push_str(&content[kept..at]);
                kept = at + 1;
                at += 2;
            } else {
                at += 1;
            }
        }
        into.push_str(&content[kept..]);
    }
}

/// A line without the CR of its line end.
pub(super) fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(escape: Option<u8>, trim: bool) -> Dialect {
        Dialect::new(&CsvOptions { escape, trim, ..CsvOptions::default() })
    }

    fn fields(dialect: &Dialect, text: &str) -> Option<Vec<String>> {
        let mut fields = Vec::new();
        match dialect.walk(text.as_bytes(), true, State::Field(0), &mut fields) {
            Walk::Record { next, .. } => assert_eq!(next, text.len(), "{text:?}"),
            Walk::Incomplete(_) | Walk::Bad(_) => return None,
        }
        let show = |f: &Field| {
            let mut content = String::new();
            dialect.unescape(&text[f.start..f.end], &mut content);
            if f.quoted { format!("<{content}>") } else { text[f.start..f.end].to_owned() }
        };
        Some(fields.iter().map(show).collect())
    }

    #[test]
    fn records_and_their_fields() {
        let plain = dialect(None, false);
        for (text, expected) in [
            ("a,b", Some(vec!["a", "b"])),
            ("a,\"\",\n", Some(vec!["a", "<>", ""])),
            ("\"x\"\"y\"\r\n", Some(vec!["<x\"y>"])),
            ("\"a\r\nb\",c\r\n", Some(vec!["<a\r\nb>", "c"])),
            ("3\",4\"5\n", Some(vec!["3\"", "4\"5"])),
            ("a,b\r", Some(vec!["a", "b"])),
            ("a\rb,c\n", Some(vec!["a\rb", "c"])),
            ("\"\"\"\"", Some(vec!["<\">"])),
            ("\"a\" ,b", None),
            (" \"a\"", Some(vec![" \"a\""])),
            ("\"a\"b", None),
            ("\"a", None),
            ("\"a\"\"", None),
            ("\"a\"\rb", None),
        ] {
            let expected: Option<Vec<String>> =
                expected.map(|e| e.into_iter().map(str::to_owned).collect());
            assert_eq!(fields(&plain, text), expected, "{text:?}");
        }
    }

    #[test]
    fn blanks_are_trimmed_outside_quotes() {
        let trim = dialect(None, true);
        assert_eq!(fields(&trim, " a ,\t\" b \" , ").unwrap(), ["a", "< b >", ""]);
        assert_eq!(fields(&trim, "\" \" x"), None);
    }

    #[test]
    fn a_backslash_escapes_quotes_and_itself() {
        let escape = dialect(Some(b'\\'), false);
        assert_eq!(
            fields(&escape, r#""a\"b\\","\n\N",\N"#).unwrap(),
            [r#"<a"b\>"#, r"<\n\N>", r"\N"]
        );
        assert_eq!(fields(&escape, r#""a""b""#).unwrap(), [r#"<a"b>"#]);
        assert_eq!(fields(&escape, r#""a\""#), None);
        assert_eq!(fields(&escape, r#""a\\\"""#).unwrap(), [r#"<a\">"#]);
    }

    #[test]
    fn a_walk_goes_on_where_it_stopped() {
        let plain = dialect(None, false);
        let text = "a,\"b\"\"c\nd\",\"e\"\r\nnext";
        let whole = plain.walk(text.as_bytes(), true, State::Field(0), &mut Vec::new());
        assert_eq!(whole, Walk::Record { end: 14, next: 16 });
        for cut in 0..16 {
            let mut state = State::Field(0);
            let head = &text.as_bytes()[..cut];
            match plain.walk(head, false, state, &mut Vec::new()) {
                Walk::Incomplete(at) => state = at,
                other => panic!("{cut}: {other:?}"),
            }
            let end = plain.walk(text.as_bytes(), true, state, &mut Vec::new());
            assert_eq!(end, whole, "cut at {cut}, {state:?}");
        }
    }
}
