//! The tables of the ledger.

use kiln_core::{Fault, Result};
use rusqlite::{Connection, OptionalExtension as _};

use super::session::{Session, at};

/// The layout below. The first had no `kiln_rules`, the second no `kiln_redriven`.
const VERSION: i64 = 3;

/// Time is the database's own, in UTC; a run's lease ends at a number of
/// seconds since 1970.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS kiln_meta (version INTEGER NOT NULL);
INSERT INTO kiln_meta (version) SELECT 3 WHERE NOT EXISTS (SELECT 1 FROM kiln_meta);
UPDATE kiln_meta SET version = 3 WHERE version < 3;

CREATE TABLE IF NOT EXISTS kiln_runs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    job TEXT NOT NULL,
    parameters TEXT NOT NULL,
    source TEXT NOT NULL,
    definition TEXT NOT NULL,
    state TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    identity TEXT NOT NULL,
    lease_until REAL NOT NULL,
    started_at TEXT NOT NULL,
    claimed_at TEXT NOT NULL,
    ended_at TEXT,
    message TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS kiln_runs_open ON kiln_runs (job, parameters)
    WHERE state IN ('running', 'stopped', 'failed');

CREATE TABLE IF NOT EXISTS kiln_marks (
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    lane INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    place_ordinal INTEGER NOT NULL DEFAULT 0,
    place TEXT NOT NULL DEFAULT '',
    state BLOB,
    read INTEGER NOT NULL DEFAULT 0,
    processed INTEGER NOT NULL DEFAULT 0,
    filtered INTEGER NOT NULL DEFAULT 0,
    duplicate INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, step, lane)
);

CREATE TABLE IF NOT EXISTS kiln_dead_letters (
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    source TEXT NOT NULL,
    line INTEGER,
    key TEXT,
    byte_offset INTEGER,
    raw TEXT NOT NULL,
    stage TEXT NOT NULL,
    code TEXT,
    constraint_name TEXT,
    column_name TEXT,
    message TEXT NOT NULL,
    tries INTEGER NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (run, step, ordinal)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS kiln_redriven (
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    by_run TEXT NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (run, step, ordinal)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS kiln_rules (
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    lane INTEGER NOT NULL,
    rule TEXT NOT NULL,
    failed INTEGER NOT NULL,
    warned INTEGER NOT NULL,
    PRIMARY KEY (run, step, lane, rule)
) WITHOUT ROWID;
";

/// Makes sure that the ledger's tables are there; where they are, nothing is
/// written.
pub(super) fn prepare(session: &mut Session) -> Result<()> {
    if version(session.connection()?)? == Some(VERSION) {
        return Ok(());
    }
    session.transact(|transaction| create(transaction))
}

/// Makes the tables that are missing.
pub(super) fn create(connection: &Connection) -> Result<()> {
    connection.execute_batch(TABLES).map_err(at("the ledger's tables"))
}

/// Whether the tables are all there.
///
/// # Errors
/// As [`version`].
pub(super) fn is_complete(connection: &Connection) -> Result<bool> {
    Ok(version(connection)? == Some(VERSION))
}

/// The layout of the ledger that is there, if one is.
///
/// # Errors
/// [`Kind::Config`](kiln_core::Kind::Config) if it is of a newer kiln.
pub(super) fn version(connection: &Connection) -> Result<Option<i64>> {
    let count = "SELECT count(*) FROM main.sqlite_schema WHERE name IN
        ('kiln_meta', 'kiln_runs', 'kiln_runs_open', 'kiln_marks', 'kiln_dead_letters')";
    let count: i64 = connection.query_row(count, [], |row| row.get(0)).map_err(at("the ledger"))?;
    if count < 5 {
        return Ok(None);
    }
    let version: Option<i64> = connection
        .query_row("SELECT max(version) FROM kiln_meta", [], |row| row.get(0))
        .optional()
        .map_err(at("the ledger's table kiln_meta"))?
        .flatten();
    match version {
        Some(version) if version > VERSION => Err(Fault::config(format!(
            "the ledger is of a newer kiln: its layout is {version}, this kiln knows {VERSION}"
        ))
        .with_hint("use the newer kiln")),
        version => Ok(version),
    }
}
