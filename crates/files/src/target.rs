//! Files as targets: parts in a folder, shown together when a run is complete.
//!
//! ```text
//! Unit ──format──▶ bytes of a part ──folder──▶ aside, on the disk
//!                                                 │
//!        marks, dead letters, names of parts ──▶ the book (a database): COMMIT
//!                                                 │ all steps complete
//!                                  folder: rename ▼ each part, then the manifest
//! ```
//!
//! * A unit is committed when its row in the [`Book`]'s table of parts is, in
//!   one transaction with the mark, the counts and the dead letters. What lies
//!   aside without such a row was never committed, and goes when the lane is
//!   opened next. So all that makes a run exact (epoch, order, mark) is the
//!   book's; the folder needs no transactions.
//! * Nothing is shown before everything is there: parts get their names, each by
//!   a rename, when the run is complete, and the manifest comes last.

mod book;
#[cfg(feature = "cloud")]
mod bucket;
mod csv;
mod folder;
mod format;
mod json;
mod lane;
mod local;
mod manifest;
mod name;
mod pack;
#[cfg(feature = "parquet")]
mod parquet;
mod part;
mod publish;
mod refuse;
mod sink;
mod text;

pub use book::{Book, check_book, parts_of, parts_script};
pub use format::{FileFormat, TargetOptions};
pub use pack::Packing;
pub use sink::{Existing, FileSink};

/// The folder inside the target's that holds what is no result yet, and the
/// ledger where nothing else is said. Readers of folders pass over its name.
pub const HIDDEN: &str = ".kiln";

/// The name of the file that says that a result is whole.
pub const MANIFEST: &str = "_manifest.json";
