//! The book of runs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kiln_core::{
    Claim, DeadLetter, Fault, Kind, Ledger, Mark, NewRun, Owner, Redriven, Result, RuleCount,
    RunId, RunRecord, RunState,
};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, ToSql, Transaction, params};

use super::record::{dead_letter, json, redriven, rule_count, run_record};
use super::session::at;
use super::worker::Worker;
use super::{mark, schema};

const RUNS: &str = "the ledger's table kiln_runs";
const MARKS: &str = "the ledger's table kiln_marks";
const DEAD_LETTERS: &str = "the ledger's table kiln_dead_letters";
const REDRIVEN: &str = "the ledger's table kiln_redriven";
const RULES: &str = "the ledger's table kiln_rules";

/// The database's clock, as text and in seconds.
const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";
const SECONDS: &str = "unixepoch('now', 'subsec')";

/// The states of a run that may go on; see [`RunState::is_open`].
const OPEN: &str = "state IN ('running', 'stopped', 'failed')";

pub(super) struct SqliteLedger {
    worker: Arc<Worker>,
}

impl SqliteLedger {
    pub(super) fn new(worker: Arc<Worker>) -> Self {
        Self { worker }
    }

    /// Changes the ledger in a transaction.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let changed = self.worker.run(move |session| session.transact(change)).await;
        // There is no item here: what the tables refuse, kiln should not have asked.
        changed.map_err(|fault| match fault.kind() {
            Kind::Item => Fault::bug(fault.message()),
            _ => fault,
        })
    }

    /// Reads rows of the ledger; where there is no ledger yet, or one that lacks
    /// the table, there are none.
    async fn rows<T: Send + 'static>(
        &self,
        table: &'static str,
        sql: String,
        params: impl Params + Send + 'static,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let look = move |connection: &Connection| {
            match schema::version(connection)? {
                None => return Ok(Vec::new()),
                Some(1) if table == RULES => return Ok(Vec::new()),
                Some(..3) if table == REDRIVEN => return Ok(Vec::new()),
                Some(_) => {}
            }
            let mut statement = connection.prepare(&sql).map_err(at(table))?;
            let rows = statement.query_map(params, read).map_err(at(table))?;
            rows.collect::<rusqlite::Result<_>>().map_err(at(table))
        };
        self.worker.run(move |session| session.look(look)).await
    }

    async fn records(
        &self,
        which: &str,
        params: impl Params + Send + 'static,
    ) -> Result<Vec<RunRecord>> {
        let sql = format!(
            "SELECT kiln_runs.*, state = 'running' AND lease_until > {SECONDS} AS leased,
                 coalesce(sum(read), 0) AS read, coalesce(sum(processed), 0) AS processed,
                 coalesce(sum(filtered), 0) AS filtered, coalesce(sum(duplicate), 0) AS duplicate,
                 coalesce(sum(failed), 0) AS failed
             FROM kiln_runs LEFT JOIN
                 (SELECT run, read, processed, filtered, duplicate, failed FROM kiln_marks)
                 ON run = id
             WHERE {which}"
        );
        self.rows(RUNS, sql, params, run_record).await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn prepare(&self) -> Result<()> {
        self.worker.run(schema::prepare).await
    }

    async fn newest(&self, job: &str, parameters: &str) -> Result<Option<RunRecord>> {
        let which = "job = ?1 AND parameters = ?2 GROUP BY id ORDER BY number DESC LIMIT 1";
        let params = [job.to_owned(), parameters.to_owned()];
        Ok(self.records(which, params).await?.pop())
    }

    async fn create(
        &self,
        run: &NewRun,
        behind: Option<&RunId>,
        owner: &Owner,
        lease: Duration,
    ) -> Result<Option<Claim>> {
        let (run, behind, owner) = (run.clone(), behind.cloned(), owner.clone());
        self.change(move |transaction| {
            let sql = format!(
                "INSERT INTO kiln_runs (id, job, parameters, source, definition, state, epoch,
                     host, pid, identity, lease_until, started_at, claimed_at)
                 SELECT ?1, ?2, ?3, ?4, ?5, 'running', 1, ?6, ?7, ?8, {SECONDS} + ?9, {NOW}, {NOW}
                 WHERE ?10 IS (SELECT id FROM kiln_runs WHERE job = ?2 AND parameters = ?3
                               ORDER BY number DESC LIMIT 1)
                 ON CONFLICT (job, parameters) WHERE {OPEN} DO NOTHING"
            );
            let created = execute(
                transaction,
                &sql,
                params![
                    run.id.0,
                    run.job,
                    run.parameters,
                    json(&run.source)?,
                    json(&run.definition)?,
                    owner.host,
                    owner.pid,
                    owner.identity,
                    lease.as_secs_f64(),
                    behind.map(|run| run.0),
                ],
            )?;
            Ok((created == 1).then_some(Claim { run: run.id, epoch: 1 }))
        })
        .await
    }

    async fn claim(
        &self,
        run: &RunId,
        epoch: u64,
        owner: &Owner,
        lease: Duration,
        even_if_leased: bool,
    ) -> Result<Option<Claim>> {
        let (run, owner) = (run.clone(), owner.clone());
        self.change(move |transaction| {
            let sql = format!(
                "UPDATE kiln_runs SET state = 'running', epoch = epoch + 1, host = ?3, pid = ?4,
                     identity = ?5, lease_until = {SECONDS} + ?6, claimed_at = {NOW},
                     ended_at = NULL, message = NULL
                 WHERE id = ?1 AND epoch = ?2 AND {OPEN}
                     AND (?7 OR state <> 'running' OR lease_until <= {SECONDS})"
            );
            let Owner { host, pid, identity } = owner;
            let lease = lease.as_secs_f64();
            let params = params![run.0, epoch, host, pid, identity, lease, even_if_leased];
            let claimed = execute(transaction, &sql, params)?;
            Ok((claimed == 1).then_some(Claim { run, epoch: epoch + 1 }))
        })
        .await
    }

    async fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<()> {
        let claim = claim.clone();
        self.change(move |transaction| {
            let sql = format!(
                "UPDATE kiln_runs SET lease_until = {SECONDS} + ?3
                 WHERE id = ?1 AND epoch = ?2 AND state = 'running'"
            );
            let params = params![claim.run.0, claim.epoch, lease.as_secs_f64()];
            match execute(transaction, &sql, params)? {
                1 => Ok(()),
                _ => Err(claim.fenced()),
            }
        })
        .await
    }

    async fn finish(&self, claim: &Claim, state: RunState, message: Option<&str>) -> Result<()> {
        let (claim, message) = (claim.clone(), message.map(str::to_owned));
        if !matches!(state, RunState::Stopped | RunState::Failed | RunState::Completed) {
            return Err(no_end(&claim, "running", state));
        }
        self.change(move |transaction| {
            let sql = format!(
                "UPDATE kiln_runs SET state = ?3, message = ?4, ended_at = {NOW}, lease_until = 0
                 WHERE id = ?1 AND epoch = ?2 AND state = 'running'"
            );
            let params = params![claim.run.0, claim.epoch, state.as_str(), message];
            match execute(transaction, &sql, params)? {
                1 => Ok(()),
                _ => Err(why_not_finished(transaction, &claim, state)?),
            }
        })
        .await
    }

    async fn abandon(&self, run: &RunId, epoch: u64) -> Result<bool> {
        let run = run.clone();
        self.change(move |transaction| {
            let sql = format!(
                "UPDATE kiln_runs SET state = 'abandoned', ended_at = coalesce(ended_at, {NOW}),
                     lease_until = 0
                 WHERE id = ?1 AND epoch = ?2 AND {OPEN}"
            );
            let abandoned = execute(transaction, &sql, params![run.0, epoch])? == 1;
            if abandoned {
                // Whoever still works on it commits nothing more.
                let fence = "UPDATE kiln_marks SET epoch = epoch + 1 WHERE run = ?1";
                execute(transaction, fence, params![run.0])?;
            }
            Ok(abandoned)
        })
        .await
    }

    async fn marks(&self, run: &RunId, step: &str) -> Result<Vec<(u32, Mark)>> {
        let columns = mark::COLUMNS;
        let sql = format!(
            "SELECT lane, {columns} FROM kiln_marks WHERE run = ?1 AND step = ?2 ORDER BY lane"
        );
        let params = [run.0.clone(), step.to_owned()];
        self.rows(MARKS, sql, params, |row| Ok((row.get("lane")?, mark::read(row)?))).await
    }

    async fn runs(&self, job: Option<&str>, most: usize) -> Result<Vec<RunRecord>> {
        let which = "?1 IS NULL OR job = ?1 GROUP BY id ORDER BY number DESC LIMIT ?2";
        self.records(which, (job.map(str::to_owned), limit(most))).await
    }

    async fn run(&self, name: &str) -> Result<Option<RunRecord>> {
        let which = "substr(id, 1, length(?1)) = ?1 GROUP BY id ORDER BY id <> ?1 LIMIT 2";
        let mut found = self.records(which, [name.to_owned()]).await?.into_iter();
        Ok(match (found.next(), found.next()) {
            (Some(first), None) => Some(first),
            (Some(first), Some(_)) if first.start.id.0 == name => Some(first),
            _ => None,
        })
    }

    async fn steps(&self, run: &RunId) -> Result<Vec<String>> {
        let sql = "SELECT step FROM kiln_marks WHERE run = ?1 GROUP BY step ORDER BY min(rowid)";
        self.rows(MARKS, sql.to_owned(), [run.0.clone()], |row| row.get(0)).await
    }

    async fn dead_letters(
        &self,
        run: &RunId,
        step: &str,
        after: u64,
        most: usize,
    ) -> Result<Vec<DeadLetter>> {
        let sql = "SELECT * FROM kiln_dead_letters WHERE run = ?1 AND step = ?2 AND ordinal > ?3
                   ORDER BY ordinal LIMIT ?4";
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let params = (run.0.clone(), step.to_owned(), after, limit(most));
        self.rows(DEAD_LETTERS, sql.to_owned(), params, dead_letter).await
    }

    async fn redriven(&self, run: &RunId, step: &str) -> Result<Vec<Redriven>> {
        let sql = "SELECT ordinal, by_run FROM kiln_redriven WHERE run = ?1 AND step = ?2
                   ORDER BY ordinal";
        self.rows(REDRIVEN, sql.to_owned(), [run.0.clone(), step.to_owned()], redriven).await
    }

    async fn dead_letter_count(&self, run: &RunId) -> Result<u64> {
        let sql = "SELECT count(*) FROM kiln_dead_letters WHERE run = ?1";
        let counts = self.rows(DEAD_LETTERS, sql.to_owned(), [run.0.clone()], |row| row.get(0));
        Ok(counts.await?.pop().unwrap_or_default())
    }

    async fn rules(&self, run: &RunId, step: &str) -> Result<Vec<RuleCount>> {
        let sql = "SELECT rule, sum(failed) AS failed, sum(warned) AS warned FROM kiln_rules
                   WHERE run = ?1 AND step = ?2 GROUP BY rule ORDER BY rule";
        self.rows(RULES, sql.to_owned(), [run.0.clone(), step.to_owned()], rule_count).await
    }
}

fn execute(transaction: &Transaction<'_>, sql: &str, params: &[&dyn ToSql]) -> Result<usize> {
    transaction.prepare_cached(sql).and_then(|mut s| s.execute(params)).map_err(at(RUNS))
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

/// Why a run could not be ended.
fn why_not_finished(
    transaction: &Transaction<'_>,
    claim: &Claim,
    state: RunState,
) -> Result<Fault> {
    let there: Option<String> = transaction
        .query_row(
            "SELECT state FROM kiln_runs WHERE id = ?1 AND epoch = ?2",
            params![claim.run.0, claim.epoch],
            |row| row.get(0),
        )
        .optional()
        .map_err(at(RUNS))?;
    Ok(match there {
        Some(there) if there != RunState::Abandoned.as_str() => no_end(claim, &there, state),
        _ => claim.fenced(),
    })
}

fn no_end(claim: &Claim, from: &str, to: RunState) -> Fault {
    Fault::bug(format!("run {} can't end as {}: it is {from}", claim.run, to.as_str()))
}
