//! What comes out.

use arrow_schema::DataType;
use kiln_core::{Items, Mapper, Run, RunId};
use kiln_sql::{ComputeMapper, RequireMapper, Rule, SqlMapper};
use proptest::prelude::*;

use crate::items::{Line, input, items, map, text};

const INVOICES: &str = r#"
SELECT upper(trim("StockCode")) AS stock_code, trim(note) AS description,
       "Quantity" AS quantity, "UnitPrice" AS unit_cost, _line AS source_line
FROM item
WHERE upper(trim("StockCode")) NOT IN
      ('POST', 'DOT', 'M', 'D', 'C2', 'S', 'B', 'BANK CHARGES', 'AMAZONFEE', 'CRUK', 'PADS')
"#;

fn select(sql: &str, lines: &[Line<'_>]) -> Vec<String> {
    let mut mapper = SqlMapper::new(sql, input()).unwrap();
    let mapped = map(&mut mapper, items(lines));
    assert_eq!(mapped.failures.len(), 0, "{:?}", mapped.failures);
    text(&mapped.items.batch)
}

#[test]
fn invoice_lines_become_stock_movements() {
    let mut mapper = SqlMapper::new(INVOICES, input()).unwrap();
    let mapped = map(
        &mut mapper,
        items(&[
            (Some(" 85123a "), Some(6), Some(2_550), Some(" WHITE HEART ")),
            (Some("post"), Some(1), Some(18_000), Some("POSTAGE")),
            (Some("bank charges"), Some(1), Some(15_000), None),
            (None, Some(1), Some(1), None),
            (Some("22423"), Some(-1), Some(0), None),
        ]),
    );
    assert_eq!(
        text(&mapped.items.batch),
        ["85123A|WHITE HEART|6|2.550|2", "22423|NULL|-1|0.000|6"]
    );
    assert_eq!(mapped.items.ordinals, [1, 5]);
    assert_eq!(mapped.filtered, [2, 3, 4]);
    let types: Vec<_> = mapper.schema().fields().iter().map(|f| f.data_type().clone()).collect();
    let decimal = DataType::Decimal128(12, 3);
    assert_eq!(types, [DataType::Utf8, DataType::Utf8, DataType::Int64, decimal, DataType::Int64]);
}

fn run() -> Run {
    Run::new(RunId("run-7".into()), "2026-01-02T03:04:05.6Z")
}

#[test]
fn the_sql_sees_where_an_item_comes_from() {
    let mut mapper = SqlMapper::new(
        "SELECT _line, _file, _ordinal, _run, _ingested_at, note FROM item",
        input(),
    )
    .unwrap();
    mapper.begin(&run());
    let mut late = items(&[(None, None, None, Some("a")), (None, None, None, Some("b"))]);
    late.ordinals = vec![13, 14];
    let mapped = map(&mut mapper, late);
    let known = "run-7|2026-01-02 03:04:05.600000+00";
    assert_eq!(
        text(&mapped.items.batch),
        [format!("14|lines.csv|13|{known}|a"), format!("NULL|lines.csv|14|{known}|b")]
    );
}

#[test]
fn rules_and_computed_columns_see_it_too() {
    let here = "_file = 'lines.csv' AND _run = 'run-7' AND _ordinal = 1 AND _line = 2";
    let rule = Rule { rule: here.into(), message: "elsewhere".into(), ..Rule::default() };
    let mut require = RequireMapper::new(vec![rule], input()).unwrap();
    require.begin(&run());
    let mapped = map(&mut require, items(&[(None, None, None, None); 2]));
    assert_eq!((mapped.items.ordinals.as_slice(), mapped.failures.len()), (&[1][..], 1));

    let id = ("id".to_owned(), "_run || '/' || _ordinal".to_owned());
    let mut compute = ComputeMapper::new(vec![id], input()).unwrap();
    compute.begin(&run());
    let mapped = map(&mut compute, items(&[(None, None, None, None)]));
    assert_eq!(text(&mapped.items.batch), ["NULL|NULL|NULL|NULL|run-7/1"]);
}

#[test]
fn everything_is_the_items_columns() {
    let line = (Some("A"), Some(1), Some(5), Some("x"));
    assert_eq!(select("SELECT * FROM item", &[line]), ["A|1|0.005|x"]);
    assert_eq!(select("SELECT i.*, _ordinal FROM item i", &[line]), ["A|1|0.005|x|1"]);
    assert_eq!(
        select("SELECT * EXCLUDE (note), lower(\"StockCode\") AS note FROM Item", &[line]),
        ["A|1|0.005|a"]
    );
    assert_eq!(select("SELECT * EXCEPT (\"Quantity\", note) FROM item;", &[line]), ["A|0.005"]);
    assert_eq!(select("SELECT i.\"Quantity\", I.note FROM item AS I", &[line]), ["1|x"]);
}

#[test]
fn constants_become_columns() {
    let sql =
        "SELECT 'shop' AS origin, 1 AS one, NULL AS nothing, 1.50 AS price, true AS yes FROM item";
    assert_eq!(select(sql, &[(None, None, None, None); 2]), ["shop|1|NULL|1.50|true"; 2]);
    assert_eq!(
        select("SELECT 1 AS one FROM item WHERE NULL", &[(None, None, None, None)]),
        [""; 0]
    );
}

#[test]
fn decimals_stay_exact() {
    let line = (None, Some(3), Some(999_999_999_999), Some("0.1"));
    let exact = |expression: &str| {
        let rows = select(&format!("SELECT {expression} AS x FROM item"), &[line]);
        rows.into_iter().next().unwrap()
    };
    assert_eq!(exact("\"UnitPrice\" * \"Quantity\""), "2999999999.997");
    assert_eq!(exact("\"UnitPrice\" + \"UnitPrice\" + 0.001"), "1999999999.999");
    assert_eq!(exact("\"UnitPrice\" * 1.2"), "1199999999.9988");
    assert_eq!(exact("CAST(note AS decimal(10,2)) + 0.2"), "0.30");
    assert_eq!(exact("0.1 + 0.2"), "0.3");
    assert_eq!(exact("CAST('12345678901234567.89' AS decimal(19,2))"), "12345678901234567.89");
    assert_eq!(exact("-\"UnitPrice\""), "-999999999.999");
    assert_eq!(exact("round(\"UnitPrice\" * 0.5, 2)"), "500000000.0000");
}

#[test]
fn comparisons_of_decimals_are_exact() {
    let price = |thousandths| (None, None, Some(thousandths), None);
    let mut mapper =
        SqlMapper::new("SELECT _ordinal FROM item WHERE \"UnitPrice\" > 0", input()).unwrap();
    let mapped =
        map(&mut mapper, items(&[price(0), price(1), price(-1), (None, None, None, None)]));
    assert_eq!(mapped.items.ordinals, [2]);
}

#[test]
fn what_comes_out_is_of_plain_types() {
    let sql = "SELECT substr(note, 1, 2) AS a, arrow_cast(note, 'LargeUtf8') AS b,
                      arrow_cast(note, 'Dictionary(Int32, Utf8)') AS c,
                      CAST('10:30' AS time) AS d, arrow_cast(1.5, 'Float16') AS e,
                      split_part(note, 'e', 1) AS f, position('e' IN note) AS g,
                      extract(year FROM CAST('2011-12-09' AS date)) AS h,
                      initcap(note) AS i, to_timestamp('2011-12-09 10:00:00') AS j
               FROM item";
    let mut mapper = SqlMapper::new(sql, input()).unwrap();
    let mapped = map(&mut mapper, items(&[(None, None, None, Some("heart"))]));
    assert_eq!(
        text(&mapped.items.batch),
        ["he|heart|heart|10:30:00|1.5|h|2|2011|Heart|2011-12-09 10:00:00"]
    );
    for field in mapper.schema().fields().iter().take(3) {
        assert_eq!(field.data_type(), &DataType::Utf8);
    }
}

#[test]
fn a_mapper_says_its_columns_before_the_first_item() {
    let mapper = SqlMapper::new("SELECT note AS \"Text\", 1 AS N FROM item", input()).unwrap();
    let names: Vec<_> = mapper.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["Text", "n"]);
}

/// Long conditions are planned and evaluated, or refused; they never exhaust
/// the stack.
#[test]
fn long_conditions_are_no_danger() {
    let chain = |n: usize| {
        let terms: Vec<String> = (0..n).map(|i| format!("note <> '{i}'")).collect();
        format!("SELECT note FROM item WHERE {}", terms.join(" AND "))
    };
    let note = |note| (None, None, None, Some(note));
    assert_eq!(select(&chain(140), &[note("x"), note("7")]), ["x"]);
    let sum = format!("SELECT {} AS x FROM item", ["\"Quantity\""; 290].join(" + "));
    assert_eq!(select(&sum, &[(None, Some(2), None, None)]), ["580"]);
    for sql in [chain(1_000), chain(100_000)] {
        let fault = SqlMapper::new(&sql, input()).unwrap_err();
        assert!(fault.message().contains("too deeply"), "{fault}");
    }
    let codes: Vec<String> = (0..20_000).map(|i| format!("'{i}'")).collect();
    let list = format!("SELECT note FROM item WHERE note NOT IN ({})", codes.join(", "));
    assert_eq!(select(&list, &[note("x"), note("19999")]), ["x"]);
}

#[test]
fn functions_that_stand_for_something_else_work() {
    let line = (None, Some(2), None, Some("a"));
    let sql = "SELECT coalesce(\"StockCode\", note) AS a, nvl(note, 'z') AS b,
                      nvl2(note, 'yes', 'no') AS c, nullif(note, 'a') AS d,
                      greatest(\"Quantity\", 5) AS e, power(\"Quantity\", 3) AS f
               FROM item";
    assert_eq!(select(sql, &[line]), ["a|a|yes|NULL|5|8"]);
}

type Told = (Vec<u64>, Vec<String>, Vec<u64>, Vec<(u64, String)>);

/// Maps items in the given pieces.
fn in_pieces(mapper: &mut impl Mapper, items: &Items, sizes: &[usize]) -> Told {
    let mut told = Told::default();
    let mut from = 0;
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(items.len()));
    while from < items.len() {
        let size = sizes.next().unwrap_or(1).clamp(1, items.len() - from);
        let mapped = map(mapper, items.slice(from, size));
        told.0.extend(&mapped.items.ordinals);
        told.1.extend(text(&mapped.items.batch));
        told.2.extend(&mapped.filtered);
        told.3.extend(mapped.failures.iter().map(|f| (f.ordinal, f.fault.message().to_owned())));
        from += size;
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// How the items are cut changes nothing: values, filtered, failures.
    #[test]
    fn cuts_change_nothing(
        lines in prop::collection::vec(
            (prop::option::of("[a-c ]{0,3}"), prop::option::of(-3i64..4),
             prop::option::of(-2_000i128..3_000), prop::option::of("[0-9x]{1,2}")),
            1..60,
        ),
        sizes in prop::collection::vec(1usize..20, 0..12),
    ) {
        let lines: Vec<Line<'_>> =
            lines.iter().map(|l| (l.0.as_deref(), l.1, l.2, l.3.as_deref())).collect();
        let items = items(&lines);
        let sql = "SELECT *, 12 / \"Quantity\" AS share, CAST(note AS int) AS number,
                          CASE WHEN \"Quantity\" <> 0 THEN 6 % \"Quantity\" ELSE 0 END AS rest
                   FROM item
                   WHERE trim(\"StockCode\") <> '' AND 5.0 / \"UnitPrice\" > 0";
        let mut mapper = SqlMapper::new(sql, input()).unwrap();
        let whole = in_pieces(&mut mapper, &items, &[]);
        let pieces = in_pieces(&mut mapper, &items, &sizes);
        prop_assert_eq!(whole, pieces);

        let rules = ["\"Quantity\" <> 0", "7 / \"Quantity\" > 1", "CAST(note AS int) > 20"]
            .map(|rule| Rule { rule: rule.into(), ..Rule::default() });
        let mut mapper = RequireMapper::new(rules.to_vec(), input()).unwrap();
        let whole = in_pieces(&mut mapper, &items, &[]);
        let pieces = in_pieces(&mut mapper, &items, &sizes);
        prop_assert_eq!(whole, pieces);
    }
}
