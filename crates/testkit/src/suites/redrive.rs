//! Dead letters that a later run settles.

use std::sync::Arc;

use kiln_core::{Kind, Lane, Letters, Origin, Origins, Redriven, RunId, Unit};

use super::ledger::begin;
use super::sink::{Target, commit, isolate, lane, note_unit, open, refuse};
use crate::notes::{self, Fate, insert_notes, key, notes, sorted};

/// Items that are dead letters of another run.
#[derive(Debug)]
struct Again(Letters);

impl Origins for Again {
    fn source(&self, _: u64) -> &str {
        "notes.csv"
    }

    fn line(&self, _: u64) -> Option<u64> {
        None
    }

    fn origin(&self, _: u64) -> Origin {
        Origin { raw: "a record".to_owned(), ..Origin::default() }
    }

    fn letters(&self) -> Option<&Letters> {
        Some(&self.0)
    }
}

/// The unit with items that are these dead letters of a run.
fn again(of: &RunId, ordinals: &[u64], unit: Unit) -> Unit {
    let (run, step, before) = (of.clone(), notes::STEP.to_owned(), unit.span.from);
    let letters = Letters { run, step, before, ordinals: ordinals.to_vec() };
    Unit { origins: Arc::new(Again(letters)), ..unit }
}

/// Another run, and its first lane.
async fn another(target: &Target, parameters: &str) -> (RunId, Box<dyn Lane>) {
    let claim = begin(&*target.ledger(), "job", parameters).await;
    let (lane, _) = open(target, &key(&claim.run, 0, claim.epoch), &[insert_notes()]).await;
    (claim.run, lane)
}

async fn redriven(target: &Target, run: &RunId) -> Vec<Redriven> {
    target.ledger().redriven(run, notes::STEP).await.expect("a ledger")
}

fn by(run: &RunId, ordinals: impl IntoIterator<Item = u64>) -> Vec<Redriven> {
    ordinals.into_iter().map(|ordinal| Redriven { ordinal, by: run.clone() }).collect()
}

/// B22: a dead letter is redriven with the unit that settles it, whatever becomes of
/// its item.
pub async fn letters_are_redriven_with_their_unit(target: &Target) {
    let (first, mut failing) = lane(target).await;
    commit(&mut failing, &note_unit(0, &[Fate::Failed; 9])).await;
    assert_eq!(redriven(target, &first).await, []);

    let (second, mut lane) = another(target, "again").await;
    let mixed = [Fate::Write, Fate::Filtered, Fate::Failed];
    commit(&mut lane, &again(&first, &[2, 3, 7], note_unit(0, &mixed))).await;
    assert_eq!(redriven(target, &first).await, by(&second, [2, 3, 7]));
    assert_eq!(redriven(target, &second).await, []);
    assert!(target.ledger().redriven(&first, "elsewhere").await.unwrap().is_empty());

    let bad = again(&first, &[4, 5, 8], note_unit(3, &[Fate::Write, Fate::Refused, Fate::Write]));
    refuse(&mut lane, &bad).await;
    assert_eq!(redriven(target, &first).await, by(&second, [2, 3, 7]), "nothing of it");
    isolate(&mut lane, bad).await;
    assert_eq!(redriven(target, &first).await, by(&second, [2, 3, 4, 5, 7, 8]), "all its parts");
    assert_eq!(sorted(target.rows("notes").await), notes([1, 4, 6]));
}

/// Fault 29: two runs that read the same dead letters write none of them twice.
pub async fn a_letter_is_redriven_once(target: &Target) {
    let (first, mut failing) = lane(target).await;
    commit(&mut failing, &note_unit(0, &[Fate::Failed; 4])).await;
    let (second, mut one) = another(target, "one").await;
    let (_, mut other) = another(target, "other").await;
    commit(&mut one, &again(&first, &[1, 2], note_unit(0, &[Fate::Write; 2]))).await;

    let late = again(&first, &[2, 3], note_unit(0, &[Fate::Failed, Fate::Filtered]));
    let refusal = refuse(&mut other, &late).await;
    assert_eq!((refusal.fault.kind(), refusal.ordinal), (Kind::Config, None), "{refusal:?}");
    assert!(refusal.fault.message().contains(&first.0), "{refusal:?}");
    assert_eq!(redriven(target, &first).await, by(&second, [1, 2]));
    assert_eq!(sorted(target.rows("notes").await), notes([1, 2]));
}
