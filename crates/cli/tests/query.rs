//! Queries over files, by the real binary: killed, resumed, and held against SQLite;
//! and what is said where a build has none.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

#[cfg(feature = "query")]
#[path = "common/process.rs"]
mod process;

use common::Place;

/// Two tables, joined.
const JOB: &str = r#"name = "revenue"

[params]
least = 10

[source]
query = """
SELECT c.name, sum(o.total) AS total, count(*) AS orders
FROM orders o JOIN customers c ON c.id = o.customer
WHERE o.total >= ${least}
GROUP BY c.name
"""

[source.tables.orders]
file = "orders.csv"
columns = { customer = "int", total = "decimal(12,2)" }

[source.tables.customers]
file = "customers.jsonl"
columns = { id = "int", name = "text" }

[target]
url = "sqlite:out.db"
setup = "tables.sql"

[[write]]
table = "revenue"
"#;

fn place() -> Place {
    let place = Place::new();
    place.write("job.toml", JOB);
    place.write("orders.csv", "customer,total\n1,10.10\n2,9.99\n1,20.00\n2,10.00\n");
    place.write(
        "customers.jsonl",
        "{\"id\": 1, \"name\": \"Ann\"}\n{\"id\": 2, \"name\": \"Bob\"}\n",
    );
    let table = "CREATE TABLE IF NOT EXISTS revenue (name TEXT, total TEXT, orders INTEGER);";
    place.write("tables.sql", table);
    place
}

#[cfg(not(feature = "query"))]
#[test]
fn a_build_without_queries_says_how_to_get_them() {
    let checked = place().kiln(&["validate", "job.toml"]).exits(78);
    assert!(checked.stdout.contains("--features query"), "{}", checked.stdout);
}

#[cfg(feature = "query")]
mod with {
    use std::fs::File;
    use std::os::unix::process::ExitStatusExt as _;
    use std::path::Path;
    use std::process::Stdio;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use kiln_testkit::shared_data;
    use parquet::arrow::ArrowWriter;
    use rusqlite::{Connection, OpenFlags};
    use rustix::process::Signal;

    use super::common::{Ended, Place};
    use super::{JOB, place, process};

    const ROWS: &str = "SELECT group_concat(name || ' ' || total || ' ' || orders) FROM revenue";

    #[test]
    fn a_query_is_validated_previewed_and_run() {
        let place = place();
        let checked = place.kiln(&["validate", "job.toml"]).exits(0);
        assert!(checked.stdout.contains("query over customers, orders"), "{}", checked.stdout);
        assert!(checked.stdout.contains("name, total, orders"), "{}", checked.stdout);
        assert!(!place.path(".kiln").exists());

        let shown = place.kiln(&["preview", "job.toml"]).exits(0);
        assert!(shown.stdout.contains("30.10"), "{}", shown.stdout);

        let args = ["run", "job.toml", "--report", "-"];
        let report = place.kiln(&args).exits(0).stdout;
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["items_read"], 2, "{report}");
        assert_eq!(place.sql(ROWS), "Ann 30.10 2,Bob 10.00 1");
        assert!(!place.path(".kiln").exists(), "the result goes when it is committed");

        // The same input: nothing to do; another value: another run.
        place.kiln(&["run", "job.toml"]).exits(0);
        assert_eq!(place.sql("SELECT count(*) FROM revenue"), "2");
        place.kiln(&["run", "job.toml", "--param", "least=20"]).exits(0);
        assert_eq!(place.sql(ROWS), "Ann 30.10 2,Bob 10.00 1,Ann 20.00 1");
    }

    #[test]
    fn what_is_wrong_with_a_query_is_told_at_its_place() {
        for (old, new, said) in [
            ("sum(o.total)", "sum(o.totl)", ["job.toml:8", "did you mean total?"]),
            ("JOIN customers", "JOIN custmers", ["job.toml:9", "did you mean customers?"]),
            ("orders.csv", "order.csv", ["job.toml:15", "order.csv"]),
            ("total = \"decimal", "totl = \"decimal", ["job.toml:16", "totl"]),
            ("[target]", "where = 'x'\n[target]", ["job.toml:22", "`where` means nothing"]),
            (
                "[target]",
                "[source.tables.x]\ntable = 'x'\n[target]",
                ["job.toml:22", "reads files"],
            ),
            ("[source]\n", "[source]\nfile = 'orders.csv'\n", ["job.toml:8", "not both"]),
            ("[source]\n", "[source]\nencoding = 'latin-1'\n", ["job.toml:7", "means nothing"]),
            ("[source]\n", "[source]\nmemory = 'much'\n", ["job.toml:7", "no amount of memory"]),
            ("[source]\n", "[source]\nwork = '../x'\n", ["job.toml:7", "leads out"]),
        ] {
            let place = place();
            // A value in the SQL hides where in it a name stands.
            let job = JOB.replace("${least}", "10");
            assert!(job.contains(old), "{old}");
            place.write("job.toml", &job.replacen(old, new, 1));
            let checked = place.kiln(&["validate", "job.toml"]);
            assert_ne!(checked.code, Some(0), "{new}");
            let all = format!("{}{}", checked.stdout, checked.stderr);
            for said in said {
                assert!(all.contains(said), "{new}: {said:?} is not said:\n{all}");
            }
        }
        let other = JOB.replace("query = \"\"\"", "file = 'x.csv'\nwork = 'w'\n#");
        let (front, back) = other.split_once("SELECT").unwrap();
        let (_, back) = back.split_once("\"\"\"").unwrap();
        let place = place();
        place.write("job.toml", &format!("{front}{back}"));
        let checked = place.kiln(&["validate", "job.toml"]);
        assert!(checked.stdout.contains("means nothing where the source is a file"), "{checked:?}");
    }

    #[test]
    fn a_bad_record_stops_the_run_and_the_mended_one_goes_on() {
        let place = place();
        place.write("orders.csv", "customer,total\n1,10.10\n2,x\n");
        let args = ["run", "job.toml"];
        place.kiln(&args).exits(65).says("orders.csv:3").says("TRY_CAST");
        assert_eq!(place.sql("SELECT count(*) FROM revenue"), "0");
        // The run is open, and its input is another one now.
        place.write("orders.csv", "customer,total\n1,10.10\n2,10.00\n");
        place.kiln(&args).exits(78).says("--again");
        place.kiln(&["run", "job.toml", "--again"]).exits(0);
        assert_eq!(place.sql(ROWS), "Ann 10.10 1,Bob 10.00 1");
    }

    #[test]
    fn the_folder_for_work_is_chosen() {
        let place = place();
        let job =
            JOB.replace("[source]\n", "[source]\nwork = \"scratch/deep\"\nmemory = \"64 MB\"\n");
        place.write("job.toml", &job);
        place.kiln(&["preview", "job.toml"]).exits(0);
        assert!(place.path("scratch/deep").is_dir());
        assert!(!place.path(".kiln").exists());
        place.kiln(&["run", "job.toml"]).exits(0);
        assert!(std::fs::read_dir(place.path("scratch/deep")).unwrap().next().is_none());
    }

    #[test]
    fn a_row_that_fails_is_a_dead_letter_and_can_be_redriven() {
        let place = place();
        let with = |rule: &str| {
            let rule = format!("[[require]]\nrule = \"{rule}\"\n[limits]\nfailed = 5\n[target]");
            place.write("job.toml", &JOB.replace("[target]", &rule));
        };
        with("total < 20");
        place.kiln(&["run", "job.toml"]).exits(0);
        assert_eq!(place.sql(ROWS), "Bob 10.00 1");
        let letters = place.kiln(&["dead-letters", "list", "--job", "job.toml"]).exits(0);
        assert!(letters.stdout.contains("require"), "{}", letters.stdout);
        with("total < 40");
        place.kiln(&["dead-letters", "redrive", "job.toml"]).exits(0);
        assert_eq!(place.sql(ROWS), "Bob 10.00 1,Ann 30.10 2");
    }

    /// Who asks for an end does not wait for the query's.
    #[test]
    fn a_query_is_stopped_on_request() {
        let place = place();
        let numbers: String = (0..20_000).map(|n| format!("{n},1\n")).collect();
        place.write("orders.csv", &format!("customer,total\n{numbers}"));
        let slow = "SELECT c.name, count(*) AS orders, max(o.total) AS total FROM customers c, \
                    orders o, orders p, orders q WHERE o.total + p.total < q.total GROUP BY c.name";
        let (front, back) = JOB.split_once("SELECT").unwrap();
        let (_, back) = back.split_once("\"\"\"").unwrap();
        place.write("job.toml", &format!("{front}{slow}\"\"\"{back}"));
        let mut command = place.command(&["run", "job.toml"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let work = place.path(".kiln");
        let staging = || {
            let folders = std::fs::read_dir(&work).into_iter().flatten().flatten();
            let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap());
            files.flatten().any(|file| file.path().is_dir())
        };
        let began = Instant::now();
        while !staging() {
            assert!(began.elapsed() < Duration::from_secs(60), "it does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
        // Until it is in the middle of its joins.
        std::thread::sleep(Duration::from_secs(1));
        process::send(&child, Signal::TERM);
        let asked = Instant::now();
        let ended = process::wait(child);
        assert!(asked.elapsed() < Duration::from_secs(30), "it took {:?}", asked.elapsed());
        assert_eq!(ended.status.code(), Some(75), "{}", ended.stderr);
        assert!(!staging(), "what was written aside is gone");
    }

    /// Chinook in files of three kinds, and a query with all that queries are for.
    const SHOP: &str = r#"name = "shop"

[source]
query = """
WITH sold AS (
    SELECT g.name AS genre, i.country, sum(l.price * l.quantity) AS revenue, count(*) AS lines
    FROM lines l
    JOIN tracks t ON t.id = l.track
    JOIN genres g ON g.id = t.genre
    JOIN invoices i ON i.id = l.invoice
    GROUP BY g.name, i.country
)
SELECT genre, country, revenue, lines,
       rank() OVER (PARTITION BY country ORDER BY revenue DESC) AS place,
       sum(revenue) OVER (PARTITION BY genre ORDER BY country) AS running
FROM sold
ORDER BY place
"""

[source.tables.lines]
file = "lines.csv"
columns = { track = "int", invoice = "int", quantity = "int", price = "decimal(10,2)" }

[source.tables.tracks]
file = "tracks.jsonl"
columns = { id = "int", genre = { path = "genre.id", type = "int" } }

[source.tables.genres]
file = "genres.csv"
delimiter = ";"
columns = { id = "int" }

[source.tables.invoices]
file = "invoices.parquet"

[target]
url = "sqlite:out.db"
setup = "tables.sql"

[[write]]
table = "sold"

[chunk]
items = 40
"#;

    /// The same of SQLite over the original tables, money in cents.
    const ORACLE: &str = "
        WITH sold AS (
            SELECT g.Name AS genre, i.BillingCountry AS country,
                   sum(CAST(round(l.UnitPrice * 100) AS INTEGER) * l.Quantity) AS cents,
                   count(*) AS lines
            FROM InvoiceLine l JOIN Track t USING (TrackId) JOIN Genre g USING (GenreId)
            JOIN Invoice i USING (InvoiceId) GROUP BY g.Name, i.BillingCountry)
        SELECT genre, country, cents, lines,
               rank() OVER (PARTITION BY country ORDER BY cents DESC),
               sum(cents) OVER (PARTITION BY genre ORDER BY country)
        FROM sold ORDER BY genre, country";

    const WRITTEN: &str = "
        SELECT genre, country, CAST(round(revenue * 100) AS INTEGER), lines, place,
               CAST(round(running * 100) AS INTEGER)
        FROM sold ORDER BY genre, country";

    type Sold = (String, String, i64, i64, i64, i64);

    fn ask(path: &Path, sql: &str) -> Vec<Sold> {
        let uri = format!("file:{}?immutable=1", path.display());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri, flags).unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let sold = |row: &rusqlite::Row<'_>| {
            let text = |at| row.get::<_, String>(at);
            let number = |at| row.get::<_, i64>(at);
            Ok((text(0)?, text(1)?, number(2)?, number(3)?, number(4)?, number(5)?))
        };
        statement.query_map([], sold).unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn lines(chinook: &Path, sql: &str) -> String {
        let connection = Connection::open_with_flags(
            format!("file:{}?immutable=1", chinook.display()),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
        );
        let connection = connection.unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let lines = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        lines.map(|line| line.unwrap() + "\n").collect()
    }

    fn shop(chinook: &Path) -> Place {
        let place = Place::new();
        place.write("job.toml", SHOP);
        let csv = "SELECT TrackId || ',' || InvoiceId || ',' || Quantity || ',' || UnitPrice FROM InvoiceLine";
        place.write("lines.csv", &format!("track,invoice,quantity,price\n{}", lines(chinook, csv)));
        let json =
            "SELECT json_object('id', TrackId, 'genre', json_object('id', GenreId)) FROM Track";
        place.write("tracks.jsonl", &lines(chinook, json));
        let csv = "SELECT GenreId || ';' || Name FROM Genre";
        place.write("genres.csv", &format!("id;name\n{}", lines(chinook, csv)));
        let numbers = lines(chinook, "SELECT CAST(InvoiceId AS TEXT) FROM Invoice ORDER BY 1");
        let id: ArrayRef =
            Arc::new(numbers.lines().map(|n| n.parse::<i64>().unwrap()).collect::<Int64Array>());
        let countries =
            lines(chinook, "SELECT BillingCountry FROM Invoice ORDER BY CAST(InvoiceId AS TEXT)");
        let country: ArrayRef = Arc::new(countries.lines().map(Some).collect::<StringArray>());
        let batch = RecordBatch::try_from_iter([("id", id), ("country", country)]).unwrap();
        let file = File::create(place.path("invoices.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let table = "CREATE TABLE IF NOT EXISTS sold (genre TEXT, country TEXT, revenue TEXT,
                     lines INTEGER, place INTEGER, running TEXT, PRIMARY KEY (genre, country));";
        place.write("tables.sql", table);
        place
    }

    fn run(place: &Place, crash: Option<&str>) -> Ended {
        let mut command = place.command(&["run", "job.toml", "--report", "-"]);
        crash.map(|at| command.env("KILN_CRASH_AT", at));
        let output = command.output().unwrap();
        let is_killed = output.status.signal() == Some(9);
        assert_eq!(is_killed, crash.is_some(), "{crash:?}: {output:?}");
        Ended::of(output)
    }

    #[test]
    fn joins_groups_and_windows_are_those_of_sqlite_however_it_is_killed() {
        let Some(chinook) = shared_data("chinook/Chinook_Sqlite.sqlite") else { return };
        let expected = ask(&chinook, ORACLE);
        assert!(expected.len() > 200);
        for lost in [false, true] {
            let place = shop(&chinook);
            for crash in ["stage:1", "staged:1", "published:1", "mark:1", "commit:2", "committed:2"]
            {
                run(&place, Some(crash));
                // Half a result, or none, is no harm.
                if lost && place.path(".kiln").exists() {
                    std::fs::remove_dir_all(place.path(".kiln")).unwrap();
                }
            }
            let report = run(&place, None).exits(0).stdout;
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            assert_eq!(report["items_read"], expected.len(), "{report}");
            assert_eq!(ask(&place.path("out.db"), WRITTEN), expected);
            assert!(!place.path(".kiln").exists());
        }
    }
}
