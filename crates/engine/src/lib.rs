//! Batch jobs that finish.
//!
//! kiln reads a large set of items, maps them one after another, and writes
//! them to a target in chunks. A chunk is one transaction that holds the rows,
//! the dead letters and the mark of how far the run got; so a crash at any
//! moment loses nothing and doubles nothing, and the next start goes on where
//! the last one stopped.
//!
//! A [`Job`] is put together from a [`Source`], [`Mapper`]s, [`Write`]s, a
//! [`Sink`] and a [`Ledger`], and [run](Job::run); one that has several sources
//! has several [`Step`]s. The sinks and sources are in
//! crates of their own (`kiln-databases`, `kiln-files`); those in [`memory`]
//! are for tests. Rust structs instead of Arrow batches: [`typed`].
//!
//! The words are those of [`kiln_core`], all exported again here.

mod chain;
mod command;
mod dead_letters;
mod deal;
mod end;
mod exec;
mod heart;
mod isolate;
mod job;
mod lane;
mod layout;
mod limit;
pub mod memory;
mod of_stream;
mod owner;
mod plan;
mod ranges;
mod reader;
mod record;
mod report;
mod retry;
mod route;
mod run;
mod schedule;
mod start;
mod statement;
mod step;
mod steps;
mod stop;
mod tally;
#[cfg(feature = "typed")]
pub mod typed;
mod voice;
mod when;

pub use chain::Chain;
pub use command::Command;
pub use dead_letters::{DeadLetterSource, Which};
pub use job::{Job, Options, Step};
pub use kiln_core::*;
pub use of_stream::{OfStream, Scope};
pub use plan::{Disorder, decided, in_order};
pub use record::{StepRecord, StepState, source_of, step_names, steps_of};
pub use report::{FailedItem, Report, StepReport};
pub use statement::Statement;
pub use stop::{Stop, Stopper};
pub use when::{Condition, is_of};
