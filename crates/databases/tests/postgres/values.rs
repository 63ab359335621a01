//! Every value arrives as it was, or fails its item.

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, LargeStringArray, NullArray, StringArray, StringViewArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt64Array,
};
use kiln_core::Kind;

use super::*;

type Shop = (TestDatabase, Arc<dyn Database>);

/// Writes one column of values into a column of that type, and reads it as
/// text.
async fn check_round_trip(shop: &Shop, type_: &str, values: ArrayRef, expected: &[&str]) {
    let (server, database) = shop;
    server.execute(&format!("{AFRESH}; CREATE TABLE t (n serial, v {type_})")).await;
    let rows = batch(vec![("v", values)]);
    let (mut lane, _) = open(database, &key("r", 1), &[insert("t", &["v"])], &rows.schema()).await;
    commit(&mut lane, &unit(0, vec![rows])).await;
    let read = server.query("SELECT v::text FROM t ORDER BY n").await;
    let read: Vec<&str> = read.iter().map(|row| row[0].as_deref().unwrap_or("NULL")).collect();
    assert_eq!(read, expected, "{type_}");
}

#[tokio::test]
async fn numbers_keep_every_digit() {
    let shop = shop("").await;
    let small: ArrayRef = Arc::new(Int16Array::from(vec![Some(i16::MIN), None]));
    check_round_trip(&shop, "smallint", small, &["-32768", "NULL"]).await;
    let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    check_round_trip(&shop, "numeric", large, &["18446744073709551615"]).await;
    let decimal = |values: Vec<i128>, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(38, scale).unwrap())
    };
    let most = 10i128.pow(38) - 1;
    check_round_trip(
        &shop,
        "numeric(38,3)",
        decimal(vec![most, -most, 5], 3),
        &[
            "99999999999999999999999999999999999.999",
            "-99999999999999999999999999999999999.999",
            "0.005",
        ],
    )
    .await;
    check_round_trip(&shop, "bigint", decimal(vec![12, -1], 0), &["12", "-1"]).await;
    check_round_trip(&shop, "numeric(10,2)", decimal(vec![2_550], 3), &["2.55"]).await;
    let float: ArrayRef = Arc::new(Float64Array::from(vec![0.1, f64::NAN, f64::INFINITY, 1e300]));
    check_round_trip(&shop, "float8", float, &["0.1", "NaN", "Infinity", "1e+300"]).await;
    let single: ArrayRef = Arc::new(Float32Array::from(vec![0.1f32]));
    check_round_trip(&shop, "float8", single, &["0.1"]).await;
    let bools: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]));
    check_round_trip(&shop, "boolean", bools, &["true", "false", "NULL"]).await;
    check_round_trip(&shop, "date", Arc::new(NullArray::new(1)), &["NULL"]).await;
}

#[tokio::test]
async fn times_keep_their_microseconds() {
    let shop = shop("").await;
    let us = 1_700_000_000_123_456;
    let plain: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![us, -1]));
    let expected = ["2023-11-14 22:13:20.123456", "1969-12-31 23:59:59.999999"];
    check_round_trip(&shop, "timestamp", plain.clone(), &expected).await;
    check_round_trip(&shop, "text", plain, &expected).await;
    let utc: ArrayRef =
        Arc::new(TimestampNanosecondArray::from(vec![us * 1_000]).with_timezone("UTC"));
    check_round_trip(&shop, "timestamp", utc.clone(), &expected[..1]).await;
    let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![0]));
    check_round_trip(&shop, "timestamp(0)", seconds, &["1970-01-01 00:00:00"]).await;
    let millis: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1]));
    check_round_trip(&shop, "timestamp", millis, &["1970-01-01 00:00:00.001"]).await;
    let date: ArrayRef = Arc::new(Date32Array::from(vec![19_675, -25_567]));
    check_round_trip(&shop, "date", date.clone(), &["2023-11-14", "1900-01-01"]).await;
    check_round_trip(&shop, "timestamp", date, &["2023-11-14 00:00:00", "1900-01-01 00:00:00"])
        .await;
    let time: ArrayRef = Arc::new(Time64MicrosecondArray::from(vec![86_399_999_999]));
    check_round_trip(&shop, "time", time, &["23:59:59.999999"]).await;
}

#[tokio::test]
async fn an_instant_is_the_same_whatever_the_servers_zone_and_style() {
    let (server, database) = shop("CREATE TABLE t (n serial, v timestamptz, d date)").await;
    let name = server.value("SELECT current_database()").await;
    server
        .execute(&format!(
            "ALTER DATABASE {name} SET timezone = 'America/New_York'; \
             ALTER DATABASE {name} SET datestyle = 'German, DMY'"
        ))
        .await;
    let naive = TimestampSecondArray::from(vec![1_700_000_000]);
    let utc = naive.clone().with_timezone("Europe/Paris");
    for (n, array) in [naive, utc].into_iter().enumerate() {
        let dates: ArrayRef = Arc::new(StringArray::from(vec!["2023-02-01"]));
        let rows = batch(vec![("v", Arc::new(array) as ArrayRef), ("d", dates)]);
        let writes = [insert("t", &["v", "d"])];
        let run = key(&format!("r{n}"), 1);
        let (mut lane, _) = open(&database, &run, &writes, &rows.schema()).await;
        commit(&mut lane, &unit(0, vec![rows])).await;
    }
    let seconds =
        "SELECT string_agg(extract(epoch FROM v)::bigint || to_char(d, ' MM'), ',') FROM t";
    assert_eq!(server.value(seconds).await, "1700000000 02,1700000000 02");
}

#[tokio::test]
async fn text_and_bytes_arrive_as_they_were() {
    let shop = shop("").await;
    let nasty = [
        "",
        "NULL",
        "\\N",
        "\\.",
        "a\tb\nc\rd",
        "'; DROP TABLE t; --",
        "\\x41",
        "é€🔥",
        "\u{1b}[31m",
        " edges ",
        "\"quoted\"",
        "\u{8}\u{b}\u{c}\u{1}",
    ];
    check_round_trip(&shop, "text", texts(nasty), &nasty).await;
    check_round_trip(
        &shop,
        "varchar(40)",
        Arc::new(LargeStringArray::from(nasty.to_vec())),
        &nasty,
    )
    .await;
    check_round_trip(&shop, "text", Arc::new(StringViewArray::from(nasty.to_vec())), &nasty).await;
    let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"\0\\\xff", b""]));
    check_round_trip(&shop, "bytea", bytes, &["\\x005cff", "\\x"]).await;
}

#[tokio::test]
async fn the_server_reads_every_other_type_from_text() {
    let shop = shop("").await;
    check_round_trip(
        &shop,
        "jsonb",
        texts(["{\"a\": [1, \"\\\\\"]}"]),
        &["{\"a\": [1, \"\\\\\"]}"],
    )
    .await;
    let uuid = "0190a0b0-0000-7000-8000-000000000001";
    check_round_trip(&shop, "uuid", texts([uuid]), &[uuid]).await;
    check_round_trip(&shop, "inet", texts(["10.0.0.1"]), &["10.0.0.1/32"]).await;
    check_round_trip(&shop, "int[]", texts(["{1,NULL,3}"]), &["{1,NULL,3}"]).await;
    check_round_trip(&shop, "numeric(12,3)", texts(["2.550", "1e2"]), &["2.550", "100.000"]).await;
    check_round_trip(&shop, "boolean", texts(["yes", "f"]), &["true", "false"]).await;
    check_round_trip(&shop, "interval", texts(["1 day 02:00"]), &["1 day 02:00:00"]).await;
    let (server, database) = shop;
    let tables =
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN cents AS numeric(9,2) CHECK (value >= 0);
         CREATE TABLE t (m mood, c cents)";
    server.execute(AFRESH).await;
    server.execute(tables).await;
    let writes = [insert("t", &["m", "c"])];
    let rows = |m, c| batch(vec![("m", texts([m])), ("c", texts([c]))]);
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &rows("ok", "1").schema()).await;
    commit(&mut lane, &unit(0, vec![rows("ok", "1.50")])).await;
    for (m, c, code) in [("glad", "1", "22P02"), ("ok", "-1", "23514"), ("ok", "1.005", "22003")] {
        let (fault, ordinal) = refused(&mut lane, &unit(1, vec![rows(m, c)])).await;
        assert_eq!(
            (fault.kind(), fault.code(), ordinal),
            (Kind::Item, Some(code), Some(2)),
            "{fault}"
        );
    }
    assert_eq!(server.value("SELECT m || ' ' || c FROM t").await, "ok 1.50");
}

#[tokio::test]
async fn a_value_that_would_be_changed_is_refused() {
    let decimal: ArrayRef = Arc::new(
        Decimal128Array::from(vec![1_000, 1_001]).with_precision_and_scale(12, 3).unwrap(),
    );
    let cases: Vec<(&str, ArrayRef, &str)> = vec![
        ("numeric(10,2)", decimal, "22003"),
        ("numeric(10,2)", texts(["1.00", "1.001"]), "22003"),
        ("numeric(3,2)", ints([1, 10]), "22003"),
        ("smallint", ints([1, 40_000]), "22003"),
        ("varchar(2)", texts(["ab", "abc"]), "22001"),
        ("text", texts(["ab", "a\0b"]), "22021"),
        ("date", texts(["2023-02-28", "2023-02-29"]), "22008"),
        ("text", Arc::new(TimestampSecondArray::from(vec![0, i64::MAX])), "22008"),
        ("jsonb", texts(["{}", "{"]), "22P02"),
    ];
    let (server, database) = shop("").await;
    for (type_, values, code) in cases {
        server.execute(&format!("{AFRESH}; CREATE TABLE t (v {type_})")).await;
        let rows = batch(vec![("v", values)]);
        let (mut lane, _) =
            open(&database, &key("r", 1), &[insert("t", &["v"])], &rows.schema()).await;
        let (fault, ordinal) = refused(&mut lane, &unit(0, vec![rows])).await;
        assert_eq!(
            (fault.kind(), fault.code(), fault.column(), ordinal),
            (Kind::Item, Some(code), Some("v"), Some(2)),
            "{type_}: {fault}"
        );
        assert_eq!(server.value("SELECT count(*) FROM t").await, "0");
    }
}

#[tokio::test]
async fn weird_names_are_inert_and_wide_tables_have_no_limit() {
    let (server, database) = shop(
        r#"CREATE TABLE x (id int); CREATE TABLE "a""; DROP TABLE x;--" ("b""; --, line 7" int);
           CREATE SCHEMA "s.t"; CREATE TABLE "s.t"."select" ("FROM" int)"#,
    )
    .await;
    let cases = [(r#"a"; DROP TABLE x;--"#, r#"b"; --, line 7"#), (r#""s.t"."select""#, "FROM")];
    for (n, (table, column)) in cases.into_iter().enumerate() {
        let rows = batch(vec![(column, texts(["1", "x"]))]);
        let run = key(&format!("r{n}"), 1);
        let (mut lane, _) =
            open(&database, &run, &[insert(table, &[column])], &rows.schema()).await;
        let (fault, ordinal) = refused(&mut lane, &unit(0, vec![rows.clone()])).await;
        assert_eq!((fault.column(), ordinal), (Some(column), Some(2)), "{fault}");
        commit(&mut lane, &unit(0, vec![rows.slice(0, 1)])).await;
    }
    assert_eq!(server.value(r#"SELECT (SELECT count(*) FROM "a""; DROP TABLE x;--") + (SELECT count(*) FROM "s.t"."select") + (SELECT count(*) FROM x)"#).await, "2");

    let names: Vec<String> = (0..1_000).map(|i| format!("c{i}")).collect();
    server.execute(&format!("CREATE TABLE wide ({} int)", names.join(" int, "))).await;
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows = batch(columns.iter().map(|c| (*c, ints(0..200))).collect());
    let (mut lane, _) =
        open(&database, &key("w", 1), &[insert("wide", &columns)], &rows.schema()).await;
    commit(&mut lane, &unit(0, vec![rows])).await;
    assert_eq!(server.value("SELECT sum(c999) FROM wide").await, "19900");
}
