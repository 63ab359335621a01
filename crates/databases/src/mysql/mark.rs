//! How far a lane has come: taken over, read, and moved with each unit.

use std::sync::Arc;

use kiln_core::{
    Checkpoint, Claim, Counts, Fault, Kind, LaneKey, Mark, Position, Result, RunState, Unit,
};
use mysql_async::{Row, params};

use super::fault::{DbError, own_fault};
use super::session::{Session, value};

/// The columns of a mark, in the order that [`read`] takes them.
pub(super) const COLUMNS: &str = "done, place_ordinal, place, state, \
     `read`, processed, filtered, duplicate, failed";

/// The mark moves only from where the unit begins, and only at the lane's own
/// epoch: fence, order and lock in one.
const MOVE: &str = "\
UPDATE kiln_marks
SET done = :done, place_ordinal = :ordinal, place = :place, state = :state,
    `read` = `read` + :read, processed = processed + :processed, filtered = filtered + :filtered,
    duplicate = duplicate + :duplicate, failed = failed + :failed, at = UTC_TIMESTAMP(6)
WHERE run = :run AND step = :step AND lane = :lane AND epoch = :epoch AND done = :from";

/// The mark in the columns from `first`.
pub(super) fn read(row: &Row, first: usize) -> Result<Mark, DbError> {
    let state: Option<Vec<u8>> = value(row, first + 3)?;
    let position = Position { ordinal: value(row, first + 1)?, place: value(row, first + 2)? };
    Ok(Mark {
        done: value(row, first)?,
        checkpoint: Checkpoint { position, state: state.map(Arc::from) },
        counts: counts(row, first + 4)?,
    })
}

/// The counts in the five columns from `first`.
pub(super) fn counts(row: &Row, first: usize) -> Result<Counts, DbError> {
    Ok(Counts {
        read: value(row, first)?,
        processed: value(row, first + 1)?,
        filtered: value(row, first + 2)?,
        duplicate: value(row, first + 3)?,
        failed: value(row, first + 4)?,
    })
}

/// Takes the mark's row over at its key's epoch, waiting for a commit in flight:
/// whoever holds the row is at the end of its transaction. A run that the ledger
/// gave to somebody else, or gave up, is not opened again.
pub(super) async fn take_over(session: &mut Session, key: &LaneKey) -> Result<Mark> {
    session.run("START TRANSACTION").await.map_err(|e| own_fault(&e))?;
    let taken = try_take_over(session, key).await;
    let end = if matches!(taken, Ok(Some(_))) { "COMMIT" } else { "ROLLBACK" };
    let ended = session.run(end).await;
    let taken = taken.map_err(|e| own_fault(&e))?;
    ended.map_err(|e| own_fault(&e))?;
    taken.ok_or_else(|| fenced(key))
}

async fn try_take_over(session: &mut Session, key: &LaneKey) -> Result<Option<Mark>, DbError> {
    let LaneKey { run, step, lane, epoch } = key;
    let sql = "SELECT epoch, state FROM kiln_runs WHERE run = ? LOCK IN SHARE MODE";
    if let Some(row) = session.read(sql, (&run.0,)).await?.first() {
        let (theirs, state): (u64, String) = (value(row, 0)?, value(row, 1)?);
        if theirs > *epoch || state == RunState::Abandoned.as_str() {
            return Ok(None);
        }
    }
    let place = params! { "run" => &run.0, "step" => step, "lane" => lane, "epoch" => epoch };
    let sql = "\
INSERT INTO kiln_marks (run, step, lane, epoch, place, at)
VALUES (:run, :step, :lane, :epoch, '', UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE epoch = GREATEST(epoch, :epoch)";
    session.change(sql, place.clone()).await?;
    let sql = format!(
        "SELECT {COLUMNS} FROM kiln_marks \
         WHERE run = :run AND step = :step AND lane = :lane AND epoch = :epoch FOR UPDATE"
    );
    let rows = session.read(&sql, place).await?;
    rows.first().map(|row| read(row, 0)).transpose()
}

/// Moves the mark to the end of a unit and adds what it counted: only if the
/// lane's epoch holds and the mark is where the unit begins.
pub(super) async fn advance(
    session: &mut Session,
    key: &LaneKey,
    unit: &Unit,
    counts: &Counts,
) -> Result<()> {
    let end = &unit.end;
    let moved = session
        .change(
            MOVE,
            params! {
                "run" => &key.run.0,
                "step" => &key.step,
                "lane" => key.lane,
                "epoch" => key.epoch,
                "from" => unit.span.from,
                "done" => unit.span.to,
                "ordinal" => end.position.ordinal,
                "place" => &end.position.place,
                "state" => end.state.as_deref(),
                "read" => counts.read,
                "processed" => counts.processed,
                "filtered" => counts.filtered,
                "duplicate" => counts.duplicate,
                "failed" => counts.failed,
            },
        )
        .await
        .map_err(|e| own_fault(&e))?;
    if moved == 1 { Ok(()) } else { Err(why_not(session, key, unit).await) }
}

async fn why_not(session: &mut Session, key: &LaneKey, unit: &Unit) -> Fault {
    match look(session, key).await {
        Err(fault) => fault,
        Ok(done) => {
            let (from, to) = (unit.span.from, unit.span.to);
            Fault::bug(format!("the unit ({from}, {to}] does not follow the mark at {done}"))
        }
    }
}

/// The fault of a lane that was taken over, if it was.
pub(super) async fn fenced_off(session: &mut Session, key: &LaneKey) -> Option<Fault> {
    look(session, key).await.err().filter(|fault| fault.kind() == Kind::Fenced)
}

/// How far the mark is; an error if it is another lane's.
async fn look(session: &mut Session, key: &LaneKey) -> Result<u64> {
    let LaneKey { run, step, lane, epoch } = key;
    let sql = "SELECT epoch, done FROM kiln_marks WHERE run = ? AND step = ? AND lane = ?";
    let rows = session.read(sql, (&run.0, step, lane)).await.map_err(|e| own_fault(&e))?;
    let Some(row) = rows.first() else {
        return Err(Fault::bug(format!("the mark of run {run}, step {step} is gone")));
    };
    let theirs: u64 = value(row, 0).map_err(|e| own_fault(&e))?;
    let done = value(row, 1).map_err(|e| own_fault(&e))?;
    if theirs == *epoch { Ok(done) } else { Err(fenced(key)) }
}

fn fenced(key: &LaneKey) -> Fault {
    Claim { run: key.run.clone(), epoch: key.epoch }.fenced()
}
