//! Naming the bad items of a refused unit.
//!
//! The unit is written in a transaction that is rolled back, a few items at a
//! time, each few behind a savepoint. A few that are refused are cut at the item
//! that the server names, or in half; good ones stay, so that a later item meets
//! them. How many are taken at a time follows how they fare.

use kiln_core::{Kind, Rejection, Result, Rows, Unit};

use super::fault::own_fault;
use super::insert::Halfway;
use super::lane::Writes;
use super::session::Session;

/// Items taken at a time, at first and at most.
const FIRST: usize = 64;
const MOST: usize = 512;

/// What is good so far stays; going back to it leaves it in place.
const SAVE: &str = "SAVEPOINT kiln_part";

/// Names every item that would be refused; the caller rolls back. `None` where
/// the moment is at fault, and only trying parts for good tells.
pub(super) async fn diagnose(
    session: &mut Session,
    writes: &Writes,
    unit: &Unit,
) -> Result<Option<Vec<Rejection>>> {
    session.run("START TRANSACTION").await.map_err(|e| own_fault(&e))?;
    let mut rejections: Vec<Rejection> = Vec::new();
    let mut rest = unit.items.as_slice();
    let mut take = FIRST;
    session.run(SAVE).await.map_err(|e| own_fault(&e))?;
    while !rest.is_empty() {
        let (few, behind) = rest.split_at(take.clamp(1, rest.len()));
        let is_good = |o: &&u64| !rejections.iter().any(|r| r.ordinal == **o);
        let good: Vec<u64> = few.iter().filter(is_good).copied().collect();
        let part = part_of(unit, good)?;
        let Err(refusal) = writes.write(session, &part, &mut Halfway::never()).await else {
            session.run(SAVE).await.map_err(|e| own_fault(&e))?;
            rest = behind;
            take = (take * 2).min(MOST);
            continue;
        };
        if refusal.fault.kind() != Kind::Item {
            let passes = refusal.fault.is_transient();
            return if passes { Ok(None) } else { Err(refusal.fault) };
        }
        session.run("ROLLBACK TO SAVEPOINT kiln_part").await.map_err(|e| own_fault(&e))?;
        let only = part.items.first().copied().filter(|_| part.items.len() == 1);
        let named = refusal.ordinal.filter(|o| part.items.binary_search(o).is_ok()).or(only);
        match named {
            Some(ordinal) => {
                rejections.push(Rejection { ordinal, fault: refusal.fault });
                rejections.extend(refusal.others);
                take = few.partition_point(|o| *o < ordinal);
            }
            None => take = few.len() / 2,
        }
    }
    Ok((!rejections.is_empty()).then_some(rejections))
}

/// The unit's rows of these items, which rise, and nothing else of it.
fn part_of(unit: &Unit, items: Vec<u64>) -> Result<Unit> {
    let mut writes = Vec::with_capacity(unit.writes.len());
    for rows in &unit.writes {
        let (Some(first), Some(last)) = (items.first(), items.last()) else {
            writes.push(Rows { batch: rows.batch.slice(0, 0), ordinals: Vec::new() });
            continue;
        };
        let from = rows.ordinals.partition_point(|o| o < first);
        let to = rows.ordinals.partition_point(|o| o <= last);
        let near = Rows {
            batch: rows.batch.slice(from, to - from),
            ordinals: rows.ordinals[from..to].to_vec(),
        };
        let mut gone = near.ordinals.clone();
        gone.dedup();
        gone.retain(|o| items.binary_search(o).is_err());
        writes.push(near.without(&gone)?);
    }
    Ok(Unit {
        span: unit.span,
        start: unit.start.clone(),
        end: unit.end.clone(),
        items,
        filtered: Vec::new(),
        dead_letters: Vec::new(),
        warnings: Vec::new(),
        writes,
        origins: std::sync::Arc::clone(&unit.origins),
    })
}
