//! Two units on their way at once.

use std::time::{Duration, Instant};

use kiln_core::{Kind, Landed, Mode};
use kiln_testkit::OwnPostgres;

use super::*;
use crate::lost_answers::Way;

const TABLES: &str = "CREATE TABLE t (id bigint PRIMARY KEY, n bigint)";

fn rows(from: u64, n: i64) -> RecordBatch {
    let ids = from as i64 + 1..=from as i64 + 100;
    batch(vec![("id", ints(ids)), ("n", ints([n; 100]))])
}

/// A hundred items behind ordinal `from`.
fn hundred(from: u64, n: i64) -> Unit {
    unit(from, vec![rows(from, n)])
}

fn writes() -> [Write; 1] {
    [insert("t", &["id", "n"])]
}

/// A trigger that does this for a row whose `n` is 13.
fn trigger(deed: &str) -> String {
    format!(
        "{TABLES}; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.n = 13 THEN {deed} END IF; RETURN NEW; END $$;
         CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"
    )
}

async fn lane(database: &Arc<dyn Database>) -> Box<dyn Lane> {
    open(database, &key("r", 1), &writes(), &rows(0, 0).schema()).await.0
}

async fn mark(server: &TestDatabase) -> String {
    server.value("SELECT done || '/' || (SELECT count(*) FROM t) FROM kiln.marks").await
}

#[tokio::test]
async fn units_on_their_way_together_commit_in_order() {
    let (server, database) = shop(TABLES).await;
    let mut lane = lane(&database).await;
    assert_eq!(lane.window(), 3);
    lane.submit(Arc::new(hundred(0, 0))).await;
    for turn in 1..=20 {
        lane.submit(Arc::new(hundred(100 * turn, 0))).await;
        assert!(matches!(lane.settle().await, Settled::Committed(_)), "{turn}");
    }
    assert!(matches!(lane.settle().await, Settled::Committed(_)));
    assert_eq!(mark(&server).await, "2100/2100");
}

/// The first is refused in every way there is; the second never lands.
#[tokio::test]
async fn a_unit_behind_a_refused_one_refuses_itself() {
    let late = "CREATE TABLE p (id bigint PRIMARY KEY); INSERT INTO p VALUES (0);
                CREATE TABLE t (id bigint PRIMARY KEY,
                                n bigint REFERENCES p DEFERRABLE INITIALLY DEFERRED)";
    let cases = [
        (trigger("RAISE 'no';"), Kind::Item, "P0001"),
        (trigger("RAISE SQLSTATE '40001';"), Kind::Busy, "40001"),
        (trigger("RAISE SQLSTATE '40P01';"), Kind::Busy, "40P01"),
        (trigger("PERFORM 1 / 0;"), Kind::Item, "22012"),
        (late.to_owned(), Kind::Item, "23503"),
        (format!("{TABLES}; ALTER TABLE t ADD CHECK (n <> 13)"), Kind::Item, "23514"),
    ];
    let (server, database) = shop("").await;
    for (tables, kind, code) in cases {
        server.execute(AFRESH).await;
        server.execute(&tables).await;
        let mut lane = lane(&database).await;
        commit(&mut lane, &hundred(0, 0)).await;
        for _ in 0..2 {
            lane.submit(Arc::new(hundred(100, 13))).await;
            lane.submit(Arc::new(hundred(200, 0))).await;
            match lane.settle().await {
                Settled::Refused(refusal) => {
                    let fault = &refusal.fault;
                    assert_eq!((fault.kind(), fault.code()), (kind, Some(code)), "{fault}");
                }
                other => panic!("{code}: {other:?}"),
            }
            assert!(matches!(lane.settle().await, Settled::Refused(_)), "{code}");
            assert_eq!(mark(&server).await, "100/100", "{code}");
        }
        lane.submit(Arc::new(hundred(100, 0))).await;
        lane.submit(Arc::new(hundred(200, 0))).await;
        for _ in 0..2 {
            assert!(matches!(lane.settle().await, Settled::Committed(_)), "{code}");
        }
        assert_eq!(mark(&server).await, "300/300", "{code}");
    }
}

/// What the client sees by itself is refused without being sent.
#[tokio::test]
async fn all_values_that_can_not_be_sent_are_named_at_once() {
    let (server, database) = shop("CREATE TABLE t (a text, n numeric(5,1))").await;
    let rows =
        |a: [&'static str; 4], n: [&'static str; 4]| batch(vec![("a", texts(a)), ("n", texts(n))]);
    let good = rows(["a"; 4], ["1.5"; 4]);
    let writes = [insert("t", &["a", "n"])];
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &good.schema()).await;
    lane.submit(Arc::new(unit(0, vec![good.clone()]))).await;
    let bad = rows(["b", "b\0", "b", "\0"], ["1", "1", "1.55", "1.55"]);
    lane.submit(Arc::new(unit(4, vec![bad]))).await;
    assert!(matches!(lane.settle().await, Settled::Committed(_)));
    match lane.settle().await {
        Settled::Refused(refusal) => {
            let mut named = vec![(refusal.ordinal.unwrap(), refusal.fault)];
            named.extend(refusal.others.into_iter().map(|r| (r.ordinal, r.fault)));
            let named: Vec<_> = named.iter().map(|(o, f)| (*o, f.code(), f.column())).collect();
            assert_eq!(
                named,
                [
                    (6, Some("22021"), Some("a")),
                    (7, Some("22003"), Some("n")),
                    (8, Some("22021"), Some("a")),
                ]
            );
        }
        other => panic!("{other:?}"),
    }
    commit(&mut lane, &unit(4, vec![good])).await;
    assert_eq!(server.value("SELECT count(*) FROM t").await, "8");
}

/// Fault 13: the backend is ended while a unit is written and one waits.
#[tokio::test]
async fn a_backend_that_is_ended_leaves_both_units_open() {
    let (server, database) = shop(&trigger("PERFORM pg_sleep(60);")).await;
    let mut old = lane(&database).await;
    commit(&mut old, &hundred(0, 0)).await;
    old.submit(Arc::new(hundred(100, 13))).await;
    old.submit(Arc::new(hundred(200, 0))).await;
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE wait_event = 'PgSleep' AND datname = current_database()";
    while server.value(ended).await == "0" {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        match old.settle().await {
            Settled::Unknown(fault) => assert!(
                (fault.is_transient() && fault.kind() == Kind::Unreachable)
                    || fault.kind() == Kind::Bug,
                "{fault:?}"
            ),
            other => panic!("{other:?}"),
        }
    }
    let (mut new, at) = open(&database, &key("r", 1), &writes(), &rows(0, 0).schema()).await;
    assert_eq!(at.done, 100);
    commit(&mut new, &hundred(100, 0)).await;
    assert_eq!(mark(&server).await, "200/200");
}

/// Fault 12: the server is killed while a unit is written and one waits.
#[tokio::test]
async fn a_server_that_is_killed_and_started_again_leaves_both_units_open() {
    let server = OwnPostgres::start(&[], "");
    server.value(&trigger("PERFORM pg_sleep(60);")).await;
    let database = connect(&server.url(), None).await.unwrap();
    let mut old = lane(&database).await;
    commit(&mut old, &hundred(0, 0)).await;
    old.submit(Arc::new(hundred(100, 13))).await;
    old.submit(Arc::new(hundred(200, 0))).await;
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while server.value(sleeping).await == "0" {
        tokio::task::yield_now().await;
    }
    server.kill();
    server.start_again();
    for _ in 0..2 {
        match old.settle().await {
            Settled::Unknown(fault) => {
                assert_eq!((fault.kind(), fault.is_transient()), (Kind::Unreachable, true));
            }
            other => panic!("{other:?}"),
        }
    }
    let (mut new, at) = open(&database, &key("r", 1), &writes(), &rows(0, 0).schema()).await;
    assert_eq!(at.done, 100);
    commit(&mut new, &hundred(100, 0)).await;
    assert_eq!(server.value("SELECT count(*) FROM t").await, "200");
}

/// Fault 11: nothing comes through any more, and nobody says so.
#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let (server, _) = shop(TABLES).await;
    let way = Way::into_the_dark(&server.url);
    let database = connect(&format!("{}?answer_timeout=1", way.url), None).await.unwrap();
    let mut lane = lane(&database).await;
    commit(&mut lane, &hundred(0, 0)).await;
    way.arm();
    let began = Instant::now();
    lane.submit(Arc::new(hundred(100, 0))).await;
    lane.submit(Arc::new(hundred(200, 0))).await;
    for _ in 0..2 {
        match lane.settle().await {
            Settled::Unknown(fault) => {
                assert!(fault.is_transient(), "{fault:?}");
                assert_eq!(fault.landed(), Landed::Unknown);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(lane);
    let direct = connect(&server.url, None).await.unwrap();
    let (mut lane, at) = open(&direct, &key("r", 1), &writes(), &rows(0, 0).schema()).await;
    assert_eq!(at.done, 100);
    commit(&mut lane, &hundred(100, 0)).await;
    assert_eq!(mark(&server).await, "200/200");
}

#[tokio::test]
async fn a_statement_that_hangs_ends_as_a_transient_fault() {
    let (server, _) = shop(&trigger("PERFORM pg_sleep(60);")).await;
    let database = connect(&format!("{}?answer_timeout=1", server.url), None).await.unwrap();
    let mut first = lane(&database).await;
    let began = Instant::now();
    match settle(&mut first, &hundred(0, 13)).await {
        Settled::Refused(refusal) => assert!(refusal.fault.is_transient(), "{refusal:?}"),
        Settled::Unknown(fault) => assert!(fault.is_transient(), "{fault:?}"),
        Settled::Committed(_) => panic!("a statement that hangs was done"),
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let mut again = lane(&database).await;
    commit(&mut again, &hundred(0, 0)).await;
    assert_eq!(mark(&server).await, "100/100");
}

/// Keys that only the database knows to be equal are found out behind the
/// sender's back, while another unit is on its way.
#[tokio::test]
async fn a_unit_that_has_to_be_asked_for_keeps_its_turn() {
    let (server, database) = shop("CREATE TABLE t (k int PRIMARY KEY, n int)").await;
    let rows = |keys: [&'static str; 3], n| batch(vec![("k", texts(keys)), ("n", ints([n; 3]))]);
    for mode in [Mode::Upsert, Mode::Update] {
        server
            .execute("TRUNCATE t; INSERT INTO t VALUES (1, 0), (2, 0); DROP SCHEMA IF EXISTS kiln CASCADE")
            .await;
        let writes = [write("t", mode, &["k", "n"], &["k"])];
        let schema = rows(["1"; 3], 0).schema();
        let (mut lane, _) = open(&database, &key("r", 1), &writes, &schema).await;
        lane.submit(Arc::new(unit(0, vec![rows(["1", "2", "01"], 5)]))).await;
        lane.submit(Arc::new(unit(3, vec![rows(["1", "1", "1"], 7)]))).await;
        for _ in 0..2 {
            let settled = lane.settle().await;
            assert!(matches!(settled, Settled::Committed(_)), "{mode:?}: {settled:?}");
        }
        let all = "SELECT string_agg(k || '=' || n, ' ' ORDER BY k) FROM t";
        assert_eq!(server.value(all).await, "1=7 2=5", "{mode:?}");
    }
}

/// Rows to be made or changed are copied while all are new; the units in which
/// some are there, and those on their way behind them, are done by key.
#[tokio::test]
async fn new_rows_and_known_ones_are_told_apart_under_way() {
    let table = "CREATE TABLE t (id bigint PRIMARY KEY, n bigint UNIQUE CHECK (n <> 4077))";
    let (server, database) = shop(table).await;
    let upsert = write("t", Mode::Upsert, &["id", "n"], &["id"]);
    let (mut lane, _) = open(&database, &key("r", 1), &[upsert], &rows(0, 0).schema()).await;
    // Every third unit has the keys of the one before the last.
    let keys = |turn: u64| 100 * if turn % 3 == 2 { turn - 2 } else { turn };
    let rows_of = |turn: u64| {
        let column = |from: u64| ints((from + 1..=from + 100).map(|n| n as i64));
        batch(vec![("id", column(keys(turn))), ("n", column(100 * turn))])
    };
    let mut expected = std::collections::BTreeMap::new();
    lane.submit(Arc::new(unit(0, vec![rows_of(0)]))).await;
    for turn in 0..40 {
        lane.submit(Arc::new(unit(100 * (turn + 1), vec![rows_of(turn + 1)]))).await;
        let settled = lane.settle().await;
        assert!(matches!(settled, Settled::Committed(_)), "{turn}: {settled:?}");
        expected.extend((1..=100).map(|i| (keys(turn) + i, 100 * turn + i)));
    }
    let Settled::Refused(refusal) = lane.settle().await else { panic!("n is not to be 4077") };
    assert_eq!(refusal.fault.code(), Some("23514"));
    assert!([None, Some(4077)].contains(&refusal.ordinal), "{refusal:?}");
    let number = |value: &Option<String>| value.as_ref().unwrap().parse::<u64>().unwrap();
    let rows = server.query("SELECT id, n FROM t ORDER BY id").await;
    let rows: Vec<(u64, u64)> = rows.iter().map(|row| (number(&row[0]), number(&row[1]))).collect();
    assert_eq!(rows, expected.into_iter().collect::<Vec<_>>());
}
