//! The laws of a unit of work: its parts cover its span, its shares its items,
//! and committing either is committing the whole.

use std::sync::Arc;
use std::time::Duration;

use kiln::memory::MemoryTarget;
use kiln::{Counts, Fingerprint, Mark, NewRun, Owner, RuleCount, RunId, Settled, Unit, Warning};
use kiln_testkit::Row;
use kiln_testkit::notes::{self, Fate, insert_labels, insert_notes, items, key, unit};
use proptest::prelude::*;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![4 => Just(Fate::Write), 1 => Just(Fate::Filtered), 1 => Just(Fate::Failed)]
}

/// The unit of a chunk for two writes, in which every third item breaks one rule
/// and every fifth another.
fn whole(from: u64, fates: &[Fate]) -> Unit {
    let mut unit = unit(from, fates, &[insert_notes(), insert_labels()]);
    for ordinal in &unit.items {
        let broken = [(3, "a"), (5, "b")].into_iter().filter(|(n, _)| ordinal % n == 0);
        let warning = |(_, rule): (u64, &str)| Warning { ordinal: *ordinal, rule: rule.into() };
        unit.warnings.extend(broken.map(warning));
    }
    unit
}

/// Cuts a unit behind each of these ordinals, those that lie in it.
fn parts(unit: Unit, cuts: &[u64]) -> Vec<Unit> {
    let mut parts = Vec::new();
    let mut rest = unit;
    let mut cuts = cuts.to_vec();
    cuts.sort_unstable();
    for cut in cuts {
        if rest.span.from < cut && cut < rest.span.to {
            let (first, second) = rest.split(cut);
            parts.push(first);
            rest = second;
        }
    }
    parts.push(rest);
    parts
}

#[derive(Debug, PartialEq)]
struct Outcome {
    rules: Vec<RuleCount>,
    notes: Vec<Row>,
    labels: Vec<Row>,
    dead: Vec<(u64, String)>,
    mark: Mark,
}

/// What is there when these units were committed one after another.
async fn committed(from: u64, units: Vec<Unit>) -> Outcome {
    let target = MemoryTarget::new();
    let run = NewRun {
        id: RunId("run".to_owned()),
        job: "job".to_owned(),
        parameters: String::new(),
        source: Fingerprint::default(),
        definition: Fingerprint::default(),
    };
    let ledger = target.ledger();
    let hour = Duration::from_secs(3600);
    ledger.create(&run, None, &Owner::default(), hour).await.unwrap().unwrap();
    let writes = [insert_notes(), insert_labels()];
    let (mut lane, _) = target.sink().open(&key(&run.id, 0, 1), &writes, &items()).await.unwrap();
    let before = unit(0, &vec![Fate::Filtered; from as usize], &writes);
    let mut all = vec![before];
    all.extend(units);
    for unit in all.into_iter().filter(|u| !u.span.is_empty()) {
        let expected = unit.counts();
        lane.submit(Arc::new(unit)).await;
        match lane.settle().await {
            Settled::Committed(counts) => assert_eq!(counts, expected),
            other => panic!("{other:?}"),
        }
    }
    let dead = ledger.dead_letters(&run.id, notes::STEP, 0, 1000).await.unwrap();
    Outcome {
        rules: ledger.rules(&run.id, notes::STEP).await.unwrap(),
        notes: target.rows("notes"),
        labels: target.rows("labels"),
        dead: dead.into_iter().map(|l| (l.ordinal, l.message)).collect(),
        mark: ledger.marks(&run.id, notes::STEP).await.unwrap().remove(0).1,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_parts_of_a_unit_cover_its_span(
        from in 0u64..50,
        fates in proptest::collection::vec(fate(), 1..60),
        cuts in proptest::collection::vec(0u64..120, 0..8),
    ) {
        let whole = whole(from, &fates);
        let parts = parts(whole.clone(), &cuts);
        let mut at = whole.span.from;
        let mut sum = Counts::default();
        for part in &parts {
            prop_assert_eq!(part.span.from, at);
            prop_assert!(!part.span.is_empty());
            at = part.span.to;
            sum += part.counts();
            let ordinals = part.items.iter().chain(&part.filtered)
                .chain(part.dead_letters.iter().map(|l| &l.ordinal));
            for ordinal in ordinals {
                prop_assert!(part.span.contains(*ordinal));
            }
            for rows in &part.writes {
                prop_assert_eq!(rows.batch.num_rows(), rows.ordinals.len());
                prop_assert_eq!(&rows.ordinals, &part.items);
            }
            prop_assert_eq!(&part.start, &whole.start);
        }
        prop_assert_eq!(at, whole.span.to);
        prop_assert_eq!(sum, whole.counts());
        // Only the last part is where the chunk ends; a run that stops before
        // reads the chunk again.
        let (last, others) = parts.split_last().unwrap();
        prop_assert_eq!(&last.end, &whole.end);
        prop_assert!(others.iter().all(|p| p.end == whole.start));
    }

    #[test]
    fn committing_the_parts_is_committing_the_whole(
        from in 0u64..5,
        fates in proptest::collection::vec(fate(), 1..40),
        cuts in proptest::collection::vec(0u64..50, 0..8),
    ) {
        let whole = whole(from, &fates);
        let split = parts(whole.clone(), &cuts);
        let (a, b) = block_on(async { (committed(from, vec![whole]).await, committed(from, split).await) });
        prop_assert_eq!(a, b);
    }

    #[test]
    fn the_shares_of_a_unit_are_the_whole(
        fates in proptest::collection::vec(fate(), 1..60),
        count in 1u32..5,
        seed in any::<u64>(),
    ) {
        let whole = whole(0, &fates);
        let lane = |ordinal: u64| ((ordinal ^ seed) % u64::from(count)) as u32;
        let lanes: Vec<u32> = whole.items.iter().map(|o| lane(*o)).collect();
        let shares = whole.share(count, &lanes, lane).unwrap();
        prop_assert_eq!(shares.len(), count as usize);
        let mut ordinals: Vec<u64> = Vec::new();
        let mut warnings = Vec::new();
        let mut sum = Counts::default();
        for (number, share) in shares.iter().enumerate() {
            prop_assert_eq!((share.span, &share.start, &share.end), (whole.span, &whole.start, &whole.end));
            let own = share.items.iter().chain(&share.filtered)
                .chain(share.dead_letters.iter().map(|l| &l.ordinal));
            for ordinal in own {
                prop_assert_eq!(lane(*ordinal), number as u32);
                ordinals.push(*ordinal);
            }
            prop_assert!(share.warnings.iter().all(|w| share.items.contains(&w.ordinal)));
            warnings.extend(share.warnings.iter().map(|w| (w.ordinal, w.rule.clone())));
            for rows in &share.writes {
                prop_assert_eq!(rows.batch.num_rows(), rows.ordinals.len());
                prop_assert_eq!(&rows.ordinals, &share.items);
            }
            sum += share.counts();
        }
        warnings.sort_unstable();
        let all = whole.warnings.iter().map(|w| (w.ordinal, w.rule.clone()));
        prop_assert_eq!(warnings, all.collect::<Vec<_>>());
        ordinals.sort_unstable();
        prop_assert_eq!(ordinals, (1..=whole.span.to).collect::<Vec<_>>());
        prop_assert_eq!(sum, whole.counts());
        prop_assert!(whole.share(count, &lanes[..lanes.len().saturating_sub(1)], lane).is_err() || lanes.is_empty());
    }

    #[test]
    fn rejecting_then_splitting_is_splitting_then_rejecting(
        fates in proptest::collection::vec(fate(), 2..40),
        bad in proptest::collection::btree_set(1u64..45, 0..10),
        cut in 1u64..40,
    ) {
        let whole = whole(0, &fates);
        let cut = cut.min(whole.span.to - 1);
        let failures: Vec<_> = bad.iter().map(|o| notes::failure(*o)).collect();
        let (a, b) = whole.reject(&failures).unwrap().split(cut);
        let (c, d) = whole.split(cut);
        let (c, d) = (c.reject(&failures).unwrap(), d.reject(&failures).unwrap());
        for (one, other) in [(a, c), (b, d)] {
            prop_assert_eq!(one.span, other.span);
            prop_assert_eq!(&one.items, &other.items);
            prop_assert_eq!(&one.filtered, &other.filtered);
            prop_assert_eq!(&one.dead_letters, &other.dead_letters);
            prop_assert_eq!(&one.warnings, &other.warnings);
            prop_assert!(one.warnings.iter().all(|w| one.items.contains(&w.ordinal)));
            for (x, y) in one.writes.iter().zip(&other.writes) {
                prop_assert_eq!(&x.batch, &y.batch);
                prop_assert_eq!(&x.ordinals, &y.ordinals);
            }
        }
    }
}
