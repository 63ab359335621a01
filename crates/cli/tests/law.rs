//! The law of all jobs: any input, cut into any chunks, in any number of lanes,
//! killed wherever and as often as you like, gives the same tables.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;

use common::{Ended, Place};
use kiln_testkit::TestDatabase;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

const JOB: &str = r#"name = "movements"
[params]
url = ""
[source]
file = "in.csv"
[source.columns]
account = "int"
amount = "int"
[map]
sql = "SELECT account, amount, _line - 1 AS n FROM item WHERE account >= 0"
[target]
url = "${url}"
setup = "schema.sql"
[[write]]
table = "movements"
columns = ["n", "account", "amount"]
[[write]]
table = "newest"
mode = "upsert"
key = ["account"]
columns = ["account", "n"]
[[write]]
table = "sums"
mode = "increment"
key = ["account"]
add = ["amount"]
"#;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS movements (n bigint PRIMARY KEY, account bigint NOT NULL,
    amount bigint NOT NULL CHECK (amount < 1000));
CREATE TABLE IF NOT EXISTS newest (account bigint PRIMARY KEY, n bigint NOT NULL);
CREATE TABLE IF NOT EXISTS sums (account bigint PRIMARY KEY, amount bigint NOT NULL);
";

/// A record of the file.
#[derive(Debug, Clone, Copy)]
enum Record {
    Good(i64, i64),
    Skipped,
    /// The file can't be read there.
    Torn,
    /// The account is no number.
    NoNumber,
    /// The table refuses the amount.
    TooMuch(i64),
}

impl Record {
    fn line(self) -> String {
        match self {
            Self::Good(account, amount) => format!("{account},{amount}"),
            Self::Skipped => "-1,1".to_owned(),
            Self::Torn => "1,2,3".to_owned(),
            Self::NoNumber => "x,1".to_owned(),
            Self::TooMuch(account) => format!("{account},1000"),
        }
    }

    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            20 => (0i64..12, -50i64..999).prop_map(|(account, amount)| Self::Good(account, amount)),
            1 => Just(Self::Skipped),
            1 => Just(Self::Torn),
            1 => Just(Self::NoNumber),
            1 => (0i64..12).prop_map(Self::TooMuch),
        ]
    }
}

/// One start of the job.
#[derive(Debug, Clone)]
struct Start {
    chunk: u64,
    lanes: u64,
    /// Where it kills itself, if it comes by.
    crash: Option<String>,
}

fn start(crash: impl Strategy<Value = Option<String>>) -> impl Strategy<Value = Start> {
    (1u64..70, 1u64..5, crash).prop_map(|(chunk, lanes, crash)| Start { chunk, lanes, crash })
}

fn crash() -> impl Strategy<Value = Option<String>> {
    const POINTS: &[&str] = &["begin", "write", "mark", "commit", "committed"];
    (proptest::sample::select(POINTS), 1u64..25).prop_map(|(p, nth)| Some(format!("{p}:{nth}")))
}

/// Movements, the newest of each account, sums, and the lines of dead letters.
#[derive(Debug, PartialEq, Default)]
struct Tables {
    movements: Vec<[i64; 3]>,
    newest: BTreeMap<i64, i64>,
    sums: BTreeMap<i64, i64>,
    dead: Vec<i64>,
}

impl Tables {
    /// As the records alone say.
    fn expected(records: &[Record]) -> Self {
        let mut tables = Self::default();
        for (n, record) in (1..).zip(records) {
            match *record {
                Record::Good(account, amount) => {
                    tables.movements.push([n, account, amount]);
                    tables.newest.insert(account, n);
                    *tables.sums.entry(account).or_default() += amount;
                }
                Record::Skipped => {}
                _ => tables.dead.push(n),
            }
        }
        tables
    }

    /// As they are in the database.
    async fn of(database: &TestDatabase, kiln: &str) -> Self {
        let rows = async |sql: &str| -> Vec<Vec<i64>> {
            let rows = database.query(sql).await.into_iter();
            rows.map(|row| row.into_iter().map(|v| v.unwrap().parse().unwrap()).collect()).collect()
        };
        let pairs = |rows: Vec<Vec<i64>>| rows.into_iter().map(|row| (row[0], row[1])).collect();
        let movements = rows("SELECT n, account, amount FROM movements ORDER BY n").await;
        let dead = format!("SELECT line - 1 FROM {kiln}dead_letters ORDER BY line");
        Self {
            movements: movements.into_iter().map(|row| [row[0], row[1], row[2]]).collect(),
            newest: pairs(rows("SELECT account, n FROM newest").await),
            sums: pairs(rows("SELECT account, amount FROM sums").await),
            dead: rows(&dead).await.into_iter().map(|row| row[0]).collect(),
        }
    }
}

/// Runs it; true if it came through.
fn run(place: &Place, database: &TestDatabase, start: &Start) -> bool {
    let Start { chunk, lanes, crash } = start;
    let job = format!("{JOB}[chunk]\nitems = {chunk}\n[limits]\nlanes = {lanes}\n");
    place.write("job.toml", &job);
    let url = format!("url={}", database.url);
    let mut command = place.command(&["run", "job.toml", "--quiet", "--param", &url]);
    if let Some(crash) = crash {
        command.env("KILN_CRASH_AT", crash);
    }
    let output = command.output().unwrap();
    let is_killed = output.status.signal() == Some(9);
    let ended = Ended::of(output);
    assert!(is_killed || ended.code == Some(0), "{}\n{}", ended.stdout, ended.stderr);
    !is_killed
}

async fn fresh(kind: &str) -> TestDatabase {
    match kind {
        "sqlite" => kiln_testkit::sqlite(),
        "postgres" => kiln_testkit::postgres().await,
        _ => kiln_testkit::mysql().await,
    }
}

/// So many jobs on a kind of database, whose ledger's tables begin like this.
fn holds(kind: &str, kiln: &str, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let records = proptest::collection::vec(Record::any(), 0..400);
    let killed = proptest::collection::vec(start(crash()), 0..5);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let law = |(records, killed, last): (Vec<Record>, Vec<Start>, Start)| {
        let place = Place::new();
        place.write("schema.sql", TABLES);
        let mut input = "account,amount\n".to_owned();
        records.iter().for_each(|record| writeln!(input, "{}", record.line()).unwrap());
        place.write("in.csv", &input);
        let database = runtime.block_on(fresh(kind));
        for start in &killed {
            if run(&place, &database, start) {
                break;
            }
        }
        prop_assert!(run(&place, &database, &last));
        let tables = runtime.block_on(Tables::of(&database, kiln));
        prop_assert_eq!(tables, Tables::expected(&records));
        Ok(())
    };
    let inputs = (records, killed, start(Just(None)));
    TestRunner::new(config).run(&inputs, law).unwrap();
}

#[test]
fn on_sqlite() {
    holds("sqlite", "kiln_", 40);
}

#[test]
fn on_postgres() {
    holds("postgres", "kiln.", 40);
}

#[test]
fn on_mysql() {
    holds("mysql", "kiln_", 25);
}
