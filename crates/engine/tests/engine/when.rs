//! B27: a step that is chosen by what became of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Probe, Recorder, assert_complete, counts, fault};
use crate::steps::{job, statuses, step, trip_once_at, written};
use kiln::memory::MemoryTarget;
use kiln::{Condition, Event, Fault, Kind, Report, Status, Step, StepState};

fn when(step: Step, condition: &str) -> Step {
    step.when(Condition::parse(condition).unwrap())
}

/// Ten items are read, so many fail; then one of three steps is chosen, and the
/// last one comes in any case.
fn branching(failed: u64) -> [Step; 5] {
    let load = step("load", 10).map(Probe::new().fail(1..=failed).boxed());
    [
        load,
        when(step("all", 3).needs("load"), "items.failed = 0"),
        when(step("some", 4).needs("load"), "items.failed > 0 and steps.load.processed > 0"),
        when(step("none", 5).needs("load"), "items.processed = 0"),
        step("last", 2).needs("all").needs("some").needs("none"),
    ]
}

const GOOD: Option<Status> = Some(Status::Success);
const SKIPPED: Option<Status> = Some(Status::Skipped);

#[tokio::test(flavor = "multi_thread")]
async fn b27_an_outcome_chooses_the_next_step() {
    for (failed, chosen, rows) in [(0, "all", 3), (4, "some", 4), (10, "none", 5)] {
        let target = MemoryTarget::new();
        let recorder = Arc::new(Recorder::default());
        let started = || job(&target, branching(failed));
        let report = started().observe(Arc::clone(&recorder) as Arc<_>).run().await;
        assert_complete(&report, counts(10 - failed + rows + 2, 0, failed));
        let check = |report: &Report| {
            let load = if failed > 0 { Some(Status::PartialSuccess) } else { GOOD };
            let branch = |name| (name, if name == chosen { GOOD } else { SKIPPED });
            let branches = ["all", "some", "none"].map(branch);
            assert_eq!(statuses(report)[0], ("load", load));
            assert_eq!(statuses(report)[1..4], branches);
            assert_eq!(statuses(report)[4], ("last", GOOD));
        };
        check(&report);
        for name in ["all", "some", "none"] {
            let expected = if name == chosen { rows } else { 0 };
            assert_eq!(written(&target, name).len() as u64, expected, "{failed}: {name}");
        }
        let skipped = |event: &Event| matches!(event, Event::StepSkipped { .. });
        assert_eq!(recorder.events().iter().filter(|e| skipped(e)).count(), 2);
        let again = started().run().await;
        assert!(again.already_complete);
        check(&again);
    }
}

/// A run that broke off behind the decision keeps to it, whatever it would say now.
#[tokio::test(flavor = "multi_thread")]
async fn b27_what_was_decided_stays_decided() {
    let target = MemoryTarget::new();
    let (chosen, last) = (trip_once_at(3), trip_once_at(1));
    let steps = |condition: [&str; 2]| {
        [
            step("load", 10),
            when(step("yes", 4).needs("load").map(chosen.boxed()), condition[0]),
            when(step("no", 4).needs("load"), condition[1]),
            step("last", 2).needs("yes").needs("no").map(last.boxed()),
        ]
    };
    let first = job(&target, steps(["items.read = 10", "items.read = 9"])).run().await;
    assert!(fault(&first).message().starts_with("step yes: "), "{:?}", first.fault);
    assert_eq!(
        statuses(&first)[1..],
        [("yes", Some(Status::Failed)), ("no", SKIPPED), ("last", None)]
    );
    let record = target.ledger().newest("numbers", "").await.unwrap().unwrap();
    let known = kiln::steps_of(target.ledger().as_ref(), &record).await.unwrap();
    let known: Vec<StepState> = known.iter().map(|s| s.state).collect();
    use StepState::{Begun, Complete, Skipped, Waiting};
    assert_eq!(known, [Complete, Begun, Skipped, Waiting]);
    // The other way round, it would choose otherwise.
    let other = || steps(["items.read = 9", "items.read = 10"]);
    assert!(fault(&job(&target, other()).run().await).message().starts_with("step last: "));
    let report = job(&target, other()).run().await;
    assert_complete(&report, counts(16, 0, 0));
    assert_eq!(statuses(&report)[1..], [("yes", GOOD), ("no", SKIPPED), ("last", GOOD)]);
    assert!(written(&target, "no").is_empty());
}

/// Broken off while the decision is being kept, the next start decides alike.
#[tokio::test(flavor = "multi_thread")]
async fn b27_a_decision_that_is_not_kept_is_made_again() {
    let target = MemoryTarget::new();
    let broken = Arc::new(AtomicBool::new(false));
    let steps = || [step("load", 10), when(step("no", 4).needs("load"), "items.read = 9")];
    let (trouble, once) = (target.clone(), Arc::clone(&broken));
    let watch = crate::common::Watch(move |event: &Event| {
        let is_end = matches!(event, Event::StepEnded { .. });
        if is_end && !once.swap(true, Ordering::SeqCst) {
            trouble.refuse_next(Fault::new(Kind::Io, "the disk broke"));
        }
    });
    let first = job(&target, steps()).observe(Arc::new(watch)).run().await;
    assert_eq!(fault(&first).message(), "step no: the disk broke");
    let report = job(&target, steps()).run().await;
    assert_complete(&report, counts(10, 0, 0));
    assert_eq!(statuses(&report), [("load", GOOD), ("no", SKIPPED)]);
}

#[tokio::test]
async fn a_condition_names_what_its_step_needs() {
    let target = MemoryTarget::new();
    for (condition, needs, why) in [
        ("steps.b.failed > 0", "a", "decides by step b, and does not need it"),
        ("items.failed > 0", "", "which are none"),
    ] {
        let mut last = step("c", 1);
        if !needs.is_empty() {
            last = last.needs(needs);
        }
        let report = job(&target, [step("a", 1), step("b", 1), when(last, condition)]).run().await;
        assert_eq!(fault(&report).kind(), Kind::Config);
        assert!(fault(&report).message().contains(why), "{:?}", report.fault);
    }
}
