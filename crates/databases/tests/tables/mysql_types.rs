//! Every type of MariaDB comes back as it was, there and in the others.

use kiln_core::{ChunkLimits, Kind, TableName, TableSpec};
use kiln_databases::connect;
use kiln_testkit::{TestDatabase, mysql, postgres, sqlite};

use crate::copy::{assert_same, copy, open};

/// Types and values that come back exactly.
const KEPT: &[(&str, &[&str])] = &[
    ("tinyint", &["-128", "127"]),
    ("tinyint unsigned", &["255"]),
    ("tinyint(1)", &["0", "1", "7"]),
    ("smallint unsigned", &["65535"]),
    ("mediumint", &["-8388608", "8388607"]),
    ("mediumint unsigned", &["16777215"]),
    ("int", &["-2147483648", "2147483647"]),
    ("int unsigned", &["4294967295"]),
    ("int(8) unsigned zerofill", &["42", "123456789"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("bigint unsigned", &["0", "18446744073709551615"]),
    ("float", &["1.1", "3.4e38", "1e-45", "16777216", "0.1", "-0e0"]),
    ("float(7,2)", &["12345.67", "99999.99"]),
    ("double", &["0.1", "0.1e0 + 0.2e0", "5e-324", "1.7976931348623157e308", "-1e-7"]),
    ("double(10,2)", &["12345678.91"]),
    ("decimal(38,18)", &["99999999999999999999.999999999999999999", "-0.000000000000000001", "0"]),
    ("decimal(5,0)", &["-99999", "7"]),
    ("decimal(10,2) unsigned zerofill", &["12.5"]),
    ("decimal(65,30)", &["12345678901234567890123456789012345.000000000000000000000000000001"]),
    ("bit(1)", &["0", "1"]),
    ("bit(10)", &["513"]),
    ("bit(64)", &["18446744073709551615"]),
    ("date", &["'0001-01-01'", "'9999-12-31'", "'2024-02-29'"]),
    ("datetime", &["'0001-01-01 00:00:00'", "'9999-12-31 23:59:59'"]),
    ("datetime(6)", &["'9999-12-31 23:59:59.999999'", "'2024-03-31 02:30:00.000001'"]),
    ("datetime(3)", &["'2024-03-31 02:30:00.25'"]),
    ("timestamp(6) null", &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'"]),
    ("timestamp null", &["'2024-03-31 02:30:00'"]),
    ("time", &["'-838:59:59'", "'838:59:59'", "'00:00:00'"]),
    ("time(6)", &["'26:30:00.000001'", "'-00:00:00.5'"]),
    ("year", &["1901", "2155", "0"]),
    ("char(5)", &["'ab'", "''", "'ä'"]),
    ("varchar(20)", &["''", "' a '", "'ä\\n\\t\\\\'", "'\\\\N'", "'NULL'", "'\\0\\'\"🔥 '"]),
    ("varchar(20) character set latin1", &["'é€'"]),
    ("varchar(20) character set utf16", &["'é🔥'"]),
    ("longtext", &["''", "repeat('x', 100000)"]),
    ("binary(4)", &["x'00ff0000'"]),
    ("varbinary(20)", &["x''", "x'00ff275c'"]),
    ("longblob", &["x''", "x'80'", "repeat('\\'', 100000)"]),
    ("enum('a','b''c','1')", &["'b''c'", "'1'"]),
    ("set('x','y','z')", &["'z,x'", "''"]),
    ("json", &["'{\"a\":  [1, 1.0, \"é\"]}'", "'null'"]),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("inet4", &["'192.168.1.5'"]),
    ("inet6", &["'::1'", "'2001:db8::ff00:42:8329'"]),
];

/// A table `name` of one column, whose rows are these and one of NULL.
async fn fill(database: &TestDatabase, name: &str, type_: &str, values: &[&str]) {
    let rows: Vec<String> = (1..)
        .zip(values)
        .map(|(id, v)| format!("({id}, {v})"))
        .chain(["(0, NULL)".to_owned()])
        .collect();
    let create = format!("CREATE TABLE {name} (id int PRIMARY KEY, v {type_})");
    database.execute(&format!("{create}; INSERT INTO {name} VALUES {}", rows.join(", "))).await;
}

#[tokio::test]
async fn every_type_comes_back_as_it_was() {
    let database = mysql().await;
    for (i, (type_, values)) in KEPT.iter().enumerate() {
        fill(&database, &format!("a{i}"), type_, values).await;
        database.execute(&format!("CREATE TABLE b{i} LIKE a{i}")).await;
        let failures = copy(&database, &format!("a{i}"), &database, &format!("b{i}")).await;
        assert!(failures.is_empty(), "{type_}: {failures:?}");
        let rows = async |table: &str| {
            let shown = match type_.split(['(', ' ']).next() {
                Some("float" | "double") => "v * 1e0",
                Some("bit" | "binary" | "varbinary" | "longblob") => "hex(v)",
                _ => "hex(concat(v))",
            };
            let sql = format!("SELECT id, {shown} FROM {table}{i} ORDER BY id");
            database.query(&sql).await
        };
        assert_same(&rows("a").await, &rows("b").await, type_);
    }
}

#[tokio::test]
async fn postgres_takes_what_mariadb_has() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("bigint unsigned", "numeric(20)", &["18446744073709551615", "0"]),
        ("int unsigned", "bigint", &["4294967295"]),
        ("tinyint(1)", "smallint", &["1"]),
        ("decimal(38,18)", "numeric", &["12345678901234567890.123456789012345678"]),
        ("decimal(65,30)", "numeric", &["0.000000000000000000000000000001"]),
        ("double", "double precision", &["0.30000000000000004e0", "5e-324"]),
        ("float", "real", &["1.1", "3.4e38"]),
        ("bit(1)", "boolean", &["1"]),
        ("bit(64)", "numeric(20)", &["18446744073709551615"]),
        ("date", "date", &["'2024-02-29'"]),
        ("datetime(6)", "timestamp", &["'9999-12-31 23:59:59.999999'"]),
        ("timestamp(6) null", "timestamptz", &["'2024-03-31 02:30:00.000001'"]),
        ("time(6)", "time", &["'23:59:59.999999'"]),
        ("time(6)", "interval", &["'838:59:59.000001'", "'-00:00:01'"]),
        ("year", "smallint", &["2155"]),
        ("varchar(20)", "text", &["'ä🔥'", "''"]),
        ("char(5)", "varchar(5)", &["'ab'"]),
        ("blob", "bytea", &["x'00ff'", "x''"]),
        ("enum('a','b')", "text", &["'b'"]),
        ("json", "jsonb", &["'{\"a\": [1]}'"]),
        ("uuid", "uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
        ("inet6", "inet", &["'::1'"]),
    ];
    let (from, to) = (mysql().await, postgres().await);
    for (i, (type_, target, values)) in cases.iter().enumerate() {
        fill(&from, &format!("a{i}"), type_, values).await;
        to.execute(&format!("CREATE TABLE b{i} (id bigint PRIMARY KEY, v {target})")).await;
        let failures = copy(&from, &format!("a{i}"), &to, &format!("b{i}")).await;
        assert!(failures.is_empty(), "{type_}: {failures:?}");
        assert_eq!(to.value(&format!("SELECT v IS NULL FROM b{i} WHERE id = 0")).await, "t");
        // What PostgreSQL itself makes of the same text.
        for (id, value) in (1..).zip(*values) {
            let literal = match (*type_, value.trim_matches('\'')) {
                ("blob", hex) => format!("'\\x{}'", hex.trim_matches(['x', '\''])),
                ("timestamp(6) null", utc) => format!("'{utc}+00'"),
                (_, text) => format!("'{text}'"),
            };
            let same = format!("SELECT v = {literal}::{target} FROM b{i} WHERE id = {id}");
            assert_eq!(to.value(&same).await, "t", "{type_} {value}");
        }
    }
}

#[tokio::test]
async fn sqlite_takes_what_mariadb_has() {
    let cases = [
        ("bigint", "BIGINT", "-9223372036854775808", "integer -9223372036854775808"),
        ("bigint unsigned", "TEXT", "18446744073709551615", "text '18446744073709551615'"),
        ("decimal(10,2)", "NUMERIC(10,2)", "0.99", "real 0.99"),
        ("decimal(38,18)", "TEXT", "1.5", "text '1.500000000000000000'"),
        ("double", "REAL", "0.1", "real 0.1"),
        ("bit(1)", "BOOLEAN", "1", "integer 1"),
        ("date", "DATE", "'2024-02-29'", "text '2024-02-29'"),
        ("datetime(6)", "DATETIME", "'2024-02-29 12:00:00.5'", "text '2024-02-29 12:00:00.500000'"),
        ("time", "TIME", "'23:59:59'", "text '23:59:59'"),
        ("year", "INTEGER", "2024", "integer 2024"),
        ("varchar(9)", "TEXT", "'007'", "text '007'"),
        ("blob", "BLOB", "x'00ff'", "blob X'00FF'"),
        ("set('x','y')", "TEXT", "'y,x'", "text 'x,y'"),
        ("json", "JSON", "'{\"a\": 1}'", "text '{\"a\": 1}'"),
    ];
    let (from, to) = (mysql().await, sqlite());
    for (i, (type_, target, value, expected)) in cases.iter().enumerate() {
        fill(&from, &format!("a{i}"), type_, &[value]).await;
        to.execute(&format!("CREATE TABLE b{i} (id INTEGER PRIMARY KEY, v {target})")).await;
        let failures = copy(&from, &format!("a{i}"), &to, &format!("b{i}")).await;
        assert!(failures.is_empty(), "{type_}: {failures:?}");
        let shown = format!("SELECT typeof(v) || ' ' || quote(v) FROM b{i} WHERE id = 1");
        assert_eq!(to.value(&shown).await, *expected, "{type_}");
    }
}

#[tokio::test]
async fn mariadb_takes_what_the_others_have() {
    let to = mysql().await;
    let plain = postgres().await;
    plain
        .execute(
            "CREATE TABLE p (id bigint PRIMARY KEY, n numeric(38,18), at timestamptz, b boolean,
                 j jsonb, u uuid, x bytea);
             INSERT INTO p VALUES (1, 0.000000000000000001, '2024-03-31 02:30:00.000001+00', true,
                 '{\"a\": 1}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\\x00ff')",
        )
        .await;
    to.execute(
        "CREATE TABLE p (id bigint, n decimal(38,18), at timestamp(6) null, b bit(1), j json,
             u uuid, x blob)",
    )
    .await;
    assert!(copy(&plain, "p", &to, "p").await.is_empty());
    let row = to.query("SELECT id, n, at, b + 0, json_value(j, '$.a'), u, hex(x) FROM p").await;
    let row: Vec<String> = row.concat().into_iter().flatten().collect();
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let moment = "2024-03-31 02:30:00.000001";
    assert_eq!(row, ["1", "0.000000000000000001", moment, "1", "1", uuid, "00FF"]);
}

/// What the type of an item's column can't hold fails its item, and names it.
#[tokio::test]
async fn what_can_not_be_kept_fails_its_item() {
    let database = mysql().await;
    let loose = "SET sql_mode = 'ALLOW_INVALID_DATES'";
    let cases = [
        ("date", "0000-00-00", "0000-00-00"),
        ("date", "2024-00-00", "2024-00-00"),
        ("date", "2024-02-30", "2024-02-30"),
        ("date", "0000-01-01", "0000-01-01"),
        ("datetime", "0000-00-00", "0000-00-00 00:00:00"),
        ("datetime(6)", "2024-02-30 12:00:00", "2024-02-30 12:00:00.000000"),
        ("timestamp null", "0000-00-00", "0000-00-00 00:00:00"),
    ];
    for (i, (type_, value, raw)) in cases.iter().enumerate() {
        database
            .execute(&format!(
                "{loose}; CREATE TABLE c{i} (code varchar(9) PRIMARY KEY, v {type_}, w text);
                 CREATE TABLE d{i} LIKE c{i};
                 INSERT INTO c{i} VALUES ('a', NULL, ''), ('b', '{value}', 'x'), ('c', NULL, '')"
            ))
            .await;
        let failures = copy(&database, &format!("c{i}"), &database, &format!("d{i}")).await;
        let [failure] = &failures[..] else { panic!("{type_} {value}: {failures:?}") };
        let fault = &failure.fault;
        assert_eq!((failure.ordinal, fault.code(), fault.column()), (2, Some("type"), Some("v")));
        assert!(!fault.message().contains(value), "{fault}");
        assert_eq!(database.value(&format!("SELECT count(*) FROM d{i}")).await, "2");

        let mut source = open(&database, &format!("c{i}")).await;
        let chunk = source.next(&ChunkLimits::default()).await.unwrap().unwrap();
        let origin = chunk.items.origins.origin(2);
        assert_eq!(origin.key.as_deref(), Some("b"));
        assert!(origin.raw.contains(&format!("\"v\":\"{raw}\"")), "{}", origin.raw);
    }
}

/// A type that could not be written again is refused by name; the other columns
/// of the table can be read.
#[tokio::test]
async fn a_geometry_is_refused_by_name() {
    let plain = mysql().await;
    plain
        .execute("CREATE TABLE g (id int PRIMARY KEY, at point); INSERT INTO g VALUES (1, NULL)")
        .await;
    let database = connect(&plain.url, None).await.unwrap();
    let spec = TableSpec::new(TableName::parse("g").unwrap());
    let fault = database.source(&spec).await.err().unwrap();
    assert_eq!((fault.kind(), fault.column()), (Kind::Config, Some("at")), "{fault}");
    assert!(fault.message().contains("point"), "{fault}");
    let spec = TableSpec { columns: vec!["id".into()], ..spec };
    assert!(database.source(&spec).await.is_ok());
}

/// Generated columns are read like any other, and columns out of sight too.
#[tokio::test]
async fn every_column_is_read() {
    let database = mysql().await;
    database
        .execute(
            "CREATE TABLE g (id int PRIMARY KEY, n int, twice int AS (n * 2) STORED,
                thrice int AS (n * 3) VIRTUAL, hidden int INVISIBLE DEFAULT 9);
             CREATE TABLE h (id int, n int, twice int, thrice int, hidden int);
             INSERT INTO g (id, n) VALUES (1, 21)",
        )
        .await;
    assert!(copy(&database, "g", &database, "h").await.is_empty());
    assert_eq!(
        database.value("SELECT concat_ws(',', twice, thrice, hidden) FROM h").await,
        "42,63,9"
    );
}
