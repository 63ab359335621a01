//! Counts of the rules that items broke, on their way into the ledger.

use kiln_core::{LaneKey, Result, RuleCount};

use super::dead_letters::without_nul;
use super::mark;
use super::transaction::{Step, Transaction};
use super::wire::Parameter;

/// Each lane counts for itself, so that none waits for another.
const ADD: &str = "\
INSERT INTO kiln.rules AS r (run, step, lane, rule, failed, warned) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (run, step, lane, rule)
DO UPDATE SET failed = r.failed + excluded.failed, warned = r.warned + excluded.warned";

/// Adds the counts to the transaction.
pub(super) fn put(
    transaction: &mut Transaction,
    key: &LaneKey,
    counts: &[RuleCount],
) -> Result<()> {
    let int = |number: u64| Parameter::int8(number as i64);
    for RuleCount { rule, failed, warned } in counts {
        let mut parameters = mark::place(key).to_vec();
        parameters.extend([Parameter::text(&without_nul(rule)), int(*failed), int(*warned)]);
        transaction.run(Step::Rules, ADD, &parameters)?;
    }
    Ok(())
}
