//! MySQL and MariaDB as target, ledger, catalog and source.
//!
//! A unit of work is one transaction on the lane's own connection: the rows in
//! statements of many rows (or by `LOAD DATA LOCAL` from memory), dead letters,
//! and last the guarded update of the mark. The ledger is the tables `kiln_*` of
//! the same database (`ledger.sql`).
//!
//! These servers change values without a word where others refuse them. So each
//! session is strict whatever the server's settings are, every warning about a
//! value fails its item, and `encode` refuses what the server would change
//! without even a warning.
//!
//! Where a row must be found by its key, keys go into a temporary table whose
//! columns are of the table's own types: the server compares them, not kiln.

mod by_key;
mod catalog;
mod check;
mod dead_letters;
mod diagnose;
mod encode;
mod fault;
mod insert;
mod lane;
mod ledger;
mod load;
mod mark;
mod order;
mod pages;
mod read_as;
mod rehearse;
mod rules;
mod script;
mod server;
mod session;
mod sink;
mod source;
mod stage;
mod statement;
mod table;
mod tls;
mod types;
mod url;
mod write;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{Catalog, CatalogSpec, Ledger, Result, Sink, Source, TableSpec};

use crate::database::{Database, Script};
use catalog::MysqlCatalog;
use ledger::MysqlLedger;
use server::Server;
use sink::MysqlSink;

/// The database that a URL `mysql://user:password@host:port/database` names.
/// Connects to nothing yet.
///
/// # Errors
/// [`Kind::Config`](kiln_core::Kind::Config) if the URL is none.
pub(crate) fn database(url: &str, set_up: Option<Script>) -> Result<Arc<Mysql>> {
    Ok(Arc::new(Mysql { server: Arc::new(Server::new(url, set_up)?) }))
}

/// A MySQL or MariaDB database.
pub(crate) struct Mysql {
    server: Arc<Server>,
}

#[async_trait]
impl Database for Mysql {
    fn url(&self) -> &str {
        self.server.url()
    }

    async fn set_up(&self) -> Result<()> {
        self.server.set_up().await
    }

    fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(MysqlSink::new(Arc::clone(&self.server)))
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(MysqlLedger::new(Arc::clone(&self.server)))
    }

    fn catalog(&self, spec: CatalogSpec) -> Arc<dyn Catalog> {
        Arc::new(MysqlCatalog::new(Arc::clone(&self.server), spec))
    }

    async fn source(&self, spec: &TableSpec) -> Result<Box<dyn Source>> {
        source::open(Arc::clone(&self.server), spec).await
    }
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mysql").field(&self.url()).finish()
    }
}
