//! The book of runs.

use std::time::Duration;

use kiln_core::{Claim, Fingerprint, Kind, Ledger, NewRun, Owner, RunState};
use kiln_databases::connect;

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn owner(name: &str) -> Owner {
    Owner { host: name.into(), pid: u32::MAX, identity: format!("{name}\u{1}'\"") }
}

fn new_run(id: &str, parameters: &str) -> NewRun {
    NewRun {
        id: RunId(id.into()),
        job: "invoices".into(),
        parameters: parameters.into(),
        source: Fingerprint::default().with("size", 7).with("first \"bytes\"", "\\x00\u{e9}"),
        definition: Fingerprint::default(),
    }
}

async fn ledger() -> (TestDatabase, Arc<dyn Ledger>) {
    let (server, database) = shop("").await;
    let ledger = database.ledger();
    ledger.prepare().await.unwrap();
    (server, ledger)
}

async fn created(ledger: &Arc<dyn Ledger>, id: &str, parameters: &str) -> Claim {
    let run = new_run(id, parameters);
    let newest = ledger.newest(&run.job, parameters).await.unwrap().map(|r| r.start.id);
    ledger.create(&run, newest.as_ref(), &owner("a"), LONG).await.unwrap().unwrap()
}

#[tokio::test]
async fn preparing_is_done_once_however_many_begin() {
    let (server, _) = shop("").await;
    let starts = (0..8).map(|_| {
        let url = server.url.clone();
        tokio::spawn(async move { connect(&url, None).await.unwrap().ledger().prepare().await })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.unwrap().unwrap();
    }
    assert_eq!(server.value("SELECT string_agg(version::text, ',') FROM kiln.meta").await, "3");
    server.execute("UPDATE kiln.meta SET version = 4").await;
    let newer = connect(&server.url, None).await.unwrap().ledger().prepare().await.unwrap_err();
    assert_eq!(newer.kind(), Kind::Config, "{newer}");
}

#[tokio::test]
async fn a_ledger_that_was_never_made_is_empty() {
    let (_server, database) = shop("").await;
    let ledger = database.ledger();
    assert_eq!(ledger.runs(None, 10).await.unwrap(), []);
    assert_eq!(ledger.newest("invoices", "").await.unwrap(), None);
    assert_eq!(ledger.dead_letter_count(&RunId("x".into())).await.unwrap(), 0);
}

#[tokio::test]
async fn of_many_that_create_a_run_one_wins() {
    let (server, ledger) = ledger().await;
    let parameters = "x\\y".repeat(5_000);
    let starts = (0..20).map(|i| {
        let (url, parameters) = (server.url.clone(), parameters.clone());
        tokio::spawn(async move {
            let ledger = connect(&url, None).await.unwrap().ledger();
            let run = new_run(&format!("run-{i}"), &parameters);
            ledger.create(&run, None, &owner("a"), LONG).await.unwrap().is_some()
        })
    });
    let mut won = 0;
    for start in starts.collect::<Vec<_>>() {
        won += usize::from(start.await.unwrap());
    }
    assert_eq!(won, 1);
    assert!(
        ledger.create(&new_run("other", "y"), None, &owner("a"), LONG).await.unwrap().is_some()
    );
    assert_eq!(ledger.runs(Some("invoices"), 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_run_is_read_as_it_was_written() {
    let (server, ledger) = ledger().await;
    let claim = created(&ledger, "r1", "p'\"\\").await;
    assert_eq!(claim, Claim { run: RunId("r1".into()), epoch: 1 });
    let run = ledger.newest("invoices", "p'\"\\").await.unwrap().unwrap();
    assert_eq!(run.start, new_run("r1", "p'\"\\"));
    assert_eq!((run.state, run.epoch, run.leased), (RunState::Running, 1, true));
    assert_eq!((run.owner, run.ended_at, run.message), (owner("a"), None, None));
    assert!(run.started_at.ends_with('Z') && run.started_at.contains('T'), "{}", run.started_at);
    server
        .execute(
            "INSERT INTO kiln.marks (run, step, lane, epoch, read, processed, filtered, failed)
             VALUES ('r1', 'a', 0, 1, 10, 7, 2, 1), ('r1', 'b', 1, 1, 1, 1, 0, 0)",
        )
        .await;
    let counts = ledger.run("r1").await.unwrap().unwrap().counts;
    assert_eq!([counts.read, counts.processed, counts.filtered, counts.failed], [11, 8, 2, 1]);
    assert_eq!(ledger.steps(&claim.run).await.unwrap(), ["a", "b"]);
    let marks = ledger.marks(&claim.run, "b").await.unwrap();
    assert_eq!(
        marks.iter().map(|(lane, mark)| (*lane, mark.counts.read)).collect::<Vec<_>>(),
        [(1, 1)]
    );
}

#[tokio::test]
async fn runs_are_listed_newest_first_and_found_by_the_start_of_their_name() {
    let (_server, ledger) = ledger().await;
    for id in ["0190-a", "0190-b", "0191"] {
        let claim = created(&ledger, id, "").await;
        ledger.finish(&claim, RunState::Completed, None).await.unwrap();
    }
    let names = |runs: Vec<kiln_core::RunRecord>| -> Vec<String> {
        runs.into_iter().map(|r| r.start.id.0).collect()
    };
    assert_eq!(names(ledger.runs(None, 2).await.unwrap()), ["0191", "0190-b"]);
    assert_eq!(names(ledger.runs(Some("other"), 9).await.unwrap()), [""; 0]);
    assert_eq!(ledger.newest("invoices", "").await.unwrap().unwrap().start.id.0, "0191");
    for (name, found) in [
        ("0190-a", Some("0190-a")),
        ("0191", Some("0191")),
        ("01", None),
        ("0190-b", Some("0190-b")),
        ("x", None),
        ("%", None),
        ("", None),
    ] {
        let run = ledger.run(name).await.unwrap().map(|r| r.start.id.0);
        assert_eq!(run.as_deref(), found, "{name:?}");
    }
}

#[tokio::test]
async fn only_legal_changes_of_state_happen() {
    let (_server, ledger) = ledger().await;
    let all = RunState::ALL;
    for (n, (from, to)) in all.iter().flat_map(|f| all.map(|t| (*f, t))).enumerate() {
        let claim = created(&ledger, &format!("r{n}"), &n.to_string()).await;
        match from {
            RunState::Running => {}
            RunState::Abandoned => assert!(ledger.abandon(&claim.run, 1).await.unwrap()),
            other => ledger.finish(&claim, other, Some("first")).await.unwrap(),
        }
        let done = match to {
            RunState::Running => {
                ledger.claim(&claim.run, 1, &owner("b"), LONG, true).await.unwrap().is_some()
            }
            RunState::Abandoned => ledger.abandon(&claim.run, 1).await.unwrap(),
            other => match ledger.finish(&claim, other, None).await {
                Ok(()) => true,
                Err(fault) => {
                    let fenced = from == RunState::Abandoned;
                    let kind = if fenced { Kind::Fenced } else { Kind::Bug };
                    assert_eq!(fault.kind(), kind, "{from:?} to {other:?}: {fault}");
                    false
                }
            },
        };
        assert_eq!(done, from.may_become(to), "{from:?} to {to:?}");
        let now = ledger.run(&claim.run.0).await.unwrap().unwrap();
        assert_eq!(now.state, if done { to } else { from }, "{from:?} to {to:?}");
    }
}

#[tokio::test]
async fn finish_takes_no_state_that_is_no_end() {
    let (_server, ledger) = ledger().await;
    let claim = created(&ledger, "r", "").await;
    for state in [RunState::Running, RunState::Abandoned] {
        assert_eq!(ledger.finish(&claim, state, None).await.unwrap_err().kind(), Kind::Bug);
    }
    ledger.finish(&claim, RunState::Failed, Some("nul\0 here")).await.unwrap();
    let run = ledger.run("r").await.unwrap().unwrap();
    assert_eq!(run.message.as_deref(), Some("nul\\x00 here"));
    assert!(run.ended_at.is_some());
    let claim = ledger.claim(&claim.run, 1, &owner("b"), LONG, false).await.unwrap().unwrap();
    let run = ledger.run("r").await.unwrap().unwrap();
    assert_eq!((claim.epoch, run.message, run.ended_at), (2, None, None));
    assert_eq!(run.owner, owner("b"));
}

#[tokio::test]
async fn a_lease_holds_until_it_ends_and_the_epoch_fences() {
    let (_server, ledger) = ledger().await;
    let short = Duration::from_millis(300);
    let run = new_run("r", "");
    let first = ledger.create(&run, None, &owner("a"), short).await.unwrap().unwrap();
    assert_eq!(ledger.claim(&run.id, 1, &owner("b"), LONG, false).await.unwrap(), None);
    ledger.heartbeat(&first, short).await.unwrap();
    tokio::time::sleep(short + Duration::from_millis(50)).await;
    assert!(!ledger.run("r").await.unwrap().unwrap().leased);
    let second = ledger.claim(&run.id, 1, &owner("b"), LONG, false).await.unwrap().unwrap();
    assert_eq!(second.epoch, 2);
    assert_eq!(ledger.claim(&run.id, 1, &owner("c"), LONG, true).await.unwrap(), None);
    assert_eq!(ledger.heartbeat(&first, LONG).await.unwrap_err().kind(), Kind::Fenced);
    let late = ledger.finish(&first, RunState::Completed, None).await.unwrap_err();
    assert_eq!(late.kind(), Kind::Fenced);
    assert!(!ledger.abandon(&run.id, 1).await.unwrap());
    let third = ledger.claim(&run.id, 2, &owner("c"), LONG, true).await.unwrap().unwrap();
    ledger.finish(&third, RunState::Completed, None).await.unwrap();
    assert_eq!(ledger.heartbeat(&third, LONG).await.unwrap_err().kind(), Kind::Fenced);
}

#[tokio::test]
async fn of_many_that_claim_a_run_one_wins() {
    let (server, ledger) = ledger().await;
    let claim = created(&ledger, "r", "").await;
    ledger.finish(&claim, RunState::Stopped, None).await.unwrap();
    let claims = (0..20).map(|_| {
        let url = server.url.clone();
        tokio::spawn(async move {
            let ledger = connect(&url, None).await.unwrap().ledger();
            ledger.claim(&RunId("r".into()), 1, &owner("b"), LONG, false).await.unwrap().is_some()
        })
    });
    let mut won = 0;
    for claim in claims.collect::<Vec<_>>() {
        won += usize::from(claim.await.unwrap());
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn who_works_on_an_abandoned_run_writes_nothing_more() {
    let (server, database) = shop("CREATE TABLE t (id bigint)").await;
    let ledger = database.ledger();
    ledger.prepare().await.unwrap();
    let claim = created(&ledger, "r", "").await;
    let rows = batch(vec![("id", ints([1]))]);
    let writes = [insert("t", &["id"])];
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &rows.schema()).await;
    assert!(ledger.abandon(&claim.run, 1).await.unwrap());
    let (fault, _) = refused(&mut lane, &unit(0, vec![rows.clone()])).await;
    assert_eq!(fault.kind(), Kind::Fenced);
    let again = LaneKey { lane: 1, ..key("r", 1) };
    let late = database.sink().open(&again, &writes, &rows.schema()).await.err().unwrap();
    assert_eq!(late.kind(), Kind::Fenced);
    assert_eq!(server.value("SELECT count(*) FROM t").await, "0");
}

#[tokio::test]
async fn dead_letters_come_back_as_they_went() {
    let (server, database) = shop("CREATE TABLE t (id bigint)").await;
    let rows = batch(vec![("id", ints([1]))]);
    let (mut lane, _) =
        open(&database, &key("r", 1), &[insert("t", &["id"])], &rows.schema()).await;
    let raws = [
        "plain",
        "a,\"quoted \"\" and\nbroken\r\n\"",
        "\\N",
        "\\.",
        "\0",
        "C:\\x00\\",
        "a\0b\\x00\\",
        "<script>\u{1b}[2J",
        "",
        "é€🔥",
        "'; DROP TABLE t; --",
    ];
    let mut bad = unit(0, vec![rows.slice(0, 0)]);
    bad.dead_letters = (1..).zip(raws).map(|(n, raw)| dead_letter(n, raw)).collect();
    bad.dead_letters[0].origin = Origin { raw: "plain".into(), ..Origin::default() };
    bad.dead_letters[0].constraint = Some("c'\"".into());
    bad.dead_letters[0].column = Some("col\tumn".into());
    bad.span.to = raws.len() as u64;
    commit(&mut lane, &bad).await;

    let (ledger, run) = (database.ledger(), RunId("r".into()));
    let mut read = ledger.dead_letters(&run, "main", 0, 100).await.unwrap();
    assert!(read.iter_mut().all(|d| d.at.take().is_some_and(|at| at.ends_with('Z'))));
    assert_eq!(read, bad.dead_letters);
    let some = ledger.dead_letters(&run, "main", 3, 2).await.unwrap();
    assert_eq!(some.iter().map(|d| d.ordinal).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(ledger.dead_letter_count(&run).await.unwrap(), raws.len() as u64);
    let plain = server.value("SELECT raw FROM kiln.dead_letters WHERE ordinal = 6").await;
    assert_eq!(plain, raws[5], "what can be kept as it is, is");
}
