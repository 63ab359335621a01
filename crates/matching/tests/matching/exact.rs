//! Rows found by values that are equal.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use kiln_core::{Catalog, Kind, Mapper};
use kiln_matching::{MatchMapper, MatchSpec, Missing};
use proptest::prelude::*;

use crate::common::{Line, Table, column, failed, input, items, keys, map};

fn spec(missing: Missing) -> MatchSpec {
    MatchSpec {
        create: vec![column("code", "stock_code"), column("name", "description")],
        missing,
        ..MatchSpec::exact("item_id", "items", vec![column("code", "stock_code")])
    }
}

fn mapper(table: &Arc<Table>, missing: Missing) -> MatchMapper {
    let catalog = Arc::clone(table) as Arc<dyn Catalog>;
    MatchMapper::new(spec(missing), catalog, !table.text_keys, input()).unwrap()
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
    // What stands behind a refused row is looked up again.
    assert_eq!(table.state().asked, [vec!["A", "B", "C"], vec!["B", "A", "C"], vec!["A", "C"]]);
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
