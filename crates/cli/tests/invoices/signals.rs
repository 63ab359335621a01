//! Stopped by a signal, started twice, asleep past its lease.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use rustix::process::Signal;

use crate::books::{Books, assert_consistent};
use crate::input;
use crate::shop::{Ended, On, Shop, send, wait};

/// So small that a run takes its time.
const CHUNK: u32 = 100;

async fn shop(on: On) -> Option<Shop> {
    Some(Shop::new(on, input::part()?, Some(CHUNK)).await)
}

/// What an undisturbed run leaves behind.
async fn undisturbed(on: On) -> Option<Books> {
    let shop = shop(on).await?;
    shop.run(&[]).expect(0);
    Some(Books::of(&shop).await)
}

/// Goes on with what is left; then everything is as if nothing had been.
async fn resume(shop: &Shop, expected: &Books, what: &str) {
    let report = shop.run(&[]).expect(0);
    assert_eq!(report["items_read"], input::PART, "{what}");
    Books::of(shop).await.assert_same(expected, what);
}

/// B46: SIGTERM lets the chunk in hand finish.
async fn terminated(on: On) {
    let Some(expected) = undisturbed(on).await else { return };
    for signal in [Signal::TERM, Signal::INT] {
        let what = format!("{signal:?} on {on:?}");
        let shop = shop(on).await.unwrap();
        let mut child = shop.command(&[]).spawn().unwrap();
        shop.under_way(&mut child).await;
        send(&child, signal);
        let report = wait(child).expect(75);
        assert_eq!(report["status"], "stopped", "{what}");
        assert_eq!(report["exit_code"], 75);
        let done = shop.done().await;
        assert!(done > 0 && done < input::PART, "{what}: {done}");
        assert_eq!(done % u64::from(CHUNK), 0, "{what}: not at the end of a chunk");
        assert_eq!(report["items_read"], done, "{what}");
        let command = report["resume"].as_str().unwrap();
        assert!(command.contains("run") && command.contains("job.toml"), "{command}");
        assert_consistent(&shop, &what).await;
        resume(&shop, &expected, &what).await;
    }
}

#[tokio::test]
async fn sigterm_stops_behind_the_chunk_in_hand_on_sqlite() {
    terminated(On::Sqlite).await;
}

#[tokio::test]
async fn sigterm_stops_behind_the_chunk_in_hand_on_postgres() {
    terminated(On::Postgres).await;
}

#[tokio::test]
async fn sigterm_stops_behind_the_chunk_in_hand_on_mysql() {
    terminated(On::Mysql).await;
}

/// Keeps everybody from writing the rows of a chunk.
enum Obstacle {
    Sqlite(rusqlite::Connection),
    Postgres(tokio_postgres::Client),
    Mysql(mysql_async::Conn),
}

impl Obstacle {
    async fn before(shop: &Shop) -> Self {
        match shop.on {
            On::Sqlite => {
                let path = shop.database.url.strip_prefix("sqlite:").unwrap();
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.busy_timeout(Duration::from_secs(60)).unwrap();
                connection.execute_batch("BEGIN IMMEDIATE").unwrap();
                Self::Sqlite(connection)
            }
            On::Postgres => {
                let url = &shop.database.url;
                let (client, connection) =
                    tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                let lock = "BEGIN; LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE";
                client.batch_execute(lock).await.unwrap();
                Self::Postgres(client)
            }
            On::Mysql => {
                let url = mysql_async::Opts::from_url(&shop.database.url).unwrap();
                let mut conn = mysql_async::Conn::new(url).await.unwrap();
                conn.query_drop("LOCK TABLES transactions WRITE").await.unwrap();
                Self::Mysql(conn)
            }
        }
    }

    async fn remove(self) {
        match self {
            Self::Sqlite(connection) => connection.execute_batch("ROLLBACK").unwrap(),
            Self::Postgres(client) => client.batch_execute("ROLLBACK").await.unwrap(),
            Self::Mysql(mut conn) => conn.query_drop("UNLOCK TABLES").await.unwrap(),
        }
    }
}

/// Waits until the process has said that it is about to stop.
fn wait_for_notice(child: &mut Child) {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let notice = lines.find(|line| line.as_ref().is_ok_and(|l| l.contains("chunk in hand")));
    assert!(notice.is_some(), "nothing is said about the signal");
    // The rest is read, so that it never waits for a reader.
    std::thread::spawn(move || lines.count());
}

/// B46: a second SIGTERM ends the process though its chunk is not done.
async fn terminated_twice(on: On) {
    let Some(expected) = undisturbed(on).await else { return };
    let what = format!("two signals on {on:?}");
    let shop = shop(on).await.unwrap();
    // The log says what a quiet start keeps to itself.
    let mut child = shop.command(&["--log-format", "json"]).spawn().unwrap();
    shop.under_way(&mut child).await;
    let obstacle = Obstacle::before(&shop).await;
    let done = shop.done().await;
    send(&child, Signal::TERM);
    wait_for_notice(&mut child);
    assert!(child.try_wait().unwrap().is_none(), "{what}: it waits for its chunk");
    send(&child, Signal::TERM);
    let ended = wait(child);
    assert_eq!(ended.status.code(), Some(143), "{what}");
    obstacle.remove().await;
    // What PostgreSQL has been sent whole, its COMMIT included, it still does.
    let sent = if on == On::Postgres { 2 * u64::from(CHUNK) } else { 0 };
    sessions_end(&shop).await;
    let landed = shop.done().await;
    assert!((done..=done + sent).contains(&landed), "{what}: {landed} after {done}");
    assert_consistent(&shop, &what).await;
    resume(&shop, &expected, &what).await;
}

/// Waits until PostgreSQL has seen that whoever wrote is gone.
async fn sessions_end(shop: &Shop) {
    let others = "SELECT count(*) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while shop.on == On::Postgres && shop.database.value(others).await != "0" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_second_sigterm_ends_at_once_on_sqlite() {
    terminated_twice(On::Sqlite).await;
}

#[tokio::test]
async fn a_second_sigterm_ends_at_once_on_postgres() {
    terminated_twice(On::Postgres).await;
}

#[tokio::test]
async fn a_second_sigterm_ends_at_once_on_mysql() {
    terminated_twice(On::Mysql).await;
}

fn assert_held(ended: &Ended, what: &str) {
    assert_eq!(ended.status.code(), Some(75), "{what}: {}", ended.stderr);
    let said = &ended.stderr;
    assert!(said.contains("held by process ") && said.contains(" since "), "{what}: {said}");
    assert_eq!(ended.report["status"], "failed", "{what}");
    assert_eq!(ended.report["exit_code"], 75, "{what}");
}

/// B34: of two starts at once one runs; the other says who it is, and since when.
async fn started_twice(on: On, races: u32) {
    let Some(expected) = undisturbed(on).await else { return };
    for race in 0..races {
        let what = format!("race {race} on {on:?}");
        let shop = shop(on).await.unwrap();
        let starts = [(); 2].map(|()| shop.command(&[]).spawn().unwrap());
        let mut ended = starts.map(wait);
        ended.sort_by_key(|e| e.status.code());
        let [winner, loser] = ended;
        assert_held(&loser, &what);
        let report = winner.expect(0);
        assert_eq!(report["items_read"], input::PART, "{what}");
        Books::of(&shop).await.assert_same(&expected, &what);
    }
}

#[tokio::test]
async fn of_two_starts_one_runs_on_sqlite() {
    started_twice(On::Sqlite, 5).await;
}

#[tokio::test]
async fn of_two_starts_one_runs_on_postgres() {
    started_twice(On::Postgres, 5).await;
}

#[tokio::test]
async fn of_two_starts_one_runs_on_mysql() {
    started_twice(On::Mysql, 5).await;
}

/// A start while another one is in the middle of its work.
async fn started_while_running(on: On) {
    let Some(shop) = shop(on).await else { return };
    let mut first = shop.command(&[]).spawn().unwrap();
    shop.under_way(&mut first).await;
    send(&first, Signal::STOP);
    for more in [&[][..], &["--again"]] {
        assert_held(&shop.run(more), &format!("{more:?} on {on:?}"));
    }
    send(&first, Signal::CONT);
    wait(first).expect(0);
}

#[tokio::test]
async fn a_run_that_sleeps_within_its_lease_is_held_on_sqlite() {
    started_while_running(On::Sqlite).await;
}

#[tokio::test]
async fn a_run_that_sleeps_within_its_lease_is_held_on_postgres() {
    started_while_running(On::Postgres).await;
}

#[tokio::test]
async fn a_run_that_sleeps_within_its_lease_is_held_on_mysql() {
    started_while_running(On::Mysql).await;
}

/// B35: asleep past its lease, and awake when another has taken over, it writes
/// nothing more.
async fn asleep_past_its_lease(on: On) {
    let Some(expected) = undisturbed(on).await else { return };
    let what = format!("asleep on {on:?}");
    let shop = shop(on).await.unwrap();
    let mut sleeper = shop.command(&[]).env("KILN_LEASE_SECONDS", "1").spawn().unwrap();
    let mut taker = loop {
        shop.under_way(&mut sleeper).await;
        send(&sleeper, Signal::STOP);
        // Stopped in the middle of a transaction, it would keep all others out;
        // that is another test. Here it sleeps between two.
        if keeps_nobody_out(&shop).await {
            break wait_for_takeover(&shop).await;
        }
        send(&sleeper, Signal::CONT);
    };
    shop.under_way(&mut taker).await;
    send(&sleeper, Signal::CONT);
    let slept = wait(sleeper);
    assert_eq!(slept.status.code(), Some(75), "{what}: {}", slept.stderr);
    assert!(slept.stderr.contains("taken over"), "{what}: {}", slept.stderr);
    wait(taker).expect(0);
    Books::of(&shop).await.assert_same(&expected, &what);
}

/// Whether it keeps nobody else from writing.
async fn keeps_nobody_out(shop: &Shop) -> bool {
    match shop.on {
        On::Sqlite => {
            let path = shop.database.url.strip_prefix("sqlite:").unwrap();
            let connection = rusqlite::Connection::open(path).unwrap();
            connection.busy_timeout(Duration::ZERO).unwrap();
            connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok()
        }
        On::Postgres => {
            let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND pid <> pg_backend_pid() AND state <> 'idle'";
            shop.database.value(open).await == "0"
        }
        On::Mysql => {
            // There it is hardly ever between two: its session is ended.
            let open = "SELECT p.id FROM information_schema.innodb_trx AS t
                JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id
                WHERE p.db = database()";
            for session in shop.database.query(open).await.into_iter().flatten().flatten() {
                shop.database.execute(&format!("KILL {session}")).await;
            }
            true
        }
    }
}

/// Starts again until the lease has run out, and the start gets the run.
async fn wait_for_takeover(shop: &Shop) -> Child {
    let began = Instant::now();
    let owner = format!("SELECT max(epoch) FROM {}", shop.ledger("runs"));
    loop {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody takes over");
        let mut child = shop.command(&[]).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            if shop.database.value(&owner).await == "2" {
                return child;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_held(&wait(child), "before the lease ran out");
    }
}

#[tokio::test]
async fn asleep_past_its_lease_it_writes_nothing_more_on_sqlite() {
    asleep_past_its_lease(On::Sqlite).await;
}

#[tokio::test]
async fn asleep_past_its_lease_it_writes_nothing_more_on_postgres() {
    asleep_past_its_lease(On::Postgres).await;
}

#[tokio::test]
async fn asleep_past_its_lease_it_writes_nothing_more_on_mysql() {
    asleep_past_its_lease(On::Mysql).await;
}
