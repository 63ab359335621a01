//! Dead letters that are read again, on every database: as the user of a job sees it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "common/mod.rs"]
mod common;
#[path = "mapping/place.rs"]
#[allow(dead_code)]
mod place;

use std::fs;

use kiln_testkit::TestDatabase;
use serde_json::Value;

use crate::common::Place;
use crate::place::{On, on_every_database};

const JOB: &str = r#"name = "orders"

[params]
url = "sqlite:out.db"

[source]
file = "in/*.csv"

[source.columns]
id = "int"
price = "decimal(10,2)"

[target]
url = "${url}"
setup = "schema.sql"

[map]
sql = "SELECT id, customer, price, note, _file AS file, _line AS line FROM item"

[chunk]
items = 4

[limits]
lanes = 1
failed = 100

[[write]]
table = "orders"
"#;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS customers (name VARCHAR(20) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS orders (id BIGINT PRIMARY KEY,
    customer VARCHAR(20) NOT NULL REFERENCES customers (name),
    price DECIMAL(10,2) NOT NULL CHECK (price >= 0), note VARCHAR(100) NOT NULL,
    file VARCHAR(20) NOT NULL, line BIGINT NOT NULL);
";

/// InnoDB knows no reference behind a column.
const SCHEMA_MYSQL: &str = "
CREATE TABLE IF NOT EXISTS customers (name VARCHAR(20) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS orders (id BIGINT PRIMARY KEY, customer VARCHAR(20) NOT NULL,
    price DECIMAL(10,2) NOT NULL CHECK (price >= 0), note VARCHAR(100) NOT NULL,
    file VARCHAR(20) NOT NULL, line BIGINT NOT NULL,
    FOREIGN KEY (customer) REFERENCES customers (name));
";

/// Two files with their columns in another order; `new` is no customer yet, a price
/// is missing for good, and one that is none can't be read.
fn files() -> [(&'static str, String); 2] {
    let mut one = "id,customer,price,note\n".to_owned();
    let mut two = "note,price,id,customer\n".to_owned();
    for id in 1..=20 {
        let customer = if id % 5 == 0 { "new" } else { "old" };
        let price = match id {
            7 => "-1.25",
            9 => "12,25",
            _ => "12.25",
        };
        let line = format!("{id},{customer},\"{price}\",\"a \"\"{id}\"\", of\ntwo lines\"\n");
        if id % 2 == 0 {
            one.push_str(&line);
        } else {
            two.push_str(&format!("n{id},\"{price}\",{id},{customer}\n"));
        }
    }
    [("in/one.csv", one), ("in/two.csv", two)]
}

fn on(database: TestDatabase) -> On {
    let schema = if database.url.starts_with("mysql") { SCHEMA_MYSQL } else { SCHEMA };
    let on = On::new(database, &[("job.toml", JOB), ("schema.sql", schema)]);
    fs::create_dir(on.place.path("in")).unwrap();
    files().iter().for_each(|(name, text)| on.place.write(name, text));
    on
}

async fn add_customer(on: &On, name: &str) {
    on.database.execute(&format!("INSERT INTO customers VALUES ('{name}')")).await;
}

/// The first run, of which six items fail: 5, 10, 15, 20 for want of a customer, 7 and
/// 9 for their prices. Then the customer is there, and the files are not.
async fn failed(on: &On) {
    on.kiln(&["validate"], None).exits(0);
    let tables = fs::read_to_string(on.place.path("schema.sql")).unwrap();
    for statement in tables.split(';').filter(|s| !s.trim().is_empty()) {
        on.database.execute(statement).await;
    }
    add_customer(on, "old").await;
    let report = on.run();
    assert_eq!([&report["items_processed"], &report["items_failed"]], [14, 6]);
    add_customer(on, "new").await;
    fs::remove_dir_all(on.place.path("in")).unwrap();
}

fn redrive(on: &On, more: &[&str]) -> Value {
    let args = [&["dead-letters", "redrive", "--report", "-"], more].concat();
    let ended = on.kiln(&args, None).exits(0);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

const ORDERS: &str = "SELECT id, customer, price, note, file, line FROM orders ORDER BY id";

/// What the table holds when all that can be has been redriven, told by the input alone.
async fn assert_all(on: &On) {
    let rows = on.database.query(ORDERS).await;
    let ids: Vec<&str> = rows.iter().map(|row| row[0].as_deref().unwrap()).collect();
    let expected: Vec<String> =
        (1..=20).filter(|id| ![7, 9].contains(id)).map(|id| id.to_string()).collect();
    assert_eq!(ids, expected);
    for row in rows {
        let [id, customer, price, note, file, line] =
            [0, 1, 2, 3, 4, 5].map(|i| row[i].as_deref().unwrap());
        let n: u32 = id.parse().unwrap();
        assert_eq!(
            (customer, price),
            (if n.is_multiple_of(5) { "new" } else { "old" }, "12.25"),
            "{id}"
        );
        let expected = match n % 2 {
            0 => (format!("a \"{id}\", of\ntwo lines"), "one.csv", n),
            _ => (format!("n{id}"), "two.csv", n / 2 + 2),
        };
        assert_eq!((note.to_owned(), file, line.parse().unwrap()), expected, "{id}");
    }
}

/// B22: what fits now is written, with the place it came from; what does not can be
/// redriven in turn; and the job itself does not begin anew.
async fn what_fits_now_is_written(database: impl AsyncFn() -> TestDatabase) {
    let on = on(database().await);
    failed(&on).await;
    let report = redrive(&on, &[]);
    assert_eq!(
        [&report["items_read"], &report["items_processed"], &report["items_failed"]],
        [6, 4, 2],
        "{report}"
    );
    assert_all(&on).await;

    let again = redrive(&on, &["--of", report["run"].as_str().unwrap()]);
    assert_eq!([&again["items_read"], &again["items_failed"]], [2, 2], "those that failed again");
    let table = on.ledger("redriven");
    let count = format!("SELECT COUNT(*) FROM {table}");
    assert_eq!(on.database.value(&count).await, "8", "six, and two of them once more");

    let shown = on.kiln(&["dead-letters", "list", "latest", "--job"], None).exits(0).stdout;
    assert!(shown.contains("2 dead letters"), "{shown}");
    files().iter().for_each(|(name, text)| {
        fs::create_dir_all(on.place.path("in")).unwrap();
        on.place.write(name, text);
    });
    let run = on.run();
    assert_eq!(run["already_complete"], true, "{run}");
    assert_all(&on).await;
}

/// Fault 29: killed anywhere, each record lands once, and the run goes on.
async fn a_killed_redrive_goes_on(database: impl AsyncFn() -> TestDatabase) {
    for (lanes, at) in [
        ("lanes = 1", "begin:1"),
        ("lanes = 1", "commit:1"),
        ("lanes = 1", "committed:1"),
        ("lanes = 1", "mark:2"),
        ("lanes = 1", "committed:2"),
        ("lanes = 1", "committed:3"),
        ("lanes = 3", "committed:1"),
        ("lanes = 3", "committed:2"),
        ("lanes = 3", "mark:3"),
    ] {
        let on = on(database().await);
        on.place
            .write("job.toml", &JOB.replace("lanes = 1", lanes).replace("items = 4", "items = 2"));
        failed(&on).await;
        let ended = on.kiln(&["dead-letters", "redrive"], Some(at));
        assert_eq!(ended.code, None, "{lanes}: it did not die at {at}: {ended:?}");
        let report = redrive(&on, &[]);
        assert_eq!([&report["items_processed"], &report["items_failed"]], [4, 2], "{lanes}, {at}");
        assert_all(&on).await;
        let left = redrive(&on, &["--stage", "parse"]);
        assert_eq!(left["items_read"], 1, "{lanes}, {at}: of those that failed again");
    }
}

/// Those of one stage alone; where nothing is left, nothing is done.
async fn a_part_is_redriven(database: impl AsyncFn() -> TestDatabase) {
    let on = on(database().await);
    failed(&on).await;
    let report = redrive(&on, &["--stage", "parse"]);
    assert_eq!([&report["items_read"], &report["items_failed"]], [1, 1], "{report}");
    let args = ["dead-letters", "redrive", "--stage", "write"];
    let ended = on.kiln(&args, Some("committed:2"));
    assert_eq!(ended.code, None, "{ended:?}");
    let report = redrive(&on, &[]);
    assert_eq!([&report["items_read"], &report["items_failed"]], [5, 1], "as it began: {report}");
    assert_all(&on).await;
    on.kiln(&["dead-letters", "redrive", "--stage", "wrote"], None).exits(64);
    on.kiln(&["dead-letters", "redrive", "--step", "other"], None).exits(66);
}

/// A job of its own reads what another could not, with a mapping that mends it.
async fn another_job_mends_them(database: impl AsyncFn() -> TestDatabase) {
    let on = on(database().await);
    failed(&on).await;
    let mending = JOB
        .replace("name = \"orders\"", "name = \"mended\"")
        .replace("file = \"in/*.csv\"", "format = \"csv\"\ndead_letters = { job = \"orders\" }")
        .replace("price = \"decimal(10,2)\"\n", "")
        .replace(
            "price, note",
            "CAST(replace(replace(price, ',', '.'), '-', '') AS DECIMAL(10,2)) AS price, note",
        );
    on.place.write("job.toml", &mending);
    on.kiln(&["validate"], None).exits(0);
    on.kiln(&["preview"], None).exits(0);
    let ended = on.kiln(&["run"], Some("committed:1"));
    assert_eq!(ended.code, None, "{ended:?}");
    let report = on.run();
    assert_eq!([&report["items_processed"], &report["items_failed"]], [6, 0], "{report}");
    let prices = "SELECT price FROM orders WHERE id IN (7, 9) ORDER BY id";
    let rows = on.database.query(prices).await;
    assert_eq!(rows, [[Some("1.25".to_owned())], [Some("12.25".to_owned())]]);
    let again = on.run();
    assert_eq!(again["items_read"], 0, "there are none left: {again}");
}

on_every_database! {
    what_fits_now_is_written a_killed_redrive_goes_on a_part_is_redriven another_job_mends_them
}

/// What a dead letter holds is enough for any format: the files are gone.
#[test]
fn records_of_any_format_are_read_again() {
    let columns = "[source.columns]\nid = \"int\"\n";
    let fixed = "[source.columns]\nid = { type = \"int\", width = 3 }\nname = { width = 5 }\n";
    for (file, columns, input) in [
        ("in.csv", columns, "id,name\n  1,a\n2,\"b, \"\"c\"\"\"\n3,d\n"),
        ("in.tsv", columns, "id\tname\n1\ta\n2\t\"b, \"\"c\"\"\"\n3\td\n"),
        (
            "in.jsonl",
            columns,
            "{\"id\":1,\"name\":\"a\"}\n{\"name\":\"b, \\\"c\\\"\",\"id\":2.0}\n{\"id\":3,\"name\":\"d\"}\n",
        ),
        (
            "in.json",
            columns,
            "[{\"id\":1,\"name\":\"a\"},\n{\"name\":\"b, \\\"c\\\"\",\"id\":2},{\"id\":3,\"name\":\"d\"}]",
        ),
        ("in.fixed", fixed, "  1a\n  2b, \"c\"\n  3d\n".replace("b, \"c\"", "b, c ").as_str()),
    ] {
        let place = Place::new();
        let job = format!(
            "name = \"things\"\n[source]\nfile = \"{file}\"\n{}{columns}\n[target]\n\
             url = \"sqlite:out.db\"\nsetup = \"schema.sql\"\n[[write]]\ntable = \"things\"\n",
            if file == "in.fixed" { "ragged = \"pad\"\n" } else { "" },
        );
        place.write("job.toml", &job);
        place.write(
            "schema.sql",
            "CREATE TABLE IF NOT EXISTS known (id INTEGER PRIMARY KEY);
             CREATE TABLE IF NOT EXISTS things (id INTEGER PRIMARY KEY REFERENCES known (id),
                 name TEXT NOT NULL);",
        );
        place.write(file, input);
        place.kiln(&["run", "job.toml"]).exits(0);
        assert_eq!(place.sql("SELECT count(*) FROM kiln_dead_letters"), "3", "{file}");
        let database = rusqlite::Connection::open(place.path("out.db")).unwrap();
        database.execute_batch("INSERT INTO known VALUES (1), (2)").unwrap();
        fs::remove_file(place.path(file)).unwrap();
        place.kiln(&["dead-letters", "redrive", "job.toml"]).exits(0);
        let names = place.sql("SELECT group_concat(id || ' ' || name, '; ') FROM things");
        let second = if file == "in.fixed" { "b, c" } else { "b, \"c\"" };
        assert_eq!(names, format!("1 a; 2 {second}"), "{file}");
        let ended = place.kiln(&["dead-letters", "list", "latest", "--job", "job.toml"]).exits(0);
        assert!(ended.stdout.contains("1 dead letter"), "{}", ended.stdout);
    }
}

/// Rows of tables have types; what needs other steps waits for them still; a step
/// without dead letters is left out.
#[test]
fn steps_and_tables_are_read_again() {
    let place = Place::new();
    place.write(
        "job.toml",
        "name = \"shop\"\n[target]\nurl = \"sqlite:out.db\"\n\
         [[step]]\nname = \"parents\"\n[step.source]\ntable = \"old_parents\"\n\
         url = \"sqlite:old.db\"\n[[step.write]]\ntable = \"parents\"\n\
         [[step]]\nname = \"tidy\"\nneeds = [\"parents\"]\nsql = \"INSERT INTO tidied VALUES (1)\"\n\
         [[step]]\nname = \"children\"\nneeds = [\"parents\", \"tidy\"]\n[step.source]\n\
         table = \"old_children\"\nurl = \"sqlite:old.db\"\n[[step.write]]\ntable = \"children\"\n",
    );
    let open = |name: &str| rusqlite::Connection::open(place.path(name)).unwrap();
    let old = open("old.db");
    old.execute_batch(
        "CREATE TABLE old_parents (id INTEGER PRIMARY KEY, price DECIMAL(12,3), at DATETIME);
         INSERT INTO old_parents VALUES (1, 0.125, '2026-01-02 03:04:05'), (2, 99.5, NULL);
         CREATE TABLE old_children (id INTEGER PRIMARY KEY, parent INTEGER);
         INSERT INTO old_children VALUES (10, 1), (20, 2);",
    )
    .unwrap();
    let out = open("out.db");
    out.execute_batch(
        "CREATE TABLE tidied (n INTEGER);
         CREATE TABLE parents (id INTEGER PRIMARY KEY, price TEXT, at TEXT, CHECK (id < 2));
         CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id));",
    )
    .unwrap();
    place.kiln(&["run", "job.toml"]).exits(0);
    assert_eq!(place.sql("SELECT group_concat(id) FROM children"), "10");
    out.execute_batch(
        "PRAGMA foreign_keys = OFF;
         ALTER TABLE parents RENAME TO was;
         CREATE TABLE parents (id INTEGER PRIMARY KEY, price TEXT, at TEXT);
         INSERT INTO parents SELECT * FROM was; DROP TABLE children; DROP TABLE was;
         CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id));
         INSERT INTO children VALUES (10, 1);",
    )
    .unwrap();
    place.kiln(&["dead-letters", "redrive", "job.toml"]).exits(0);
    assert_eq!(
        place.sql(
            "SELECT group_concat(id || ' ' || price || ' ' || coalesce(at, '-'), '; ') FROM parents"
        ),
        "1 0.125 2026-01-02 03:04:05; 2 99.500 -"
    );
    assert_eq!(place.sql("SELECT group_concat(id) FROM children"), "10,20");
    assert_eq!(place.sql("SELECT count(*) FROM tidied"), "1", "run once");
    let first = place.sql("SELECT id FROM kiln_runs ORDER BY number LIMIT 1");
    place.kiln(&["dead-letters", "redrive", "job.toml", "--of", &first]).exits(0);
    assert_eq!(place.sql("SELECT count(*) FROM tidied"), "1", "not for a redrive either");
    let ended = place.kiln(&["dead-letters", "redrive", "job.toml"]).exits(0);
    assert!(ended.stdout.contains("no dead letters to redrive"), "{}", ended.stdout);
}

/// Files that are published are complete: a redrive would have to take their place. A
/// job of its own writes what failed beside them.
#[test]
fn files_are_not_added_to() {
    let place = Place::new();
    let job = |name: &str, source: &str, rule: &str| {
        format!(
            "name = \"{name}\"\n[source]\n{source}\n[source.columns]\nid = \"int\"\n[[require]]\n\
             rule = \"{rule}\"\n[target]\nfile = \"{name}\"\nformat = \"csv\"\n\
             ledger = \"sqlite:book.db\"\n[[write]]\ntable = \"things\"\n",
        )
    };
    place.write("job.toml", &job("out", "file = \"in.csv\"", "id <> 2"));
    place.write("in.csv", "id,name\n1,a\n2,b\n3,c\n");
    place.kiln(&["run", "job.toml"]).exits(0);
    place.kiln(&["dead-letters", "redrive", "job.toml"]).exits(78).says("published and complete");

    let source = "format = \"csv\"\ndead_letters = { job = \"out\" }";
    place.write("mended.toml", &job("mended", source, "id > 0"));
    place.kiln(&["run", "mended.toml"]).exits(0);
    let read = |folder: &str, part: &str| {
        fs::read_to_string(place.path(folder).join(format!("things-{part}.csv"))).unwrap()
    };
    assert_eq!(read("out", "000000000001-000000000003"), "id,name\n1,a\n3,c\n");
    assert_eq!(read("mended", "000000000001-000000000001"), "id,name\n2,b\n");
}
