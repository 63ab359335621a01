//! B25: steps that wait for no other run side by side.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::{Probe, Recorder, Watch, assert_complete, counts, fault, options};
use crate::steps::{job, statuses, step, trip_once_at, written};
use kiln::memory::MemoryTarget;
use kiln::{Event, FailureLimit, Fault, Kind, Options, Status, StepState};

fn at_once(steps: u32) -> Options {
    Options { steps, ..options(10) }
}

/// The numbers 1 to n.
fn up_to(n: u64) -> Vec<u64> {
    (1..=n).collect()
}

/// Waits until it is so; a test that waits in vain fails.
fn wait_until(is_so: impl Fn() -> bool) -> kiln::Result<()> {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > Duration::from_secs(20) {
            return Err(Fault::bug("waited in vain"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Each of two steps waits at its first item until the other is there too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn b25_independent_steps_are_at_work_at_once() {
    let target = MemoryTarget::new();
    let there = Arc::new(AtomicUsize::new(0));
    let meeting = || {
        let there = Arc::clone(&there);
        Probe::new().hook(move |o| {
            if o == 1 {
                there.fetch_add(1, Ordering::SeqCst);
                wait_until(|| there.load(Ordering::SeqCst) >= 2)?;
            }
            Ok(())
        })
    };
    let recorder = Arc::new(Recorder::default());
    let steps = [
        step("a", 30).map(meeting().boxed()),
        step("b", 25).map(meeting().boxed()),
        step("c", 5).needs("b").needs("a"),
    ];
    let report = job(&target, steps).observe(Arc::clone(&recorder) as Arc<_>).run().await;
    assert_complete(&report, counts(60, 0, 0));
    let names: Vec<&str> = report.steps.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"], "as they were given");
    for (table, items) in [("a", 30), ("b", 25), ("c", 5)] {
        assert_eq!(written(&target, table), up_to(items));
    }
    // What c needs has ended before it begins; each step tells without a gap.
    let (mut ended, mut done) = (0, [0; 3]);
    for event in recorder.events() {
        match event {
            Event::StepStarted { step, place, .. } if &*step == "c" => {
                assert_eq!((place, ended), (3, 2));
            }
            Event::StepEnded { .. } => ended += 1,
            Event::Committed { step, span, .. } => {
                let done = &mut done["abc".find(&*step).unwrap()];
                assert_eq!(span.from, *done);
                *done = span.to;
            }
            _ => {}
        }
    }
    assert_eq!((ended, done), (3, [30, 25, 5]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_steps_than_allowed_are_at_work() {
    for most in 1..=3 {
        let target = MemoryTarget::new();
        let at_work = Mutex::new((0, 0));
        let watch = Watch(move |event: &Event| {
            let (now, peak) = &mut *at_work.lock().unwrap();
            match event {
                Event::StepStarted { .. } => *now += 1,
                Event::StepEnded { .. } => *now -= 1,
                Event::RunEnded { .. } => assert!(*peak <= most && *peak > 0, "{peak}"),
                _ => {}
            }
            *peak = (*peak).max(*now);
        });
        let steps = ["a", "b", "c", "d", "e"].map(|name| step(name, 40));
        let job = job(&target, steps).options(at_once(most));
        assert_complete(&job.observe(Arc::new(watch)).run().await, counts(200, 0, 0));
    }
}

/// A step that has ended is not begun again, wherever it stands among those that
/// have not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn b25_a_failed_step_stops_what_needs_it_and_nothing_else() {
    let target = MemoryTarget::new();
    let probes: Vec<Probe> =
        [trip_once_at(15), Probe::new(), Probe::new(), Probe::new()].into_iter().collect();
    let steps = || {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i: usize| probes[i].boxed());
        [
            step("a", 20).map(a),
            step("b", 10).needs("a").map(b),
            step("c", 30).map(c),
            step("d", 12).needs("c").map(d),
        ]
    };
    let failed = job(&target, steps()).run().await;
    assert_eq!(fault(&failed).message(), "step a: the mapper broke");
    let good = Some(Status::Success);
    let states = [("a", Some(Status::Failed)), ("b", None), ("c", good), ("d", good)];
    assert_eq!(statuses(&failed), states);
    assert_eq!(failed.counts, counts(10 + 30 + 12, 0, 0));
    let record = target.ledger().newest("numbers", "").await.unwrap().unwrap();
    let known = kiln::steps_of(target.ledger().as_ref(), &record).await.unwrap();
    let known: Vec<_> = known.iter().map(|s| (s.state, s.counts.read)).collect();
    let (begun, complete) = (StepState::Begun, StepState::Complete);
    let expected = [(begun, 10), (StepState::Waiting, 0), (complete, 30), (complete, 12)];
    assert_eq!(known, expected);
    probes.iter().for_each(|probe| drop(probe.seen()));

    let recorder = Arc::new(Recorder::default());
    let report = job(&target, steps()).observe(Arc::clone(&recorder) as Arc<_>).run().await;
    assert!(report.resumed);
    assert_complete(&report, counts(72, 0, 0));
    assert_eq!(statuses(&report), [("a", good), ("b", good), ("c", good), ("d", good)]);
    let seen: Vec<Vec<u64>> = probes.iter().map(Probe::seen).collect();
    assert_eq!(seen, [(11..=20).collect(), up_to(10), vec![], vec![]]);
    let begun = |event: &Event| matches!(event, Event::StepStarted { .. });
    assert_eq!(recorder.events().iter().filter(|e| begun(e)).count(), 2);
    for (table, items) in [("a", 20), ("b", 10), ("c", 30), ("d", 12)] {
        assert_eq!(written(&target, table), up_to(items));
    }
    assert!(job(&target, steps()).run().await.already_complete);
}

/// The fault of the first of several failed steps is the run's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_failed_steps_the_first_one_speaks() {
    let target = MemoryTarget::new();
    let b_failed = Arc::new(AtomicBool::new(false));
    let (heard, told) = (Arc::clone(&b_failed), Arc::clone(&b_failed));
    let late = Probe::new().hook(move |_| {
        wait_until(|| heard.load(Ordering::SeqCst))?;
        Err(Fault::config("a broke"))
    });
    let early = Probe::new().hook(|_| Err(Fault::config("b broke")));
    let watch = Watch(move |event: &Event| {
        let is_b = matches!(event, Event::StepEnded { step, .. } if &**step == "b");
        told.fetch_or(is_b, Ordering::SeqCst);
    });
    let steps = [step("a", 5).map(late.boxed()), step("b", 5).map(early.boxed())];
    let report = job(&target, steps).observe(Arc::new(watch)).run().await;
    assert_eq!(fault(&report).message(), "step a: a broke");
    assert_eq!(statuses(&report), ["a", "b"].map(|name| (name, Some(Status::Failed))));
}

/// Broken off as a whole at each row in turn, and again, a run comes out the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn b32_broken_off_anywhere_it_goes_on_exactly() {
    let items = [("a", 9), ("b", 14), ("c", 6), ("d", 11), ("e", 3)];
    let steps = || {
        let [a, b, c, d, e] = items.map(|(name, n)| step(name, n));
        [a, b, c.needs("a"), d.needs("a").needs("b"), e]
    };
    let four = |lanes| Options { lanes, steps: 3, chunk: options(4).chunk, ..options(4) };
    for broken in 1..=40 {
        let rows = Arc::new(AtomicU64::new(0));
        let dead_from = Arc::new(AtomicU64::new(broken));
        let (judged, dead) = (Arc::clone(&rows), Arc::clone(&dead_from));
        let target = MemoryTarget::new().judge(move |_, _| {
            match judged.fetch_add(1, Ordering::SeqCst) + 1 >= dead.load(Ordering::SeqCst) {
                true => Err(Fault::new(Kind::Io, "the power failed")),
                false => Ok(()),
            }
        });
        let lanes = u32::try_from(broken % 3 + 1).unwrap();
        let first = job(&target, steps()).options(four(lanes)).run().await;
        assert_eq!(fault(&first).kind(), Kind::Io);
        dead_from.store(rows.load(Ordering::SeqCst) + broken / 2 + 1, Ordering::SeqCst);
        let second = job(&target, steps()).options(four(lanes)).run().await;
        if !second.already_complete && second.fault.is_some() {
            assert_eq!(fault(&second).kind(), Kind::Io);
        }
        dead_from.store(u64::MAX, Ordering::SeqCst);
        let last = job(&target, steps()).options(four(lanes)).run().await;
        assert_complete(&last, counts(43, 0, 0));
        for (table, n) in items {
            let mut rows = written(&target, table);
            rows.sort_unstable();
            assert_eq!(rows, up_to(n.unsigned_abs()), "{table}, broken at {broken}");
        }
    }
}

/// The answer to a step's end is lost: the mark tells whether it landed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn b33_a_lost_answer_to_the_end_of_a_step_is_found_out() {
    for landed in [true, false] {
        let target = MemoryTarget::new();
        let losing = target.clone();
        let watch = Watch(move |event: &Event| {
            if matches!(event, Event::Committed { step, span, .. }
                if &**step == "a" && span.to == 20)
            {
                losing.lose_next_answer(landed);
            }
        });
        let steps = || [step("a", 20), step("b", 10).needs("a")];
        let report = job(&target, steps()).observe(Arc::new(watch)).run().await;
        assert_complete(&report, counts(30, 0, 0));
        assert_eq!(report.steps[0].retries, 1, "{landed}");
        assert_eq!(written(&target, "a"), up_to(20));
    }
}

/// Each step has a limit of its own, also when all of them fail items at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn b14_each_step_has_its_own_limit() {
    let target = MemoryTarget::new();
    let failing = |name: &str, n: u64| step(name, 30).map(Probe::new().fail(1..=n).boxed());
    let limited = || Options { limit: FailureLimit::Count(4), lanes: 3, ..at_once(3) };
    let steps = [failing("a", 4), failing("b", 5), failing("c", 3)];
    let over = job(&target, steps).options(limited()).run().await;
    assert!(fault(&over).message().starts_with("step b: 5 of "), "{:?}", over.fault);
    assert_eq!(over.steps[0].counts, counts(26, 0, 4));
    assert_eq!(over.steps[2].counts, counts(27, 0, 3));
    let failed: Vec<&str> = over.failed_items.iter().map(|item| item.step.as_str()).collect();
    let kept = usize::try_from(over.steps[1].counts.failed).unwrap();
    let dead = [vec!["a"; 4], vec!["b"; kept], vec!["c"; 3]].concat();
    assert_eq!(failed[..dead.len()], dead, "in the order of the steps");
    assert!(failed[dead.len()..].iter().all(|step| *step == "b"), "{failed:?}");
    let mended = [failing("a", 4), failing("b", 4), failing("c", 3)];
    assert_complete(&job(&target, mended).options(limited()).run().await, counts(79, 0, 11));
}

/// Asked to stop, all steps at work stop, and no other begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn b10_a_stop_reaches_all_steps() {
    let target = MemoryTarget::new();
    let (stopper, stop) = kiln::Stop::new();
    let seen = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
    let watch = Watch(move |event: &Event| {
        let Event::Committed { step, .. } = event else { return };
        let mut seen = seen.lock().unwrap();
        seen.insert(Arc::clone(step));
        if seen.len() == 2 {
            stopper.stop();
        }
    });
    let steps = || ["a", "b", "c"].map(|name| step(name, 3_000));
    let stopped = job(&target, steps()).observe(Arc::new(watch)).stop_on(stop).run().await;
    assert_eq!(stopped.status, Status::Stopped, "{:?}", stopped.fault);
    assert_eq!(fault(&stopped).message(), "stopped on request");
    assert!(stopped.steps.iter().any(|step| step.status.is_none()), "{:?}", statuses(&stopped));
    assert!(stopped.counts.read < 9_000);
    assert_complete(&job(&target, steps()).run().await, counts(9_000, 0, 0));
    for table in ["a", "b", "c"] {
        assert_eq!(written(&target, table), up_to(3_000));
    }
}

/// Taken over by another, a run writes nothing more in any of its steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn b35_a_run_given_up_is_fenced_in_all_steps() {
    let target = MemoryTarget::new();
    let ledger = target.ledger();
    let (given_up, there) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let waiting = || {
        let (given_up, there) = (Arc::clone(&given_up), Arc::clone(&there));
        Probe::new().hook(move |o| {
            if o == 11 {
                there.fetch_add(1, Ordering::SeqCst);
                wait_until(|| given_up.load(Ordering::SeqCst))?;
            }
            Ok(())
        })
    };
    let steps = ["a", "b", "c"].map(|name| step(name, 30).map(waiting().boxed()));
    let running = tokio::spawn(job(&target, steps).run());
    while there.load(Ordering::SeqCst) < 2 || target.rows("a").len() + target.rows("b").len() < 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let run = ledger.newest("numbers", "").await.unwrap().unwrap().start.id;
    assert!(ledger.abandon(&run, 1).await.unwrap());
    given_up.store(true, Ordering::SeqCst);
    let report = running.await.unwrap();
    assert_eq!(fault(&report).kind(), Kind::Fenced);
    assert_eq!(written(&target, "a"), up_to(10));
    assert_eq!(written(&target, "b"), up_to(10));
    assert!(written(&target, "c").is_empty(), "no other begins");
}
