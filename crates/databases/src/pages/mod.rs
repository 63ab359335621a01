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
//! before that key change nothing. Which key comes first is the database's to
//! say: its order, its collations, its types. A database gives its statement
//! and its rows; everything else is here.

mod decimal;
mod fill;
mod moment;
mod origins;
mod page;
mod place;
mod refusals;
mod source;
mod statement;

pub(crate) use decimal::{decimal, fits};
pub(crate) use moment::{date, time, timestamp};
pub(crate) use page::{Misfit, Page};
pub(crate) use place::{KeyValue, hex};
pub(crate) use refusals::{lost_snapshot, no_primary_key, not_unique, nullable, of_source};
pub(crate) use source::{Described, Pages, TableSource};
pub(crate) use statement::Statement;
