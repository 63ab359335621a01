//! Jobs that copy a table of MariaDB: the real binary, to PostgreSQL and to the
//! same database.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Ended, Place};
use kiln_testkit::{Row, TestDatabase, mysql, postgres};
use serde_json::Value;

const ROWS: usize = 2_000;

const JOB: &str = r#"name = "orders"

[source]
url = "${KILN_SOURCE}"
table = "orders"
$source

[target]
url = "${KILN_TARGET}"
setup = { postgres = "postgres.sql", mysql = "mysql.sql" }

[[write]]
table = "copies"
$write

[chunk]
items = 100
"#;

const POSTGRES: &str = "
CREATE TABLE IF NOT EXISTS copies (place numeric(20), number text, amount numeric(10,2),
    placed timestamp, paid boolean, changed timestamptz, PRIMARY KEY (place, number));
";

const MYSQL: &str = "
CREATE TABLE IF NOT EXISTS copies (place bigint unsigned, number varchar(20), amount decimal(10,2),
    placed datetime(6), paid bit(1), changed timestamp(6) NULL, PRIMARY KEY (place, number));
";

const UPSERT: &str = "mode = \"upsert\"\nkey = [\"place\", \"number\"]";

/// A shop in MariaDB whose orders go to PostgreSQL, or to another table beside
/// them.
struct Shop {
    place: Place,
    source: TestDatabase,
    /// `None` for the source itself.
    target: Option<TestDatabase>,
}

impl Shop {
    async fn new(target: Option<TestDatabase>, source: &str, write: &str) -> Self {
        let place = Place::new();
        place.write("orders.toml", &JOB.replace("$source", source).replace("$write", write));
        place.write("postgres.sql", POSTGRES);
        place.write("mysql.sql", MYSQL);
        let shop = Self { place, source: mysql().await, target };
        shop.source
            .execute(&format!(
                "SET time_zone = '+00:00';
                 CREATE TABLE orders (number varchar(20) NOT NULL, place bigint unsigned NOT NULL,
                     amount decimal(10,2), placed datetime(6), paid bit(1),
                     changed timestamp(6) NULL, PRIMARY KEY (place, number));
                 INSERT INTO orders SELECT concat('n', seq), 9223372036854775807 + seq div 7,
                     seq / 100, '2009-01-01' + interval seq minute, seq % 2,
                     '2024-01-01' + interval seq microsecond FROM seq_1_to_{ROWS}"
            ))
            .await;
        shop
    }

    fn target(&self) -> &TestDatabase {
        self.target.as_ref().unwrap_or(&self.source)
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.place.command(args);
        command.env("KILN_SOURCE", &self.source.url).env("KILN_TARGET", &self.target().url);
        command.env_remove("KILN_CRASH_AT");
        command
    }

    /// Runs the job; gives its report.
    fn run(&self) -> Value {
        let args = ["run", "orders.toml", "--quiet", "--report", "-"];
        let ended = Ended::of(self.command(&args).output().unwrap()).exits(0);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Starts the job and lets it die.
    fn crash(&self, at: &str) {
        let mut command = self.command(&["run", "orders.toml", "--quiet"]);
        let output = command.env("KILN_CRASH_AT", at).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{at}: {output:?}");
    }

    async fn rows(&self, which: &str) -> Vec<Row> {
        mysql_rows(&self.source, "orders", which).await
    }

    async fn written(&self) -> Vec<Row> {
        match &self.target {
            None => mysql_rows(&self.source, "copies", "true").await,
            Some(postgres) => {
                let moment = |of: &str| format!("to_char({of}, 'YYYY-MM-DD HH24:MI:SS.US')");
                let (placed, changed) = (moment("placed"), moment("changed AT TIME ZONE 'UTC'"));
                let columns = format!("place, number, amount, {placed}, paid::int, {changed}");
                let order = "ORDER BY place, number COLLATE \"C\"";
                postgres.query(&format!("SELECT {columns} FROM copies {order}")).await
            }
        }
    }

    async fn done(&self) -> usize {
        let (there, done) = match &self.target {
            None => (
                "SELECT count(*) FROM information_schema.tables
                 WHERE table_schema = database() AND table_name = 'kiln_marks'",
                "SELECT coalesce(sum(done), 0) FROM kiln_marks",
            ),
            Some(_) => (
                "SELECT count(*) FROM pg_class WHERE oid = to_regclass('kiln.marks')",
                "SELECT coalesce(sum(done), 0) FROM kiln.marks",
            ),
        };
        if self.target().value(there).await == "0" {
            return 0;
        }
        self.target().value(done).await.parse().unwrap()
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

async fn mysql_rows(database: &TestDatabase, table: &str, which: &str) -> Vec<Row> {
    let sql = "place, number, amount, placed, paid + 0, changed";
    let order = "ORDER BY place, number COLLATE utf8mb4_bin";
    database.query(&format!("SELECT {sql} FROM {table} WHERE {which} {order}")).await
}

/// B32: killed at any point of any chunk, while rows come behind the key, every
/// row of the table is in the target once.
#[tokio::test]
async fn a_copy_that_is_killed_is_exact() {
    for point in ["begin", "write", "mark", "commit", "committed"] {
        let shop = Shop::new(Some(postgres().await), "", "").await;
        for (n, chunk) in [1, 3, 9].into_iter().enumerate() {
            shop.crash(&format!("{point}:{chunk}"));
            if shop.done().await > 0 {
                // Behind the key, where the run has been: it is not seen any more.
                let late = format!("INSERT INTO orders (place, number) VALUES (0, 'x{n}')");
                shop.source.execute(&late).await;
            }
        }
        let report = shop.run();
        let rows = shop.rows("place > 0").await;
        assert_eq!(rows.len(), ROWS);
        assert_eq!(shop.written().await, rows, "{point}");
        assert_eq!(report["items_read"], ROWS, "{point}");
    }
}

/// The same where the table is read in ranges, and rows come before the keys that
/// they are at.
#[tokio::test]
async fn a_copy_in_ranges_that_is_killed_is_exact() {
    for point in ["mark", "committed"] {
        let shop = Shop::new(Some(postgres().await), "ranges = 3", "").await;
        for (n, chunk) in [1, 3, 9].into_iter().enumerate() {
            shop.crash(&format!("{point}:{chunk}"));
            let rows = format!("(18446744073709551615, 'y{n}')");
            shop.source.execute(&format!("INSERT INTO orders (place, number) VALUES {rows}")).await;
        }
        let report = shop.run();
        let rows = shop.rows("true").await;
        assert_eq!(rows.len(), ROWS + 3);
        assert_eq!(shop.written().await, rows, "{point}");
        assert_eq!(report["items_read"], ROWS + 3, "{point}");
    }
}

/// Rows that come behind the key while it runs change nothing; rows before it
/// are read, but not by a snapshot. The table lies beside the one that is
/// written.
#[tokio::test]
async fn rows_that_come_while_it_runs_are_no_trouble() {
    for snapshot in [false, true] {
        let shop = Shop::new(None, &format!("snapshot = {snapshot}"), "").await;
        let mut command = shop.command(&["run", "orders.toml", "--quiet"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        shop.under_way(&mut child).await;
        for n in 0..50 {
            let rows = format!("(0, 'x{n}'), (18446744073709551615, 'y{n}')");
            shop.source.execute(&format!("INSERT INTO orders (place, number) VALUES {rows}")).await;
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let rows = shop.rows("amount IS NOT NULL").await;
        let written = shop.written().await;
        assert_eq!(written[..rows.len()], rows[..]);
        let late = &written[rows.len()..];
        assert!(late.len() <= if snapshot { 0 } else { 50 }, "{}", late.len());
        let last = "18446744073709551615";
        assert!(late.iter().all(|row| row[0].as_deref() == Some(last)), "{late:?}");
    }
}

/// Each run takes what is new or changed since the last complete one, also when
/// a run in between was killed.
#[tokio::test]
async fn a_watermark_takes_what_is_new() {
    let shop = Shop::new(None, "watermark = \"changed\"", UPSERT).await;
    assert_eq!(shop.run()["items_read"], ROWS);
    assert_eq!(shop.run()["items_read"], 0);
    let zone = "SET time_zone = '+00:00'";
    shop.source
        .execute(&format!(
            "{zone}; UPDATE orders SET amount = 0, changed = changed + interval 1 second
                 WHERE changed <= '2024-01-01' + interval 350 microsecond;
             INSERT INTO orders (place, number, changed) VALUES (1, 'tie',
                 timestamp '2024-01-01 00:00:01' + interval 350 microsecond)"
        ))
        .await;
    shop.crash("commit:3");
    assert_eq!(shop.done().await, ROWS + 200);
    let late = "INSERT INTO orders (place, number, changed) VALUES (1, 'late', '2024-02-01')";
    shop.source.execute(&format!("{zone}; {late}")).await;
    assert_eq!(shop.run()["items_read"], 352);
    assert_eq!(shop.run()["items_read"], 0);
    assert_eq!(shop.written().await, shop.rows("true").await);
}

/// A date that is none is a dead letter that names its row, also where it is
/// part of the watermark.
#[tokio::test]
async fn a_dead_letter_names_its_row() {
    for source in ["", "watermark = \"placed\""] {
        let shop = Shop::new(Some(postgres().await), source, "").await;
        let zero = "SET sql_mode = ''; UPDATE orders SET placed = 0 WHERE number = 'n70'";
        shop.source.execute(zero).await;
        let report = shop.run();
        assert_eq!(
            (&report["status"], &report["items_read"], &report["items_failed"]),
            (&"partial_success".into(), &ROWS.into(), &1.into())
        );
        assert_eq!(report["failed_items"][0]["code"], "type");
        let letters = "SELECT key, raw, column_name FROM kiln.dead_letters";
        let letter = shop.target().query(letters).await.concat();
        assert!(letter[0].as_deref().unwrap().ends_with(r#""9223372036854775817","n70"]"#));
        assert!(
            letter[1].as_deref().unwrap().contains("\"placed\":\"0000-00-00 00:00:00.000000\"")
        );
        assert_eq!(letter[2].as_deref(), Some("placed"));
    }
}

/// What is wrong with the source is said before anything is written; a
/// parameter in a condition is a value, whatever it holds.
#[tokio::test]
async fn validate_and_preview_look_at_the_table() {
    let source = r#"where = "number <> ${it} # it's\n AND place < 9223372036854775810"
[params]
it = "\\' OR 1=1 -- ""#;
    let shop = Shop::new(None, source, "").await;
    let kiln = |args: &[&str]| Ended::of(shop.command(args).output().unwrap());
    let looked = kiln(&["validate", "orders.toml"]).exits(0).stdout;
    assert!(looked.contains("table orders"), "{looked}");
    let shown = kiln(&["preview", "orders.toml"]).exits(0).stdout;
    assert!(shown.contains("n12"), "{shown}");
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = database()";
    assert_eq!(shop.source.value(tables).await, "1");
    assert_eq!(shop.run()["items_read"], 20);

    for (source, says) in [
        ("where = \"plac < 3\"", "plac"),
        ("key = [\"number\"]", "no unique index"),
        ("columns = [\"plac\"]", "no column plac"),
        ("watermark = \"seen\"", "no column seen"),
        ("watermark = \"placed\"\nlag = \"5m\"", "a lag needs an instant"),
        ("snapshot = true\nranges = 2", "in ranges by a snapshot"),
    ] {
        let shop = Shop::new(None, source, "").await;
        Ended::of(shop.command(&["run", "orders.toml"]).output().unwrap()).exits(78).says(says);
    }
}
