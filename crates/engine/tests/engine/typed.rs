//! Mappers of structs: on all cores, and those that call out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kiln::memory::MemoryTarget;
use kiln::typed::{self, AsyncMapper, Calls, Outcome};
use kiln::{Fault, Kind, Mapper, Report, Result, RetryPolicy, Status, Stop};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::common::{assert_complete, counts, fault, job, numbers, written};

#[derive(Serialize, Deserialize)]
struct Number {
    n: i64,
}

/// Drops, fails and doubles some.
fn judge(Number { n }: Number) -> Outcome<Number> {
    match n % 10 {
        4 => Outcome::Filter,
        5 => Outcome::GiveAll(Vec::new()),
        6 => Outcome::GiveAll(vec![Number { n }, Number { n }]),
        7 => Outcome::Fail("a seven".to_owned()),
        _ => Outcome::Give(Number { n }),
    }
}

fn judged(n: u64) -> Vec<u64> {
    let given = |n: u64| match n % 10 {
        4 | 5 | 7 => vec![],
        6 => vec![n, n],
        _ => vec![n],
    };
    (1..=n).flat_map(given).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// However many threads had a share.
    #[test]
    fn items_keep_their_order_on_all_cores(items in 1i64..3_000, chunk in 1usize..2_000) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let target = MemoryTarget::new();
        let run = job(&target, numbers(items), chunk).map(typed::stateless(judge).unwrap()).run();
        let report = runtime.block_on(run);
        prop_assert!(report.fault.is_none(), "{:?}", report.fault);
        prop_assert_eq!(written(&target), judged(items as u64));
        let failed = (1..=items).filter(|n| n % 10 == 7).count() as u64;
        prop_assert_eq!(report.counts.failed, failed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapper_that_panics_fails_the_run_and_no_more() {
    let target = MemoryTarget::new();
    let careless = |item: Number| match item.n {
        900 => panic!("900 is too much"),
        _ => Outcome::Give(item),
    };
    let report = job(&target, numbers(2_000), 500).map(typed::stateless(careless).unwrap());
    let report = report.run().await;
    assert_eq!((report.status, fault(&report).kind()), (Status::Failed, Kind::Bug));
    assert!(fault(&report).message().contains("900 is too much"), "{}", fault(&report));
    assert_eq!(written(&target), (1..=500).collect::<Vec<_>>());
}

/// What the other side answers to the n-th try of an item.
type Answer = dyn Fn(i64, usize) -> Result<()> + Send + Sync;

/// Somebody who is asked about each number.
struct Oracle {
    answer: Box<Answer>,
    tries: Arc<Mutex<BTreeMap<i64, usize>>>,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Oracle {
    fn new(answer: impl Fn(i64, usize) -> Result<()> + Send + Sync + 'static) -> Self {
        Self {
            answer: Box::new(answer),
            tries: Arc::default(),
            under_way: Arc::default(),
            most: Arc::default(),
        }
    }
}

#[async_trait]
impl AsyncMapper for Oracle {
    type In = Number;
    type Out = Number;

    async fn map(&self, item: &Number) -> Result<Outcome<Number>> {
        let now = 1 + self.under_way.fetch_add(1, Ordering::SeqCst);
        self.most.fetch_max(now, Ordering::SeqCst);
        // Later ones are quicker.
        tokio::time::sleep(Duration::from_millis((7 - item.n % 7) as u64)).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let nth = {
            let mut tries = self.tries.lock().unwrap();
            let nth = tries.entry(item.n).or_insert(0);
            *nth += 1;
            *nth
        };
        (self.answer)(item.n, nth).map(|()| judge(Number { n: item.n }))
    }
}

fn calls(at_once: usize) -> Calls {
    let (base, most) = (Duration::from_micros(100), Duration::from_millis(1));
    let retry = RetryPolicy { retries: 3, base, most };
    Calls { at_once, retry, ..Calls::default() }
}

async fn ask(target: &MemoryTarget, mapper: Box<dyn Mapper>) -> Report {
    job(target, numbers(100), 40).map(mapper).run().await
}

async fn letters(target: &MemoryTarget, report: &Report) -> Vec<(u64, u32, String)> {
    let run = report.run.clone().unwrap();
    let letters = target.ledger().dead_letters(&run, "main", 0, 1_000).await.unwrap();
    letters.into_iter().map(|l| (l.ordinal, l.tries, l.message)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_made_side_by_side_within_bounds_and_keep_their_order() {
    for at_once in [1, 8] {
        let target = MemoryTarget::new();
        let oracle = Oracle::new(|_, _| Ok(()));
        let most = Arc::clone(&oracle.most);
        let report = ask(&target, typed::calls(oracle, calls(at_once)).unwrap()).await;
        assert_complete(&report, counts(70, 20, 10));
        assert_eq!(written(&target), judged(100));
        assert_eq!(most.load(Ordering::SeqCst), at_once);
    }
}

/// B17: each item is tried again by itself.
#[tokio::test(flavor = "multi_thread")]
async fn b17_an_item_whose_tries_are_used_up_is_a_dead_letter_that_says_so() {
    let busy = || Fault::new(Kind::Busy, "come back later").with_code("503");
    let target = MemoryTarget::new();
    let oracle = Oracle::new(move |n, nth| match n {
        // At the third try all is well; never; not worth another try; in the end not.
        1 if nth < 3 => Err(busy()),
        2 => Err(busy()),
        3 => Err(Fault::item("there is no 3").with_code("404")),
        8 => Err(Fault::item("8 is odd").transient(true)),
        _ => Ok(()),
    });
    let tries = Arc::clone(&oracle.tries);
    let report = ask(&target, typed::calls(oracle, calls(8)).unwrap()).await;
    assert_complete(&report, counts(67, 20, 13));
    let given_up = "come back later (given up after 4 tries)".to_owned();
    let told = letters(&target, &report).await;
    let expected =
        [(2, 4, given_up), (3, 1, "there is no 3".to_owned()), (7, 1, "a seven".to_owned())];
    assert_eq!(told[..3], expected);
    assert_eq!(told[3], (8, 4, "8 is odd".to_owned()));
    let codes = |nth: usize| report.failed_items[nth].code.as_deref();
    assert_eq!([codes(0), codes(1), codes(2)], [Some("503"), Some("404"), Some("mapper")]);
    let tries = tries.lock().unwrap();
    assert_eq!([1, 2, 3, 9].map(|n| tries[&n]), [3, 4, 1, 1]);
}

/// B16: where the other side can not be reached no item is at fault.
#[tokio::test(flavor = "multi_thread")]
async fn b16_what_concerns_all_items_ends_the_run_which_goes_on_later() {
    for (kind, tries_of_57) in [(Kind::Unreachable, 4 * 6), (Kind::NotPermitted, 1)] {
        let target = MemoryTarget::new();
        let oracle = Oracle::new(move |n, _| match n {
            57 => Err(Fault::new(kind, "nobody is there")),
            _ => Ok(()),
        });
        let tries = Arc::clone(&oracle.tries);
        let report = ask(&target, typed::calls(oracle, calls(8)).unwrap()).await;
        assert_eq!((report.status, fault(&report).kind()), (Status::Failed, kind));
        assert_eq!(report.counts.read, 40, "{:?}", report.counts);
        // Four tries of its own, and the chunk six times.
        assert_eq!(tries.lock().unwrap()[&57], tries_of_57, "{kind:?}");

        let mended = Oracle::new(|_, _| Ok(()));
        let report = ask(&target, typed::calls(mended, calls(8)).unwrap()).await;
        assert!(report.resumed);
        assert_complete(&report, counts(70, 20, 10));
        assert_eq!(written(&target), judged(100));
    }
}

/// Never answers about some.
struct Silent;

#[async_trait]
impl AsyncMapper for Silent {
    type In = Number;
    type Out = Number;

    async fn map(&self, item: &Number) -> Result<Outcome<Number>> {
        match item.n {
            50 => std::future::pending().await,
            n => Ok(Outcome::Give(Number { n })),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_is_not_waited_for() {
    let target = MemoryTarget::new();
    let patient = Calls { patience: Duration::from_millis(20), ..calls(4) };
    let report = ask(&target, typed::calls(Silent, patient).unwrap()).await;
    assert_complete(&report, counts(99, 0, 1));
    let given_up = "no answer within 0.02 s (given up after 4 tries)".to_owned();
    assert_eq!(letters(&target, &report).await, [(50, 4, given_up)]);
    assert_eq!(report.failed_items[0].code.as_deref(), Some("timeout"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_to_stop_does_not_wait_for_calls() {
    let target = MemoryTarget::new();
    let (stopper, stop) = Stop::new();
    let for_ever = Calls { patience: Duration::MAX, ..calls(4) };
    let run = job(&target, numbers(100), 40)
        .map(typed::calls(Silent, for_ever).unwrap())
        .stop_on(stop)
        .run();
    let stopping = async {
        while written(&target).len() < 40 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stopper.stop();
    };
    let (report, ()) = tokio::join!(run, stopping);
    assert_eq!(report.status, Status::Stopped, "{:?}", report.fault);
    assert_eq!(written(&target), (1..=40).collect::<Vec<_>>());
}
