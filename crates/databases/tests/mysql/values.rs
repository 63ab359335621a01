//! Every type round-trips, and what the server would change is refused.

use arrow_array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Time64MicrosecondArray, TimestampMicrosecondArray, UInt64Array,
};
use kiln_core::Kind;

use super::*;

/// Writes one value into a column of this type, and gives what `shown` makes of
/// it; or the refusal.
async fn kept(
    server: &TestDatabase,
    database: &Arc<dyn Database>,
    type_: &str,
    value: ArrayRef,
    shown: &str,
) -> Result<String, Fault> {
    server.execute(&format!("DROP TABLE IF EXISTS t; CREATE TABLE t (c {type_})")).await;
    let rows = batch(vec![("c", value)]);
    let writes = [insert("t", &["c"])];
    static RUNS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let run = RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let (mut lane, _) = database
        .sink()
        .open(&key(&format!("run {run}"), 1), &writes, &rows.schema())
        .await
        .map_err(|fault| fault.at(type_))?;
    match settle(&mut lane, &unit(0, vec![rows])).await {
        Settled::Committed(_) => Ok(server.value(&format!("SELECT {shown} FROM t")).await),
        Settled::Refused(refusal) => {
            assert_eq!(refusal.ordinal, Some(1), "{type_}: {:?}", refusal.fault);
            assert_eq!(server.value("SELECT count(*) FROM t").await, "0");
            Err(refusal.fault)
        }
        Settled::Unknown(fault) => panic!("{type_}: {fault:?}"),
    }
}

fn text(value: &str) -> ArrayRef {
    texts([value])
}

fn decimal(digits: i128, scale: i8) -> ArrayRef {
    let array = Decimal128Array::from_iter_values([digits]);
    Arc::new(array.with_precision_and_scale(38, scale).unwrap())
}

#[tokio::test]
async fn every_type_comes_back_as_it_was() {
    let (server, database) = shop("").await;
    let instant = |us| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(vec![us]).with_timezone("+00:00"))
    };
    let clock = |us| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![us])) };
    let day = 1_577_923_199_123_456i64;
    let large = "12345678901234567890.123456789012345678";
    let cases: Vec<(&str, ArrayRef, &str, &str)> = vec![
        ("decimal(38,18)", decimal(12345678901234567890123456789012345678, 18), "c", large),
        ("decimal(38,18)", text(large), "c", large),
        ("decimal(9,2)", decimal(-2550, 3), "c", "-2.55"),
        (
            "decimal(65,30)",
            text("-0.000000000000000000000000000001"),
            "c",
            "-0.000000000000000000000000000001",
        ),
        ("bigint", ints([i64::MIN]), "c", "-9223372036854775808"),
        (
            "bigint unsigned",
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            "c",
            "18446744073709551615",
        ),
        ("bigint unsigned", text("18446744073709551615"), "c", "18446744073709551615"),
        ("tinyint(1)", Arc::new(BooleanArray::from(vec![true])), "c", "1"),
        ("bool", ints([0]), "c", "0"),
        ("varchar(5)", Arc::new(BooleanArray::from(vec![false])), "c", "false"),
        ("bit(10)", ints([513]), "c + 0", "513"),
        ("bit(1)", Arc::new(BooleanArray::from(vec![true])), "c + 0", "1"),
        ("double", Arc::new(Float64Array::from(vec![1e300])), "c = 1e300", "1"),
        ("double", Arc::new(Float64Array::from(vec![0.1 + 0.2])), "c = 0.30000000000000004e0", "1"),
        ("float", Arc::new(Float32Array::from(vec![0.1])), "c", "0.1"),
        ("decimal(9,2)", Arc::new(Float64Array::from(vec![0.1 + 0.2])), "c", "0.30"),
        ("datetime(6)", clock(day), "c", "2020-01-01 23:59:59.123456"),
        ("datetime(6)", instant(day), "c", "2020-01-01 23:59:59.123456"),
        ("timestamp(6) null", instant(day), "c", "2020-01-01 23:59:59.123456"),
        ("timestamp null", instant(day - day % 1_000_000), "unix_timestamp(c)", "1577923199"),
        ("datetime", text("9999-12-31 23:59:59"), "c", "9999-12-31 23:59:59"),
        ("date", Arc::new(Date32Array::from(vec![-719_528])), "c", "0000-01-01"),
        ("date", Arc::new(Date32Array::from(vec![2_932_896])), "c", "9999-12-31"),
        ("datetime", Arc::new(Date32Array::from(vec![0])), "c", "1970-01-01 00:00:00"),
        (
            "time(6)",
            Arc::new(Time64MicrosecondArray::from(vec![86_399_999_999])),
            "c",
            "23:59:59.999999",
        ),
        ("time", text("-838:59:59"), "c", "-838:59:59"),
        ("year", ints([2155]), "c", "2155"),
        ("year", text("1999"), "c", "1999"),
        ("json", text("{\"a\": [1, \"é\"]}"), "json_value(c, '$.a[1]')", "é"),
        ("enum('a','b''c','1')", text("b'c"), "c", "b'c"),
        ("enum('a','b','1')", text("1"), "c", "1"),
        ("set('x','y','z')", text("z,x"), "c", "x,z"),
        ("varchar(9) character set utf8mb4", text("'\\\0\"🔥 "), "hex(c)", "275C0022F09F94A520"),
        ("longtext", text(""), "concat('[', c, ']')", "[]"),
        ("varchar(3) character set latin1", text("é€"), "convert(c using utf8mb4)", "é€"),
        ("blob", Arc::new(BinaryArray::from(vec![&b"\x00\xff'\\"[..]])), "hex(c)", "00FF275C"),
        ("varbinary(4)", Arc::new(BinaryArray::from(vec![&b""[..]])), "hex(c)", ""),
        ("binary(2)", Arc::new(BinaryArray::from(vec![&b"\x00\x01"[..]])), "hex(c)", "0001"),
        (
            "uuid",
            text("123e4567-e89b-12d3-a456-426614174000"),
            "c",
            "123e4567-e89b-12d3-a456-426614174000",
        ),
        ("inet6", text("::1"), "c", "::1"),
        ("int", text(" 12 "), "c", "12"),
        ("decimal(9,2)", text(" 1.50 "), "c", "1.50"),
        ("bigint", Arc::new(Int64Array::from(vec![None])), "c", "NULL"),
        ("blob", texts_or_null(), "c", "NULL"),
    ];
    for (type_, value, shown, expected) in cases {
        let found = kept(&server, &database, type_, value, shown).await;
        assert_eq!(found.unwrap_or_else(|f| panic!("{type_}: {f:?}")), expected, "{type_}");
    }
}

fn texts_or_null() -> ArrayRef {
    Arc::new(StringArray::from(vec![None::<&str>]))
}

/// B42: what these servers would change, some of it without a word.
#[tokio::test]
async fn a_value_that_would_be_changed_is_refused() {
    let (server, database) = shop("").await;
    let clock = |us| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![us])) };
    let cases: Vec<(&str, ArrayRef)> = vec![
        ("tinyint", ints([128])),
        ("int unsigned", ints([-1])),
        ("bigint", Arc::new(UInt64Array::from(vec![u64::MAX]))),
        ("int", text("1.5")),
        ("int", text("12x")),
        ("int", text("")),
        ("decimal(9,2)", decimal(1555, 3)),
        ("decimal(9,2)", text("1.555")),
        ("decimal(4,2)", text("100")),
        ("decimal(9,2)", text("x")),
        ("varchar(3)", text("abcd")),
        ("varchar(3)", text("abc ")),
        ("char(3)", text("abcd")),
        ("tinytext", text(&"x".repeat(256))),
        ("varbinary(1)", Arc::new(BinaryArray::from(vec![&b"ab"[..]]))),
        ("binary(4)", Arc::new(BinaryArray::from(vec![&b"ab"[..]]))),
        ("varchar(3) character set latin1", text("🔥")),
        ("datetime", clock(1_500_000)),
        ("datetime(3)", clock(1_000_001)),
        ("datetime", text("2020-01-01 00:00:00.5")),
        ("datetime", text("0000-00-00 00:00:00")),
        ("datetime", text("2020-02-30 00:00:00")),
        ("datetime", text("20-01-01 00:00:00")),
        ("date", text("2020-00-01")),
        ("date", text("2020-01-01 12:00:00")),
        ("timestamp null", text("1960-01-01 00:00:00")),
        ("timestamp not null default current_timestamp", texts_or_null()),
        ("int auto_increment primary key", Arc::new(Int64Array::from(vec![None]))),
        ("time", text("12:00:00.7")),
        ("time", text("1200")),
        ("time", text("900:00:00")),
        ("year", ints([5])),
        ("year", text("70")),
        ("enum('a','b')", text("c")),
        ("enum('a','b')", text("2")),
        ("enum('a','b')", text("")),
        ("set('a','b')", text("a,c")),
        ("set('a','b')", text("3")),
        ("bit(3)", ints([8])),
        ("json", text("{")),
        ("double", Arc::new(Float64Array::from(vec![f64::INFINITY]))),
        ("double", ints([(1 << 53) + 1])),
        ("float", Arc::new(Float64Array::from(vec![1e300]))),
        ("int not null", Arc::new(Int64Array::from(vec![None]))),
    ];
    for (type_, value) in cases {
        let shown = format!("{type_}: {value:?}");
        match kept(&server, &database, type_, value, "hex(c)").await {
            Ok(kept) => panic!("{shown} was kept as {kept}"),
            Err(fault) => {
                assert_eq!(fault.kind(), Kind::Item, "{shown}: {fault:?}");
                // JSON is a text with a constraint.
                let named = fault.column().or(fault.constraint());
                assert!(matches!(named, Some("c" | "t.c")), "{shown}: {fault:?}");
            }
        }
    }
}

/// The server's own settings change nothing: a zero in a counter is a zero.
#[tokio::test]
async fn a_session_is_strict_whatever_the_server_is() {
    let (server, database) = shop("").await;
    let zero = kept(&server, &database, "int auto_increment primary key", ints([0]), "c").await;
    assert_eq!(zero.unwrap(), "0");
    let plain =
        "SET GLOBAL sql_mode = ''; SET GLOBAL time_zone = '+05:00'; SET GLOBAL sql_notes = 0";
    let back = "SET GLOBAL sql_mode = DEFAULT; SET GLOBAL time_zone = DEFAULT; \
                SET GLOBAL sql_notes = DEFAULT";
    server.execute(plain).await;
    let long = kept(&server, &database, "varchar(3)", text("abcd"), "c").await;
    let digits = kept(&server, &database, "decimal(9,2)", text("1.555"), "c").await;
    let moment = kept(
        &server,
        &database,
        "timestamp null",
        text("2020-01-01 00:00:00"),
        "unix_timestamp(c)",
    )
    .await;
    server.execute(back).await;
    assert!(long.is_err() && digits.is_err());
    assert_eq!(moment.unwrap(), "1577836800");
}
