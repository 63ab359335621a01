//! Find or create the row an item refers to.
//!
//! ```text
//! Items ──`on` values──▶ what is known of the catalog ──found──────────────────────▶ Items with the key
//!                                                     └─missing─▶ find_or_create ──┘
//! ```
//!
//! [`MatchMapper`] goes in order: the second item that names a new row finds
//! what the first one created, in the same batch, in the same run and in later
//! ones. What is created is committed, idempotently, before an item that refers
//! to it goes on.

mod known;
mod mapper;
mod spec;

pub use mapper::MatchMapper;
pub use spec::{MatchSpec, Missing};
