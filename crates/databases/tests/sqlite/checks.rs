//! What `check` says before anything is written, and that it writes nothing.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use kiln_core::{Check, Kind, Mode, Write};
use kiln_databases::connect;

use crate::support::*;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS t (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER, price NUMERIC, exact TEXT,
    note TEXT NOT NULL DEFAULT '', twice INTEGER AS (n * 2), uid UUID, at TIMESTAMP);
CREATE UNIQUE INDEX IF NOT EXISTS t_name ON t (name, n);
CREATE UNIQUE INDEX IF NOT EXISTS t_part ON t (n) WHERE n > 0;
CREATE VIEW IF NOT EXISTS v AS SELECT * FROM t;";

fn items() -> SchemaRef {
    let field = |name: &str, type_| Field::new(name, type_, true);
    Arc::new(Schema::new(vec![
        field("name", DataType::Utf8),
        field("n", DataType::Int64),
        field("price", DataType::Decimal128(12, 3)),
        field("exact", DataType::Decimal128(38, 3)),
        field("flag", DataType::Boolean),
        field("x", DataType::Float64),
        field("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
        field("bytes", DataType::Binary),
        field("list", DataType::new_list(DataType::Int64, true)),
    ]))
}

/// A write into `t` of `name` and these, each as (column, from).
fn into_t(columns: &[(&str, &str)]) -> Write {
    let mut write = insert("t", &["name"]);
    for (column, from) in columns {
        let (column, from) = ((*column).to_owned(), (*from).to_owned());
        write.columns.push(kiln_core::WriteColumn { column, from });
    }
    write
}

fn failures(checks: &[Check]) -> Vec<String> {
    let failed = checks.iter().filter_map(|c| c.result.as_ref().err().map(|f| (c, f)));
    failed
        .map(|(check, fault)| {
            assert_eq!(fault.kind(), Kind::Config, "{fault:?}");
            assert!(fault.hint().is_some(), "no hint: {fault:?}");
            format!("{}: {fault}", check.what)
        })
        .collect()
}

#[tokio::test]
async fn what_fits_passes_line_by_line() {
    let shop = Shop::untouched(SCHEMA).await;
    let writes = [into_t(&[("n", "n"), ("exact", "exact"), ("at", "at")]), {
        increment("t", &["name", "n"], &["price"])
    }];
    let checks = shop.database.sink().check(&writes, &items()).await;
    assert!(failures(&checks).is_empty(), "{checks:?}");
    let lines: Vec<String> = checks
        .iter()
        .map(|c| match &c.result {
            Ok(Some(note)) => format!("{} ({note})", c.what),
            _ => c.what.clone(),
        })
        .collect();
    assert_eq!(
        lines,
        [
            format!("target reachable: {} (it will be created)", shop.database.url()).as_str(),
            "permission to write, ledger included",
            "table t",
            "t: 4 columns fit",
            "table t",
            "t: key (name, n) is unique",
            "t: 3 columns fit",
            "t.price (kept as a float by SQLite; declare it TEXT to keep every digit)",
        ]
    );
}

#[tokio::test]
async fn what_does_not_fit_fails_with_a_hint() {
    let cases: Vec<(Write, &str)> = vec![
        (insert("missing", &["n"]), "table missing: there is no table missing"),
        (insert("v", &["n"]), "table v: v is a view, not a table"),
        (insert("other.t", &["n"]), "table other.t: there is no table other.t"),
        (into_t(&[("nowhere", "n")]), "t.nowhere: t has no column nowhere"),
        (into_t(&[("n", "nothing")]), "t.n: the items have no column nothing"),
        (into_t(&[("n", "at")]), "t.n: t.n is INTEGER; the item's at is timestamp"),
        (into_t(&[("price", "at")]), "t.price: t.price is NUMERIC; the item's at is timestamp"),
        (into_t(&[("n", "x")]), "t.n: t.n is INTEGER; the item's x is float"),
        (into_t(&[("n", "price")]), "t.n: t.n is INTEGER; the item's price is decimal(12,3)"),
        (
            into_t(&[("price", "exact")]),
            "t.price: t.price is NUMERIC; the item's exact is decimal(38,3)",
        ),
        (into_t(&[("exact", "flag")]), "t.exact: t.exact is TEXT; the item's flag is bool"),
        (into_t(&[("exact", "bytes")]), "t.exact: t.exact is TEXT; the item's bytes is bytes"),
        (into_t(&[("exact", "list")]), "t.exact: t.exact is TEXT; the item's list is List(Int64)"),
        (into_t(&[("twice", "n")]), "t.twice: t.twice is computed by the database"),
        (insert("t", &["n"]), "t.name: t.name is NOT NULL, and the write leaves it out"),
        (
            increment("t", &["name"], &["n"]),
            "t: key (name) is unique: t has no unique constraint over (name)",
        ),
        (
            increment("t", &["n"], &["price", "name"]),
            "t: key (n) is unique: t has no unique constraint over (n)",
        ),
        (
            increment("t", &["name", "n"], &[]),
            "t: key (name, n): t: mode increment needs a column beside its key",
        ),
        (
            Write {
                mode: Mode::Increment,
                key: vec!["name".into()],
                ..insert("t", &["n", "name"])
            },
            "t: key (name): t: an increment writes its key, then what it adds",
        ),
        (Write { mode: Mode::Upsert, ..into_t(&[]) }, "t: key (): t: mode upsert needs a key"),
        (
            Write { mode: Mode::Upsert, key: vec!["name".into()], ..into_t(&[("n", "n")]) },
            "t: key (name) is unique: t has no unique constraint over (name)",
        ),
        (
            Write { mode: Mode::Ignore, key: vec!["n".into()], ..into_t(&[("n", "n")]) },
            "t: key (n) is unique: t has no unique constraint over (n)",
        ),
        (
            Write { mode: Mode::Ignore, key: vec!["n".into()], ..insert("t", &["n"]) },
            "t.name: t.name is NOT NULL, and the write leaves it out",
        ),
        (
            Write { mode: Mode::Update, key: vec!["id".into()], ..into_t(&[]) },
            "t: key (id): t: the key id is not among the columns",
        ),
        (
            Write { mode: Mode::Delete, key: vec!["name".into()], ..into_t(&[("n", "n")]) },
            "t: key (name): t: mode delete takes its key and no other column",
        ),
    ];
    let shop = Shop::untouched(SCHEMA).await;
    let sink = shop.database.sink();
    for (write, expected) in cases {
        let failures = failures(&sink.check(std::slice::from_ref(&write), &items()).await);
        assert!(failures.iter().any(|f| f.starts_with(expected)), "{expected}: {failures:?}");
    }
}

#[tokio::test]
async fn opening_refuses_what_check_refuses() {
    let shop = Shop::new(SCHEMA).await;
    for write in [
        insert("missing", &["n"]),
        into_t(&[("n", "at")]),
        Write { mode: Mode::Upsert, ..into_t(&[]) },
    ] {
        let refused = shop.open(1, &[write], items()).await;
        assert_eq!(refused.err().map(|f| f.kind()), Some(Kind::Config));
    }
    assert!(shop.rows("SELECT * FROM kiln_marks").is_empty());
}

#[tokio::test]
async fn looking_leaves_nothing_behind() {
    let shop = Shop::untouched(SCHEMA).await;
    let look = async || {
        let sink = shop.database.sink();
        assert!(failures(&sink.check(&[into_t(&[])], &items()).await).is_empty());
        assert!(shop.database.ledger().runs(None, 10).await.unwrap().is_empty());
    };
    look().await;
    assert_eq!(fs::read_dir(shop.folder.path()).unwrap().count(), 0);

    shop.sql().execute_batch("CREATE TABLE other (a)").unwrap();
    let before = fs::read(shop.path()).unwrap();
    look().await;
    assert_eq!(fs::read(shop.path()).unwrap(), before);
    assert_eq!(fs::read_dir(shop.folder.path()).unwrap().count(), 1);
    shop.database.set_up().await.unwrap();
    shop.database.set_up().await.unwrap();
    look().await;
    assert_eq!(shop.rows("SELECT count(*) FROM t"), ["0"]);
}

#[tokio::test]
async fn a_wrong_script_is_named_with_its_line() {
    let shop = Shop::untouched("CREATE TABLE a (b);\nCREATE TABEL t (id);").await;
    let checks = shop.database.sink().check(&[], &items()).await;
    let fault = checks.last().unwrap().result.clone().unwrap_err();
    assert!(fault.message().starts_with("schema.sql:2: "), "{fault}");
    let fault = shop.database.set_up().await.unwrap_err();
    assert_eq!(fault.kind(), Kind::Config);
    assert!(fault.message().contains("schema.sql:2: "), "{fault}");
    assert!(shop.rows("SELECT name FROM sqlite_schema").is_empty());
}

#[tokio::test]
async fn a_path_that_is_no_database_is_told_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    fs::write(place("notes.txt"), "no database, but text long enough to be looked at".repeat(40))
        .unwrap();
    let cases = [
        (place(""), "is a directory"),
        (place("nowhere/shop.db"), "there is no folder"),
        (place("notes.txt"), "file is not a database"),
    ];
    for (path, expected) in cases {
        let database = connect(&format!("sqlite:{path}"), None).await.unwrap();
        let checks = database.sink().check(&[insert("t", &["n"])], &items()).await;
        let fault = checks.last().unwrap().result.clone().unwrap_err();
        assert_eq!(fault.kind(), Kind::Config, "{fault:?}");
        assert!(fault.message().contains(expected), "{fault}");
        assert!(fault.message().contains(&path), "{fault}");
        assert!(fault.hint().is_some(), "{fault}");
        assert_eq!(database.ledger().prepare().await.unwrap_err().kind(), Kind::Config);
    }
}

/// Permissions do not bind the administrator: then the test runs again as
/// somebody else.
#[tokio::test]
async fn what_may_not_be_written_is_not_permitted() {
    let probe = tempfile::tempdir().unwrap();
    let read_only = |path: &std::path::Path, read_only| {
        let mut permissions = fs::metadata(path).unwrap().permissions();
        permissions.set_readonly(read_only);
        fs::set_permissions(path, permissions).unwrap();
    };
    read_only(probe.path(), true);
    if fs::write(probe.path().join("probe"), "").is_ok() {
        let name = "checks::what_may_not_be_written_is_not_permitted";
        let test = std::env::current_exe().unwrap();
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let status =
            Command::new("setpriv").args(nobody).arg(test).args(["--exact", name]).status();
        assert!(status.unwrap().success(), "the test as nobody");
        return;
    }

    let shop = Shop::new("CREATE TABLE t (n INTEGER);").await;
    let url = shop.database.url().to_owned();
    let (folder, path) = (shop.folder, folder_file(&shop.database));
    drop(shop.database);
    for what in [&path, &folder.path().to_owned()] {
        read_only(what, true);
        let database = connect(&url, None).await.unwrap();
        let checks = database.sink().check(&[insert("t", &["n"])], &items()).await;
        let kinds: Vec<_> =
            checks.iter().filter_map(|c| c.result.as_ref().err().map(|f| f.kind())).collect();
        assert_eq!(kinds, [Kind::NotPermitted], "{checks:?}");
        let opened = database.sink().open(&lane_key(1), &[insert("t", &["n"])], &items()).await;
        assert_eq!(opened.err().map(|f| f.kind()), Some(Kind::NotPermitted));
        drop(database);
        read_only(what, false);
    }

    read_only(folder.path(), true);
    let url = format!("sqlite:{}", folder.path().join("new.db").display());
    let database = connect(&url, script(SCHEMA)).await.unwrap();
    let checks = database.sink().check(&[], &items()).await;
    let fault = checks.last().unwrap().result.clone().unwrap_err();
    assert_eq!(fault.kind(), Kind::NotPermitted, "{fault:?}");
    assert_eq!(database.set_up().await.unwrap_err().kind(), Kind::NotPermitted);
    read_only(folder.path(), false);
}

fn folder_file(database: &Arc<dyn kiln_databases::Database>) -> std::path::PathBuf {
    database.url().trim_start_matches("sqlite:").into()
}
