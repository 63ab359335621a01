//! Looking up and creating, against a catalog in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by it")]

mod common;
mod exact;
mod fuzzy;
mod remembered;
