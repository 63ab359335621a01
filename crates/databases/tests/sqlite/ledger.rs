//! The book of runs.

use std::sync::Arc;
use std::time::Duration;

use kiln_core::{
    Claim, Counts, Fingerprint, Kind, Ledger, NewRun, Origin, Owner, RunId, RunState, Stage,
};
use kiln_databases::connect;

use crate::support::*;

const LEASE: Duration = Duration::from_secs(30);

fn new_run(id: &str) -> NewRun {
    NewRun {
        id: RunId(id.to_owned()),
        job: "invoices".to_owned(),
        parameters: "{\"file\":\"a.csv\"}".to_owned(),
        source: Fingerprint::default().with("size", 12).with("first \"bytes\"", "a'b"),
        definition: Fingerprint::default().with("map", "SELECT 1"),
    }
}

fn owner(pid: u32) -> Owner {
    Owner { host: "here".to_owned(), pid, identity: format!("boot/{pid}") }
}

async fn ledger() -> (Shop, Arc<dyn Ledger>) {
    let shop = Shop::new("").await;
    let ledger = shop.database.ledger();
    (shop, ledger)
}

async fn create(ledger: &Arc<dyn Ledger>, id: &str) -> Claim {
    let run = new_run(id);
    let newest = ledger.newest(&run.job, &run.parameters).await.unwrap().map(|r| r.start.id);
    ledger.create(&run, newest.as_ref(), &owner(1), LEASE).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_run_is_kept_as_it_began() {
    let (_shop, ledger) = ledger().await;
    assert_eq!(ledger.newest("invoices", &new_run("").parameters).await.unwrap(), None);
    let claim = create(&ledger, "run-1").await;
    assert_eq!(claim, Claim { run: RunId("run-1".to_owned()), epoch: 1 });
    let record = ledger.newest("invoices", &new_run("").parameters).await.unwrap().unwrap();
    assert_eq!(record.start, new_run("run-1"));
    assert_eq!((record.state, record.epoch, record.leased), (RunState::Running, 1, true));
    assert_eq!(record.owner, owner(1));
    assert_eq!((record.ended_at, record.message), (None, None));
    assert_eq!(record.counts, Counts::default());
    let time = record.started_at.as_bytes();
    assert!(time.len() == 24 && time[10] == b'T' && time[23] == b'Z', "{}", record.started_at);
    assert_eq!(ledger.newest("other", &new_run("").parameters).await.unwrap(), None);
    assert_eq!(ledger.newest("invoices", "{}").await.unwrap(), None);
}

#[tokio::test]
async fn of_many_that_begin_at_once_one_wins() {
    let shop = Shop::untouched("").await;
    let mut starts = tokio::task::JoinSet::new();
    for n in 0..8 {
        let url = shop.database.url().to_owned();
        starts.spawn(async move {
            let ledger = connect(&url, None).await.unwrap().ledger();
            ledger.prepare().await.unwrap();
            ledger.create(&new_run(&format!("run-{n}")), None, &owner(n), LEASE).await.unwrap()
        });
    }
    let claims = starts.join_all().await;
    assert_eq!(claims.iter().flatten().count(), 1, "{claims:?}");
    assert_eq!(shop.rows("SELECT count(*) FROM kiln_runs"), ["1"]);
}

#[tokio::test]
async fn a_run_is_taken_over_only_by_who_saw_it_last() {
    let (_shop, ledger) = ledger().await;
    let first = create(&ledger, "run-1").await;
    let run = &first.run;
    assert_eq!(ledger.claim(run, 1, &owner(2), LEASE, false).await.unwrap(), None, "leased");
    let second = ledger.claim(run, 1, &owner(2), LEASE, true).await.unwrap().unwrap();
    assert_eq!(second.epoch, 2);
    assert_eq!(ledger.claim(run, 1, &owner(3), LEASE, true).await.unwrap(), None, "too late");

    let fenced = |result: kiln_core::Result<()>| result.unwrap_err().kind() == Kind::Fenced;
    assert!(fenced(ledger.heartbeat(&first, LEASE).await));
    assert!(fenced(ledger.finish(&first, RunState::Completed, None).await));
    ledger.heartbeat(&second, LEASE).await.unwrap();
    ledger.finish(&second, RunState::Stopped, Some("asked to")).await.unwrap();
    let record = ledger.run("run-1").await.unwrap().unwrap();
    assert_eq!((record.state, record.leased), (RunState::Stopped, false));
    assert_eq!(record.message.as_deref(), Some("asked to"));
    assert!(record.ended_at.is_some());

    let third = ledger.claim(run, 2, &owner(3), LEASE, false).await.unwrap().unwrap();
    let record = ledger.run("run-1").await.unwrap().unwrap();
    assert_eq!((record.state, record.epoch), (RunState::Running, 3));
    assert_eq!((record.owner, record.message, record.ended_at), (owner(3), None, None));
    ledger.finish(&third, RunState::Completed, None).await.unwrap();
}

#[tokio::test]
async fn a_lease_runs_out_by_the_clock_of_the_database() {
    let (_shop, ledger) = ledger().await;
    let short = Duration::from_millis(150);
    let claim = ledger.create(&new_run("run-1"), None, &owner(1), short).await.unwrap().unwrap();
    assert!(ledger.run("run-1").await.unwrap().unwrap().leased);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!ledger.run("run-1").await.unwrap().unwrap().leased);
    // Late, but nobody took it over.
    ledger.heartbeat(&claim, short).await.unwrap();
    assert!(ledger.run("run-1").await.unwrap().unwrap().leased);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(ledger.claim(&claim.run, 1, &owner(2), LEASE, false).await.unwrap().is_some());
}

#[tokio::test]
async fn a_change_of_state_that_is_not_allowed_changes_nothing() {
    let (shop, ledger) = ledger().await;
    for end in [RunState::Completed, RunState::Failed, RunState::Stopped] {
        let claim = create(&ledger, &format!("ended-{}", end.as_str())).await;
        for wrong in [RunState::Running, RunState::Abandoned] {
            let fault = ledger.finish(&claim, wrong, None).await.unwrap_err();
            assert_eq!(fault.kind(), Kind::Bug);
        }
        ledger.finish(&claim, end, None).await.unwrap();
        let before = shop.rows("SELECT * FROM kiln_runs ORDER BY number DESC LIMIT 1");
        let again = ledger.finish(&claim, RunState::Completed, None).await.unwrap_err();
        assert_eq!(again.kind(), Kind::Bug, "{again}");
        assert_eq!(ledger.heartbeat(&claim, LEASE).await.unwrap_err().kind(), Kind::Fenced);
        let taken = ledger.claim(&claim.run, 7, &owner(2), LEASE, true).await.unwrap();
        assert_eq!(taken, None);
        assert!(!ledger.abandon(&claim.run, 7).await.unwrap());
        let after = shop.rows("SELECT * FROM kiln_runs ORDER BY number DESC LIMIT 1");
        assert_eq!(after, before);
        assert_eq!(ledger.abandon(&claim.run, 1).await.unwrap(), end.is_open());
        assert_eq!(ledger.claim(&claim.run, 1, &owner(2), LEASE, true).await.unwrap(), None);
    }
    let missing = Claim { run: RunId("nobody".to_owned()), epoch: 1 };
    let fault = ledger.finish(&missing, RunState::Failed, None).await.unwrap_err();
    assert_eq!(fault.kind(), Kind::Fenced);
}

#[tokio::test]
async fn an_abandoned_run_writes_nothing_more() {
    let (shop, ledger) = ledger().await;
    shop.sql().execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
    let claim = create(&ledger, "run-1").await;
    let rows = batch(vec![("n", ints([1]))]);
    let mut lane = shop.lane(1, &[insert("t", &["n"])], rows.schema()).await;
    commit(&mut *lane, unit(0, vec![rows.clone()])).await;
    assert!(ledger.abandon(&claim.run, 1).await.unwrap());
    let refused = refusal(&mut *lane, unit(1, vec![rows])).await;
    assert_eq!(refused.fault.kind(), Kind::Fenced);
    assert_eq!(ledger.run("run-1").await.unwrap().unwrap().state, RunState::Abandoned);
    create(&ledger, "run-2").await;
}

#[tokio::test]
async fn runs_are_found_by_name_and_listed_newest_first() {
    let (_shop, ledger) = ledger().await;
    for id in ["0190-a", "0190-b", "0190"] {
        let claim = create(&ledger, id).await;
        ledger.finish(&claim, RunState::Completed, None).await.unwrap();
    }
    let mut other = new_run("0191");
    other.job = "other".to_owned();
    ledger.create(&other, None, &owner(1), LEASE).await.unwrap().unwrap();
    let ids = |runs: Vec<kiln_core::RunRecord>| {
        runs.into_iter().map(|r| r.start.id.0).collect::<Vec<_>>()
    };
    assert_eq!(ids(ledger.runs(None, 10).await.unwrap()), ["0191", "0190", "0190-b", "0190-a"]);
    assert_eq!(ids(ledger.runs(Some("invoices"), 2).await.unwrap()), ["0190", "0190-b"]);
    let find = async |name| ledger.run(name).await.unwrap().map(|r| r.start.id.0);
    assert_eq!(find("0190").await.as_deref(), Some("0190"), "the name itself");
    assert_eq!(find("0191").await.as_deref(), Some("0191"));
    assert_eq!(find("0190-a").await.as_deref(), Some("0190-a"));
    assert_eq!(find("019").await, None, "of several");
    assert_eq!(find("%").await, None);
    let newest = ledger.newest("invoices", &new_run("").parameters).await.unwrap().unwrap();
    assert_eq!(newest.start.id.0, "0190");
}

#[tokio::test]
async fn marks_counts_and_steps_are_those_of_the_lanes() {
    let (shop, ledger) = ledger().await;
    shop.sql().execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
    let claim = create(&ledger, "run-1").await;
    let rows = batch(vec![("n", ints([1, 2]))]);
    let writes = [insert("t", &["n"])];
    let mut last = lane_key(1);
    for (step, lane) in [("main", 0), ("main", 1), ("after", 0)] {
        last.step = step.to_owned();
        last.lane = lane;
        let (mut lane, _) =
            shop.database.sink().open(&last, &writes, &rows.schema()).await.unwrap();
        let mut unit = unit(0, vec![rows.clone()]);
        unit.filtered = vec![3];
        unit.span.to = 3;
        commit(&mut *lane, unit).await;
    }
    let record = ledger.run("run-1").await.unwrap().unwrap();
    let expected = Counts { read: 9, processed: 6, filtered: 3, duplicate: 0, failed: 0 };
    assert_eq!(record.counts, expected);
    assert_eq!(ledger.steps(&claim.run).await.unwrap(), ["main", "after"]);
    let marks = ledger.marks(&claim.run, "main").await.unwrap();
    let marks: Vec<_> = marks.into_iter().map(|(lane, m)| (lane, m.done, m.checkpoint)).collect();
    assert_eq!(marks, [(0, 3, checkpoint(2)), (1, 3, checkpoint(2))]);
    assert!(ledger.marks(&claim.run, "none").await.unwrap().is_empty());
}

#[tokio::test]
async fn dead_letters_are_kept_to_the_letter() {
    let (shop, ledger) = ledger().await;
    shop.sql().execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
    let rows = batch(vec![("n", ints([]))]);
    let mut lane = shop.lane(1, &[insert("t", &["n"])], rows.schema()).await;
    let raws =
        ["", "a'b\"c", "two\nlines\r\n", "nul\0tab\t\\x00\\", "\u{1b}[31mred\u{1b}[0m", "é🔥"];
    let mut letters: Vec<_> = (1..).zip(raws).map(|(n, raw)| dead_letter(n, raw)).collect();
    letters[0].origin =
        Origin { key: Some("7".to_owned()), source: "table x".to_owned(), ..Origin::default() };
    letters[0].stage = Stage::Write;
    (letters[0].code, letters[0].column) = (None, None);
    letters[0].constraint = Some("positive".to_owned());
    letters[0].tries = 3;
    let mut unit = unit(0, vec![rows]);
    unit.span.to = letters.len() as u64;
    unit.dead_letters = letters.clone();
    commit(&mut *lane, unit).await;

    let run = lane_key(1).run;
    let mut kept = ledger.dead_letters(&run, "main", 0, 100).await.unwrap();
    for letter in &mut kept {
        assert_eq!(letter.at.take().map(|t| t.len()), Some(24));
    }
    assert_eq!(kept, letters);
    let some = ledger.dead_letters(&run, "main", 2, 2).await.unwrap();
    assert_eq!(some.iter().map(|l| l.ordinal).collect::<Vec<_>>(), [3, 4]);
    assert!(ledger.dead_letters(&run, "main", u64::MAX, 2).await.unwrap().is_empty());
    assert_eq!(ledger.dead_letter_count(&run).await.unwrap(), letters.len() as u64);
    assert_eq!(ledger.dead_letter_count(&RunId("x".to_owned())).await.unwrap(), 0);
}

#[tokio::test]
async fn a_ledger_of_a_newer_kiln_is_left_alone() {
    let (shop, ledger) = ledger().await;
    ledger.prepare().await.unwrap();
    shop.sql().execute_batch("UPDATE kiln_meta SET version = 99").unwrap();
    for fault in [ledger.prepare().await.unwrap_err(), ledger.runs(None, 1).await.unwrap_err()] {
        assert_eq!(fault.kind(), Kind::Config);
        assert!(fault.message().contains("newer kiln"), "{fault}");
    }
}

#[tokio::test]
async fn a_database_in_memory_keeps_a_ledger_while_it_lives() {
    let database = connect("sqlite::memory:", script("CREATE TABLE t (n INTEGER);")).await.unwrap();
    database.ledger().prepare().await.unwrap();
    let rows = batch(vec![("n", ints([1]))]);
    let checks = database.sink().check(&[insert("t", &["n"])], &rows.schema()).await;
    assert!(checks.iter().all(|c| c.result.is_ok()), "{checks:?}");
    database.set_up().await.unwrap();
    let opened = database.sink().open(&lane_key(1), &[insert("t", &["n"])], &rows.schema()).await;
    commit(&mut *opened.unwrap().0, unit(0, vec![rows])).await;
    let marks = database.ledger().marks(&lane_key(1).run, "main").await.unwrap();
    assert_eq!(marks[0].1.done, 1);
}
