//! SQLite: one file, one thread that writes to it.
//!
//! ```text
//! Sink ─▶ Lane ─┐
//! Ledger ───────┼─▶ Worker (a thread) ─▶ Session (the connection) ─▶ file
//! Catalog ──────┘
//! ```
//!
//! Everything that kiln does to a database goes through one connection, so that
//! it never waits for itself. Only a table that is a source is read on another
//! one, which writes nothing.

mod catalog;
mod diagnose;
mod fault;
mod lane;
mod ledger;
mod mark;
mod number;
mod order;
mod pages;
mod place;
mod plan;
mod record;
mod run;
mod same_keys;
mod schema;
mod script;
mod session;
mod sink;
mod source;
mod statement;
mod table;
mod types;
mod unit;
mod worker;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{Catalog, CatalogSpec, Ledger, Result, Sink, Source, TableSpec};

use crate::{Database, Script};
use place::Place;
use worker::Worker;

/// The database that `sqlite:…` names. Nothing is opened yet.
pub(crate) fn database(url: &str, set_up: Option<Script>) -> Result<Arc<dyn Database>> {
    let place = Place::parse(url)?;
    let url = place.to_string();
    Ok(Arc::new(Sqlite { url, worker: Arc::new(Worker::start(place, set_up)?) }))
}

struct Sqlite {
    url: String,
    worker: Arc<Worker>,
}

#[async_trait]
impl Database for Sqlite {
    fn url(&self) -> &str {
        &self.url
    }

    async fn set_up(&self) -> Result<()> {
        self.worker.run(|session| session.set_up()).await
    }

    fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(sink::SqliteSink::new(Arc::clone(&self.worker)))
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(ledger::SqliteLedger::new(Arc::clone(&self.worker)))
    }

    fn catalog(&self, spec: CatalogSpec) -> Arc<dyn Catalog> {
        Arc::new(catalog::SqliteCatalog::new(Arc::clone(&self.worker), spec))
    }

    async fn source(&self, spec: &TableSpec) -> Result<Box<dyn Source>> {
        source::open(&self.worker, spec).await
    }
}
