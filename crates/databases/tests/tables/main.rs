//! Tables as sources: the suites on every database, and what each type becomes.

#![cfg(all(feature = "sqlite", feature = "postgres"))]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod copy;
mod faults;
mod postgres_types;
mod sqlite_types;
mod suites;
