//! Units of work: whole with their mark, or not at all.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Float64Array, RecordBatch};
use kiln_core::{Counts, Kind, Settled, Unit, Write};

use crate::support::*;

const SCHEMA: &str = "
CREATE TABLE sales (id INTEGER PRIMARY KEY, item TEXT NOT NULL, quantity INTEGER CHECK (quantity > 0));
CREATE TABLE stock (item TEXT PRIMARY KEY, quantity INTEGER NOT NULL DEFAULT 0);";

fn writes() -> Vec<Write> {
    vec![insert("sales", &["id", "item", "quantity"]), increment("stock", &["item"], &["quantity"])]
}

/// Sales with these numbers, items and quantities.
fn sales(rows: &[(i64, &str, i64)]) -> RecordBatch {
    batch(vec![
        ("id", ints(rows.iter().map(|r| r.0))),
        ("item", texts(rows.iter().map(|r| r.1))),
        ("quantity", ints(rows.iter().map(|r| r.2))),
    ])
}

fn sales_unit(from: u64, rows: &[(i64, &str, i64)]) -> Unit {
    let sales = sales(rows);
    let stock = sales.project(&[1, 2]).unwrap();
    unit(from, vec![sales, stock])
}

async fn shop() -> (Shop, Box<dyn kiln_core::Lane>) {
    let shop = Shop::new(SCHEMA).await;
    let lane = shop.lane(1, &writes(), sales(&[]).schema()).await;
    (shop, lane)
}

#[tokio::test]
async fn a_unit_commits_rows_sums_dead_letters_counts_and_mark() {
    let (shop, mut lane) = shop().await;
    let mut unit = sales_unit(0, &[(1, "b", 2), (2, "a", 3), (3, "b", 4)]);
    unit.span.to = 5;
    unit.end = checkpoint(5);
    unit.filtered = vec![4];
    unit.dead_letters = vec![dead_letter(5, "raw")];
    let Settled::Committed(counts) = settle(&mut *lane, unit).await else { panic!() };

    assert_eq!(counts, Counts { read: 5, processed: 3, filtered: 1, duplicate: 0, failed: 1 });
    assert_eq!(shop.rows("SELECT * FROM sales"), ["1|'b'|2", "2|'a'|3", "3|'b'|4"]);
    assert_eq!(shop.rows("SELECT * FROM stock ORDER BY 1"), ["'a'|3", "'b'|6"]);
    assert_eq!(shop.rows("SELECT ordinal, raw FROM kiln_dead_letters"), ["5|'raw'"]);
    let (_, mark) = shop.open(1, &writes(), sales(&[]).schema()).await.unwrap();
    assert_eq!((mark.done, mark.counts, mark.checkpoint), (5, counts, checkpoint(5)));
}

#[tokio::test]
async fn a_refused_unit_leaves_nothing_and_the_lane_goes_on() {
    let (shop, mut lane) = shop().await;
    commit(&mut *lane, sales_unit(0, &[(1, "a", 1)])).await;
    let mut bad = sales_unit(1, &[(2, "a", 5), (3, "b", -1), (4, "c", 1)]);
    bad.dead_letters = vec![dead_letter(9, "never")];
    let refusal = refusal(&mut *lane, bad).await;

    assert_eq!(refusal.fault.kind(), Kind::Item);
    assert_eq!(refusal.ordinal, Some(3));
    assert_eq!(refusal.fault.code(), Some("SQLITE_CONSTRAINT_CHECK"));
    assert_eq!(shop.rows("SELECT * FROM sales"), ["1|'a'|1"]);
    assert_eq!(shop.rows("SELECT * FROM stock"), ["'a'|1"]);
    assert!(shop.rows("SELECT * FROM kiln_dead_letters").is_empty());
    assert_eq!(shop.rows("SELECT done, read, failed FROM kiln_marks"), ["1|1|0"]);

    commit(&mut *lane, sales_unit(1, &[(2, "a", 5), (4, "c", 1)])).await;
    assert_eq!(shop.rows("SELECT * FROM stock ORDER BY 1"), ["'a'|6", "'c'|1"]);
    assert_eq!(shop.rows("SELECT done, read FROM kiln_marks"), ["3|3"]);
}

#[tokio::test]
async fn the_bad_row_is_named_wherever_it_is() {
    let (shop, mut lane) = shop().await;
    for bad in [1, 2, 5] {
        let rows: Vec<(i64, &str, i64)> =
            (1..=5).map(|i| (i, "a", if i == bad { 0 } else { 1 })).collect();
        let refusal = refusal(&mut *lane, sales_unit(0, &rows)).await;
        assert_eq!(refusal.ordinal, Some(bad.unsigned_abs()));
    }
    assert!(shop.rows("SELECT * FROM sales").is_empty());
}

#[tokio::test]
async fn the_parts_of_a_unit_give_what_the_whole_gives() {
    let rows: Vec<(i64, &str, i64)> =
        (1..=9).map(|i| (i, if i % 2 == 0 { "even" } else { "odd" }, i)).collect();
    let mut whole = sales_unit(0, &rows);
    whole.dead_letters = vec![dead_letter(10, "x")];
    whole.span.to = 10;
    let tables = ["sales", "stock", "kiln_marks"].map(|t| format!("SELECT * FROM {t} ORDER BY 1"));
    let (expected, mut lane) = shop().await;
    commit(&mut *lane, whole.clone()).await;
    for at in 1..10 {
        let (first, second) = whole.split(at);
        let (shop, mut lane) = shop().await;
        commit(&mut *lane, first).await;
        commit(&mut *lane, second).await;
        for table in &tables {
            assert_eq!(shop.rows(table), expected.rows(table), "split at {at}");
        }
        assert_eq!(shop.rows("SELECT ordinal FROM kiln_dead_letters"), ["10"]);
    }
}

#[tokio::test]
async fn a_unit_behind_a_refused_one_never_commits() {
    let (shop, mut lane) = shop().await;
    assert_eq!(lane.window(), 2);
    lane.submit(Arc::new(sales_unit(0, &[(1, "a", 0)]))).await;
    lane.submit(Arc::new(sales_unit(1, &[(2, "a", 1)]))).await;
    for _ in 0..2 {
        let settled = lane.settle().await;
        assert!(matches!(settled, Settled::Refused(_)), "{settled:?}");
    }
    assert!(shop.rows("SELECT * FROM sales").is_empty());
    let settled = lane.settle().await;
    assert!(matches!(&settled, Settled::Unknown(f) if f.kind() == Kind::Bug), "{settled:?}");
}

#[tokio::test]
async fn a_higher_epoch_fences_a_lower_one() {
    let (shop, mut old) = shop().await;
    commit(&mut *old, sales_unit(0, &[(1, "a", 1)])).await;
    let other = shop.again().await;
    let (mut new, mark) =
        other.sink().open(&lane_key(2), &writes(), &sales(&[]).schema()).await.unwrap();
    assert_eq!(mark.done, 1);

    let refusal = refusal(&mut *old, sales_unit(1, &[(2, "a", 1)])).await;
    assert_eq!(refusal.fault.kind(), Kind::Fenced);
    let again = shop.open(1, &writes(), sales(&[]).schema()).await;
    assert_eq!(again.err().map(|f| f.kind()), Some(Kind::Fenced));
    commit(&mut *new, sales_unit(1, &[(2, "a", 1)])).await;
    assert_eq!(shop.rows("SELECT count(*) FROM sales"), ["2"]);
}

#[tokio::test]
async fn a_mark_in_the_middle_of_a_chunk_keeps_where_the_chunk_began() {
    let (shop, mut lane) = shop().await;
    let (first, _) = sales_unit(0, &[(1, "a", 1), (2, "a", 1), (3, "a", 1)]).split(2);
    commit(&mut *lane, first).await;
    let (_, mark) = shop.open(1, &writes(), sales(&[]).schema()).await.unwrap();
    assert_eq!((mark.done, mark.checkpoint), (2, checkpoint(0)));
}

#[tokio::test]
async fn increments_are_exact() {
    let shop = Shop::new(
        "CREATE TABLE t (k INTEGER PRIMARY KEY, n INTEGER, exact TEXT, number NUMERIC, x REAL);
         INSERT INTO t VALUES (1, 10, '0.10', 0.1, 0.5), (2, NULL, NULL, NULL, NULL);",
    )
    .await;
    let write = increment("t", &["k"], &["n", "exact", "number", "x"]);
    let rows = |keys: &[i64]| {
        let n = keys.len();
        batch(vec![
            ("k", ints(keys.iter().copied())),
            ("n", ints(vec![1; n])),
            ("exact", decimals(30, 2, vec![20; n])),
            ("number", decimals(12, 1, vec![2; n])),
            ("x", Arc::new(Float64Array::from(vec![0.25; n]))),
        ])
    };
    let mut lane = shop.lane(1, &[write], rows(&[]).schema()).await;
    commit(&mut *lane, unit(0, vec![rows(&[1, 2, 1, 3])])).await;
    commit(&mut *lane, unit(4, vec![rows(&[3, 1])])).await;
    assert_eq!(
        shop.rows("SELECT * FROM t ORDER BY k"),
        ["1|13|'0.70'|0.7|1.25", "2|1|'0.20'|0.2|0.25", "3|2|'0.40'|0.4|0.5"]
    );
}

#[tokio::test]
async fn a_sum_that_leaves_its_range_is_an_items_fault() {
    let shop = Shop::new("CREATE TABLE t (k PRIMARY KEY, n INTEGER);").await;
    let write = increment("t", &["k"], &["n"]);
    let rows = |n: &[i64]| batch(vec![("k", ints(vec![1; n.len()])), ("n", ints(n.to_vec()))]);
    let mut lane = shop.lane(1, &[write], rows(&[]).schema()).await;
    commit(&mut *lane, unit(0, vec![rows(&[i64::MAX])])).await;
    // In the table, and within one unit.
    for n in [&[0, 1][..], &[i64::MAX, 1][..]] {
        let unit = unit(1, vec![rows(n)]);
        assert_eq!(refusal(&mut *lane, unit.clone()).await.fault.kind(), Kind::Item);
        let named = lane.diagnose(&unit).await.unwrap().unwrap();
        assert!(named.iter().any(|r| r.ordinal == 3), "{named:?}");
    }
    assert_eq!(shop.rows("SELECT n FROM t"), [i64::MAX.to_string()]);
}

#[tokio::test]
async fn a_diagnosis_names_every_bad_item_and_changes_nothing() {
    let (shop, mut lane) = shop().await;
    commit(&mut *lane, sales_unit(0, &[(1, "a", 1)])).await;
    let bad = sales_unit(1, &[(2, "a", 1), (1, "b", 1), (3, "a", 0), (4, "c", 1), (2, "c", 1)]);
    let named = lane.diagnose(&bad).await.unwrap().unwrap();
    let named: Vec<_> = named.iter().map(|r| (r.ordinal, r.fault.code().unwrap())).collect();
    let (unique, check) = ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_CHECK");
    assert_eq!(named, [(3, unique), (4, check), (6, unique)]);
    assert_eq!(shop.rows("SELECT * FROM sales"), ["1|'a'|1"]);
    assert_eq!(shop.rows("SELECT * FROM stock"), ["'a'|1"]);
    commit(&mut *lane, sales_unit(1, &[(2, "a", 1), (4, "c", 1)])).await;
}

#[tokio::test]
async fn an_item_with_several_rows_falls_as_a_whole() {
    let (_shop, mut lane) = shop().await;
    let mut twins = sales_unit(0, &[(1, "a", 1), (2, "a", 0), (1, "b", 1)]);
    twins.items = vec![1, 2];
    twins.span.to = 2;
    for rows in &mut twins.writes {
        rows.ordinals = vec![1, 1, 2];
    }
    let named = lane.diagnose(&twins).await.unwrap().unwrap();
    assert_eq!(named.iter().map(|r| r.ordinal).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_constraint_that_speaks_at_commit_refuses_the_unit() {
    let shop = Shop::new(
        "CREATE TABLE items (id INTEGER PRIMARY KEY);
         CREATE TABLE t (item INTEGER REFERENCES items DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO items VALUES (1);",
    )
    .await;
    let rows = |items: &[i64]| batch(vec![("item", ints(items.to_vec()))]);
    let mut lane = shop.lane(1, &[insert("t", &["item"])], rows(&[]).schema()).await;
    let bad = unit(0, vec![rows(&[1, 7])]);
    let refused = refusal(&mut *lane, bad.clone()).await;
    assert_eq!((refused.fault.kind(), refused.ordinal), (Kind::Item, None));
    assert!(lane.diagnose(&bad).await.unwrap().is_none());
    assert!(shop.rows("SELECT * FROM t").is_empty());
    commit(&mut *lane, unit(0, vec![rows(&[1])])).await;
}

#[tokio::test]
async fn no_row_is_dropped_or_replaced_without_a_word() {
    let shop = Shop::new(
        "CREATE TABLE ignoring (id INTEGER PRIMARY KEY ON CONFLICT IGNORE);
         CREATE TABLE replacing (id INTEGER PRIMARY KEY ON CONFLICT REPLACE);
         CREATE TABLE dropping (id INTEGER);
         CREATE TRIGGER drops BEFORE INSERT ON dropping WHEN new.id = 1
             BEGIN SELECT raise(IGNORE); END;
         CREATE TABLE ending (id INTEGER);
         CREATE TRIGGER ends BEFORE INSERT ON ending WHEN new.id = 1
             BEGIN SELECT raise(ROLLBACK, 'no more'); END;
         INSERT INTO ignoring VALUES (1); INSERT INTO replacing VALUES (1);",
    )
    .await;
    let rows = |ids: &[i64]| batch(vec![("id", ints(ids.to_vec()))]);
    let tables = ["ignoring", "replacing", "dropping", "ending"];
    for (epoch, table) in tables.into_iter().enumerate() {
        let writes = [insert(table, &["id"])];
        let mut lane = shop.lane(epoch as u64 + 1, &writes, rows(&[]).schema()).await;
        let bad = unit(0, vec![rows(&[2, 1])]);
        let refused = refusal(&mut *lane, bad.clone()).await;
        assert_eq!((refused.fault.kind(), refused.ordinal), (Kind::Item, Some(2)), "{table}");
        let named = lane.diagnose(&bad).await.unwrap().map(|n| n.len());
        assert_eq!(named, (table != "ending").then_some(1), "{table}");
        let count = shop.rows(&format!("SELECT count(*) FROM {table} WHERE id = 2"));
        assert_eq!(count, ["0"], "{table}");
    }
}

#[tokio::test]
async fn a_strange_name_is_only_a_name() {
    let name = r#"a"; DROP TABLE x;--"#;
    let shop = Shop::new(
        r#"CREATE TABLE x (id);
           CREATE TABLE "a""; DROP TABLE x;--" ("k""y" PRIMARY KEY, "select" INTEGER);"#,
    )
    .await;
    let writes = [increment(name, &["k\"y"], &["select"])];
    let rows = batch(vec![("k\"y", ints([1, 1])), ("select", ints([2, 3]))]);
    let mut lane = shop.lane(1, &writes, rows.schema()).await;
    commit(&mut *lane, unit(0, vec![rows])).await;
    assert_eq!(shop.rows(r#"SELECT * FROM "a""; DROP TABLE x;--""#), ["1|5"]);
    assert_eq!(shop.rows("SELECT count(*) FROM x"), ["0"]);
}

#[tokio::test]
async fn a_writer_that_holds_the_file_is_waited_for() {
    let (shop, mut lane) = shop().await;
    let other = shop.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        other.execute_batch("COMMIT").unwrap();
    });
    commit(&mut *lane, sales_unit(0, &[(1, "a", 1)])).await;
    release.join().unwrap();
}

#[tokio::test]
async fn a_full_database_stops_the_unit_and_blames_no_item() {
    let shop = Shop::new(&format!("PRAGMA max_page_count = 40; {SCHEMA}")).await;
    let mut lane = shop.lane(1, &writes(), sales(&[]).schema()).await;
    commit(&mut *lane, sales_unit(0, &[(1, "a", 1)])).await;
    let long = "x".repeat(100_000);
    let unit = sales_unit(1, &[(2, "a", 1), (3, &long, 1), (4, &long, 1)]);
    let refused = refusal(&mut *lane, unit).await;
    assert_eq!(refused.fault.kind(), Kind::Io, "{:?}", refused.fault);
    assert!(!refused.fault.is_transient());
    assert_eq!(shop.rows("SELECT done FROM kiln_marks"), ["1"]);
    assert_eq!(shop.rows("SELECT count(*) FROM sales"), ["1"]);
    commit(&mut *lane, sales_unit(1, &[(2, "a", 1)])).await;
}
