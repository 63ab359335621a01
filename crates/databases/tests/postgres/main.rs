//! What kiln promises of PostgreSQL, on a real server.

#![cfg(feature = "postgres")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod catalog;
mod certificates;
mod checks;
#[path = "../common/mod.rs"]
mod common;
mod diagnose;
mod encryption;
mod in_flight;
mod increments;
mod ledger;
mod login;
mod lost_answers;
mod modes;
mod server;
mod units;
mod values;

use common::*;
use kiln_databases::{Script, connect};
use kiln_testkit::{TestDatabase, postgres};

/// A fresh database with these tables, and kiln's view of it.
async fn shop(tables: &str) -> (TestDatabase, Arc<dyn Database>) {
    let server = postgres().await;
    server.execute(tables).await;
    let database = connect(&server.url, None).await.unwrap();
    (server, database)
}

/// Empties a database: tables, types, functions and the ledger.
const AFRESH: &str = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; \
     DROP SCHEMA IF EXISTS kiln CASCADE";

/// The same with a set-up script that has not run.
async fn shop_with_script(sql: &str) -> (TestDatabase, Arc<dyn Database>) {
    let server = postgres().await;
    let script = Script { name: "schema.sql".into(), sql: sql.into() };
    let database = connect(&server.url, Some(script)).await.unwrap();
    (server, database)
}
