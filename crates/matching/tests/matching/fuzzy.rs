//! Rows found by what folding leaves of them, and by likeness.

use std::sync::Arc;

use kiln_core::{Catalog, Kind, Mapper};
use kiln_matching::{Compare, Fuzzy, FuzzyColumn, MatchMapper, MatchSpec, Missing};
use proptest::prelude::*;

use crate::common::{Line, Table, column, failed, input, items, keys, map};

pub(crate) fn spec(missing: Missing) -> MatchSpec {
    let name =
        FuzzyColumn { column: column("name", "description"), compare: Compare::Text, weight: 1.0 };
    MatchSpec {
        create: vec![column("code", "stock_code"), column("name", "description")],
        missing,
        folded: true,
        fuzzy: Some(Fuzzy { columns: vec![name], at_least: 0.7, margin: 0.05 }),
        ..MatchSpec::exact("item_id", "items", vec![column("code", "stock_code")])
    }
}

pub(crate) fn table(rows: &[(&str, &str)]) -> Arc<Table> {
    let table = Arc::into_inner(Table::with(rows)).unwrap();
    Arc::new(Table { compared: true, ..table })
}

pub(crate) fn mapper(table: &Arc<Table>, missing: Missing) -> MatchMapper {
    let catalog = Arc::clone(table) as Arc<dyn Catalog>;
    MatchMapper::new(spec(missing), catalog, true, input()).unwrap()
}

const GOODS: [(&str, &str); 5] = [
    ("A-1", "Red wooden chair"),
    ("B-2", "Garden lantern, white"),
    ("B-3", "Garden lantern, black"),
    ("C-4", "Camera DSC-W120"),
    ("C-5", "Camera DSC-W130"),
];

#[tokio::test]
async fn items_find_what_they_mean() {
    let table = table(&GOODS);
    type Case<'a> = (Option<&'a str>, Option<&'a str>, Result<i64, &'a str>);
    let cases: [Case<'_>; 15] = [
        (Some("A-1"), Some("Camera DSC-W120"), Ok(1)), // what is equal comes first
        (Some("a 1"), Some("Camera DSC-W120"), Ok(1)), // then what is folded alike
        (Some("X"), Some("red  WOODEN chair!"), Ok(1)),
        (Some("X"), Some("chair, wooden red"), Ok(1)),
        (Some("X"), Some("Red woden chair"), Ok(1)),
        (None, Some("Red wooden chair"), Ok(1)),
        (Some("X"), Some("garden lantern whit"), Ok(2)),
        (Some("X"), Some("camera dscw120"), Ok(4)),
        (Some("X"), Some("Camera DSC-W120B"), Ok(4)),
        (Some("X"), Some("Camera DSC W130"), Ok(5)),
        (Some("X"), Some("Camera DSC-W140"), Err("no_match")),
        (Some("X"), Some("Garden lantern"), Err("ambiguous")),
        (Some("X"), Some("Blue table"), Err("no_match")),
        (Some("X"), None, Err("no_match")),
        (None, None, Err("no_key")),
    ];
    for (code, name, expected) in cases {
        let mapped = map(&mut mapper(&table, Missing::Reject), items(&[(code, name)])).await;
        let found = match failed(&mapped).as_slice() {
            [] => Ok(keys(&mapped)[0].1.unwrap()),
            failed => Err(failed[0].1),
        };
        assert_eq!(found, expected, "{code:?} {name:?}: {:?}", mapped.failures);
    }
    assert_eq!(table.state().asked.len(), 0);
}

#[tokio::test]
async fn messages_name_what_may_be_meant() {
    let table = table(&GOODS);
    let lines = [(Some("X"), Some("Garden lantern")), (Some("X"), Some("Camera DSC-W140"))];
    let mapped = map(&mut mapper(&table, Missing::Reject), items(&lines)).await;
    let [several, none] = mapped.failures.as_slice() else { panic!("{:?}", mapped.failures) };
    let text = several.fault.message();
    assert!(text.starts_with("'Garden lantern' may be 2 rows of items: "), "{text}");
    assert!(text.contains("2 'Garden lantern, white' (0."), "{text}");
    assert!(text.contains("3 'Garden lantern, black' (0."), "{text}");
    let text = none.fault.message();
    let expected = "items has no row with code = 'X' and none like name = 'Camera DSC-W140'";
    assert!(text.starts_with(expected), "{text}");
}

#[tokio::test]
async fn what_is_missing_becomes_what_is_asked() {
    let lines = [(Some("X"), Some("Blue table")), (Some("X"), Some("Red wooden chairs"))];
    let table_1 = table(&GOODS);
    let mapped = map(&mut mapper(&table_1, Missing::Null), items(&lines)).await;
    assert_eq!(keys(&mapped), [(1, None), (2, Some(1))]);
    let mapped = map(&mut mapper(&table_1, Missing::Create).read_only(), items(&lines)).await;
    assert_eq!(keys(&mapped), [(1, None), (2, None)], "the second is one more of the first");
    assert_eq!(table_1.state().rows.len(), 5);

    let lines = [(Some("X"), Some("Blue table")), (Some("Y"), Some("Red wooden chairs"))];
    let mapped = map(&mut mapper(&table_1, Missing::Create), items(&lines)).await;
    assert_eq!(keys(&mapped), [(1, Some(6)), (2, Some(1))]);
}

/// In the same batch and in the next one; without a code none is created.
#[tokio::test]
async fn what_one_item_creates_the_next_finds() {
    let table = table(&GOODS);
    let mut mapper = mapper(&table, Missing::Create);
    let lines = [
        (Some("D-1"), Some("Blue enamel teapot")),
        (Some("E"), Some("Blue enamel teapots")),
        (Some("d 1"), Some("anything at all")),
        (None, Some("teapot blue enamel")),
        (None, Some("something else")),
    ];
    let mapped = map(&mut mapper, items(&lines)).await;
    assert_eq!(keys(&mapped), [(1, Some(6)), (2, Some(6)), (3, Some(6)), (4, Some(6))]);
    assert_eq!(failed(&mapped), [(5, "no_key")]);
    let mapped = map(&mut mapper, items(&[(Some("F"), Some("blue enamel TEA POT"))])).await;
    assert_eq!(keys(&mapped), [(1, Some(6))]);
    assert_eq!(table.state().asked, [["D-1"]]);
}

/// Whoever has found a row that turns out to be none looks again.
#[tokio::test]
async fn a_refused_row_is_found_by_nobody() {
    let table = table(&GOODS);
    let mut mapper = mapper(&table, Missing::Create);
    // Rows without a name are refused.
    let lines = [
        (Some("Q 1"), None),
        (Some("q-1"), Some("Oak shelf")),
        (Some("R"), Some("Oak table")),
        (Some("S"), Some("Oak shelf")),
    ];
    let mapped = map(&mut mapper, items(&lines)).await;
    assert_eq!(failed(&mapped), [(1, "23502")]);
    assert_eq!(keys(&mapped), [(2, Some(6)), (3, Some(7)), (4, Some(6))]);
    let new = [("q-1", "Oak shelf"), ("R", "Oak table")].map(|(c, n)| (c.into(), n.into()));
    assert_eq!(table.state().rows[5..], new);
}

#[tokio::test]
async fn a_catalog_out_of_reach_leaves_what_is_known_as_it_was() {
    let table = table(&GOODS);
    let mut mapper = mapper(&table, Missing::Create);
    map(&mut mapper, items(&[(Some("A-1"), None)])).await;
    let before = mapper.save();
    let lines = [(Some("D-1"), Some("Blue enamel teapot"))];
    table.set_unreachable(true);
    assert_eq!(mapper.map(items(&lines)).await.unwrap_err().kind(), Kind::Unreachable);
    table.set_unreachable(false);
    assert_eq!(mapper.save(), before);
    assert_eq!(keys(&map(&mut mapper, items(&lines)).await), [(1, Some(6))]);
    assert_eq!(table.state().loads, 1);
}

#[tokio::test]
async fn a_catalog_that_is_too_large_is_refused() {
    let table = table(&GOODS);
    let spec = MatchSpec { memory: 500, ..spec(Missing::Create) };
    let mut mapper = MatchMapper::new(spec, table, true, input()).unwrap();
    let fault = mapper.map(items(&[(Some("A-1"), None)])).await.unwrap_err();
    assert_eq!(fault.kind(), Kind::Config);
    assert!(fault.message().contains("items") && fault.message().contains("memory"), "{fault}");
    assert!(fault.hint().is_some_and(|hint| hint.contains("memory = ")), "{:?}", fault.hint());
}

#[test]
fn bounds_that_can_not_be_are_refused() {
    type Change<'a> = &'a dyn Fn(&mut MatchSpec);
    let cases: [(Change<'_>, &str); 6] = [
        (&|s| s.fuzzy.as_mut().unwrap().at_least = 1.5, "at_least"),
        (&|s| s.fuzzy.as_mut().unwrap().at_least = f64::NAN, "at_least"),
        (&|s| s.fuzzy.as_mut().unwrap().margin = -0.1, "margin"),
        (&|s| s.fuzzy.as_mut().unwrap().columns[0].weight = 0.0, "weight of name"),
        (&|s| s.fuzzy.as_mut().unwrap().columns.clear(), "no text is compared"),
        (&|s| s.on.clear(), "no column to find a row by"),
    ];
    for (change, words) in cases {
        let mut spec = spec(Missing::Create);
        change(&mut spec);
        let fault = MatchMapper::new(spec, table(&[]), true, input()).unwrap_err();
        assert!(fault.kind() == Kind::Config && fault.message().contains(words), "{fault}");
    }
}

/// Names of a few words that are often alike.
fn names() -> impl Strategy<Value = String> {
    "(red|blue|redd) (chair|chairs|table|tables|lamp)( (x1|x2|x3))?"
}

/// Items, some without a code; and some without a name, whose rows are refused.
fn lines() -> impl Strategy<Value = Vec<(Option<String>, Option<String>)>> {
    let name = prop::option::weighted(0.9, names());
    prop::collection::vec((prop::option::weighted(0.9, "[A-Ea-e]-?[12]"), name), 1..30)
}

/// The same, all with a name.
fn named_lines() -> impl Strategy<Value = Vec<(Option<String>, Option<String>)>> {
    let name = names().prop_map(Some);
    prop::collection::vec((prop::option::weighted(0.9, "[A-Ea-e]-?[12]"), name), 1..30)
}

/// What comes of the items: what each refers to (by its code, as keys are the
/// catalog's business), what failed, what is in the catalog.
type Told = (Vec<(u64, Option<String>)>, Vec<(u64, String)>, Vec<(String, String)>);

fn told(table: &Table, keys: Vec<(u64, Option<i64>)>, failed: Vec<(u64, String)>) -> Told {
    let mut rows = table.state().rows;
    let code = |key: i64| rows[key as usize - 1].0.clone();
    let keys = keys.into_iter().map(|(o, key)| (o, key.map(code))).collect();
    rows.sort();
    (keys, failed, rows)
}

async fn in_pieces(lines: &[Line<'_>], sizes: &[usize]) -> Told {
    let table = table(&GOODS);
    let mut mapper = mapper(&table, Missing::Create);
    let items = items(lines);
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(items.len()));
    let (mut from, mut found, mut lost) = (0, Vec::new(), Vec::new());
    while from < items.len() {
        let size = sizes.next().unwrap_or(1).clamp(1, items.len() - from);
        let mapped = map(&mut mapper, items.slice(from, size)).await;
        found.extend(keys(&mapped));
        lost.extend(failed(&mapped).into_iter().map(|(o, c)| (o, c.to_owned())));
        from += size;
    }
    told(&table, found, lost)
}

/// The same, broken off behind `at` items, when `ahead` more have created their
/// rows but are not done, and gone on with by another process.
async fn broken_off(lines: &[Line<'_>], at: usize, ahead: usize) -> Told {
    let table = table(&GOODS);
    let items = items(lines);
    let mut first = mapper(&table, Missing::Create);
    first.open().await.unwrap();
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    let mut state = first.save();
    if at > 0 {
        let mapped = map(&mut first, items.slice(0, at)).await;
        found.extend(keys(&mapped));
        lost.extend(failed(&mapped).into_iter().map(|(o, c)| (o, c.to_owned())));
        state = first.save();
    }
    map(&mut first, items.slice(at, ahead)).await;
    let mut second = mapper(&table, Missing::Create);
    second.restore(state.as_deref()).unwrap();
    let mapped = map(&mut second, items.slice(at, items.len() - at)).await;
    found.extend(keys(&mapped));
    lost.extend(failed(&mapped).into_iter().map(|(o, c)| (o, c.to_owned())));
    told(&table, found, lost)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn cuts_change_nothing(lines in lines(), sizes in prop::collection::vec(1usize..10, 0..12)) {
        let lines: Vec<Line<'_>> = lines.iter().map(|l| (l.0.as_deref(), l.1.as_deref())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let whole = runtime.block_on(in_pieces(&lines, &[]));
        prop_assert_eq!(whole, runtime.block_on(in_pieces(&lines, &sizes)));
    }

    /// B6, B32: a run that goes on decides as one that was never broken off.
    /// (What was refused may be there the next time, if a later item made it.)
    #[test]
    fn a_run_that_goes_on_decides_the_same(lines in named_lines(), at in 0usize..30, ahead in 0usize..30) {
        let lines: Vec<Line<'_>> = lines.iter().map(|l| (l.0.as_deref(), l.1.as_deref())).collect();
        let at = at.min(lines.len() - 1);
        let ahead = ahead.clamp(1, lines.len() - at);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let whole = runtime.block_on(in_pieces(&lines, &[]));
        prop_assert_eq!(whole, runtime.block_on(broken_off(&lines, at, ahead)));
    }

    /// In which order the catalog's rows come changes nothing.
    #[test]
    fn the_order_of_the_catalog_changes_nothing(lines in lines(), turn in 0usize..5) {
        let lines: Vec<Line<'_>> = lines.iter().map(|l| (l.0.as_deref(), l.1.as_deref())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut turned = GOODS;
        turned.rotate_left(turn);
        let [as_is, other] = [GOODS, turned].map(|rows| runtime.block_on(async {
            let table = table(&rows);
            let mapped = map(&mut mapper(&table, Missing::Reject), items(&lines)).await;
            let lost = failed(&mapped).into_iter().map(|(o, c)| (o, c.to_owned())).collect();
            told(&table, keys(&mapped), lost)
        }));
        prop_assert_eq!(as_is, other);
    }
}
