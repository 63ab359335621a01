//! What becomes of an item on its way to the tables, on every database: as the
//! user of a job sees it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod explode;
mod place;
mod rules;
mod sql;
