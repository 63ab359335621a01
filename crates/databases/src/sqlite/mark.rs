//! How far a lane has come: taken over, read, and moved with each unit.

use std::sync::Arc;

use kiln_core::{Checkpoint, Claim, Counts, Fault, LaneKey, Mark, Position, Refusal, Result, Unit};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::session::at;

/// The columns of a mark, in the order that [`read`] takes them.
pub(super) const COLUMNS: &str = "done, place_ordinal, place, state, \
     read, processed, filtered, duplicate, failed";

const PLACE: &str = "the ledger's table kiln_marks";

/// Reads the [`COLUMNS`] from the first one on.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Mark> {
    Ok(Mark {
        done: row.get("done")?,
        checkpoint: Checkpoint {
            position: Position { ordinal: row.get("place_ordinal")?, place: row.get("place")? },
            state: row.get::<_, Option<Vec<u8>>>("state")?.map(Arc::from),
        },
        counts: counts(row)?,
    })
}

/// Reads the columns that count.
pub(super) fn counts(row: &Row<'_>) -> rusqlite::Result<Counts> {
    Ok(Counts {
        read: row.get("read")?,
        processed: row.get("processed")?,
        filtered: row.get("filtered")?,
        duplicate: row.get("duplicate")?,
        failed: row.get("failed")?,
    })
}

/// Takes a lane over at its key's epoch; from then on a lower one moves nothing.
/// A run that the ledger gave to somebody else, or gave up, is not opened again.
pub(super) fn take_over(connection: &Connection, lane: &LaneKey) -> Result<Mark> {
    let LaneKey { run, step, lane: number, epoch } = lane;
    let changed = connection
        .prepare_cached(
            "INSERT INTO kiln_marks (run, step, lane, epoch) SELECT ?1, ?2, ?3, ?4
             WHERE NOT EXISTS (SELECT 1 FROM kiln_runs
                               WHERE id = ?1 AND (epoch > ?4 OR state = 'abandoned'))
             ON CONFLICT (run, step, lane) DO UPDATE SET epoch = excluded.epoch
             WHERE epoch <= excluded.epoch",
        )
        .and_then(|mut s| s.execute(params![run.0, step, number, epoch]))
        .map_err(at(PLACE))?;
    if changed == 0 {
        return Err(fenced(lane));
    }
    let sql =
        format!("SELECT {COLUMNS} FROM kiln_marks WHERE run = ?1 AND step = ?2 AND lane = ?3");
    connection.query_row(&sql, params![run.0, step, number], read).map_err(at(PLACE))
}

/// Moves the mark to the end of a unit and adds what it counted: only if the
/// lane's epoch holds and the mark is where the unit begins.
pub(super) fn advance(
    connection: &Connection,
    lane: &LaneKey,
    unit: &Unit,
    counts: &Counts,
) -> Result<(), Refusal> {
    let end = &unit.end;
    let changed = connection
        .prepare_cached(
            "UPDATE kiln_marks SET done = ?6, place_ordinal = ?7, place = ?8, state = ?9,
                 read = read + ?10, processed = processed + ?11, filtered = filtered + ?12,
                 duplicate = duplicate + ?13, failed = failed + ?14
             WHERE run = ?1 AND step = ?2 AND lane = ?3 AND epoch = ?4 AND done = ?5",
        )
        .and_then(|mut s| {
            s.execute(params![
                lane.run.0,
                lane.step,
                lane.lane,
                lane.epoch,
                unit.span.from,
                unit.span.to,
                end.position.ordinal,
                end.position.place,
                end.state.as_deref(),
                counts.read,
                counts.processed,
                counts.filtered,
                counts.duplicate,
                counts.failed,
            ])
        })
        .map_err(at(PLACE))?;
    if changed == 1 { Ok(()) } else { Err(why_not(connection, lane, unit)?.into()) }
}

/// The epoch of the mark, and how far it is.
fn look(connection: &Connection, lane: &LaneKey) -> Result<Option<(u64, u64)>> {
    connection
        .query_row(
            "SELECT epoch, done FROM kiln_marks WHERE run = ?1 AND step = ?2 AND lane = ?3",
            params![lane.run.0, lane.step, lane.lane],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(at(PLACE))
}

/// The fault of a lane that was taken over, if it was.
pub(super) fn fenced_off(connection: &Connection, lane: &LaneKey) -> Option<Fault> {
    let (epoch, _) = look(connection, lane).ok()??;
    (epoch > lane.epoch).then(|| fenced(lane))
}

/// Why the mark did not move.
fn why_not(connection: &Connection, lane: &LaneKey, unit: &Unit) -> Result<Fault> {
    let LaneKey { run, step, lane: number, .. } = lane;
    Ok(match look(connection, lane)? {
        Some((epoch, _)) if epoch > lane.epoch => fenced(lane),
        Some((_, done)) => Fault::bug(format!(
            "run {run}, step {step}, lane {number}: a unit begins at {}, but the mark is at {done}: \
             it is behind a refused unit",
            unit.span.from
        )),
        None => Fault::bug(format!("run {run}, step {step}, lane {number} has no mark")),
    })
}

fn fenced(lane: &LaneKey) -> Fault {
    Claim { run: lane.run.clone(), epoch: lane.epoch }.fenced()
}
