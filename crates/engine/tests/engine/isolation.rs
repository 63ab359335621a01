//! Finding the bad items among many, within a bound of tries.

use std::collections::BTreeSet;

use crate::common::{counts, job, numbers, refusing, written};
use kiln::Report;
use kiln::memory::MemoryTarget;
use proptest::prelude::*;

/// One chunk of `n` items with these bad ones; all is as it should be.
fn isolate(n: u64, bad: &BTreeSet<u64>) -> (MemoryTarget, Report) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let target = refusing(bad.iter().copied());
    let report = runtime.block_on(job(&target, numbers(n as i64), n as usize).run());
    assert!(report.fault.is_none(), "{:?}", report.fault);
    let k = bad.len() as u64;
    assert_eq!(report.counts, counts(n - k, 0, k));
    assert_eq!(written(&target), (1..=n).filter(|o| !bad.contains(o)).collect::<Vec<_>>());
    let run = report.run.clone().unwrap();
    let letters = runtime.block_on(target.ledger().dead_letters(&run, "main", 0, n as usize));
    let dead: Vec<u64> = letters.unwrap().iter().map(|l| l.ordinal).collect();
    assert_eq!(dead, bad.iter().copied().collect::<Vec<_>>());
    (target, report)
}

/// B23: about 2k·log2(n/k) + 2k tries. What is added is what it costs to find out
/// that the bad ones are sparse, where they begin dense.
fn bound(n: u64, k: u64) -> f64 {
    let (n, k) = (n as f64, k as f64);
    1.25 * (2.0 * k * (n / k).log2() + 2.0 * k) + 24.0
}

#[test]
fn b19_one_bad_item_wherever_it_stands() {
    for n in [1, 2, 3, 10, 1000] {
        for bad in [1, 2, n / 2, n - 1, n] {
            if (1..=n).contains(&bad) {
                let (target, _) = isolate(n, &BTreeSet::from([bad]));
                assert!(target.tried() <= 22, "{} tries for {bad} of {n}", target.tried());
            }
        }
    }
}

#[test]
fn b19_all_items_bad() {
    for n in [1, 2, 16, 17, 100, 1000] {
        let (target, _) = isolate(n, &(1..=n).collect());
        assert!(target.tried() as f64 <= 2.0 * n as f64 + 32.0, "{} tries of {n}", target.tried());
    }
}

#[test]
fn b23_dense_ones_go_item_by_item() {
    for every in [2, 3, 5, 9] {
        let bad: BTreeSet<u64> = (1..=1000).filter(|o| o % every == 0).collect();
        let k = bad.len() as f64;
        let (target, _) = isolate(1000, &bad);
        let tried = target.tried() as f64;
        // Each bad one once more, as the unit without its row.
        assert!(tried <= 1000.0 + k + 100.0, "every {every}th: {tried} tries");
    }
}

#[test]
fn b23_ten_of_a_thousand() {
    let bad: BTreeSet<u64> = (0..10).map(|i| i * 100 + 37).collect();
    let (target, _) = isolate(1000, &bad);
    assert!(target.tried() <= 136 + 32, "{} tries", target.tried());
}

#[test]
fn b23_good_ones_behind_a_cluster_do_not_go_item_by_item() {
    let bad: BTreeSet<u64> = (0..32).map(|i| 121 + 3 * i).collect();
    let (target, _) = isolate(422, &bad);
    assert!(target.tried() as f64 <= bound(422, 32), "{} tries", target.tried());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn b23_sparse_sets_stay_inside_the_bound(
        n in 100u64..2000,
        spots in proptest::collection::vec(0.0f64..1.0, 1..40),
    ) {
        let bad: BTreeSet<u64> = spots.iter().map(|x| 1 + (x * n as f64) as u64).collect();
        let k = bad.len() as u64;
        let (target, _) = isolate(n, &bad);
        prop_assert!(target.tried() as f64 <= bound(n, k), "{} tries for {k} of {n}", target.tried());
    }

    #[test]
    fn b23_clusters_stay_inside_the_bound(
        n in 200u64..2000,
        at in 0.0f64..0.9,
        k in 1u64..60,
        every in 1u64..4,
    ) {
        let first = 1 + (at * n as f64) as u64;
        let bad: BTreeSet<u64> =
            (0..k).map(|i| first + i * every).filter(|o| *o <= n).collect();
        let k = bad.len() as u64;
        let (target, _) = isolate(n, &bad);
        prop_assert!(target.tried() as f64 <= bound(n, k), "{} tries for {k} of {n}", target.tried());
    }

    #[test]
    fn b19_any_set_at_any_chunk_size(
        n in 1u64..120,
        chunk in 1usize..50,
        bad in proptest::collection::btree_set(1u64..120, 0..60),
    ) {
        let bad: BTreeSet<u64> = bad.into_iter().filter(|o| *o <= n).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let target = refusing(bad.iter().copied());
        let report = runtime.block_on(job(&target, numbers(n as i64), chunk).run());
        let k = bad.len() as u64;
        prop_assert_eq!(report.counts, counts(n - k, 0, k));
        prop_assert_eq!(written(&target), (1..=n).filter(|o| !bad.contains(o)).collect::<Vec<_>>());
    }
}
