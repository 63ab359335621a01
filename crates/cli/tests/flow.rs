//! B26, B27: steps that are chosen, and steps that are many, as their user sees
//! them.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use common::{Ended, Place};
use kiln_testkit::TestDatabase;
use serde_json::Value;

/// What can't be loaded is noted by one step, what is all there is praised by
/// another, and a third comes in any case.
const CHOICE: &str = r#"name = "choice"

[params]
url = "sqlite:out.db"
file = "in.csv"

[target]
url = "${url}"
setup = "schema.sql"

[[step]]
name = "load"

[step.source]
file = "${file}"
columns = { id = "int" }

[[step.write]]
table = "items"

[[step]]
name = "note"
needs = ["load"]
when = "items.failed > 0"
sql = "INSERT INTO notes (word) VALUES ('some failed')"

[[step]]
name = "praise"
needs = ["load"]
when = "steps.load.status = 'success'"
sql = "INSERT INTO notes (word) VALUES ('all there')"

[[step]]
name = "last"
needs = ["note", "praise"]
sql = "INSERT INTO notes (word) VALUES ('over')"
"#;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS items (id BIGINT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS notes (word VARCHAR(20) PRIMARY KEY);
";

fn choice() -> Place {
    let place = Place::new();
    place.write("job.toml", CHOICE);
    place.write("schema.sql", SCHEMA);
    place.write("in.csv", "id\n1\n2\n3\n");
    place.write("bad.csv", "id\n1\nx\n3\n");
    place
}

fn report(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

fn of_steps(report: &Value, key: &str) -> Vec<Value> {
    report["steps"].as_array().unwrap().iter().map(|step| step[key].clone()).collect()
}

async fn words(database: &TestDatabase, sql: &str) -> Vec<String> {
    database.query(sql).await.into_iter().flatten().flatten().collect()
}

/// B27: also when it is killed at each unit in turn.
async fn an_outcome_chooses(database: impl AsyncFn() -> TestDatabase) {
    let place = choice();
    let notes = "SELECT word FROM notes WHERE word <> 'over' ORDER BY word";
    for (file, chosen, statuses) in [
        ("in.csv", "all there", ["success", "skipped", "success", "success"]),
        ("bad.csv", "some failed", ["partial_success", "success", "skipped", "success"]),
    ] {
        for nth in 0..=8 {
            let database = database().await;
            let (url, file) = (format!("url={}", database.url), format!("file={file}"));
            let run = ["run", "job.toml", "--param", &url, "--param", &file, "--report", "-"];
            let mut command = place.command(&run);
            let crash = format!("{}:{nth}", ["commit", "committed"][nth % 2]);
            let first = Ended::of(command.env("KILN_CRASH_AT", &crash).output().unwrap());
            assert!(matches!(first.code, None | Some(0)), "{first:?}");
            assert!(nth == 0 || nth > 6 || first.code.is_none(), "{crash} came never: {first:?}");
            let ended = report(&place.kiln(&run).exits(0));
            assert_eq!(of_steps(&ended, "status"), statuses, "{crash}");
            assert_eq!(words(&database, notes).await, [chosen], "{crash}");
            let over = "SELECT count(*) FROM notes WHERE word = 'over'";
            assert_eq!(database.value(over).await, "1");
            let show = place.kiln(&["show", "latest", "job.toml", "--param", &url, "--json"]);
            let show: Value = serde_json::from_str(&show.exits(0).stdout).unwrap();
            let states = of_steps(&show, "state");
            assert!(states.contains(&"skipped".into()) && states[0] == "completed", "{states:?}");
        }
    }
}

#[tokio::test]
async fn b27_an_outcome_chooses_on_sqlite() {
    an_outcome_chooses(async || kiln_testkit::sqlite()).await;
}

#[tokio::test]
async fn b27_an_outcome_chooses_on_postgres() {
    an_outcome_chooses(kiln_testkit::postgres).await;
}

#[tokio::test]
async fn b27_an_outcome_chooses_on_mariadb() {
    an_outcome_chooses(kiln_testkit::mysql).await;
}

#[test]
fn a_condition_that_can_not_be_is_refused_where_it_stands() {
    let place = choice();
    place.kiln(&["validate", "job.toml"]).exits(0);
    for (old, new, line, why) in [
        ("items.failed > 0", "items.fialed > 0", 24, "there is no items.fialed"),
        ("steps.load.status = 'success'", "steps.laod.status = 'success'", 30, "mean `load`"),
        ("steps.load.status = 'success'", "steps.note.read = 1", 30, "needs = [\"note\"]"),
        ("steps.load.status = 'success'", "steps.load.status = 'good'", 30, "partial_success"),
        ("needs = [\"note\", \"praise\"]", "when = \"items.read > 0\"", 35, "which are none"),
    ] {
        assert!(CHOICE.contains(old), "{old}");
        place.write("job.toml", &CHOICE.replace(old, new));
        let ended = place.kiln(&["validate", "job.toml"]).exits(78);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(why), "{why}: {said}");
        assert!(said.contains(&format!("job.toml:{line}:")), "{why}: {said}");
    }
}

/// A step for each file, a check of each half of the table, and what waits for all.
const FAN: &str = r#"name = "fan"

[params]
url = "sqlite:out.db"
in = "in"

[target]
url = "${url}"
setup = "schema.sql"

[chunk]
items = 2

[limits]
failed = 0
steps = 3

[[step]]
name = "load"

[step.each]
file = "${in}/*.csv"

[step.source]
file = "${each}"
columns = { id = "int" }

[step.map]
sql = "SELECT id, ${each} AS file FROM item"

[[step.write]]
table = "items"

[[step]]
name = "greet"
needs = ["load"]
when = "steps.load.read > 5"
sql = "INSERT INTO words (word, n) SELECT ${each}, count(*) FROM items"

[step.each]
values = ["it's", "fine"]
"#;

const FAN_SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS items (id BIGINT PRIMARY KEY, file VARCHAR(50) NOT NULL);
CREATE TABLE IF NOT EXISTS words (word VARCHAR(50) PRIMARY KEY, n BIGINT NOT NULL);
";

fn fan() -> Place {
    let place = Place::new();
    place.write("job.toml", FAN);
    place.write("schema.sql", FAN_SCHEMA);
    std::fs::create_dir(place.path("in")).unwrap();
    for (file, ids) in [("a.csv", 1..=4), ("b's.csv", 11..=13), ("c.csv", 21..=25)] {
        let ids: String = ids.map(|id| format!("{id}\n")).collect();
        place.write(&format!("in/{file}"), &format!("id\n{ids}"));
    }
    place
}

const FILES: &str = "SELECT file, count(*) FROM items GROUP BY file ORDER BY file";

/// B26, B32: killed at each unit in turn, and again; a file that comes meanwhile is
/// no part of the run.
async fn each_file_is_loaded_once(database: impl AsyncFn() -> TestDatabase) {
    for nth in 1..=11 {
        let place = fan();
        let database = database().await;
        let url = format!("url={}", database.url);
        let run = ["run", "job.toml", "--param", &url, "--report", "-"];
        for crash in [format!("commit:{nth}"), "committed:3".to_owned()] {
            let mut command = place.command(&run);
            let ended = Ended::of(command.env("KILN_CRASH_AT", &crash).output().unwrap());
            assert!(matches!(ended.code, None | Some(0)), "{ended:?}");
            place.write("in/late.csv", "id\n99\n");
        }
        let ended = place.kiln(&run).exits(0);
        let report = report(&ended);
        if report["already_complete"] == false {
            let names = of_steps(&report, "step");
            let files = ["load[in/a.csv]", "load[in/b's.csv]", "load[in/c.csv]"];
            assert_eq!(names[..3], files, "commit:{nth}");
            assert_eq!(names[3..], ["greet[it's]", "greet[fine]"]);
            assert_eq!(of_steps(&report, "items_read"), [4, 3, 5, 1, 1]);
        }
        let expected = ["in/a.csv", "4", "in/b's.csv", "3", "in/c.csv", "5"];
        assert_eq!(words(&database, FILES).await[..], expected, "commit:{nth}");
        let greeted = words(&database, "SELECT word, n FROM words ORDER BY word").await;
        assert_eq!(greeted, ["fine", "12", "it's", "12"], "commit:{nth}");
    }
}

#[tokio::test]
async fn b26_each_file_is_loaded_once_on_sqlite() {
    each_file_is_loaded_once(async || kiln_testkit::sqlite()).await;
}

#[tokio::test]
async fn b26_each_file_is_loaded_once_on_postgres() {
    each_file_is_loaded_once(kiln_testkit::postgres).await;
}

#[tokio::test]
async fn b26_each_file_is_loaded_once_on_mariadb() {
    each_file_is_loaded_once(kiln_testkit::mysql).await;
}

/// B26: the one that failed is alone run again, and what needs all waits for it.
#[test]
fn b26_a_failed_one_is_alone_run_again() {
    let place = fan();
    place.write("in/b's.csv", "id\n11\nx\n13\n");
    let failed = place.kiln(&["run", "job.toml", "--report", "-"]).exits(65);
    failed.says("step load[in/b's.csv]: 1 of");
    let failed = report(&Ended {
        stderr: String::new(),
        ..place.kiln(&["run", "job.toml", "--report", "-"])
    });
    let statuses = of_steps(&failed, "status");
    assert_eq!(
        statuses,
        ["success".into(), "failed".into(), "success".into(), Value::Null, Value::Null]
    );
    place.kiln(&["preview", "job.toml", "--step", "load"]).exits(0);
    let mended = FAN.replace("failed = 0", "failed = 1");
    place.write("job.toml", &mended);
    let log = ["run", "job.toml", "--log-format", "json", "--report", "-"];
    let ended = place.kiln(&log).exits(0);
    let begun = ended.stderr.lines().filter(|line| line.contains("step started")).count();
    assert_eq!(begun, 3, "one file and two words: {}", ended.stderr);
    assert_eq!(of_steps(&report(&ended), "items_failed"), [0, 1, 0, 0, 0]);
    let list = ["dead-letters", "list", "--job", "job.toml", "--step", "load"];
    let list = place.kiln(&list).exits(0).stdout;
    assert!(list.contains(": 1 dead letters\n") && list.contains("b's.csv"), "{list}");
    // A file that comes behind a complete run makes a new one, of all files.
    place.write("in/late.csv", "id\n99\n");
    let new = mended
        .replace("table = \"items\"\n", "table = \"items\"\nmode = \"ignore\"\nkey = [\"id\"]\n")
        .replace("sql = \"INSERT INTO words", "sql = \"REPLACE INTO words");
    place.write("job.toml", &new);
    let new = report(&place.kiln(&["run", "job.toml", "--report", "-"]).exits(0));
    assert_eq!(new["steps"].as_array().unwrap().len(), 6, "{new}");
    assert_eq!(new["items_duplicate"], 11);
    assert_eq!(place.sql("SELECT count(*) FROM items"), "12");
}

/// A table is copied in stretches of its keys, side by side.
const STRETCHES: &str = r#"name = "stretches"

[params]
url = "sqlite:out.db"

[target]
url = "${url}"
setup = "schema.sql"

[limits]
steps = 4

[[step]]
name = "copy"

[step.each]
table = "items"
key = "id"
size = 30

[step.source]
table = "items"
where = "id > ${each.from} AND id <= ${each.to}"

[[step.write]]
table = "copies"

[[step]]
name = "count"
needs = ["copy"]
sql = "INSERT INTO words (word, n) SELECT 'copies', count(*) FROM copies"
"#;

async fn a_table_is_copied_in_stretches(database: TestDatabase) {
    let place = Place::new();
    place.write("job.toml", STRETCHES);
    let copies = "CREATE TABLE IF NOT EXISTS copies (id BIGINT PRIMARY KEY, file VARCHAR(50));\n";
    place.write("schema.sql", &format!("{FAN_SCHEMA}{copies}"));
    let url = format!("url={}", database.url);
    for statement in FAN_SCHEMA.trim().split(";\n").filter(|s| !s.trim().is_empty()) {
        database.execute(statement.trim_end_matches(';')).await;
    }
    let rows: Vec<String> = (-20..80).map(|id| format!("({}, 'x')", id * 3)).collect();
    database.execute(&format!("INSERT INTO items VALUES {}", rows.join(", "))).await;
    for crash in ["commit:2", "committed:3", "mark:4"] {
        let mut killed = place.command(&["run", "job.toml", "--param", &url]);
        assert_eq!(killed.env("KILN_CRASH_AT", crash).output().unwrap().status.code(), None);
        // Rows behind the last key are none of the run's.
        database.execute(&format!("INSERT INTO items VALUES ({}, 'y')", 1_000 + crash.len())).await;
        database.execute(&format!("DELETE FROM items WHERE id = {}", 1_000 + crash.len())).await;
    }
    let ended = place.kiln(&["run", "job.toml", "--param", &url, "--report", "-"]).exits(0);
    let report = report(&ended);
    let names = ["copy[-61..27]", "copy[27..117]", "copy[117..207]", "copy[207..237]", "count"];
    assert_eq!(of_steps(&report, "step"), names);
    assert_eq!(of_steps(&report, "items_read"), [30, 30, 30, 10, 1]);
    let copied = database.query("SELECT id, file FROM copies ORDER BY id").await;
    assert_eq!(copied, database.query("SELECT id, file FROM items ORDER BY id").await);
    assert_eq!(database.value("SELECT n FROM words").await, "100");
}

#[tokio::test]
async fn a_table_is_copied_in_stretches_on_sqlite() {
    a_table_is_copied_in_stretches(kiln_testkit::sqlite()).await;
}

#[tokio::test]
async fn a_table_is_copied_in_stretches_on_postgres() {
    a_table_is_copied_in_stretches(kiln_testkit::postgres().await).await;
}

#[tokio::test]
async fn a_table_is_copied_in_stretches_on_mariadb() {
    a_table_is_copied_in_stretches(kiln_testkit::mysql().await).await;
}

#[test]
fn what_no_step_can_be_for_is_refused_where_it_stands() {
    let place = fan();
    let told = place.kiln(&["validate", "job.toml"]).exits(0).stdout;
    assert!(told.contains("step load[in/a.csv]: one of 3\n"), "{told}");
    assert!(!told.contains("step load[in/c.csv]"), "what is fine is told once: {told}");
    for (old, new, line, why) in [
        ("file = \"${in}/*.csv\"", "file = \"${in}/*.tsv\"", 22, "there is no file in/*.tsv"),
        ("file = \"${in}/*.csv\"", "values = []", 21, "nothing to make a step for"),
        ("file = \"${in}/*.csv\"", "values = [\"a\", \"A\"]", 21, "two steps would be called"),
        ("file = \"${in}/*.csv\"", "file = \"x\"\nvalues = [\"a\"]", 21, "for each of some files"),
        ("file = \"${in}/*.csv\"", "table = \"items\"", 22, "key of the table is missing"),
        ("file = \"${in}/*.csv\"", "tabel = \"items\"", 22, "did you mean `table`"),
        ("values = [\"it's\"", "values = [\"b\", \"\"", 40, "named after"),
    ] {
        assert!(FAN.contains(old), "{old}");
        place.write("job.toml", &FAN.replace(old, new));
        let ended = place.kiln(&["run", "job.toml"]);
        assert!(matches!(ended.code, Some(66 | 78)), "{why}: {ended:?}");
        let ended = ended.says(why);
        assert!(ended.stderr.contains(&format!("job.toml:{line}:")), "{why}: {}", ended.stderr);
    }
    // What is wrong with one of many is told of that one.
    place.write("job.toml", FAN);
    place.write("in/c.csv", "other\n1\n");
    let told = place.kiln(&["validate", "job.toml"]).exits(78).stdout;
    assert!(told.contains("step load[in/c.csv]") && !told.contains("load[in/b's.csv]"), "{told}");
}
