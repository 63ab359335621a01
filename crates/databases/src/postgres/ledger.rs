//! The book of runs, in the schema `kiln`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kiln_core::{
    Check, Claim, DeadLetter, Fault, Fingerprint, Kind, Ledger, Mark, NewRun, Owner, Redriven,
    Result, RuleCount, RunId, RunRecord, RunState,
};
use tokio::sync::Mutex;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::dead_letters;
use super::fault::{fault, is_absent, own_fault};
use super::server::Server;
use super::sink::{read_counts, read_mark};

const SCHEMA: &str = include_str!("ledger.sql");
const VERSION: i32 = 3;

/// Two that create the ledger at once follow each other. The number is the next
/// after the one of the set-up script.
const LEDGER_LOCK: &str = "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(118100534886402)";

/// Runs with what their lanes have counted; `read_run` goes by this order.
const RUNS: &str = "\
SELECT r.run, r.job, r.parameters, r.source, r.definition, r.state, r.epoch,
       r.owner_host, r.owner_pid, r.owner_identity,
       r.state = 'running' AND r.lease_until > clock_timestamp(),
       to_char(r.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
       to_char(r.claimed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
       to_char(r.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
       r.message, m.read, m.processed, m.filtered, m.duplicate, m.failed
FROM kiln.runs r CROSS JOIN LATERAL (
    SELECT coalesce(sum(read), 0)::bigint AS read,
           coalesce(sum(processed), 0)::bigint AS processed,
           coalesce(sum(filtered), 0)::bigint AS filtered,
           coalesce(sum(duplicate), 0)::bigint AS duplicate,
           coalesce(sum(failed), 0)::bigint AS failed
    FROM kiln.marks WHERE run = r.run) m";

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Talks over one connection of its own, made when it is needed and made anew
/// when it was lost. Each method is one statement.
pub(super) struct PostgresLedger {
    server: Arc<Server>,
    client: Mutex<Option<Arc<Client>>>,
}

impl PostgresLedger {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server, client: Mutex::new(None) }
    }

    async fn client(&self) -> Result<Arc<Client>> {
        let mut slot = self.client.lock().await;
        match &*slot {
            Some(client) if !client.is_closed() => Ok(Arc::clone(client)),
            _ => {
                let client = Arc::new(self.server.connect().await?);
                *slot = Some(Arc::clone(&client));
                Ok(client)
            }
        }
    }

    async fn change(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>> {
        self.client().await?.query_typed(sql, parameters).await.map_err(|e| own_fault(&e))
    }

    /// Reads; a ledger that was never made has nothing in it.
    async fn read(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>> {
        match self.client().await?.query_typed(sql, parameters).await {
            Ok(rows) => Ok(rows),
            Err(error) if is_absent(&error) => Ok(Vec::new()),
            Err(error) => Err(own_fault(&error)),
        }
    }

    /// State and epoch of a run.
    async fn state(&self, run: &RunId) -> Result<Option<(String, u64)>> {
        let sql = "SELECT state, epoch FROM kiln.runs WHERE run = $1";
        let rows = self.read(sql, &[(&run.0, Type::TEXT)]).await?;
        Ok(rows.first().map(|row| (row.get(0), row.get::<_, i64>(1).unsigned_abs())))
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn prepare(&self) -> Result<()> {
        if version(&*self.client().await?).await? == Some(VERSION) {
            return Ok(());
        }
        prepare_ledger(&self.server.connect().await?).await
    }

    async fn newest(&self, job: &str, parameters: &str) -> Result<Option<RunRecord>> {
        let sql =
            format!("{RUNS} WHERE r.job = $1 AND r.parameters = $2 ORDER BY r.number DESC LIMIT 1");
        let rows = self.read(&sql, &[(&job, Type::TEXT), (&parameters, Type::TEXT)]).await?;
        rows.first().map(read_run).transpose()
    }

    async fn create(
        &self,
        run: &NewRun,
        behind: Option<&RunId>,
        owner: &Owner,
        lease: Duration,
    ) -> Result<Option<Claim>> {
        let sql = "\
INSERT INTO kiln.runs (run, job, parameters, source, definition, state, epoch,
                       owner_host, owner_pid, owner_identity, lease_until)
SELECT $1, $2, $3, $4, $5, 'running', 1, $6, $7, $8,
       clock_timestamp() + $9 * interval '1 second'
WHERE (SELECT run FROM kiln.runs WHERE job = $2 AND parameters = $3
       ORDER BY number DESC LIMIT 1) IS NOT DISTINCT FROM $10
ON CONFLICT DO NOTHING RETURNING run";
        let (source, definition) = (as_json(&run.source)?, as_json(&run.definition)?);
        let made = self
            .change(
                sql,
                &[
                    (&run.id.0, Type::TEXT),
                    (&run.job, Type::TEXT),
                    (&run.parameters, Type::TEXT),
                    (&source, Type::TEXT),
                    (&definition, Type::TEXT),
                    (&owner.host, Type::TEXT),
                    (&i64::from(owner.pid), Type::INT8),
                    (&owner.identity, Type::TEXT),
                    (&lease.as_secs_f64(), Type::FLOAT8),
                    (&behind.map(|run| &run.0), Type::TEXT),
                ],
            )
            .await?;
        Ok(made.first().map(|_| Claim { run: run.id.clone(), epoch: 1 }))
    }

    async fn claim(
        &self,
        run: &RunId,
        epoch: u64,
        owner: &Owner,
        lease: Duration,
        even_if_leased: bool,
    ) -> Result<Option<Claim>> {
        let sql = "\
UPDATE kiln.runs
SET state = 'running', epoch = epoch + 1, owner_host = $3, owner_pid = $4, owner_identity = $5,
    lease_until = clock_timestamp() + $6 * interval '1 second', claimed_at = clock_timestamp(),
    ended_at = NULL, message = NULL
WHERE run = $1 AND epoch = $2 AND state IN ('running', 'stopped', 'failed')
  AND ($7 OR state <> 'running' OR lease_until <= clock_timestamp())
RETURNING epoch";
        let taken = self
            .change(
                sql,
                &[
                    (&run.0, Type::TEXT),
                    (&as_epoch(epoch)?, Type::INT8),
                    (&owner.host, Type::TEXT),
                    (&i64::from(owner.pid), Type::INT8),
                    (&owner.identity, Type::TEXT),
                    (&lease.as_secs_f64(), Type::FLOAT8),
                    (&even_if_leased, Type::BOOL),
                ],
            )
            .await?;
        let epoch = taken.first().map(|row| row.get::<_, i64>(0).unsigned_abs());
        Ok(epoch.map(|epoch| Claim { run: run.clone(), epoch }))
    }

    async fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<()> {
        let sql = "\
UPDATE kiln.runs SET lease_until = clock_timestamp() + $3 * interval '1 second'
WHERE run = $1 AND epoch = $2 AND state = 'running' RETURNING run";
        let held = self
            .change(
                sql,
                &[
                    (&claim.run.0, Type::TEXT),
                    (&as_epoch(claim.epoch)?, Type::INT8),
                    (&lease.as_secs_f64(), Type::FLOAT8),
                ],
            )
            .await?;
        if held.is_empty() { Err(claim.fenced()) } else { Ok(()) }
    }

    async fn finish(&self, claim: &Claim, state: RunState, message: Option<&str>) -> Result<()> {
        if !matches!(state, RunState::Stopped | RunState::Failed | RunState::Completed) {
            return Err(cannot_become(&claim.run, RunState::Running.as_str(), state));
        }
        let sql = "\
UPDATE kiln.runs SET state = $3, message = $4, ended_at = clock_timestamp()
WHERE run = $1 AND epoch = $2 AND state = 'running' RETURNING run";
        let message = message.map(|m| m.replace('\0', "\\x00"));
        let ended = self
            .change(
                sql,
                &[
                    (&claim.run.0, Type::TEXT),
                    (&as_epoch(claim.epoch)?, Type::INT8),
                    (&state.as_str(), Type::TEXT),
                    (&message, Type::TEXT),
                ],
            )
            .await?;
        if !ended.is_empty() {
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
        let sql = "\
WITH abandoned AS (
    UPDATE kiln.runs SET state = 'abandoned', ended_at = coalesce(ended_at, clock_timestamp())
    WHERE run = $1 AND epoch = $2 AND state IN ('running', 'stopped', 'failed') RETURNING run
), fenced AS (
    UPDATE kiln.marks SET epoch = epoch + 1 WHERE run IN (SELECT run FROM abandoned)
)
SELECT run FROM abandoned";
        let done =
            self.change(sql, &[(&run.0, Type::TEXT), (&as_epoch(epoch)?, Type::INT8)]).await?;
        Ok(!done.is_empty())
    }

    async fn marks(&self, run: &RunId, step: &str) -> Result<Vec<(u32, Mark)>> {
        let sql = "\
SELECT lane, done, place_ordinal, place, state, read, processed, filtered, duplicate, failed
FROM kiln.marks WHERE run = $1 AND step = $2 ORDER BY lane";
        let rows = self.read(sql, &[(&run.0, Type::TEXT), (&step, Type::TEXT)]).await?;
        rows.iter()
            .map(|row| {
                let lane = u32::try_from(row.get::<_, i64>(0))
                    .map_err(|_| Fault::bug("the ledger has a mark of no lane"))?;
                Ok((lane, read_mark(row, 1)))
            })
            .collect()
    }

    async fn runs(&self, job: Option<&str>, most: usize) -> Result<Vec<RunRecord>> {
        let sql = format!("{RUNS} WHERE $1 IS NULL OR r.job = $1 ORDER BY r.number DESC LIMIT $2");
        let rows = self.read(&sql, &[(&job, Type::TEXT), (&limit(most), Type::INT8)]).await?;
        rows.iter().map(read_run).collect()
    }

    async fn run(&self, name: &str) -> Result<Option<RunRecord>> {
        let sql = format!(
            "{RUNS} WHERE r.run = $1 OR (starts_with(r.run, $1) AND $1 <> '') \
             ORDER BY r.run = $1 DESC LIMIT 2"
        );
        let rows = self.read(&sql, &[(&name, Type::TEXT)]).await?;
        let runs: Vec<RunRecord> = rows.iter().map(read_run).collect::<Result<_>>()?;
        let is_clear = runs.len() == 1 || runs.first().is_some_and(|r| r.start.id.0 == name);
        Ok(runs.into_iter().next().filter(|_| is_clear))
    }

    async fn steps(&self, run: &RunId) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT step FROM kiln.marks WHERE run = $1 ORDER BY step";
        let rows = self.read(sql, &[(&run.0, Type::TEXT)]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn dead_letters(
        &self,
        run: &RunId,
        step: &str,
        after: u64,
        most: usize,
    ) -> Result<Vec<DeadLetter>> {
        let sql = format!(
            "SELECT {} FROM kiln.dead_letters WHERE run = $1 AND step = $2 AND ordinal > $3 \
             ORDER BY ordinal LIMIT $4",
            dead_letters::COLUMNS
        );
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows = self
            .read(
                &sql,
                &[
                    (&run.0, Type::TEXT),
                    (&step, Type::TEXT),
                    (&after, Type::INT8),
                    (&limit(most), Type::INT8),
                ],
            )
            .await?;
        rows.iter().map(dead_letters::read).collect()
    }

    async fn redriven(&self, run: &RunId, step: &str) -> Result<Vec<Redriven>> {
        let sql = "SELECT ordinal, by_run FROM kiln.redriven WHERE run = $1 AND step = $2 \
                   ORDER BY ordinal";
        let rows = self.read(sql, &[(&run.0, Type::TEXT), (&step, Type::TEXT)]).await?;
        let redriven = |row: &Row| Redriven {
            ordinal: row.get::<_, i64>(0).unsigned_abs(),
            by: RunId(row.get(1)),
        };
        Ok(rows.iter().map(redriven).collect())
    }

    async fn dead_letter_count(&self, run: &RunId) -> Result<u64> {
        let sql = "SELECT count(*) FROM kiln.dead_letters WHERE run = $1";
        let rows = self.read(sql, &[(&run.0, Type::TEXT)]).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }

    async fn rules(&self, run: &RunId, step: &str) -> Result<Vec<RuleCount>> {
        let sql = "\
SELECT rule, sum(failed)::bigint, sum(warned)::bigint FROM kiln.rules
WHERE run = $1 AND step = $2 GROUP BY rule ORDER BY rule COLLATE \"C\"";
        let rows = self.read(sql, &[(&run.0, Type::TEXT), (&step, Type::TEXT)]).await?;
        let count = |row: &Row| RuleCount {
            rule: row.get(0),
            failed: row.get::<_, i64>(1).unsigned_abs(),
            warned: row.get::<_, i64>(2).unsigned_abs(),
        };
        Ok(rows.iter().map(count).collect())
    }
}

/// Makes the ledger, or what an older one lacks, on a connection without a transaction.
pub(super) async fn prepare_ledger(client: &Client) -> Result<()> {
    if version(client).await? == Some(VERSION) {
        return Ok(());
    }
    client.batch_execute(LEDGER_LOCK).await.map_err(|e| own_fault(&e))?;
    let made = async {
        // Somebody else may have made it while this one waited for the lock.
        if version(client).await? != Some(VERSION) {
            client.batch_execute(SCHEMA).await.map_err(|e| {
                own_fault(&e).at("kiln's ledger (schema kiln) is not there and can't be made")
            })?;
        }
        Ok(())
    };
    let made = made.await;
    let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = client.batch_execute(end).await.map_err(|e| own_fault(&e));
    made.and(ended)
}

/// The version of the ledger that is there, if one is.
async fn version(client: &Client) -> Result<Option<i32>> {
    let exists = "SELECT pg_catalog.to_regclass('kiln.meta') IS NOT NULL";
    let exists = client.query_typed(exists, &[]).await.map_err(|e| own_fault(&e))?;
    if !exists.first().is_some_and(|row| row.get(0)) {
        return Ok(None);
    }
    let sql = "SELECT max(version) FROM kiln.meta";
    let rows = client.query_typed(sql, &[]).await.map_err(|e| own_fault(&e))?;
    match rows.first().and_then(|row| row.get::<_, Option<i32>>(0)) {
        Some(version) if version > VERSION => Err(Fault::config(format!(
            "kiln's ledger is of version {version}; this kiln knows version {VERSION}"
        ))
        .with_hint("use the newer kiln that made it")),
        found => Ok(found),
    }
}

/// Whether the ledger can be written, or made.
pub(super) async fn check_ledger(client: &Client) -> Result<Check> {
    let what = "ledger (schema kiln)";
    let there = match version(client).await {
        Ok(Some(version)) if version < VERSION => {
            return Ok(Check::note(what, "is of an older kiln; the first run adds what it lacks"));
        }
        Ok(version) => version.is_some(),
        Err(fault) => return Ok(Check::fail(what, fault)),
    };
    let sql = if there {
        "SELECT bool_and(pg_catalog.has_table_privilege('kiln.' || t, p)) \
         FROM unnest(ARRAY['runs', 'marks', 'dead_letters', 'redriven', 'rules']) t, \
              unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) p"
    } else {
        "SELECT coalesce( \
             (SELECT pg_catalog.has_schema_privilege(oid, 'CREATE') \
              FROM pg_catalog.pg_namespace WHERE nspname = 'kiln'), \
             pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'))"
    };
    let rows = client.query_typed(sql, &[]).await.map_err(|e| fault(&e))?;
    if rows.first().is_some_and(|row| row.get(0)) {
        return Ok(match there {
            true => Check::pass(what),
            false => Check::note(what, "is made by the first run"),
        });
    }
    let (message, hint) = if there {
        (
            "no permission to write kiln's ledger",
            "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA kiln TO the user of the URL",
        )
    } else {
        (
            "kiln's ledger is not there, and no permission to make it",
            "GRANT CREATE ON DATABASE … TO the user of the URL",
        )
    };
    Ok(Check::fail(what, Fault::new(Kind::NotPermitted, message).with_hint(hint)))
}

fn read_run(row: &Row) -> Result<RunRecord> {
    let state: String = row.get(5);
    Ok(RunRecord {
        start: NewRun {
            id: RunId(row.get(0)),
            job: row.get(1),
            parameters: row.get(2),
            source: from_json(row.get(3))?,
            definition: from_json(row.get(4))?,
        },
        state: RunState::parse(&state)
            .ok_or_else(|| Fault::bug(format!("the ledger has an unknown state {state:?}")))?,
        epoch: row.get::<_, i64>(6).unsigned_abs(),
        owner: Owner {
            host: row.get(7),
            pid: u32::try_from(row.get::<_, i64>(8)).unwrap_or_default(),
            identity: row.get(9),
        },
        leased: row.get(10),
        started_at: row.get(11),
        claimed_at: row.get(12),
        ended_at: row.get(13),
        message: row.get(14),
        counts: read_counts(row, 15),
    })
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

fn as_epoch(epoch: u64) -> Result<i64> {
    i64::try_from(epoch).map_err(|_| Fault::bug(format!("the epoch {epoch} is too large")))
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

fn cannot_become(run: &RunId, now: &str, next: RunState) -> Fault {
    Fault::bug(format!("run {run} is {now} and can't become {}", next.as_str()))
}
