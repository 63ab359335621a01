//! Jobs that copy a table: the real binary from SQLite to PostgreSQL.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Ended, Place};
use kiln_testkit::{TestDatabase, postgres};
use rusqlite::Connection;
use serde_json::Value;

const ROWS: i64 = 2_000;

const JOB: &str = r#"name = "orders"

[source]
url = "sqlite:shop.db"
table = "orders"
$source

[target]
url = "${KILN_TARGET}"
setup = "orders.sql"

[[write]]
table = "shop.orders"
$write

[chunk]
items = 100
"#;

const ORDERS: &str = "
CREATE SCHEMA IF NOT EXISTS shop;
CREATE TABLE IF NOT EXISTS shop.orders (place bigint, number text, amount numeric(10,2),
    placed timestamp, paid boolean, changed bigint, PRIMARY KEY (place, number));
";

/// A shop in SQLite, and an empty database that its orders go to.
struct Shop {
    place: Place,
    target: TestDatabase,
}

impl Shop {
    async fn new(source: &str, write: &str) -> Self {
        let place = Place::new();
        place.write("orders.toml", &JOB.replace("$source", source).replace("$write", write));
        place.write("orders.sql", ORDERS);
        let shop = Self { place, target: postgres().await };
        shop.execute(&format!(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE orders (place INTEGER NOT NULL, number TEXT NOT NULL,
                 amount NUMERIC(10,2), placed DATETIME, paid BOOLEAN, changed INTEGER,
                 PRIMARY KEY (place, number));
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS})
             INSERT INTO orders SELECT n / 7, 'N' || n, n / 100.0,
                 datetime('2009-01-01', n || ' minutes'), n % 2, n FROM n;"
        ));
        shop
    }

    fn open(&self) -> Connection {
        let connection = Connection::open(self.place.path("shop.db")).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        connection
    }

    fn execute(&self, sql: &str) {
        self.open().execute_batch(sql).unwrap();
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.place.command(args);
        command.env("KILN_TARGET", &self.target.url).env_remove("KILN_CRASH_AT");
        command
    }

    fn kiln(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// Runs the job; gives its report.
    fn run(&self, more: &[&str]) -> Value {
        let args = [&["run", "orders.toml", "--quiet", "--report", "-"], more].concat();
        let ended = self.kiln(&args).exits(0);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Starts the job and lets it die.
    fn crash(&self, at: &str) {
        let mut command = self.command(&["run", "orders.toml", "--quiet"]);
        let output = command.env("KILN_CRASH_AT", at).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{at}: {output:?}");
    }

    /// The orders of SQLite, as PostgreSQL would write them.
    fn source(&self, which: &str) -> Vec<Vec<Option<String>>> {
        let connection = self.open();
        let sql = format!(
            "SELECT place || '', number, iif(amount IS NULL, NULL, printf('%.2f', amount)), placed,
                 CASE paid WHEN 1 THEN 't' WHEN 0 THEN 'f' END, changed || ''
             FROM orders WHERE {which} ORDER BY place, number"
        );
        let mut statement = connection.prepare(&sql).unwrap();
        let row = |row: &rusqlite::Row<'_>| (0..6).map(|i| row.get(i)).collect();
        statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
    }

    async fn written(&self) -> Vec<Vec<Option<String>>> {
        let sql = "SELECT * FROM shop.orders ORDER BY place, number COLLATE \"C\"";
        self.target.query(sql).await
    }

    async fn done(&self) -> u64 {
        let there = "SELECT count(*) FROM pg_class WHERE oid = to_regclass('kiln.marks')";
        if self.target.value(there).await == "0" {
            return 0;
        }
        let done = "SELECT coalesce(sum(done), 0) FROM kiln.marks";
        self.target.value(done).await.parse().unwrap()
    }

    /// Waits until something is committed.
    async fn under_way(&self, child: &mut Child) {
        let began = Instant::now();
        while self.done().await == 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing is committed");
            assert!(child.try_wait().unwrap().is_none(), "it ended too early");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// B32: killed at any point of any chunk, while rows come and go behind the key,
/// every row of the table is in the target once.
#[tokio::test]
async fn a_copy_that_is_killed_is_exact() {
    for point in ["begin", "write", "mark", "commit", "committed"] {
        let shop = Shop::new("", "").await;
        for (n, chunk) in [1, 3, 9].into_iter().enumerate() {
            shop.crash(&format!("{point}:{chunk}"));
            if shop.done().await > 0 {
                // Behind the key, where the run has been: it is not seen any more.
                shop.execute(&format!("INSERT INTO orders (place, number) VALUES (-1, 'X{n}')"));
            }
        }
        let report = shop.run(&[]);
        let (rows, written) = (shop.source("place >= 0"), shop.written().await);
        assert_eq!(rows.len() as i64, ROWS);
        assert_eq!(written, rows, "{point}");
        assert_eq!(report["items_read"], ROWS, "{point}");
    }
}

/// The same where the table is read in ranges and written in lanes; and the number
/// of ranges is another at each start, which a run that has begun passes over.
#[tokio::test]
async fn a_copy_in_ranges_that_is_killed_is_exact() {
    for point in ["begin", "mark", "committed"] {
        let shop = Shop::new("ranges = 3", "\n[limits]\nlanes = 2").await;
        let mut late = 0;
        for (ranges, chunk) in [(3, 1), (5, 2), (1, 4), (3, 9)] {
            let job = std::fs::read_to_string(shop.place.path("orders.toml")).unwrap();
            let (before, rest) = job.split_once("ranges = ").unwrap();
            let (_, rest) = rest.split_once('\n').unwrap();
            shop.place.write("orders.toml", &format!("{before}ranges = {ranges}\n{rest}"));
            shop.crash(&format!("{point}:{chunk}"));
            late += 1;
            shop.execute(&format!("INSERT INTO orders (place, number) VALUES (9999, 'Y{late}')"));
        }
        let report = shop.run(&[]);
        let (rows, written) = (shop.source("true"), shop.written().await);
        assert_eq!(rows.len() as i64, ROWS + late);
        assert_eq!(written, rows, "{point}");
        assert_eq!(report["items_read"], ROWS + late, "{point}");
    }
}

/// Rows that come behind the key while it runs change nothing; rows before it
/// are read.
#[tokio::test]
async fn rows_that_come_while_it_runs_are_no_trouble() {
    for snapshot in [false, true] {
        let shop = Shop::new(&format!("snapshot = {snapshot}"), "").await;
        let mut command = shop.command(&["run", "orders.toml", "--quiet"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        shop.under_way(&mut child).await;
        for n in 0..50 {
            shop.execute(&format!(
                "INSERT INTO orders (place, number) VALUES (-1, 'X{n}'), ({ROWS}, 'Y{n}')"
            ));
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let (rows, written) = (shop.source("place BETWEEN 0 AND 1999"), shop.written().await);
        assert_eq!(written[..rows.len()], rows[..]);
        let late = &written[rows.len()..];
        assert!(late.len() <= if snapshot { 0 } else { 50 }, "{}", late.len());
        assert!(late.iter().all(|row| row[0].as_deref() == Some("2000")), "{late:?}");
    }
}

/// B7: a table that was read whole is not read again unasked, although it has
/// grown; `--again` reads it anew.
#[tokio::test]
async fn a_complete_copy_is_not_made_again_unasked() {
    let write = "mode = \"upsert\"\nkey = [\"place\", \"number\"]";
    let shop = Shop::new("", write).await;
    let first = shop.run(&[]);
    shop.execute("INSERT INTO orders (place, number) VALUES (9999, 'new')");
    let second = shop.run(&[]);
    assert_eq!(first["run"], second["run"]);
    assert_eq!(shop.written().await.len() as i64, ROWS);
    let again = shop.run(&["--again"]);
    assert_eq!(again["items_read"], ROWS + 1);
    assert_eq!(shop.written().await, shop.source("true"));
}

/// Each run takes what is new or changed since the last complete one, also when
/// a run in between was killed.
#[tokio::test]
async fn a_watermark_takes_what_is_new() {
    for ranges in [1, 3] {
        what_is_new_is_taken(ranges).await;
    }
}

async fn what_is_new_is_taken(ranges: u32) {
    let write = "mode = \"upsert\"\nkey = [\"place\", \"number\"]";
    let shop = Shop::new(&format!("watermark = \"changed\"\nranges = {ranges}"), write).await;
    assert_eq!(shop.run(&[])["items_read"], ROWS);
    assert_eq!(shop.run(&[])["items_read"], 0);
    shop.execute(&format!(
        "UPDATE orders SET amount = 0, changed = {ROWS} + changed WHERE changed <= 350;
         INSERT INTO orders (place, number, changed) VALUES (0, 'tie', {ROWS} + 350)"
    ));
    // In ranges, what the order hangs on is committed first.
    shop.crash(if ranges == 1 { "commit:3" } else { "commit:4" });
    let done = shop.done().await as i64;
    assert!(ROWS < done && done < ROWS + 351, "{done}");
    shop.execute("INSERT INTO orders (place, number, changed) VALUES (0, 'late', 9999)");
    assert_eq!(shop.run(&[])["items_read"], 352);
    assert_eq!(shop.run(&[])["items_read"], 0);
    assert_eq!(shop.written().await, shop.source("true"));
}

/// A value that is not of its column's type is a dead letter that names its row.
#[tokio::test]
async fn a_dead_letter_names_its_row() {
    let shop = Shop::new("", "").await;
    shop.execute("UPDATE orders SET placed = 'yesterday' WHERE number = 'N70'");
    let report = shop.run(&[]);
    assert_eq!(
        (&report["status"], &report["items_failed"]),
        (&"partial_success".into(), &1.into())
    );
    assert_eq!(report["failed_items"][0]["code"], "type");
    let letter = shop.target.query("SELECT key, raw, column_name FROM kiln.dead_letters").await;
    assert_eq!(letter[0][0].as_deref(), Some(r#"[10,"N70"]"#));
    assert!(letter[0][1].as_deref().unwrap().contains("\"placed\":\"yesterday\""));
    assert_eq!(letter[0][2].as_deref(), Some("placed"));
}

/// What is wrong with the source is said before anything is written.
#[tokio::test]
async fn validate_and_preview_look_at_the_table() {
    let shop = Shop::new("where = \"place < 3\"\ncolumns = [\"place\", \"number\"]", "").await;
    let looked = shop.kiln(&["validate", "orders.toml"]).exits(0).stdout;
    assert!(looked.contains("table orders") && looked.contains("place, number"), "{looked}");
    let shown = shop.kiln(&["preview", "orders.toml"]).exits(0).stdout;
    assert!(shown.contains("N12"), "{shown}");
    assert_eq!(shop.target.value("SELECT to_regnamespace('shop') IS NULL").await, "t");

    for (source, says) in [
        ("where = \"plac < 3\"", "plac"),
        ("key = [\"number\"]", "no unique index"),
        ("columns = [\"plac\"]", "no column plac"),
        ("watermark = \"seen\"", "no column seen"),
        ("lag = \"5m\"", "without a watermark"),
        ("ranges = 0", "in 1 to 64 ranges"),
        ("ranges = 65", "in 1 to 64 ranges"),
        ("ranges = -1", "no such number"),
        ("header = false", "`header` means nothing"),
        ("delimiter = \";\"", "`delimiter` means nothing"),
        ("file = \"in.csv\"", "not both"),
    ] {
        let shop = Shop::new(source, "").await;
        shop.kiln(&["run", "orders.toml"]).exits(78).says(says);
    }
}

/// Without a URL of its own a source is a table of the target's database, also
/// one that the set-up script makes.
#[test]
fn a_table_of_the_target_is_read() {
    let place = Place::new();
    place.write(
        "copy.toml",
        r#"name = "copy"
[source]
table = "items"
where = "code <> ${without}"
[params]
without = "it's"
[target]
url = "sqlite:out.db"
setup = "copy.sql"
[[write]]
table = "copies"
"#,
    );
    place.write(
        "copy.sql",
        "CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, code TEXT);
         INSERT OR IGNORE INTO items VALUES (1, 'a'), (2, 'it''s'), (3, 'c');
         CREATE TABLE IF NOT EXISTS copies (id INTEGER PRIMARY KEY, code TEXT);",
    );
    place.kiln(&["validate", "copy.toml"]).exits(0);
    assert!(!place.files().contains(&"out.db".to_owned()));
    place.kiln(&["run", "copy.toml"]).exits(0);
    assert_eq!(place.sql("SELECT group_concat(id || code) FROM copies"), "1a,3c");
}
