//! Faults 4, 8 and 9: what can happen to a COMMIT itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kiln::Event;
use kiln_testkit::OwnMysql;
use kiln_testkit::proxy::{Proxy, Way};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};
use rustix::process::Signal;

use crate::on::On;
use crate::process::send;
use crate::sales::{Fate, Item, Sales, ended};

const ITEMS: u64 = 200;
const CHUNK: u64 = 20;

/// Fault 4: killed while the server commits. The next start waits for that
/// commit, and does not do the chunk again.
#[tokio::test]
async fn killed_while_postgres_commits() {
    let sales = Sales::new(On::Postgres, ITEMS, CHUNK).await;
    let slow = "CREATE SEQUENCE slept;
        CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN PERFORM nextval('slept'), pg_sleep(1); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER sleep AFTER INSERT ON sales DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.line = 100) EXECUTE FUNCTION sleep()";
    sales.prepare(slow).await;
    let child = sales.start();
    let asleep = "SELECT count(*) FROM pg_stat_activity
                  WHERE wait_event = 'PgSleep' AND datname = current_database()";
    sales.becomes(asleep, "1").await;
    send(&child, Signal::KILL);
    assert!(ended(child).await.is_killed());
    assert_eq!(sales.database.value(asleep).await, "1", "the server is still at it");
    sales.run().await.expect(0);
    sales.assert_exact("killed while the server commits").await;
    assert_eq!(sales.database.value("SELECT last_value FROM slept").await, "1");
}

/// Fault 4, where a backup holds up every commit of the server for a while. That
/// which was sent lands when the backup is over, though nobody waits for it.
#[tokio::test]
async fn killed_while_mysql_commits() {
    const ITEMS: u64 = 2_000;
    let server = OwnMysql::start();
    // None of them is refused, so that each row is sent once.
    let items = (1..=ITEMS).map(|ordinal| Item::new(ordinal, Fate::Sold)).collect();
    let sales = Sales::of(server.database().await, On::Mysql, items, CHUNK, "");
    let count = "CREATE SEQUENCE sent NOCACHE;
        CREATE TRIGGER sent BEFORE INSERT ON sales FOR EACH ROW SET @sent = nextval(sent)";
    sales.prepare(count).await;
    let mut child = sales.start();
    sales.settles_more(0, &mut child).await;
    let mut backup = Conn::new(Opts::from_url(&sales.database.url).unwrap()).await.unwrap();
    for stage in ["START", "BLOCK_COMMIT"] {
        backup.query_drop(format!("BACKUP STAGE {stage}")).await.unwrap();
    }
    let committing = "SELECT count(*) FROM information_schema.processlist
                      WHERE db = database() AND info = 'COMMIT' AND state LIKE 'Waiting%'";
    sales.becomes(committing, "1").await;
    send(&child, Signal::KILL);
    assert!(ended(child).await.is_killed());
    assert_eq!(sales.database.value(committing).await, "1", "the server is still at it");
    let next = sales.start();
    tokio::time::sleep(Duration::from_millis(500)).await;
    backup.query_drop("BACKUP STAGE END").await.unwrap();
    ended(next).await.expect(0);
    sales.assert_exact("killed while the server commits").await;
    let sent = "SELECT next_not_cached_value - 1 FROM sent";
    assert_eq!(sales.database.value(sent).await, ITEMS.to_string());
}

/// Fault 8: the server rolls back where it was to commit, and answers without an
/// error.
#[tokio::test]
async fn a_commit_that_postgres_answers_with_rollback_is_done_again() {
    // Were one of them refused, its unit's COMMIT would do nothing anyhow.
    let items = (1..=ITEMS).map(|ordinal| Item::new(ordinal, Fate::Sold)).collect();
    let sales = Sales::of(On::Postgres.fresh().await, On::Postgres, items, CHUNK, "");
    let proxy = Arc::new(Proxy::before(&sales.database.url).await);
    let once = AtomicBool::new(true);
    let swap = {
        let proxy = Arc::clone(&proxy);
        // The items' codes are all known by then: only units commit.
        move |event: &Event| {
            if matches!(event, Event::Committed { .. }) && once.swap(false, Ordering::SeqCst) {
                proxy.replace(Way::ToServer, "COMMIT\0", "ROLLBACK\0");
            }
        }
    };
    let report = sales.watched(proxy.url(), swap).await.unwrap();
    assert!(proxy.is_met(), "no COMMIT came by");
    assert!(report.retries > 0, "{report:?}");
    sales.assert_exact("COMMIT answered with ROLLBACK").await;
}

/// Fault 9: what the database refuses only at COMMIT is a dead letter like any
/// other.
#[tokio::test]
async fn what_postgres_refuses_at_commit_is_a_dead_letter() {
    let sales = Sales::new(On::Postgres, ITEMS, CHUNK).await;
    let late = "ALTER TABLE sales DROP CONSTRAINT sales_amount_check;
        CREATE FUNCTION few() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE check_violation USING MESSAGE = 'too many'; END $$;
        CREATE CONSTRAINT TRIGGER few AFTER INSERT ON sales DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.amount >= 1000) EXECUTE FUNCTION few()";
    sales.prepare(late).await;
    sales.run().await.expect(0);
    sales.assert_exact("refused at COMMIT").await;
}

/// Fault 9, where only foreign keys can wait for COMMIT.
#[tokio::test]
async fn what_sqlite_refuses_at_commit_is_a_dead_letter() {
    let sales = Sales::new(On::Sqlite, ITEMS, CHUNK).await;
    let late = "DROP TABLE sales;
        CREATE TABLE few (amount INTEGER PRIMARY KEY);
        INSERT INTO few WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
            SELECT i FROM n;
        CREATE TABLE sales (item INTEGER NOT NULL REFERENCES items (id),
            amount INTEGER NOT NULL REFERENCES few DEFERRABLE INITIALLY DEFERRED,
            total TEXT NOT NULL, line INTEGER NOT NULL);";
    sales.prepare(late).await;
    sales.run().await.expect(0);
    sales.assert_exact("refused at COMMIT").await;
}
