//! What a table owes as a source, beside what [every source](super::source)
//! owes.

use std::time::Duration;

use async_trait::async_trait;
use kiln_core::{
    CellColumn, Chunk, ChunkLimits, Fault, Kind, Result, SINCE, Source, TableName, TableSpec,
};

/// A fresh database under test whose tables are read.
#[async_trait]
pub trait TestTables: Send + Sync {
    /// Runs statements of plain SQL, without kiln.
    async fn execute(&self, sql: &str);

    /// Opens a table through kiln.
    async fn open(&self, spec: &TableSpec) -> Result<Box<dyn Source>>;
}

/// A table with a key of two columns, `rows` rows of it.
pub(super) async fn pairs(tables: &dyn TestTables, rows: i64) {
    let create = "CREATE TABLE pairs (b VARCHAR(20) NOT NULL, a BIGINT NOT NULL, n BIGINT, \
                  PRIMARY KEY (a, b))";
    tables.execute(create).await;
    insert_pairs(tables, 1..=rows).await;
}

/// Rows whose keys have two parts, three rows for each value of the first.
pub(super) async fn insert_pairs(tables: &dyn TestTables, rows: std::ops::RangeInclusive<i64>) {
    // The last first: a table lies in no order.
    let values: Vec<String> =
        rows.rev().map(|n| format!("('b{}', {}, {n})", n % 3, n / 3)).collect();
    tables.execute(&format!("INSERT INTO pairs (b, a, n) VALUES {}", values.join(", "))).await;
}

pub(super) fn spec(table: &str) -> TableSpec {
    TableSpec::new(TableName::parse(table).unwrap())
}

pub(super) fn limits(items: usize) -> ChunkLimits {
    ChunkLimits { items, bytes: 0, age: Duration::ZERO }
}

pub(super) async fn next(source: &mut dyn Source, items: usize) -> Chunk {
    source.next(&limits(items)).await.unwrap().expect("another chunk")
}

/// The values of a column.
pub(super) fn values(chunk: &Chunk, column: &str) -> Vec<String> {
    let array = chunk.items.batch.column_by_name(column).expect(column);
    let cells = CellColumn::new(array.as_ref()).unwrap();
    (0..chunk.items.len()).map(|row| cells.cell(row).to_string()).collect()
}

/// The values of a column in all that is left.
pub(super) async fn rest(source: &mut dyn Source, items: usize, column: &str) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(chunk) = source.next(&limits(items)).await.unwrap() {
        assert!(chunk.failures.is_empty(), "{:?}", chunk.failures);
        all.extend(values(&chunk, column));
    }
    all
}

pub(super) fn numbers(range: impl IntoIterator<Item = i64>) -> Vec<String> {
    range.into_iter().map(|n| n.to_string()).collect()
}

async fn refusal(tables: &dyn TestTables, spec: &TableSpec) -> Fault {
    match tables.open(spec).await {
        Ok(_) => panic!("{spec:?} is not refused"),
        Err(fault) => fault,
    }
}

/// Every row once, by its key, in pages of any size; also where the first part
/// of the key stays the same across a page's end.
pub async fn rows_come_once_in_the_order_of_their_key(tables: &dyn TestTables) {
    pairs(tables, 50).await;
    for items in [1, 2, 3, 7, 50, 51, 0] {
        let mut source = tables.open(&spec("pairs")).await.unwrap();
        assert_eq!(rest(&mut *source, items, "n").await, numbers(1..=50), "{items}");
    }
}

/// Rows that come behind the key are not seen, rows that come before it are;
/// rows that go take nothing with them.
pub async fn changes_behind_the_key_change_nothing(tables: &dyn TestTables) {
    pairs(tables, 20).await;
    let mut source = tables.open(&spec("pairs")).await.unwrap();
    assert_eq!(values(&next(&mut *source, 8).await, "n"), numbers(1..=8));
    tables.execute("INSERT INTO pairs (b, a, n) VALUES ('a', 0, 101), ('zz', 2, 102)").await;
    tables.execute("DELETE FROM pairs WHERE n IN (3, 8, 10)").await;
    let expected = ["102", "9", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20"];
    assert_eq!(rest(&mut *source, 5, "n").await, expected);
}

/// A place is good although the row that it names is gone.
pub async fn reading_goes_on_behind_a_row_that_is_gone(tables: &dyn TestTables) {
    pairs(tables, 20).await;
    let mut source = tables.open(&spec("pairs")).await.unwrap();
    let end = next(&mut *source, 8).await.end;
    tables.execute("DELETE FROM pairs WHERE n <= 8").await;
    let mut again = tables.open(&spec("pairs")).await.unwrap();
    again.seek(&end).await.unwrap();
    let chunk = next(&mut *again, 100).await;
    assert_eq!(values(&chunk, "n"), numbers(9..=20));
    assert_eq!((chunk.start.ordinal, chunk.end.ordinal), (8, 20));
}

/// Texts of any kind are keys: in the database's own order, each once.
pub async fn any_text_is_a_key(tables: &dyn TestTables) {
    tables.execute("CREATE TABLE texts (k VARCHAR(40) NOT NULL PRIMARY KEY, n BIGINT)").await;
    let keys = ["", "a", "B", "b c", "''", "\"", "{\"a\"}", "ä", "\u{1f980}", "a,b", "[1]", "NULL"];
    for (n, key) in keys.iter().enumerate() {
        let key = key.replace('\'', "''");
        tables.execute(&format!("INSERT INTO texts VALUES ('{key}', {n}), ('{key}\n', 0)")).await;
    }
    for items in [1, 5] {
        let mut source = tables.open(&spec("texts")).await.unwrap();
        let read = rest(&mut *source, items, "k").await;
        let mut whole = tables.open(&spec("texts")).await.unwrap();
        assert_eq!(read, rest(&mut *whole, 0, "k").await, "{items}");
        let mut sorted = read;
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 2 * keys.len());
    }
}

/// A choice of columns, in its own order, and of rows.
pub async fn columns_and_rows_are_chosen(tables: &dyn TestTables) {
    pairs(tables, 20).await;
    let chosen = TableSpec {
        columns: vec!["n".into(), "b".into()],
        filter: Some("b = 'b1' OR n = 3 -- not the others".into()),
        ..spec("pairs")
    };
    let mut source = tables.open(&chosen).await.unwrap();
    let schema = source.schema();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["n", "b"]);
    assert_eq!(rest(&mut *source, 2, "n").await, ["1", "3", "4", "7", "10", "13", "16", "19"]);
}

/// Another unique key than the primary one.
pub async fn another_key_is_taken(tables: &dyn TestTables) {
    let create = "CREATE TABLE coded (id BIGINT NOT NULL PRIMARY KEY, code BIGINT NOT NULL UNIQUE)";
    tables.execute(create).await;
    tables.execute("INSERT INTO coded VALUES (1, 30), (2, 20), (3, 10)").await;
    let by_code = TableSpec { key: vec!["code".into()], ..spec("coded") };
    let mut source = tables.open(&by_code).await.unwrap();
    assert_eq!(rest(&mut *source, 2, "id").await, ["3", "2", "1"]);
}

/// What can't be read row by row is refused before it is read, and says why.
pub async fn what_has_no_key_is_refused(tables: &dyn TestTables) {
    tables.execute("CREATE TABLE loose (id BIGINT, n BIGINT NOT NULL)").await;
    tables.execute("CREATE TABLE maybe (id BIGINT NOT NULL PRIMARY KEY, n BIGINT UNIQUE)").await;
    tables.execute("INSERT INTO maybe VALUES (1, 1), (2, NULL)").await;
    let key = |table: &str, key: &str| TableSpec { key: vec![key.into()], ..spec(table) };
    let filter = |sql: &str| TableSpec { filter: Some(sql.into()), ..spec("maybe") };
    let cases = [
        (spec("loose"), "no primary key"),
        (key("loose", "n"), "no unique index"),
        (key("maybe", "n"), "may be NULL"),
        (key("maybe", "m"), "no column m"),
        (spec("missing"), "no table missing"),
        (TableSpec { columns: vec!["m".into()], ..spec("maybe") }, "no column m"),
        (TableSpec { watermark: Some("m".into()), ..spec("maybe") }, "no column m"),
        (filter("m = 1"), "m"),
        (filter("id = "), "table maybe"),
    ];
    for (spec, why) in cases {
        let fault = refusal(tables, &spec).await;
        assert_eq!(fault.kind(), Kind::Config, "{spec:?}: {fault}");
        assert!(fault.message().contains(why), "{spec:?}: {fault}");
    }
}

/// A snapshot sees one moment, the first that was looked at; without one, what
/// comes later is seen.
pub async fn a_snapshot_sees_one_moment(tables: &dyn TestTables) {
    pairs(tables, 20).await;
    for (snapshot, seen) in [(true, 20), (false, 25)] {
        let mut source = tables.open(&TableSpec { snapshot, ..spec("pairs") }).await.unwrap();
        let first = next(&mut *source, 5).await;
        if snapshot {
            insert_pairs(tables, 21..=25).await;
        }
        assert_eq!(rest(&mut *source, 5, "n").await, numbers(6..=seen));
        source.seek(&first.end).await.unwrap();
        assert_eq!(rest(&mut *source, 5, "n").await, numbers(6..=seen));
    }
}

/// A chunk closes at its bytes, and little more is held.
pub async fn large_rows_make_small_chunks(tables: &dyn TestTables) {
    tables.execute("CREATE TABLE large (id BIGINT NOT NULL PRIMARY KEY, t TEXT)").await;
    let text = "x".repeat(10_000);
    for id in 1..=40 {
        tables.execute(&format!("INSERT INTO large VALUES ({id}, '{text}')")).await;
    }
    let limits = ChunkLimits { items: 0, bytes: 64 << 10, age: Duration::ZERO };
    let mut source = tables.open(&spec("large")).await.unwrap();
    let mut rows = 0;
    while let Some(chunk) = source.next(&limits).await.unwrap() {
        assert!(chunk.items.len() <= 7, "{}", chunk.items.len());
        rows += chunk.items.len();
    }
    assert_eq!(rows, 40);
}

/// The fingerprint tells what is read, not what is there.
pub async fn the_fingerprint_is_of_the_table_not_its_rows(tables: &dyn TestTables) {
    pairs(tables, 5).await;
    let whole = tables.open(&spec("pairs")).await.unwrap().fingerprint();
    insert_pairs(tables, 6..=9).await;
    assert_eq!(tables.open(&spec("pairs")).await.unwrap().fingerprint(), whole);
    let others = [
        TableSpec { filter: Some("n > 0".into()), ..spec("pairs") },
        TableSpec { columns: vec!["n".into()], ..spec("pairs") },
        TableSpec { key: vec!["b".into(), "a".into()], ..spec("pairs") },
        TableSpec { watermark: Some("n".into()), ..spec("pairs") },
    ];
    for other in others {
        let print = tables.open(&other).await.unwrap().fingerprint();
        assert_ne!(print, whole, "{other:?}");
        let parts = format!("{print:?}");
        assert!(!parts.contains("password") && !parts.contains('@'), "{parts}");
    }
}

/// An item knows its table, its key and its row.
pub async fn an_item_knows_its_row(tables: &dyn TestTables) {
    pairs(tables, 9).await;
    let mut source = tables.open(&spec("pairs")).await.unwrap();
    next(&mut *source, 3).await;
    let chunk = next(&mut *source, 3).await;
    let origin = chunk.items.origins.origin(5);
    assert_eq!((origin.source.as_str(), origin.line, origin.offset), ("pairs", None, None));
    assert!(origin.key.is_some_and(|key| key.contains("b2") && key.contains('1')));
    assert_eq!(origin.raw, r#"{"b":"b2","a":1,"n":5}"#);
}

/// The rows of a table with a watermark.
pub(super) async fn changes(tables: &dyn TestTables, rows: &[(i64, Option<i64>)]) {
    let create = "CREATE TABLE changes (id BIGINT NOT NULL PRIMARY KEY, seen BIGINT)";
    tables.execute(create).await;
    for (id, seen) in rows {
        let seen = seen.map_or("NULL".to_owned(), |n| n.to_string());
        tables.execute(&format!("INSERT INTO changes VALUES ({id}, {seen})")).await;
    }
}

pub(super) fn watermark() -> TableSpec {
    TableSpec { watermark: Some("seen".into()), ..spec("changes") }
}

/// By the watermark, then by the key; a row without a watermark is none.
pub async fn changes_come_in_the_order_of_the_watermark(tables: &dyn TestTables) {
    changes(tables, &[(1, Some(9)), (2, Some(5)), (3, None), (4, Some(5)), (5, Some(7))]).await;
    for items in [1, 2, 9] {
        let mut source = tables.open(&watermark()).await.unwrap();
        assert_eq!(rest(&mut *source, items, "id").await, ["2", "4", "5", "1"]);
    }
}

/// The next run begins behind the last row of the one before: rows with the
/// same watermark are neither lost nor doubled.
pub async fn what_is_new_begins_behind_what_was_read(tables: &dyn TestTables) {
    changes(tables, &[(1, Some(5)), (2, Some(5)), (3, Some(6)), (4, Some(6)), (5, Some(6))]).await;
    let mut source = tables.open(&watermark()).await.unwrap();
    assert!(source.start_behind("").unwrap(), "it reads only what is new");
    assert_eq!(source.fingerprint().0.get(SINCE).map(String::as_str), Some(""));
    // As if the run before had ended in the middle of a tie.
    let place = next(&mut *source, 4).await.end.place;
    tables.execute("INSERT INTO changes VALUES (6, 6), (7, 7)").await;
    tables.execute("UPDATE changes SET seen = 8 WHERE id = 1").await;

    let mut source = tables.open(&watermark()).await.unwrap();
    assert!(source.start_behind(&place).unwrap());
    assert_eq!(source.fingerprint().0.get(SINCE), Some(&place));
    let first = next(&mut *source, 1).await;
    assert_eq!((values(&first, "id"), first.end.ordinal), (vec!["5".to_owned()], 1));
    assert_eq!(rest(&mut *source, 2, "id").await, ["6", "7", "1"]);
    source.seek(&kiln_core::Position::default()).await.unwrap();
    assert_eq!(rest(&mut *source, 2, "id").await, ["5", "6", "7", "1"], "its start is there");
    source.seek(&first.end).await.unwrap();
    assert_eq!(rest(&mut *source, 2, "id").await, ["6", "7", "1"]);
}

/// A table that is read whole has no use for a place to begin at, and a foreign
/// place is refused.
pub async fn only_a_watermark_begins_behind_a_place(tables: &dyn TestTables) {
    changes(tables, &[(1, Some(1)), (2, Some(2))]).await;
    let mut whole = tables.open(&spec("changes")).await.unwrap();
    assert!(!whole.start_behind("[1]").unwrap());
    assert_eq!(rest(&mut *whole, 9, "id").await, ["1", "2"]);
    let mut new = tables.open(&watermark()).await.unwrap();
    assert_eq!(new.start_behind("[1]").unwrap_err().kind(), Kind::Config);
}
