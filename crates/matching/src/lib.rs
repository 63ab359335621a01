//! Find or create the row an item refers to.
//!
//! ```text
//! Items ──remembered? equal? folded? alike?──found─────────────────────────────▶ Items with the key
//!                                           └─missing─▶ find_or_create_in_order ─┘
//! ```
//!
//! [`MatchMapper`] goes in order: the second item that names a new row finds
//! what the first one created, in the same batch, in the same run and in later
//! ones. What is created is committed, idempotently, before an item that refers
//! to it goes on.
//!
//! The core does no I/O and can be used by itself: an [`Index`] of rows finds
//! those that are near an item, and [`decide`] says what that means.
//!
//! ```
//! use kiln_matching::{AT_LEAST, Compare, Decision, Index, MARGIN, decide};
//!
//! let mut index = Index::new([(Compare::Text, 1.0)]);
//! index.push(&[Some("Garden lantern, white")]);
//! index.push(&[Some("Red wooden chair")]);
//! let near = index.near(&[Some("wooden chair RED")], AT_LEAST);
//! let decision = decide(&near, MARGIN, |a, b| a == b);
//! assert!(matches!(decision, Decision::Matched(near) if near.row == 1));
//! ```

mod asked;
mod decision;
mod faults;
mod fold;
mod index;
mod known;
mod look_up;
mod mapper;
mod number;
mod place;
mod remembered;
mod spec;
mod text;

pub use decision::{AT_LEAST, Decision, MARGIN, decide};
pub use fold::fold;
pub use index::{Compare, Index, Near};
pub use mapper::MatchMapper;
pub use remembered::Remember;
pub use spec::{Fuzzy, FuzzyColumn, MatchSpec, Missing};
