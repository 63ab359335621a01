//! The tables of a database as a target.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use kiln_core::{
    Check, Checkpoint, Claim, Counts, Fault, Kind, Lane, LaneKey, Mark, Position, Result, Sink,
    Write,
};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::check::check_write;
use super::fault::{fault, own_fault};
use super::lane::PostgresLane;
use super::ledger::{check_ledger, prepare_ledger};
use super::server::Server;
use super::session::look_at;
use super::table::Table;
use super::write::Writer;
use crate::statements::{Words, no_item};
use crate::written::Order;

/// Each lane is a connection; more than these do not make a server faster.
const MAX_LANES: u32 = 8;

/// All that can be taken back with its transaction. What copies from the client
/// would wait for ever.
const STATEMENTS: Words = Words::AllBut(&[
    "ABORT",
    "BEGIN",
    "COMMIT",
    "COPY",
    "END",
    "PREPARE",
    "RELEASE",
    "ROLLBACK",
    "SAVEPOINT",
    "START",
]);

/// Takes the mark's row over, waiting for a commit in flight: whoever holds the
/// row is at the end of its transaction. A run that the ledger gave to somebody
/// else, or gave up, is not opened again.
const TAKE_OVER: &str = "\
INSERT INTO kiln.marks AS m (run, step, lane, epoch)
SELECT $1, $2, $3, $4
WHERE NOT EXISTS (SELECT FROM kiln.runs r
                  WHERE r.run = $1 AND (r.epoch > $4 OR r.state = 'abandoned'))
ON CONFLICT (run, step, lane) DO UPDATE SET epoch = excluded.epoch WHERE m.epoch <= excluded.epoch
RETURNING done, place_ordinal, place, state, read, processed, filtered, duplicate, failed";

/// Whoever claims the run waits until the lane is open, and so sees its mark.
const HOLD_RUN: &str = "SELECT FROM kiln.runs WHERE run = $1 FOR SHARE";

pub(super) struct PostgresSink {
    server: Arc<Server>,
}

impl PostgresSink {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server }
    }

    async fn look(
        &self,
        client: &Client,
        writes: &[Write],
        items: &SchemaRef,
    ) -> Result<Vec<Check>> {
        let mut checks = vec![check_writable(client).await?];
        for write in writes {
            match Table::find(client, &write.table).await {
                Ok(table) => checks.extend(check_write(table.as_ref(), write, items)),
                Err(fault) if fault.kind() == Kind::Config => {
                    checks.push(Check::fail(format!("table {}", write.table), fault));
                }
                Err(fault) => return Err(fault),
            }
        }
        checks.push(check_ledger(client).await?);
        Ok(checks)
    }
}

#[async_trait]
impl Sink for PostgresSink {
    async fn check(&self, writes: &[Write], items: &SchemaRef) -> Vec<Check> {
        let reachable = format!("target reachable: {}", self.server.url());
        // First without the script: what is wrong with it is not the server's fault.
        if let Err(fault) = self.server.connect().await {
            return vec![Check::fail(reachable, fault)];
        }
        let mut checks = vec![Check::pass(reachable)];
        let script = self.server.script().map(|name| format!("set-up script {name}"));
        let client = match self.server.rehearse().await {
            Ok(client) => client,
            Err(fault) => {
                checks.push(Check::fail(script.unwrap_or_else(|| "target answers".into()), fault));
                return checks;
            }
        };
        checks.extend(script.map(Check::pass));
        match self.look(&client, writes, items).await {
            Ok(found) => checks.extend(found),
            Err(fault) => checks.push(Check::fail("target's catalogs can be read", fault)),
        }
        checks
    }

    async fn max_lanes(&self, writes: &[Write], items: &SchemaRef) -> Result<u32> {
        let client = self.server.connect().await?;
        for write in writes.iter().filter(|write| !write.key.is_empty()) {
            let Some(table) = Table::find(&client, &write.table).await? else { continue };
            if !table.tells_keys_apart(write, items) {
                return Ok(1);
            }
        }
        Ok(MAX_LANES)
    }

    async fn open(
        &self,
        key: &LaneKey,
        writes: &[Write],
        items: &SchemaRef,
    ) -> Result<(Box<dyn Lane>, Mark)> {
        let client = self.server.connect().await?;
        prepare_ledger(&client).await?;
        let mut writers = Vec::with_capacity(writes.len());
        for (number, write) in writes.iter().enumerate() {
            writers.push(Writer::new(&client, number, write, items).await?);
        }
        let (mut connection, beginning) = self.server.session().await?;
        for writer in &writers {
            look_at(&mut connection, writer).await?;
        }
        let mark = take_over(&client, key).await?;
        let order = Order::of(writes);
        Ok((Box::new(PostgresLane::new(connection, beginning, key.clone(), writers, order)), mark))
    }

    async fn open_statements(&self, key: &LaneKey) -> Result<(Box<dyn Lane>, Mark)> {
        let client = self.server.connect().await?;
        prepare_ledger(&client).await?;
        let (connection, beginning) = self.server.session().await?;
        let mark = take_over(&client, key).await?;
        let (writers, order) = (vec![Writer::of_statements()], Order::as_declared(1));
        Ok((Box::new(PostgresLane::new(connection, beginning, key.clone(), writers, order)), mark))
    }

    async fn check_statement(&self, sql: &str) -> Vec<Check> {
        let looked = async {
            STATEMENTS.check(sql)?;
            let client = self.server.rehearse().await?;
            client.prepare(sql).await.map_err(|e| fault(&e))?;
            check_ledger(&client).await
        };
        match looked.await {
            Ok(ledger) => vec![Check::pass("statement"), ledger],
            Err(fault) => vec![Check::fail("statement", no_item(fault))],
        }
    }
}

async fn take_over(client: &Client, key: &LaneKey) -> Result<Mark> {
    let LaneKey { run, step, lane, epoch } = key;
    let run_epoch =
        i64::try_from(*epoch).map_err(|_| Fault::bug(format!("the epoch {epoch} is too large")))?;
    let wait = "BEGIN; SET LOCAL lock_timeout = '60s'";
    client.batch_execute(wait).await.map_err(|e| own_fault(&e))?;
    client.query_typed(HOLD_RUN, &[(&run.0, Type::TEXT)]).await.map_err(|e| own_fault(&e))?;
    let marks = client
        .query_typed(
            TAKE_OVER,
            &[
                (&run.0, Type::TEXT),
                (step, Type::TEXT),
                (&i64::from(*lane), Type::INT8),
                (&run_epoch, Type::INT8),
            ],
        )
        .await
        .map_err(|e| own_fault(&e))?;
    client.batch_execute("COMMIT").await.map_err(|e| own_fault(&e))?;
    match marks.first() {
        Some(row) => Ok(read_mark(row, 0)),
        None => Err(Claim { run: run.clone(), epoch: *epoch }.fenced()),
    }
}

/// The mark in the columns from `first`: done, place_ordinal, place, state, and
/// the counts.
pub(super) fn read_mark(row: &Row, first: usize) -> Mark {
    let number = |i: usize| row.get::<_, i64>(first + i).unsigned_abs();
    let state: Option<Vec<u8>> = row.get(first + 3);
    let position = Position { ordinal: number(1), place: row.get(first + 2) };
    Mark {
        done: number(0),
        checkpoint: Checkpoint { position, state: state.map(Arc::from) },
        counts: read_counts(row, first + 4),
    }
}

/// The counts in the five columns from `first`.
pub(super) fn read_counts(row: &Row, first: usize) -> Counts {
    let number = |i: usize| row.get::<_, i64>(first + i).unsigned_abs();
    Counts {
        read: number(0),
        processed: number(1),
        filtered: number(2),
        duplicate: number(3),
        failed: number(4),
    }
}

async fn check_writable(client: &Client) -> Result<Check> {
    let what = "target takes writes";
    let looked = client
        .query_typed(
            "SELECT pg_catalog.pg_is_in_recovery(), \
                    pg_catalog.current_setting('transaction_read_only') = 'on'",
            &[],
        )
        .await
        .map_err(|e| fault(&e))?;
    let is = |i: usize| looked.first().is_some_and(|row| row.get(i));
    let refused = |message: &str, hint: &str| {
        Check::fail(what, Fault::new(Kind::NotPermitted, message).with_hint(hint))
    };
    Ok(if is(0) {
        refused("the server is a standby and takes no writes", "name the primary server in the URL")
    } else if is(1) {
        refused(
            "the database is read-only for this user (default_transaction_read_only)",
            "ALTER DATABASE or ALTER ROLE … RESET default_transaction_read_only",
        )
    } else {
        Check::pass(what)
    })
}
