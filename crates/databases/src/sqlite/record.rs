//! Rows of the ledger as values.

use std::collections::BTreeMap;

use kiln_core::{
    DeadLetter, Fault, Fingerprint, NewRun, Origin, Owner, Redriven, Result, RuleCount, RunId,
    RunRecord, RunState, Stage,
};
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Error, Row};

use super::mark;

/// A fingerprint as JSON text.
pub(super) fn json(fingerprint: &Fingerprint) -> Result<String> {
    serde_json::to_string(&fingerprint.0)
        .map_err(|e| Fault::bug(format!("a fingerprint makes no JSON: {e}")))
}

pub(super) fn run_record(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    Ok(RunRecord {
        start: NewRun {
            id: RunId(row.get("id")?),
            job: row.get("job")?,
            parameters: row.get("parameters")?,
            source: fingerprint(row, "source")?,
            definition: fingerprint(row, "definition")?,
        },
        state: word(row, "state", RunState::parse)?,
        epoch: row.get("epoch")?,
        owner: Owner {
            host: row.get("host")?,
            pid: row.get("pid")?,
            identity: row.get("identity")?,
        },
        leased: row.get("leased")?,
        started_at: row.get("started_at")?,
        claimed_at: row.get("claimed_at")?,
        ended_at: row.get("ended_at")?,
        message: row.get("message")?,
        counts: mark::counts(row)?,
    })
}

pub(super) fn dead_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        ordinal: row.get("ordinal")?,
        origin: Origin {
            source: row.get("source")?,
            line: row.get("line")?,
            offset: row.get("byte_offset")?,
            key: row.get("key")?,
            raw: row.get("raw")?,
        },
        stage: word(row, "stage", Stage::parse)?,
        code: row.get("code")?,
        constraint: row.get("constraint_name")?,
        column: row.get("column_name")?,
        message: row.get("message")?,
        tries: row.get("tries")?,
        at: row.get("at")?,
    })
}

pub(super) fn redriven(row: &Row<'_>) -> rusqlite::Result<Redriven> {
    Ok(Redriven { ordinal: row.get("ordinal")?, by: RunId(row.get("by_run")?) })
}

pub(super) fn rule_count(row: &Row<'_>) -> rusqlite::Result<RuleCount> {
    Ok(RuleCount { rule: row.get("rule")?, failed: row.get("failed")?, warned: row.get("warned")? })
}

fn fingerprint(row: &Row<'_>, column: &str) -> rusqlite::Result<Fingerprint> {
    let text: String = row.get(column)?;
    let parts: BTreeMap<String, String> = serde_json::from_str(&text).map_err(|e| {
        Error::FromSqlConversionFailure(
            row.as_ref().column_index(column).unwrap_or(0),
            Type::Text,
            Box::new(e),
        )
    })?;
    Ok(Fingerprint(parts))
}

fn word<T>(row: &Row<'_>, column: &str, parse: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| {
        let unknown = FromSqlError::Other(format!("{column} {text:?} is not known").into());
        Error::FromSqlConversionFailure(0, Type::Text, Box::new(unknown))
    })
}
