//! Faults 12 and 13: the server goes away, whole or a session at a time.

use std::time::Duration;

use kiln_core::Kind;
use kiln_testkit::{OwnMysql, OwnPostgres, TestDatabase};

use crate::on::On;
use crate::random::Random;
use crate::sales::{Sales, ended, mixed};

/// So many chunks that a run takes its time.
const ITEMS: u64 = 4_000;
const CHUNK: u64 = 10;

/// Fault 12: a run waits for a server that comes back; one that does not wait so
/// long ends, and the next goes on.
async fn killed_and_started_again(
    on: On,
    databases: [TestDatabase; 2],
    kill: impl Fn(),
    start_again: impl Fn(),
) {
    for (database, (retries, code)) in databases.into_iter().zip([(20, 0), (1, 69)]) {
        let what = format!("server killed, {retries} retries");
        let more = format!("[limits]\nretries = {retries}\n");
        let sales = Sales::of(database, on, mixed(ITEMS), CHUNK, &more);
        let mut child = sales.start();
        sales.settles_more(0, &mut child).await;
        kill();
        let report = if code == 0 {
            start_again();
            ended(child).await.expect(code)
        } else {
            let report = ended(child).await.expect(code);
            start_again();
            report
        };
        assert!(report["retries"].as_u64() > Some(0), "{what}: {report}");
        sales.assert_consistent(&what).await;
        sales.run().await.expect(0);
        sales.assert_exact(&what).await;
    }
}

#[tokio::test]
async fn postgres_killed_and_started_again() {
    let server = OwnPostgres::start(&[], "");
    let databases = [server.database().await, server.database().await];
    let (kill, start_again) = (|| server.kill(), || server.start_again());
    killed_and_started_again(On::Postgres, databases, kill, start_again).await;
}

#[tokio::test]
async fn mysql_killed_and_started_again() {
    let server = OwnMysql::start();
    let databases = [server.database().await, server.database().await];
    let (kill, start_again) = (|| server.kill(), || server.start_again());
    killed_and_started_again(On::Mysql, databases, kill, start_again).await;
}

/// How many sessions are ended; enough that some are the lane's.
const SESSIONS: u64 = 20;

/// Fault 13: sessions of a run are ended at random moments, one after another.
async fn sessions_ended(on: On, end_one: &str) {
    let sales = Sales::new(on, ITEMS, CHUNK).await;
    let mut random = Random::seeded("sessions ended at random moments");
    let mut ended = 0;
    loop {
        let end_some = async {
            while ended < SESSIONS {
                tokio::time::sleep(random.before(Duration::from_millis(200))).await;
                ended += sales.database.value(end_one).await.parse::<u64>().unwrap();
            }
            std::future::pending().await
        };
        let worked = tokio::select! {
            worked = sales.work(&sales.database.url) => worked,
            () = end_some => unreachable!("it does not end"),
        };
        match worked {
            Ok(_) => break,
            Err(fault) => assert_eq!(fault.kind(), Kind::Unreachable, "{fault:?}"),
        }
        sales.assert_consistent("a session was ended").await;
        sales.end_lease().await;
    }
    assert!(ended > 0, "it was over before a session was ended");
    sales.assert_exact(&format!("{ended} sessions ended")).await;
}

#[tokio::test]
async fn sessions_of_postgres_ended_at_random() {
    let end_one = "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'kiln' ORDER BY random() LIMIT 1
        ) AS one";
    sessions_ended(On::Postgres, end_one).await;
}

#[tokio::test]
async fn sessions_of_mysql_ended_at_random() {
    let end_one = "BEGIN NOT ATOMIC
        DECLARE one BIGINT;
        DECLARE CONTINUE HANDLER FOR 1094 SET one = NULL;
        SELECT id INTO one FROM information_schema.processlist
            WHERE db = database() AND id <> connection_id() ORDER BY rand() LIMIT 1;
        IF one IS NOT NULL THEN EXECUTE IMMEDIATE concat('KILL ', one); END IF;
        SELECT one IS NOT NULL;
    END";
    sessions_ended(On::Mysql, end_one).await;
}
