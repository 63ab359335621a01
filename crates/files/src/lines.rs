//! Bytes to lines.

use kiln_core::{Fault, Progress, Result};
use memchr::memchr;

use crate::input::InputFile;
use crate::text_source::{KEPT, Place};
use crate::window::Window;

/// A line that is not blank.
pub(crate) struct Line<'a> {
    /// Where it starts.
    pub(crate) place: Place,
    /// Its bytes without its line end; of one that is too long, the beginning.
    pub(crate) raw: &'a [u8],
    pub(crate) too_long: bool,
}

/// The lines of a file, one after another. They end with LF or CRLF.
pub(crate) struct Lines {
    file: InputFile,
    limit: usize,
    window: Window,
    line: u64,
    kept: Vec<u8>,
}

enum Found {
    More,
    End,
    Line { len: usize, next: usize },
    TooLong,
}

impl Lines {
    /// The lines of a file; one above `limit` bytes is too long.
    pub(crate) fn open(file: InputFile, limit: usize) -> Result<Self> {
        let Place { byte, line } = file.start();
        let window = Window::open(&file, byte)?;
        Ok(Self { file, limit, window, line, kept: Vec::new() })
    }

    /// Goes to the start of a line.
    pub(crate) fn seek(&mut self, place: Place) -> Result<()> {
        self.window = Window::open(&self.file, place.byte)?;
        self.line = place.line;
        Ok(())
    }

    pub(crate) fn file(&self) -> &InputFile {
        &self.file
    }

    /// Where the next line begins, blank ones apart.
    pub(crate) fn place(&self) -> Place {
        Place { byte: self.window.offset(), line: self.line }
    }

    /// How far the file was read.
    pub(crate) fn progress(&self) -> Progress {
        self.window.progress(&self.file)
    }

    /// The next line, if there is one.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>> {
        let (len, next) = loop {
            match self.find() {
                Found::More => self.window.fill(&self.file)?,
                Found::End => return Ok(None),
                Found::TooLong => return self.too_long().map(Some),
                Found::Line { len, next } if self.is_blank(len) => self.pass(next),
                Found::Line { len, next } => break (len, next),
            }
        };
        let place = self.place();
        self.pass(next);
        Ok(Some(Line { place, raw: self.window.consumed(next, len), too_long: false }))
    }

    /// The fault of a line that is too long.
    pub(crate) fn fault_of_length(&self) -> Fault {
        let message = format!("the line is longer than {} bytes", self.limit);
        Fault::item(message).with_code("too_long")
    }

    fn find(&self) -> Found {
        let data = self.window.data();
        let eof = self.window.eof();
        let (end, next) = match memchr(b'\n', data) {
            Some(end) => (end, end + 1),
            None if eof && data.is_empty() => return Found::End,
            None if eof => (data.len(), data.len()),
            None if data.len() <= self.limit + 1 => return Found::More,
            None => return Found::TooLong,
        };
        let len = data[..end].strip_suffix(b"\r").unwrap_or(&data[..end]).len();
        if len > self.limit { Found::TooLong } else { Found::Line { len, next } }
    }

    fn is_blank(&self, len: usize) -> bool {
        self.window.data()[..len].iter().all(|b| matches!(b, b' ' | b'\t' | b'\r'))
    }

    fn pass(&mut self, bytes: usize) {
        self.line += u64::from(self.window.data()[..bytes].last() == Some(&b'\n'));
        self.window.consume(bytes);
    }

    /// Passes a line that does not fit in memory, and keeps its beginning.
    fn too_long(&mut self) -> Result<Line<'_>> {
        let place = self.place();
        let data = self.window.data();
        self.kept.clear();
        self.kept.extend_from_slice(&data[..data.len().min(KEPT).min(self.limit)]);
        self.line += u64::from(self.window.skip_line(&self.file)?);
        Ok(Line { place, raw: &self.kept, too_long: true })
    }
}
