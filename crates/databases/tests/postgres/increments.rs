//! Values are added exactly, once for each item.

use arrow_array::{ArrayRef, Decimal128Array, Int64Array};
use kiln_core::{Kind, Mode};

use super::*;

fn decimals(scale: i8, values: &[Option<i128>]) -> ArrayRef {
    let array = Decimal128Array::from(values.to_vec());
    Arc::new(array.with_precision_and_scale(30, scale).unwrap())
}

#[tokio::test]
async fn keys_are_summed_within_a_unit_and_over_units() {
    let (server, database) = shop(
        "CREATE TABLE s (code text, year int, n integer, amount numeric(30,3), x float8,
                         note text DEFAULT 'new', PRIMARY KEY (year, code));
         INSERT INTO s VALUES ('a', 2020, 100, NULL, 0.5, 'old')",
    )
    .await;
    let rows = batch(vec![
        ("code", texts(["a", "b", "a", "a"])),
        ("year", ints([2020, 2020, 2020, 2021])),
        ("n", Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(-3), None]))),
        ("amount", decimals(3, &[Some(100), Some(1), Some(i128::from(i64::MAX)), Some(-5)])),
        ("x", ints([1, 2, 3, 4])),
    ]);
    let columns = ["code", "year", "n", "amount", "x"];
    let writes = [write("s", Mode::Increment, &columns, &["code", "year"])];
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &rows.schema()).await;
    commit(&mut lane, &unit(0, vec![rows.clone()])).await;
    commit(&mut lane, &unit(4, vec![rows])).await;
    let all = "SELECT string_agg(concat_ws(' ', year, code, n, amount, x, note), ', ' \
               ORDER BY year, code) FROM s";
    // Twice i64::MAX thousandths, and no digit lost.
    assert_eq!(
        server.value(all).await,
        "2020 a 96 18446744073709551.814 8.5 old, 2020 b 4 0.002 4 new, 2021 a 0 -0.010 8 new"
    );
}

#[tokio::test]
async fn keys_that_only_the_database_takes_for_one_are_summed_too() {
    let (server, database) = shop("CREATE TABLE s (k integer PRIMARY KEY, n bigint)").await;
    let rows = batch(vec![("k", texts(["1", "01", " 1"])), ("n", ints([1, 10, 100]))]);
    let writes = [write("s", Mode::Increment, &["k", "n"], &["k"])];
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &rows.schema()).await;
    commit(&mut lane, &unit(0, vec![rows])).await;
    assert_eq!(server.value("SELECT string_agg(k || '=' || n, ',') FROM s").await, "1=111");
}

#[tokio::test]
async fn a_bad_addend_or_key_is_its_items_fault() {
    let (server, database) =
        shop("CREATE TABLE s (k text PRIMARY KEY, n smallint, a numeric(12,2))").await;
    let writes = [write("s", Mode::Increment, &["k", "n", "a"], &["k"])];
    let rows = |n: i64, a: i128| {
        let amounts = decimals(3, &[Some(10), Some(a)]);
        batch(vec![("k", texts(["a", "b"])), ("n", ints([1, n])), ("a", amounts)])
    };
    let items = rows(1, 0).schema();
    let (mut lane, _) = open(&database, &key("r", 1), &writes, &items).await;
    // 0.015 in a column that keeps two digits.
    let (fault, ordinal) = refused(&mut lane, &unit(0, vec![rows(1, 15)])).await;
    assert_eq!((fault.kind(), fault.column(), ordinal), (Kind::Item, Some("a"), Some(2)));
    let (fault, _) = refused(&mut lane, &unit(0, vec![rows(40_000, 0)])).await;
    assert_eq!((fault.kind(), fault.code()), (Kind::Item, Some("22003")), "{fault}");
    let mut null = unit(0, vec![rows(1, 0)]);
    let key: ArrayRef = Arc::new(arrow_array::StringArray::from(vec![None, Some("b")]));
    let [n, a] = [1, 2].map(|i| null.writes[0].batch.column(i).clone());
    null.writes[0].batch = batch(vec![("k", key), ("n", n), ("a", a)]);
    let (fault, ordinal) = refused(&mut lane, &null).await;
    assert_eq!((fault.kind(), ordinal), (Kind::Item, Some(1)), "{fault}");
    assert_eq!(server.value("SELECT count(*) FROM s").await, "0");
}

#[tokio::test]
async fn two_lanes_that_add_to_the_same_rows_lose_nothing() {
    let (server, database) = shop("CREATE TABLE s (k bigint PRIMARY KEY, n bigint)").await;
    let writes = [write("s", Mode::Increment, &["k", "n"], &["k"])];
    let lanes = (0..2u32).map(|lane| {
        let (database, writes) = (Arc::clone(&database), writes.clone());
        tokio::spawn(async move {
            let keys: Vec<i64> =
                if lane == 0 { (0..50).collect() } else { (0..50).rev().collect() };
            let rows = batch(vec![("k", ints(keys)), ("n", ints([1; 50]))]);
            let key = LaneKey { lane, ..key("r", 1) };
            let (mut lane, _) = open(&database, &key, &writes, &rows.schema()).await;
            for i in 0..20 {
                commit(&mut lane, &unit(i * 50, vec![rows.clone()])).await;
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
    assert_eq!(
        server.value("SELECT concat_ws('/', count(*), min(n), max(n)) FROM s").await,
        "50/40/40"
    );
}
