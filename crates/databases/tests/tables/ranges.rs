//! Tables that are read in ranges, side by side.

use std::sync::Arc;
use std::time::Duration;

use kiln_core::{ChunkLimits, Kind, Source, TableName, TableSpec};
use kiln_databases::{Database, connect};
use kiln_testkit::{TestDatabase, mysql, postgres, sqlite};
use proptest::prelude::*;
use tokio::runtime::Runtime;

fn spec(ranges: usize) -> TableSpec {
    TableSpec { ranges, ..TableSpec::new(TableName::parse("t").unwrap()) }
}

fn limits(items: usize) -> ChunkLimits {
    ChunkLimits { items, ..ChunkLimits::default() }
}

/// The keys of all items that are left, and of those that can't be read.
async fn keys(source: &mut dyn Source, items: usize) -> Vec<String> {
    let mut keys = Vec::new();
    while let Some(chunk) = source.next(&limits(items)).await.unwrap() {
        for ordinal in chunk.start.ordinal + 1..=chunk.end.ordinal {
            keys.push(chunk.items.origins.origin(ordinal).key.unwrap());
        }
    }
    keys
}

/// The rows of one reader, each once and in one order, whichever pages there are
/// and wherever reading goes on.
async fn same_as_one_reader(database: &Arc<dyn Database>, ranges: usize, items: usize) {
    let mut expected = keys(&mut *database.source(&spec(1)).await.unwrap(), 0).await;
    let mut source = database.source(&spec(ranges)).await.unwrap();
    let order = keys(&mut *source, items).await;
    let mut sorted = order.clone();
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected, "{ranges} ranges, {items} items");

    source.seek(&kiln_core::Position::default()).await.unwrap();
    let Some(first) = source.next(&limits(items)).await.unwrap() else { return };
    let mut again = database.source(&spec(ranges)).await.unwrap();
    again.seek(&first.end).await.unwrap();
    assert_eq!(keys(&mut *again, 97).await, order[first.end.ordinal as usize..]);
}

/// A key of SQLite's, which may be anything: as it is written.
fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        (-40..40_i64).prop_map(|n| n.to_string()),
        any::<i32>().prop_map(|n| n.to_string()),
        (-40..40_i32).prop_map(|n| format!("{n}.5")),
        "[a-cA-C0-9 ']{0,3}".prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
        "[0-9a-f]{2}".prop_map(|hex| format!("x'{hex}'")),
    ]
}

async fn fill(plain: &TestDatabase, create: &str, keys: &[String]) -> Arc<dyn Database> {
    plain.execute(&format!("DROP TABLE IF EXISTS t; {create}")).await;
    if !keys.is_empty() {
        plain.execute(&format!("INSERT INTO t VALUES {}", keys.join(", "))).await;
    }
    connect(&plain.url, None).await.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_keys_of_sqlite(
        keys in prop::collection::vec((any_key(), any_key()), 0..300),
        ranges in 2..7_usize, items in 1..90_usize,
    ) {
        Runtime::new().unwrap().block_on(async {
            let plain = sqlite();
            plain.execute("PRAGMA journal_mode = WAL").await;
            for create in [
                "CREATE TABLE t (k PRIMARY KEY ON CONFLICT IGNORE)",
                "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY ON CONFLICT IGNORE) WITHOUT ROWID",
            ] {
                let rows: Vec<String> = keys.iter().map(|(a, _)| format!("({a})")).collect();
                same_as_one_reader(&fill(&plain, create, &rows).await, ranges, items).await;
            }
            let create = "CREATE TABLE t (a, b TEXT, PRIMARY KEY (a, b) ON CONFLICT IGNORE)";
            let rows: Vec<String> = keys.iter().map(|(a, b)| format!("({a}, {b})")).collect();
            same_as_one_reader(&fill(&plain, create, &rows).await, ranges, items).await;
        });
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn any_keys_of_servers(
        numbers in prop::collection::btree_set(any::<i32>(), 0..200),
        texts in prop::collection::btree_set("[a-cA-C0-9 äß]{0,4}x", 0..200),
        ranges in 2..7_usize, items in 1..90_usize,
    ) {
        Runtime::new().unwrap().block_on(async {
            let rows: Vec<String> = numbers.iter().map(|n| format!("({n})")).collect();
            let texts: Vec<String> = texts.iter().map(|t| format!("('{t}', 1)")).collect();
            for plain in [postgres().await, mysql().await] {
                let is_mysql = plain.url.starts_with("mysql");
                let binary = if is_mysql { " COLLATE utf8mb4_bin" } else { "" };
                let create = "CREATE TABLE t (k integer PRIMARY KEY)";
                same_as_one_reader(&fill(&plain, create, &rows).await, ranges, items).await;
                let create = format!(
                    "CREATE TABLE t (a varchar(9){binary}, b integer, PRIMARY KEY (b, a))"
                );
                same_as_one_reader(&fill(&plain, &create, &texts).await, ranges, items).await;
            }
        });
    }
}

/// Both ends of a range, and the keys where it is cut, are found by the index.
#[tokio::test]
async fn ranges_are_found_by_the_index() {
    let (plain, file, maria) = (postgres().await, sqlite(), mysql().await);
    let create = "CREATE TABLE t (a bigint NOT NULL, b varchar(9) NOT NULL, PRIMARY KEY (a, b))";
    let series = "INSERT INTO t SELECT n / 3, n FROM generate_series(1, 30000) n; ANALYZE t";
    plain.execute(&format!("{create}; {series}")).await;
    file.execute(create).await;
    let series = "INSERT INTO t SELECT seq div 3, seq FROM seq_1_to_30000; ANALYZE TABLE t";
    maria.execute(&format!("{create}; {series}")).await;
    let behind = "(t.a, t.b) > (5000, 'x')";
    let upto = "(t.a, t.b) <= (7000, 'x')";
    let page = format!("({behind}\n) AND ({upto}\n) ORDER BY t.a, t.b LIMIT 100");
    let cut = format!("({upto}\n) ORDER BY t.a DESC, t.b DESC LIMIT 1");
    for (rows, bounds) in [(page, 2), (cut, 1)] {
        let plan = plain.query(&format!("EXPLAIN SELECT t.a FROM t WHERE {rows}")).await;
        let plan = format!("{plan:?}");
        assert_eq!(plan.matches("ROW(a, b)").count(), bounds, "{plan}");
        assert!(plan.contains("Index Cond") && !plan.contains("Sort"), "{plan}");
        let plan = file.query(&format!("EXPLAIN QUERY PLAN SELECT t.a FROM t WHERE {rows}")).await;
        let plan = format!("{plan:?}");
        assert_eq!(plan.matches("(a,b)").count(), bounds, "{plan}");
        assert!(plan.contains("SEARCH t USING") && !plan.contains("TEMP B-TREE"), "{plan}");
        let written_out = rows
            .replace(behind, "t.a >= 5000 AND (t.a > 5000 OR (t.a = 5000 AND t.b > 'x'))")
            .replace(upto, "t.a <= 7000 AND (t.a < 7000 OR (t.a = 7000 AND t.b <= 'x'))");
        let from = "FROM t FORCE INDEX (`PRIMARY`)";
        let plan = maria.query(&format!("EXPLAIN SELECT t.a {from} WHERE {written_out}")).await;
        let row: Vec<String> = plan.concat().into_iter().map(Option::unwrap_or_default).collect();
        let [_, _, _, access, _, index, .., extra] = &row[..] else { panic!("{row:?}") };
        assert_eq!((access.as_str(), index.as_str()), ("range", "PRIMARY"), "{row:?}");
        assert!(!extra.contains("filesort"), "{row:?}");
    }
}

async fn numbers(plain: &TestDatabase, rows: std::ops::RangeInclusive<i64>) {
    let rows: Vec<String> = rows.map(|n| format!("({n})")).collect();
    plain.execute(&format!("INSERT INTO t VALUES {}", rows.join(", "))).await;
}

/// All ranges see the moment at which the first was read, also those whose turn
/// comes late, and also after a seek.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_share_a_snapshot() {
    for plain in [sqlite(), postgres().await] {
        if plain.url.starts_with("sqlite") {
            plain.execute("PRAGMA journal_mode = WAL").await;
        }
        plain.execute("CREATE TABLE t (n bigint PRIMARY KEY)").await;
        numbers(&plain, 1..=900).await;
        let database = connect(&plain.url, None).await.unwrap();
        let snapshot = TableSpec { snapshot: true, ..spec(3) };
        let mut source = database.source(&snapshot).await.unwrap();
        let first = source.next(&limits(30)).await.unwrap().unwrap();
        plain.execute("DELETE FROM t WHERE n % 2 = 0").await;
        numbers(&plain, 901..=999).await;
        assert_eq!(keys(&mut *source, 30).await.len(), 870, "{}", plain.url);
        source.seek(&first.end).await.unwrap();
        assert_eq!(keys(&mut *source, 30).await.len(), 870, "{}", plain.url);

        let mut now = database.source(&snapshot).await.unwrap();
        assert_eq!(keys(&mut *now, 100).await.len(), 450 + 99);
    }
}

/// Nobody writes between the first snapshot and the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_of_ranges_are_of_one_moment() {
    for plain in [sqlite(), postgres().await] {
        if plain.url.starts_with("sqlite") {
            plain.execute("PRAGMA journal_mode = WAL").await;
        }
        plain.execute("CREATE TABLE t (n bigint PRIMARY KEY, moved bigint)").await;
        let rows: Vec<String> = (1..=200).map(|n| format!("({n}, 0)")).collect();
        plain.execute(&format!("INSERT INTO t VALUES {}", rows.join(", "))).await;
        let database = connect(&plain.url, None).await.unwrap();
        let snapshot = TableSpec { snapshot: true, ..spec(6) };
        let plain = Arc::new(plain);
        let writer = Arc::clone(&plain);
        let writing = tokio::spawn(async move {
            loop {
                writer.execute("UPDATE t SET moved = moved + 1").await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        for _ in 0..10 {
            let mut source = database.source(&snapshot).await.unwrap();
            let mut moments = Vec::new();
            while let Some(chunk) = source.next(&limits(40)).await.unwrap() {
                for ordinal in chunk.items.ordinals.iter().copied() {
                    let raw = chunk.items.origins.origin(ordinal).raw;
                    moments.push(raw.split_once("\"moved\":").unwrap().1.to_owned());
                }
            }
            assert_eq!(moments.len(), 200);
            moments.dedup();
            assert_eq!(moments.len(), 1, "{}: {moments:?}", plain.url);
        }
        writing.abort();
    }
}

/// In MySQL and MariaDB no connection can see what another one does.
#[tokio::test]
async fn ranges_without_a_common_snapshot_are_refused() {
    let plain = mysql().await;
    plain.execute("CREATE TABLE t (n bigint PRIMARY KEY)").await;
    numbers(&plain, 1..=20).await;
    let database = connect(&plain.url, None).await.unwrap();
    let fault = database.source(&TableSpec { snapshot: true, ..spec(2) }).await.err().unwrap();
    assert_eq!(fault.kind(), Kind::Config);
    assert!(fault.message().contains("by a snapshot"), "{fault}");

    let mut ranges = database.source(&spec(2)).await.unwrap();
    let end = ranges.next(&limits(5)).await.unwrap().unwrap().end;
    let mut source = database.source(&TableSpec { snapshot: true, ..spec(1) }).await.unwrap();
    source.seek(&end).await.unwrap();
    assert_eq!(source.next(&limits(5)).await.unwrap_err().kind(), Kind::Config);
}

/// A lost connection is a moment's fault: after a seek all ranges go on.
#[tokio::test]
async fn ranges_outlive_a_lost_connection() {
    let plain = postgres().await;
    plain.execute("CREATE TABLE t (n bigint PRIMARY KEY)").await;
    numbers(&plain, 1..=3_000).await;
    let database = connect(&plain.url, None).await.unwrap();
    let mut source = database.source(&spec(3)).await.unwrap();
    let first = source.next(&limits(200)).await.unwrap().unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    plain.query(end).await;
    let (mut at, mut read) = (first.end, first.items.len());
    loop {
        match source.next(&limits(200)).await {
            Ok(None) => break,
            Ok(Some(chunk)) => (at, read) = (chunk.end, read + chunk.items.len()),
            Err(fault) => {
                assert!(fault.is_transient(), "{fault}");
                source.seek(&at).await.unwrap();
            }
        }
    }
    assert_eq!(read, 3_000);
}
