//! Conformance suites and throw-away databases; a dev-dependency only.
//!
//! The obligations of kiln's contracts stand in their rustdoc; here they are
//! tests, written once and run by every implementation:
//!
//! ```text
//! async fn fresh() -> Box<dyn TestTarget> { … }
//! mod sink { kiln_testkit::sink_suite!(super::fresh); }
//! mod ledger { kiln_testkit::ledger_suite!(super::fresh); }
//! mod catalog { kiln_testkit::catalog_suite!(super::fresh); }
//! ```
//!
//! * [`TestTarget`] is what a suite needs of a target, [`notes`] the tables and
//!   the units that it writes, [`stock`] those with keys that come again.
//! * [`sqlite`], [`postgres`] and [`mysql`] give a database that is gone when the test
//!   ends, and can be asked by plain SQL.
//! * [`OwnPostgres`] and [`OwnMysql`] are servers that a test sets up, kills and
//!   starts again as it needs it, [`Pooler`] is a pgbouncer in front of one.
//! * [`proxy`] is a way to a server that breaks at a message of the test's choice.
//! * `s3` (with the feature of that name) is a store of objects, and a web server.
//! * [`shared_data`] finds the real inputs beside the checkout.

// It is called by tests alone: a panic is how it tells.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod account;
mod data;
mod database;
pub mod notes;
mod own_mysql;
mod own_postgres;
mod pooler;
pub mod proxy;
#[cfg(feature = "s3")]
pub mod s3;
pub mod stock;
pub mod suites;
mod target;

pub use data::shared_data;
pub use database::{Row, TestDatabase, mysql, postgres, sqlite};
pub use own_mysql::OwnMysql;
pub use own_postgres::OwnPostgres;
pub use pooler::Pooler;
pub use target::TestTarget;
