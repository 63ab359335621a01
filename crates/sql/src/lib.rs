//! SQL over items: the only room that knows DataFusion.
//!
//! ```text
//! text ──parse──▶ syntax tree ──refuse──▶ what one item can answer ──plan──▶ expressions
//! Items ──view──▶ the columns they need ──evaluate──▶ arrays, and the rows that failed ──verdicts──▶ Mapped
//! ```
//!
//! Three mappers share that way:
//! * [`SqlMapper`]: `[map] sql`, one SELECT over the table `item`;
//! * [`RequireMapper`]: `[[require]]`, rules that an item must hold;
//! * [`ComputeMapper`]: columns added to the item.
//!
//! With the feature `query` there is a source, too: `QuerySource`, one SELECT over
//! several sources, with joins, aggregates and windows.
//!
//! All of it is parsed, type-checked and planned once, when the mapper is made.
//! A value that fails fails its item, never the batch. What an expression gives
//! depends on its item alone, so that mapping again after a crash gives the
//! same: functions that ask the clock or chance are refused.
//!
//! Besides the item's columns, the SQL sees `_line` (integer, NULL where the
//! source has no lines), `_file` (text), `_ordinal` (integer), `_run` (text) and
//! `_ingested_at` (when the run began, in UTC). A column of the item with such a
//! name goes before.
//!
//! Functions are those of DataFusion that look at one row, and some of our own
//! for JSON: they keep the digits of a number, which a tree of values would lose.

mod columns;
mod compile;
mod compute;
mod depth;
mod dialect;
mod element;
mod evaluate;
mod explain;
mod functions;
mod json;
mod parse;
mod plan;
#[cfg(feature = "query")]
mod query;
mod refuse;
mod require;
mod select;
mod verdict;
mod view;

pub use compute::ComputeMapper;
#[cfg(feature = "query")]
pub use query::{OpenTable, QueryOptions, QuerySource, QueryTable};
pub use require::{RequireMapper, Rule, Severity};
pub use select::SqlMapper;
