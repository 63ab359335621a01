//! The words of kiln: its contracts and its plain values.
//!
//! An item goes from left to right:
//!
//! ```text
//! Source ──Chunk──▶ Mapper ──Mapped──▶ Unit ──▶ Sink (one Lane each) ──▶ COMMIT
//! ```
//!
//! * [`Source`] reads [`Chunk`]s: [`Items`] (an Arrow batch with the ordinal of
//!   each item), the records that could not be read, and the [`Position`]s
//!   between which it lies.
//! * [`Mapper`] turns items into items, in order; what it drops is *filtered*,
//!   what it refuses is a [`Failure`].
//! * [`Unit`] is a unit of work: all that commits together, as a plain value.
//! * [`Sink`] opens [`Lane`]s; a lane commits units one after another, each
//!   with its [`Mark`], or not at all.
//! * [`Ledger`] keeps runs, marks and dead letters.
//! * [`Fault`] is everything that goes wrong, and says whether to try again,
//!   whose fault it is and whether the work landed.
//!
//! This crate does no I/O and knows no runtime.

mod catalog;
mod cell;
mod chunk;
mod crash;
mod dead_letter;
mod event;
mod fault;
mod ledger;
mod mapper;
mod policy;
mod position;
mod redrive;
mod row_origins;
mod rule;
mod run;
mod sink;
mod source;
mod stream;
mod table;
mod table_spec;
mod unit;

pub use catalog::{Catalog, CatalogSize, CatalogSpec, Key};
pub use cell::{Cell, CellColumn, cells_as_json};
pub use chunk::{Chunk, ChunkLimits, Items, NoOrigins, Origin, Origins};
pub use crash::{crash_point, is_to_crash};
pub use dead_letter::{DeadLetter, Failure, Stage};
pub use event::{Event, Events, Observer};
pub use fault::{Blame, Fault, Kind, Landed};
pub use ledger::{Claim, Ledger, NewRun, RunRecord};
pub use mapper::{Mapped, Mapper};
pub use policy::{FailureLimit, RetryPolicy};
pub use position::{Checkpoint, Mark, Position, Span};
pub use redrive::{Letters, RawReader, Redriven};
pub use row_origins::RowOrigins;
pub use rule::{RuleCount, Warning};
pub use run::{Counts, Fingerprint, Owner, Run, RunId, RunState, Status};
pub use sink::{Check, Lane, LaneKey, Refusal, Rejection, Settled, Sink};
pub use source::{Progress, SINCE, Source};
pub use stream::STREAM;
pub use table::{Duplicates, Mode, TableName, Write, WriteColumn};
pub use table_spec::TableSpec;
pub use unit::{Rows, Unit};

/// The result of everything in kiln that can go wrong.
pub type Result<T, E = Fault> = std::result::Result<T, E>;
