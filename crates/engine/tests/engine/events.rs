//! B29: the stream of events is in order, and tells committed work exactly once.

use std::sync::Arc;

use crate::common::{Probe, Recorder, Torn, counts, job, numbers, refusing};
use kiln::memory::MemoryTarget;
use kiln::{Counts, Event, Fault, Job, Kind, Report, Status};

async fn recorded(job: Job) -> (Report, Vec<Event>) {
    let recorder = Arc::new(Recorder::default());
    let report = job.observe(Arc::clone(&recorder) as Arc<_>).run().await;
    let events = recorder.events();
    well_formed(&events, &report);
    (report, events)
}

/// What holds for every run that began.
fn well_formed(events: &[Event], report: &Report) {
    let [Event::RunStarted { run, resumed, .. }, Event::StepStarted { .. }, ..] = events else {
        panic!("{events:?}");
    };
    let [.., Event::StepEnded { counts: step, .. }, Event::RunEnded { status, counts, .. }] =
        events
    else {
        panic!("{events:?}");
    };
    assert_eq!(Some(run), report.run.as_ref());
    assert_eq!((*status, *counts, *step), (report.status, report.counts, report.counts));

    let before = resumed.unwrap_or_default();
    let (mut sum, mut done, mut letters) = (before, before.read, 0);
    for event in events {
        match event {
            Event::Committed { span, counts, .. } => {
                assert_eq!(span.from, done, "a gap or an overlap");
                assert_eq!(counts.read, span.len());
                (sum, done) = (sum + *counts, span.to);
            }
            Event::ItemFailed { letter, .. } => {
                assert!(letter.ordinal <= done, "told before it was committed");
                letters += 1;
            }
            _ => {}
        }
    }
    assert_eq!(sum, report.counts);
    assert_eq!(letters, report.counts.failed - before.failed);
    let once = |wanted: fn(&Event) -> bool| events.iter().filter(|e| wanted(e)).count();
    assert_eq!(once(|e| matches!(e, Event::RunStarted { .. })), 1);
    assert_eq!(once(|e| matches!(e, Event::StepStarted { .. })), 1);
    assert_eq!(once(|e| matches!(e, Event::StepEnded { .. })), 1);
    assert_eq!(once(|e| matches!(e, Event::RunEnded { .. })), 1);
}

/// The kinds of events, less what was read ahead.
fn kinds(events: &[Event]) -> Vec<&'static str> {
    let kind = |event: &Event| match event {
        Event::RunStarted { .. } => Some("run"),
        Event::StepStarted { .. } => Some("step"),
        Event::Committed { .. } => Some("committed"),
        Event::ItemFailed { .. } => Some("failed"),
        Event::Isolating { .. } => Some("isolating"),
        Event::Retry { .. } => Some("retry"),
        Event::Resolved { landed: true, .. } => Some("landed"),
        Event::Resolved { landed: false, .. } => Some("lost"),
        Event::StepEnded { .. } => Some("step end"),
        Event::RunEnded { .. } => Some("run end"),
        _ => None,
    };
    events.iter().filter_map(kind).collect()
}

#[tokio::test]
async fn a_clean_run() {
    let (_, events) = recorded(job(&MemoryTarget::new(), numbers(25), 10)).await;
    let expected = ["run", "step", "committed", "committed", "committed", "step end", "run end"];
    assert_eq!(kinds(&events), expected);
    let read: Vec<u64> = events
        .iter()
        .filter_map(|e| match e {
            Event::ChunkRead { progress, .. } => Some(progress.done),
            _ => None,
        })
        .collect();
    assert_eq!(read, [10, 20, 25]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_behind_their_commit() {
    let source = Torn { inner: numbers(20), bad: vec![2] };
    let probe = Probe::new().fail([5, 20]);
    let (report, events) = recorded(job(&MemoryTarget::new(), source, 10).map(probe.boxed())).await;
    assert_eq!(report.counts, counts(17, 0, 3));
    let expected = [
        "run",
        "step",
        "committed",
        "failed",
        "failed",
        "committed",
        "failed",
        "step end",
        "run end",
    ];
    assert_eq!(kinds(&events), expected);
}

#[tokio::test]
async fn retries_and_lost_answers_tell_nothing_twice() {
    let target = MemoryTarget::new();
    target.refuse_next(Fault::new(Kind::Busy, "busy"));
    target.lose_next_answer(true);
    target.lose_next_answer(false);
    let (report, events) = recorded(job(&target, numbers(20), 10)).await;
    assert_eq!(report.counts, counts(20, 0, 0));
    let expected = [
        "run",
        "step",
        "retry",
        "retry",
        "landed",
        "committed",
        "retry",
        "lost",
        "committed",
        "step end",
        "run end",
    ];
    assert_eq!(kinds(&events), expected);
}

#[tokio::test]
async fn isolation_tells_each_part_once() {
    let (report, events) = recorded(job(&refusing([2]), numbers(4), 4)).await;
    assert_eq!(report.counts, counts(3, 0, 1));
    let expected = [
        "run",
        "step",
        "isolating",
        "isolating",
        "committed",
        "isolating",
        "committed",
        "failed",
        "committed",
        "step end",
        "run end",
    ];
    assert_eq!(kinds(&events), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_run_tells_what_was_there_and_only_its_own() {
    let target = MemoryTarget::new();
    let broken = Probe::new().fail([3]).hook(|o| match o {
        25 => Err(Fault::config("broken")),
        _ => Ok(()),
    });
    let (first, events) = recorded(job(&target, numbers(30), 10).map(broken.boxed())).await;
    assert_eq!(first.status, Status::Failed);
    assert!(matches!(
        events.last(),
        Some(Event::RunEnded { status: Status::Failed, fault: Some(fault), .. })
            if fault.message() == "broken"
    ));
    let whole = Probe::new().fail([3]);
    let (second, events) = recorded(job(&target, numbers(30), 10).map(whole.boxed())).await;
    assert_eq!(second.counts, counts(29, 0, 1));
    let Event::RunStarted { resumed: Some(before), .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(*before, Counts { read: 20, processed: 19, failed: 1, ..Counts::default() });
    assert_eq!(kinds(&events), ["run", "step", "committed", "step end", "run end"]);
}

#[tokio::test]
async fn a_start_that_does_not_run_tells_nothing() {
    let target = MemoryTarget::new();
    job(&target, numbers(10), 10).run().await;
    let recorder = Arc::new(Recorder::default());
    let again = job(&target, numbers(10), 10).observe(Arc::clone(&recorder) as Arc<_>).run().await;
    assert!(again.already_complete);
    assert!(recorder.events().is_empty(), "{:?}", recorder.events());
}
