//! Values: what goes in comes out, or is refused.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int8Array,
    LargeStringArray, NullArray, StringArray, StringViewArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, UInt64Array,
};
use kiln_core::Kind;

use crate::support::*;

#[tokio::test]
async fn every_kind_of_value_comes_out_as_it_went_in() {
    let second = 1_291_191_960_000_000;
    let cases: Vec<(&str, ArrayRef, &str)> = vec![
        ("INTEGER", Arc::new(BooleanArray::from(vec![true])), "1"),
        ("INTEGER", Arc::new(Int8Array::from(vec![-128])), "-128"),
        ("INTEGER", ints([i64::MIN]), "-9223372036854775808"),
        ("TEXT", Arc::new(UInt64Array::from(vec![u64::MAX])), "'18446744073709551615'"),
        ("REAL", Arc::new(Float64Array::from(vec![0.1])), "0.1"),
        ("REAL", Arc::new(Float32Array::from(vec![0.1])), "0.1"),
        ("REAL", ints([3]), "3.0"),
        ("TEXT", decimals(38, 10, [-1]), "'-0.0000000001'"),
        ("TEXT", decimals(12, 3, [2_550]), "'2.550'"),
        ("", decimals(12, 3, [2_550]), "'2.550'"),
        ("NUMERIC", decimals(12, 3, [2_550]), "2.55"),
        ("INTEGER", decimals(12, 0, [7]), "7"),
        ("TEXT", texts(["a'b\"\0\n\u{1b}é"]), "'a'b\"\0\n\u{1b}é'"),
        ("TEXT", Arc::new(LargeStringArray::from(vec![""])), "''"),
        ("TEXT", Arc::new(StringViewArray::from(vec!["a view"])), "'a view'"),
        ("TEXT", texts(["007"]), "'007'"),
        ("INTEGER", texts(["007"]), "7"),
        ("BLOB", Arc::new(BinaryArray::from(vec![&b"\0\xff"[..]])), "x[00, ff]"),
        ("DATE", Arc::new(Date32Array::from(vec![14_944])), "'2010-12-01'"),
        ("TEXT", Arc::new(Time64MicrosecondArray::from(vec![1])), "'00:00:00.000001'"),
        (
            "TIMESTAMP",
            Arc::new(TimestampMicrosecondArray::from(vec![second])),
            "'2010-12-01 08:26:00'",
        ),
        (
            "TEXT",
            Arc::new(TimestampMillisecondArray::from(vec![1]).with_timezone("UTC")),
            "'1970-01-01 00:00:00.001000Z'",
        ),
        ("TEXT", Arc::new(NullArray::new(1)), "NULL"),
        ("TEXT", Arc::new(StringArray::from(vec![None::<&str>])), "NULL"),
    ];
    for (declared, array, expected) in cases {
        let shop = Shop::new(&format!("CREATE TABLE t (v {declared});")).await;
        let rows = batch(vec![("v", array)]);
        let mut lane = shop.lane(1, &[insert("t", &["v"])], rows.schema()).await;
        commit(&mut *lane, unit(0, vec![rows])).await;
        assert_eq!(shop.rows("SELECT v FROM t"), [expected], "{declared}");
    }
}

#[tokio::test]
async fn a_value_that_sqlite_would_change_is_refused() {
    let cases: Vec<(&str, ArrayRef)> = vec![
        ("INTEGER", texts(["1", "abc"])),
        ("INTEGER", texts(["1", "1.5"])),
        ("INTEGER", texts(["1", ""])),
        ("NUMERIC", texts(["1", "12345678901234567890.5"])),
        ("REAL", texts(["1", "1,5"])),
        ("INTEGER", Arc::new(UInt64Array::from(vec![1, u64::MAX]))),
        ("REAL", Arc::new(Float64Array::from(vec![1.0, f64::NAN]))),
        ("DATE", Arc::new(Date32Array::from(vec![1, i32::MAX]))),
    ];
    for (declared, array) in cases {
        let shop = Shop::new(&format!("CREATE TABLE t (v {declared});")).await;
        let rows = batch(vec![("v", array)]);
        let mut lane = shop.lane(1, &[insert("t", &["v"])], rows.schema()).await;
        let refused = refusal(&mut *lane, unit(0, vec![rows])).await;
        assert_eq!((refused.fault.kind(), refused.ordinal), (Kind::Item, Some(2)), "{declared}");
        assert_eq!(refused.fault.column(), Some("v"));
        assert!(refused.fault.message().starts_with("t.v "), "{}", refused.fault);
        assert!(shop.rows("SELECT * FROM t").is_empty());
    }
}

#[tokio::test]
async fn a_strict_table_speaks_for_itself() {
    let shop = Shop::new("CREATE TABLE t (id INTEGER, v ANY) STRICT;").await;
    let rows = batch(vec![("id", texts(["1"])), ("v", texts(["007"]))]);
    let mut lane = shop.lane(1, &[insert("t", &["id", "v"])], rows.schema()).await;
    commit(&mut *lane, unit(0, vec![rows])).await;
    assert_eq!(shop.rows("SELECT * FROM t"), ["1|'007'"]);
}
