//! SQLite as target, ledger and catalog, on real files. What is in them is read
//! by a connection of the test's own.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod catalog;
mod checks;
mod ledger;
mod modes;
mod support;
mod units;
mod values;
