//! The encodings of text.

use std::fmt;
use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, UTF_8, UTF_16BE, UTF_16LE};
use kiln_core::{Fault, Result};

/// How much is decoded at a time.
const BLOCK: usize = 64 << 10;

/// Stands in the decoded text for bytes that are none: no UTF-8, so that the
/// record they are in fails and no other.
const NO_TEXT: u8 = 0xff;

/// The encoding of a text file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(Coding);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// ISO 8859-1, byte for byte.
    Latin1,
    /// What the WHATWG's Encoding Standard calls so.
    Standard(&'static encoding_rs::Encoding),
}

impl Encoding {
    /// UTF-8.
    pub const UTF_8: Self = Self(Coding::Standard(UTF_8));

    /// Reads `utf-8`, `latin-1`, `windows-1252`, `utf-16le`, `utf-16be`, or
    /// another label of the WHATWG's Encoding Standard. `utf-16` is UTF-16LE,
    /// unless a byte order mark says otherwise. Unlike there, `latin-1` is
    /// ISO 8859-1 and not windows-1252.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for any other word.
    pub fn parse(word: &str) -> Result<Self> {
        const LATIN_1: [&str; 5] = ["latin-1", "latin1", "iso-8859-1", "iso8859-1", "iso_8859-1"];
        let word = word.trim();
        if LATIN_1.iter().any(|w| w.eq_ignore_ascii_case(word)) {
            return Ok(Self(Coding::Latin1));
        }
        match encoding_rs::Encoding::for_label_no_replacement(word.as_bytes()) {
            Some(known) => Ok(Self(Coding::Standard(known))),
            None => Err(Fault::config(format!("{word:?} is no encoding"))
                .with_hint("usual ones are utf-8, latin-1, windows-1252, utf-16le and utf-16be")),
        }
    }

    /// What a byte order mark says, and how long it is.
    pub(super) fn of_mark(head: &[u8]) -> Option<(Self, usize)> {
        let (encoding, len) = encoding_rs::Encoding::for_bom(head)?;
        Some((Self(Coding::Standard(encoding)), len))
    }

    /// A reader of the text as UTF-8; `None`, if it is that.
    pub(super) fn decode<R: Read>(self, input: R) -> std::result::Result<Decoded<R>, R> {
        let coder = match self.0 {
            Coding::Latin1 => None,
            Coding::Standard(e) if e == UTF_8 => return Err(input),
            Coding::Standard(e) => Some(e.new_decoder_with_bom_removal()),
        };
        Ok(Decoded { input, coder, raw: vec![0; BLOCK], text: Vec::new(), given: 0, ended: false })
    }

    /// Whether a mark of this encoding agrees with one that was declared.
    pub(super) fn agrees(self, declared: Self) -> bool {
        let utf_16 = |e: Self| [UTF_16LE, UTF_16BE].iter().any(|u| e.0 == Coding::Standard(u));
        self == declared || utf_16(self) && utf_16(declared)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Coding::Latin1 => "ISO-8859-1",
            Coding::Standard(known) => known.name(),
        })
    }
}

/// A text as UTF-8 while it is read.
pub(crate) struct Decoded<R> {
    input: R,
    /// `None`: ISO 8859-1.
    coder: Option<Decoder>,
    raw: Vec<u8>,
    text: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Decoded<R> {
    pub(super) fn input(&self) -> &R {
        &self.input
    }

    /// Decodes the next block.
    fn fill(&mut self) -> io::Result<()> {
        let len = self.input.read(&mut self.raw)?;
        self.ended = len == 0;
        self.text.clear();
        self.given = 0;
        let raw = &self.raw[..len];
        match &mut self.coder {
            None => {
                self.text.resize(2 * len, 0);
                let written = encoding_rs::mem::convert_latin1_to_utf8(raw, &mut self.text);
                self.text.truncate(written);
            }
            Some(coder) => decode(coder, raw, self.ended, &mut self.text),
        }
        Ok(())
    }
}

/// Adds the text of `raw`; with `last`, nothing comes after it.
fn decode(coder: &mut Decoder, mut raw: &[u8], last: bool, text: &mut Vec<u8>) {
    loop {
        let from = text.len();
        let room = coder.max_utf8_buffer_length_without_replacement(raw.len()).unwrap_or(BLOCK);
        text.resize(from + room, 0);
        let (result, read, written) =
            coder.decode_to_utf8_without_replacement(raw, &mut text[from..], last);
        text.truncate(from + written);
        raw = &raw[read..];
        match result {
            DecoderResult::InputEmpty => return,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => text.push(NO_TEXT),
        }
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() && !self.ended {
            self.fill()?;
        }
        let n = buffer.len().min(self.text.len() - self.given);
        buffer[..n].copy_from_slice(&self.text[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(word: &str, raw: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        match Encoding::parse(word).unwrap().decode(raw) {
            Ok(mut decoded) => decoded.read_to_end(&mut text).unwrap(),
            Err(mut plain) => plain.read_to_end(&mut text).unwrap(),
        };
        text
    }

    #[test]
    fn each_encoding_has_its_own_text() {
        assert_eq!(decoded("latin-1", b"caf\xe9 \x80"), "café \u{80}".as_bytes());
        assert_eq!(decoded("windows-1252", b"caf\xe9 \x80"), "café €".as_bytes());
        assert_eq!(decoded("UTF-16LE", b"\xff\xfea\0\xac\x20"), "a€".as_bytes());
        assert_eq!(decoded("utf-16be", b"\0a\x20\xac"), "a€".as_bytes());
        assert_eq!(decoded("utf-8", b"caf\xe9"), b"caf\xe9");
        assert_eq!(decoded("latin-1", &[0xe9; 200_000]).len(), 400_000);
        assert!(Encoding::parse("utf-9").is_err());
    }

    #[test]
    fn what_is_no_text_spoils_its_own_place_only() {
        assert_eq!(decoded("utf-16le", b"\x00\xd8a\0"), b"\xffa");
        assert_eq!(decoded("utf-16le", b"a\0b"), b"a\xff");
    }
}
