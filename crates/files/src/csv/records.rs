//! Bytes to records: where each begins, which are bad, and where to go on
//! behind a bad one.
//!
//! A record whose end can't be told (a quote that is not closed, something
//! behind a closing quote, no end within the allowed length) is bad as far as
//! its first line goes, and the next line is read as a record of its own.

use std::fmt;

use kiln_core::{Fault, Progress, Result};
use memchr::{memchr, memchr_iter, memrchr};

use super::scan::{Dialect, Field, State, Walk, without_cr};
use crate::input::InputFile;
use crate::text_source::{KEPT, Place};
use crate::window::Window;

/// A record as it lies in the file.
pub(super) struct Record<'a> {
    /// Where it starts.
    pub(super) place: Place,
    /// Its bytes without its line end; `fields` are places in them.
    pub(super) raw: &'a [u8],
    /// Its fields, or why they can't be told.
    pub(super) fields: Result<&'a [Field], Problem>,
}

/// Why the fields of a record can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// A quoted field does not end before the file does.
    NotClosed { field: usize },
    /// A quoted field goes on for too long.
    ClosedTooLate { field: usize, limit: usize },
    /// Something follows a closing quote.
    AfterQuote { field: usize },
    /// Something follows a closing quote on a later line: most likely the
    /// opening of another field was taken for it.
    AfterLateQuote { field: usize },
    /// One line is too long.
    LineTooLong { limit: usize },
}

impl Problem {
    /// The fault of the record.
    pub(super) fn fault(self) -> Fault {
        let code = if matches!(self, Self::LineTooLong { .. }) { "too_long" } else { "quote" };
        Fault::item(self.to_string()).with_code(code)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotClosed { field } => {
                write!(f, "field {field}: its quote is not closed before the file ends")
            }
            Self::ClosedTooLate { field, limit } => {
                write!(f, "field {field}: its quote is not closed within {limit} bytes")
            }
            Self::AfterQuote { field } => {
                write!(f, "field {field}: text follows its closing quote")
            }
            Self::AfterLateQuote { field } => write!(
                f,
                "field {field}: its quote is not closed on this line, and text follows the quote \
                 that closes it on a later line"
            ),
            Self::LineTooLong { limit } => write!(f, "the line is longer than {limit} bytes"),
        }
    }
}

/// How a quoted field fared that was open at every line end up to `until`. A
/// later record that is open at one of those line ends fares alike, so it need
/// not be looked through again: reading stays linear however many quotes are
/// wrong.
#[derive(Debug, Clone, Copy)]
struct Outlook {
    /// Offset in the content.
    until: u64,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It met the end of the file.
    EndOfFile,
    /// It met something that can't stand behind a closing quote.
    Bad,
    /// It was given up at `until`; inside quotes, or not.
    Unknown { quoted: bool },
}

/// The records of a file, one after another.
pub(super) struct Records {
    file: InputFile,
    dialect: Dialect,
    limit: usize,
    window: Window,
    line: u64,
    outlook: Option<Outlook>,
    fields: Vec<Field>,
    kept: Vec<u8>,
}

/// What lies at the start of the window.
enum Found {
    More,
    End,
    /// `len` bytes without the line end, `next` with it.
    Blank {
        next: usize,
    },
    Record {
        len: usize,
        next: usize,
    },
    Bad {
        len: usize,
        next: usize,
        problem: Problem,
    },
    LineTooLong,
}

impl Records {
    /// The records of a file.
    pub(super) fn open(file: InputFile, dialect: Dialect, limit: usize) -> Result<Self> {
        let start = file.start();
        let window = Window::open(&file, start.byte)?;
        let (fields, kept) = (Vec::new(), Vec::new());
        Ok(Self { file, dialect, limit, window, line: start.line, outlook: None, fields, kept })
    }

    /// Goes to another place, which is the start of a line.
    pub(super) fn seek(&mut self, place: Place) -> Result<()> {
        self.window = Window::open(&self.file, place.byte)?;
        self.line = place.line;
        self.outlook = None;
        Ok(())
    }

    pub(super) fn file(&self) -> &InputFile {
        &self.file
    }

    /// Where the next record begins, blank lines apart.
    pub(super) fn place(&self) -> Place {
        Place { byte: self.window.offset(), line: self.line }
    }

    /// How far the file was read.
    pub(super) fn progress(&self) -> Progress {
        self.window.progress(&self.file)
    }

    fn offset(&self) -> u64 {
        self.window.offset()
    }

    /// The next record, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>> {
        let (len, next, problem) = loop {
            match self.find() {
                Found::More => self.window.fill(&self.file)?,
                Found::End => return Ok(None),
                Found::Blank { next } => self.pass(next),
                Found::Record { len, next } => break (len, next, None),
                Found::Bad { len, next, problem } => break (len, next, Some(problem)),
                Found::LineTooLong => return self.too_long().map(Some),
            }
        };
        let place = self.place();
        self.pass(next);
        let raw = self.window.consumed(next, len);
        let fields = problem.map_or(Ok(self.fields.as_slice()), Err);
        Ok(Some(Record { place, raw, fields }))
    }

    fn pass(&mut self, bytes: usize) {
        let lines = match bytes {
            0 => 0,
            _ if self.fields.iter().any(|f| f.quoted) => {
                memchr_iter(b'\n', &self.window.data()[..bytes]).count()
            }
            _ => usize::from(self.window.data()[bytes - 1] == b'\n'),
        };
        self.line += lines as u64;
        self.window.consume(bytes);
    }

    fn find(&mut self) -> Found {
        self.fields.clear();
        let data = self.window.data();
        let eof = self.window.eof();
        if data.is_empty() {
            return if eof { Found::End } else { Found::More };
        }
        let special = self.dialect.find_special(data);
        let simple = special.is_none_or(|at| data[at] == b'\n');
        let line_end = match special {
            Some(at) if !simple => memchr(b'\n', &data[at..]).map(|n| at + n),
            end => end,
        };
        let (end, next) = match line_end {
            Some(end) => (end, end + 1),
            None if eof => (data.len(), data.len()),
            None if data.len() <= self.limit + 1 => return Found::More,
            None => return Found::LineTooLong,
        };
        let line = without_cr(&data[..end]);
        if line.len() > self.limit {
            Found::LineTooLong
        } else if self.dialect.is_blank(line) {
            Found::Blank { next }
        } else if simple {
            self.dialect.split(line, &mut self.fields);
            Found::Record { len: line.len(), next }
        } else {
            self.find_quoted(line.len(), next)
        }
    }

    /// A record whose first line holds a quote.
    fn find_quoted(&mut self, line: usize, next_line: usize) -> Found {
        let bad = |problem| Found::Bad { len: line, next: next_line, problem };
        let data = self.window.data();
        let last = self.window.eof() && next_line == data.len();
        let first = self.dialect.walk(&data[..next_line], last, State::Field(0), &mut self.fields);
        let field = self.fields.len();
        match first {
            Walk::Record { end, next } => return Found::Record { len: end, next },
            Walk::Bad(_) => return bad(Problem::AfterQuote { field }),
            Walk::Incomplete(_) => {}
        }
        let field = field + 1;
        let line_end = self.offset() + next_line as u64 - 1;
        let fate = match self.outlook {
            Some(outlook) if line_end < outlook.until => outlook,
            _ => Outlook { until: self.offset(), fate: Fate::Unknown { quoted: false } },
        };
        self.find_across_lines(fate).unwrap_or_else(|fate| {
            let limit = self.limit;
            bad(match fate {
                Fate::EndOfFile => Problem::NotClosed { field },
                Fate::Bad => Problem::AfterLateQuote { field },
                Fate::Unknown { .. } => Problem::ClosedTooLate { field, limit },
            })
        })
    }

    /// A record that goes on over its first line end; from where it is known
    /// how it fares.
    fn find_across_lines(&mut self, known: Outlook) -> Result<Found, Fate> {
        let Fate::Unknown { quoted } = known.fate else { return Err(known.fate) };
        let data = self.window.data();
        // One byte for the CR that may belong to the line end, one for the LF.
        let most = data.len().min(self.limit + 2);
        let eof = self.window.eof() && most == data.len();
        let start = self.window.offset();
        let from = (known.until - start) as usize;
        let state = if quoted { State::Quoted(from) } else { State::Field(from) };
        self.fields.clear();
        let mut walk = self.dialect.walk(&data[..most], eof, state, &mut self.fields);
        if from > 0 && matches!(walk, Walk::Record { .. }) {
            self.fields.clear();
            walk = self.dialect.walk(&data[..most], eof, State::Field(0), &mut self.fields);
        }
        let (until, fate) = match walk {
            Walk::Record { end, next } if end <= self.limit => {
                return Ok(Found::Record { len: end, next });
            }
            Walk::Incomplete(_) if most == data.len() && !eof => return Ok(Found::More),
            Walk::Incomplete(_) if eof => (most, Fate::EndOfFile),
            Walk::Bad(at) => (at, Fate::Bad),
            Walk::Incomplete(State::Quoted(at)) => (at, Fate::Unknown { quoted: true }),
            Walk::Incomplete(State::Field(at)) => (at, Fate::Unknown { quoted: false }),
            // Only just too long: look again from the last line end.
            Walk::Record { .. } => {
                let at = memrchr(b'\n', &data[..self.limit]).unwrap_or(0);
                (at, Fate::Unknown { quoted: true })
            }
        };
        self.outlook = Some(Outlook { until: start + until as u64, fate });
        Err(fate)
    }

    /// Passes a line that does not fit in memory, and keeps its beginning.
    fn too_long(&mut self) -> Result<Record<'_>> {
        let place = self.place();
        let data = self.window.data();
        self.kept.clear();
        self.kept.extend_from_slice(&data[..data.len().min(KEPT).min(self.limit)]);
        self.line += u64::from(self.window.skip_line(&self.file)?);
        let problem = Problem::LineTooLong { limit: self.limit };
        Ok(Record { place, raw: &self.kept, fields: Err(problem) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{CsvOptions, Header};
    use super::*;

    /// The buffer stays small, whatever the lines and quotes are (B45).
    #[test]
    fn memory_is_bounded() {
        let limit = 1_000_000;
        for content in [
            "x".repeat(20 << 20),
            format!("\"{}", "x\n".repeat(10 << 20)),
            "z\",\"w\n".repeat(3 << 20),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), content).unwrap();
            let file = InputFile::open(file.path(), None, None).unwrap();
            let options = CsvOptions { header: Header::No, ..CsvOptions::default() };
            let mut records = Records::open(file, Dialect::new(&options), limit).unwrap();
            while records.next().unwrap().is_some() {
                assert!(records.window.capacity() <= 3 * limit, "{}", records.window.capacity());
            }
        }
    }
}
