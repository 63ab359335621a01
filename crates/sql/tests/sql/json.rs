//! JSON in a column of text.

use kiln_core::{Failure, Kind};
use kiln_sql::SqlMapper;

use crate::items::{input, items, map, text};

const ORDER: &str = r#"{"id": 7, "total": 12345678901234567890.10, "paid": true, "rate": 1.5e2,
 "customer": {"name": "Ann \"A\" Oé", "none": null}, "lines": [{"sku": "a", "qty": 2}, {"sku": "b"}]}"#;

/// What an expression gives of each document.
fn each(expression: &str, documents: &[Option<&str>]) -> (Vec<String>, Vec<Failure>) {
    let sql = format!("SELECT {expression} AS x FROM item");
    let mut mapper = SqlMapper::new(&sql, input()).unwrap_or_else(|e| panic!("{expression}: {e}"));
    let lines: Vec<_> = documents.iter().map(|d| (None, Some(1), None, *d)).collect();
    let mapped = map(&mut mapper, items(&lines));
    (text(&mapped.items.batch), mapped.failures)
}

#[test]
fn values_are_taken_out_of_a_document() {
    for (expression, expected) in [
        ("json_get_int(note, 'id')", "7"),
        ("json_get_decimal(note, 'total')", "12345678901234567890.1000000000"),
        ("CAST(json_get_decimal(note, 'total') AS decimal(22,2))", "12345678901234567890.10"),
        ("json_get_str(note, 'total')", "12345678901234567890.10"),
        ("json_get_bool(note, 'paid')", "true"),
        ("json_get_float(note, 'rate')", "150"),
        ("json_get_int(note, 'rate')", "150"),
        ("json_get_str(note, 'customer', 'name')", "Ann \"A\" Oé"),
        ("json_get(note, 'customer', 'name')", r#""Ann \"A\" O\u00e9""#),
        ("json_get(note, 'lines', 1)", r#"{"sku": "b"}"#),
        ("json_get_str(note, 'lines', 0, 'sku')", "a"),
        ("json_get_int(note, 'lines', 1, 'qty')", "NULL"),
        ("json_get_str(note, 'lines', 2, 'sku')", "NULL"),
        ("json_get_str(note, 'customer', 'none')", "NULL"),
        ("json_exists(note, 'customer', 'none')", "true"),
        ("json_exists(note, 'customer', 'nil')", "false"),
        ("json_length(note, 'lines')", "2"),
        ("json_length(note)", "6"),
        ("note -> 'customer' ->> 'name'", "Ann \"A\" Oé"),
        ("note -> 'lines' -> 0 ->> 'sku'", "a"),
        ("note -> 'lines' -> \"Quantity\" ->> 'sku'", "b"),
        ("note ->> 'id' = '7' AND note -> 'lines' -> 0 ->> 'sku' LIKE 'a%'", "true"),
        ("note ->> 'id' || '!'", "7!"),
        ("CAST(note ->> 'id' AS int) * 2", "14"),
        ("json_get_int(note, 'lines', json_length(note, 'lines') - 2, 'qty')", "2"),
        ("json_get_int('[1,2,3]', 1)", "2"),
        ("json_get_str(note, lower('ID'))", "7"),
    ] {
        let (given, failures) = each(expression, &[Some(&ORDER.replace("Oé", "O\\u00e9"))]);
        assert_eq!(failures.len(), 0, "{expression}: {failures:?}");
        assert_eq!(given, [expected], "{expression}");
    }
    let (given, _) = each("json_get_str(note, 'a')", &[None, Some("{}"), Some("[]"), Some("1")]);
    assert_eq!(given, ["NULL"; 4]);
}

#[test]
fn what_is_no_json_fails_its_item() {
    let documents =
        [Some(r#"{"a": 1}"#), Some(r#"{"a": 1"#), Some(""), Some(r#"{"b": x, "a": 2}"#), None];
    let (given, failures) = each("json_get_int(note, 'a')", &documents);
    assert_eq!(given, ["1", "NULL"]);
    let failed: Vec<u64> = failures.iter().map(|f| f.ordinal).collect();
    assert_eq!(failed, [2, 3, 4]);
    for Failure { fault, .. } in &failures {
        assert_eq!(
            (fault.kind(), fault.code(), fault.column()),
            (Kind::Item, Some("json"), Some("x"))
        );
        assert!(fault.message().starts_with("x: no JSON: "), "{fault}");
    }
    assert!(failures[2].fault.message().contains("column 7"), "{}", failures[2].fault);
}

#[test]
fn a_value_that_does_not_fit_fails_its_item() {
    for (expression, document, said) in [
        (
            "json_get_int(note, 'a', 0)",
            r#"{"a": ["x"]}"#,
            r#"a[0] is "x", which is no whole number"#,
        ),
        ("json_get_int(note, 'a')", r#"{"a": 1.5}"#, "a is 1.5, which has too many digits"),
        (
            "json_get_decimal(note, 'a')",
            r#"{"a": 0.12345678901}"#,
            "too many digits for a decimal(38,10)",
        ),
        ("json_get_bool(note, 'a')", r#"{"a": 1}"#, "a is 1, which is no boolean"),
        ("json_get_float(note)", r#""1""#, "the document is \"1\", which is no float"),
        ("json_length(note, 'a')", r#"{"a": 1}"#, "a is 1, which is no array or object"),
        ("json_get_str(note, 'a')", r#"{"a": "\ud800"}"#, "a is \"\\ud800\": "),
    ] {
        let (_, failures) = each(expression, &[Some(document)]);
        let fault = &failures.first().unwrap_or_else(|| panic!("{expression}")).fault;
        assert!(fault.message().contains(said), "{expression}: {fault}");
        assert_eq!(fault.code(), Some("json"));
    }
}

#[test]
fn a_path_is_made_of_keys_and_places() {
    for (expression, said) in [
        ("json_get(note, 1.5)", "keys (texts) and places (integers)"),
        ("json_get(\"Quantity\", 'a')", "reads JSON from text"),
        ("json_get()", "needs a document"),
        ("\"Quantity\" -> 'a'", "reads JSON from text"),
    ] {
        let fault = SqlMapper::new(&format!("SELECT {expression} AS x FROM item"), input());
        let fault = fault.unwrap_err();
        assert!(fault.message().contains(said), "{expression}: {fault}");
    }
}

#[test]
fn elements_of_a_list_are_counted_from_one() {
    let (given, _) = each(
        r"concat_ws('|', regexp_match(note, '(\d+)-(\d+)')[2], regexp_match(note, '(\d+)')[2])",
        &[Some("10-20"), Some("x"), None],
    );
    assert_eq!(given, ["20", "", ""]);
}
