//! The tables of a database as a target.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use kiln_core::{Check, Fault, Kind, Lane, LaneKey, Mark, Result, Sink, TableName, Write};

use super::check::{check_permission, check_write};
use super::fault::fault;
use super::lane::{MysqlLane, Writes};
use super::ledger::{check_ledger, prepare_ledger};
use super::mark;
use super::server::Server;
use super::session::{Session, value};
use super::table::Table;
use super::write::Writer;
use crate::statements::{Words, no_item};
use crate::written::Order;

/// Each lane is a connection; more than these do not make a server faster.
const MAX_LANES: u32 = 8;

/// Others commit by themselves, or may.
const STATEMENTS: Words =
    Words::Only(&["DELETE", "DO", "INSERT", "REPLACE", "SELECT", "UPDATE", "WITH"]);

pub(super) struct MysqlSink {
    server: Arc<Server>,
}

impl MysqlSink {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server }
    }

    async fn look(
        &self,
        session: &mut Session,
        writes: &[Write],
        items: &SchemaRef,
    ) -> Result<Vec<Check>> {
        let mut checks = vec![check_writable(session).await?];
        let names: Vec<&TableName> = writes.iter().map(|w| &w.table).collect();
        let tables = self.server.tables(session, &names).await?;
        for (write, table) in writes.iter().zip(tables) {
            match table {
                Ok(table) => {
                    checks.extend(self.look_at_write(session, write, table, items).await?);
                }
                Err(fault) => checks.push(Check::fail(format!("table {}", write.table), fault)),
            }
        }
        checks.push(check_ledger(session).await?);
        Ok(checks)
    }

    /// A table that the set-up script has yet to make is not there to be looked at.
    async fn look_at_statement(&self, sql: &str) -> Result<Vec<Check>> {
        STATEMENTS.check(sql)?;
        let mut session = self.server.connect().await?;
        let is_set_up = self.server.rehearsal(&mut session).await?.is_none();
        let statement = match session.look_at(sql).await {
            Ok(()) => Check::pass("statement"),
            Err(error) if is_set_up || fault(&error).kind() != Kind::Config => {
                return Err(fault(&error));
            }
            Err(_) => Check::note("statement", "was not tried before the set-up script has run"),
        };
        Ok(vec![statement, check_ledger(&mut session).await?])
    }

    async fn look_at_write(
        &self,
        session: &mut Session,
        write: &Write,
        table: Option<Table>,
        items: &SchemaRef,
    ) -> Result<Vec<Check>> {
        let rehearsal = self.server.rehearsal(session).await?;
        let was_omitted = rehearsal.is_some_and(|r| r.omitted().is_some());
        if table.is_none() && was_omitted {
            let note = "is not there yet; the set-up script was not tried";
            return Ok(vec![Check::note(format!("table {}", write.table), note)]);
        }
        let mut checks = check_write(table.as_ref(), write, items);
        if let Some(table) = table.filter(|_| checks.iter().all(|c| c.result.is_ok())) {
            checks.push(check_permission(session, &table, write).await?);
        }
        Ok(checks)
    }
}

#[async_trait]
impl Sink for MysqlSink {
    async fn check(&self, writes: &[Write], items: &SchemaRef) -> Vec<Check> {
        let reachable = format!("target reachable: {}", self.server.url());
        let mut session = match self.server.connect().await {
            Ok(session) => session,
            Err(fault) => return vec![Check::fail(reachable, fault)],
        };
        let mut checks = vec![Check::pass(reachable)];
        let script = self.server.script().map(|name| format!("set-up script {name}"));
        match (script, self.server.rehearsal(&mut session).await) {
            (script, Err(fault)) => {
                checks.push(Check::fail(script.unwrap_or_else(|| "target answers".into()), fault));
                return checks;
            }
            (Some(script), Ok(Some(rehearsal))) => checks.push(match rehearsal.omitted() {
                Some(why) => Check::note(script, format!("was not tried: {why}")),
                None => Check::pass(script),
            }),
            (Some(script), Ok(None)) => checks.push(Check::pass(script)),
            (None, Ok(_)) => {}
        }
        match self.look(&mut session, writes, items).await {
            Ok(found) => checks.extend(found),
            Err(fault) => checks.push(Check::fail("target's catalogs can be read", fault)),
        }
        checks
    }

    async fn max_lanes(&self, writes: &[Write], items: &SchemaRef) -> Result<u32> {
        let mut session = self.server.connect().await?;
        for write in writes.iter().filter(|write| !write.key.is_empty()) {
            let Some(table) = Table::find(&mut session, &write.table).await? else { continue };
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
        let mut session = self.server.connect().await?;
        prepare_ledger(&mut session).await?;
        let mut writers = Vec::with_capacity(writes.len());
        for write in writes {
            writers.push(Writer::prepare(&mut session, write, items).await?);
        }
        let mark = mark::take_over(&mut session, key).await?;
        let writes = Writes { writers, order: Order::of(writes) };
        Ok((Box::new(MysqlLane::new(session, key.clone(), writes)), mark))
    }

    async fn open_statements(&self, key: &LaneKey) -> Result<(Box<dyn Lane>, Mark)> {
        let mut session = self.server.connect().await?;
        prepare_ledger(&mut session).await?;
        let mark = mark::take_over(&mut session, key).await?;
        let writers = vec![Writer::of_statements()];
        let writes = Writes { writers, order: Order::as_declared(1) };
        Ok((Box::new(MysqlLane::new(session, key.clone(), writes)), mark))
    }

    async fn check_statement(&self, sql: &str) -> Vec<Check> {
        match self.look_at_statement(sql).await {
            Ok(checks) => checks,
            Err(fault) => vec![Check::fail("statement", no_item(fault))],
        }
    }
}

async fn check_writable(session: &mut Session) -> Result<Check> {
    let what = "target takes writes";
    let rows = session.ask("SELECT @@read_only").await.map_err(|e| fault(&e))?;
    let read_only = rows.first().map(|row| value::<String>(row, 0)).transpose();
    Ok(match read_only.map_err(|e| fault(&e))?.as_deref() {
        None | Some("0" | "OFF") => Check::pass(what),
        _ => Check::fail(
            what,
            Fault::new(Kind::NotPermitted, "the server is read-only (read_only)")
                .with_hint("name the primary server in the URL"),
        ),
    })
}
