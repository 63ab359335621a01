//! Faults 14 to 18: the database does not take a chunk at this moment.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kiln::Event;
use kiln_core::Kind;

use crate::on::On;
use crate::sales::Sales;

const ITEMS: u64 = 200;
const CHUNK: u64 = 20;

/// Has the database refuse with this code what some rows are, the first time
/// each comes: a sequence is not rolled back. LOAD DATA makes a warning of the
/// refusal, upon which kiln sends the rows by INSERT: that is what counts here.
fn raise(on: On, code: &str) -> String {
    let when = "IN (1, 50, 51, 120)";
    match on {
        On::Mysql => format!(
            "CREATE SEQUENCE tries NOCACHE;
             CREATE TRIGGER fail BEFORE INSERT ON sales FOR EACH ROW BEGIN
                 IF EXISTS (SELECT 1 FROM information_schema.processlist
                            WHERE id = connection_id() AND info LIKE 'LOAD%')
                    OR nextval(tries) {when} THEN
                     SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'not now';
                 END IF;
             END"
        ),
        _ => format!(
            "CREATE SEQUENCE tries;
             CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('tries') {when} THEN
                     RAISE EXCEPTION 'not now' USING ERRCODE = '{code}';
                 END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER fail BEFORE INSERT ON sales FOR EACH ROW EXECUTE FUNCTION fail()"
        ),
    }
}

/// Faults 14 to 16: deadlocks, serialization failures and locks that are not to
/// be had fail no item.
async fn tried_again(on: On, codes: &[&str]) {
    for code in codes {
        let sales = Sales::new(on, ITEMS, CHUNK).await;
        sales.prepare(&raise(on, code)).await;
        let report = sales.work(&sales.database.url).await.unwrap();
        assert!(report.retries >= 3, "{code}: {report:?}");
        sales.assert_exact(code).await;
    }
}

#[tokio::test]
async fn what_postgres_asks_to_try_again_is_tried_again() {
    tried_again(On::Postgres, &["40001", "40P01", "55P03"]).await;
}

#[tokio::test]
async fn what_mysql_asks_to_try_again_is_tried_again() {
    tried_again(On::Mysql, &["1213", "1205"]).await;
}

/// Fault 17: SQLite is busy for longer than it is waited for at once. The other
/// writer comes behind the first commit, and goes when kiln has to try again.
#[tokio::test]
async fn a_writer_that_holds_sqlite_for_long_is_waited_for() {
    let sales = Sales::new(On::Sqlite, ITEMS, CHUNK).await;
    let path = sales.database.url.strip_prefix("sqlite:").unwrap();
    let other = rusqlite::Connection::open(path).unwrap();
    other.busy_timeout(Duration::from_secs(10)).unwrap();
    let (other, is_held) = (Mutex::new(other), AtomicBool::new(false));
    let hold = move |event: &Event| {
        let does = |sql| other.lock().unwrap().execute_batch(sql).unwrap();
        match event {
            Event::Committed { .. } if !is_held.swap(true, Ordering::SeqCst) => {
                does("BEGIN IMMEDIATE");
            }
            Event::Retry { attempt: 1, .. } => does("ROLLBACK"),
            _ => {}
        }
    };
    let report = sales.watched(&sales.database.url, hold).await.unwrap();
    assert!(report.retries > 0, "{report:?}");
    sales.assert_exact("SQLite busy").await;
}

/// Fault 18: a full disk stops the run; no item is blamed, and when there is
/// room again it goes on.
async fn full(on: On, code: &str) {
    let sales = Sales::new(on, ITEMS, CHUNK).await;
    sales.prepare(&raise(on, code)).await;
    let mut stops = 0;
    while let Err(fault) = sales.work(&sales.database.url).await {
        assert_eq!((fault.kind(), fault.code()), (Kind::Io, Some(code)), "{fault:?}");
        sales.assert_consistent("disk full").await;
        stops += 1;
        assert!(stops <= 4, "it was full four times");
    }
    assert!(stops >= 3, "it stopped {stops} times");
    sales.assert_exact("disk full").await;
}

#[tokio::test]
async fn a_full_postgres_stops_the_run() {
    full(On::Postgres, "53100").await;
}

#[tokio::test]
async fn a_full_mysql_stops_the_run() {
    full(On::Mysql, "1114").await;
}
