//! Committing a unit of work: rows, sums, dead letters and mark, or nothing.

use arrow_array::RecordBatch;
use kiln_core::{
    CellColumn, DeadLetter, Fault, Kind, Landed, LaneKey, Refusal, Rejection, Result, Rows,
    Settled, Unit, crash_point,
};
use rusqlite::{CachedStatement, Connection, params};

use super::place::Place;
use super::plan::{Plan, Target};
use super::session::{Session, at, begin};
use super::{fault, mark, types};
use crate::sums::sum_by_key;

/// Commits a unit whole, or says why not.
pub(super) fn commit(
    session: &mut Session,
    lane: &LaneKey,
    plans: &[Plan],
    unit: &Unit,
) -> Settled {
    crash_point("begin");
    let place = session.place().clone();
    let connection = match session.connection() {
        Ok(connection) => connection,
        Err(fault) => return Settled::Refused(fault.into()),
    };
    let settled = try_commit(connection, &place, lane, plans, unit).unwrap_or_else(|refusal| {
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
    plans: &[Plan],
    unit: &Unit,
) -> Result<Settled, Refusal> {
    let transaction = begin(connection).map_err(fault::classify)?;
    write(&transaction, plans, unit)?;
    dead_letters(&transaction, lane, &unit.dead_letters)?;
    mark::advance(&transaction, lane, unit)?;
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
    Ok(Settled::Committed(unit.counts()))
}

fn at_place(refusal: Refusal, place: &Place) -> Refusal {
    match refusal.fault.kind() {
        Kind::Item | Kind::Fenced | Kind::Bug => refusal,
        _ => Refusal { fault: refusal.fault.at(place), ..refusal },
    }
}

fn write(connection: &Connection, plans: &[Plan], unit: &Unit) -> Result<(), Refusal> {
    if plans.len() != unit.writes.len() {
        let (planned, given) = (plans.len(), unit.writes.len());
        return Err(Fault::bug(format!("{planned} writes, but a unit with {given}")).into());
    }
    let pairs = plans.iter().zip(&unit.writes);
    let ready: Vec<Ready<'_>> =
        pairs.map(|(plan, rows)| Ready::new(plan, rows)).collect::<Result<_, _>>()?;
    let total: usize = ready.iter().map(|ready| ready.batch.num_rows()).sum();
    let mut halfway = Halfway { left: total / 2 };
    ready.iter().try_for_each(|ready| ready.write(connection, &mut halfway))?;
    if total < 2 {
        crash_point("write");
    }
    Ok(())
}

/// Crashes, where a test wants it, when half of a unit's rows are written.
struct Halfway {
    left: usize,
}

impl Halfway {
    fn step(&mut self) {
        if self.left == 1 {
            crash_point("write");
        }
        self.left = self.left.saturating_sub(1);
    }
}

/// The rows of one write as they go into the table: summed, where they are
/// added.
struct Ready<'a> {
    plan: &'a Plan,
    batch: RecordBatch,
    /// The item of each row; `None` for sums, behind which there may be several.
    ordinals: Option<&'a [u64]>,
}

impl<'a> Ready<'a> {
    fn new(plan: &'a Plan, rows: &'a Rows) -> Result<Self, Refusal> {
        Ok(match plan.sum_by {
            Some(keys) => Self { plan, batch: sum_by_key(rows, keys)?, ordinals: None },
            None => Self { plan, batch: rows.batch.clone(), ordinals: Some(&rows.ordinals) },
        })
    }

    fn write(&self, connection: &Connection, halfway: &mut Halfway) -> Result<(), Refusal> {
        if self.batch.num_rows() == 0 {
            return Ok(());
        }
        let table = format_args!("table {}", self.plan.table);
        let mut statement = connection.prepare_cached(&self.plan.sql).map_err(at(table))?;
        let columns = CellColumn::of(&self.batch)?;
        let mut text = String::new();
        for row in 0..self.batch.num_rows() {
            write_row(&mut statement, self.plan, &columns, row, &mut text).map_err(|fault| {
                Refusal { fault, ordinal: self.ordinals.and_then(|o| o.get(row).copied()) }
            })?;
            halfway.step();
        }
        Ok(())
    }
}

fn write_row(
    statement: &mut CachedStatement<'_>,
    plan: &Plan,
    columns: &[CellColumn<'_>],
    row: usize,
    text: &mut String,
) -> Result<()> {
    bind_row(statement, &plan.table, &plan.columns, columns, row, text)?;
    match statement.raw_execute() {
        Ok(0) => {
            Err(Fault::item(format!("{}: a trigger of the table dropped the row", plan.table))
                .with_code("dropped"))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(fault::classify(error).at(format_args!("table {}", plan.table))),
    }
}

/// Binds the values of a row to the statement's parameters, in order; `text` is
/// room for values that are written as text.
pub(super) fn bind_row(
    statement: &mut CachedStatement<'_>,
    table: &str,
    targets: &[Target],
    columns: &[CellColumn<'_>],
    row: usize,
    text: &mut String,
) -> Result<()> {
    for (index, (column, target)) in columns.iter().zip(targets).enumerate() {
        text.clear();
        let value = types::value(column.cell(row), target.takes, text).map_err(|why| {
            Fault::item(format!("{table}.{} {why}", target.name))
                .with_code("does_not_fit")
                .with_column(&target.name)
        })?;
        statement
            .raw_bind_parameter(index + 1, value)
            .map_err(at(format_args!("{table}.{}", target.name)))?;
    }
    Ok(())
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

/// Names every item that would be refused, by trying each by itself, in order,
/// in a transaction that is rolled back. `None` where no item is refused by
/// itself: then it is COMMIT that refuses, and only trying parts tells.
pub(super) fn diagnose(
    session: &mut Session,
    plans: &[Plan],
    unit: &Unit,
) -> Result<Option<Vec<Rejection>>> {
    let place = session.place().clone();
    let transaction = begin(session.connection()?).map_err(at(&place))?;
    let run =
        |sql| transaction.prepare_cached(sql).and_then(|mut s| s.execute([])).map_err(at(&place));
    let mut rejections = Vec::new();
    let mut next = vec![0; unit.writes.len()];
    for &ordinal in &unit.items {
        run("SAVEPOINT kiln_item")?;
        match write_item(&transaction, plans, unit, ordinal, &mut next) {
            Ok(()) => {}
            // A trigger ended the transaction: here is no trying one by one.
            Err(_) if transaction.is_autocommit() => return Ok(None),
            Err(fault) if fault.kind() == Kind::Item => {
                run("ROLLBACK TO kiln_item")?;
                rejections.push(Rejection { ordinal, fault });
            }
            Err(fault) => return Err(fault.at(&place)),
        }
        run("RELEASE kiln_item")?;
    }
    Ok((!rejections.is_empty()).then_some(rejections))
}

/// Writes the rows of one item, those of every write from `next` on.
fn write_item(
    connection: &Connection,
    plans: &[Plan],
    unit: &Unit,
    ordinal: u64,
    next: &mut [usize],
) -> Result<()> {
    let mut result = Ok(());
    for ((plan, rows), next) in plans.iter().zip(&unit.writes).zip(next) {
        let from = *next + rows.ordinals[*next..].partition_point(|o| *o < ordinal);
        let to = from + rows.ordinals[from..].partition_point(|o| *o == ordinal);
        *next = to;
        let ordinals = rows.ordinals[from..to].to_vec();
        let own = Rows { batch: rows.batch.slice(from, to - from), ordinals };
        if result.is_ok() {
            let mut quietly = Halfway { left: 0 };
            result = Ready::new(plan, &own)
                .and_then(|ready| ready.write(connection, &mut quietly))
                .map_err(|refusal| refusal.fault);
        }
    }
    result
}
