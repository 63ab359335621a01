//! What every sink owes that finds rows by a key.

use std::sync::Arc;

use kiln_core::{
    Counts, Duplicates, Kind, Lane, Mode, Rejection, RunId, Settled, Stage, Unit, Write,
};

use super::ledger::begin;
use crate::TestTarget;
use crate::notes::{self, key};
use crate::stock::{Item, item, items, log, moves, shown, stock, totals, unit};

type Target = dyn TestTarget;

async fn lane(target: &Target, job: &str, writes: &[Write]) -> (RunId, Box<dyn Lane>) {
    let claim = begin(&*target.ledger(), job, "").await;
    let key = key(&claim.run, 0, claim.epoch);
    let (lane, _) = target.sink().open(&key, writes, &items()).await.expect("an open lane");
    (claim.run, lane)
}

async fn answer(lane: &mut Box<dyn Lane>, unit: &Unit) -> Settled {
    lane.submit(Arc::new(unit.clone())).await;
    lane.settle().await
}

async fn commit(lane: &mut Box<dyn Lane>, unit: &Unit) -> Counts {
    match answer(lane, unit).await {
        Settled::Committed(counts) => counts,
        other => panic!("{:?} was not committed: {other:?}", unit.span),
    }
}

/// The items that a refused unit names.
async fn refused(lane: &mut Box<dyn Lane>, unit: &Unit) -> Vec<(u64, String)> {
    match answer(lane, unit).await {
        Settled::Refused(refusal) => named(refusal.ordinal, refusal.fault, refusal.others),
        other => panic!("{:?} was not refused: {other:?}", unit.span),
    }
}

fn named(
    ordinal: Option<u64>,
    fault: kiln_core::Fault,
    others: Vec<Rejection>,
) -> Vec<(u64, String)> {
    let first = ordinal.map(|ordinal| Rejection { ordinal, fault });
    let named = first.into_iter().chain(others).map(|Rejection { ordinal, fault }| {
        assert_eq!(fault.kind(), Kind::Item, "{fault:?}");
        (ordinal, fault.code().unwrap_or_default().to_owned())
    });
    named.collect()
}

/// As the engine does it: what is named is taken out, else the unit is halved.
async fn isolate(lane: &mut Box<dyn Lane>, unit: Unit) -> Counts {
    let mut sum = Counts::default();
    let mut queue = vec![unit];
    while let Some(unit) = queue.pop() {
        let refusal = match answer(lane, &unit).await {
            Settled::Committed(counts) => {
                sum += counts;
                continue;
            }
            Settled::Refused(refusal) => refusal,
            Settled::Unknown(fault) => panic!("{:?}: {fault:?}", unit.span),
        };
        assert_eq!(refusal.fault.kind(), Kind::Item, "{:?}", refusal.fault);
        let lone =
            refusal.ordinal.or(if unit.items.len() > 1 { None } else { Some(unit.items[0]) });
        match lone {
            Some(ordinal) => {
                let mut bad = refusal.others;
                bad.push(Rejection { ordinal, fault: refusal.fault });
                let stage = Stage::Write;
                let failure =
                    |r: Rejection| kiln_core::Failure { ordinal: r.ordinal, stage, fault: r.fault };
                let bad: Vec<_> = bad.into_iter().map(failure).collect();
                queue.push(unit.reject(&bad).unwrap());
            }
            None => {
                let (a, b) = unit.split(unit.items[unit.items.len() / 2 - 1]);
                queue.extend([b, a]);
            }
        }
    }
    sum
}

async fn table(target: &Target, name: &str) -> Vec<String> {
    shown(target.rows(name).await)
}

/// The counts of a unit of which this was written and that was there.
fn counts(processed: u64, duplicate: u64) -> Counts {
    Counts { read: processed + duplicate, processed, duplicate, ..Counts::default() }
}

async fn counted(target: &Target, run: &RunId) -> Counts {
    target.ledger().marks(run, notes::STEP).await.expect("marks")[0].1.counts
}

/// What is there stays, what is new is made, in the same unit and the next; the
/// counts say which, in the ledger too.
pub async fn ignored_rows_stay_and_are_counted(target: &Target) {
    let writes = [stock(Mode::Ignore, true)];
    let (run, mut lane) = lane(target, "job", &writes).await;
    let first = [item("a", 1), item("b", 2), item("a", 9)];
    assert_eq!(commit(&mut lane, &unit(0, &first, &writes)).await, counts(2, 1));
    let second =
        [item("b", 7), Item { place: 2, ..item("b", 3) }, Item { place: 2, ..item("b", 4) }];
    assert_eq!(commit(&mut lane, &unit(3, &second, &writes)).await, counts(1, 2));
    assert_eq!(
        table(target, "stock").await,
        ["a 1 1 0.01 - 2", "b 1 2 0.02 - 4", "b 2 3 0.03 - 6"]
    );
    assert_eq!(counted(target, &run).await, counts(3, 3));
}

/// A file that is loaded twice adds once; an item with one new row is new.
pub async fn a_duplicate_adds_nothing(target: &Target) {
    // The increment stands first: still it knows which items are new.
    let writes = [totals(), moves(Mode::Ignore), stock(Mode::Ignore, false)];
    let load = [item("a", 1), item("b", 2), item("a", 4)];
    for (job, expected) in [("first", counts(2, 1)), ("second", counts(0, 3))] {
        let (run, mut lane) = lane(target, job, &writes).await;
        assert_eq!(commit(&mut lane, &unit(0, &load, &writes)).await, expected);
        assert_eq!(table(target, "totals").await, ["1 3 0.03"]);
        assert_eq!(counted(target, &run).await, expected);
    }
    let (_, mut lane) = lane(target, "third", &writes).await;
    // The move is known, the stock is not.
    let third = [Item { place: 2, ..item("a", 5) }, item("b", 100)];
    assert_eq!(commit(&mut lane, &unit(0, &third, &writes)).await, counts(1, 1));
    assert_eq!(table(target, "totals").await, ["1 3 0.03", "2 5 0.05"]);
    assert_eq!(table(target, "moves").await, ["a 1", "b 1"]);
}

/// However the items are cut, the same are duplicates and the same is added.
pub async fn any_cut_finds_the_same_duplicates(target: &Target) {
    let writes = [moves(Mode::Ignore), totals()];
    let all = ["a", "b", "a", "c", "b", "a"].map(|code| item(code, 1));
    for at in 1..6 {
        forget_the_moves(target, at).await;
        let (run, mut lane) = lane(target, &format!("cut {at}"), &writes).await;
        let (a, b) = unit(0, &all, &writes).split(at);
        let sum = commit(&mut lane, &a).await + commit(&mut lane, &b).await;
        assert_eq!(sum, counts(3, 3), "cut at {at}");
        assert_eq!(counted(target, &run).await, sum);
        let n = 3 * at;
        assert_eq!(table(target, "totals").await, [format!("1 {n} 0.{n:02}")]);
    }
}

/// After this all items are new once more.
async fn forget_the_moves(target: &Target, turn: u64) {
    let writes =
        [Write { columns: moves(Mode::Delete).columns[..1].to_vec(), ..moves(Mode::Delete) }];
    let (_, mut lane) = lane(target, &format!("empty {turn}"), &writes).await;
    let all = ["a", "b", "c"].map(|code| item(code, 0));
    commit(&mut lane, &unit(0, &all, &writes)).await;
    assert!(target.rows("moves").await.is_empty());
}

/// A known row keeps no other write of the item away.
pub async fn a_known_row_is_no_known_item(target: &Target) {
    let writes = [moves(Mode::Ignore), log(), totals()];
    let (_, mut lane) = lane(target, "job", &writes).await;
    let orders = [item("a", 1), item("a", 2)];
    assert_eq!(commit(&mut lane, &unit(0, &orders, &writes)).await, counts(2, 0));
    assert_eq!(commit(&mut lane, &unit(2, &orders, &writes)).await, counts(2, 0));
    assert_eq!(table(target, "moves").await, ["a 1"]);
    assert_eq!(table(target, "log").await, ["a 1", "a 1", "a 2", "a 2"]);
    assert_eq!(table(target, "totals").await, ["1 6 0.06"]);
}

/// New rows are made, known ones changed; columns that are not written keep
/// their default, or what is there.
pub async fn an_upsert_makes_and_changes(target: &Target) {
    let with_note = [stock(Mode::Upsert, true)];
    let (_, mut notes) = lane(target, "one", &with_note).await;
    let first = [Item { note: Some("old"), ..item("a", 1) }, Item { n: None, ..item("b", 2) }];
    assert_eq!(commit(&mut notes, &unit(0, &first, &with_note)).await, counts(2, 0));
    let without = [stock(Mode::Upsert, false)];
    let (_, mut lane) = lane(target, "two", &without).await;
    let second = [item("c", 3), item("a", 10), item("b", -1)];
    assert_eq!(commit(&mut lane, &unit(0, &second, &without)).await, counts(3, 0));
    assert_eq!(
        table(target, "stock").await,
        ["a 1 10 0.10 old 20", "b 1 -1 -0.01 - -2", "c 1 3 0.03 new 6"]
    );
}

const REPEATED: [(&str, i64); 7] =
    [("a", 1), ("b", 2), ("a", -1000), ("a", 3), ("b", 4), ("c", 5), ("c", -1000)];

/// B39: the last row of a key stays, and however the items are cut there are
/// the same rows, dead letters and counts, a bad row among those of a key too.
pub async fn the_last_row_of_a_key_stays_in_any_cut(target: &Target) {
    let writes = [stock(Mode::Upsert, false), log()];
    let all = REPEATED.map(|(code, n)| item(code, n));
    for at in 1..all.len() as u64 {
        let (run, mut lane) = lane(target, &format!("cut {at}"), &writes).await;
        let (a, b) = unit(0, &all, &writes).split(at);
        isolate(&mut lane, a).await;
        isolate(&mut lane, b).await;
        let rows = ["a 1 3 0.03 new 6", "b 1 4 0.04 new 8", "c 1 5 0.05 new 10"];
        assert_eq!(table(target, "stock").await, rows, "cut at {at}");
        let letters = target.ledger().dead_letters(&run, notes::STEP, 0, 9).await.unwrap();
        assert_eq!(letters.iter().map(|l| l.ordinal).collect::<Vec<_>>(), [3, 7], "cut at {at}");
        let expected = Counts { read: 7, processed: 5, failed: 2, ..Counts::default() };
        assert_eq!(counted(target, &run).await, expected, "cut at {at}");
    }
}

/// B39: the first row of a key in a unit stays, the others are duplicates.
pub async fn the_first_row_of_a_key_stays(target: &Target) {
    let write = Write { on_duplicate: Duplicates::First, ..stock(Mode::Upsert, false) };
    let writes = [write.clone()];
    let (_, mut lane) = lane(target, "one", &writes).await;
    let all = [item("a", 1), item("b", 2), item("a", 3), item("a", 4)];
    assert_eq!(commit(&mut lane, &unit(0, &all, &writes)).await, counts(2, 2));
    assert_eq!(table(target, "stock").await, ["a 1 1 0.01 new 2", "b 1 2 0.02 new 4"]);
    // A unit that comes later finds the row there, and changes it.
    assert_eq!(commit(&mut lane, &unit(4, &all[3..], &writes)).await, counts(1, 0));
    assert_eq!(table(target, "stock").await, ["a 1 4 0.04 new 8", "b 1 2 0.02 new 4"]);
    // Something else of the others is written: they are no duplicates.
    let writes = [write, totals()];
    let (_, mut lane) = self::lane(target, "two", &writes).await;
    assert_eq!(commit(&mut lane, &unit(0, &all, &writes)).await, counts(4, 0));
    assert_eq!(table(target, "totals").await, ["1 10 0.10"]);
}

/// B38, B39: numbers are added exactly, a NULL adds nothing, of the rest the
/// last stays.
pub async fn the_rows_of_a_key_are_summed(target: &Target) {
    let writes = [Write { on_duplicate: Duplicates::Sum, ..stock(Mode::Upsert, true) }];
    let (_, mut lane) = lane(target, "job", &writes).await;
    let large = 10i128.pow(25) + 1;
    let all = [
        Item { note: Some("x"), cents: large, ..item("a", 1) },
        Item { n: None, ..item("b", 2) },
        Item { note: Some("y"), n: None, cents: large, ..item("a", 0) },
        Item { note: Some("z"), cents: -1, ..item("a", 5) },
        Item { n: None, ..item("b", 1) },
    ];
    assert_eq!(commit(&mut lane, &unit(0, &all, &writes)).await, counts(5, 0));
    let rows = ["a 1 6 200000000000000000000000.01 z 12", "b 1 - 0.03 - -"];
    assert_eq!(table(target, "stock").await, rows);
    // A sum that the table refuses is nobody's fault alone.
    let bad = unit(5, &[item("c", -600), item("c", -600)], &writes);
    assert!(refused(&mut lane, &bad).await.is_empty());
    assert_eq!(table(target, "stock").await, rows);
}

/// B39: the first row of a key is written, the others are dead letters, named
/// all at once.
pub async fn repeated_keys_are_rejected(target: &Target) {
    let reject = |mode| Write { on_duplicate: Duplicates::Reject, ..stock(mode, false) };
    let writes = [log(), reject(Mode::Upsert)];
    let (run, mut lane) = lane(target, "job", &writes).await;
    let all = [item("a", 1), item("b", 2), item("a", 3), item("a", 4), item("b", 5)];
    let whole = unit(0, &all, &writes);
    let code = "duplicate_key".to_owned();
    let named = refused(&mut lane, &whole).await;
    assert_eq!(named, [3, 4, 5].map(|ordinal| (ordinal, code.clone())));
    assert!(target.rows("log").await.is_empty());
    isolate(&mut lane, whole).await;
    assert_eq!(table(target, "stock").await, ["a 1 1 0.01 new 2", "b 1 2 0.02 new 4"]);
    let letters = target.ledger().dead_letters(&run, notes::STEP, 0, 9).await.unwrap();
    assert!(letters.iter().all(|l| l.code.as_ref() == Some(&code)), "{letters:?}");
    assert_eq!(letters.iter().map(|l| l.ordinal).collect::<Vec<_>>(), [3, 4, 5]);
    let writes = [reject(Mode::Update)];
    let (_, mut lane) = self::lane(target, "update", &writes).await;
    isolate(&mut lane, unit(0, &all[..3], &writes)).await;
    assert_eq!(table(target, "stock").await, ["a 1 1 0.01 new 2", "b 1 2 0.02 new 4"]);
}

/// Rows that are there are changed, in turn; items that find none are named,
/// all at once.
pub async fn an_update_changes_what_is_there(target: &Target) {
    let made = [stock(Mode::Insert, true)].map(|w| Write { key: Vec::new(), ..w });
    let (_, mut making) = lane(target, "make", &made).await;
    commit(&mut making, &unit(0, &[item("a", 1), item("b", 2)], &made)).await;
    let writes = [stock(Mode::Update, false)];
    let (_, mut lane) = lane(target, "job", &writes).await;
    let all = [item("a", 5), item("x", 1), item("b", 6), item("x", 2), item("a", 7), item("y", 3)];
    let whole = unit(0, &all, &writes);
    let code = "not_found".to_owned();
    let mut named = refused(&mut lane, &whole).await;
    named.sort();
    assert_eq!(named, [2, 4, 6].map(|ordinal| (ordinal, code.clone())));
    assert_eq!(table(target, "stock").await, ["a 1 1 0.01 - 2", "b 1 2 0.02 - 4"]);
    isolate(&mut lane, whole).await;
    assert_eq!(table(target, "stock").await, ["a 1 7 0.07 - 14", "b 1 6 0.06 - 12"]);
    for (policy, n, counts) in [
        (Duplicates::First, "1 0.01 - 2", counts(1, 1)),
        (Duplicates::Sum, "3 0.03 - 6", counts(2, 0)),
    ] {
        let writes = [Write { on_duplicate: policy, ..stock(Mode::Update, false) }];
        let (_, mut lane) = self::lane(target, n, &writes).await;
        let twice = unit(0, &[item("a", 1), item("a", 2)], &writes);
        assert_eq!(commit(&mut lane, &twice).await, counts);
        assert_eq!(table(target, "stock").await[0], format!("a 1 {n}"));
        let absent = unit(2, &[item("x", 1), item("x", 2), item("a", 0)], &writes);
        let named: Vec<u64> = refused(&mut lane, &absent).await.iter().map(|n| n.0).collect();
        assert_eq!(named, if policy == Duplicates::Sum { vec![3, 4] } else { vec![3] });
    }
}

/// Rows are removed; what is gone already is no fault.
pub async fn a_delete_removes_what_is_there(target: &Target) {
    let made = [stock(Mode::Upsert, false)];
    let (_, mut making) = lane(target, "make", &made).await;
    let all = [item("a", 1), item("b", 2), Item { place: 2, ..item("a", 3) }];
    commit(&mut making, &unit(0, &all, &made)).await;
    let writes = [stock(Mode::Delete, false)];
    let (_, mut lane) = lane(target, "job", &writes).await;
    let gone = [item("a", 0), item("x", 0), item("a", 0)];
    assert_eq!(commit(&mut lane, &unit(0, &gone, &writes)).await, counts(3, 0));
    assert_eq!(table(target, "stock").await, ["a 2 3 0.03 new 6", "b 1 2 0.02 new 4"]);
}

/// A NULL is equal to nothing: an item with one in its key fails in every mode
/// that finds rows by a key.
pub async fn a_null_in_a_key_is_refused(target: &Target) {
    for mode in Mode::ALL.into_iter().filter(|mode| mode.is_keyed()) {
        let writes = [stock(mode, false)];
        let (_, mut lane) = lane(target, mode.as_str(), &writes).await;
        let null = Item { code: None, ..item("", 1) };
        let bad = unit(0, &[null, item("a", 1), null], &writes);
        let named = refused(&mut lane, &bad).await;
        assert_eq!(named, [1, 3].map(|ordinal| (ordinal, "null_key".to_owned())), "{mode:?}");
        assert!(target.rows("stock").await.is_empty(), "{mode:?}");
    }
}

/// Writes are done in the order of their declaration: what one makes the next
/// one finds.
pub async fn writes_follow_each_other(target: &Target) {
    let made =
        [stock(Mode::Upsert, false), moves(Mode::Upsert), totals(), stock(Mode::Update, true)];
    let (_, mut making) = lane(target, "make", &made).await;
    let all = [Item { note: Some("seen"), ..item("a", 1) }, item("b", 2)];
    commit(&mut making, &unit(0, &all, &made)).await;
    assert_eq!(table(target, "stock").await, ["a 1 1 0.01 seen 2", "b 1 2 0.02 - 4"]);
    let replaced = [stock(Mode::Delete, false), stock(Mode::Insert, false)]
        .map(|w| if w.mode == Mode::Insert { Write { key: Vec::new(), ..w } } else { w });
    let (_, mut lane) = lane(target, "replace", &replaced).await;
    commit(&mut lane, &unit(0, &[item("a", 8)], &replaced)).await;
    assert_eq!(table(target, "stock").await, ["a 1 8 0.08 new 16", "b 1 2 0.02 - 4"]);
}

/// B18: of a refused unit nothing is there, in any mode.
pub async fn a_refused_unit_changes_nothing_in_any_mode(target: &Target) {
    let made = [stock(Mode::Upsert, false)];
    let (_, mut making) = lane(target, "make", &made).await;
    commit(&mut making, &unit(0, &[item("a", 1), item("b", 2)], &made)).await;
    let before = table(target, "stock").await;
    for mode in Mode::ALL.into_iter().filter(|mode| mode.is_keyed()) {
        let writes = [stock(mode, false), log()];
        let (run, mut lane) = lane(target, mode.as_str(), &writes).await;
        let bad = unit(0, &[item("a", 7), item("b", -5000)], &writes);
        refused(&mut lane, &bad).await;
        assert_eq!(table(target, "stock").await, before, "{mode:?}");
        assert!(target.rows("log").await.is_empty(), "{mode:?}");
        assert_eq!(counted(target, &run).await, Counts::default(), "{mode:?}");
    }
}

/// Many rows in one unit and again in the next ones, in every mode; what is
/// found is found among all of them.
pub async fn many_rows_are_found(target: &Target) {
    const ROWS: i64 = 3_000;
    let all = |n: i64| -> Vec<Item> {
        (0..ROWS).rev().map(|place| Item { place, n: Some(n), ..item("a", 0) }).collect()
    };
    let count = async || target.rows("stock").await.len() as i64;
    for (mode, expected) in [
        (Mode::Ignore, counts(ROWS as u64, 0)),
        (Mode::Ignore, counts(0, ROWS as u64)),
        (Mode::Upsert, counts(ROWS as u64, 0)),
        (Mode::Update, counts(ROWS as u64, 0)),
    ] {
        let writes = [stock(mode, false)];
        let (_, mut lane) = lane(target, &format!("{mode:?} {expected:?}"), &writes).await;
        for turn in 0..2 {
            let done = commit(&mut lane, &unit(turn * ROWS as u64, &all(1), &writes)).await;
            let again = mode == Mode::Ignore && turn > 0;
            assert_eq!(done, if again { counts(0, ROWS as u64) } else { expected }, "{mode:?}");
        }
        assert_eq!(count().await, ROWS);
    }
    let writes = [stock(Mode::Delete, false)];
    let (_, mut lane) = lane(target, "delete", &writes).await;
    commit(&mut lane, &unit(0, &all(0), &writes)).await;
    assert_eq!(count().await, 0);
}

/// A check of good writes passes in every mode.
pub async fn checks_pass_in_every_mode(target: &Target) {
    for mode in Mode::ALL.into_iter().filter(|mode| mode.is_keyed()) {
        let checks = target.sink().check(&[stock(mode, false)], &items()).await;
        let failed: Vec<_> = checks.iter().filter_map(|c| c.result.as_ref().err()).collect();
        assert!(failed.is_empty(), "{mode:?}: {failed:?}");
    }
}
