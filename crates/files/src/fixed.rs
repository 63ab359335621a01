//! Fields of fixed width as a source.

mod columns;
mod options;
mod raw;

use std::path::Path;

use arrow_array::RecordBatch;
use kiln_core::{Progress, Result};

use self::columns::Columns;
pub use self::options::{FixedColumn, FixedOptions};
pub use self::raw::RawFixed;
use crate::builder::schema;
use crate::fingerprint::fingerprint;
use crate::input::InputFile;
use crate::lines::Lines;
use crate::origin::FileOrigins;
use crate::text_source::{Place, Reader, TextSource, source_of_text};

/// A file of lines whose fields stand at fixed places, packed or plain, in any
/// encoding.
///
/// * Places and widths are counted in characters, not in bytes.
/// * Lines end with LF or CRLF. Blank lines are no records, but count as lines.
/// * A field that is empty is NULL; so is one of nothing but blanks, where blanks
///   are dropped.
/// * A record that can't be read is a [`Failure`](kiln_core::Failure) of
///   [`Stage::Parse`](kiln_core::Stage::Parse) with one of these codes:
///   `too_long`, `nul`, `utf8`, `ragged`, `cast`.
/// * Positions are those of a [`CsvSource`](crate::CsvSource).
///
/// Reading blocks the thread for as long as the disk takes.
pub struct FixedSource(TextSource<FixedReader>);

source_of_text!(FixedSource);

impl FixedSource {
    /// Opens a file and reads it once for its
    /// [fingerprint](kiln_core::Source::fingerprint).
    ///
    /// # Errors
    /// * [`Kind::InputMissing`](kiln_core::Kind::InputMissing): there is no such
    ///   file, or it is a directory.
    /// * [`Kind::NotPermitted`](kiln_core::Kind::NotPermitted): it may not be
    ///   read.
    /// * [`Kind::InputInvalid`](kiln_core::Kind::InputInvalid): it is damaged.
    /// * [`Kind::Config`](kiln_core::Kind::Config): options that contradict each
    ///   other or the byte order mark.
    pub fn open(path: &Path, options: &FixedOptions) -> Result<Self> {
        options.check()?;
        let file = InputFile::open(path, options.compression, options.encoding)?;
        let mut lines = Lines::open(file, options.max_record_bytes)?;
        if options.header {
            lines.next()?;
        }
        let schema = schema(options.columns.iter().map(|c| &c.column));
        let columns = Columns::new(&schema, options)?;
        let fingerprint = fingerprint(lines.file(), &schema, options.layout())?;
        let name = options.name.clone().unwrap_or_else(|| lines.file().name());
        Ok(Self(TextSource::new(&name, schema, fingerprint, FixedReader { lines, columns })))
    }
}

struct FixedReader {
    lines: Lines,
    columns: Columns,
}

impl Reader for FixedReader {
    fn next(&mut self, origins: &mut FileOrigins) -> Result<Option<Result<()>>> {
        let Some(line) = self.lines.next()? else { return Ok(None) };
        origins.push(line.place, line.raw);
        if line.too_long {
            return Ok(Some(Err(self.lines.fault_of_length())));
        }
        Ok(Some(self.columns.push(line.raw)))
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        self.columns.finish()
    }

    fn seek(&mut self, place: Place) -> Result<()> {
        self.columns.clear();
        self.lines.seek(place)
    }

    fn place(&self) -> Place {
        self.lines.place()
    }

    fn progress(&self) -> Progress {
        self.lines.progress()
    }
}
