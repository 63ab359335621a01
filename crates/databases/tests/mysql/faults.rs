//! What the moment is at fault for: deadlocks, lock waits, killed connections,
//! lost and missing answers.

use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kiln_core::{Kind, Landed, Mode};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};

use super::*;

fn rows(id: i64, n: i64) -> RecordBatch {
    batch(vec![("id", ints([id])), ("n", ints([n]))])
}

fn add() -> [Write; 1] {
    [write("t", Mode::Increment, &["id", "n"], &["id"])]
}

const TABLE: &str = "CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)";

/// Whether a session of this database waits for a row. InnoDB's own tables of waits
/// stay as they were for as long as somebody asks for them again and again.
async fn waits_for_a_row(server: &TestDatabase) -> bool {
    let waits = server.query("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'").await;
    let long = "SELECT count(*) FROM information_schema.processlist WHERE db = database()
        AND id <> connection_id() AND command = 'Query' AND time_ms > 100";
    waits[0][1].as_deref() != Some("0") && server.value(long).await != "0"
}

/// Faults 15 and 16: 1213 has rolled everything back already, 1205 only the
/// statement. Of neither anything stays, and the same unit commits afterwards.
#[tokio::test]
async fn a_deadlock_and_a_lock_wait_end_the_whole_unit() {
    for code in [1205, 1213] {
        let (server, database) = shop(&format!("{TABLE}; CREATE TABLE log (id BIGINT)")).await;
        let raise = format!(
            "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW IF NEW.n = 2 THEN \
             SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}; END IF"
        );
        server.execute(&raise).await;
        let writes = [insert("log", &["id"]), add()[0].clone()];
        let of = |n| unit(0, vec![batch(vec![("id", ints([1]))]), rows(1, n)]);
        let items = rows(1, 1).schema();
        let (mut lane, _) = open(&database, &key("r", 1), &writes, &items).await;
        let (fault, ordinal) = refused(&mut lane, &of(2)).await;
        assert_eq!((fault.kind(), ordinal), (Kind::Busy, None), "{fault:?}");
        assert!(fault.is_transient());
        assert_eq!(server.value("SELECT count(*) FROM log").await, "0");
        commit(&mut lane, &of(1)).await;
        assert_eq!(server.value("SELECT count(*) FROM log").await, "1");
    }
}

/// Fault 15: two that really wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_deadlock_is_retried_as_a_whole() {
    let (server, database) = shop(TABLE).await;
    server.execute("INSERT INTO t VALUES (1, 0), (2, 0)").await;
    let both = batch(vec![("id", ints([1, 2])), ("n", ints([1, 1]))]);
    let (mut lane, _) = open(&database, &key("r", 1), &add(), &both.schema()).await;
    let mut other = Conn::new(Opts::from_url(&server.url).unwrap()).await.unwrap();
    other.query_drop("START TRANSACTION").await.unwrap();
    // The one that has done less is the victim.
    let many: Vec<String> = (10..500).map(|id| format!("({id}, 0)")).collect();
    other.query_drop(format!("INSERT INTO t VALUES {}", many.join(","))).await.unwrap();
    other.query_drop("UPDATE t SET n = 50 WHERE id = 2").await.unwrap();
    let waiting = tokio::spawn(async move {
        let answer = settle(&mut lane, &unit(0, vec![both.clone()])).await;
        (lane, both, answer)
    });
    let began = Instant::now();
    while !waits_for_a_row(&server).await {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    other.query_drop("UPDATE t SET n = 50 WHERE id = 1").await.unwrap();
    let (mut lane, both, answer) = waiting.await.unwrap();
    match answer {
        Settled::Refused(refusal) => {
            assert_eq!(refusal.fault.kind(), Kind::Busy, "{:?}", refusal.fault);
            assert_eq!(refusal.fault.code(), Some("1213"));
        }
        other => panic!("{other:?}"),
    }
    other.query_drop("ROLLBACK").await.unwrap();
    commit(&mut lane, &unit(0, vec![both])).await;
    let all = "SELECT group_concat(concat_ws('/', id, n) ORDER BY id) FROM t";
    assert_eq!(server.value(all).await, "1/1,2/1");
}

/// Fault 13: the connection is killed; opened again, the mark tells.
#[tokio::test]
async fn a_killed_connection_is_opened_again() {
    let (server, database) = shop(TABLE).await;
    let items = rows(1, 1).schema();
    let (mut lane, _) = open(&database, &key("r", 1), &add(), &items).await;
    commit(&mut lane, &unit(0, vec![rows(1, 1)])).await;
    let ids = server
        .query(
            "SELECT id FROM information_schema.processlist \
             WHERE db = database() AND id <> connection_id()",
        )
        .await;
    for id in ids {
        server.execute(&format!("KILL {}", id[0].as_deref().unwrap())).await;
    }
    let (fault, _) = refused(&mut lane, &unit(1, vec![rows(1, 10)])).await;
    assert_eq!(fault.kind(), Kind::Unreachable, "{fault:?}");
    assert!(fault.is_transient());
    match settle(&mut lane, &unit(1, vec![rows(1, 10)])).await {
        Settled::Unknown(fault) => assert!(fault.is_transient(), "{fault:?}"),
        other => panic!("{other:?}"),
    }
    let (mut lane, mark) = open(&database, &key("r", 1), &add(), &items).await;
    assert_eq!(mark.done, 1);
    commit(&mut lane, &unit(1, vec![rows(1, 10)])).await;
    assert_eq!(server.value("SELECT n FROM t").await, "11");
}

/// What becomes of a client's words on the way to the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// The connection breaks at COMMIT, which the server still gets.
    Answer,
    /// It breaks before the server gets it.
    Commit,
    /// Nothing comes back any more, and nothing breaks.
    Silence,
}

/// A way to a server that loses something once it is armed.
struct Way {
    armed: Arc<AtomicBool>,
    url: String,
}

impl Way {
    fn new(url: &str, loss: Loss) -> Self {
        let (user, rest) = url.strip_prefix("mysql://").unwrap().split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let armed = Arc::new(AtomicBool::new(false));
        let (cut, server) = (Arc::clone(&armed), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&server).unwrap();
                let (answers, back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let is_silent = Arc::clone(&cut);
                thread::spawn(move || give_back(answers, back, &is_silent, loss));
                let cut = Arc::clone(&cut);
                thread::spawn(move || forward(client, server, &cut, loss));
            }
        });
        Self { armed, url: format!("mysql://{user}@127.0.0.1:{port}/{database}?timeout=2") }
    }
}

fn give_back(mut server: TcpStream, mut client: TcpStream, armed: &AtomicBool, loss: Loss) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = server.read(&mut buffer) {
        if loss == Loss::Silence && armed.load(Ordering::SeqCst) {
            continue;
        }
        if client.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
    let _ = client.shutdown(Shutdown::Write);
}

fn forward(mut client: TcpStream, mut server: TcpStream, armed: &AtomicBool, loss: Loss) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = client.read(&mut buffer) {
        let is_commit = buffer[..n].windows(7).any(|w| w == b"\x03COMMIT");
        if loss != Loss::Silence && is_commit && armed.swap(false, Ordering::SeqCst) {
            client.shutdown(Shutdown::Both).unwrap();
            if loss == Loss::Answer {
                server.write_all(&buffer[..n]).unwrap();
            }
            let _ = server.shutdown(Shutdown::Write);
            return;
        }
        if server.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

async fn lose_at_commit(loss: Loss) {
    let (server, _) = shop(TABLE).await;
    let way = Way::new(&server.url, loss);
    let database = connect(&way.url, None).await.unwrap();
    let items = rows(1, 1).schema();
    let (mut lane, _) = open(&database, &key("r", 1), &add(), &items).await;
    commit(&mut lane, &unit(0, vec![rows(1, 1)])).await;
    way.armed.store(true, Ordering::SeqCst);
    match settle(&mut lane, &unit(1, vec![rows(1, 10)])).await {
        Settled::Unknown(fault) => {
            assert!(fault.is_transient(), "{fault:?}");
            assert_eq!(fault.landed(), Landed::Unknown);
        }
        other => panic!("{other:?}"),
    }
    let (mut lane, mark) = open(&database, &key("r", 1), &add(), &items).await;
    assert_eq!(mark.done, if loss == Loss::Answer { 2 } else { 1 });
    commit(&mut lane, &unit(mark.done, vec![rows(1, 100)])).await;
    let sum = if loss == Loss::Answer { "111" } else { "101" };
    assert_eq!(server.value("SELECT n FROM t").await, sum);
}

/// Fault 6.
#[tokio::test]
async fn a_commit_that_landed_is_not_done_again() {
    lose_at_commit(Loss::Answer).await;
}

/// Fault 7.
#[tokio::test]
async fn a_commit_that_never_got_there_left_nothing() {
    lose_at_commit(Loss::Commit).await;
}

/// Fault 11: a server that falls silent is given up in time; what it was in the
/// middle of is waited for by whoever opens the lane again.
#[tokio::test]
async fn a_silent_server_is_given_up() {
    let (server, direct) = shop(TABLE).await;
    let way = Way::new(&server.url, Loss::Silence);
    let database = connect(&way.url, None).await.unwrap();
    let items = rows(1, 1).schema();
    let (mut lane, _) = open(&database, &key("r", 1), &add(), &items).await;
    commit(&mut lane, &unit(0, vec![rows(1, 1)])).await;
    way.armed.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let (fault, _) = refused(&mut lane, &unit(1, vec![rows(1, 10)])).await;
    assert_eq!(fault.kind(), Kind::Unreachable, "{fault:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(matches!(settle(&mut lane, &unit(1, vec![rows(1, 10)])).await, Settled::Unknown(_)));
    drop(lane);
    let (mut lane, mark) = open(&direct, &key("r", 2), &add(), &items).await;
    assert_eq!(mark.done, 1);
    commit(&mut lane, &unit(1, vec![rows(1, 10)])).await;
    assert_eq!(server.value("SELECT n FROM t").await, "11");
}

#[tokio::test]
async fn who_can_not_be_reached_is_named_without_secrets() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (server, _) = shop("").await;
    let (_, place) = server.url.split_once('@').unwrap();
    let (address, _) = place.split_once('/').unwrap();
    for (url, kind) in [
        (format!("mysql://ann:canary@127.0.0.1:{closed}/d"), Kind::Unreachable),
        (format!("mysql://nobody:canary@{place}"), Kind::NotPermitted),
        (format!("mysql://root@{address}/no_such_database"), Kind::Config),
        (format!("mysql://root@{address}"), Kind::Config),
        (format!("mysql://root:canary@{place}?ssl-mode=required"), Kind::Config),
    ] {
        let database = connect(&url, None).await.unwrap();
        let fault = database.ledger().prepare().await.unwrap_err();
        assert_eq!(fault.kind(), kind, "{url}: {fault:?}");
        assert!(!format!("{fault:?} {:?}", fault.hint()).contains("canary"), "{fault:?}");
    }
}
