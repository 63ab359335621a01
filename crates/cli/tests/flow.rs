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
