//! Lanes side by side: the same outcome, whatever their number, also when it
//! changes from one start to the next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::common::{
    Probe, Recorder, Watch, assert_complete, counts, fault, job, numbers, options, written,
};
use kiln::memory::MemoryTarget;
use kiln::{Event, FailureLimit, Fault, Fingerprint, Job, Kind, Options, Status, Stop};
use proptest::prelude::*;

const ITEMS: i64 = 700;

fn in_lanes(target: &MemoryTarget, chunk: usize, lanes: u32) -> Job {
    job(target, numbers(ITEMS), chunk).options(Options { lanes, ..options(chunk) })
}

fn sorted(target: &MemoryTarget) -> Vec<u64> {
    let mut all = written(target);
    all.sort_unstable();
    all
}

#[tokio::test]
async fn lanes_share_every_chunk_and_end_level() {
    for lanes in [2, 3, 8] {
        let target = MemoryTarget::new();
        let report = in_lanes(&target, 128, lanes).run().await;
        assert_complete(&report, counts(ITEMS as u64, 0, 0));
        assert_eq!(sorted(&target), (1..=ITEMS as u64).collect::<Vec<_>>());
        let marks = target.ledger().marks(&report.run.unwrap(), "main").await.unwrap();
        assert_eq!(marks.len(), lanes as usize);
        assert!(marks.iter().all(|(_, mark)| mark.done == ITEMS as u64), "{marks:?}");
        let shares = marks.iter().filter(|(_, mark)| mark.counts.processed > 0).count();
        assert_eq!(shares, usize::min(lanes as usize, 6), "700 items are 6 blocks");
    }
}

#[tokio::test]
async fn a_commit_tells_its_lane() {
    let (target, recorder) = (MemoryTarget::new(), Arc::new(Recorder::default()));
    let report = in_lanes(&target, 100, 2).observe(Arc::clone(&recorder) as Arc<_>).run().await;
    assert!(report.fault.is_none());
    let lanes: BTreeSet<u32> = recorder
        .events()
        .iter()
        .filter_map(|e| if let Event::Committed { lane, .. } = e { Some(*lane) } else { None })
        .collect();
    assert_eq!(lanes.len(), 2);
}

/// B14: the limit is one for all lanes, however they come.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_is_one_for_all_lanes() {
    let bad = |most: u64| async move {
        let target = MemoryTarget::new();
        let probe = Probe::new().fail((1..=20).map(|n| n * 30));
        let options = Options { lanes: 4, limit: FailureLimit::Count(most), ..options(50) };
        let job = job(&target, numbers(ITEMS), 50).options(options).map(probe.boxed());
        (job.run().await, target)
    };
    let (report, _) = bad(20).await;
    assert_complete(&report, counts(680, 0, 20));
    let (report, target) = bad(10).await;
    assert_eq!(fault(&report).kind(), Kind::Limit);
    let letters = target.ledger().dead_letter_count(&report.run.unwrap()).await.unwrap();
    assert!(letters <= 10, "{letters}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_stop_all_lanes_end_and_the_run_goes_on_later() {
    let target = MemoryTarget::new();
    let (stopper, stop) = Stop::new();
    let watch = Watch(move |event: &Event| {
        if matches!(event, Event::Committed { span, .. } if span.to >= 200) {
            stopper.stop();
        }
    });
    let report = in_lanes(&target, 50, 3).observe(Arc::new(watch)).stop_on(stop).run().await;
    assert_eq!(report.status, Status::Stopped);
    let report = in_lanes(&target, 50, 2).run().await;
    assert_complete(&report, counts(ITEMS as u64, 0, 0));
    assert_eq!(sorted(&target), (1..=ITEMS as u64).collect::<Vec<_>>());
}

/// Breaks once `left` rows were judged.
fn breaking(left: &Arc<AtomicI64>, bad: &BTreeSet<u64>) -> MemoryTarget {
    let (left, bad) = (Arc::clone(left), bad.clone());
    MemoryTarget::new().judge(move |_, row| {
        if left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(Fault::config("the target broke"));
        }
        let n: u64 = row[0].as_deref().unwrap_or_default().parse().unwrap();
        if bad.contains(&n) { Err(Fault::item("bad")) } else { Ok(()) }
    })
}

#[tokio::test]
async fn lanes_that_are_apart_are_not_mapped_anew() {
    let left = Arc::new(AtomicI64::new(i64::MAX));
    let target = breaking(&left, &BTreeSet::new());
    let with_map = |lanes, map: &str| {
        in_lanes(&target, 50, lanes).definition(Fingerprint::default().with("map", map))
    };
    left.store(320, Ordering::SeqCst);
    let report = with_map(2, "a").run().await;
    assert_eq!(fault(&report).message(), "the target broke");
    left.store(i64::MAX, Ordering::SeqCst);
    let marks = target.ledger().marks(report.run.as_ref().unwrap(), "main").await.unwrap();
    assert_ne!(marks[0].1.done, marks[1].1.done, "the test wants lanes that are apart");
    let refused = with_map(2, "b").run().await;
    assert_eq!(fault(&refused).kind(), Kind::Config);
    let report = with_map(3, "a").run().await;
    assert_complete(&report, counts(ITEMS as u64, 0, 0));
    assert_eq!(sorted(&target), (1..=ITEMS as u64).collect::<Vec<_>>());
}

#[derive(Debug, Clone)]
struct Start {
    lanes: u32,
    chunk: usize,
    rows_until_it_breaks: i64,
}

fn start() -> impl Strategy<Value = Start> {
    (1u32..=4, 1usize..=400, 0i64..900).prop_map(|(lanes, chunk, rows_until_it_breaks)| Start {
        lanes,
        chunk,
        rows_until_it_breaks,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever breaks it off, and however many lanes go on: each item comes to
    /// one end.
    #[test]
    fn any_number_of_lanes_goes_on_where_any_other_broke_off(
        starts in prop::collection::vec(start(), 1..6),
        bad in prop::collection::btree_set(1u64..=ITEMS as u64, 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let left = Arc::new(AtomicI64::new(0));
            let target = breaking(&left, &bad);
            for Start { lanes, chunk, rows_until_it_breaks } in &starts {
                left.store(*rows_until_it_breaks, Ordering::SeqCst);
                in_lanes(&target, *chunk, *lanes).run().await;
            }
            left.store(i64::MAX, Ordering::SeqCst);
            let report = in_lanes(&target, 90, 2).run().await;
            let n = bad.len() as u64;
            assert_complete(&report, counts(ITEMS as u64 - n, 0, n));
            let good: Vec<u64> = (1..=ITEMS as u64).filter(|o| !bad.contains(o)).collect();
            assert_eq!(sorted(&target), good);
            let letters = target.ledger().dead_letters(&report.run.unwrap(), "main", 0, 100).await;
            let dead: Vec<u64> = letters.unwrap().iter().map(|d| d.ordinal).collect();
            assert_eq!(dead, bad.iter().copied().collect::<Vec<_>>());
        });
    }
}
