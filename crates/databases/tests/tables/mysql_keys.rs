//! Keys of MariaDB: any that the server compares as it orders them.

use kiln_core::{CellColumn, ChunkLimits, Kind, Position, Source, TableName, TableSpec};
use kiln_databases::connect;
use kiln_testkit::{TestDatabase, mysql};

/// Types of keys, and values in no order. A second column makes the key one of
/// two.
const KEYS: &[(&str, &[&str])] = &[
    ("int", &["5", "-2147483648", "2147483647", "0"]),
    ("int(6) unsigned zerofill", &["42", "7", "123456"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807", "-1", "0"]),
    ("bigint unsigned", &["18446744073709551615", "9223372036854775808", "0", "1"]),
    ("decimal(65,30)", &["0.000000000000000000000000000001", "-1.5", "0", "12345678901234567890"]),
    ("decimal(20,0)", &["9007199254740993", "9007199254740992", "9007199254740994"]),
    ("bit(64)", &["18446744073709551615", "0", "255", "256"]),
    ("year", &["1901", "0", "2155", "2001"]),
    ("date", &["'2024-02-29'", "'9999-12-31'", "'0000-00-00'", "'2024-02-30'", "'2024-00-00'"]),
    ("datetime(6)", &["'2024-01-01 00:00:00.000001'", "'2024-01-01'", "'0000-00-00'"]),
    ("timestamp(6)", &["'2024-03-31 02:30:00.000001'", "'2024-03-31 02:30:00'", "'0000-00-00'"]),
    ("time(6)", &["'838:59:59'", "'-838:59:59'", "'-00:00:00.000001'", "'00:00:00'", "'25:00:00'"]),
    ("char(9)", &["'b'", "'a'", "''", "'ab'", "'a\\n'"]),
    ("varchar(9) collate utf8mb4_general_ci", &["'b'", "'A'", "'ä2'", "'ss'", "'C'", "'a\\t'"]),
    ("varchar(9) collate utf8mb4_unicode_ci", &["'b'", "'A'", "'ä2'", "'ß'", "'z'", "'æ'"]),
    ("varchar(9) collate utf8mb4_nopad_bin", &["'a '", "'a'", "'A'", "'a  '", "'ä'", "'🔥'", "''"]),
    ("varchar(9) collate utf8mb4_bin", &["'a\\\\'", "'a'''", "'\\0'", "'A'", "'a\\0'"]),
    ("varchar(9) character set latin1", &["'é'", "'€'", "'f'", "'ÿ'"]),
    ("varchar(9) character set utf16", &["'é'", "'🔥'", "'f'"]),
    ("binary(4)", &["x'00'", "x'ff'", "x'00000001'", "'a'"]),
    ("varbinary(9)", &["x''", "x'00'", "x'0000'", "x'ff'", "'a'", "'A'", "'a '"]),
    (
        "uuid",
        &[
            "'00000000-0000-1000-8000-ffffffffffff'",
            "'ffffffff-0000-1000-8000-000000000000'",
            "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        ],
    ),
    ("inet6", &["'::1'", "'ff::'", "'::ffff:1.2.3.4'"]),
    ("inet4", &["'10.0.0.1'", "'9.0.0.1'", "'255.0.0.0'"]),
];

fn spec(table: &str) -> TableSpec {
    TableSpec::new(TableName::parse(table).unwrap())
}

async fn numbers(source: &mut dyn Source, items: usize) -> Vec<String> {
    let limits = ChunkLimits { items, ..ChunkLimits::default() };
    let mut all = Vec::new();
    while let Some(chunk) = source.next(&limits).await.unwrap() {
        let array = chunk.items.batch.column_by_name("n").unwrap();
        let cells = CellColumn::new(array.as_ref()).unwrap();
        all.extend((0..chunk.items.len()).map(|row| cells.cell(row).to_string()));
    }
    all
}

/// Every row once, in the order in which the server sorts them; by a key of one
/// column, and of two whose first is the same at the end of a page.
#[tokio::test]
async fn keys_of_every_type_find_every_row_once() {
    let plain = mysql().await;
    let database = connect(&plain.url, None).await.unwrap();
    for (i, (type_, values)) in KEYS.iter().enumerate() {
        let rows = |extra: &str| {
            let row = |(n, v): (usize, &&str)| format!("({v}, {extra}{n})");
            values.iter().enumerate().map(row).collect::<Vec<_>>().join(", ")
        };
        plain
            .execute(&format!(
                "SET sql_mode = 'ALLOW_INVALID_DATES';
                 CREATE TABLE one{i} (k {type_} NOT NULL PRIMARY KEY, n int);
                 INSERT INTO one{i} VALUES {};
                 CREATE TABLE two{i} (k {type_} NOT NULL, j int, n int, PRIMARY KEY (k, j));
                 INSERT INTO two{i} VALUES {}, {}, {}",
                rows(""),
                rows("1, "),
                rows("2, "),
                rows("3, 1")
            ))
            .await;
        let columns = vec!["n".to_owned()];
        for (table, order) in [(format!("one{i}"), "k"), (format!("two{i}"), "k, j")] {
            let sorted = plain.query(&format!("SELECT n FROM {table} ORDER BY {order}")).await;
            let sorted: Vec<String> = sorted.concat().into_iter().flatten().collect();
            for items in [1, 2] {
                let spec = TableSpec { columns: columns.clone(), ..spec(&table) };
                let mut source = database.source(&spec).await.unwrap();
                assert_eq!(numbers(&mut *source, items).await, sorted, "{type_} by {items}");
            }
        }
    }
}

/// A page is found by the index, wherever it begins; nothing is sorted.
#[tokio::test]
async fn pages_are_found_by_the_index() {
    let plain = mysql().await;
    let literals = [
        ("bigint unsigned", "seq", "9000"),
        ("decimal(30,10)", "seq", "9000.5"),
        ("varchar(20) character set latin1", "seq", "'9000'"),
        ("char(20) collate utf8mb4_general_ci", "seq", "'9000'"),
        ("varbinary(20)", "seq", "x'39'"),
        ("date", "date '1000-01-01' + interval seq day", "DATE '1020-01-01'"),
        (
            "datetime(6)",
            "timestamp '2000-01-01 00:00:00' + interval seq day",
            "TIMESTAMP '2020-01-01 00:00:00.000001'",
        ),
        ("timestamp(6)", "from_unixtime(seq)", "TIMESTAMP '1970-01-01 02:00:00'"),
        ("time(6)", "sec_to_time(seq)", "TIME '02:00:00.000001'"),
        ("bit(20)", "seq", "9000"),
        ("uuid", "uuid()", "CAST('00000000-0000-1000-8000-000000000000' AS UUID)"),
        ("inet6", "concat('::', hex(seq))", "CAST('::500' AS INET6)"),
    ];
    for (i, (type_, value, key)) in literals.iter().enumerate() {
        plain
            .execute(&format!(
                "SET time_zone = '+00:00';
                 CREATE TABLE t{i} (a {type_} NOT NULL, b varchar(9) NOT NULL, n int,
                     PRIMARY KEY (a, b), KEY (n));
                 INSERT INTO t{i} SELECT {value}, seq, seq FROM seq_1_to_20000"
            ))
            .await;
        let plan = plain
            .query(&format!(
                "EXPLAIN SELECT t.n FROM t{i} t FORCE INDEX (`PRIMARY`) WHERE (t.a >= {key} AND \
                 (t.a > {key} OR (t.a = {key} AND t.b > 'x'))\n) ORDER BY t.a, t.b LIMIT 100"
            ))
            .await;
        let row: Vec<String> = plan.concat().into_iter().map(Option::unwrap_or_default).collect();
        let [_, _, _, access, _, index, .., extra] = &row[..] else { panic!("{row:?}") };
        assert_eq!((access.as_str(), index.as_str()), ("range", "PRIMARY"), "{type_}: {row:?}");
        assert!(!extra.contains("filesort") && !extra.contains("temporary"), "{type_}: {extra}");
    }
}

/// The row that a place names may have been written otherwise in the meantime:
/// to the collation it is the same one.
#[tokio::test]
async fn texts_that_the_collation_finds_equal_are_one_place() {
    for collation in ["utf8mb4_general_ci", "utf8mb4_unicode_ci"] {
        let plain = mysql().await;
        plain
            .execute(&format!(
                "CREATE TABLE t (k varchar(9) COLLATE {collation} PRIMARY KEY, n int);
                 INSERT INTO t VALUES ('a', 1), ('B', 2), ('c', 3), ('D ', 4), ('é', 5)"
            ))
            .await;
        let database = connect(&plain.url, None).await.unwrap();
        let mut source = database.source(&spec("t")).await.unwrap();
        for place in [r#"["B"]"#, r#"["b"]"#, r#"["b   "]"#] {
            let position = Position { ordinal: 2, place: place.to_owned() };
            source.seek(&position).await.unwrap();
            assert_eq!(numbers(&mut *source, 1).await, ["3", "4", "5"], "{collation} {place}");
        }
        source.seek(&Position { ordinal: 4, place: r#"["d"]"#.to_owned() }).await.unwrap();
        assert_eq!(numbers(&mut *source, 1).await, ["5"], "{collation}");
        let limits = ChunkLimits { items: 2, ..ChunkLimits::default() };
        source.seek(&Position::default()).await.unwrap();
        source.next(&limits).await.unwrap().unwrap();
        plain.execute("UPDATE t SET k = 'b ' WHERE k = 'b'").await;
        assert_eq!(numbers(&mut *source, 1).await, ["3", "4", "5"], "{collation}");
    }
}

/// What can't be trusted to order rows is refused by name, as a key and as a
/// watermark.
#[tokio::test]
async fn keys_that_can_not_be_trusted_are_refused() {
    let plain = mysql().await;
    plain
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, f float NOT NULL UNIQUE, d double NOT NULL UNIQUE,
                 e enum('b','a') NOT NULL UNIQUE, s set('b','a') NOT NULL UNIQUE,
                 long_text text NOT NULL UNIQUE, part varchar(90) NOT NULL, g point NOT NULL,
                 maybe int UNIQUE, UNIQUE (part(5)));
             CREATE TABLE words (e enum('b','a') PRIMARY KEY);
             CREATE TABLE begun (k text NOT NULL, PRIMARY KEY (k(5)));
             CREATE TABLE padded (k char(5) COLLATE utf8mb4_nopad_bin PRIMARY KEY);
             CREATE VIEW v AS SELECT * FROM words;
             CREATE TABLE old (id int PRIMARY KEY) ENGINE = MyISAM",
        )
        .await;
    let database = connect(&plain.url, None).await.unwrap();
    let columns = vec!["id".to_owned()];
    let by = |key: &str| TableSpec { key: vec![key.into()], columns: columns.clone(), ..spec("t") };
    let since = |name: &str| TableSpec {
        watermark: Some(name.into()),
        columns: columns.clone(),
        ..spec("t")
    };
    let cases = [
        (by("f"), "f: it is float, which is never compared exactly"),
        (by("d"), "d: it is double"),
        (by("e"), "e: it is enum('b','a'), which is ordered by numbers"),
        (by("s"), "s: it is set('b','a')"),
        (by("long_text"), "no unique index"),
        (by("part"), "no unique index"),
        (by("g"), "no unique index"),
        (by("maybe"), "maybe is part of the key and may be NULL"),
        (since("f"), "f: it is float"),
        (since("e"), "e: it is enum"),
        (since("g"), "g: it is point, which has no order"),
        (spec("words"), "e: it is enum"),
        (spec("begun"), "no primary key"),
        (spec("padded"), "k: it is char(5), which is ordered with blanks"),
        (spec("v"), "no table with a key"),
        (TableSpec { snapshot: true, ..spec("old") }, "MyISAM"),
    ];
    for (spec, why) in cases {
        let fault = database.source(&spec).await.err().unwrap_or_else(|| panic!("{spec:?}"));
        assert_eq!(fault.kind(), Kind::Config, "{spec:?}: {fault}");
        assert!(fault.message().contains(why), "{spec:?}: {fault}");
        assert!(fault.hint().is_some(), "{spec:?}: {fault}");
    }
    let mut source = database.source(&spec("old")).await.unwrap();
    assert_eq!(count(&mut *source).await, 0);
}

async fn count(source: &mut dyn Source) -> usize {
    let mut rows = 0;
    while let Some(chunk) = source.next(&ChunkLimits::default()).await.unwrap() {
        rows += chunk.items.len();
    }
    rows
}

/// A place from somewhere else is refused before it is asked for.
#[tokio::test]
async fn a_place_is_a_value_and_nothing_else() {
    let plain: TestDatabase = mysql().await;
    plain.execute("CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1), (2)").await;
    let database = connect(&plain.url, None).await.unwrap();
    let mut source = database.source(&spec("t")).await.unwrap();
    for place in [r#"["0 OR 1=1"]"#, r#"["x"]"#, "[1]", r#"[{"bytes":"00"}]"#] {
        source.seek(&Position { ordinal: 1, place: place.to_owned() }).await.unwrap();
        let fault = source.next(&ChunkLimits::default()).await.unwrap_err();
        assert_eq!(fault.kind(), Kind::Config, "{place}: {fault}");
    }
    source.seek(&Position { ordinal: 1, place: r#"["1"]"#.to_owned() }).await.unwrap();
    assert_eq!(numbers(&mut *source, 9).await, ["2"]);
}
