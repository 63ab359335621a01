//! Counts of broken rules.

use kiln_core::{DeadLetter, Failure, Fault, Origin, RunId, Stage, Unit, Warning};

use super::sink::{Target, commit, isolate, lane, note_unit, open, refuse};
use crate::notes::{self, Fate, insert_notes, key};

fn warn(unit: &mut Unit, rules: &[(u64, &str)]) {
    let warning =
        |(ordinal, rule): &(u64, &str)| Warning { ordinal: *ordinal, rule: (*rule).into() };
    unit.warnings = rules.iter().map(warning).collect();
}

/// An item that failed for a rule, in a unit that begins behind `from`.
fn broke(from: u64, rule: &str) -> DeadLetter {
    let fault = Fault::item("broken").with_constraint(rule);
    let failure = Failure { ordinal: from + 2, stage: Stage::Require, fault };
    DeadLetter::new(&failure, Origin::default())
}

async fn rules(target: &Target, run: &RunId) -> Vec<(String, u64, u64)> {
    let rules = target.ledger().rules(run, notes::STEP).await.expect("rules");
    rules.into_iter().map(|r| (r.rule, r.failed, r.warned)).collect()
}

/// Rules are counted with the unit in which they were broken, once.
pub async fn broken_rules_are_counted_with_their_unit(target: &Target) {
    let (run, mut lane) = lane(target).await;
    assert_eq!(rules(target, &run).await, []);
    let mut first = note_unit(0, &[Fate::Write, Fate::Failed, Fate::Write]);
    first.dead_letters = vec![broke(0, "a 'rule'")];
    warn(&mut first, &[(1, "é"), (1, "A"), (3, "A")]);
    commit(&mut lane, &first).await;
    let expected = [("A", 0, 2), ("a 'rule'", 1, 0), ("é", 0, 1)];
    let expected = expected.map(|(rule, failed, warned)| (rule.to_owned(), failed, warned));
    assert_eq!(rules(target, &run).await, expected);

    let mut bad = note_unit(3, &[Fate::Refused, Fate::Write, Fate::Write]);
    warn(&mut bad, &[(4, "A"), (5, "A"), (6, "a 'rule'")]);
    refuse(&mut lane, &bad).await;
    assert_eq!(rules(target, &run).await, expected, "nothing of it is counted");
    isolate(&mut lane, bad).await;
    let mut last = note_unit(6, &[Fate::Write, Fate::Failed]);
    last.dead_letters = vec![broke(6, "A")];
    commit(&mut lane, &last).await;
    let expected = [("A", 1, 3), ("a 'rule'", 1, 1), ("é", 0, 1)];
    let expected = expected.map(|(rule, failed, warned)| (rule.to_owned(), failed, warned));
    assert_eq!(rules(target, &run).await, expected, "of the written items alone");

    let key = key(&run, 1, 1);
    let (mut other, _) = open(target, &key, &[insert_notes()]).await;
    commit(&mut other, &note_unit(0, &[Fate::Filtered; 8])).await;
    let mut more = note_unit(8, &[Fate::Failed, Fate::Write]);
    more.dead_letters = vec![broke(7, "é")];
    commit(&mut other, &more).await;
    assert_eq!(rules(target, &run).await[2], ("é".to_owned(), 1, 1), "summed over lanes");
    let elsewhere = target.ledger().rules(&run, "elsewhere").await.unwrap();
    assert!(elsewhere.is_empty());
}
