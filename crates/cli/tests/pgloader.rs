//! The CSV cases of pgloader's own tests, loaded into PostgreSQL by a job each:
//! the table must hold exactly the rows that pgloader says, and what is not in
//! it must be a dead letter.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::Place;
use kiln_testkit::{TestDatabase, postgres, shared_data};
use serde_json::Value;

/// A case: how its options read in a job file, and how its rows are shown.
struct Case {
    name: &'static str,
    source: &'static str,
    /// `[map]`, where columns have other names or a constant is added.
    map: &'static str,
    write: &'static str,
    /// What shows the table's rows as they stand in `expected.copy`.
    rows: &'static str,
    failed: u64,
}

const CASES: [Case; 11] = [
    Case {
        name: "allcols",
        source: r#"delimiter = ":"
                   header = ["a", "b", "c"]
                   columns = { a = "int", b = "date" }"#,
        map: "",
        write: r#"table = "allcols""#,
        rows: "SELECT * FROM allcols ORDER BY a",
        failed: 0,
    },
    Case {
        name: "csv-escape-mode",
        source: r#"escape = "\\"
                   null = ["\\N"]
                   ragged = "pad"
                   header = COLUMNS
                   columns = { pageid = "int" }"#,
        map: "SELECT pageid AS id, doctype FROM item",
        write: r#"table = "csv_escape_mode""#,
        rows: "SELECT * FROM csv_escape_mode ORDER BY id",
        failed: 0,
    },
    Case {
        name: "csv-header",
        source: r#"columns = { fields = "int" }"#,
        map: "",
        write: r#"table = "group""#,
        rows: r#"SELECT * FROM "group" ORDER BY fields"#,
        failed: 0,
    },
    Case {
        name: "csv-json",
        source: r#"delimiter = "\u0002"
                   quote = ""
                   header = ["json"]"#,
        map: "",
        write: r#"table = "json""#,
        rows: "SELECT * FROM json ORDER BY ctid",
        failed: 0,
    },
    Case {
        name: "csv-nulls",
        source: r#"escape = "\\"
                   null = ["\\N"]
                   header = ["id", "number", "data"]
                   columns = { id = "int", number = "int" }"#,
        map: "",
        write: r#"table = "nullif""#,
        rows: "SELECT * FROM nullif ORDER BY id",
        failed: 0,
    },
    Case {
        // pgloader loads it with the time zone of Paris; what the clock showed
        // is the same.
        name: "csv-parse-date",
        source: r#"header = ["row num", "ts", "hr"]
                   [source.columns]
                   "row num" = "int"
                   ts = { type = "timestamp", format = "%m-%d-%Y %H-%M-%S%.f" }
                   hr = { type = "time", format = "%H:%M.%S" }"#,
        map: "",
        write: r#"table = "dateformat""#,
        rows: r#"SELECT "row num", ts AT TIME ZONE 'UTC' || '+02', hr FROM dateformat ORDER BY 1"#,
        failed: 0,
    },
    Case {
        name: "csv-trim-extra-blanks",
        source: r#"trim = true
                   header = ["f1", "f2", "f3"]"#,
        map: "",
        write: r#"table = "nulls""#,
        rows: "SELECT * FROM nulls ORDER BY id",
        failed: 0,
    },
    Case {
        name: "errors",
        source: r#"delimiter = "|"
                   ragged = "pad"
                   header = ["a", "c", "b", "trailing"]
                   columns = { a = "int", b = "date" }"#,
        map: "",
        write: r#"table = "err.errors"
                  columns = ["a", "b", "c"]"#,
        rows: "SELECT * FROM err.errors ORDER BY a",
        failed: 4,
    },
    Case {
        name: "fk-reject",
        source: r#"header = ["id", "parent_id"]
                   columns = { id = "int", parent_id = "int" }"#,
        map: "",
        write: r#"table = "fk_reject""#,
        rows: "SELECT * FROM fk_reject ORDER BY id",
        failed: 1,
    },
    Case {
        name: "partial",
        source: r#"delimiter = "%"
                   header = ["a", "b", "c", "d", "e"]
                   columns = { a = "int" }"#,
        map: "",
        write: r#"table = "csv.partial"
                  columns = ["a", "b", "c", "e"]"#,
        rows: "SELECT * FROM csv.partial ORDER BY a",
        failed: 0,
    },
    Case {
        name: "udc",
        source: r#"delimiter = "%"
                   header = ["d", "b", "x", "y"]
                   columns = { d = "int", b = "int" }"#,
        map: "SELECT b, 'constant value' AS c, d FROM item",
        write: r#"table = "udc""#,
        rows: "SELECT * FROM udc ORDER BY d",
        failed: 0,
    },
];

#[tokio::test]
async fn every_case_gives_its_expected_rows() {
    let Some(folder) = shared_data("pgloader") else { return };
    let database = postgres().await;
    for case in &CASES {
        run(case, &folder.join(case.name), &database).await;
    }
    assert_eq!(CASES.len(), fs::read_dir(&folder).unwrap().count(), "every case is here");
}

async fn run(case: &Case, folder: &Path, database: &TestDatabase) {
    let about: Value = serde_json::from_slice(&read(folder, "case.json")).unwrap();
    for sql in about["sql"].as_array().unwrap() {
        database.execute(sql.as_str().unwrap()).await;
    }
    let place = Place::new();
    fs::write(place.path("input.csv"), read(folder, "input.dat")).unwrap();
    place.write("job.toml", &job(case, about["command"].as_str().unwrap(), &database.url));

    let ended = place.kiln(&["run", "job.toml", "--report", "-"]);
    let report: Value = serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|e| panic!("{}: {e}\n{}", case.name, ended.stderr));
    assert_eq!(ended.code, Some(0), "{}: {}", case.name, ended.stderr);
    assert_eq!(report["items_failed"], case.failed, "{}: {report}", case.name);

    let rows = database.query(case.rows).await;
    let shown: Vec<String> =
        rows.iter().map(|row| row.iter().map(as_copy).collect::<Vec<_>>().join("\t")).collect();
    let expected = String::from_utf8(read(folder, "expected.copy")).unwrap();
    assert_eq!(shown, expected.lines().collect::<Vec<_>>(), "{}", case.name);
}

fn job(case: &Case, command: &str, url: &str) -> String {
    let source = case.source.replace("COLUMNS", &format!("{:?}", columns_in(command)));
    let map = match case.map {
        "" => String::new(),
        sql => format!("[map]\nsql = \"{sql}\"\n"),
    };
    format!(
        "name = {:?}\n[source]\nfile = \"input.csv\"\n{source}\n{map}\
         [target]\nurl = {url:?}\n[[write]]\n{}\n",
        case.name, case.write
    )
}

/// The columns that a pgloader command names behind `inline`.
fn columns_in(command: &str) -> Vec<String> {
    let list = command.split_once("inline (").map_or("", |(_, rest)| rest);
    let list = list.split_once(")\n").map_or("", |(list, _)| list);
    list.split(',').filter_map(|c| c.split_whitespace().next()).map(str::to_owned).collect()
}

/// A value as COPY writes it.
fn as_copy(value: &Option<String>) -> String {
    value.as_ref().map_or_else(|| "\\N".to_owned(), |v| v.replace('\\', "\\\\"))
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    let path: PathBuf = folder.join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
