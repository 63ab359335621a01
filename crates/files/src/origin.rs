//! Where the items of a chunk came from.

use std::sync::Arc;

use kiln_core::{Origin, Origins};

use crate::text_source::Place;

/// The bytes of a chunk's records, and where each lies in the file. Items and
/// failures are both in it; ordinals follow each other without a gap.
#[derive(Debug)]
pub(crate) struct FileOrigins {
    source: Arc<str>,
    before: u64,
    offsets: Vec<u64>,
    lines: Vec<u64>,
    raw: Vec<u8>,
    ends: Vec<usize>,
}

impl FileOrigins {
    /// No origins yet; the first record will have the ordinal `before + 1`.
    pub(crate) fn new(source: Arc<str>, before: u64) -> Self {
        Self {
            source,
            before,
            offsets: Vec::new(),
            lines: Vec::new(),
            raw: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Adds the next record.
    pub(crate) fn push(&mut self, place: Place, raw: &[u8]) {
        self.offsets.push(place.byte);
        self.lines.push(place.line);
        self.raw.extend_from_slice(raw);
        self.ends.push(self.raw.len());
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes they hold.
    pub(crate) fn bytes(&self) -> usize {
        self.raw.len()
    }

    fn index(&self, ordinal: u64) -> Option<usize> {
        let index = usize::try_from(ordinal.checked_sub(self.before + 1)?).ok()?;
        (index < self.len()).then_some(index)
    }
}

impl Origins for FileOrigins {
    fn source(&self, _: u64) -> &str {
        &self.source
    }

    fn line(&self, ordinal: u64) -> Option<u64> {
        self.index(ordinal).map(|i| self.lines[i])
    }

    fn origin(&self, ordinal: u64) -> Origin {
        let Some(i) = self.index(ordinal) else {
            return Origin::default();
        };
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        Origin {
            source: self.source.to_string(),
            line: Some(self.lines[i]),
            offset: Some(self.offsets[i]),
            key: None,
            raw: legible(&self.raw[start..self.ends[i]]),
        }
    }
}

/// The text; bytes that are none, and NUL, which databases refuse in a text,
/// as `\xNN`.
fn legible(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    for part in raw.utf8_chunks() {
        text.push_str(part.valid());
        part.invalid().iter().for_each(|b| text.push_str(&format!("\\x{b:02x}")));
    }
    if text.contains('\0') { text.replace('\0', "\\x00") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ordinal_has_its_own_and_others_none() {
        let mut origins = FileOrigins::new("a.csv".into(), 7);
        origins.push(Place { byte: 10, line: 2 }, b"1,\xffx\0");
        origins.push(Place { byte: 20, line: 3 }, b"");
        let first = origins.origin(8);
        assert_eq!((first.line, first.offset), (Some(2), Some(10)));
        assert_eq!(first.raw, r"1,\xffx\x00");
        assert_eq!(origins.origin(9).raw, "");
        assert_eq!([origins.line(7), origins.line(9), origins.line(10)], [None, Some(3), None]);
        assert_eq!(origins.origin(7), Origin::default());
    }
}
