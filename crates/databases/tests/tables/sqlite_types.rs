//! What SQLite keeps comes back as it was, there and in PostgreSQL.

use kiln_testkit::{postgres, sqlite};

use crate::copy::{assert_same, copy};

/// Declared types and values, as SQLite reads them.
const KEPT: &[(&str, &[&str])] = &[
    ("INTEGER", &["-9223372036854775808", "9223372036854775807", "0"]),
    ("BIGINT", &["1"]),
    ("TEXT", &["''", "'ä'", "'007'", "' a '", "12"]),
    ("VARCHAR(20)", &["'x'"]),
    ("REAL", &["0.1", "1e300", "-0.0", "5e-324", "9e999", "2"]),
    ("BLOB", &["x''", "x'00ff'"]),
    ("NUMERIC(10,2)", &["0.99", "12", "-99999999.99", "1.5"]),
    ("DECIMAL(15,5)", &["1234567890.12345"]),
    ("NUMERIC", &["0.99", "12", "123456789012345", "'abc'"]),
    ("BOOLEAN", &["0", "1"]),
    ("DATE", &["'2024-02-29'"]),
    ("DATETIME", &["'2009-01-01 00:00:00'", "'2024-02-29 12:00:00.500000'"]),
    ("TIMESTAMPTZ", &["'2024-02-29 12:00:00Z'"]),
    ("TIME", &["'23:59:59'"]),
    ("UUID", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("JSON", &["'{\"a\": 1}'"]),
    ("", &["'a'", "''"]),
];

async fn fill(database: &kiln_testkit::TestDatabase, table: &str, type_: &str, values: &[&str]) {
    let rows: Vec<String> = (1..)
        .zip(values)
        .map(|(id, v)| format!("({id}, {v})"))
        .chain(["(0, NULL)".to_owned()])
        .collect();
    let create = format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY, v {type_})");
    database.execute(&format!("{create}; INSERT INTO {table} VALUES {}", rows.join(", "))).await;
}

#[tokio::test]
async fn every_type_comes_back_as_it_was() {
    let (from, to) = (sqlite(), sqlite());
    for (i, (type_, values)) in KEPT.iter().enumerate() {
        fill(&from, &format!("a{i}"), type_, values).await;
        to.execute(&format!("CREATE TABLE b{i} (id INTEGER PRIMARY KEY, v {type_})")).await;
        let is_refused = values.contains(&"'abc'");
        if is_refused {
            // SQLite's own rule: a text in a numeric column is refused by the write.
            from.execute(&format!("DELETE FROM a{i} WHERE typeof(v) = 'text'")).await;
        }
        let failures = copy(&from, &format!("a{i}"), &to, &format!("b{i}")).await;
        assert!(failures.is_empty(), "{type_}: {failures:?}");
        let sql = "SELECT id, typeof(v), quote(v) FROM $ ORDER BY id";
        let a = from.query(&sql.replace('$', &format!("a{i}"))).await;
        let b = to.query(&sql.replace('$', &format!("b{i}"))).await;
        assert_same(&a, &b, type_);
    }
}

#[tokio::test]
async fn postgres_takes_what_sqlite_has() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("INTEGER", "bigint", &["-9223372036854775808", "9223372036854775807"]),
        ("TEXT", "text", &["''", "'ä'", "'\\N'"]),
        ("TEXT", "numeric(38,18)", &["'12345678901234567890.123456789012345678'"]),
        ("REAL", "double precision", &["0.1", "1e300", "5e-324"]),
        ("BLOB", "bytea", &["x''", "x'00ff'"]),
        ("NUMERIC(10,2)", "numeric(10,2)", &["0.99", "12", "-99999999.99"]),
        ("NUMERIC", "numeric", &["0.99", "12", "0.1"]),
        ("BOOLEAN", "boolean", &["0", "1"]),
        ("DATE", "date", &["'2024-02-29'"]),
        ("DATETIME", "timestamp", &["'2009-01-01 00:00:00'", "'2024-02-29T12:00:00.5'"]),
        ("TIMESTAMPTZ", "timestamptz", &["'2024-02-29 12:00:00Z'", "'2024-02-29 12:00+02:00'"]),
        ("TIME", "time", &["'23:59:59'"]),
        ("UUID", "uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
        ("JSON", "jsonb", &["'{\"a\": 1}'"]),
    ];
    let (from, to) = (sqlite(), postgres().await);
    for (i, (type_, target, values)) in cases.iter().enumerate() {
        fill(&from, &format!("a{i}"), type_, values).await;
        to.execute(&format!("CREATE TABLE b{i} (id bigint PRIMARY KEY, v {target})")).await;
        let failures = copy(&from, &format!("a{i}"), &to, &format!("b{i}")).await;
        assert!(failures.is_empty(), "{type_}: {failures:?}");
        // What PostgreSQL itself makes of the same literal.
        for (id, value) in (1..).zip(*values) {
            let literal = match (*type_, *target) {
                (_, "bytea") => format!("'\\x{}'", value.trim_matches(['x', '\''])),
                _ => format!("'{}'", value.trim_matches('\'')),
            };
            let same = format!("SELECT v = {literal}::{target} FROM b{i} WHERE id = {id}");
            let same = match *target {
                "jsonb" | "uuid" | "text" => same,
                _ => same,
            };
            assert_eq!(to.value(&same).await, "t", "{type_} {value}");
        }
        assert_eq!(to.value(&format!("SELECT v IS NULL FROM b{i} WHERE id = 0")).await, "t");
    }
}

#[tokio::test]
async fn what_is_not_of_its_columns_type_fails_its_item() {
    let cases = [
        ("INTEGER", "'abc'", "abc"),
        ("INTEGER", "1.5", "1.5"),
        ("TEXT", "x'00ff'", "00ff"),
        ("TEXT", "CAST(x'ff' AS TEXT)", "\u{fffd}"),
        ("REAL", "'abc'", "abc"),
        ("REAL", "x'01'", "01"),
        ("NUMERIC(10,2)", "0.125", "0.125"),
        ("NUMERIC(10,2)", "0.1 + 0.2", "0.30000000000000004"),
        ("NUMERIC(4,2)", "100", "100"),
        ("NUMERIC(10,2)", "'abc'", "abc"),
        ("BOOLEAN", "2", "2"),
        ("BOOLEAN", "'yes'", "yes"),
        ("DATE", "'2024-02-30'", "2024-02-30"),
        ("DATE", "20240229", "20240229"),
        ("DATETIME", "'2024-02-29 12:00:00Z'", "2024-02-29 12:00:00Z"),
        ("DATETIME", "1709200000", "1709200000"),
        ("TIMESTAMPTZ", "'2024-02-29 12:00:00'", "2024-02-29 12:00:00"),
        ("BLOB", "'text'", "text"),
        ("", "12", "12"),
        ("UUID", "x'01'", "01"),
    ];
    let (from, to) = (sqlite(), sqlite());
    for (i, (type_, value, raw)) in cases.iter().enumerate() {
        fill(&from, &format!("a{i}"), type_, &[value]).await;
        to.execute(&format!("CREATE TABLE b{i} (id INTEGER PRIMARY KEY, v {type_})")).await;
        let failures = copy(&from, &format!("a{i}"), &to, &format!("b{i}")).await;
        let [failure] = &failures[..] else { panic!("{type_} {value}: {failures:?}") };
        let fault = &failure.fault;
        assert_eq!((failure.ordinal, fault.code(), fault.column()), (2, Some("type"), Some("v")));
        let mut source = crate::copy::open(&from, &format!("a{i}")).await;
        let chunk = source.next(&kiln_core::ChunkLimits::default()).await.unwrap().unwrap();
        let origin = chunk.items.origins.origin(2);
        assert_eq!(origin.key.as_deref(), Some("1"));
        assert_eq!(origin.raw, format!("{{\"id\":1,\"v\":\"{raw}\"}}"));
    }
}
