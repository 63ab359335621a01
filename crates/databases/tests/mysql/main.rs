//! What kiln promises of MySQL and MariaDB, on a real server.

#![cfg(feature = "mysql")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod checks;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod modes;
mod scripts;
mod tls;
mod units;
mod values;

use common::*;
use kiln_databases::{Script, connect};
use kiln_testkit::{TestDatabase, mysql};

/// A fresh database with these tables, and kiln's view of it.
async fn shop(tables: &str) -> (TestDatabase, Arc<dyn Database>) {
    let server = mysql().await;
    if !tables.is_empty() {
        server.execute(tables).await;
    }
    let database = connect(&server.url, None).await.unwrap();
    (server, database)
}

/// The same with a set-up script that has not run.
async fn shop_with_script(sql: &str) -> (TestDatabase, Arc<dyn Database>) {
    let server = mysql().await;
    let script = Script { name: "schema.sql".into(), sql: sql.into() };
    let database = connect(&server.url, Some(script)).await.unwrap();
    (server, database)
}
