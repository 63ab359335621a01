//! A value that fails fails its item, and no other.

use kiln_core::{Failure, Items, Kind, Mapper, Stage};
use kiln_sql::{ComputeMapper, RequireMapper, Rule, Severity, SqlMapper};

use crate::items::{Line, input, items, map, text};

const GOOD: Line<'static> = (Some("A1"), Some(3), Some(2_550), Some("12"));

/// 1,000 good items but for one.
fn with_bad(at: usize, bad: Line<'_>) -> Items {
    let mut lines = vec![GOOD; 1_000];
    lines[at] = bad;
    items(&lines)
}

fn only(failures: &[Failure]) -> &Failure {
    assert_eq!(failures.len(), 1, "{failures:?}");
    &failures[0]
}

#[track_caller]
fn fails_alone(expression: &str, bad: Line<'_>, code: &str, words: &str) {
    let sql = format!("SELECT \"StockCode\" AS code, {expression} AS x, note FROM item");
    let mut mapper = SqlMapper::new(&sql, input()).unwrap();
    for at in [0, 1, 499, 500, 998, 999] {
        let mapped = map(&mut mapper, with_bad(at, bad));
        assert_eq!(mapped.items.len(), 999, "{expression}: {:?}", mapped.failures);
        assert_eq!(mapped.filtered.len(), 0);
        let Failure { ordinal, stage, fault } = only(&mapped.failures);
        assert_eq!((*ordinal, *stage), (at as u64 + 1, Stage::Map));
        assert_eq!(fault.kind(), Kind::Item);
        assert_eq!((fault.code(), fault.column()), (Some(code), Some("x")), "{fault}");
        assert!(fault.message().starts_with("x: "), "{fault}");
        assert!(fault.message().contains(words), "{expression}: {fault}");
        let first = text(&mapped.items.batch.slice(0, 1));
        assert!(text(&mapped.items.batch).iter().all(|row| *row == first[0]));
    }
}

const MOST: Option<i64> = Some(i64::MAX);
const LEAST: Option<i64> = Some(i64::MIN);

#[test]
fn a_cast_that_fails_fails_its_item() {
    let bad = (Some("A1"), Some(3), Some(1), Some("twelve"));
    for kind in ["int", "bigint", "double", "decimal(8,2)"] {
        fails_alone(&format!("CAST(note AS {kind})"), bad, "cast", "twelve");
        fails_alone(&format!("note::{kind}"), bad, "cast", "twelve");
    }
    let date = (Some("A1"), Some(3), Some(1), Some("2011-02-30"));
    fails_alone(
        "CAST(coalesce(nullif(note, '12'), '2011-02-28') AS date)",
        date,
        "cast",
        "2011-02-30",
    );
    fails_alone(
        "CAST(coalesce(nullif(note, '12'), '2011-02-28') AS timestamp)",
        date,
        "cast",
        "2011-02-30",
    );
    fails_alone(
        "CAST(\"Quantity\" AS smallint)",
        (None, Some(40_000), None, None),
        "cast",
        "40000",
    );
}

#[test]
fn a_number_that_does_not_fit_its_decimal_fails_its_item() {
    let wide = (None, None, Some(1_000_000), None);
    fails_alone("CAST(\"UnitPrice\" AS decimal(5,2))", wide, "overflow", "too large to store");
}

#[test]
fn division_by_zero_fails_its_item() {
    let zero = (None, Some(0), Some(0), None);
    fails_alone("100 / \"Quantity\"", zero, "division", "division by zero");
    fails_alone("100 % \"Quantity\"", zero, "division", "division by zero");
    fails_alone("100.0 / \"UnitPrice\"", zero, "division", "division by zero");
}

#[test]
fn an_overflow_fails_its_item_and_never_wraps() {
    fails_alone("\"Quantity\" + 1", (None, MOST, None, None), "overflow", "verflow");
    fails_alone("\"Quantity\" - 5", (None, LEAST, None, None), "overflow", "verflow");
    fails_alone("\"Quantity\" * 2", (None, MOST, None, None), "overflow", "verflow");
    fails_alone("\"Quantity\" / -1", (None, LEAST, None, None), "overflow", "verflow");
    fails_alone("-\"Quantity\"", (None, LEAST, None, None), "overflow", "verflow");
    fails_alone("abs(\"Quantity\")", (None, LEAST, None, None), "overflow", "verflow");
    fails_alone(
        "upper(CAST(\"Quantity\" + 1 AS text))",
        (None, MOST, None, None),
        "overflow",
        "verflow",
    );
    fails_alone(
        "CASE WHEN \"Quantity\" > 0 THEN \"Quantity\" + 1 ELSE 0 END",
        (None, MOST, None, None),
        "overflow",
        "verflow",
    );
}

#[test]
fn a_decimal_beyond_38_digits_fails_its_item() {
    let big = (None, Some(99_999_999_999), None, None);
    let cube = "CAST(\"Quantity\" AS decimal(38,0)) * \"Quantity\" * \"Quantity\" * 1000000";
    fails_alone(cube, big, "overflow", "");
    // Fits 128 bits, but not 38 digits.
    let edge = (None, Some(15_000_000_000), None, None);
    let near = "CAST(\"Quantity\" AS decimal(38,0)) * 10000000000000000000000000000";
    fails_alone(near, edge, "overflow", "too large");
}

#[test]
fn other_failures_have_a_code_too() {
    let bad = (None, None, None, Some("(["));
    fails_alone("regexp_like('abc', note)", bad, "expression", "");
}

#[test]
fn a_value_beyond_all_bounds_fails_its_item() {
    let most = (None, MOST, None, Some("abc"));
    fails_alone("repeat(note, \"Quantity\")", most, "overflow", "overflow");
    fails_alone("factorial(\"Quantity\")", most, "overflow", "Overflow");
    fails_alone("to_timestamp(\"Quantity\")", most, "overflow", "exceeds");
    fails_alone("chr(\"Quantity\")", most, "expression", "Unicode");
    fails_alone("CAST(to_timestamp_seconds(\"Quantity\") AS date)", most, "cast", "Cannot convert");
    let last_day = "CAST(CAST(\"Quantity\" / 4294967298 AS int) AS date)";
    fails_alone(&format!("{last_day} + INTERVAL '1000 years'"), most, "overflow", "overflow");
}

#[test]
fn try_cast_gives_null() {
    let sql = "SELECT TRY_CAST(note AS int) AS x FROM item";
    let mapped =
        map(&mut SqlMapper::new(sql, input()).unwrap(), with_bad(1, (None, None, None, Some("x"))));
    assert_eq!(mapped.failures.len(), 0);
    assert_eq!(text(&mapped.items.batch)[..3], ["12", "NULL", "12"]);
}

#[test]
fn the_first_column_that_fails_is_named() {
    let sql = "SELECT note, 1 / \"Quantity\" AS a, CAST(note AS int) AS b, 2 / \"Quantity\" AS c FROM item";
    let mut mapper = SqlMapper::new(sql, input()).unwrap();
    let lines = [GOOD, (None, Some(0), None, Some("x")), (None, Some(1), None, Some("y")), GOOD];
    let mapped = map(&mut mapper, items(&lines));
    let failed: Vec<_> = mapped.failures.iter().map(|f| (f.ordinal, f.fault.column())).collect();
    assert_eq!(failed, [(2, Some("a")), (3, Some("b"))]);
    assert_eq!(text(&mapped.items.batch), ["12|0|12|0"; 2]);
}

#[test]
fn where_decides_first() {
    let sql =
        "SELECT 10 / \"Quantity\" AS x FROM item WHERE \"Quantity\" <> 0 AND CAST(note AS int) > 0";
    let mut mapper = SqlMapper::new(sql, input()).unwrap();
    let mapped = map(
        &mut mapper,
        items(&[
            (None, Some(0), None, Some("1")),
            (None, Some(5), None, Some("1")),
            (None, Some(5), None, Some("none")),
            (None, None, None, Some("1")),
            (None, Some(5), None, None),
            (None, Some(0), None, Some("none")),
            (None, Some(2), None, Some("1")),
        ]),
    );
    assert_eq!(mapped.items.ordinals, [2, 7]);
    assert_eq!(text(&mapped.items.batch), ["2", "5"]);
    assert_eq!(mapped.filtered, [1, 4, 5, 6], "false and NULL are filtered");
    let Failure { ordinal, fault, .. } = only(&mapped.failures);
    assert_eq!((*ordinal, fault.code(), fault.column()), (3, Some("cast"), None));
    assert!(fault.message().starts_with("WHERE: "), "{fault}");
}

#[test]
fn everything_may_fail() {
    let sql = "SELECT CAST(note AS int) AS x FROM item";
    let mut mapper = SqlMapper::new(sql, input()).unwrap();
    let mapped = map(&mut mapper, items(&[(None, None, None, Some("x")); 300]));
    assert_eq!((mapped.items.len(), mapped.failures.len()), (0, 300));
    let mapped = map(&mut mapper, items(&[]));
    assert_eq!((mapped.items.len(), mapped.failures.len()), (0, 0));
}

/// An item may have become several rows before: it fails whole, once.
#[test]
fn an_item_of_several_rows_fails_whole() {
    let sql = "SELECT 6 / \"Quantity\" AS x FROM item WHERE note <> 'no'";
    let row = |quantity, note| (None, Some(quantity), None, Some(note));
    let mut several = items(&[
        row(1, "a"),
        row(2, "a"),
        row(0, "a"),
        row(0, "a"),
        row(3, "no"),
        row(6, "a"),
        row(6, "no"),
        row(6, "no"),
    ]);
    several.ordinals = vec![4, 5, 5, 5, 8, 8, 9, 9];
    let mapped = map(&mut SqlMapper::new(sql, input()).unwrap(), several);
    assert_eq!(mapped.items.ordinals, [4, 8]);
    assert_eq!(text(&mapped.items.batch), ["6", "1"]);
    assert_eq!(mapped.filtered, [9]);
    assert_eq!(only(&mapped.failures).ordinal, 5);
}

fn rule(rule: &str, message: &str) -> Rule {
    Rule { rule: rule.into(), message: message.into(), ..Rule::default() }
}

#[test]
fn the_first_rule_that_does_not_hold_counts() {
    let rules = vec![
        rule("\"UnitPrice\" > 0", "no price"),
        rule("\"Quantity\" <> 0", ""),
        rule("100 / \"Quantity\" > 10", "too many"),
    ];
    let mut mapper = RequireMapper::new(rules, input()).unwrap();
    assert_eq!(mapper.schema(), input());
    let row = |quantity, price| (Some("A"), quantity, price, None);
    let lines = items(&[
        row(Some(1), Some(1)),
        row(Some(1), Some(0)),
        row(Some(1), None),
        row(Some(0), Some(0)),
        row(Some(0), Some(5)),
        row(Some(50), Some(5)),
        row(None, Some(5)),
        row(Some(2), Some(5)),
    ]);
    let mapped = map(&mut mapper, lines);
    assert_eq!(mapped.items.ordinals, [1, 3, 7, 8], "NULL breaks no rule");
    assert_eq!(
        text(&mapped.items.batch),
        ["A|1|0.001|NULL", "A|1|NULL|NULL", "A|NULL|0.005|NULL", "A|2|0.005|NULL"]
    );
    let said: Vec<_> = mapped.failures.iter().map(|f| (f.ordinal, f.fault.message())).collect();
    let no_quantity = "the rule \"Quantity\" <> 0 does not hold";
    assert_eq!(said, [(2, "no price"), (4, "no price"), (5, no_quantity), (6, "too many"),]);
    assert!(mapped.warnings.is_empty());
    let counted: Vec<_> = mapped.failures.iter().map(|f| f.fault.constraint()).collect();
    let quantity = Some("\"Quantity\" <> 0");
    assert_eq!(counted, [Some("no price"), Some("no price"), quantity, Some("too many")]);
    for failure in &mapped.failures {
        assert_eq!((failure.stage, failure.fault.code()), (Stage::Require, Some("require")));
        assert_eq!(failure.fault.kind(), Kind::Item);
    }
}

#[test]
fn a_rule_that_fails_fails_its_item() {
    let rules = vec![rule("CAST(note AS int) > 0", "no number"), rule("_line < 4", "late")];
    let mut mapper = RequireMapper::new(rules, input()).unwrap();
    let notes = [Some("1"), Some("x"), Some("-1"), Some("5")];
    let mapped = map(&mut mapper, items(&notes.map(|n| (None, None, None, n))));
    assert_eq!(mapped.items.ordinals, [1]);
    let said: Vec<_> =
        mapped.failures.iter().map(|f| (f.fault.message(), f.fault.code())).collect();
    assert_eq!(said[0].1, Some("cast"));
    assert!(said[0].0.starts_with("no number: ") && said[0].0.contains('x'), "{}", said[0].0);
    assert_eq!(said[1..], [("no number", Some("require")), ("late", Some("require"))]);
    assert!(mapped.failures.iter().all(|f| f.stage == Stage::Require));
}

/// What fails is a dead letter, and no warning tells of it; an item of several
/// rows is warned of once for each rule.
#[test]
fn who_is_warned_of_goes_on() {
    let warn = |rule: &str, name: &str| Rule {
        rule: rule.into(),
        name: name.into(),
        message: "?".into(),
        severity: Severity::Warn,
    };
    let rules = vec![
        warn("CAST(note AS int) > 0", "note"),
        rule("\"Quantity\" > 0", "too few"),
        warn("\"Quantity\" < 10", "large"),
        warn("\"Quantity\" < 100", "large"),
    ];
    let mut mapper = RequireMapper::new(rules, input()).unwrap();
    let row = |quantity, note| (Some("A"), quantity, None, note);
    let mut lines = items(&[
        row(Some(1), Some("1")),
        row(Some(1), Some("-1")),
        row(Some(0), Some("-1")),
        row(Some(10), Some("x")),
        row(Some(500), Some("0")),
        row(None, None),
        row(Some(500), Some("1")),
        row(Some(1), Some("0")),
    ]);
    lines.ordinals = vec![1, 2, 3, 4, 5, 6, 7, 7];
    let mapped = map(&mut mapper, lines);
    assert_eq!(mapped.items.ordinals, [1, 2, 4, 5, 6, 7, 7]);
    assert_eq!(only(&mapped.failures).ordinal, 3);
    let warned: Vec<_> = mapped.warnings.iter().map(|w| (w.ordinal, &*w.rule)).collect();
    let expected = [
        (2, "note"),
        (4, "large"),
        (4, "note"),
        (5, "large"),
        (5, "note"),
        (7, "large"),
        (7, "note"),
    ];
    assert_eq!(warned, expected);
}

#[test]
fn a_rule_is_counted_under_a_name() {
    let counted = |rule: Rule| {
        let mut mapper = RequireMapper::new(vec![rule], input()).unwrap();
        let mapped = map(&mut mapper, items(&[(None, Some(0), None, None)]));
        mapped.warnings[0].rule.to_string()
    };
    let condition = " \"Quantity\" <> 0 ";
    let plain = Rule { rule: condition.into(), severity: Severity::Warn, ..Rule::default() };
    assert_eq!(counted(plain.clone()), condition.trim());
    let told = Rule { message: "no goods".into(), ..plain.clone() };
    assert_eq!(counted(told.clone()), "no goods");
    assert_eq!(counted(Rule { name: "goods".into(), ..told }), "goods");
    let long = counted(Rule { message: "é".repeat(500), ..plain.clone() });
    assert_eq!((long.chars().count(), long.ends_with('…')), (200, true));
    assert_eq!(counted(Rule { message: "é".repeat(200), ..plain }), "é".repeat(200));
}

#[test]
fn a_computed_column_that_fails_fails_its_item() {
    let columns = vec![
        ("half".to_owned(), "\"Quantity\" / 2".to_owned()),
        ("price".to_owned(), "\"UnitPrice\" * \"Quantity\"".to_owned()),
        ("share".to_owned(), "6 / \"Quantity\"".to_owned()),
    ];
    let mut mapper = ComputeMapper::new(columns, input()).unwrap();
    let row = |quantity| (Some("A"), Some(quantity), Some(2_550), None);
    let mapped = map(&mut mapper, items(&[row(3), row(0), row(4)]));
    assert_eq!(
        text(&mapped.items.batch),
        ["A|3|2.550|NULL|1|7.650|2", "A|4|2.550|NULL|2|10.200|1"]
    );
    let Failure { ordinal, stage, fault } = only(&mapped.failures);
    assert_eq!((*ordinal, *stage), (2, Stage::Map));
    assert_eq!((fault.code(), fault.column()), (Some("division"), Some("share")));
}
