//! JSON as a source: lines, or the elements of an array.

mod columns;
mod elements;
mod explode;
mod options;
mod path;
mod raw;
mod records;
mod tree;
mod values;

use std::path::Path;

use arrow_array::RecordBatch;
use kiln_core::{Progress, Result};

use self::columns::Columns;
pub use self::explode::{Explode, ExplodeMapper};
pub use self::options::{JsonColumn, JsonOptions, JsonRecords, Missing};
pub use self::path::{JsonPath, JsonStep};
pub use self::raw::RawJson;
use self::records::Records;
use crate::fingerprint::fingerprint;
use crate::input::InputFile;
use crate::origin::FileOrigins;
use crate::text_source::{Place, Reader, TextSource, source_of_text};

/// A file of JSON objects, packed or plain, in any encoding: one a line, or the
/// elements of one array.
///
/// * A column takes the value that its path leads to. A number is read from its
///   digits as they are written, so a `decimal` is exact; a whole number may be
///   written `12.0` or `1e3`. Texts are read as those of a CSV file. In a column
///   of text a number or a truth is as it is written, and so is an object or an
///   array: it is JSON.
/// * `null` is NULL; a key that is not there is what [`Missing`] says.
/// * A record that can't be read is a [`Failure`](kiln_core::Failure) of
///   [`Stage::Parse`](kiln_core::Stage::Parse) with one of these codes: `json`,
///   `too_long`, `nul`, `utf8`, `missing`, `cast`.
/// * Positions are those of a [`CsvSource`](crate::CsvSource).
/// * With [`JsonRecords::Elements`], brackets or commas that are wrong end the
///   reading with a [`Kind::InputInvalid`](kiln_core::Kind::InputInvalid): nobody
///   can tell where the next record begins.
///
/// Reading blocks the thread for as long as the disk takes.
pub struct JsonSource(TextSource<JsonReader>);

source_of_text!(JsonSource);

impl JsonSource {
    /// Opens a file: reads it once for its
    /// [fingerprint](kiln_core::Source::fingerprint), and its first records for
    /// the columns.
    ///
    /// # Errors
    /// * [`Kind::InputMissing`](kiln_core::Kind::InputMissing): there is no such
    ///   file, or it is a directory.
    /// * [`Kind::NotPermitted`](kiln_core::Kind::NotPermitted): it may not be
    ///   read.
    /// * [`Kind::InputInvalid`](kiln_core::Kind::InputInvalid): nothing tells its
    ///   columns, or it is damaged.
    /// * [`Kind::Config`](kiln_core::Kind::Config): options that contradict each
    ///   other or the byte order mark.
    pub fn open(path: &Path, options: &JsonOptions) -> Result<Self> {
        options.check()?;
        let file = InputFile::open(path, options.compression, options.encoding)?;
        let mut records = Records::open(file, options)?;
        let columns = Columns::new(&columns::all(&mut records, options)?, &options.nulls)?;
        let schema = columns.schema();
        let fingerprint = fingerprint(records.file(), &schema, options.layout())?;
        let name = options.name.clone().unwrap_or_else(|| records.file().name());
        let reader = JsonReader { records, columns };
        Ok(Self(TextSource::new(&name, schema, fingerprint, reader)))
    }
}

struct JsonReader {
    records: Records,
    columns: Columns,
}

impl Reader for JsonReader {
    fn next(&mut self, origins: &mut FileOrigins) -> Result<Option<Result<()>>> {
        let Some(record) = self.records.next()? else { return Ok(None) };
        origins.push(record.place, record.raw);
        if record.too_long {
            return Ok(Some(Err(self.records.fault_of_length())));
        }
        Ok(Some(self.columns.push(record.raw)))
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
