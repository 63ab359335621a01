//! `[[require]]`: what fails, what is warned of, and how both are counted.

use kiln_testkit::TestDatabase;
use serde_json::{Value, json};

use crate::place::{On, on_every_database};

const JOB: &str = r#"name = "readings"

[params]
url = "sqlite:out.db"

[source]
file = "readings.csv"

[source.columns]
id = "int"
value = "int"

[[require]]
name = "has a value"
rule = "value IS NOT NULL"
message = "there is no value"

[[require]]
rule = "value < 500"
message = "suspiciously large"
severity = "warn"

[[require]]
name = "even"
rule = "value % 2 = 0"
severity = "warn"

[target]
url = "${url}"
setup = "schema.sql"

[chunk]
items = 5

[limits]
lanes = 1

[[write]]
table = "readings"
"#;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS readings (id BIGINT PRIMARY KEY,
    value BIGINT NOT NULL CHECK (value <> 777));";

/// Forty readings: every seventh has no value, every fifth is large, and two of
/// those are refused by the table.
fn readings() -> String {
    let line = |id: u32| match id {
        _ if id.is_multiple_of(7) => format!("{id},\n"),
        10 | 25 => format!("{id},777\n"),
        _ if id.is_multiple_of(5) => format!("{id},{}\n", 500 + id),
        _ => format!("{id},{id}\n"),
    };
    format!("id,value\n{}", (1..=40).map(line).collect::<String>())
}

/// What the rules come to, told by the input alone.
fn expected() -> Value {
    let written: Vec<u32> = (1..=40).filter(|id| id % 7 != 0 && ![10, 25].contains(id)).collect();
    let large = written.iter().filter(|id| *id % 5 == 0).count();
    let odd = written.iter().filter(|id| *id % 2 == 1).count();
    let count = |rule: &str, failed: usize, warned: usize| json!({ "step": "main", "rule": rule, "items_failed": failed, "items_warned": warned });
    json!([
        count("even", 0, odd),
        count("has a value", 5, 0),
        count("suspiciously large", 0, large)
    ])
}

fn place(database: TestDatabase) -> On {
    On::new(database, &[("job.toml", JOB), ("schema.sql", SCHEMA), ("readings.csv", &readings())])
}

async fn rules_are_counted(database: impl AsyncFn() -> TestDatabase) {
    let on = place(database().await);
    on.kiln(&["validate"], None).exits(0);
    let shown = on.kiln(&["preview", "-n", "4"], None).exits(0).stdout;
    assert!(shown.contains("readings.csv:2  even"), "{shown}");
    let report = on.run();
    assert_eq!(report["rules"], expected());
    assert_eq!([&report["items_processed"], &report["items_failed"]], [33, 7]);
    let again = on.run();
    assert_eq!((&again["already_complete"], &again["rules"]), (&json!(true), &expected()));

    let shown = on.kiln(&["show", "--json", "latest"], None).exits(0).stdout;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["rules"], expected());
    let shown = on.kiln(&["show", "latest"], None).exits(0).stdout;
    let table: Vec<&str> = shown.lines().skip_while(|l| !l.contains("broken rule")).collect();
    assert!(table[0].ends_with("failed  warned"), "{shown}");
    assert!(table[2].contains("has a value") && table[2].contains(" 5 "), "{shown}");
    let letters = on.ledger("dead_letters");
    let named = format!("SELECT DISTINCT constraint_name FROM {letters} WHERE stage = 'require'");
    assert_eq!(on.database.value(&named).await, "has a value");
}

/// B18, B24, B32: killed at each commit, before or behind it, in the middle of
/// isolation too, each item is counted once.
async fn rules_are_counted_once(database: impl AsyncFn() -> TestDatabase) {
    for lanes in ["lanes = 1", "lanes = 3"] {
        for (nth, point) in (1..=9).zip(["commit", "committed", "mark"].into_iter().cycle()) {
            let on = place(database().await);
            on.place.write("job.toml", &JOB.replace("lanes = 1", lanes));
            on.crash(&format!("{point}:{nth}"));
            let report = on.run();
            assert_eq!(report["rules"], expected(), "{lanes}, killed at {point}:{nth}");
        }
    }
}

/// A ledger that was made before there were rules gets what it lacks.
async fn an_older_ledger_is_brought_up_to_date(database: impl AsyncFn() -> TestDatabase) {
    let on = place(database().await);
    on.run();
    let (rules, meta) = (on.ledger("rules"), on.ledger("meta"));
    for sql in [
        format!("DROP TABLE {rules}"),
        format!("UPDATE {meta} SET version = 1"),
        "DELETE FROM readings".to_owned(),
    ] {
        on.database.execute(&sql).await;
    }
    let shown = on.kiln(&["show", "--json", "latest"], None).exits(0).stdout;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["rules"], json!([]));
    on.kiln(&["validate"], None).exits(0);
    let again = on.kiln(&["run", "--again", "--report", "-"], None).exits(0);
    assert_eq!(serde_json::from_str::<Value>(&again.stdout).unwrap()["rules"], expected());
    assert_eq!(on.database.value(&format!("SELECT max(version) FROM {meta}")).await, "3");
}

on_every_database! {
    rules_are_counted rules_are_counted_once an_older_ledger_is_brought_up_to_date
}
