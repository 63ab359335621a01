//! The book of runs, in the tables `kiln_*`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kiln_core::{
    Check, Claim, DeadLetter, Fault, Fingerprint, Kind, Ledger, Mark, NewRun, Owner, Redriven,
    Result, RuleCount, RunId, RunRecord, RunState,
};
use mysql_async::{Params, Row, params};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use super::fault::{DbError, duplicate_in, fault, is_absent, is_denied, own_fault};
use super::script::statements;
use super::server::{Server, lock, unlock};
use super::session::{Session, value};
use super::{dead_letters, mark};

const SCHEMA: &str = include_str!("ledger.sql");
const VERSION: i32 = 3;

/// How often a statement that met others in a deadlock is tried.
const TRIES: u32 = 5;

/// Runs with what their lanes have counted; `read_run` goes by this order.
const RUNS: &str = "\
SELECT r.run, r.job, r.parameters, r.source, r.definition, r.state, r.epoch,
       r.owner_host, r.owner_pid, r.owner_identity,
       r.state = 'running' AND r.lease_until > SYSDATE(6),
       DATE_FORMAT(r.started_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
       DATE_FORMAT(r.claimed_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
       DATE_FORMAT(r.ended_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
       r.message,
       (SELECT COALESCE(SUM(m.`read`), 0) FROM kiln_marks m WHERE m.run = r.run),
       (SELECT COALESCE(SUM(m.processed), 0) FROM kiln_marks m WHERE m.run = r.run),
       (SELECT COALESCE(SUM(m.filtered), 0) FROM kiln_marks m WHERE m.run = r.run),
       (SELECT COALESCE(SUM(m.duplicate), 0) FROM kiln_marks m WHERE m.run = r.run),
       (SELECT COALESCE(SUM(m.failed), 0) FROM kiln_marks m WHERE m.run = r.run)
FROM kiln_runs r";

/// What tells runs of one job and its parameters from others.
const SAME: &str = "UNHEX(SHA2(CONCAT(:job, CHAR(0), :parameters), 256))";

/// When a lease that begins now runs out.
const LEASE: &str = "SYSDATE(6) + INTERVAL :lease MICROSECOND";

/// Talks over one connection of its own, made when it is needed and made anew
/// when it was lost, be it while nobody spoke. Each method is one statement, or
/// one transaction.
pub(super) struct MysqlLedger {
    server: Arc<Server>,
    session: Mutex<Option<Session>>,
}

impl MysqlLedger {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server, session: Mutex::new(None) }
    }

    async fn session(&self) -> Result<MappedMutexGuard<'_, Session>> {
        let mut slot = self.session.lock().await;
        let is_there = match slot.as_mut() {
            Some(session) => session.is_there().await,
            None => false,
        };
        if !is_there {
            *slot = Some(self.server.connect().await?);
        }
        MutexGuard::try_map(slot, Option::as_mut)
            .map_err(|_| Fault::bug("the ledger has no connection"))
    }

    /// Does a statement; one that met others in a deadlock, again.
    async fn try_change(&self, sql: &str, values: Params) -> Result<Result<u64, DbError>> {
        let mut session = self.session().await?;
        for _ in 1..TRIES {
            match session.change(sql, values.clone()).await {
                Err(error) if fault(&error).kind() == Kind::Busy => {}
                answer => return Ok(answer),
            }
        }
        Ok(session.change(sql, values).await)
    }

    async fn change(&self, sql: &str, values: Params) -> Result<u64> {
        self.try_change(sql, values).await?.map_err(|e| own_fault(&e))
    }

    /// Reads; a ledger that was never made has nothing in it.
    async fn read(&self, sql: &str, values: Params) -> Result<Vec<Row>> {
        match self.session().await?.read(sql, values).await {
            Err(error) if is_absent(&error) => Ok(Vec::new()),
            answer => answer.map_err(|e| own_fault(&e)),
        }
    }

    /// State and epoch of a run.
    async fn state(&self, run: &RunId) -> Result<Option<(String, u64)>> {
        let sql = "SELECT state, epoch FROM kiln_runs WHERE run = :run";
        let rows = self.read(sql, params! { "run" => &run.0 }).await?;
        rows.first().map(|row| Ok((get(row, 0)?, get(row, 1)?))).transpose()
    }
}

#[async_trait]
impl Ledger for MysqlLedger {
    async fn prepare(&self) -> Result<()> {
        let rows = self.read("SELECT MAX(version) FROM kiln_meta", Params::Empty).await?;
        match known_version(&rows)? {
            Some(VERSION) => Ok(()),
            _ => prepare_ledger(&mut self.server.connect().await?).await,
        }
    }

    async fn newest(&self, job: &str, parameters: &str) -> Result<Option<RunRecord>> {
        let sql = format!("{RUNS} WHERE r.same = {SAME} ORDER BY r.number DESC LIMIT 1");
        let rows = self.read(&sql, params! { "job" => job, "parameters" => parameters }).await?;
        rows.first().map(read_run).transpose()
    }

    async fn create(
        &self,
        run: &NewRun,
        behind: Option<&RunId>,
        owner: &Owner,
        lease: Duration,
    ) -> Result<Option<Claim>> {
        let sql = format!(
            "INSERT INTO kiln_runs (run, job, parameters, same, source, definition, state, epoch, \
                 owner_host, owner_pid, owner_identity, lease_until, started_at, claimed_at) \
             SELECT :run, :job, :parameters, {SAME}, :source, :definition, 'running', 1, \
                 :host, :pid, :identity, {LEASE}, SYSDATE(6), SYSDATE(6) FROM DUAL \
             WHERE :behind <=> (SELECT run FROM (SELECT run FROM kiln_runs WHERE same = {SAME} \
                                                 ORDER BY number DESC LIMIT 1) AS newest)"
        );
        let values: Params = params! {
            "run" => &run.id.0,
            "job" => &run.job,
            "parameters" => &run.parameters,
            "source" => as_json(&run.source)?,
            "definition" => as_json(&run.definition)?,
            "host" => &owner.host,
            "pid" => owner.pid,
            "identity" => &owner.identity,
            "lease" => micros(lease),
            "behind" => behind.map(|run| &run.0),
        };
        match self.try_change(&sql, values).await? {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(Claim { run: run.id.clone(), epoch: 1 })),
            Err(error) if duplicate_in(&error).is_some() => Ok(None),
            Err(error) => Err(own_fault(&error)),
        }
    }

    async fn claim(
        &self,
        run: &RunId,
        epoch: u64,
        owner: &Owner,
        lease: Duration,
        even_if_leased: bool,
    ) -> Result<Option<Claim>> {
        let sql = format!(
            "UPDATE kiln_runs \
             SET state = 'running', epoch = epoch + 1, owner_host = :host, owner_pid = :pid, \
                 owner_identity = :identity, lease_until = {LEASE}, claimed_at = SYSDATE(6), \
                 ended_at = NULL, message = NULL \
             WHERE run = :run AND epoch = :epoch AND state IN ('running', 'stopped', 'failed') \
               AND (:even OR state <> 'running' OR lease_until <= SYSDATE(6))"
        );
        let values = params! {
            "run" => &run.0,
            "epoch" => epoch,
            "host" => &owner.host,
            "pid" => owner.pid,
            "identity" => &owner.identity,
            "lease" => micros(lease),
            "even" => even_if_leased,
        };
        let taken = self.change(&sql, values).await?;
        Ok((taken == 1).then(|| Claim { run: run.clone(), epoch: epoch + 1 }))
    }

    async fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<()> {
        let sql = format!(
            "UPDATE kiln_runs SET lease_until = {LEASE} \
             WHERE run = :run AND epoch = :epoch AND state = 'running'"
        );
        let values = params! {
            "run" => &claim.run.0, "epoch" => claim.epoch, "lease" => micros(lease),
        };
        if self.change(&sql, values).await? == 1 { Ok(()) } else { Err(claim.fenced()) }
    }

    async fn finish(&self, claim: &Claim, state: RunState, message: Option<&str>) -> Result<()> {
        if !matches!(state, RunState::Stopped | RunState::Failed | RunState::Completed) {
            return Err(cannot_become(&claim.run, RunState::Running.as_str(), state));
        }
        let sql = "UPDATE kiln_runs SET state = :state, message = :message, ended_at = SYSDATE(6) \
                   WHERE run = :run AND epoch = :epoch AND state = 'running'";
        let values = params! {
            "run" => &claim.run.0,
            "epoch" => claim.epoch,
            "state" => state.as_str(),
            "message" => message,
        };
        if self.change(sql, values).await? == 1 {
            return Ok(());
        }
        match self.state(&claim.run).await? {
            Some((now, epoch)) if epoch == claim.epoch && now != RunState::Abandoned.as_str() => {
                Err(cannot_become(&claim.run, &now, state))
            }
            _ => Err(claim.fenced()),
        }
    }

    /// Whoever still works on the run is fenced off by its marks.
    async fn abandon(&self, run: &RunId, epoch: u64) -> Result<bool> {
        let mut session = self.session().await?;
        session.run("START TRANSACTION").await.map_err(|e| own_fault(&e))?;
        let done = abandon(&mut session, run, epoch).await;
        let end = if matches!(done, Ok(true)) { "COMMIT" } else { "ROLLBACK" };
        let ended = session.run(end).await.map_err(|e| own_fault(&e));
        let done = done.map_err(|e| own_fault(&e))?;
        ended.map(|_| done)
    }

    async fn marks(&self, run: &RunId, step: &str) -> Result<Vec<(u32, Mark)>> {
        let sql = format!(
            "SELECT lane, {} FROM kiln_marks WHERE run = :run AND step = :step ORDER BY lane",
            mark::COLUMNS
        );
        let rows = self.read(&sql, params! { "run" => &run.0, "step" => step }).await?;
        let mark = |row: &Row| Ok((get(row, 0)?, mark::read(row, 1).map_err(|e| own_fault(&e))?));
        rows.iter().map(mark).collect()
    }

    async fn runs(&self, job: Option<&str>, most: usize) -> Result<Vec<RunRecord>> {
        let sql = format!(
            "{RUNS} WHERE :job IS NULL OR r.job = :job ORDER BY r.number DESC LIMIT {most}"
        );
        let rows = self.read(&sql, params! { "job" => job }).await?;
        rows.iter().map(read_run).collect()
    }

    async fn run(&self, name: &str) -> Result<Option<RunRecord>> {
        let sql = format!(
            "{RUNS} WHERE r.run = :name OR (LOCATE(:name, r.run) = 1 AND :name <> '') \
             ORDER BY r.run = :name DESC LIMIT 2"
        );
        let rows = self.read(&sql, params! { "name" => name }).await?;
        let runs: Vec<RunRecord> = rows.iter().map(read_run).collect::<Result<_>>()?;
        let is_clear = runs.len() == 1 || runs.first().is_some_and(|r| r.start.id.0 == name);
        Ok(runs.into_iter().next().filter(|_| is_clear))
    }

    async fn steps(&self, run: &RunId) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT step FROM kiln_marks WHERE run = :run ORDER BY step";
        let rows = self.read(sql, params! { "run" => &run.0 }).await?;
        rows.iter().map(|row| get(row, 0)).collect()
    }

    async fn dead_letters(
        &self,
        run: &RunId,
        step: &str,
        after: u64,
        most: usize,
    ) -> Result<Vec<DeadLetter>> {
        let sql = format!(
            "SELECT {} FROM kiln_dead_letters \
             WHERE run = :run AND step = :step AND ordinal > :after ORDER BY ordinal LIMIT {most}",
            dead_letters::COLUMNS
        );
        let values = params! { "run" => &run.0, "step" => step, "after" => after };
        self.read(&sql, values).await?.iter().map(dead_letters::read).collect()
    }

    async fn redriven(&self, run: &RunId, step: &str) -> Result<Vec<Redriven>> {
        let sql = "SELECT ordinal, by_run FROM kiln_redriven \
                   WHERE run = :run AND step = :step ORDER BY ordinal";
        let rows = self.read(sql, params! { "run" => &run.0, "step" => step }).await?;
        let redriven = |row: &Row| Ok(Redriven { ordinal: get(row, 0)?, by: RunId(get(row, 1)?) });
        rows.iter().map(redriven).collect()
    }

    async fn dead_letter_count(&self, run: &RunId) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM kiln_dead_letters WHERE run = :run";
        let rows = self.read(sql, params! { "run" => &run.0 }).await?;
        rows.first().map_or(Ok(0), |row| get(row, 0))
    }

    async fn rules(&self, run: &RunId, step: &str) -> Result<Vec<RuleCount>> {
        let sql = "SELECT rule, SUM(failed), SUM(warned) FROM kiln_rules \
                   WHERE run = :run AND step = :step GROUP BY rule ORDER BY rule";
        let rows = self.read(sql, params! { "run" => &run.0, "step" => step }).await?;
        let count = |row: &Row| {
            Ok(RuleCount { rule: get(row, 0)?, failed: get(row, 1)?, warned: get(row, 2)? })
        };
        rows.iter().map(count).collect()
    }
}

async fn abandon(session: &mut Session, run: &RunId, epoch: u64) -> Result<bool, DbError> {
    let values = params! { "run" => &run.0, "epoch" => epoch };
    let sql = "UPDATE kiln_runs \
               SET state = 'abandoned', ended_at = COALESCE(ended_at, SYSDATE(6)) \
               WHERE run = :run AND epoch = :epoch AND state IN ('running', 'stopped', 'failed')";
    if session.change(sql, values).await? == 0 {
        return Ok(false);
    }
    let sql = "UPDATE kiln_marks SET epoch = epoch + 1 WHERE run = :run";
    session.change(sql, params! { "run" => &run.0 }).await?;
    Ok(true)
}

/// Makes the ledger, or what an older one lacks. Each table commits by itself; the last
/// one tells that all are there.
pub(super) async fn prepare_ledger(session: &mut Session) -> Result<()> {
    if version(session).await? == Some(VERSION) {
        return Ok(());
    }
    lock(session, "ledger").await?;
    // Somebody else may have made it while this one waited for the lock.
    if version(session).await? != Some(VERSION) {
        for statement in statements(SCHEMA) {
            session.run(statement.sql).await.map_err(|e| {
                own_fault(&e).at("kiln's ledger (tables kiln_*) is not there and can't be made")
            })?;
        }
    }
    unlock(session, "ledger").await
}

/// The version of the ledger that is there, if one is.
async fn version(session: &mut Session) -> Result<Option<i32>> {
    match session.ask("SELECT MAX(version) FROM kiln_meta").await {
        Ok(rows) => known_version(&rows),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(own_fault(&error)),
    }
}

fn known_version(rows: &[Row]) -> Result<Option<i32>> {
    match rows.first().map_or(Ok(None), |row| get(row, 0))? {
        Some(version) if version > VERSION => Err(Fault::config(format!(
            "kiln's ledger is of version {version}; this kiln knows version {VERSION}"
        ))
        .with_hint("use the newer kiln that made it")),
        found => Ok(found),
    }
}

/// Whether the ledger can be written, or made.
pub(super) async fn check_ledger(session: &mut Session) -> Result<Check> {
    let what = "ledger (tables kiln_*)";
    let there = match version(session).await {
        Ok(Some(version)) if version < VERSION => {
            return Ok(Check::note(what, "is of an older kiln; the first run adds what it lacks"));
        }
        Ok(version) => version.is_some(),
        // To who may not see a table it looks as if it were not there.
        Err(fault) if fault.kind() == Kind::NotPermitted => {
            return Ok(Check::fail(what, denied(false)));
        }
        Err(fault) => return Ok(Check::fail(what, fault)),
    };
    let looks: &[&str] = match there {
        true => &[
            "INSERT INTO kiln_runs (run) VALUES (?)",
            "UPDATE kiln_runs SET epoch = epoch",
            "INSERT INTO kiln_marks (run) VALUES (?)",
            "UPDATE kiln_marks SET epoch = epoch",
            "INSERT INTO kiln_dead_letters (run) VALUES (?)",
            "SELECT run FROM kiln_dead_letters LIMIT 0",
            "INSERT INTO kiln_redriven (run) VALUES (?)",
            "SELECT run FROM kiln_redriven LIMIT 0",
            "INSERT INTO kiln_rules (run) VALUES (?)",
            "UPDATE kiln_rules SET warned = warned",
        ],
        false => &["CREATE TABLE kiln_meta (version INTEGER NOT NULL)"],
    };
    for sql in looks {
        match session.look_at(sql).await {
            Ok(()) => {}
            Err(error) if is_denied(&error) => return Ok(Check::fail(what, denied(there))),
            Err(error) => return Err(fault(&error)),
        }
    }
    Ok(match there {
        true => Check::pass(what),
        false => Check::note(what, "is made by the first run"),
    })
}

fn denied(there: bool) -> Fault {
    let (message, hint) = match there {
        true => (
            "no permission to write kiln's ledger",
            "GRANT SELECT, INSERT, UPDATE ON the tables kiln_* TO the user of the URL",
        ),
        false => (
            "kiln's ledger is not there or not to be seen, and no permission to make it",
            "GRANT CREATE, SELECT, INSERT, UPDATE ON the database TO the user of the URL",
        ),
    };
    Fault::new(Kind::NotPermitted, message).with_hint(hint)
}

fn get<T: mysql_async::prelude::FromValue>(row: &Row, column: usize) -> Result<T> {
    value(row, column).map_err(|e| own_fault(&e))
}

fn read_run(row: &Row) -> Result<RunRecord> {
    let state: String = get(row, 5)?;
    Ok(RunRecord {
        start: NewRun {
            id: RunId(get(row, 0)?),
            job: get(row, 1)?,
            parameters: get(row, 2)?,
            source: from_json(&get::<String>(row, 3)?)?,
            definition: from_json(&get::<String>(row, 4)?)?,
        },
        state: RunState::parse(&state)
            .ok_or_else(|| Fault::bug(format!("the ledger has an unknown state {state:?}")))?,
        epoch: get(row, 6)?,
        owner: Owner { host: get(row, 7)?, pid: get(row, 8)?, identity: get(row, 9)? },
        leased: get(row, 10)?,
        started_at: get(row, 11)?,
        claimed_at: get(row, 12)?,
        ended_at: get(row, 13)?,
        message: get(row, 14)?,
        counts: mark::counts(row, 15).map_err(|e| own_fault(&e))?,
    })
}

fn micros(lease: Duration) -> u64 {
    u64::try_from(lease.as_micros()).unwrap_or(u64::MAX)
}

fn as_json(fingerprint: &Fingerprint) -> Result<String> {
    serde_json::to_string(&fingerprint.0)
        .map_err(|e| Fault::bug(format!("a fingerprint makes no JSON: {e}")))
}

fn from_json(text: &str) -> Result<Fingerprint> {
    serde_json::from_str(text)
        .map(Fingerprint)
        .map_err(|e| Fault::bug(format!("the ledger has a fingerprint that is none: {e}")))
}

fn cannot_become(run: &RunId, now: &str, next: RunState) -> Fault {
    Fault::bug(format!("run {run} is {now} and can't become {}", next.as_str()))
}
