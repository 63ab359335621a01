//! Every type of PostgreSQL comes back as it was.

use kiln_testkit::postgres;

use crate::copy::{assert_same, copy};

/// Types and values that a row of text, or something better, keeps exactly.
const KEPT: &[(&str, &[&str])] = &[
    ("boolean", &["true", "false"]),
    ("smallint", &["-32768", "32767"]),
    ("integer", &["-2147483648", "2147483647"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("real", &["1.1", "NaN", "Infinity", "-Infinity", "-0", "3.4028235e38", "1e-45"]),
    ("double precision", &["0.1", "0.30000000000000004", "NaN", "Infinity", "-0", "5e-324"]),
    ("numeric(38,18)", &["99999999999999999999.999999999999999999", "-0.000000000000000001", "0"]),
    ("numeric(5,0)", &["-99999", "7"]),
    (
        "numeric",
        &[
            "1e-100",
            "NaN",
            "Infinity",
            "-Infinity",
            "1.500",
            "123456789012345678901234567890123456789012.5",
        ],
    ),
    ("numeric(50,10)", &["1234567890123456789012345678901234567890.0123456789", "NaN"]),
    ("numeric(3,-2)", &["12300", "-99900"]),
    ("numeric(3,5)", &["0.00123"]),
    ("text", &["", " a ", "ä\n\t\\", "\\N", "NULL", "''"]),
    ("varchar(10)", &["a b ", ""]),
    ("char(5)", &["ab", ""]),
    ("\"char\"", &["x"]),
    ("name", &["a name"]),
    ("bytea", &["\\x", "\\x00ff5c", "\\xdeadbeef"]),
    ("date", &["0001-01-01", "9999-12-31", "10000-01-01", "2024-02-29"]),
    ("time", &["00:00:00", "23:59:59.999999", "24:00:00"]),
    ("timetz", &["12:00:00+05:30", "12:00:00.000001-11"]),
    ("timestamp", &["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "2024-02-29 12:00:00.5"]),
    (
        "timestamptz",
        &["2024-03-31 02:30:00+02", "1900-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00"],
    ),
    ("interval", &["1 year 2 mons -3 days 04:05:06.000007", "-1 mons", "00:00:00"]),
    ("uuid", &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("json", &["{\"b\": 1,  \"a\":1.0}", "null", "[1]"]),
    ("jsonb", &["{\"b\": 1, \"a\": 1.000}", "\"x\""]),
    ("integer[]", &["{1,NULL,3}", "{}", "[0:1]={1,2}"]),
    ("text[]", &["{\"a,b\",\"\\\"\",NULL,\"NULL\"}", "{{a,b},{c,d}}"]),
    ("mood", &["happy", "not so"]),
    ("mood[]", &["{happy,\"not so\"}"]),
    ("pair", &["(1,\"a b\")", "(,)"]),
    ("positive", &["7"]),
    ("price", &["12.50"]),
    ("inet", &["192.168.1.5", "192.168.1.0/24", "::1"]),
    ("cidr", &["10.0.0.0/8"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("bit(3)", &["101"]),
    ("varbit", &["", "10101"]),
    ("money", &["12.34", "-1.00"]),
    ("int4range", &["[1,5)", "empty", "(,)"]),
    ("tstzrange", &["[2024-01-01 00:00:00+00,)"]),
    ("tsvector", &["'a':1A 'b c':2"]),
    ("point", &["(1.5,-2)"]),
    ("oid", &["4294967295"]),
    ("xid8", &["18446744073709551615"]),
    ("jsonpath", &["$.\"a\"[*]"]),
];

const OWN_TYPES: &str = "
    CREATE TYPE mood AS ENUM ('happy', 'not so');
    CREATE TYPE pair AS (a integer, b text);
    CREATE DOMAIN positive AS integer CHECK (value > 0);
    CREATE DOMAIN price AS numeric(10,2);";

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[tokio::test]
async fn every_type_comes_back_as_it_was() {
    let database = postgres().await;
    database.execute(OWN_TYPES).await;
    for (i, (type_, values)) in KEPT.iter().enumerate() {
        let rows: Vec<String> = (1..)
            .zip(*values)
            .map(|(id, v)| format!("({id}, {}::{type_})", quote(v)))
            .chain(["(0, NULL)".to_owned()])
            .collect();
        database
            .execute(&format!(
                "CREATE TABLE a{i} (id integer PRIMARY KEY, v {type_});
                 CREATE TABLE b{i} (LIKE a{i});
                 INSERT INTO a{i} VALUES {}",
                rows.join(", ")
            ))
            .await;
        let failures = copy(&database, &format!("a{i}"), &database, &format!("b{i}")).await;
        assert!(failures.is_empty(), "{type_}: {failures:?}");
        let rows = async |table: &str| {
            let sql = format!("SELECT id, v::text, pg_column_size(v) FROM {table}{i} ORDER BY id");
            database.query(&sql).await
        };
        assert_same(&rows("a").await, &rows("b").await, type_);
    }
}

/// What the type of an item's column can't hold fails its item, and names it.
#[tokio::test]
async fn what_can_not_be_kept_fails_its_item() {
    let database = postgres().await;
    let cases = [
        ("numeric(10,2)", "NaN"),
        ("date", "infinity"),
        ("date", "0044-03-15 BC"),
        ("timestamp", "-infinity"),
        ("timestamptz", "infinity"),
        ("timestamptz", "0044-03-15 12:00:00+00 BC"),
    ];
    for (i, (type_, value)) in cases.iter().enumerate() {
        database
            .execute(&format!(
                "CREATE TABLE c{i} (code text PRIMARY KEY, v {type_}, w text);
                 CREATE TABLE d{i} (LIKE c{i});
                 INSERT INTO c{i} VALUES ('a', NULL, ''), ('b', '{value}', 'x'), ('c', NULL, '')"
            ))
            .await;
        let failures = copy(&database, &format!("c{i}"), &database, &format!("d{i}")).await;
        let [failure] = &failures[..] else { panic!("{type_} {value}: {failures:?}") };
        let fault = &failure.fault;
        assert_eq!((failure.ordinal, fault.code(), fault.column()), (2, Some("type"), Some("v")));
        assert!(!fault.message().contains(value), "{fault}");
        assert_eq!(database.value(&format!("SELECT count(*) FROM d{i}")).await, "2");

        let mut source = crate::copy::open(&database, &format!("c{i}")).await;
        let chunk = source.next(&kiln_core::ChunkLimits::default()).await.unwrap().unwrap();
        let origin = chunk.items.origins.origin(2);
        assert_eq!(origin.key.as_deref(), Some("b"));
        assert!(origin.raw.contains(&format!("\"v\":\"{value}\"")), "{}", origin.raw);
    }
}

/// What a session is set to changes nothing.
#[tokio::test]
async fn the_servers_settings_change_nothing() {
    let database = postgres().await;
    let name = database.value("SELECT current_database()").await;
    for setting in [
        "timezone = 'Asia/Kolkata'",
        "datestyle = 'SQL, DMY'",
        "intervalstyle = 'sql_standard'",
        "extra_float_digits = -5",
        "bytea_output = 'escape'",
    ] {
        database.execute(&format!("ALTER DATABASE {name} SET {setting}")).await;
    }
    database
        .execute(
            "CREATE TABLE t (at timestamptz PRIMARY KEY, f float8, d date, i interval, b bytea);
             CREATE TABLE u (LIKE t);
             INSERT INTO t VALUES ('2024-05-06 01:02:03.000004+00', 1::float8 / 3, '2024-05-06',
                '1 mon -2 days', '\\x00ff')",
        )
        .await;
    assert!(copy(&database, "t", &database, "u").await.is_empty());
    assert_eq!(database.value("SELECT count(*) FROM t NATURAL JOIN u").await, "1");
}

/// A generated column is read like any other.
#[tokio::test]
async fn generated_columns_are_read() {
    let database = postgres().await;
    database
        .execute(
            "CREATE TABLE g (id integer PRIMARY KEY, n integer,
                twice integer GENERATED ALWAYS AS (n * 2) STORED);
             CREATE TABLE h (id integer, n integer, twice integer);
             INSERT INTO g VALUES (1, 21)",
        )
        .await;
    assert!(copy(&database, "g", &database, "h").await.is_empty());
    assert_eq!(database.value("SELECT twice FROM h").await, "42");
}
