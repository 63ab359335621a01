//! The records of a file of JSON, however they are told apart.

use kiln_core::{Fault, Progress, Result};

use super::elements::Elements;
use super::options::{JsonOptions, JsonRecords};
use crate::input::InputFile;
use crate::lines::Lines;
use crate::text_source::Place;

/// A record as it lies in the file.
pub(super) struct Record<'a> {
    pub(super) place: Place,
    pub(super) raw: &'a [u8],
    pub(super) too_long: bool,
}

/// The records, one after another.
pub(super) enum Records {
    Lines(Lines),
    Elements(Elements),
}

impl Records {
    pub(super) fn open(file: InputFile, options: &JsonOptions) -> Result<Self> {
        let limit = options.max_record_bytes;
        Ok(match options.records {
            JsonRecords::Lines => Self::Lines(Lines::open(file, limit)?),
            JsonRecords::Elements => Self::Elements(Elements::open(file, limit)?),
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>> {
        Ok(match self {
            Self::Lines(lines) => lines.next()?.map(|line| Record {
                place: line.place,
                raw: line.raw,
                too_long: line.too_long,
            }),
            Self::Elements(elements) => elements.next()?.map(|element| Record {
                place: element.place,
                raw: element.raw,
                too_long: element.too_long,
            }),
        })
    }

    /// The fault of a record that is too long.
    pub(super) fn fault_of_length(&self) -> Fault {
        match self {
            Self::Lines(lines) => lines.fault_of_length(),
            Self::Elements(elements) => elements.fault_of_length(),
        }
    }

    pub(super) fn seek(&mut self, place: Place) -> Result<()> {
        match self {
            Self::Lines(lines) => lines.seek(place),
            Self::Elements(elements) => elements.seek(place),
        }
    }

    pub(super) fn place(&self) -> Place {
        match self {
            Self::Lines(lines) => lines.place(),
            Self::Elements(elements) => elements.place(),
        }
    }

    pub(super) fn progress(&self) -> Progress {
        match self {
            Self::Lines(lines) => lines.progress(),
            Self::Elements(elements) => elements.progress(),
        }
    }

    pub(super) fn file(&self) -> &InputFile {
        match self {
            Self::Lines(lines) => lines.file(),
            Self::Elements(elements) => elements.file(),
        }
    }
}
