//! What can't be planned is refused before the first item, and says what to
//! write instead.

use std::sync::Arc;

use crate::items::input;
use arrow_schema::{DataType, Field, Schema};
use kiln_core::Kind;
use kiln_sql::{ComputeMapper, RequireMapper, Rule, SqlMapper};

/// Message and hint.
fn refused(sql: &str) -> String {
    let fault = SqlMapper::new(sql, input()).expect_err(sql);
    assert_eq!(fault.kind(), Kind::Config, "{sql}: {fault}");
    let text = format!("{fault} / {}", fault.hint().unwrap_or_default());
    for word in ["Error during", "Schema error", "Arrow error", "DataFusion", "\n"] {
        assert!(!text.contains(word), "{sql}: {text}");
    }
    text
}

#[track_caller]
fn refuses(cases: &[(&str, &[&str])]) {
    for (sql, words) in cases {
        let text = refused(sql);
        for word in *words {
            assert!(text.contains(word), "{sql}\n  says: {text}\n  not:  {word}");
        }
    }
}

#[test]
fn what_one_item_cannot_answer_is_refused_with_what_to_use() {
    refuses(&[
        ("SELECT i.note FROM item i JOIN item j ON true", &["join", "[[match]]"]),
        ("SELECT note FROM item, item AS b", &["join", "[[match]]"]),
        (
            "SELECT sum(\"Quantity\") AS s FROM item",
            &["aggregate sum", "increment", "line 1, column 8"],
        ),
        ("SELECT COUNT(*) AS n FROM item", &["aggregate count", "increment"]),
        ("SELECT note FROM item WHERE max(\"Quantity\") > 1", &["aggregate max"]),
        ("SELECT note FROM item GROUP BY note", &["GROUP BY", "increment"]),
        ("SELECT note FROM item GROUP BY ALL", &["GROUP BY"]),
        ("SELECT note FROM item HAVING true", &["HAVING", "WHERE"]),
        (
            "SELECT row_number() OVER (ORDER BY note) AS n FROM item",
            &["window function row_number", "_ordinal"],
        ),
        ("SELECT sum(\"Quantity\") OVER () AS n FROM item", &["window function sum"]),
        ("SELECT note FROM item QUALIFY true", &["window"]),
        ("SELECT DISTINCT note FROM item", &["DISTINCT", "ignore"]),
        ("SELECT note FROM item ORDER BY note", &["ORDER BY", "order of the source"]),
        ("SELECT note FROM item LIMIT 5", &["LIMIT", "preview"]),
        ("SELECT note FROM item OFFSET 5", &["OFFSET"]),
        ("SELECT note FROM item FETCH FIRST 3 ROWS ONLY", &["FETCH", "preview"]),
        ("SELECT TOP 5 note FROM item", &["TOP", "preview"]),
        ("SELECT (SELECT 1) AS x FROM item", &["subquery", "[[match]]"]),
        ("SELECT note FROM item WHERE EXISTS (SELECT 1 FROM item)", &["subquery"]),
        ("SELECT note FROM item WHERE note IN (SELECT note FROM item)", &["subquery"]),
        ("SELECT note FROM (SELECT note FROM item) AS x", &["FROM (SELECT", "item"]),
        ("SELECT note FROM item UNION ALL SELECT note FROM item", &["UNION", "job of its own"]),
        ("SELECT note FROM item EXCEPT SELECT note FROM item", &["EXCEPT"]),
        ("WITH x AS (SELECT 1) SELECT note FROM item", &["WITH", "write the expression out"]),
        ("SELECT note FROM item; SELECT note FROM item", &["2 statements", "one SELECT"]),
        ("", &["no SQL", "SELECT * FROM item"]),
        ("-- nothing", &["no SQL"]),
        ("INSERT INTO items VALUES (1)", &["INSERT is not a SELECT", "[[write]]"]),
        ("UPDATE item SET note = 'x'", &["UPDATE is not a SELECT"]),
        ("DELETE FROM item", &["DELETE is not a SELECT"]),
        ("DROP TABLE item", &["DROP is not a SELECT"]),
        ("VALUES (1)", &["VALUES", "FROM item"]),
        ("SELECT note INTO other FROM item", &["INTO", "[[write]]"]),
        ("SELECT note FROM item FOR UPDATE", &["what follows the SELECT"]),
        (
            "SELECT note FROM items",
            &["there is no table items", "the only table is item", "column 18"],
        ),
        ("SELECT note FROM shop.item", &["there is no table shop.item"]),
        ("SELECT 1 AS x", &["FROM is missing"]),
        ("SELECT note FROM item TABLESAMPLE (10 PERCENT)", &["can't be used"]),
        ("SELECT note FROM generate_series(1, 2)", &["the only table is item"]),
        ("SELECT note FROM item AS i (a, b)", &["list of columns", "AS"]),
        ("SELECT upper(DISTINCT note) AS n FROM item", &["this form of upper"]),
        ("SELECT upper(note) FILTER (WHERE true) AS n FROM item", &["this form of upper"]),
        ("SELECT note FROM item WHERE note = $1", &["no value for $1", "${name}"]),
        ("SELECT @x AS x FROM item", &["@x"]),
    ]);
}

#[test]
fn what_is_not_repeatable_is_refused() {
    refuses(&[
        ("SELECT now() AS t FROM item", &["now()", "DEFAULT CURRENT_TIMESTAMP"]),
        ("SELECT CURRENT_TIMESTAMP AS t FROM item", &["now()", "DEFAULT"]),
        ("SELECT current_date AS t FROM item", &["current_date()", "DEFAULT"]),
        ("SELECT today() AS t FROM item", &["current_date()"]),
        ("SELECT current_time AS t FROM item", &["current_time()"]),
        ("SELECT random() AS r FROM item", &["random()", "_ordinal"]),
        ("SELECT uuid() AS r FROM item", &["uuid()", "_run"]),
        ("SELECT note FROM item WHERE random() < 0.5", &["WHERE", "random()"]),
        ("SELECT coalesce(note, concat('x', uuid())) AS r FROM item", &["uuid()"]),
        ("SELECT input_file_name() AS f FROM item", &["_file"]),
    ]);
}

#[test]
fn names_are_explained() {
    refuses(&[
        (
            "SELECT note,\n  upper(\"StokCode\") AS c FROM item",
            &[
                "line 2, column 9",
                "no column \"StokCode\"",
                "StockCode, Quantity, UnitPrice, note",
                "did you mean \"StockCode\"?",
            ],
        ),
        (
            "SELECT notes FROM item",
            &["no column \"notes\"", "did you mean note?", "_line, _file, _ordinal, _run"],
        ),
        (
            "SELECT note FROM item WHERE Quantity > 0",
            &["WHERE", "no column \"quantity\"", "in double quotes: \"Quantity\""],
        ),
        (
            "SELECT note FROM item WHERE note = \"France\"",
            &["text stands in single quotes: 'France'"],
        ),
        ("SELECT item.nope FROM item", &["no column \"nope\""]),
        ("SELECT other.note FROM item", &["no column \"other\""]),
        ("SELECT item.note FROM item AS i", &["no column \"item\""]),
        ("SELECT note, \"StockCode\" AS note FROM item", &["two columns are named \"note\"", "AS"]),
        (
            "SELECT *, upper(note) AS note FROM item",
            &["two columns are named \"note\"", "* EXCLUDE (name)"],
        ),
        ("SELECT * EXCLUDE (nothing) FROM item", &["no column \"nothing\""]),
        ("SELECT * REPLACE (1 AS note) FROM item", &["this form of *", "EXCLUDE"]),
        ("SELECT x.* FROM item", &["no table x"]),
        ("SELECT upper(note) FROM item", &["upper(note) has no name", "upper(note) AS name"]),
        ("SELECT nofunc(note) AS x FROM item", &["column x", "nofunc"]),
    ]);
}

#[test]
fn syntax_and_types_are_explained() {
    refuses(&[
        ("SELECT FROM WHERE", &["line 1, column"]),
        ("SELECT note\nFROM item WHERE (note = 'a'", &["expected ), but the SQL ends"]),
        ("SELECT 'a FROM item", &["line 1, column 8", "nterminated string"]),
        ("nonsense", &["line 1, column 1"]),
        (
            "SELECT note FROM item WHERE note",
            &["WHERE", "note is of type Utf8, not true or false", "IS NOT NULL"],
        ),
        ("SELECT upper(note, note) AS x FROM item", &["column x", "upper"]),
        ("SELECT \"Quantity\" + true AS x FROM item", &["column x"]),
        (
            "SELECT note FROM item WHERE \"Quantity\" <> 'many'",
            &["it fails for every item", "many"],
        ),
        ("SELECT CAST('x' AS int) AS x FROM item", &["it fails for every item"]),
        ("SELECT 1 / 0 AS x FROM item", &["column x: it fails for every item", "division by zero"]),
        ("SELECT 9223372036854775807 + 1 AS x FROM item", &["it fails for every item", "verflow"]),
        ("SELECT INTERVAL '1 day' AS x FROM item", &["column x", "can't be written"]),
        ("SELECT note LIKE 'a' ESCAPE 'x' AS x FROM item", &["backslash"]),
    ]);
    let deep = format!("SELECT {}1{} AS x FROM item", "(".repeat(500), ")".repeat(500));
    assert!(refused(&deep).contains("nested too deeply"));
}

#[test]
fn rules_are_checked_when_they_are_made() {
    let refused = |rule: &str| {
        let rule = Rule { rule: rule.into(), ..Rule::default() };
        let fault = RequireMapper::new(vec![rule], input()).unwrap_err();
        assert_eq!(fault.kind(), Kind::Config);
        format!("{fault} / {}", fault.hint().unwrap_or_default())
    };
    for (rule, words) in [
        ("\"Quantity\"", "rule `\"Quantity\"`: \"Quantity\" is of type Int64, not true or false"),
        (
            "\"Quantity\" > 0 AND",
            "rule `\"Quantity\" > 0 AND`: expected an expression, but the SQL ends",
        ),
        ("\"Quantity\" > 0, true", "should end before ,"),
        ("true; DROP TABLE x", "should end before ;"),
        ("", "there is no expression"),
        ("sum(\"Quantity\") > 0", "the aggregate sum"),
        ("quantity > 0", "in double quotes: \"Quantity\""),
        ("note IN (SELECT 1)", "a subquery"),
        ("now() > '2020-01-01'", "now()"),
    ] {
        let text = refused(rule);
        assert!(text.contains(words), "{rule}\n  says: {text}\n  not:  {words}");
    }
}

#[test]
fn computed_columns_are_checked_when_they_are_made() {
    let refused = |name: &str, sql: &str| {
        let columns = vec![("one".into(), "1".into()), (name.into(), sql.into())];
        ComputeMapper::new(columns, input()).unwrap_err().to_string()
    };
    assert!(refused("note", "1").contains("two columns are named \"note\""));
    assert!(refused("one", "1").contains("two columns are named \"one\""));
    assert!(
        refused("two", "one + 1")
            .contains("column two, `one + 1`: line 1, column 1: there is no column")
    );
    assert!(refused("two", "count(*)").contains("the aggregate count"));
}

/// An item may bring a column that is named like one of kiln's own.
#[test]
fn a_column_of_the_item_goes_before_what_kiln_knows() {
    let schema = Arc::new(Schema::new(vec![Field::new("_line", DataType::Boolean, true)]));
    let mapper = SqlMapper::new("SELECT _line, _ordinal FROM item WHERE _line", schema).unwrap();
    let schema = kiln_core::Mapper::schema(&mapper);
    assert_eq!(schema.field(0).data_type(), &DataType::Boolean);
    assert_eq!(schema.field(1).data_type(), &DataType::Int64);
}
