//! A table as a source, page by page in the order of its key.
//!
//! ```text
//! TableSource ──page behind the last key──▶ Pages (one for each database)
//!      ▲                                       │ its rows, as keys and cells
//!      └──── Chunk ◀── Page (columns, failures, how full it is) ◀──┘
//! ```
//!
//! `SELECT … WHERE (a, b) > (…) ORDER BY a, b LIMIT n`: what stands behind a key
//! is found by the index, however far the run is, and rows that come or go
//! before that key change nothing. A table may be cut into ranges of its key, each
//! with a reader of its own that is a page ahead (`beside`); `ranges` says in which
//! order their rows are the items, `cut` where to cut. Which key comes first is the database's to
//! say: its order, its collations, its types. A database gives its statement
//! and its rows; everything else is here.

mod beside;
mod cut;
mod decimal;
mod fill;
#[cfg(test)]
mod laws;
mod moment;
mod origins;
mod page;
mod place;
mod ranges;
mod refusals;
mod room;
mod rows;
mod source;
mod statement;
mod window;

pub(crate) use decimal::{decimal, fits};
pub(crate) use moment::{date, time, timestamp};
pub(crate) use page::{Misfit, Page};
pub(crate) use place::{KeyValue, hex};
pub(crate) use refusals::{lost_snapshot, no_primary_key, not_unique, nullable, of_source};
pub(crate) use source::{Described, Pages, TableSource};
pub(crate) use statement::Statement;
pub(crate) use window::Window;
