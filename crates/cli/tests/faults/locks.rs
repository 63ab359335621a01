//! Faults 15 and 16 between real sessions: a deadlock, and a lock that is not to
//! be had.

use std::time::Instant;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder};

use crate::on::On;
use crate::process::PATIENCE;
use crate::sales::{Sales, ended};

/// So many that a run is not over before somebody else is there.
const ITEMS: u64 = 2_000;
const CHUNK: u64 = 20;

/// The transaction, other than this one, that waits for a row which somebody
/// holds.
async fn waiting(sales: &Sales, but: &str) -> String {
    // The server looks only where it was not asked for a while.
    let sql = format!(
        "SELECT coalesce(max(trx_id), 0) + sleep(0.2) FROM information_schema.innodb_trx
         WHERE trx_state = 'LOCK WAIT' AND trx_id <> {but} AND trx_mysql_thread_id IN
             (SELECT id FROM information_schema.processlist WHERE db = database())"
    );
    let began = Instant::now();
    loop {
        let found = sales.database.value(&sql).await;
        if found != "0" {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "nobody waits");
    }
}

/// Somebody else who changes the stock, and holds this row of it.
async fn holding(sales: &Sales, item: u64) -> Conn {
    let options = Opts::from_url(&sales.database.url).unwrap();
    let options = OptsBuilder::from_opts(options).prefer_socket(false);
    let mut other = Conn::new(options).await.unwrap();
    for sql in [
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "BEGIN",
        // Of two in a deadlock the one that has done less has to give way.
        "INSERT INTO other_work SELECT seq FROM seq_1_to_5000",
        &format!("SELECT amount FROM stock WHERE item_id = {item} FOR UPDATE"),
    ] {
        other.query_drop(sql).await.unwrap();
    }
    other
}

/// Fault 15: the whole transaction is gone, and the chunk is sent again.
#[tokio::test]
async fn a_deadlock_with_another_session_is_tried_again() {
    let sales = Sales::new(On::Mysql, ITEMS, CHUNK).await;
    sales.prepare("CREATE TABLE other_work (n INT PRIMARY KEY)").await;
    let mut child = sales.start();
    sales.settles_more(0, &mut child).await;
    let mut other = holding(&sales, 5).await;
    waiting(&sales, "0").await;
    other.query_drop("UPDATE stock SET amount = amount WHERE item_id = 1").await.unwrap();
    other.query_drop("ROLLBACK").await.unwrap();
    let report = ended(child).await.expect(0);
    assert!(report["retries"].as_u64() > Some(0), "{report}");
    sales.assert_exact("a deadlock").await;
}

/// Fault 16: only the statement is rolled back by itself; kiln does so with the
/// rest, and sends the chunk again.
#[tokio::test]
async fn a_lock_that_is_not_to_be_had_is_waited_for_again() {
    let sales = Sales::new(On::Mysql, ITEMS, CHUNK).await;
    sales.prepare("CREATE TABLE other_work (n INT PRIMARY KEY)").await;
    let mut child = sales.start();
    sales.settles_more(0, &mut child).await;
    let mut other = holding(&sales, 3).await;
    let first = waiting(&sales, "0").await;
    // It is still held: the one before has given up.
    waiting(&sales, &first).await;
    other.query_drop("ROLLBACK").await.unwrap();
    let report = ended(child).await.expect(0);
    assert!(report["retries"].as_u64() > Some(0), "{report}");
    sales.assert_exact("a lock that was held").await;
}
