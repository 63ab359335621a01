//! Lanes side by side in PostgreSQL and MariaDB: killed again and again, and started with
//! another number of lanes each time, a job ends as if nothing had happened.

#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;

use common::Place;
use kiln_testkit::TestDatabase;

const LINES: u64 = 6_000;
const ACCOUNTS: u64 = 97;

const JOB: &str = r#"name = "movements"

[params]
url = ""

[source]
file = "in.csv"

[source.columns]
account = "int"
amount = "int"

[map]
sql = "SELECT account, amount, _line AS line FROM item"

[target]
url = "${url}"
setup = "schema.sql"

[[write]]
table = "movements"
columns = ["line", "account", "amount"]

[[write]]
table = "newest"
mode = "upsert"
key = ["account"]
columns = ["account", "line"]

[[write]]
table = "sums"
mode = "increment"
key = ["account"]
add = ["amount"]

[chunk]
items = 150
"#;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS movements (line bigint PRIMARY KEY, account bigint NOT NULL,
    amount bigint NOT NULL CHECK (amount < 1000));
CREATE TABLE IF NOT EXISTS newest (account bigint PRIMARY KEY, line bigint NOT NULL);
CREATE TABLE IF NOT EXISTS sums (account bigint PRIMARY KEY, amount bigint NOT NULL);
";

/// Movements, accounts whose newest is not, wrong sums, accounts and dead
/// letters, with no code of kiln.
const COUNTS: &str = "
SELECT (SELECT count(*) FROM movements),
       (SELECT count(*) FROM newest n WHERE line <>
           (SELECT max(line) FROM movements m WHERE m.account = n.account)),
       (SELECT count(*) FROM sums s WHERE amount <>
           (SELECT sum(amount) FROM movements m WHERE m.account = s.account)),
       (SELECT count(*) FROM sums), (SELECT count(*) FROM {kiln}dead_letters)";

/// A fresh database of each kind that has lanes, and how the names of its
/// ledger's tables begin.
async fn databases() -> [(TestDatabase, &'static str); 2] {
    [(kiln_testkit::postgres().await, "kiln."), (kiln_testkit::mysql().await, "kiln_")]
}

async fn counts(database: &TestDatabase, kiln: &str) -> Vec<String> {
    let row = database.query(&COUNTS.replace("{kiln}", kiln)).await.remove(0);
    row.into_iter().map(|n| n.unwrap()).collect()
}

/// A record, and whether the table refuses it.
fn record(n: u64) -> (u64, u64, bool) {
    let bad = n % 501 == 7;
    (n * 31 % ACCOUNTS, if bad { 5_000 } else { n % 900 }, bad)
}

fn place() -> Place {
    let place = Place::new();
    let mut input = "account,amount\n".to_owned();
    for n in 1..=LINES {
        let (account, amount, _) = record(n);
        writeln!(input, "{account},{amount}").unwrap();
    }
    place.write("in.csv", &input);
    place.write("schema.sql", SCHEMA);
    place
}

fn start(place: &Place, database: &TestDatabase, lanes: u32, crash: Option<&str>) -> common::Ended {
    place.write("job.toml", &format!("{JOB}\n[limits]\nlanes = {lanes}\n"));
    let mut command =
        place.command(&["run", "job.toml", "--quiet", "--param", &format!("url={}", database.url)]);
    if let Some(crash) = crash {
        command.env("KILN_CRASH_AT", crash);
    }
    let output = command.output().unwrap();
    let killed = output.status.signal() == Some(9);
    let ended = common::Ended::of(output);
    assert!(killed || ended.code == Some(0), "{}\n{}", ended.stdout, ended.stderr);
    ended
}

fn expected() -> Vec<String> {
    let bad = (1..=LINES).filter(|n| record(*n).2).count() as u64;
    [LINES - bad, 0, 0, ACCOUNTS, bad].map(|n| n.to_string()).to_vec()
}

#[tokio::test]
async fn a_job_in_four_lanes_is_exact() {
    for (database, kiln) in databases().await {
        let place = place();
        start(&place, &database, 4, None).exits(0);
        assert_eq!(counts(&database, kiln).await, expected());
        let lanes = format!("SELECT count(*) FROM {kiln}marks WHERE processed > 0");
        assert_eq!(database.value(&lanes).await, "4");
    }
}

#[tokio::test]
async fn killed_and_started_with_other_lanes_it_is_exact() {
    for point in ["begin", "write", "mark", "commit", "committed"] {
        for (database, kiln) in databases().await {
            let place = place();
            for (visit, lanes) in [(3, 2), (14, 3), (1, 1), (5, 4), (2, 2), (30, 3), (8, 2)] {
                let crash = format!("{point}:{visit}");
                start(&place, &database, lanes, Some(&crash));
            }
            start(&place, &database, 2, None).exits(0);
            assert_eq!(counts(&database, kiln).await, expected(), "{point} in {kiln}");
        }
    }
}

/// Two texts may be one key where the column's collation says so: then one lane
/// keeps them in order.
#[tokio::test]
async fn keys_that_only_the_table_can_compare_stay_in_one_lane() {
    let (place, database) = (Place::new(), kiln_testkit::postgres().await);
    place.write("in.csv", "code,n\na,1\nA,2\nb,3\n");
    place.write(
        "schema.sql",
        "CREATE COLLATION IF NOT EXISTS loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE IF NOT EXISTS newest (code text COLLATE loose PRIMARY KEY, n text);",
    );
    place.write(
        "job.toml",
        r#"name = "loose"
[params]
url = ""
[source]
file = "in.csv"
[target]
url = "${url}"
setup = "schema.sql"
[[write]]
table = "newest"
mode = "upsert"
key = ["code"]
[limits]
lanes = 4
"#,
    );
    let url = format!("url={}", database.url);
    place.kiln(&["run", "job.toml", "--quiet", "--param", &url]).exits(0);
    let marks = "SELECT count(*) FROM kiln.marks";
    assert_eq!(database.value(marks).await, "1");
    let rows = "SELECT lower(code), n FROM newest ORDER BY n";
    let text = |t: &str| Some(t.to_owned());
    assert_eq!(database.query(rows).await, [[text("a"), text("2")], [text("b"), text("3")]]);
}
