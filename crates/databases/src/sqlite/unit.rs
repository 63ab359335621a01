//! Committing a unit of work: rows, sums, dead letters and mark, or nothing.

use kiln_core::{
    DeadLetter, Fault, Kind, Landed, LaneKey, Refusal, Result, RuleCount, Settled, Unit,
    crash_point,
};
use rusqlite::{Connection, params};

use super::place::Place;
use super::plan::Work;
use super::session::{Session, at, begin};
use super::write::{Halfway, write};
use super::{fault, mark, run};

/// Commits a unit whole, or says why not.
pub(super) fn commit(session: &mut Session, lane: &LaneKey, work: &Work, unit: &Unit) -> Settled {
    crash_point("begin");
    let place = session.place().clone();
    let connection = match session.connection() {
        Ok(connection) => connection,
        Err(fault) => return Settled::Refused(fault.into()),
    };
    let settled = try_commit(connection, &place, lane, work, unit).unwrap_or_else(|refusal| {
        // Rows that another runner has written already are no item's fault.
        let fenced = mark::fenced_off(connection, lane).map(Refusal::from);
        Settled::Refused(fenced.unwrap_or_else(|| at_place(refusal, &place)))
    });
    // A connection that could not even roll back is of no more use, nor is one
    // that could not tell how a COMMIT ended.
    if !connection.is_autocommit() || matches!(settled, Settled::Unknown(_)) {
        session.close();
    }
    settled
}

fn try_commit(
    connection: &mut Connection,
    place: &Place,
    lane: &LaneKey,
    work: &Work,
    unit: &Unit,
) -> Result<Settled, Refusal> {
    let transaction = begin(connection).map_err(fault::classify)?;
    let mut halfway = Halfway::of(&unit.writes);
    let duplicates = match work {
        Work::Write(plans) => write(&transaction, plans, &unit.writes, &unit.items, &mut halfway)?,
        Work::Run => run::all(&transaction, &unit.writes).map(|()| 0)?,
    };
    halfway.end();
    dead_letters(&transaction, lane, &unit.dead_letters)?;
    redriven(&transaction, lane, unit)?;
    rules(&transaction, lane, &unit.rules()).map_err(at("the ledger's table kiln_rules"))?;
    let counts = unit.counts().with_duplicates(duplicates);
    mark::advance(&transaction, lane, unit, &counts)?;
    crash_point("mark");
    crash_point("commit");
    if let Err(error) = transaction.execute_batch("COMMIT") {
        let fault = fault::classify(error);
        // Still inside the transaction: SQLite refused, and it is rolled back
        // here. Outside of it nobody knows what became of it.
        return if transaction.is_autocommit() {
            Ok(Settled::Unknown(fault.with_landed(Landed::Unknown).at(place)))
        } else {
            Err(fault.into())
        };
    }
    crash_point("committed");
    Ok(Settled::Committed(counts))
}

fn at_place(refusal: Refusal, place: &Place) -> Refusal {
    match refusal.fault.kind() {
        Kind::Item | Kind::Fenced | Kind::Bug => refusal,
        _ => Refusal { fault: refusal.fault.at(place), ..refusal },
    }
}

fn dead_letters(connection: &Connection, lane: &LaneKey, letters: &[DeadLetter]) -> Result<()> {
    if letters.is_empty() {
        return Ok(());
    }
    insert_dead_letters(connection, lane, letters).map_err(|error| {
        let fault = fault::classify(error).at("the ledger's table kiln_dead_letters");
        // A letter that can't be kept is no item's fault.
        match fault.kind() {
            Kind::Item => Fault::bug(fault.message()),
            _ => fault,
        }
    })
}

fn insert_dead_letters(
    connection: &Connection,
    lane: &LaneKey,
    letters: &[DeadLetter],
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO kiln_dead_letters (run, step, ordinal, source, line, key, byte_offset, raw,
             stage, code, constraint_name, column_name, message, tries)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for letter in letters {
        statement.execute(params![
            lane.run.0,
            lane.step,
            letter.ordinal,
            letter.origin.source,
            letter.origin.line,
            letter.origin.key,
            letter.origin.offset,
            letter.origin.raw,
            letter.stage.as_str(),
            letter.code,
            letter.constraint,
            letter.column,
            letter.message,
            letter.tries,
        ])?;
    }
    Ok(())
}

/// Keeps that this run has settled dead letters of another.
fn redriven(connection: &Connection, lane: &LaneKey, unit: &Unit) -> Result<()> {
    let Some((letters, ordinals)) = unit.redriven() else { return Ok(()) };
    let insert = |ordinal: &u64| {
        let mut statement = connection.prepare_cached(
            "INSERT INTO kiln_redriven (run, step, ordinal, by_run) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO NOTHING",
        )?;
        statement.execute(params![letters.run.0, letters.step, ordinal, lane.run.0])
    };
    for ordinal in &ordinals {
        if insert(ordinal).map_err(at("the ledger's table kiln_redriven"))? == 0 {
            return Err(letters.taken());
        }
    }
    Ok(())
}

/// Adds up how many items broke each rule; each lane for itself, so that none
/// waits for another.
fn rules(connection: &Connection, lane: &LaneKey, rules: &[RuleCount]) -> rusqlite::Result<()> {
    for RuleCount { rule, failed, warned } in rules {
        let mut statement = connection.prepare_cached(
            "INSERT INTO kiln_rules (run, step, lane, rule, failed, warned)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (run, step, lane, rule)
             DO UPDATE SET failed = failed + excluded.failed, warned = warned + excluded.warned",
        )?;
        statement.execute(params![lane.run.0, lane.step, lane.lane, rule, failed, warned])?;
    }
    Ok(())
}
