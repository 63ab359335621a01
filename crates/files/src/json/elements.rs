//! Bytes to the elements of an array, or to values one behind the other.
//!
//! Where an element ends is told by its brackets alone; whether it is JSON is
//! found out when its values are taken. So an element that is broken inside is
//! one bad record. Where brackets or commas are wrong, nobody can tell where
//! the next element begins, and reading ends with a fault that names the line.

use std::fmt;

use kiln_core::{Fault, Kind, Progress, Result};
use memchr::{memchr_iter, memchr2};

use crate::input::InputFile;
use crate::text_source::{KEPT, Place};
use crate::window::Window;

/// An element as it lies in the file.
pub(super) struct Element<'a> {
    pub(super) place: Place,
    /// Its bytes; of one that is too long, the beginning.
    pub(super) raw: &'a [u8],
    pub(super) too_long: bool,
}

/// The elements of a file.
pub(super) struct Elements {
    file: InputFile,
    limit: usize,
    window: Window,
    line: u64,
    /// Where the content begins.
    start: Place,
    /// Where the last element ended; the end of the array may have been read on.
    behind: Place,
    /// Whether they are those of an array.
    in_array: bool,
    /// Whether the end of that array was read.
    ended: bool,
    kept: Vec<u8>,
}

impl Elements {
    pub(super) fn open(file: InputFile, limit: usize) -> Result<Self> {
        let start = file.start();
        let window = Window::open(&file, start.byte)?;
        let mut elements = Self {
            file,
            limit,
            window,
            line: start.line,
            start,
            behind: start,
            in_array: false,
            ended: false,
            kept: Vec::new(),
        };
        elements.in_array = elements.peek()? == Some(b'[');
        elements.seek(start)?;
        Ok(elements)
    }

    /// Goes to the start, or to where an element ended.
    pub(super) fn seek(&mut self, place: Place) -> Result<()> {
        self.window = Window::open(&self.file, place.byte)?;
        self.line = place.line;
        self.behind = place;
        self.ended = false;
        Ok(())
    }

    pub(super) fn file(&self) -> &InputFile {
        &self.file
    }

    /// Where the last element ended.
    pub(super) fn place(&self) -> Place {
        self.behind
    }

    /// Where reading has come to.
    fn here(&self) -> Place {
        Place { byte: self.window.offset(), line: self.line }
    }

    pub(super) fn progress(&self) -> Progress {
        self.window.progress(&self.file)
    }

    /// The fault of an element that is too long.
    pub(super) fn fault_of_length(&self) -> Fault {
        let message = format!("the record is longer than {} bytes", self.limit);
        Fault::item(message).with_code("too_long")
    }

    /// The next element, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Element<'_>>> {
        if !self.is_one_left()? {
            return Ok(None);
        }
        let place = self.here();
        let mut end = End::default();
        let len = loop {
            let data = self.window.data();
            match end.find(data, self.window.eof()).map_err(|e| self.broken(place, e))? {
                Some(len) if len <= self.limit => break len,
                None if data.len() <= self.limit => self.window.fill(&self.file)?,
                _ => return self.too_long(place).map(Some),
            }
        };
        self.pass(len);
        self.behind = self.here();
        Ok(Some(Element { place, raw: self.window.consumed(len, len), too_long: false }))
    }

    /// Goes to where the next element begins, if there is one.
    fn is_one_left(&mut self) -> Result<bool> {
        if self.ended || !self.in_array {
            return Ok(!self.ended && self.peek()?.is_some());
        }
        let first = self.here() == self.start;
        let between = self.peek()?;
        match between {
            Some(b'[') if first => self.pass(1),
            Some(b',') if !first => self.pass(1),
            Some(b']') if !first => return self.end(),
            Some(_) if first => return Err(self.broken(self.here(), "`[` was expected")),
            Some(_) => return Err(self.broken(self.here(), "`,` or `]` was expected")),
            None => return Err(self.not_closed()),
        }
        match self.peek()? {
            Some(b']') if first => self.end(),
            Some(b',' | b']') => Err(self.broken(self.here(), "an element is missing")),
            Some(_) => Ok(true),
            None => Err(self.not_closed()),
        }
    }

    /// Passes the end of the array, behind which nothing may follow.
    fn end(&mut self) -> Result<bool> {
        self.pass(1);
        if self.peek()?.is_some() {
            return Err(self.broken(self.here(), "something follows the array"));
        }
        self.ended = true;
        Ok(false)
    }

    /// The first byte that is no blank; it is left where it is.
    fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            let data = self.window.data();
            let blanks = data.iter().take_while(|b| b.is_ascii_whitespace()).count();
            let next = data.get(blanks).copied();
            self.pass(blanks);
            match next {
                Some(byte) => return Ok(Some(byte)),
                None if self.window.eof() => return Ok(None),
                None => self.window.fill(&self.file)?,
            }
        }
    }

    fn pass(&mut self, bytes: usize) {
        self.line += memchr_iter(b'\n', &self.window.data()[..bytes]).count() as u64;
        self.window.consume(bytes);
    }

    /// Passes an element that does not fit in memory, and keeps its beginning.
    fn too_long(&mut self, place: Place) -> Result<Element<'_>> {
        let data = self.window.data();
        self.kept.clear();
        self.kept.extend_from_slice(&data[..data.len().min(KEPT).min(self.limit)]);
        let mut end = End::default();
        loop {
            let (data, eof) = (self.window.data(), self.window.eof());
            let found = end.find(data, eof).map_err(|e| self.broken(place, e))?;
            self.pass(found.unwrap_or(end.at));
            if found.is_some() {
                self.behind = self.here();
                return Ok(Element { place, raw: &self.kept, too_long: true });
            }
            end.at = 0;
            self.window.fill(&self.file)?;
        }
    }

    fn broken(&self, at: Place, what: impl fmt::Display) -> Fault {
        let Place { byte, line } = at;
        Fault::new(
            Kind::InputInvalid,
            format!("{}:{line}: {what} (byte {byte})", self.file.path.display()),
        )
        .with_hint("what follows can't be told apart; mend the file, or export it as JSON Lines")
    }

    fn not_closed(&self) -> Fault {
        self.broken(self.here(), "the file ends before its array does")
    }
}

/// The search for the end of one element.
#[derive(Debug, Default)]
struct End {
    /// Up to here the element was looked through.
    at: usize,
    /// Brackets that are open.
    depth: u32,
    /// Of the outer ones, whether they are those of arrays: a bit each.
    arrays: u128,
    /// Whether a text is open.
    text: bool,
}

impl End {
    /// Where the element ends that begins with `data`; with `eof`, nothing comes
    /// behind it. `None`: it goes on. May be asked again with more data.
    fn find(&mut self, data: &[u8], eof: bool) -> std::result::Result<Option<usize>, String> {
        loop {
            let rest = data.get(self.at..).unwrap_or_default();
            let next = if self.text {
                memchr2(b'"', b'\\', rest)
            } else {
                let outside = self.depth == 0;
                rest.iter().position(|b| is_special(*b) || outside && is_between(*b))
            };
            let Some(next) = next else {
                self.at = data.len();
                return match (eof, self.depth) {
                    (false, _) => Ok(None),
                    (true, 0) if !self.text => Ok(Some(data.len())),
                    (true, _) => Err("the record is not closed before the file ends".to_owned()),
                };
            };
            self.at += next;
            let byte = data[self.at];
            if byte == b'\\' && self.text {
                if self.at + 1 == data.len() && !eof {
                    return Ok(None);
                }
                self.at += 2;
                continue;
            }
            // A value without brackets ends before what can't belong to it.
            if self.depth == 0 && !self.text && (self.at > 0 || !matches!(byte, b'"' | b'{' | b'['))
            {
                return match self.at {
                    0 => Err(format!("a record can't begin with `{}`", char::from(byte))),
                    len => Ok(Some(len)),
                };
            }
            self.step(byte)?;
            self.at += 1;
            if self.depth == 0 && !self.text {
                return Ok(Some(self.at));
            }
        }
    }

    /// Goes over a quote or a bracket.
    fn step(&mut self, byte: u8) -> std::result::Result<(), String> {
        match byte {
            b'"' => self.text = !self.text,
            b'{' | b'[' => {
                let bit = 1u128.checked_shl(self.depth).unwrap_or(0);
                self.arrays = if byte == b'[' { self.arrays | bit } else { self.arrays & !bit };
                self.depth += 1;
            }
            _ => {
                self.depth -= 1;
                let bit = 1u128.checked_shl(self.depth).unwrap_or(0);
                let is_array = self.arrays & bit != 0;
                if bit != 0 && is_array != (byte == b']') {
                    let right = if is_array { ']' } else { '}' };
                    return Err(format!(
                        "in this record, a `{}` stands where a `{right}` belongs",
                        char::from(byte)
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Quotes and brackets.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'{' | b'}' | b'[' | b']')
}

/// What stands between elements.
fn is_between(byte: u8) -> bool {
    byte == b',' || byte.is_ascii_whitespace()
}
