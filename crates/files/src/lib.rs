//! Files as sources and as targets.
//!
//! [`CsvSource`], [`JsonSource`] and [`FixedSource`] read text, packed or plain,
//! in any encoding, into typed Arrow batches:
//!
//! ```text
//! file ──input──▶ bytes ──records──▶ values ──builder──▶ typed columns ──▶ Chunk
//!        (unpack, decode) (tokenize)          (cast)
//! ```
//!
//! A record that can't be read is a failure of its chunk, with the line, the
//! byte offset and the text of the record; the records behind it are read.
//! `ParquetSource` reads columns that have their types already.
//!
//! [`RawCsv`], [`RawFixed`], [`RawJson`] and [`RawRows`] make items of what dead
//! letters keep of records.
//!
//! [`Files`] makes one source of several files, [`find`] finds them, [`Staged`]
//! keeps standard input.
//!
//! [`FileSink`] writes parts of CSV, JSON Lines or Parquet into a folder.
//!
//! Where a path is asked for, the URL of a file in an object store or on a web
//! server will do, in a build with the feature `cloud`.
//!
//! Files are read on the thread that asks for a chunk: `next` never waits for
//! anything else, and a chunk is small.

mod builder;
mod column;
mod column_type;
mod csv;
mod decimal;
mod find;
mod fingerprint;
mod fixed;
mod input;
mod json;
mod lines;
mod origin;
#[cfg(feature = "parquet")]
mod parquet;
mod raw;
mod several;
mod staged;
mod store;
mod target;
mod text;
mod text_source;
mod time;
mod value;
mod window;

pub use column::Column;
pub use column_type::ColumnType;
pub use csv::{CsvOptions, CsvSource, Header, Ragged, RawCsv};
pub use find::{Found, Ready, find, is_pattern};
pub use fixed::{FixedColumn, FixedOptions, FixedSource, RawFixed};
pub use input::{Compression, Encoding};
pub use json::{
    Explode, ExplodeMapper, JsonColumn, JsonOptions, JsonPath, JsonRecords, JsonSource, JsonStep,
    Missing, RawJson,
};
#[cfg(feature = "parquet")]
pub use parquet::{ParquetOptions, ParquetSource};
pub use raw::{FileColumns, RawRows};
pub use several::{Files, OpenFile};
pub use staged::Staged;
pub use store::{is_remote, is_store};
pub use target::{
    Book, Existing, FileFormat, FileSink, HIDDEN, MANIFEST, Packing, TargetOptions, check_book,
    parts_of, parts_script,
};
