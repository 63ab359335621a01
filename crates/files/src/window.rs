//! The part of the content that is in memory.

use std::io::{self, Read};

use kiln_core::{Progress, Result};
use memchr::memchr;

use crate::input::{Input, InputFile};

/// How much is read at a time, at least.
const READ: usize = 256 << 10;

/// A stretch of the content that slides over it: [`fill`](Window::fill) adds
/// bytes at its end, [`consume`](Window::consume) takes them from its start.
/// Consumed bytes stay readable until the next fill.
pub(crate) struct Window {
    input: Input,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Where `buffer` begins in the content.
    base: u64,
    eof: bool,
}

impl Window {
    /// An empty window at `offset`.
    pub(crate) fn open(file: &InputFile, offset: u64) -> Result<Self> {
        let input = file.content_from(offset)?;
        Ok(Self { input, buffer: Vec::new(), start: 0, end: 0, base: offset, eof: false })
    }

    /// Where it begins in the content.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// How far the file was read, in bytes of the file.
    pub(crate) fn progress(&self, file: &InputFile) -> Progress {
        let done = if file.is_plain() { self.offset() } else { self.input.stored_bytes() };
        Progress { done, total: Some(file.size) }
    }

    /// Its bytes.
    pub(crate) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether nothing comes after it.
    pub(crate) fn eof(&self) -> bool {
        self.eof
    }

    /// Moves its start forward.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
    }

    /// The `len` bytes that were consumed `back` bytes ago.
    pub(crate) fn consumed(&self, back: usize, len: usize) -> &[u8] {
        let from = self.start - back;
        &self.buffer[from..from + len]
    }

    /// Reads as much as it holds again, so that looking for something in it
    /// over and over costs no more than twice looking once.
    pub(crate) fn fill(&mut self, file: &InputFile) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        let wanted = self.end + self.end.max(READ);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.end < wanted && !self.eof {
            match self.input.read(&mut self.buffer[self.end..wanted]) {
                Ok(0) => self.eof = true,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(file.reading(e)),
            }
        }
        Ok(())
    }

    /// Passes the rest of a line that does not fit in memory, and its line end.
    /// False: the content ends before the line does.
    pub(crate) fn skip_line(&mut self, file: &InputFile) -> Result<bool> {
        loop {
            if let Some(end) = memchr(b'\n', self.data()) {
                self.consume(end + 1);
                return Ok(true);
            }
            self.consume(self.data().len());
            if self.eof {
                return Ok(false);
            }
            self.fill(file)?;
        }
    }

    /// Bytes of memory it takes.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}
