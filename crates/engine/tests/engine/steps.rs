//! B9, B25: several steps, one after another; side by side is another file.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::{Probe, Recorder, Watch, assert_complete, counts, fault, numbers, options};
use kiln::memory::{MemorySource, MemoryTarget};
use kiln::{
    Event, FailureLimit, Fault, Fingerprint, Job, Kind, Options, Report, RunState, Status, Step,
    StepState, Write,
};

/// Numbers into a table called like the step, in chunks of 10.
pub(crate) fn step(name: &str, items: i64) -> Step {
    Step::new(name, Box::new(numbers(items))).write(Write::insert(name).unwrap())
}

pub(crate) fn job(target: &MemoryTarget, steps: impl IntoIterator<Item = Step>) -> Job {
    let mut steps = steps.into_iter();
    let first = steps.next().expect("a step");
    let job = Job::in_steps("numbers", first, target.sink(), target.ledger());
    steps.fold(job, Job::step).options(options(10))
}

/// The numbers in a table, in the order they were committed.
pub(crate) fn written(target: &MemoryTarget, table: &str) -> Vec<u64> {
    let number = |row: &Vec<Option<String>>| row[0].as_deref().unwrap().parse().unwrap();
    target.rows(table).iter().map(number).collect()
}

pub(crate) fn statuses(report: &Report) -> Vec<(&str, Option<Status>)> {
    report.steps.iter().map(|step| (step.name.as_str(), step.status)).collect()
}

/// Names of the steps that began and ended, in order.
fn told(events: &[Event]) -> Vec<String> {
    let tell = |event: &Event| match event {
        Event::StepStarted { step, place, of, .. } => Some(format!("{step} {place}/{of}")),
        Event::StepEnded { step, counts } => Some(format!("{step} {}", counts.read)),
        _ => None,
    };
    events.iter().filter_map(tell).collect()
}

#[tokio::test]
async fn b25_steps_run_in_the_order_of_their_needs() {
    let target = MemoryTarget::new();
    let recorder = Arc::new(Recorder::default());
    let steps = [step("c", 5).needs("a").needs("b"), step("a", 30), step("b", 12).needs("a")];
    let report = job(&target, steps).observe(Arc::clone(&recorder) as Arc<_>).run().await;
    assert_complete(&report, counts(47, 0, 0));
    let ended = Some(Status::Success);
    assert_eq!(statuses(&report), [("a", ended), ("b", ended), ("c", ended)]);
    let each: Vec<_> = report.steps.iter().map(|s| (s.counts.read, s.chunks)).collect();
    assert_eq!(each, [(30, 3), (12, 2), (5, 1)]);
    assert_eq!(report.chunks, 6);
    let order = ["a 1/3", "a 30", "b 2/3", "b 12", "c 3/3", "c 5"];
    assert_eq!(told(&recorder.events()), order);
    for (table, items) in [("a", 30), ("b", 12), ("c", 5)] {
        assert_eq!(written(&target, table), (1..=items).collect::<Vec<_>>());
    }
    assert!(
        job(&target, [step("a", 30), step("b", 12), step("c", 5)]).run().await.already_complete
    );
}

#[tokio::test]
async fn steps_without_an_order_are_refused_before_anything_begins() {
    let target = MemoryTarget::new();
    for (steps, why) in [
        (vec![step("a", 1).needs("b"), step("b", 1).needs("a")], "a needs b needs a"),
        (vec![step("a", 1).needs("x")], "which is no step"),
        (vec![step("a", 1), step("a", 1)], "two steps are called a"),
    ] {
        let report = job(&target, steps).run().await;
        assert_eq!(fault(&report).kind(), Kind::Config);
        assert!(fault(&report).message().contains(why), "{:?}", report.fault);
        assert_eq!(report.run, None);
    }
    assert!(target.ledger().runs(None, 10).await.unwrap().is_empty());
}

/// A mapper that breaks at this item, the first time.
pub(crate) fn trip_once_at(ordinal: u64) -> Probe {
    let tripped = AtomicBool::new(false);
    Probe::new().hook(move |o| match o == ordinal && !tripped.swap(true, Ordering::SeqCst) {
        true => Err(Fault::config("the mapper broke")),
        false => Ok(()),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn b9_a_failed_step_ends_the_run_which_goes_on_there() {
    let target = MemoryTarget::new();
    let (a, b, c) = (Probe::new(), trip_once_at(15), Probe::new());
    let steps = || {
        [
            step("a", 30).map(a.boxed()),
            step("b", 20).needs("a").map(b.boxed()),
            step("c", 10).needs("b").map(c.boxed()),
        ]
    };
    let failed = job(&target, steps()).run().await;
    assert_eq!(fault(&failed).message(), "step b: the mapper broke");
    assert_eq!(failed.counts, counts(40, 0, 0), "only committed work counts");
    let states = [("a", Some(Status::Success)), ("b", Some(Status::Failed)), ("c", None)];
    assert_eq!(statuses(&failed), states);
    assert!(c.seen().is_empty());
    let record = target.ledger().newest("numbers", "").await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Failed);
    let known = kiln::steps_of(target.ledger().as_ref(), &record).await.unwrap();
    let known: Vec<_> = known.iter().map(|s| (s.name.as_str(), s.state, s.counts.read)).collect();
    let expected =
        [("a", StepState::Complete, 30), ("b", StepState::Begun, 10), ("c", StepState::Waiting, 0)];
    assert_eq!(known, expected);
    let _ = [&a, &b].map(Probe::seen);

    let recorder = Arc::new(Recorder::default());
    let report = job(&target, steps()).observe(Arc::clone(&recorder) as Arc<_>).run().await;
    assert!(report.resumed);
    assert_complete(&report, counts(60, 0, 0));
    assert!(a.seen().is_empty(), "a complete step is not run again");
    assert_eq!(b.seen(), (11..=20).collect::<Vec<_>>());
    assert_eq!(told(&recorder.events()), ["b 2/3", "b 20", "c 3/3", "c 10"]);
    assert_eq!(report.chunks, 2);
    for (table, items) in [("a", 30), ("b", 20), ("c", 10)] {
        assert_eq!(written(&target, table), (1..=items).collect::<Vec<_>>());
    }
}

/// Broken at each of its commits in turn, a run comes out the same.
#[tokio::test]
async fn b9_broken_at_any_commit_it_goes_on_exactly() {
    for broken in 1..=7 {
        let tried = AtomicU64::new(0);
        let target = MemoryTarget::new().judge(move |_, _| {
            match tried.fetch_add(1, Ordering::SeqCst) + 1 == broken * 4 {
                true => Err(Fault::new(Kind::Io, "the disk broke")),
                false => Ok(()),
            }
        });
        let steps = || [step("a", 10), step("b", 5), step("c", 13)];
        let four = Options { chunk: options(4).chunk, ..options(4) };
        let first = job(&target, steps()).options(four.clone()).run().await;
        assert_eq!(fault(&first).kind(), Kind::Io);
        let second = job(&target, steps()).options(four).run().await;
        assert_complete(&second, counts(28, 0, 0));
        for (table, items) in [("a", 10), ("b", 5), ("c", 13)] {
            let expected: Vec<u64> = (1..=items).collect();
            assert_eq!(written(&target, table), expected, "broken at {broken}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_limits_and_options_are_those_of_the_step() {
    let target = MemoryTarget::new();
    let failing = |name: &str, n: u64| step(name, 30).map(Probe::new().fail(1..=n).boxed());
    let limited = |limit| Options { limit, ..options(10) };
    let most = FailureLimit::Count(4);
    let steps = || {
        [failing("a", 4), failing("b", 4), failing("c", 9).options(limited(FailureLimit::Count(9)))]
    };
    let within = job(&target, steps()).options(limited(most)).run().await;
    assert_complete(&within, counts(73, 0, 17));
    assert_eq!(within.status, Status::PartialSuccess);
    let steps: Vec<&str> = within.failed_items.iter().map(|item| item.step.as_str()).collect();
    assert_eq!(steps, [["a"; 4].as_slice(), &["b"; 4], &["c"; 9]].concat());

    let target = MemoryTarget::new();
    let over = job(&target, [failing("a", 4), failing("b", 5)]).options(limited(most)).run().await;
    assert_eq!(fault(&over).kind(), Kind::Limit);
    assert!(fault(&over).message().starts_with("step b: 5 of "), "{:?}", over.fault);
    assert_eq!(over.steps[0].counts, counts(26, 0, 4));
    assert_eq!(over.failed_items.len(), 9, "dead letters, and those that are none yet");
    // The dead letters of complete steps are still in the book when the rest is done.
    let mended = [failing("a", 4), failing("b", 4)];
    assert_complete(&job(&target, mended).options(limited(most)).run().await, counts(52, 0, 8));
}

fn breaking(name: &str, items: i64) -> Step {
    let probe = Probe::new().hook(|o| match o {
        15 => Err(Fault::config("broken")),
        _ => Ok(()),
    });
    step(name, items).map(probe.boxed())
}

#[tokio::test(flavor = "multi_thread")]
async fn b11_what_the_steps_read_and_their_order_stay_the_same() {
    let target = MemoryTarget::new();
    assert!(job(&target, [step("a", 10), breaking("b", 20)]).run().await.fault.is_some());

    for steps in [
        vec![step("b", 20), step("a", 10)],
        vec![step("a", 10), step("b", 20), step("c", 1)],
        vec![step("a", 10)],
    ] {
        let refused = job(&target, steps).run().await;
        assert_eq!(fault(&refused).kind(), Kind::Config);
        assert!(fault(&refused).message().contains("they were a, b;"), "{:?}", refused.fault);
    }
    let refused = job(&target, [step("a", 10), step("b", 30)]).run().await;
    assert_eq!(fault(&refused).kind(), Kind::Config);
    let text = fault(&refused).message();
    assert!(text.contains("the input of step b: size was 20, is 30"), "{text}");

    let definition = Fingerprint::default().with("b: map", "SELECT 1");
    let accepting = Options { accept_changed_input: true, ..options(10) };
    let accepted = job(&target, [step("a", 10), step("b", 30)]).definition(definition);
    let accepted = accepted.options(accepting).run().await;
    assert_complete(&accepted, counts(40, 0, 0));
    let changes = [
        "the input of step b: size was 20, is 30",
        "the job of step b: map was nothing, is SELECT 1",
    ];
    assert_eq!(accepted.changes, changes);
    assert_eq!(written(&target, "b"), (1..=30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lone_step_called_main_is_the_same_as_none() {
    let target = MemoryTarget::new();
    let main = || Step::new("main", Box::new(numbers(10))).write(Write::insert("out").unwrap());
    assert_complete(&job(&target, [main()]).run().await, counts(10, 0, 0));
    let source: Box<MemorySource> = Box::new(numbers(10));
    let same = Job::new("numbers", source, target.sink(), target.ledger())
        .write(Write::insert("out").unwrap());
    assert!(same.run().await.already_complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn b10_asked_to_stop_between_steps_it_stops() {
    let target = MemoryTarget::new();
    let (stopper, stop) = kiln::Stop::new();
    let watch = Watch(move |event: &Event| {
        if let Event::StepEnded { step, .. } = event
            && **step == *"a"
        {
            stopper.stop();
        }
    });
    let steps = || [step("a", 10), step("b", 10).needs("a")];
    let stopped = job(&target, steps()).observe(Arc::new(watch)).stop_on(stop).run().await;
    assert_eq!(stopped.status, Status::Stopped);
    assert_eq!(fault(&stopped).message(), "stopped on request");
    assert_eq!(stopped.counts, counts(10, 0, 0));
    assert_complete(&job(&target, steps()).run().await, counts(20, 0, 0));
}

/// Given up by another start between two of its steps, a run begins no other.
#[tokio::test(flavor = "multi_thread")]
async fn b35_a_run_given_up_between_steps_writes_nothing_more() {
    let target = MemoryTarget::new();
    let ledger = target.ledger();
    let abandoned = Arc::new(Mutex::new(None));
    let given_up = Arc::clone(&abandoned);
    let watch = Watch(move |event: &Event| {
        let Event::StepStarted { place: 2, .. } = event else { return };
        let ledger = Arc::clone(&ledger);
        let other = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let run = ledger.newest("numbers", "").await.unwrap().unwrap().start.id;
                ledger.abandon(&run, 1).await.unwrap()
            })
        });
        *given_up.lock().unwrap() = Some(other.join().unwrap());
    });
    let steps = [step("a", 10), step("b", 10).needs("a")];
    let report = job(&target, steps).observe(Arc::new(watch)).run().await;
    assert_eq!(*abandoned.lock().unwrap(), Some(true));
    assert_eq!(fault(&report).kind(), Kind::Fenced);
    assert!(written(&target, "b").is_empty());
}
