//! What holds for a table of any rows that is read in any ranges.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_schema::{DataType, Field, Schema};
use async_trait::async_trait;
use kiln_core::{Cell, Chunk, ChunkLimits, Position, Result, Source, TableName, TableSpec};
use proptest::prelude::*;

use super::page::{Misfit, Page};
use super::place::{Key, KeyValue};
use super::source::{Described, Pages, TableSource};
use super::window::Window;

/// Keys of one or two numbers, in the order of a database.
type Keys = Arc<Rows>;

struct Rows {
    values: usize,
    there: Mutex<BTreeSet<Vec<i64>>>,
}

/// A table in memory. Its only column is the first number of its key, which is
/// unreadable where it can be divided by seven.
struct Table {
    keys: Keys,
    columns: usize,
}

fn numbers(key: &Key) -> Vec<i64> {
    let number = |value: &KeyValue| match value {
        KeyValue::Int(i) => *i,
        other => panic!("{other:?}"),
    };
    key.iter().map(number).collect()
}

#[async_trait]
impl Pages for Table {
    async fn read(&mut self, window: &Window, mut page: Page) -> Result<Page> {
        tokio::task::yield_now().await;
        let (behind, upto) =
            (window.behind.as_ref().map(numbers), window.upto.as_ref().map(numbers));
        let is_in = |key: &&Vec<i64>| {
            behind.as_ref().is_none_or(|b| *key > b) && upto.as_ref().is_none_or(|u| *key <= u)
        };
        let keys = self.keys.there.lock().unwrap();
        let mut found: Vec<&Vec<i64>> = keys.iter().filter(is_in).collect();
        if window.is_backwards {
            found.reverse();
        }
        for key in found.into_iter().skip(window.skip).take(window.most) {
            let misfit = || Misfit { raw: key[0].to_string(), why: "is odd".to_owned() };
            let cell = if key[0] % 7 == 0 { Err(misfit()) } else { Ok(Cell::Int(key[0])) };
            page.push(key.iter().map(|i| KeyValue::Int(*i)).collect(), &vec![cell; self.columns])?;
            if page.is_full() {
                break;
            }
        }
        Ok(page)
    }

    fn another(&self) -> Self {
        Self { keys: Arc::clone(&self.keys), columns: self.columns }
    }

    fn of_keys(&self) -> Self {
        Self { keys: Arc::clone(&self.keys), columns: 0 }
    }

    async fn agree(_: &mut [Self]) -> Result<()> {
        Ok(())
    }
}

fn table(keys: BTreeSet<Vec<i64>>) -> Keys {
    Arc::new(Rows { values: keys.first().map_or(1, Vec::len), there: Mutex::new(keys) })
}

fn source(keys: &Keys, ranges: usize) -> TableSource<Table> {
    let described = Described {
        database: "memory".to_owned(),
        schema: Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)])),
        order: vec!["k".to_owned(); keys.values],
        is_number: true,
    };
    let spec = TableSpec { ranges, ..TableSpec::new(TableName::parse("t").unwrap()) };
    TableSource::new(&spec, described, Table { keys: Arc::clone(keys), columns: 1 }).unwrap()
}

fn limits(items: usize) -> ChunkLimits {
    ChunkLimits { items, bytes: 0, age: Duration::ZERO }
}

async fn rest(source: &mut TableSource<Table>, items: usize) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    while let Some(chunk) = source.next(&limits(items)).await.unwrap() {
        chunks.push(chunk);
    }
    chunks
}

/// The keys of all items by their ordinals, and whether they could be read.
fn seen(chunks: &[Chunk]) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    for chunk in chunks {
        for ordinal in chunk.start.ordinal + 1..=chunk.end.ordinal {
            let origin = chunk.items.origins.origin(ordinal);
            let failed = chunk.failures.iter().any(|failure| failure.ordinal == ordinal);
            assert_ne!(failed, chunk.items.ordinals.contains(&ordinal));
            assert!(origin.raw.starts_with("{\"n\":"), "{}", origin.raw);
            all.push((origin.key.unwrap(), failed));
        }
        assert_eq!(chunk.items.len(), chunk.items.batch.num_rows());
    }
    all
}

fn keys() -> impl Strategy<Value = BTreeSet<Vec<i64>>> {
    let near = -300..300_i64;
    let far = prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()];
    prop_oneof![
        prop::collection::btree_set(prop::collection::vec(near.clone(), 1), 0..400),
        prop::collection::btree_set(prop::collection::vec(far, 1), 0..60),
        prop::collection::btree_set(prop::collection::vec(0..9_i64, 2), 0..80),
        prop::collection::btree_set(prop::collection::vec(near, 2), 0..300),
    ]
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Every row once; in one order, however it is cut; and from the end of any
    /// chunk on, by a source that was told another number of ranges.
    #[test]
    fn ranges_give_each_row_once_in_one_order(
        keys in keys(), ranges in 2..9_usize, items in 1..50_usize, other in 1..9_usize,
    ) {
        let keys = table(keys);
        block_on(async {
            let mut one = seen(&rest(&mut source(&keys, 1), 0).await);
            let whole = rest(&mut source(&keys, ranges), 0).await;
            let order = seen(&whole);
            let mut sorted = order.clone();
            sorted.sort();
            one.sort();
            assert_eq!(sorted, one);

            let mut cut = source(&keys, ranges);
            let start = cut.start().await.unwrap();
            assert_eq!(start.ordinal, 0);
            let chunks = rest(&mut cut, items).await;
            assert_eq!(seen(&chunks), order);
            let mut at = Position::default();
            for end in [start].into_iter().chain(chunks.iter().map(|c| c.end.clone())).step_by(3) {
                let mut again = source(&keys, other);
                again.seek(&end).await.unwrap();
                let rest = rest(&mut again, items + 1).await;
                assert_eq!(seen(&rest), order[end.ordinal as usize..], "{end:?}");
                at = end;
            }
            cut.seek(&at).await.unwrap();
            assert_eq!(seen(&rest(&mut cut, 3).await), order[at.ordinal as usize..]);
        });
    }

    /// What comes or goes before the keys that ranges are at changes nothing,
    /// what goes behind them is not read: whatever else is there is.
    #[test]
    fn what_changes_behind_the_readers_is_no_trouble(
        keys in keys(), ranges in 2..6_usize, gone in any::<prop::sample::Selector>(), n in 0..80_usize,
    ) {
        let all = keys.clone();
        let keys = table(keys);
        block_on(async {
            let mut before = source(&keys, ranges);
            let mut read: Vec<(String, bool)> = Vec::new();
            let mut at = Position::default();
            if let Some(chunk) = before.next(&limits(n + 1)).await.unwrap() {
                at = chunk.end.clone();
                read = seen(&[chunk]);
            }
            let gone: Option<&Vec<i64>> = (!all.is_empty()).then(|| gone.select(all.iter()));
            gone.iter().for_each(|key| {
                keys.there.lock().unwrap().remove(*key);
            });
            let mut after = source(&keys, ranges);
            after.seek(&at).await.unwrap();
            read.extend(seen(&rest(&mut after, 7).await));
            let mut once = read.clone();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), read.len(), "a row came twice");
            assert!(read.len() + gone.iter().len() >= all.len(), "a row is lost");
        });
    }
}

/// Ranges are alike, whatever gaps there are between the keys.
#[tokio::test]
async fn ranges_are_alike() {
    let dense = |from: i64| (from..from + 1_000).map(|n| vec![n]);
    let tables: [BTreeSet<Vec<i64>>; 4] = [
        dense(1).collect(),
        dense(1).chain([vec![i64::MAX]]).collect(),
        [vec![i64::MIN]].into_iter().chain(dense(-5_000)).chain(dense(7_000_000)).collect(),
        (0..1_000).map(|n| vec![n / 900, n]).collect(),
    ];
    for (i, keys) in tables.into_iter().enumerate() {
        let rows = keys.len();
        let keys = table(keys);
        let mut source = source(&keys, 4);
        let start = source.start().await.unwrap().place;
        let place: serde_json::Value = serde_json::from_str(&start).unwrap();
        let mut bounds: Vec<Vec<i64>> = Vec::new();
        for range in place["ranges"].as_array().unwrap() {
            bounds.extend(serde_json::from_value::<Vec<i64>>(range[1].clone()));
        }
        assert!(bounds.len() >= 2, "{i}: {bounds:?}");
        let mut before: Option<Vec<i64>> = None;
        for upto in bounds.into_iter().map(Some).chain([None]) {
            let keys = keys.there.lock().unwrap();
            let is_in = |key: &&Vec<i64>| {
                before.as_ref().is_none_or(|b| *key > b) && upto.as_ref().is_none_or(|u| *key <= u)
            };
            let size = keys.iter().filter(is_in).count();
            assert!(size <= rows * 55 / 100, "{i}: {size} of {rows} up to {upto:?}");
            before = upto;
        }
    }
}

/// So many ranges can't be.
#[test]
fn a_number_of_ranges_has_bounds() {
    for ranges in [0, TableSpec::MOST_RANGES + 1] {
        let described = Described {
            database: String::new(),
            schema: Arc::new(Schema::empty()),
            order: Vec::new(),
            is_number: false,
        };
        let spec = TableSpec { ranges, ..TableSpec::new(TableName::parse("t").unwrap()) };
        let pages = Table { keys: table(BTreeSet::new()), columns: 0 };
        assert!(TableSource::new(&spec, described, pages).is_err());
    }
}
