//! Input, job files and databases that are not what they should be: a clear
//! error with its exit code, nothing written, nothing lost.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use common::{Ended, JOB, Place};
use kiln_testkit::TestDatabase;

const RUN: [&str; 2] = ["run", "job.toml"];

impl Place {
    /// Runs the job, which fails with this code and these words before it has
    /// written anything.
    #[track_caller]
    fn refuses(&self, code: i32, words: &str) {
        let before = self.files();
        self.kiln(&RUN).exits(code).says(words);
        assert_eq!(self.files(), before, "nothing was written");
        // `validate` comes to the same end, by the same checks.
        let checked = self.kiln(&["validate", "job.toml"]).exits(code);
        assert!((checked.stdout + &checked.stderr).contains(words));
        assert_eq!(self.files(), before, "nothing was written");
    }
}

#[test]
fn a_missing_file() {
    Place::with("\"in.csv\"", "\"no.csv\"").refuses(66, "no.csv");
}

#[test]
fn a_directory_instead_of_a_file() {
    let place = Place::with("\"in.csv\"", "\"folder.csv\"");
    fs::create_dir(place.path("folder.csv")).unwrap();
    place.refuses(66, "is a directory");
}

#[test]
fn an_empty_file() {
    let place = Place::new();
    place.write("in.csv", "");
    place.refuses(65, "in.csv is empty");
}

#[test]
fn a_file_of_a_header_only_is_a_complete_run_of_nothing() {
    let place = Place::new();
    place.write("in.csv", "code,amount,price\n");
    place.kiln(&RUN).exits(0);
    assert_eq!(place.sql("SELECT count(*) FROM sales"), "0");
    assert_eq!(place.sql("SELECT state FROM kiln_runs"), "completed");
}

#[test]
fn a_file_that_is_no_text() {
    let place = Place::new();
    place.write("in.csv", "\0\0\0\0\n");
    let ended = place.kiln(&RUN);
    assert!(matches!(ended.code, Some(65 | 78)), "{ended:?}");
    assert!(!place.path("out.db").exists());
}

#[test]
fn an_unknown_column_in_sql() {
    Place::with("SELECT code,", "SELECT cod,").refuses(78, "cod");
    Place::with("amount * price", "amount * prise").refuses(78, "prise");
    Place::with("price > 0", "prise > 0").refuses(78, "job.toml:18");
}

#[test]
fn a_wrong_type() {
    Place::with("amount = \"amount\"", "amount = \"price\"").refuses(78, "sales.amount");
    Place::with("amount * price", "amount * code").refuses(78, "job.toml:34");
    Place::with("\"decimal(10,2)\"", "\"decimal(99,2)\"").refuses(78, "1 to 38 digits");
}

#[test]
fn a_missing_table() {
    Place::with("table = \"stock\"", "table = \"stok\"").refuses(78, "stok");
    Place::with("table = \"items\"", "table = \"itens\"").refuses(78, "itens");
    Place::with("amount = \"amount\"", "amout = \"amount\"").refuses(78, "amout");
}

#[test]
fn a_target_that_is_none() {
    Place::with("sqlite:out.db", "sqlite:no/such/out.db").refuses(78, "no folder");
    Place::with("sqlite:out.db", "mysql://h/d").refuses(78, "mysql");
    let place = Place::with("sqlite:out.db", "sqlite:schema.sql");
    place.refuses(78, "schema.sql");
    let folder = Place::with("sqlite:out.db", "sqlite:folder");
    fs::create_dir(folder.path("folder")).unwrap();
    folder.refuses(78, "is a directory");
}

#[test]
fn a_job_file_that_is_none() {
    let place = Place::new();
    place.kiln(&["run", "no.toml"]).exits(78).says("no job file no.toml");
    place.kiln(&["run", "."]).exits(78).says("is a directory");
    place.kiln(&["run", "in.csv"]).exits(78).says("in.csv:1");
    place.write("job.toml", "");
    place.kiln(&RUN).exits(78).says("missing");
}

/// A database whose header forbids writing is read-only for every user.
#[test]
fn a_read_only_database() {
    let place = Place::new();
    place.kiln(&RUN).exits(0);
    let before = {
        let mut bytes = fs::read(place.path("out.db")).unwrap();
        bytes[18] = 3;
        fs::write(place.path("out.db"), &bytes).unwrap();
        bytes
    };
    let ended = place.kiln(&["run", "job.toml", "--again"]).exits(77);
    assert!(ended.stderr.contains("read"), "{}", ended.stderr);
    place.kiln(&["validate", "job.toml"]).exits(77);
    assert_eq!(fs::read(place.path("out.db")).unwrap(), before);
}

/// The program, run by a user without rights: root may do everything.
fn without_rights(place: &Place, args: &[&str]) -> Ended {
    if fs::metadata(place.path(".")).unwrap().uid() != 0 {
        return place.kiln(args);
    }
    let program = place.path("kiln");
    // Copied by another process: a file that this one has open for writing may be
    // inherited by what another test starts, and then it can't be run.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_kiln")).arg(&program).status();
    assert!(copied.unwrap().success());
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).args(args);
    let output = command.current_dir(place.path(".")).env_remove("KILN_URL").output().unwrap();
    Ended::of(output)
}

#[test]
fn no_permission_to_read() {
    let place = Place::new();
    fs::set_permissions(place.path("in.csv"), fs::Permissions::from_mode(0o000)).unwrap();
    without_rights(&place, &RUN).exits(77).says("in.csv");
    assert!(!place.path("out.db").exists());
}

#[test]
fn no_permission_to_write() {
    let place = Place::new();
    fs::set_permissions(place.path("."), fs::Permissions::from_mode(0o555)).unwrap();
    let ended = without_rights(&place, &RUN).exits(77);
    assert!(ended.stderr.contains("out.db"), "{}", ended.stderr);
    fs::set_permissions(place.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!place.path("out.db").exists());
}

/// A limit on the size of files is a full disk, as far as a program can tell.
#[test]
fn a_full_disk_stops_the_run_and_nothing_is_lost() {
    let place = Place::new();
    place.write("job.toml", &format!("{JOB}[chunk]\nitems = 500\n"));
    let lines: String = (0..20_000).map(|i| format!("C{i},1,1.00\n")).collect();
    place.write("in.csv", &format!("code,amount,price\n{lines}"));
    let script =
        format!("trap '' XFSZ; ulimit -f 1000; exec {} run job.toml", env!("CARGO_BIN_EXE_kiln"));
    let mut full = Command::new("sh");
    full.args(["-c", &script]).current_dir(place.path("."));
    Ended::of(full.output().unwrap()).exits(74).says("to go on where it stopped");

    let ended = place.kiln(&RUN).exits(0);
    assert!(ended.stdout.contains("(resumed)"), "{}", ended.stdout);
    assert_eq!(place.sql("SELECT count(*) FROM sales"), "20000");
    assert_eq!(place.sql("SELECT count(DISTINCT line) FROM sales"), "20000");
    assert_eq!(place.sql("SELECT sum(amount) FROM stock"), "20000");
    assert_eq!(place.sql("SELECT processed FROM kiln_marks"), "20000");
}

const EVIL: &str = r#"a"; DROP TABLE x;--"#;
const EVIL_SCHEMA: &str = r#"
CREATE TABLE IF NOT EXISTS x (n INTEGER);
CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS stock (item_id INTEGER PRIMARY KEY, amount INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS "a""; DROP TABLE x;--" (item INTEGER, amount INTEGER, total TEXT, line INTEGER);
"#;

#[test]
fn a_table_with_an_evil_name() {
    let table = format!("table = '{EVIL}'");
    let place = Place::with("table = \"sales\"", &table);
    place.refuses(78, "DROP TABLE");
    place.write("schema.sql", EVIL_SCHEMA);
    place.kiln(&RUN).exits(0);
    assert_eq!(place.sql(r#"SELECT count(*) FROM "a""; DROP TABLE x;--""#), "5");
    assert_eq!(place.sql("SELECT count(*) FROM x"), "0");
}

/// A place whose job writes to a PostgreSQL database.
async fn on_postgres() -> (Place, TestDatabase) {
    let database = kiln_testkit::postgres().await;
    let place = Place::with("sqlite:out.db", &database.url);
    (place, database)
}

async fn tables(database: &TestDatabase) -> String {
    let all = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
               WHERE nspname IN ('public', 'kiln')";
    database.value(all).await
}

#[tokio::test]
async fn postgres_that_is_not_reachable() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://ann:canary@{nobody}/shop");
    let place = Place::with("\"sqlite:out.db\"", "\"${KILN_TEST_TARGET}\"");
    for args in
        [&RUN[..], &["validate", "job.toml"], &["preview", "job.toml"], &["runs", "job.toml"]]
    {
        let output = place.command(args).env("KILN_TEST_TARGET", &url).output().unwrap();
        let ended = Ended::of(output).exits(69);
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains(&nobody.to_string()), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}

#[tokio::test]
async fn postgres_with_wrong_tables_and_columns() {
    let (place, database) = on_postgres().await;
    let before = tables(&database).await;
    let job = fs::read_to_string(place.path("job.toml")).unwrap();
    for (old, new, words) in [
        ("table = \"stock\"", "table = \"stok\"", "stok"),
        ("amount = \"amount\"", "amout = \"amount\"", "amout"),
        ("amount = \"amount\"", "amount = \"price\"", "amount"),
        ("table = \"sales\"", &format!("table = '{EVIL}'"), "DROP TABLE"),
    ] {
        place.write("job.toml", &job.replace(old, new));
        place.refuses(78, words);
        assert_eq!(tables(&database).await, before, "{new}");
    }
    place.write("job.toml", &job);
    place.kiln(&RUN).exits(0);
    assert_eq!(database.value("SELECT sum(total) FROM sales").await, "18.00");
    assert_eq!(database.value("SELECT count(*) FROM kiln.dead_letters").await, "3");
}

#[tokio::test]
async fn postgres_that_only_reads() {
    let (place, database) = on_postgres().await;
    let name = database.value("SELECT current_database()").await;
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    database.execute(&read_only).await;
    place.refuses(77, "read");
    assert_eq!(tables(&database).await, "0");
}

#[tokio::test]
async fn postgres_that_does_not_permit() {
    let (place, database) = on_postgres().await;
    let role = format!("reader_{}", std::process::id());
    let schema = fs::read_to_string(place.path("schema.postgres.sql")).unwrap();
    database.execute(&schema).await;
    database
        .execute(&format!(
            "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN; \
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
        ))
        .await;
    let before = tables(&database).await;
    let (_, address) = database.url.split_once("://").unwrap();
    let address = address.rsplit_once('@').map_or(address, |(_, address)| address);
    let job = JOB
        .replace("sqlite:out.db", &format!("postgres://{role}@{address}"))
        .replace("setup = { sqlite = \"schema.sql\", postgres = \"schema.postgres.sql\" }\n", "");
    place.write("job.toml", &job);
    place.refuses(77, "permi");
    assert_eq!(tables(&database).await, before);
    assert_eq!(database.value("SELECT count(*) FROM items").await, "0");
    database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
