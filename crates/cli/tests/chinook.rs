//! The example that moves a whole database: eleven tables, every row and sum the
//! same, however often it is killed on the way.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kiln_testkit::{Row, TestDatabase, shared_data};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

/// Each table of the target, and what its rows are in the source. The columns
/// stand in the same order on both sides.
const TABLES: [(&str, &str); 11] = [
    ("artist", "SELECT * FROM Artist"),
    ("genre", "SELECT * FROM Genre"),
    ("media_type", "SELECT * FROM MediaType"),
    ("playlist", "SELECT * FROM Playlist"),
    ("album", "SELECT * FROM Album"),
    (
        "track",
        "SELECT TrackId, Name, AlbumId, MediaTypeId, GenreId, Composer, Milliseconds, Bytes,
             printf('%.2f', UnitPrice) FROM Track",
    ),
    ("playlist_track", "SELECT * FROM PlaylistTrack"),
    ("employee", "SELECT * FROM Employee"),
    ("customer", "SELECT * FROM Customer"),
    (
        "invoice",
        "SELECT InvoiceId, CustomerId, InvoiceDate, BillingAddress, BillingCity, BillingState,
             BillingCountry, BillingPostalCode, printf('%.2f', Total) FROM Invoice",
    ),
    (
        "invoice_line",
        "SELECT InvoiceLineId, InvoiceId, TrackId, printf('%.2f', UnitPrice), Quantity
         FROM InvoiceLine",
    ),
];

/// All rows of all tables, and of the employees once more whom they report to.
const ITEMS: u64 = 275 + 25 + 5 + 18 + 347 + 3503 + 8715 + 8 + 7 + 59 + 412 + 2240;

/// The example in a folder of its own, with chunks so small that each large
/// table takes several.
struct Move {
    folder: TempDir,
    from: PathBuf,
    to: TestDatabase,
}

impl Move {
    /// None where the data is not there.
    fn new(to: TestDatabase) -> Option<Self> {
        let from = shared_data("chinook/Chinook_Sqlite.sqlite")?;
        let folder = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/chinook");
        for name in ["chinook.toml", "postgres.sql", "mariadb.sql"] {
            std::fs::copy(example.join(name), folder.path().join(name)).unwrap();
        }
        let job = folder.path().join("chinook.toml");
        let text = std::fs::read_to_string(&job).unwrap();
        assert!(!text.contains("[chunk]"), "the example leaves the chunk to kiln");
        std::fs::write(&job, format!("{text}\n[chunk]\nitems = 200\n")).unwrap();
        Some(Self { folder, from, to })
    }

    fn run(&self, crash: Option<&str>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command
            .arg("run")
            .arg(self.folder.path().join("chinook.toml"))
            .args(["--param", &format!("from=sqlite:{}", self.from.display())])
            .args(["--param", &format!("to={}", self.to.url)])
            .args(["--report", "-", "--quiet", "--log-format", "json"]);
        crash.map(|at| command.env("KILN_CRASH_AT", at));
        command.output().unwrap()
    }

    /// Runs it to its end, and gives the report.
    fn finish(&self) -> Value {
        let output = self.run(None);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// That all is as it was in the source.
    async fn assert_moved(&self) {
        let source = open(&self.from);
        for (table, sql) in TABLES {
            let sql = format!("{sql} ORDER BY 1, 2");
            let expected = rows(&source, &sql);
            let moved = self.to.query(&format!("SELECT * FROM {table} ORDER BY 1, 2")).await;
            assert!(!expected.is_empty());
            let differs = moved.iter().zip(&expected).find(|(ours, theirs)| ours != theirs);
            assert_eq!(differs, None, "{table}");
            assert_eq!(moved.len(), expected.len(), "{table}");
        }
        for (sum, value) in [
            ("SELECT sum(total) FROM invoice", "2328.60"),
            ("SELECT sum(unit_price * quantity) FROM invoice_line", "2328.60"),
            ("SELECT sum(milliseconds) FROM track", "1378778040"),
            (
                "SELECT count(*) FROM employee e JOIN employee m ON m.employee_id = e.reports_to",
                "7",
            ),
        ] {
            assert_eq!(self.to.value(sum).await, value, "{sum}");
        }
    }
}

fn open(path: &Path) -> Connection {
    // The data may lie where nothing can be written, not even a lock.
    let uri = format!("file:{}?immutable=1", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags).unwrap()
}

fn rows(connection: &Connection, sql: &str) -> Vec<Row> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let text = |value: ValueRef<'_>| match value {
        ValueRef::Null => None,
        ValueRef::Integer(n) => Some(n.to_string()),
        ValueRef::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
        other => panic!("{sql} gives {other:?}"),
    };
    let row = |row: &rusqlite::Row<'_>| (0..columns).map(|i| row.get_ref(i).map(text)).collect();
    statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
}

/// What the log tells of steps: how many are at work behind each line.
fn at_work(log: &[u8]) -> Vec<usize> {
    let mut now: usize = 0;
    let lines = String::from_utf8_lossy(log);
    let tell = lines.lines().filter_map(|line| {
        match serde_json::from_str::<Value>(line).unwrap()["message"].as_str().unwrap() {
            "step started" => now += 1,
            "step ended" => now -= 1,
            _ => return None,
        }
        Some(now)
    });
    tell.collect()
}

/// Moved in one go.
async fn moves(to: TestDatabase) -> Option<Move> {
    let example = Move::new(to)?;
    let output = example.run(None);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let at_work = at_work(&output.stderr);
    assert!((2..=4).contains(at_work.iter().max().unwrap()), "{at_work:?}");
    assert_eq!(at_work.len(), 24);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["status"], "success");
    assert_eq!([&report["items_read"], &report["items_processed"]], [ITEMS, ITEMS]);
    let steps = report["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 12);
    assert!(steps.iter().all(|step| step["status"] == "success"), "{report}");
    example.assert_moved().await;
    assert_eq!(example.finish()["already_complete"], true);
    Some(example)
}

/// B32: killed again and again, each time a few chunks further and at another
/// point of a chunk.
async fn moves_though_killed(to: TestDatabase) {
    let Some(example) = Move::new(to) else { return };
    // Four units may be on their way at once: the fifth visit comes behind a commit.
    let points = ["begin:5", "write:5", "mark:5", "commit:5", "committed:5"];
    let mut deaths = 0;
    for point in points.into_iter().cycle() {
        let output = example.run(Some(point));
        if output.status.code().is_some() {
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            break;
        }
        deaths += 1;
        assert!(deaths < 80, "it does not get further");
    }
    assert!(deaths >= 8, "it died {deaths} times only");
    let report = example.finish();
    assert_eq!(report["already_complete"], true);
    assert_eq!([&report["items_read"], &report["items_processed"]], [ITEMS, ITEMS]);
    example.assert_moved().await;
}

/// Against the script by which the makers of the data fill PostgreSQL.
#[tokio::test]
async fn moves_to_postgres_and_is_what_its_makers_ship() {
    let Some(example) = moves(kiln_testkit::postgres().await).await else { return };
    let script = shared_data("chinook/Chinook_PostgreSql.sql").unwrap();
    let script = std::fs::read_to_string(script).unwrap();
    let apart = |line: &&str| {
        !["DROP DATABASE", "CREATE DATABASE", "\\c"].iter().any(|word| line.starts_with(word))
    };
    let script: Vec<&str> = script.lines().filter(apart).collect();
    let shipped = kiln_testkit::postgres().await;
    shipped.execute(&script.join("\n")).await;
    for (table, _) in TABLES {
        let sql = format!("SELECT * FROM {table} ORDER BY 1, 2");
        // The script writes texts as N'…', which drops blanks at their ends.
        let (moved, shipped) = (example.to.query(&sql).await, shipped.query(&sql).await);
        let differs = trimmed(&moved).zip(trimmed(&shipped)).find(|(ours, theirs)| ours != theirs);
        assert_eq!(differs, None, "{table}");
        assert_eq!(moved.len(), shipped.len(), "{table}");
    }
}

fn trimmed(rows: &[Row]) -> impl Iterator<Item = Vec<Option<&str>>> {
    rows.iter().map(|row| row.iter().map(|v| v.as_deref().map(str::trim_end)).collect())
}

#[tokio::test]
async fn moves_to_mariadb() {
    moves(kiln_testkit::mysql().await).await;
}

#[tokio::test]
async fn moves_to_mariadb_though_killed() {
    moves_though_killed(kiln_testkit::mysql().await).await;
}

#[tokio::test]
async fn moves_to_postgres_though_killed() {
    moves_though_killed(kiln_testkit::postgres().await).await;
}
