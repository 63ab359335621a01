//! Rows found by likeness, as the user of a job sees it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::{Ended, Place};
use serde_json::Value;

const JOB: &str = r#"name = "sales"

[source]
file = "in.csv"

[map]
sql = "SELECT code, description, _line AS line FROM item"

[[match]]
as = "item_id"
table = "items"
key = "id"
on = { code = "code" }
fuzzy = { name = "description", at_least = 0.7, margin = 0.05 }
create = { code = "code", name = "description" }

[target]
url = "sqlite:out.db"
setup = "schema.sql"

[chunk]
items = 5

[[write]]
table = "sales"
columns = { line = "line", item = "item_id" }
"#;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, name TEXT);
CREATE TABLE IF NOT EXISTS sales (line INTEGER PRIMARY KEY, item INTEGER REFERENCES items (id));
CREATE TABLE IF NOT EXISTS item_names (
    name TEXT PRIMARY KEY, item_id INTEGER NOT NULL REFERENCES items (id));
INSERT OR IGNORE INTO items (id, code, name) VALUES (1, 'A-1', 'Red wooden chair'),
    (2, 'B-2', 'Garden lantern, white'), (3, 'B-3', 'Garden lantern, black');
";

fn place(job: &str, input: &str) -> Place {
    let place = Place::new();
    place.write("job.toml", job);
    place.write("schema.sql", SCHEMA);
    place.write("in.csv", &format!("code,description\n{input}"));
    place
}

fn run(place: &Place) -> (Ended, Value) {
    let ended = place.kiln(&["run", "job.toml", "--report", "report.json"]);
    let report = std::fs::read_to_string(place.path("report.json")).expect("a report");
    (ended, serde_json::from_str(&report).expect("JSON"))
}

/// The code of the row that each line means.
fn sales(place: &Place) -> String {
    place.sql(
        "SELECT group_concat(line || ' ' || coalesce(code, 'NULL'), char(10)) FROM
         (SELECT line, code FROM sales LEFT JOIN items ON id = item ORDER BY line)",
    )
}

fn catalog(place: &Place) -> String {
    place.sql(
        "SELECT group_concat(code || ' ' || coalesce(name, 'NULL'), char(10)) FROM
         (SELECT code, name FROM items ORDER BY code)",
    )
}

const INPUT: &str = "A-1,whatever
a 1,whatever
X,chair wooden RED
D-1,Blue enamel teapot
d1,blue enamel tea pots
D-2,Blue enamel teapots
E,Garden lantern
F,Oak shelf
";

#[test]
fn items_find_what_is_there_and_what_others_created() {
    let place = place(JOB, INPUT);
    let (ended, report) = run(&place);
    ended.exits(0);
    assert_eq!(report["items_processed"], 7);
    assert_eq!(sales(&place), "2 A-1\n3 A-1\n4 A-1\n5 D-1\n6 D-1\n7 D-1\n9 F");
    assert_eq!(report["chunks"], 2, "a state alone is no chunk");
    let failed = &report["failed_items"][0];
    assert_eq!((&failed["line"], &failed["stage"]), (&8.into(), &"match".into()));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("'Garden lantern' may be 2 rows of items: 2 'Garden"), "{error}");
    assert_eq!(failed["code"], "ambiguous");
    assert_eq!(place.sql("SELECT count(*) FROM items"), "5");
}

#[test]
fn preview_and_validate_create_nothing() {
    let place = place(JOB, INPUT);
    place.kiln(&["validate", "job.toml"]).exits(0);
    let shown = place.kiln(&["preview", "job.toml"]).exits(0).stdout;
    assert!(shown.contains("(new)") && shown.contains("may be 2 rows of items"), "{shown}");
    assert!(!place.path("out.db").exists() || place.files().contains(&"out.db".to_owned()));
    run(&place).0.exits(0);
    assert_eq!(place.sql("SELECT count(*) FROM items"), "5");
}

#[test]
fn otherwise_is_null_or_a_dead_letter() {
    let create = "create = { code = \"code\", name = \"description\" }";
    let null = JOB.replace(create, "otherwise = \"null\"");
    let place_1 = place(&null, "X,Oak shelf\nX,Red wooden chair\n");
    run(&place_1).0.exits(0);
    assert_eq!(sales(&place_1), "2 NULL\n3 A-1");

    let place_2 = place(&JOB.replace(create, ""), "X,Oak shelf\nX,Red wooden chair\n");
    let (_, report) = run(&place_2);
    assert_eq!(sales(&place_2), "3 A-1");
    assert_eq!(report["failed_items"][0]["code"], "no_match");
}

/// Without `on` a table needs no unique column.
#[test]
fn likeness_alone_is_enough_where_nothing_is_created() {
    let job = JOB
        .replace("on = { code = \"code\" }\n", "")
        .replace("create = { code = \"code\", name = \"description\" }", "");
    let place = place(&job, "X,red wooden chairs\n");
    run(&place).0.exits(0);
    assert_eq!(sales(&place), "2 A-1");
}

/// Items that are often alike, and a table that grows by them.
fn many() -> String {
    let colours = ["red", "blue", "redd", "green", "grey"];
    let things = ["chair", "chairs", "table", "lamp", "stools", "bench"];
    let line = |i: usize| {
        let (colour, thing) = (colours[i * 7 % 5], things[i * 5 / 3 % 6]);
        let kind = ["", "x1", "x2", "x3"][i * 11 % 4];
        match i % 9 {
            4 => "Z,Garden lantern\n".to_owned(),
            _ => format!("N-{},{colour} {thing} {kind}\n", i * 13 % 29),
        }
    };
    (0..40).map(line).collect()
}

/// B6, B32: killed at any moment, with rows created that nobody refers to yet, a
/// run decides as one that was not disturbed.
#[test]
fn a_run_that_was_killed_decides_the_same() {
    let undisturbed = place(JOB, &many());
    let (_, report) = run(&undisturbed);
    let expected = (sales(&undisturbed), catalog(&undisturbed), report["items_failed"].clone());
    let codes: BTreeSet<&str> = expected.0.lines().filter_map(|l| l.split(' ').nth(1)).collect();
    assert!(codes.len() > 5 && report["items_failed"] != 0, "{expected:?}");
    for point in ["begin", "commit", "committed"] {
        for visit in 1..=9 {
            let place = place(JOB, &many());
            let what = format!("{point}:{visit}");
            let mut killed = place.command(&["run", "job.toml"]);
            let ended = Ended::of(killed.env("KILN_CRASH_AT", &what).output().unwrap());
            assert_eq!(ended.code, None, "{what}: {}", ended.stderr);
            let (ended, report) = run(&place);
            ended.exits(0);
            let found = (sales(&place), catalog(&place), report["items_failed"].clone());
            assert_eq!(found, expected, "{what}");
        }
    }
}

#[test]
fn a_correction_stays() {
    let remember =
        "remember = { table = \"item_names\", text = \"name\", key = \"item_id\" }\n[target]";
    let job = JOB.replace("[target]", remember).replace("otherwise", "#");
    let input = "X,chair wooden RED\nY,Garden lantern\n";
    let place = place(&job, input);
    let (_, report) = run(&place);
    assert_eq!(report["items_failed"], 1);
    let remembered = "SELECT group_concat(name || '=' || item_id, ',') FROM item_names";
    assert_eq!(place.sql(remembered), "chair wooden RED=1");

    let writer = rusqlite::Connection::open(place.path("out.db")).unwrap();
    writer.execute("UPDATE item_names SET item_id = 2", []).unwrap();
    writer.execute("INSERT INTO item_names VALUES ('Garden lantern', 3)", []).unwrap();
    writer.execute("DELETE FROM sales", []).unwrap();
    drop(writer);
    place.kiln(&["run", "job.toml", "--again"]).exits(0);
    assert_eq!(sales(&place), "2 B-2\n3 B-3");
    assert_eq!(place.sql("SELECT count(*) FROM item_names"), "2");
}

#[test]
fn a_table_that_is_too_large_is_told() {
    let place = place(&JOB.replace("[target]", "memory = \"1\"\n[target]"), INPUT);
    let (ended, _) = run(&place);
    ended.exits(78).says("takes more than 1 MiB of memory");
}
