//! PostgreSQL as target, ledger and catalog.
//!
//! A unit of work is one transaction on the lane's own connection: the rows by
//! `COPY`, or in one statement for all of them where they are found by a key
//! (`INSERT … ON CONFLICT`, `UPDATE`, `DELETE` from arrays), dead letters by
//! `COPY`, and last the guarded update of the mark. All of it is sent at once,
//! and the next unit before the answer comes: `transaction` puts it together,
//! `wire` speaks to the server, `lane` makes sense of the answers. Only where
//! the database alone knows what is to be done is it asked in between (`ask`).
//! The ledger is the schema `kiln` of the same database (`ledger.sql`).
//!
//! What a session could carry over (time zone, date style) is set inside each
//! transaction, and statements are prepared when they are run: nothing rests on
//! the session.

mod ask;
mod binary;
mod by_key;
mod catalog;
mod check;
mod dead_letters;
mod diagnose;
mod doubt;
mod encode;
mod fault;
mod lane;
mod ledger;
mod mark;
mod order;
mod pages;
mod rules;
mod server;
mod session;
mod sink;
mod source;
mod statement;
mod suspects;
mod table;
mod transaction;
mod types;
mod wire;
mod write;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{Catalog, CatalogSpec, Ledger, Result, Sink, Source, TableSpec};

use crate::database::{Database, Script};
use catalog::PostgresCatalog;
use ledger::PostgresLedger;
use server::Server;
use sink::PostgresSink;

/// The database that a URL `postgres://user:password@host:port/database` names,
/// with libpq's environment and password file. Connects to nothing yet.
///
/// # Errors
/// [`Kind::Config`](kiln_core::Kind::Config) if the URL is none, or names a
/// certificate that can't be read; [`Kind::NotPermitted`](kiln_core::Kind) for a
/// client's key that others can read.
pub(crate) fn database(url: &str, set_up: Option<Script>) -> Result<Arc<Postgres>> {
    Ok(Arc::new(Postgres { server: Arc::new(Server::new(url, set_up)?) }))
}

/// A PostgreSQL database.
pub(crate) struct Postgres {
    server: Arc<Server>,
}

#[async_trait]
impl Database for Postgres {
    fn url(&self) -> &str {
        self.server.url()
    }

    async fn set_up(&self) -> Result<()> {
        self.server.set_up().await
    }

    fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(PostgresSink::new(Arc::clone(&self.server)))
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(PostgresLedger::new(Arc::clone(&self.server)))
    }

    fn catalog(&self, spec: CatalogSpec) -> Arc<dyn Catalog> {
        Arc::new(PostgresCatalog::new(Arc::clone(&self.server), spec))
    }

    async fn source(&self, spec: &TableSpec) -> Result<Box<dyn Source>> {
        source::open(Arc::clone(&self.server), spec).await
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Postgres").field(&self.url()).finish()
    }
}

/// Begins a transaction in which texts of times mean what kiln means by them.
/// A client that hangs must not hold its locks for ever. How to join depends on
/// how many rows a unit has, so that no plan is kept.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
     SET LOCAL plan_cache_mode = force_custom_plan; \
     SET LOCAL TimeZone = 'UTC'; \
     SET LOCAL DateStyle = 'ISO, YMD'; \
     SET LOCAL IntervalStyle = 'postgres'; \
     SET LOCAL bytea_output = 'hex'; \
     SET LOCAL idle_in_transaction_session_timeout = '60s'";
