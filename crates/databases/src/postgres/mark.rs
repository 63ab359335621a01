//! The mark of how far a lane got, as its statements see it.

use kiln_core::{Claim, Counts, Fault, LaneKey, Result, Unit};

use super::transaction::{Step, Transaction};
use super::wire::{Parameter, Row};

/// The mark moves only from where the unit begins, and only at the lane's own
/// epoch: fence, order and lock in one; and only in the transaction that began
/// with the unit. Where it does not move, the division
/// by zero ends the transaction, though nobody waits for an answer.
const MOVE: &str = "\
WITH moved AS (
    UPDATE kiln.marks
    SET done = $6, place_ordinal = $7, place = $8, state = $9, read = read + $10,
        processed = processed + $11, filtered = filtered + $12, duplicate = duplicate + $13,
        failed = failed + $14, at = pg_catalog.clock_timestamp()
    WHERE run = $1 AND step = $2 AND lane = $3 AND epoch = $4 AND done = $5
      AND pg_catalog.current_setting('kiln.transaction', true) = 'begun'
    RETURNING 1)
SELECT 1 / count(*) FROM moved";

/// Says how far a mark is and whose.
pub(super) const LOOK: &str =
    "SELECT epoch, done FROM kiln.marks WHERE run = $1 AND step = $2 AND lane = $3";

/// Adds the move of the mark to the end of the unit.
pub(super) fn put(
    transaction: &mut Transaction,
    key: &LaneKey,
    unit: &Unit,
    counts: &Counts,
) -> Result<()> {
    let int = |number: u64| Parameter::int8(number as i64);
    let position = &unit.end.position;
    let mut parameters = place(key).to_vec();
    parameters.extend([
        int(key.epoch),
        int(unit.span.from),
        int(unit.span.to),
        int(position.ordinal),
        Parameter::text(&position.place),
        Parameter::bytes(unit.end.state.as_deref()),
        int(counts.read),
        int(counts.processed),
        int(counts.filtered),
        int(counts.duplicate),
        int(counts.failed),
    ]);
    transaction.run(Step::Mark, MOVE, &parameters)
}

/// Which mark: run, step and lane.
pub(super) fn place(key: &LaneKey) -> [Parameter; 3] {
    [Parameter::text(&key.run.0), Parameter::text(&key.step), Parameter::int8(i64::from(key.lane))]
}

/// How far the mark is, by the answer to [`LOOK`].
///
/// # Errors
/// [`Kind::Fenced`](kiln_core::Kind::Fenced) if it is another lane's.
pub(super) fn read(key: &LaneKey, answer: &[Row]) -> Result<u64> {
    let LaneKey { run, step, epoch, .. } = key;
    let number = |i: usize| {
        let text = std::str::from_utf8(answer.first()?.get(i)?.as_deref()?).ok()?;
        text.parse::<i64>().ok().map(i64::unsigned_abs)
    };
    let (Some(theirs), Some(done)) = (number(0), number(1)) else {
        return Err(Fault::bug(format!("the mark of run {run}, step {step} is gone")));
    };
    if theirs == *epoch {
        Ok(done)
    } else {
        Err(Claim { run: run.clone(), epoch: *epoch }.fenced())
    }
}
