//! Databases as targets and ledgers: SQLite, PostgreSQL and MySQL/MariaDB.
//!
//! [`connect`] reads a URL and gives a [`Database`]: a sink for units of work, a
//! ledger and catalogs, all in the one database, so that rows, sums, dead
//! letters and the mark of how far a lane got commit in one transaction.
//!
//! ```no_run
//! # async fn example() -> kiln_core::Result<()> {
//! let shop = kiln_databases::connect("sqlite:shop.db", None).await?;
//! shop.set_up().await?;
//! shop.ledger().prepare().await?;
//! # Ok(()) }
//! ```
//!
//! Each database is a folder with the same file names: `sink` and `lane` write
//! units, `ledger` keeps runs, `catalog` finds and creates rows, `types` says
//! what fits where, `fault` says what an error of the database means.

#[cfg(any(feature = "mysql", feature = "postgres"))]
mod answers;
mod database;
mod fit;
#[cfg(feature = "mysql")]
mod mysql;
mod names;
mod pages;
#[cfg(feature = "postgres")]
mod postgres;
mod same_keys;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statements;
mod sums;
mod url;
mod written;

pub use database::{Database, Script, connect};
