//! What fails: an item, the moment, or everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{
    Probe, Sum, Torn, assert_complete, counts, fault, job, numbers, options, refusing, written,
};
use kiln::memory::MemoryTarget;
use kiln::typed;
use kiln::{FailureLimit, Fault, Kind, Options, Report, Stage, Status};

async fn letters(target: &MemoryTarget, report: &Report) -> Vec<(u64, Stage)> {
    let run = report.run.clone().unwrap();
    let letters = target.ledger().dead_letters(&run, "main", 0, 10_000).await.unwrap();
    letters.into_iter().map(|l| (l.ordinal, l.stage)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn b5_what_is_filtered_is_neither_written_nor_failed() {
    let target = MemoryTarget::new();
    let probe = Probe::new().filter((1..=30).filter(|o| o % 3 == 0));
    let report = job(&target, numbers(30), 7).map(probe.boxed()).run().await;
    assert_complete(&report, counts(20, 10, 0));
    assert_eq!(report.status, Status::Success);
    assert_eq!(written(&target), (1..=30).filter(|o| o % 3 != 0).collect::<Vec<_>>());
    assert!(letters(&target, &report).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn b5_a_source_of_which_nothing_is_left_completes() {
    let target = MemoryTarget::new();
    let probe = Probe::new().filter(1..=30);
    let report = job(&target, numbers(30), 7).map(probe.boxed()).run().await;
    assert_complete(&report, counts(0, 30, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn b13_each_stage_has_its_own_failures() {
    let target = refusing([6, 20]);
    let source = Torn { inner: numbers(30), bad: vec![2, 10, 11] };
    let probe = Probe::new().fail([5, 30]).filter([7]);
    let report = job(&target, source, 10).map(probe.boxed()).run().await;
    assert_complete(&report, counts(22, 1, 7));
    assert_eq!(report.status, Status::PartialSuccess);
    let expected = [
        (2, Stage::Parse),
        (5, Stage::Map),
        (6, Stage::Write),
        (10, Stage::Parse),
        (11, Stage::Parse),
        (20, Stage::Write),
        (30, Stage::Map),
    ];
    assert_eq!(letters(&target, &report).await, expected);
    let told: Vec<(Stage, &str)> =
        report.failed_items.iter().map(|f| (f.stage, f.error.as_str())).collect();
    assert_eq!(told[0], (Stage::Parse, "2 can't be read"));
    assert_eq!(told[1], (Stage::Map, "5 can't be mapped"));
    assert_eq!(told[2], (Stage::Write, "6 is bad"));
}

async fn limited(target: &MemoryTarget, limit: FailureLimit, probe: &Probe) -> Report {
    let options = Options { limit, ..options(10) };
    job(target, numbers(100), 10).options(options).map(probe.boxed()).run().await
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_more_failures_than_allowed_fail_the_run_which_is_resumable() {
    let target = MemoryTarget::new();
    let probe = Probe::new().fail([3, 13, 14, 44]);
    let within = limited(&MemoryTarget::new(), FailureLimit::Count(4), &probe).await;
    assert_complete(&within, counts(96, 0, 4));

    let over = limited(&target, FailureLimit::Count(2), &probe).await;
    assert_eq!((over.status, fault(&over).kind()), (Status::Failed, Kind::Limit));
    assert!(over.counts.failed <= 2, "{:?}", over.counts);
    assert_eq!(over.counts, counts(9, 0, 1));

    let still_over = limited(&target, FailureLimit::Count(3), &probe).await;
    assert_eq!(still_over.counts, counts(37, 0, 3));
    let raised = limited(&target, FailureLimit::Count(4), &probe).await;
    assert_eq!(raised.run, over.run);
    assert_complete(&raised, counts(96, 0, 4));
    assert_eq!(written(&target).len(), 96);
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_no_failure_allowed() {
    let target = MemoryTarget::new();
    let over = limited(&target, FailureLimit::Count(0), &Probe::new().fail([25])).await;
    assert_eq!(fault(&over).kind(), Kind::Limit);
    assert_eq!(over.counts, counts(20, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_a_share_counts_from_its_smallest_sample_on() {
    // Half of the first chunk fails, then nothing: 5 % in the end.
    let early = Probe::new().fail(1..=5);
    let small = FailureLimit::Ratio { ratio: 0.05, after: 10 };
    let over = limited(&MemoryTarget::new(), small, &early).await;
    assert_eq!(fault(&over).kind(), Kind::Limit);
    assert_eq!(over.counts.read, 0);
    let large = FailureLimit::Ratio { ratio: 0.05, after: 100 };
    assert_complete(&limited(&MemoryTarget::new(), large, &early).await, counts(95, 0, 5));

    let target = MemoryTarget::new();
    let late = Probe::new().fail(91..=96);
    let over = limited(&target, large, &late).await;
    assert_eq!(fault(&over).kind(), Kind::Limit);
    assert_eq!(over.counts, counts(90, 0, 0));
    let raised = FailureLimit::Ratio { ratio: 0.06, after: 100 };
    assert_complete(&limited(&target, raised, &late).await, counts(94, 0, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_what_the_target_refuses_counts_against_the_limit() {
    let target = refusing([3, 4, 5]);
    let over = limited(&target, FailureLimit::Count(2), &Probe::new()).await;
    assert_eq!(fault(&over).kind(), Kind::Limit);
    assert_eq!(over.counts.failed, 2);
    let raised = limited(&target, FailureLimit::Count(3), &Probe::new()).await;
    assert_complete(&raised, counts(97, 0, 3));
    assert_eq!(written(&target).len(), 97);
}

fn busy() -> Fault {
    Fault::new(Kind::Busy, "a deadlock").with_code("40P01")
}

#[tokio::test]
async fn b15_a_transient_fault_retries_the_chunk_and_fails_no_item() {
    let target = MemoryTarget::new();
    for _ in 0..3 {
        target.refuse_next(busy());
    }
    let report = job(&target, numbers(30), 10).run().await;
    assert_complete(&report, counts(30, 0, 0));
    assert_eq!((report.retries, report.chunks, target.tried()), (3, 3, 6));
    assert_eq!(written(&target), (1..=30).collect::<Vec<_>>());
}

#[tokio::test]
async fn b15_retries_are_counted_from_the_last_success() {
    let target = MemoryTarget::new();
    // Five are allowed; nine come, with a success in between.
    let refusals = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&refusals);
    let target_of = target.clone().judge(move |_, row| {
        let n: u64 = row[0].as_deref().unwrap().parse().unwrap();
        let first_of_chunk = n == 1 || n == 11;
        let seen = count.load(Ordering::SeqCst);
        if first_of_chunk && (n == 1 && seen < 4 || n == 11 && seen < 9) {
            count.fetch_add(1, Ordering::SeqCst);
            return Err(busy());
        }
        Ok(())
    });
    let report = job(&target_of, numbers(30), 10).run().await;
    assert_complete(&report, counts(30, 0, 0));
    assert_eq!((report.retries, refusals.load(Ordering::SeqCst)), (9, 9));
}

#[tokio::test]
async fn b15_a_fault_that_stays_fails_the_run_which_is_resumable() {
    let target = MemoryTarget::new();
    for _ in 0..6 {
        target.refuse_next(busy());
    }
    let report = job(&target, numbers(30), 10).run().await;
    assert_eq!((report.status, fault(&report).kind()), (Status::Failed, Kind::Busy));
    assert_eq!((report.counts, report.retries), (counts(0, 0, 0), 5));
    assert_complete(&job(&target, numbers(30), 10).run().await, counts(30, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn b15_a_transient_fault_of_the_mapper_retries_the_chunk() {
    let tries = AtomicU64::new(0);
    let probe = Probe::new().hook(move |o| {
        if o == 15 && tries.fetch_add(1, Ordering::SeqCst) < 3 {
            return Err(busy());
        }
        Ok(())
    });
    let target = MemoryTarget::new();
    let report = job(&target, numbers(30), 10).map(probe.boxed()).run().await;
    assert_complete(&report, counts(30, 0, 0));
    assert_eq!(report.retries, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn b15_a_retried_chunk_is_mapped_from_the_state_before_it() {
    let run = async |target: &MemoryTarget, troubles: u64| {
        let tries = AtomicU64::new(0);
        let behind = Probe::new().hook(move |o| {
            if o == 15 && tries.fetch_add(1, Ordering::SeqCst) < troubles {
                return Err(busy());
            }
            Ok(())
        });
        let sum = typed::mapper(Sum::default()).unwrap();
        let schema = sum.schema();
        job(target, numbers(30), 10).map(sum).map(behind.behind(schema)).run().await
    };
    let (troubled, calm) = (MemoryTarget::new(), MemoryTarget::new());
    assert_complete(&run(&troubled, 2).await, counts(24, 3, 3));
    assert_complete(&run(&calm, 0).await, counts(24, 3, 3));
    assert_eq!(troubled.rows("out"), calm.rows("out"));
}

#[tokio::test]
async fn b16_a_systemic_fault_stops_the_run_and_fails_no_item() {
    for kind in [Kind::Config, Kind::NotPermitted, Kind::Io, Kind::Fenced, Kind::Bug] {
        let target = MemoryTarget::new();
        target.refuse_next(Fault::new(kind, "no such table"));
        let report = job(&target, numbers(30), 10).run().await;
        assert_eq!(fault(&report).kind(), kind);
        assert_eq!(report.counts, counts(0, 0, 0));
        assert_eq!((report.retries, target.tried()), (0, 1));
        assert!(letters(&target, &report).await.is_empty());
    }
}

#[tokio::test]
async fn b33_a_lost_answer_is_resolved_from_the_mark() {
    for landed in [true, false] {
        let target = MemoryTarget::new();
        target.lose_next_answer(landed);
        let report = job(&target, numbers(30), 10).run().await;
        assert_complete(&report, counts(30, 0, 0));
        assert_eq!((report.chunks, report.retries), (3, 1));
        assert_eq!(target.tried(), if landed { 3 } else { 4 });
        assert_eq!(written(&target), (1..=30).collect::<Vec<_>>(), "landed: {landed}");
    }
}

#[tokio::test]
async fn b33_answers_lost_in_the_middle_of_isolation_are_resolved() {
    for landed in [true, false] {
        for lost in 0..12 {
            let target = refusing([3, 8]);
            // A transient refusal costs a try and changes nothing.
            for turn in 0..lost {
                if turn % 2 == 0 {
                    target.refuse_next(busy());
                } else {
                    target.lose_next_answer(landed);
                }
            }
            let report = job(&target, numbers(30), 10).run().await;
            if report.fault.is_some() {
                assert!(fault(&report).is_transient(), "{:?}", report.fault);
                assert_complete(&job(&target, numbers(30), 10).run().await, counts(28, 0, 2));
            } else {
                assert_complete(&report, counts(28, 0, 2));
            }
            let expected: Vec<u64> = (1..=30).filter(|n| ![3, 8].contains(n)).collect();
            assert_eq!(written(&target), expected, "landed {landed}, {lost} troubles");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b43_a_mapper_that_loses_an_item_fails_the_run() {
    let target = MemoryTarget::new();
    let report = job(&target, numbers(30), 10).map(Probe::new().lose([17]).boxed()).run().await;
    assert_eq!((report.status, fault(&report).kind()), (Status::Failed, Kind::Bug));
    assert!(fault(&report).message().contains("17"), "{:?}", report.fault);
    assert_eq!(written(&target), (1..=10).collect::<Vec<_>>(), "nothing of its chunk");
}
