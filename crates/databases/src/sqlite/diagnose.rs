//! Trying the items of a refused unit one by one.

use kiln_core::{Fault, Kind, Rejection, Result, Rows, Unit};
use rusqlite::Connection;

use super::plan::Plans;
use super::session::{Session, at, begin};
use super::write::{Halfway, write};

/// Names every item that would be refused, by trying each by itself, in order,
/// in a transaction that is rolled back. `None` where no item is refused by
/// itself: then it is COMMIT that refuses, and only trying parts tells.
pub(super) fn diagnose(
    session: &mut Session,
    plans: &Plans,
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
    plans: &Plans,
    unit: &Unit,
    ordinal: u64,
    next: &mut [usize],
) -> Result<(), Fault> {
    let own = |(rows, next): (&Rows, &mut usize)| {
        let from = *next + rows.ordinals[*next..].partition_point(|o| *o < ordinal);
        let to = from + rows.ordinals[from..].partition_point(|o| *o == ordinal);
        *next = to;
        Rows {
            batch: rows.batch.slice(from, to - from),
            ordinals: rows.ordinals[from..to].to_vec(),
        }
    };
    let own: Vec<Rows> = unit.writes.iter().zip(next).map(own).collect();
    let written = write(connection, plans, &own, &[ordinal], &mut Halfway::never());
    written.map(drop).map_err(|refusal| refusal.fault)
}
