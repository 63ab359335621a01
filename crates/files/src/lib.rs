//! Files as sources.
//!
//! [`CsvSource`] reads delimited text, plain or compressed with gzip or
//! Zstandard, into typed Arrow batches:
//!
//! ```text
//! file ──input──▶ bytes ──records──▶ fields ──columns──▶ typed columns ──▶ Chunk
//!        (inflate, count)  (tokenize)          (cast)
//! ```
//!
//! A record that can't be read is a failure of its chunk, with the line, the
//! byte offset and the text of the record; the records behind it are read.
//!
//! Files are read on the thread that asks for a chunk: `next` never waits for
//! anything else, and a chunk is small.

mod column_type;
mod csv;
mod decimal;
mod fingerprint;
mod input;
mod origin;
mod time;
mod value;

pub use column_type::ColumnType;
pub use csv::{Column, CsvOptions, CsvSource, Header, Ragged};
