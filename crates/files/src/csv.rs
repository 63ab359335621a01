//! Delimited text as a source.

mod columns;
mod header;
mod options;
mod raw;
mod records;
mod scan;

use std::path::Path;

use arrow_array::RecordBatch;
use kiln_core::{Progress, Result};

use self::columns::Columns;
use self::header::Layout;
pub use self::options::{CsvOptions, Header, Ragged};
pub use self::raw::RawCsv;
use self::records::Records;
use crate::fingerprint::fingerprint;
use crate::origin::FileOrigins;
use crate::text_source::{Place, Reader, TextSource, source_of_text};

/// A file of delimited text (CSV, TSV), packed or plain, in any encoding.
///
/// * Lines end with LF or CRLF; a lone CR is data. A byte order mark is
///   skipped. Blank lines are no records, but count as lines.
/// * Inside quotes, delimiters and line ends are text; inside an unquoted field
///   a quote is.
/// * A record that can't be read is a [`Failure`](kiln_core::Failure) of
///   [`Stage::Parse`](kiln_core::Stage::Parse) with one of these codes: `quote`,
///   `too_long`, `nul`, `utf8`, `ragged`, `cast`. Of a record with bad quoting,
///   only the first line is given up; the next line is read as a record of its
///   own.
/// * A [`Position`](kiln_core::Position)'s place is `byte=12345;line=100`: where
///   the next record starts in the content, unpacked and as UTF-8. Seeking in a
///   plain file is immediate; in any other, everything before the place is read
///   again.
///
/// Reading blocks the thread for as long as the disk takes.
pub struct CsvSource(TextSource<CsvReader>);

source_of_text!(CsvSource);

impl CsvSource {
    /// Opens a file: reads it once for its
    /// [fingerprint](kiln_core::Source::fingerprint) and reads its header.
    ///
    /// # Errors
    /// * [`Kind::InputMissing`](kiln_core::Kind::InputMissing): there is no such
    ///   file, or it is a directory.
    /// * [`Kind::NotPermitted`](kiln_core::Kind::NotPermitted): it may not be
    ///   read.
    /// * [`Kind::InputInvalid`](kiln_core::Kind::InputInvalid): it has no usable
    ///   header, is no text of its encoding, or is damaged.
    /// * [`Kind::Config`](kiln_core::Kind::Config): options that contradict each
    ///   other, the header or the byte order mark.
    pub fn open(path: &Path, options: &CsvOptions) -> Result<Self> {
        options.check()?;
        let (records, Layout { columns, schema }) = header::read(path, options)?;
        let columns = Columns::new(schema.clone(), &columns, options)?;
        let fingerprint = fingerprint(records.file(), &schema, options.layout())?;
        let name = options.name.clone().unwrap_or_else(|| records.file().name());
        let reader = CsvReader { records, columns };
        Ok(Self(TextSource::new(&name, schema, fingerprint, reader)))
    }
}

struct CsvReader {
    records: Records,
    columns: Columns,
}

impl Reader for CsvReader {
    fn next(&mut self, origins: &mut FileOrigins) -> Result<Option<Result<()>>> {
        let Some(record) = self.records.next()? else { return Ok(None) };
        origins.push(record.place, record.raw);
        Ok(Some(match record.fields {
            Ok(fields) => self.columns.push(record.raw, fields),
            Err(problem) => Err(problem.fault()),
        }))
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        self.columns.finish()
    }

    fn seek(&mut self, place: Place) -> Result<()> {
        self.columns.clear();
        self.records.seek(place)
    }

    fn place(&self) -> Place {
        self.records.place()
    }

    fn progress(&self) -> Progress {
        self.records.progress()
    }
}
