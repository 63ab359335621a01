//! Counts of the rules that items broke, on their way into the ledger.

use kiln_core::{LaneKey, Result, RuleCount};
use mysql_async::params;

use super::fault::own_fault;
use super::session::Session;

/// Each lane counts for itself, so that none waits for another.
const ADD: &str = "\
INSERT INTO kiln_rules (run, step, lane, rule, failed, warned)
VALUES (:run, :step, :lane, :rule, :failed, :warned)
ON DUPLICATE KEY UPDATE failed = failed + :failed, warned = warned + :warned";

/// Adds the counts in the transaction at hand.
pub(super) async fn add(
    session: &mut Session,
    key: &LaneKey,
    counts: Vec<RuleCount>,
) -> Result<()> {
    for RuleCount { rule, failed, warned } in counts {
        let values = params! {
            "run" => &key.run.0,
            "step" => &key.step,
            "lane" => key.lane,
            "rule" => rule,
            "failed" => failed,
            "warned" => warned,
        };
        session.change(ADD, values).await.map_err(|e| own_fault(&e))?;
    }
    Ok(())
}
