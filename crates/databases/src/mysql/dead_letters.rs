//! Dead letters on their way into the ledger and out of it.

use kiln_core::{Cell, DeadLetter, Fault, LaneKey, Letters, Origin, Result, Stage};
use mysql_async::Row;

use super::encode::push_literal;
use super::fault::{DUPLICATE, DbError, own_fault};
use super::session::{Session, value};
use super::types::Family;

const INSERT: &str = "\
INSERT INTO kiln_dead_letters (run, step, ordinal, source, line, `key`, byte_offset, raw,
     stage, code, constraint_name, column_name, message, tries, at) VALUES ";

/// The columns that [`read`] expects.
pub(super) const COLUMNS: &str = "ordinal, source, line, `key`, byte_offset, raw, stage, \
     code, constraint_name, column_name, message, tries, \
     DATE_FORMAT(at, '%Y-%m-%dT%H:%i:%s.%fZ')";

/// Statements grow no longer, unless one letter is.
const LONGEST: usize = 1 << 20;

/// Writes dead letters in the transaction at hand.
pub(super) async fn write(
    session: &mut Session,
    key: &LaneKey,
    dead_letters: &[DeadLetter],
) -> Result<()> {
    let mut sql = String::new();
    for dead_letter in dead_letters {
        sql.push_str(if sql.is_empty() { INSERT } else { ",\n" });
        push(&mut sql, key, dead_letter);
        if sql.len() > LONGEST {
            session.run(&sql).await.map_err(|e| own_fault(&e))?;
            sql.clear();
        }
    }
    if !sql.is_empty() {
        session.run(&sql).await.map_err(|e| own_fault(&e))?;
    }
    Ok(())
}

const REDRIVEN: &str = "INSERT INTO kiln_redriven (run, step, ordinal, by_run, at) VALUES ";

/// Keeps, in the transaction at hand, that this run has settled dead letters of
/// another.
pub(super) async fn write_redriven(
    session: &mut Session,
    key: &LaneKey,
    letters: &Letters,
    ordinals: &[u64],
) -> Result<()> {
    for some in ordinals.chunks(1_000) {
        let mut sql = String::new();
        for ordinal in some {
            sql.push_str(if sql.is_empty() { REDRIVEN } else { ",\n" });
            let (run, step) = (Cell::Text(&letters.run.0), Cell::Text(&letters.step));
            for (i, cell) in
                [run, step, Cell::UInt(*ordinal), Cell::Text(&key.run.0)].into_iter().enumerate()
            {
                sql.push_str(if i == 0 { "(" } else { "," });
                push_literal(&mut sql, cell, Family::Text);
            }
            sql.push_str(",UTC_TIMESTAMP(6))");
        }
        session.run(&sql).await.map_err(|e| match e.code() {
            Some(DUPLICATE) => letters.taken(),
            _ => own_fault(&e),
        })?;
    }
    Ok(())
}

fn push(sql: &mut String, key: &LaneKey, dead_letter: &DeadLetter) {
    let DeadLetter { ordinal, origin, stage, code, constraint, column, message, tries, at: _ } =
        dead_letter;
    let cells = [
        Cell::Text(&key.run.0),
        Cell::Text(&key.step),
        Cell::UInt(*ordinal),
        Cell::Text(&origin.source),
        number(origin.line),
        text(&origin.key),
        number(origin.offset),
        Cell::Text(&origin.raw),
        Cell::Text(stage.as_str()),
        text(code),
        text(constraint),
        text(column),
        Cell::Text(message),
        Cell::UInt(u64::from(*tries)),
    ];
    for (i, cell) in cells.into_iter().enumerate() {
        sql.push_str(if i == 0 { "(" } else { "," });
        push_literal(sql, cell, Family::Text);
    }
    sql.push_str(",UTC_TIMESTAMP(6))");
}

fn number(value: Option<u64>) -> Cell<'static> {
    value.map_or(Cell::Null, Cell::UInt)
}

fn text(value: &Option<String>) -> Cell<'_> {
    value.as_deref().map_or(Cell::Null, Cell::Text)
}

/// A row of [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<DeadLetter> {
    let stage: String = value(row, 6).map_err(|e| own_fault(&e))?;
    let stage = Stage::parse(&stage)
        .ok_or_else(|| Fault::bug(format!("the ledger has an unknown stage {stage:?}")))?;
    read_as(row, stage).map_err(|e| own_fault(&e))
}

fn read_as(row: &Row, stage: Stage) -> Result<DeadLetter, DbError> {
    Ok(DeadLetter {
        ordinal: value(row, 0)?,
        origin: Origin {
            source: value(row, 1)?,
            line: value(row, 2)?,
            key: value(row, 3)?,
            offset: value(row, 4)?,
            raw: value(row, 5)?,
        },
        stage,
        code: value(row, 7)?,
        constraint: value(row, 8)?,
        column: value(row, 9)?,
        message: value(row, 10)?,
        tries: value(row, 11)?,
        at: value(row, 12)?,
    })
}
