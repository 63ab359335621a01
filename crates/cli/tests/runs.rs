//! Steps that run something, as their user sees them: a statement once, one by the
//! keys of a table, and a command.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;
#[path = "common/process.rs"]
mod process;

use common::{Ended, Place, steady};
use kiln_testkit::{TestDatabase, postgres, sqlite};
use process::{send, wait};
use rustix::process::Signal;
use serde_json::Value;

/// Sales come in, old ones move to another table by the hundred, a bonus is paid
/// once, and a command has the last word.
const JOB: &str = r#"name = "sales"

[params]
url = "sqlite:out.db"
word = "it's"

[target]
url = "${url}"
setup = "schema.sql"

[[step]]
name = "load"

[step.source]
file = "in.csv"
columns = { id = "int", n = "int" }

[[step.write]]
table = "sales"

[[step]]
name = "double"
needs = ["load"]

[step.sql]
statement = "UPDATE sales SET n = n * 2 WHERE id > :from AND id <= :to"
table = "sales"
key = "id"
size = 100

[[step]]
name = "total"
needs = ["double"]
sql = "INSERT INTO totals (word, n) SELECT ${word}, sum(n) FROM sales"

[[step]]
name = "tell"
needs = ["total"]

[step.exec]
command = ["sh", "-c", "echo run >> told; echo \"$GREETING from $KILN_STEP of $KILN_JOB\""]
time_limit = "1m"
env = { GREETING = "hello" }
"#;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS sales (id BIGINT PRIMARY KEY, n BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS totals (word VARCHAR(20) PRIMARY KEY, n BIGINT NOT NULL);
";

/// The sales, with gaps in their keys.
const SALES: i64 = 950;

fn shop() -> Place {
    let place = Place::new();
    place.write("job.toml", JOB);
    place.write("schema.sql", SCHEMA);
    let sale = |i: i64| format!("{},{i}\n", i * 7 - 3_000);
    place.write("in.csv", &format!("id,n\n{}", (1..=SALES).map(sale).collect::<String>()));
    place
}

fn report(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

async fn assert_done(database: &TestDatabase) {
    let sum = SALES * (SALES + 1);
    assert_eq!(database.value("SELECT sum(n) FROM sales").await, sum.to_string());
    assert_eq!(database.value("SELECT count(*) FROM sales").await, SALES.to_string());
    let totals = database.query("SELECT word, n FROM totals").await;
    assert_eq!(totals, [[Some("it's".to_owned()), Some(sum.to_string())]]);
}

#[tokio::test]
async fn statements_and_commands_are_told_like_other_steps() {
    let _steady = steady();
    let place = shop();
    let shown = |args: &[&str]| place.kiln(args).exits(0).stdout;
    insta::assert_snapshot!("runs_validate", shown(&["validate", "job.toml"]));
    insta::assert_snapshot!("runs_preview", shown(&["preview", "job.toml", "-n", "1"]));
    insta::assert_snapshot!("runs_run", shown(&["run", "job.toml", "--report", "report.json"]));
    insta::assert_snapshot!("runs_show", shown(&["show", "latest", "job.toml"]));
    let text = std::fs::read_to_string(place.path("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let steps = report["steps"].as_array().unwrap();
    let read: Vec<&Value> = steps.iter().map(|step| &step["items_read"]).collect();
    assert_eq!(read, [SALES, 10, 1, 1]);
    assert_eq!(steps[3]["output"], "hello from tell of sales");
    assert_eq!(place.sql("SELECT n FROM totals"), (SALES * (SALES + 1)).to_string());
    assert!(shown(&["run", "job.toml"]).contains("already complete"));
    assert_eq!(std::fs::read_to_string(place.path("told")).unwrap(), "run\n");
}

/// B32: killed at each point of a unit in turn, each time a little further, the
/// statements are run once each, and the command at least once.
async fn killed_again_and_again(database: TestDatabase) {
    let place = shop();
    let url = format!("url={}", database.url);
    let arguments = ["run", "job.toml", "--param", &url, "--report", "-"];
    let mut deaths = 0;
    for point in ["begin:3", "write:3", "mark:3", "commit:2", "committed:3"].into_iter().cycle() {
        let mut command = place.command(&arguments);
        let ended = Ended::of(command.env("KILN_CRASH_AT", point).output().unwrap());
        if ended.code == Some(0) {
            break;
        }
        assert_eq!(ended.code, None, "{ended:?}");
        deaths += 1;
        assert!(deaths < 40, "it does not get further");
    }
    assert!(deaths >= 5, "it died {deaths} times only");
    assert_eq!(report(&place.kiln(&arguments).exits(0))["already_complete"], true);
    assert_done(&database).await;
    assert!(std::fs::read_to_string(place.path("told")).unwrap().starts_with("run\n"));
}

#[tokio::test]
async fn b32_killed_again_and_again_on_sqlite() {
    killed_again_and_again(sqlite()).await;
}

#[tokio::test]
async fn b32_killed_again_and_again_on_postgres() {
    killed_again_and_again(postgres().await).await;
}

#[tokio::test]
async fn b32_killed_again_and_again_on_mariadb() {
    killed_again_and_again(kiln_testkit::mysql().await).await;
}

/// Told to stop, it ends the command; the next start runs that again.
#[test]
fn b46_a_signal_ends_the_command_with_the_run() {
    let place = shop();
    let waits = "trap 'echo asked > asked; exit 1' TERM; echo x > there; test -e asked && exit 0; \
                 while :; do sleep 0.05; done";
    let told = "echo run >> told; echo \\\"$GREETING from $KILN_STEP of $KILN_JOB\\\"";
    assert!(JOB.contains(told));
    place.write("job.toml", &JOB.replace(told, waits));
    let mut command = place.command(&["run", "job.toml", "--report", "-", "--quiet"]);
    let piped = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = piped.spawn().unwrap();
    let began = std::time::Instant::now();
    while !place.path("there").exists() {
        assert!(began.elapsed() < process::PATIENCE, "the command does not begin");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    send(&child, Signal::TERM);
    let stopped = wait(child).expect(75);
    assert_eq!(stopped["status"], "stopped");
    assert_eq!(stopped["steps"][2]["status"], "success");
    assert!(place.path("asked").exists());
    place.kiln(&["run", "job.toml"]).exits(0);
    assert_eq!(place.sql("SELECT count(*) FROM totals"), "1");
}

/// What a job file says of such a step that can't be.
#[test]
fn what_can_not_be_run_is_refused_where_it_stands() {
    let place = shop();
    for (old, new, line, why) in [
        ("id <= :to\"", "id <= :too\"", 26, "no value for :too"),
        ("key = \"id\"\n", "", 27, "key"),
        ("key = \"id\"\n", "key = \"nope\"\n", 28, "nope"),
        ("table = \"sales\"\nkey", "table = \"none\"\nkey", 27, "none"),
        ("size = 100", "size = 0", 29, "at least 1"),
        ("\"INSERT INTO totals", "\"INSERT INTO nowhere", 34, "nowhere"),
        ("\"INSERT INTO totals", "\"COMMIT; INSERT INTO totals", 34, "COMMIT"),
        ("command = [\"sh\"", "command = [\"shh-not-there\"", 41, "no program shh-not-there"),
        ("time_limit = \"1m\"", "time_limit = \"soon\"", 42, "no length of time"),
        ("[step.exec]", "[[step.require]]\nrule = \"true\"\n\n[step.exec]", 41, "means nothing"),
        ("[step.exec]", "sql = \"SELECT 1\"\n\n[step.exec]", 42, "runs a statement or"),
        ("needs = [\"total\"]\n\n[step.exec]", "\n\n[other.exec]", 0, "unknown key `other`"),
    ] {
        assert!(JOB.contains(old), "{old}");
        place.write("job.toml", &JOB.replace(old, new));
        let ended = place.kiln(&["run", "job.toml"]).exits(78).says(why);
        if line > 0 {
            assert!(ended.stderr.contains(&format!("job.toml:{line}:")), "{why}: {}", ended.stderr);
        }
    }
    assert!(!place.path("told").exists());
}
