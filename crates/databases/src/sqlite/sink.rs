//! Where units of work go.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use kiln_core::{Check, Fault, Kind, Lane, LaneKey, Mark, Result, Sink, Write};
use rusqlite::Connection;

use super::lane::SqliteLane;
use super::plan::Work;
use super::session::{Session, at};
use super::worker::Worker;
use super::{mark, plan, run, schema};
use crate::statements::no_item;

pub(super) struct SqliteSink {
    worker: Arc<Worker>,
}

impl SqliteSink {
    pub(super) fn new(worker: Arc<Worker>) -> Self {
        Self { worker }
    }
}

#[async_trait]
impl Sink for SqliteSink {
    async fn check(&self, writes: &[Write], items: &SchemaRef) -> Vec<Check> {
        let (writes, items) = (writes.to_vec(), Arc::clone(items));
        let reachable = format!("target reachable: {}", self.worker.place());
        let checks = self.worker.run(move |session| Ok(checks(session, &writes, &items))).await;
        checks.unwrap_or_else(|fault| vec![Check::fail(reachable, fault)])
    }

    /// SQLite has one writer.
    /// One: SQLite has one writer at a time.
    async fn max_lanes(&self, _: &[Write], _: &SchemaRef) -> Result<u32> {
        Ok(1)
    }

    async fn open(
        &self,
        key: &LaneKey,
        writes: &[Write],
        items: &SchemaRef,
    ) -> Result<(Box<dyn Lane>, Mark)> {
        let (lane, writes, items) = (key.clone(), writes.to_vec(), Arc::clone(items));
        let (plans, mark) = self
            .worker
            .run(move |session| {
                schema::prepare(session)?;
                session.transact(|transaction| {
                    let plans = plan::plans(transaction, &writes, &items)?;
                    Ok((plans, mark::take_over(transaction, &lane)?))
                })
            })
            .await?;
        let lane = SqliteLane::new(Arc::clone(&self.worker), key.clone(), Work::Write(plans));
        Ok((Box::new(lane), mark))
    }

    async fn open_statements(&self, key: &LaneKey) -> Result<(Box<dyn Lane>, Mark)> {
        let lane = key.clone();
        let open = move |session: &mut Session| {
            schema::prepare(session)?;
            session.transact(|transaction| mark::take_over(transaction, &lane))
        };
        let mark = self.worker.run(open).await?;
        let lane = SqliteLane::new(Arc::clone(&self.worker), key.clone(), Work::Run);
        Ok((Box::new(lane), mark))
    }

    async fn check_statement(&self, sql: &str) -> Vec<Check> {
        let sql = sql.to_owned();
        let look = move |session: &mut Session| {
            session.rehearse(|connection| {
                run::look(connection, &sql)?;
                Ok(ledger_check(connection))
            })
        };
        match self.worker.run(look).await {
            Ok(ledger) => vec![Check::pass("statement"), ledger],
            Err(fault) => vec![Check::fail("statement", no_item(fault))],
        }
    }
}

fn checks(session: &mut Session, writes: &[Write], items: &SchemaRef) -> Vec<Check> {
    let reachable = reachable(session);
    if reachable.result.is_err() {
        return vec![reachable];
    }
    let looked = session.rehearse(|connection| {
        let mut checks = vec![ledger_check(connection)];
        for write in writes {
            checks.extend(plan::look(connection, write, items).0);
        }
        Ok(checks)
    });
    let mut checks = vec![reachable];
    match looked {
        Ok(more) => checks.extend(more),
        Err(fault) => {
            let what =
                if fault.kind() == Kind::Config { "set-up script" } else { "permission to write" };
            checks.push(Check::fail(what, fault));
        }
    }
    checks
}

fn reachable(session: &mut Session) -> Check {
    let place = session.place().clone();
    let what = format!("target reachable: {place}");
    if let Err(fault) = session.look(|_| Ok(())) {
        return Check::fail(what, fault);
    }
    if place.exists() {
        return Check::pass(what);
    }
    match place.can_be_made() {
        Ok(()) => Check::note(what, "it will be created"),
        Err(fault) => Check::fail(what, fault),
    }
}

/// Writes to the ledger, inside the rehearsal: nothing else tells as well
/// whether that will be possible.
fn ledger_check(connection: &Connection) -> Check {
    let written = schema::is_complete(connection).and_then(|is_complete| {
        if is_complete {
            let touch = "UPDATE kiln_meta SET version = version";
            connection.execute_batch(touch).map_err(at("the ledger"))
        } else {
            schema::create(connection)
        }
    });
    match written {
        Ok(()) => Check::pass("permission to write, ledger included"),
        Err(fault) => Check::fail("permission to write, ledger included", at_ledger(fault)),
    }
}

fn at_ledger(fault: Fault) -> Fault {
    match fault.hint() {
        Some(_) => fault,
        None => fault.with_hint("kiln keeps its tables kiln_… in the target database"),
    }
}
