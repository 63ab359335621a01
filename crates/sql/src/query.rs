//! Queries over several sources: joins, aggregates and windows.
//!
//! ```text
//! text ──parse, refuse──▶ tree ──plan──▶ logical plan ──order──▶ the same in a total order
//! tables ──scan──▶ DataFusion ──stage──▶ a file aside ──rename──▶ Staged ──source──▶ Chunk
//! ```
//!
//! The tables are kiln's own sources, so every option and type of a file holds
//! here, too, and a record that can't be read is noticed. The result is written
//! to a file first: items must have the same ordinals whenever they are read, and
//! a run that goes on must not begin from nothing.

mod context;
mod fault;
mod joins;
mod names;
mod order;
mod overflow;
mod physical;
mod plan;
mod source;
mod stage;
mod staged;
mod sums;
mod table;
mod work;

pub use source::{QueryOptions, QuerySource};
pub use table::{OpenTable, QueryTable};
