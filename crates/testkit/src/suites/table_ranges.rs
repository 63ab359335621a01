//! What a table owes that is read in ranges, beside what [every source](super::source)
//! owes.

use std::collections::BTreeSet;

use kiln_core::{Kind, Position, SINCE, Source, TableSpec};

use super::table::{
    TestTables, changes, insert_pairs, limits, next, numbers, pairs, rest, spec, values, watermark,
};

fn cut(ranges: usize, spec: TableSpec) -> TableSpec {
    TableSpec { ranges, ..spec }
}

async fn open(tables: &dyn TestTables, spec: &TableSpec) -> Box<dyn Source> {
    tables.open(spec).await.unwrap()
}

fn sorted(rows: &[String]) -> Vec<i64> {
    let mut rows: Vec<i64> = rows.iter().map(|n| n.parse().unwrap()).collect();
    rows.sort_unstable();
    rows
}

/// Every row once, whatever the number of ranges, and in one order, whatever the
/// size of pages. With one range, that of the key.
pub async fn each_row_comes_once_in_one_order(tables: &dyn TestTables) {
    pairs(tables, 50).await;
    for ranges in [2, 3, 7, 20] {
        let cut = cut(ranges, spec("pairs"));
        let order = rest(&mut *open(tables, &cut).await, 0, "n").await;
        assert_eq!(sorted(&order), (1..=50).collect::<Vec<_>>());
        assert_ne!(order, numbers(1..=50), "{ranges} take turns");
        for items in [1, 3, 7, 50] {
            let read = rest(&mut *open(tables, &cut).await, items, "n").await;
            assert_eq!(read, order, "{ranges} ranges, {items} items");
        }
    }
}

/// A key of one number is cut by its size, gaps or not.
pub async fn numbers_are_cut_by_their_size(tables: &dyn TestTables) {
    let create = "CREATE TABLE counted (id BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)";
    tables.execute(create).await;
    let ids = (-300..0).chain([i64::MAX, i64::MIN]).chain(7_000_000_000..7_000_000_100);
    let values: Vec<String> = ids.clone().map(|id| format!("({id}, {})", id / 3)).collect();
    tables.execute(&format!("INSERT INTO counted VALUES {}", values.join(", "))).await;
    let mut all: Vec<i64> = ids.collect();
    all.sort_unstable();
    for ranges in [2, 5, 16] {
        let mut source = open(tables, &cut(ranges, spec("counted"))).await;
        let first = values_of(&next(&mut *source, 100).await, "id");
        let groups: BTreeSet<i64> = first.iter().map(|id| id.signum()).collect();
        assert_eq!(groups.len(), 2, "{ranges} ranges give from both ends: {first:?}");
        let mut read = rest(&mut *source, 100, "id").await;
        read.extend(numbers(first));
        assert_eq!(sorted(&read), all, "{ranges} ranges");
    }
}

fn values_of(chunk: &kiln_core::Chunk, column: &str) -> Vec<i64> {
    values(chunk, column).iter().map(|v| v.parse().unwrap()).collect()
}

/// Nothing, one row, fewer rows than ranges.
pub async fn few_rows_are_no_trouble(tables: &dyn TestTables) {
    tables.execute("CREATE TABLE few (k VARCHAR(9) NOT NULL PRIMARY KEY, n BIGINT)").await;
    for rows in 0..4 {
        for column in ["k", "n"] {
            let mut source = open(tables, &cut(8, spec("few"))).await;
            assert_eq!(rest(&mut *source, 2, column).await.len(), rows);
            assert!(source.next(&limits(2)).await.unwrap().is_none(), "the end stays the end");
        }
        tables.execute(&format!("INSERT INTO few VALUES ('k{rows}', {rows})")).await;
    }
}

/// Texts of any kind, as the database orders them.
pub async fn any_text_is_in_one_range(tables: &dyn TestTables) {
    tables.execute("CREATE TABLE texts (k VARCHAR(40) NOT NULL PRIMARY KEY, n BIGINT)").await;
    let keys = ["", "a", "B", "b c", "''", "\"", "{\"a\"}", "ä", "\u{1f980}", "a,b", "[1]", "9"];
    for (n, key) in keys.iter().enumerate() {
        let key = key.replace('\'', "''");
        tables.execute(&format!("INSERT INTO texts VALUES ('{key}', {n}), ('{key}\n', 0)")).await;
    }
    let mut expected = rest(&mut *open(tables, &spec("texts")).await, 0, "k").await;
    expected.sort();
    for ranges in [2, 5, 24] {
        let cut = cut(ranges, spec("texts"));
        let mut read = rest(&mut *open(tables, &cut).await, 4, "k").await;
        read.sort();
        assert_eq!(read, expected, "{ranges} ranges");
    }
}

/// Columns, rows and another key are chosen as ever.
pub async fn ranges_are_of_the_rows_that_are_chosen(tables: &dyn TestTables) {
    pairs(tables, 40).await;
    tables.execute("CREATE UNIQUE INDEX by_n ON pairs (n)").await;
    let chosen = TableSpec {
        columns: vec!["n".into()],
        filter: Some("b = 'b1' OR n = 3 -- not the others".into()),
        ..cut(3, spec("pairs"))
    };
    let read = rest(&mut *open(tables, &chosen).await, 2, "n").await;
    assert_eq!(sorted(&read), [1, 3, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 34, 37, 40]);
    let none = TableSpec { filter: Some("n < 0".into()), ..cut(3, spec("pairs")) };
    assert!(rest(&mut *open(tables, &none).await, 2, "n").await.is_empty());
}

/// Rows that go are missed by nobody; those that come before the keys that the
/// ranges are at are read, behind them they are not; none comes twice.
pub async fn rows_come_and_go(tables: &dyn TestTables) {
    pairs(tables, 60).await;
    let cut = cut(3, spec("pairs"));
    let mut source = open(tables, &cut).await;
    let first = next(&mut *source, 9).await;
    let read = values_of(&first, "n");
    assert!(read.contains(&1), "{read:?}");
    // The first range was at the key of row 1 and more; the last is not at its end.
    let gone: Vec<i64> = read.iter().copied().take(4).chain([12, 33, 60]).collect();
    let list = numbers(gone.clone()).join(", ");
    tables.execute(&format!("DELETE FROM pairs WHERE n IN ({list})")).await;
    tables.execute("INSERT INTO pairs (b, a, n) VALUES ('a', -1, 101), ('z', 99, 102)").await;
    let expected: Vec<i64> =
        (1..=60).filter(|n| !read.contains(n) && !gone.contains(n)).chain([102]).collect();
    let mut again = open(tables, &cut).await;
    again.seek(&first.end).await.unwrap();
    assert_eq!(sorted(&rest(&mut *again, 5, "n").await), expected);
    source.seek(&first.end).await.unwrap();
    assert_eq!(sorted(&rest(&mut *source, 5, "n").await), expected);
}

/// What was decided at the start holds for a run that goes on, although the table
/// has grown and is asked for otherwise.
pub async fn the_start_keeps_the_order(tables: &dyn TestTables) {
    pairs(tables, 50).await;
    let mut source = open(tables, &cut(3, spec("pairs"))).await;
    let start = source.start().await.unwrap();
    assert_eq!(start.ordinal, 0);
    assert_ne!(start.place, "");
    let first = values(&next(&mut *source, 20).await, "n");
    insert_pairs(tables, 51..=200).await;
    for ranges in [3, 5, 1] {
        let mut again = open(tables, &cut(ranges, spec("pairs"))).await;
        again.seek(&start).await.unwrap();
        let chunk = next(&mut *again, 20).await;
        assert_eq!((&chunk.start, values(&chunk, "n")), (&start, first.clone()), "{ranges}");
    }
    let mut alone = open(tables, &spec("pairs")).await;
    assert_eq!(alone.start().await.unwrap(), Position::default());
}

/// A run that was begun by one reader goes on by one, and the other way round.
pub async fn a_run_goes_on_as_it_began(tables: &dyn TestTables) {
    pairs(tables, 50).await;
    let (one, three) = (spec("pairs"), cut(3, spec("pairs")));
    let print = open(tables, &one).await.fingerprint();
    assert_eq!(open(tables, &three).await.fingerprint(), print);
    for (began, goes_on) in [(&one, &three), (&three, &one)] {
        let mut source = open(tables, began).await;
        let end = next(&mut *source, 20).await.end;
        let mut again = open(tables, goes_on).await;
        again.seek(&end).await.unwrap();
        let expected = rest(&mut *source, 7, "n").await;
        assert_eq!(rest(&mut *again, 7, "n").await, expected);
    }
}

/// A chunk closes at its bytes, and little more is held.
pub async fn large_rows_make_small_chunks_in_ranges(tables: &dyn TestTables) {
    tables.execute("CREATE TABLE large (id BIGINT NOT NULL PRIMARY KEY, t TEXT)").await;
    let text = "x".repeat(10_000);
    for id in 1..=40 {
        tables.execute(&format!("INSERT INTO large VALUES ({id}, '{text}')")).await;
    }
    let limits = kiln_core::ChunkLimits { bytes: 64 << 10, ..limits(0) };
    let mut source = open(tables, &cut(3, spec("large"))).await;
    let mut rows = 0;
    while let Some(chunk) = source.next(&limits).await.unwrap() {
        assert!(chunk.items.len() <= 7, "{}", chunk.items.len());
        rows += chunk.items.len();
    }
    assert_eq!(rows, 40);
}

/// The next run begins behind the greatest watermark that was read, with any
/// number of ranges.
pub async fn what_is_new_begins_behind_the_last_range(tables: &dyn TestTables) {
    let rows: Vec<(i64, Option<i64>)> =
        (1..=40).map(|id| (id, (id % 4 > 0).then_some(id / 5))).collect();
    changes(tables, &rows).await;
    let mut alone = open(tables, &watermark()).await;
    let end = next(&mut *alone, 100).await.end;
    let mut source = open(tables, &cut(3, watermark())).await;
    assert!(source.start_behind("").unwrap());
    let mut last = source.start().await.unwrap();
    let mut read = 0;
    while let Some(chunk) = source.next(&limits(7)).await.unwrap() {
        read += chunk.items.len();
        last = chunk.end;
    }
    assert_eq!(read, 30);

    tables.execute("INSERT INTO changes VALUES (101, 8), (102, 9), (103, 9), (104, NULL)").await;
    tables.execute("UPDATE changes SET seen = 10 WHERE id IN (1, 4)").await;
    for ranges in [1, 2, 5] {
        let mut source = open(tables, &cut(ranges, watermark())).await;
        assert!(source.start_behind(&last.place).unwrap());
        assert_eq!(source.fingerprint().0.get(SINCE), Some(&end.place));
        source.start().await.unwrap();
        let read = rest(&mut *source, 2, "id").await;
        assert_eq!(sorted(&read), [1, 4, 101, 102, 103], "{ranges} ranges");
        source.seek(&Position::default()).await.unwrap();
        assert_eq!(rest(&mut *source, 3, "id").await, read, "its start is there");
    }
}

/// A place of a table with another key, or of no table.
pub async fn foreign_ranges_are_refused(tables: &dyn TestTables) {
    pairs(tables, 20).await;
    changes(tables, &[(1, Some(1)), (2, Some(2)), (3, None), (4, Some(4))]).await;
    let mut source = open(tables, &cut(2, spec("pairs"))).await;
    let start = source.start().await.unwrap();
    let end = next(&mut *source, 3).await.end;
    let mut other = open(tables, &cut(2, spec("changes"))).await;
    let foreign = [
        Position { ordinal: 0, ..end.clone() },
        Position { ordinal: 1, ..start },
        Position { ordinal: Position::MOST + 1, ..end.clone() },
        Position { ordinal: 1, place: "{}".to_owned() },
    ];
    for position in &foreign {
        assert_eq!(source.seek(position).await.unwrap_err().kind(), Kind::Config, "{position:?}");
    }
    assert_eq!(other.seek(&end).await.unwrap_err().kind(), Kind::Config);
    for ranges in [0, TableSpec::MOST_RANGES + 1] {
        let fault = tables.open(&cut(ranges, spec("pairs"))).await.err().expect("a refusal");
        assert_eq!(fault.kind(), Kind::Config, "{fault}");
    }
}
