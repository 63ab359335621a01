//! Tables as sources: the suites on every database, and what each type becomes.

#![cfg(all(feature = "sqlite", feature = "postgres", feature = "mysql"))]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod copy;
mod faults;
mod mysql_keys;
mod mysql_types;
mod postgres_types;
mod ranges;
mod sqlite_types;
mod suites;
