//! Looking up and creating, against a catalog in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by it")]

use std::sync::{Arc, Mutex};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use kiln_core::{
    Catalog, CellColumn, Fault, Items, Key, Kind, Mapped, Mapper, NoOrigins, Result, Stage,
    WriteColumn,
};
use kiln_matching::{MatchMapper, MatchSpec, Missing};
use proptest::prelude::*;

/// A table `items(id, code unique, name not null)` in memory.
#[derive(Debug, Default)]
struct Table {
    state: Mutex<State>,
    text_keys: bool,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct State {
    rows: Vec<(String, String)>,
    loads: usize,
    /// The codes of each call, in order.
    asked: Vec<Vec<String>>,
    unreachable: bool,
}

impl Table {
    fn with(rows: &[(&str, &str)]) -> Arc<Self> {
        let table = Self::default();
        table.state.lock().unwrap().rows =
            rows.iter().map(|(c, n)| ((*c).to_owned(), (*n).to_owned())).collect();
        Arc::new(table)
    }

    fn state(&self) -> State {
        self.state.lock().unwrap().clone()
    }

    fn set_unreachable(&self, unreachable: bool) {
        self.state.lock().unwrap().unreachable = unreachable;
    }

    fn key(&self, index: usize) -> Key {
        if self.text_keys { Key::Text(format!("k{index}")) } else { Key::Int(index as i64 + 1) }
    }
}

fn unreachable() -> Fault {
    Fault::new(Kind::Unreachable, "the connection is gone")
}

#[async_trait]
impl Catalog for Table {
    async fn key_is_integer(&self) -> Result<bool> {
        Ok(!self.text_keys)
    }

    async fn load(&self) -> Result<Vec<(Key, Vec<Option<String>>)>> {
        let mut state = self.state.lock().unwrap();
        state.loads += 1;
        if state.unreachable {
            return Err(unreachable());
        }
        let rows = state.rows.iter().enumerate();
        Ok(rows.map(|(i, (code, _))| (self.key(i), vec![Some(code.clone())])).collect())
    }

    async fn find_or_create(&self, rows: &RecordBatch) -> Result<Vec<Result<Key>>> {
        let names: Vec<_> = rows.schema_ref().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, ["code", "name"]);
        let columns = CellColumn::of(rows).unwrap();
        let mut state = self.state.lock().unwrap();
        let cell = |c: usize, r: usize| columns[c].cell(r);
        state.asked.push((0..rows.num_rows()).map(|r| cell(0, r).to_string()).collect());
        if state.unreachable {
            return Err(unreachable());
        }
        let mut answers = Vec::new();
        for row in 0..rows.num_rows() {
            let code = cell(0, row).to_string();
            if let Some(i) = state.rows.iter().position(|(c, _)| *c == code) {
                answers.push(Ok(self.key(i)));
            } else if cell(1, row).is_null() {
                answers.push(Err(Fault::item("items.name: NULL").with_code("23502")));
            } else {
                state.rows.push((code, cell(1, row).to_string()));
                answers.push(Ok(self.key(state.rows.len() - 1)));
            }
        }
        Ok(answers)
    }
}

fn input() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("stock_code", DataType::Utf8, true),
        Field::new("description", DataType::Utf8, true),
        Field::new("number", DataType::Int64, true),
    ]))
}

type Line<'a> = (Option<&'a str>, Option<&'a str>);

fn items(lines: &[Line<'_>]) -> Items {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter(lines.iter().map(|l| l.0))),
        Arc::new(StringArray::from_iter(lines.iter().map(|l| l.1))),
        Arc::new(Int64Array::from_iter_values(0..lines.len() as i64)),
    ];
    Items {
        batch: RecordBatch::try_new(input(), columns).unwrap(),
        ordinals: (1..=lines.len() as u64).collect(),
        origins: Arc::new(NoOrigins),
    }
}

fn column(column: &str, from: &str) -> WriteColumn {
    WriteColumn { column: column.into(), from: from.into() }
}

fn spec(missing: Missing) -> MatchSpec {
    MatchSpec {
        column: "item_id".into(),
        table: "items".into(),
        on: vec![column("code", "stock_code")],
        create: vec![column("code", "stock_code"), column("name", "description")],
        missing,
    }
}

fn mapper(table: &Arc<Table>, missing: Missing) -> MatchMapper {
    let catalog = Arc::clone(table) as Arc<dyn Catalog>;
    MatchMapper::new(spec(missing), catalog, !table.text_keys, input()).unwrap()
}

async fn map(mapper: &mut MatchMapper, items: Items) -> Mapped {
    let count = items.len();
    let mapped = mapper.map(items).await.unwrap();
    assert_eq!(mapped.items.len() + mapped.failures.len(), count);
    assert_eq!(mapped.items.batch.num_rows(), mapped.items.len());
    assert_eq!(mapped.items.batch.schema(), mapper.schema());
    assert!(mapped.failures.is_sorted_by_key(|f| f.ordinal));
    assert_eq!(mapped.filtered.len(), 0);
    mapped
}

/// The key of each item that goes on.
fn keys(mapped: &Mapped) -> Vec<(u64, Option<i64>)> {
    let keys = mapped.items.batch.column_by_name("item_id").unwrap();
    let keys = keys.as_primitive::<Int64Type>().iter();
    mapped.items.ordinals.iter().copied().zip(keys).collect()
}

fn failed(mapped: &Mapped) -> Vec<(u64, &str)> {
    assert!(mapped.failures.iter().all(|f| f.stage == Stage::Match));
    mapped.failures.iter().map(|f| (f.ordinal, f.fault.code().unwrap_or(""))).collect()
}

#[tokio::test]
async fn the_second_sighting_finds_what_the_first_created() {
    let table = Table::with(&[("A", "first")]);
    let mut mapper_1 = mapper(&table, Missing::Create);
    assert_eq!(table.state().loads, 0, "the catalog may not be there yet");

    let lines = [(Some("B"), Some("b")), (Some("A"), Some("x")), (Some("B"), Some("y"))];
    let mapped = map(&mut mapper_1, items(&lines)).await;
    assert_eq!(keys(&mapped), [(1, Some(2)), (2, Some(1)), (3, Some(2))]);
    let mapped = map(&mut mapper_1, items(&[(Some("C"), Some("c")), (Some("B"), None)])).await;
    assert_eq!(keys(&mapped), [(1, Some(3)), (2, Some(2))]);
    assert_eq!(table.state().loads, 1);
    assert_eq!(table.state().asked, [["B"], ["C"]]);

    let mut later = mapper(&table, Missing::Create);
    let mapped = map(&mut later, items(&[(Some("C"), None), (Some("A"), None)])).await;
    assert_eq!(keys(&mapped), [(1, Some(3)), (2, Some(1))]);
    let state = table.state();
    assert_eq!((state.loads, state.asked.len()), (2, 2));
    let rows = [("A", "first"), ("B", "b"), ("C", "c")].map(|(c, n)| (c.into(), n.into()));
    assert_eq!(state.rows, rows);
}

#[tokio::test]
async fn new_rows_of_a_batch_are_asked_for_at_once_in_order() {
    let table = Table::with(&[]);
    let codes: Vec<String> = (0..500).map(|i| format!("{}", i % 50)).collect();
    let lines: Vec<Line<'_>> = codes.iter().map(|c| (Some(c.as_str()), Some("n"))).collect();
    let mapped = map(&mut mapper(&table, Missing::Create), items(&lines)).await;
    assert_eq!(mapped.items.len(), 500);
    assert_eq!(table.state().asked, [codes[..50].to_vec()]);
}

#[tokio::test]
async fn a_refused_row_is_tried_with_the_next_items_values() {
    let table = Table::with(&[]);
    let lines = [
        (Some("A"), None),
        (Some("B"), Some("b")),
        (Some("A"), None),
        (Some("A"), Some("third")),
        (Some("C"), None),
        (Some("A"), None),
        (Some("A"), Some("fifth")),
    ];
    let mapped = map(&mut mapper(&table, Missing::Create), items(&lines)).await;
    assert_eq!(failed(&mapped), [(1, "23502"), (3, "23502"), (5, "23502")]);
    assert_eq!(mapped.failures[0].fault.message(), "items.name: NULL");
    assert_eq!(keys(&mapped), [(2, Some(1)), (4, Some(2)), (6, Some(2)), (7, Some(2))]);
    assert_eq!(table.state().rows, [("B", "b"), ("A", "third")].map(|(c, n)| (c.into(), n.into())));
    assert_eq!(table.state().asked, [vec!["A", "B", "C"], vec!["A"], vec!["A"]]);
}

#[tokio::test]
async fn an_item_without_a_key_fails() {
    let table = Table::with(&[("A", "a")]);
    for missing in [Missing::Create, Missing::Reject, Missing::Null] {
        let lines = [(Some("A"), None), (None, Some("x")), (Some("A"), None)];
        let mapped = map(&mut mapper(&table, missing), items(&lines)).await;
        assert_eq!(keys(&mapped), [(1, Some(1)), (3, Some(1))]);
        assert_eq!(failed(&mapped), [(2, "no_key")]);
        let fault = &mapped.failures[0].fault;
        assert_eq!((fault.kind(), fault.column()), (Kind::Item, Some("stock_code")));
        assert!(fault.message().contains("items") && fault.message().contains("is NULL"));
    }
    assert_eq!(table.state().asked.len(), 0);
}

#[tokio::test]
async fn what_is_missing_is_rejected_or_null_as_asked() {
    let table = Table::with(&[("A", "a")]);
    let lines = [(Some("A"), None), (Some("a"), Some("x")), (Some("A "), Some("x"))];
    let mapped = map(&mut mapper(&table, Missing::Reject), items(&lines)).await;
    assert_eq!(keys(&mapped), [(1, Some(1))]);
    assert_eq!(failed(&mapped), [(2, "no_match"), (3, "no_match")]);
    assert_eq!(mapped.failures[1].fault.message(), "items has no row with code = 'A '");

    let mapped = map(&mut mapper(&table, Missing::Null), items(&lines)).await;
    assert_eq!(keys(&mapped), [(1, Some(1)), (2, None), (3, None)]);
    assert_eq!(table.state().asked.len(), 0);
}

#[tokio::test]
async fn a_preview_creates_nothing() {
    let table = Table::with(&[("A", "a")]);
    let lines = [(Some("A"), None), (Some("B"), Some("b")), (None, None)];
    let mapped = map(&mut mapper(&table, Missing::Create).read_only(), items(&lines)).await;
    assert_eq!(keys(&mapped), [(1, Some(1)), (2, None)]);
    assert_eq!(failed(&mapped), [(3, "no_key")]);
    assert_eq!(table.state().rows.len(), 1);
    assert_eq!(table.state().asked.len(), 0);
}

#[tokio::test]
async fn a_catalog_out_of_reach_is_an_error_and_leaves_the_mapper_as_it_was() {
    let table = Table::with(&[("A", "a")]);
    let mut mapper = mapper(&table, Missing::Create);
    let lines = [(Some("A"), None), (Some("B"), Some("b"))];

    table.set_unreachable(true);
    assert_eq!(mapper.map(items(&lines)).await.unwrap_err().kind(), Kind::Unreachable);
    table.set_unreachable(false);
    assert_eq!(keys(&map(&mut mapper, items(&lines[..1])).await), [(1, Some(1))]);

    table.set_unreachable(true);
    assert_eq!(mapper.map(items(&lines)).await.unwrap_err().kind(), Kind::Unreachable);
    table.set_unreachable(false);
    assert_eq!(keys(&map(&mut mapper, items(&lines)).await), [(1, Some(1)), (2, Some(2))]);
    assert_eq!(table.state().loads, 2);
}

#[tokio::test]
async fn keys_may_be_text_and_values_may_be_numbers() {
    let table = Arc::new(Table { text_keys: true, ..Table::default() });
    let mut spec = spec(Missing::Create);
    spec.on = vec![column("code", "number")];
    spec.create = vec![column("code", "number"), column("name", "description")];
    let catalog = Arc::clone(&table) as Arc<dyn Catalog>;
    let mut mapper = MatchMapper::new(spec, catalog, false, input()).unwrap();
    let mapped = map(&mut mapper, items(&[(None, Some("a")), (None, Some("b"))])).await;
    let keys = mapped.items.batch.column_by_name("item_id").unwrap();
    let keys: Vec<_> = keys.as_string::<i32>().iter().flatten().collect();
    assert_eq!(keys, ["k0", "k1"]);
    assert_eq!(table.state().rows[1], ("1".to_owned(), "b".to_owned()));
}

/// An item may have become several rows before: it fails whole, once.
#[tokio::test]
async fn an_item_of_several_rows_fails_whole() {
    let table = Table::with(&[("A", "a")]);
    let mut several = items(&[(Some("A"), None), (None, None), (None, None), (Some("A"), None)]);
    several.ordinals = vec![3, 3, 3, 4];
    let mapped = mapper(&table, Missing::Null).map(several).await.unwrap();
    assert_eq!(keys(&mapped), [(4, Some(1))]);
    assert_eq!(failed(&mapped), [(3, "no_key")]);
}

#[test]
fn a_look_up_that_does_not_fit_is_refused() {
    let refused = |change: &dyn Fn(&mut MatchSpec)| {
        let mut spec = spec(Missing::Create);
        change(&mut spec);
        let table = Table::with(&[]);
        let fault = MatchMapper::new(spec, table, true, input()).unwrap_err();
        assert_eq!(fault.kind(), Kind::Config);
        assert!(fault.message().starts_with("match with items: "), "{fault}");
        format!("{fault} / {}", fault.hint().unwrap_or_default())
    };
    type Change<'a> = &'a dyn Fn(&mut MatchSpec);
    let cases: [(Change<'_>, &str); 6] = [
        (&|s| s.on.clear(), "no column to find a row by"),
        (&|s| s.column = "number".into(), "the item has a column number already"),
        (&|s| s.on[0].from = "stok".into(), "would not be found again by code"),
        (
            &|s| s.create.clear(),
            "would not be found again by code / fill it: create = { code = \"stock_code\"",
        ),
        (&|s| s.create[0].from = "description".into(), "would not be found again by code"),
        (
            &|s| s.create[1].from = "nothing".into(),
            "the item has no column nothing / there are: stock_code, description, number",
        ),
    ];
    for (change, words) in cases {
        let text = refused(change);
        assert!(text.contains(words), "says: {text}\nnot:  {words}");
    }
}

type Told = (Vec<(u64, Option<i64>)>, Vec<(u64, String)>, Vec<(String, String)>);

async fn in_pieces(lines: &[Line<'_>], sizes: &[usize]) -> Told {
    let table = Table::with(&[("A", "a")]);
    let mut mapper = mapper(&table, Missing::Create);
    let items = items(lines);
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(items.len()));
    let (mut from, mut told) = (0, Told::default());
    while from < items.len() {
        let size = sizes.next().unwrap_or(1).clamp(1, items.len() - from);
        let mapped = map(&mut mapper, items.slice(from, size)).await;
        told.0.extend(keys(&mapped));
        told.1.extend(failed(&mapped).into_iter().map(|(o, c)| (o, c.to_owned())));
        from += size;
    }
    let rows = table.state().rows;
    // Which key a row has is the catalog's business: compare what was referred to.
    told.0.iter_mut().for_each(|(_, key)| *key = key.map(|k| code_number(&rows[k as usize - 1].0)));
    told.2 = rows;
    told.2.sort();
    told
}

fn code_number(code: &str) -> i64 {
    code.bytes().fold(0, |n, b| n * 256 + i64::from(b))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// How the items are cut changes nothing: what they refer to, what fails,
    /// what is in the catalog.
    #[test]
    fn cuts_change_nothing(
        lines in prop::collection::vec(
            (prop::option::weighted(0.9, "[A-F]"), prop::option::weighted(0.5, "[a-z]")), 1..40),
        sizes in prop::collection::vec(1usize..10, 0..12),
    ) {
        let lines: Vec<Line<'_>> = lines.iter().map(|l| (l.0.as_deref(), l.1.as_deref())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let whole = runtime.block_on(in_pieces(&lines, &[]));
        let pieces = runtime.block_on(in_pieces(&lines, &sizes));
        prop_assert_eq!(whole, pieces);
    }
}
