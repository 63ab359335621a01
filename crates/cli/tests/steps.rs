//! B9, B25: a job of several steps, as its user sees it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use common::{Ended, Place, steady};
use kiln_testkit::{Row, TestDatabase};
use serde_json::Value;

/// Orders need customers and goods, which stand behind them in the file.
const JOB: &str = r#"name = "shop"

[params]
url = "sqlite:out.db"
most = 2

[target]
url = "${url}"
setup = { sqlite = "schema.sql", postgres = "schema.sql" }

[chunk]
items = 2

[limits]
failed = "${most}"

[[step]]
name = "orders"
needs = ["customers", "goods"]

[step.source]
file = "orders.csv"

[step.source.columns]
amount = "int"

[[step.match]]
as = "customer_id"
table = "customers"
key = "id"
on = { name = "customer" }

[[step.write]]
table = "orders"
columns = { line = "_line", customer = "customer_id", good = "good", amount = "amount" }

[[step.write]]
table = "goods"
mode = "increment"
key = ["good"]
add = ["amount"]

[[step]]
name = "customers"

[step.source]
file = "customers.csv"

[step.source.columns]
id = "int"

[step.chunk]
items = 3

[[step.write]]
table = "customers"

[[step]]
name = "goods"

[step.source]
file = "goods.csv"

[step.map]
sql = "SELECT upper(good) AS good, 0 AS amount FROM item WHERE good <> 'none'"

[[step.write]]
table = "goods"
"#;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS goods (good TEXT PRIMARY KEY, amount BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS orders (line BIGINT PRIMARY KEY,
    customer INTEGER NOT NULL REFERENCES customers (id), good TEXT NOT NULL REFERENCES goods (good),
    amount INTEGER NOT NULL CHECK (amount < 1000));
";

const CUSTOMERS: &str = "id,name\n1,Ann\n2,Bob\n3,Cy\n3,Dee\n5,Eve\n6,Fay\n7,Gus\n";
const GOODS: &str = "good\na\nb\nnone\nc\n";
const ORDERS: &str = "customer,good,amount\nAnn,A,1\nBob,B,2\nAnn,C,3\nDee,A,4\nGus,A,5000\nGus,A,5\n\
                      Eve,B,6\nFay,C,7\nAnn,A,8\n";

fn shop() -> Place {
    let place = Place::new();
    for (name, text) in [
        ("job.toml", JOB),
        ("schema.sql", SCHEMA),
        ("customers.csv", CUSTOMERS),
        ("goods.csv", GOODS),
        ("orders.csv", ORDERS),
    ] {
        place.write(name, text);
    }
    place
}

fn report(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

#[test]
fn a_job_of_steps_is_told_step_by_step() {
    let _steady = steady();
    let place = shop();
    let shown = |args: &[&str]| place.kiln(args).exits(0).stdout;
    insta::assert_snapshot!("steps_validate", shown(&["validate", "job.toml"]));
    let preview = shown(&["preview", "job.toml", "-n", "2"]);
    assert!(preview.contains("step customers\n") && preview.contains("step goods\n"), "{preview}");
    insta::assert_snapshot!(
        "steps_preview",
        shown(&["preview", "job.toml", "-n", "3", "--step", "goods"])
    );
    place.kiln(&["preview", "job.toml", "--step", "good"]).exits(64).says("did you mean `goods`?");

    insta::assert_snapshot!("steps_run", shown(&["run", "job.toml", "--report", "report.json"]));
    insta::assert_snapshot!("steps_show", shown(&["show", "latest", "job.toml"]));
    insta::assert_snapshot!("steps_list", shown(&["dead-letters", "list", "--job", "job.toml"]));
    let one = shown(&["dead-letters", "list", "--job", "job.toml", "--step", "customers"]);
    assert!(one.contains(": 1 dead letters\n") && !one.contains("orders"), "{one}");
    let csv = ["dead-letters", "export", "--job", "job.toml", "--format", "csv", "--step"];
    let csv = shown(&[&csv[..], &["orders"]].concat());
    assert_eq!(
        csv.lines().skip(1).map(|l| l.split(',').nth(1)).collect::<Vec<_>>(),
        [Some("orders"), Some("orders")]
    );
    let show = ["dead-letters", "show", "latest", "4", "--job", "job.toml"];
    place.kiln(&show).exits(64).says("customers, orders");
    assert!(
        shown(&[&show[..], &["--step", "customers"]].concat()).contains("step       customers")
    );
    place.kiln(&[&show[..], &["--step", "x"]].concat()).exits(66).says("customers, goods, orders");

    let text = std::fs::read_to_string(place.path("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let steps = report["steps"].as_array().unwrap();
    let each = |key: &str| steps.iter().map(|step| step[key].clone()).collect::<Vec<_>>();
    assert_eq!(each("step"), ["customers", "goods", "orders"]);
    assert_eq!(each("status"), ["partial_success", "success", "partial_success"]);
    assert_eq!(each("items_read"), [7, 4, 9]);
    assert_eq!(each("items_processed"), [6, 3, 7]);
    assert_eq!(each("items_filtered"), [0, 1, 0]);
    assert_eq!(each("items_failed"), [1, 0, 2]);
    let totals = ["items_read", "items_processed", "items_filtered", "items_failed"];
    assert_eq!(totals.map(|key| report[key].as_u64().unwrap()), [20, 16, 1, 3]);
    let failed = report["failed_items"].as_array().unwrap();
    let failed: Vec<&Value> = failed.iter().map(|item| &item["step"]).collect();
    assert_eq!(failed, ["customers", "orders", "orders"]);
    assert_eq!(place.sql("SELECT group_concat(good || amount) FROM goods"), "A14,B8,C10");
}

#[test]
fn a_step_that_fails_ends_the_run_which_goes_on_there() {
    let _steady = steady();
    let place = shop();
    let arguments = ["run", "job.toml", "--param", "most=1"];
    let failed = place.kiln(&arguments).exits(65).says("step orders: 2 of 6 items failed");
    assert!(failed.stdout.contains("orders     failed"), "{}", failed.stdout);
    insta::assert_snapshot!(
        "steps_show_failed",
        place.kiln(&["show", "latest", "job.toml", "--param", "most=1"]).exits(0).stdout
    );
    let renamed = JOB
        .replace("name = \"goods\"", "name = \"wares\"")
        .replace("needs = [\"customers\", \"goods\"]", "needs = [\"customers\", \"wares\"]");
    place.write("job.toml", &renamed);
    place.kiln(&arguments).exits(78).says("they were customers, goods, orders; now they are");
    place.write("job.toml", &JOB.replace("failed = \"${most}\"", "failed = 2"));
    let log = ["--log-format", "json", "--report", "-"];
    let resumed = place.kiln(&[&arguments[..], &log].concat()).exits(0);
    let begun = resumed.stderr.lines().filter(|line| line.contains("step started")).count();
    assert_eq!(begun, 1, "complete steps are not begun again: {}", resumed.stderr);
    assert_eq!(report(&resumed)["items_read"], 20);
    assert_eq!(place.sql("SELECT group_concat(good || amount) FROM goods"), "A14,B8,C10");
}

/// What a run leaves behind.
async fn books(database: &TestDatabase) -> Vec<Row> {
    let marks = if database.url.starts_with("sqlite") { "kiln_marks" } else { "kiln.marks" };
    let letters = marks.replace("marks", "dead_letters");
    let mut all = Vec::new();
    for sql in [
        "SELECT id, name FROM customers ORDER BY id".to_owned(),
        "SELECT good, amount FROM goods ORDER BY good".to_owned(),
        "SELECT line, customer, good, amount FROM orders ORDER BY line".to_owned(),
        format!("SELECT step, ordinal, stage FROM {letters} ORDER BY step, ordinal"),
        format!(
            "SELECT step, sum(done), sum(read), sum(processed), sum(filtered), sum(failed)
             FROM {marks} GROUP BY step ORDER BY step"
        ),
    ] {
        all.extend(database.query(&sql).await);
    }
    all
}

/// B32: killed at each commit of each step, before or behind it, and once more
/// where the next start comes to.
async fn killed_in_each_step(database: impl AsyncFn() -> TestDatabase) {
    let place = shop();
    let run = |database: &TestDatabase, crash: Option<&str>| {
        let url = format!("url={}", database.url);
        let mut command = place.command(&["run", "job.toml", "--param", &url, "--report", "-"]);
        crash.map(|at| command.env("KILN_CRASH_AT", at));
        Ended::of(command.output().unwrap())
    };
    let whole = database().await;
    let chunks = report(&run(&whole, None).exits(0))["chunks"].as_u64().unwrap();
    let expected = books(&whole).await;
    assert!(chunks >= 10 && expected.len() == 6 + 3 + 7 + 3 + 3, "{chunks}: {expected:?}");
    for (nth, point) in (1..=chunks).zip(["commit", "committed"].into_iter().cycle()) {
        let database = database().await;
        let first = run(&database, Some(&format!("{point}:{nth}")));
        assert_eq!(first.code, None, "it did not die: {first:?}");
        let second = run(&database, Some(&format!("{point}:2")));
        assert!(matches!(second.code, None | Some(0)), "{second:?}");
        let ended = run(&database, None).exits(0);
        let what = format!("killed at {point}:{nth}: {ended:?}");
        assert_eq!(books(&database).await, expected, "{what}");
        let again = run(&database, None).exits(0);
        assert_eq!(report(&again)["already_complete"], true, "{what}");
    }
}

#[tokio::test]
async fn b32_killed_in_each_step_on_sqlite() {
    killed_in_each_step(async || kiln_testkit::sqlite()).await;
}

#[tokio::test]
async fn b32_killed_in_each_step_on_postgres() {
    killed_in_each_step(kiln_testkit::postgres).await;
}

/// The second step reads the table that the first one writes, and that is not
/// there before.
const CHAIN: &str = r#"name = "chain"

[params]
url = "sqlite:out.db"

[target]
url = "${url}"
setup = "schema.sql"

[chunk]
items = 2

[[step]]
name = "totals"
needs = ["sales"]
source = { table = "sales" }

[[step.write]]
table = "totals"
mode = "increment"
key = ["good"]
add = ["amount"]

[[step]]
name = "sales"

[step.source]
file = "sales.csv"

[step.source.columns]
id = "int"
amount = "int"

[[step.write]]
table = "sales"
"#;

async fn a_step_reads_what_another_wrote(database: TestDatabase) {
    let place = Place::new();
    place.write("job.toml", CHAIN);
    let schema = "CREATE TABLE IF NOT EXISTS sales (id BIGINT PRIMARY KEY, good TEXT NOT NULL, \
                  amount BIGINT NOT NULL);\nCREATE TABLE IF NOT EXISTS totals \
                  (good TEXT PRIMARY KEY, amount BIGINT NOT NULL);";
    place.write("schema.sql", schema);
    place.write("sales.csv", "id,good,amount\n1,a,1\n2,b,2\n3,a,4\n4,c,8\n5,b,16\n");
    let url = format!("url={}", database.url);
    place.kiln(&["validate", "job.toml", "--param", &url]).exits(0);
    let preview = place.kiln(&["preview", "job.toml", "--param", &url]).exits(0);
    assert!(preview.stdout.contains("nothing can be read yet"), "{}", preview.stdout);
    for at in ["committed:2", "commit:2", "mark:2"] {
        let mut killed = place.command(&["run", "job.toml", "--param", &url]);
        assert_eq!(killed.env("KILN_CRASH_AT", at).output().unwrap().status.code(), None, "{at}");
    }
    let ended = place.kiln(&["run", "job.toml", "--param", &url, "--report", "-"]).exits(0);
    assert_eq!(report(&ended)["items_processed"], 10);
    let totals = database.query("SELECT good, amount FROM totals ORDER BY good").await;
    let totals: Vec<String> = totals.into_iter().flatten().flatten().collect();
    assert_eq!(totals, ["a", "5", "b", "18", "c", "8"]);
}

#[tokio::test]
async fn a_step_reads_what_another_wrote_to_sqlite() {
    a_step_reads_what_another_wrote(kiln_testkit::sqlite()).await;
}

#[tokio::test]
async fn a_step_reads_what_another_wrote_to_postgres() {
    a_step_reads_what_another_wrote(kiln_testkit::postgres().await).await;
}
