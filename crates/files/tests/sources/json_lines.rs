//! JSON Lines: values, what is missing, bad records, and laws.

use kiln_core::{Kind, Position, Source};
use kiln_files::{Column, ColumnType, JsonColumn, JsonOptions, JsonPath, JsonSource, Missing};
use proptest::prelude::*;

use crate::common::{Input, bad, items, next, read_all, records, rows, seek};

/// A column at a path.
pub(crate) fn column(name: &str, kind: &str, path: &str) -> JsonColumn {
    let column = Column::new(name, ColumnType::parse(kind).unwrap());
    JsonColumn { column, path: JsonPath::parse(path).unwrap(), missing: Missing::Null }
}

pub(crate) fn only(columns: Vec<JsonColumn>) -> JsonOptions {
    JsonOptions { columns, others: false, ..JsonOptions::default() }
}

fn read(content: &str, options: &JsonOptions) -> Vec<crate::common::Read> {
    read_all(&mut Input::named("in.jsonl", content).json(options))
}

#[test]
fn values_come_from_where_paths_lead() {
    let options = only(vec![
        column("name", "text", "order.customer.name"),
        column("first", "text", "lines[0].sku"),
        column("second", "int", "lines[1].n"),
        column("lines", "text", "lines"),
        column("total", "decimal(38,20)", "total"),
        column("paid", "bool", "paid"),
        column("at", "timestamptz", "at"),
    ]);
    let content = concat!(
        r#"{"order":{"customer":{"name":"J\u00f6rg \"x\""}},"lines":[{"sku":"A"},{"n":2e1}],"#,
        r#""total":123456789012345678.12345678901234567890,"paid":true,"at":"2020-01-02T03:04:05+01:00"}"#,
        "\r\n\n  \n",
        r#"{"at":null,"total":"1.5","order":{"customer":[]},"lines":[]}"#,
    );
    assert_eq!(
        rows(&read(content, &options)),
        [
            [
                "Jörg \"x\"",
                "A",
                "20",
                r#"[{"sku":"A"},{"n":2e1}]"#,
                "123456789012345678.12345678901234567890",
                "true",
                "2020-01-02 02:04:05+00"
            ],
            [r"\N", r"\N", r"\N", "[]", "1.50000000000000000000", r"\N", r"\N"],
        ]
    );
}

#[test]
fn other_keys_of_the_first_records_are_text() {
    let content = concat!(
        "{\"b\":1.50,\"a\":\"x\",\"deep\":{\"k\":1}}\n",
        "no json\n",
        "{\"a\":true,\"c\":[1, 2],\"b\":null,\"deep\":{\"k\":2}}\n",
    );
    let input = Input::named("in.jsonl", content);
    let names = |options: &JsonOptions| -> Vec<String> {
        input.json(options).schema().fields().iter().map(|f| f.name().clone()).collect()
    };
    let all = JsonOptions::default();
    assert_eq!(names(&all), ["b", "a", "deep", "c"]);
    assert_eq!(
        rows(&read(content, &all)),
        [["1.50", "x", "{\"k\":1}", r"\N"], [r"\N", "true", "{\"k\":2}", "[1, 2]"]]
    );
    let declared = JsonOptions { columns: vec![column("k", "int", "deep.k")], ..all };
    assert_eq!(names(&declared), ["k", "b", "a", "c"]);
}

#[test]
fn missing_and_null_are_told_apart() {
    let strict = |missing| {
        only(vec![JsonColumn { missing, ..column("a", "int", "x.a") }, column("n", "int", "n")])
    };
    let content =
        "{\"n\":1,\"x\":{\"a\":5}}\n{\"n\":2,\"x\":{\"a\":null}}\n{\"n\":3,\"x\":{}}\n{\"n\":4}\n";
    let of = |missing| read(content, &strict(missing));
    assert_eq!(rows(&of(Missing::Null)), [["5", "1"], [r"\N", "2"], [r"\N", "3"], [r"\N", "4"]]);
    assert_eq!(
        rows(&of(Missing::Tell)),
        [["true", "1"], ["true", "2"], ["false", "3"], ["false", "4"]]
    );
    let rejected = of(Missing::Reject);
    assert_eq!(rows(&rejected), [["5", "1"], [r"\N", "2"]]);
    let codes: Vec<_> = bad(&rejected).iter().map(|b| (b.0, b.1)).collect();
    assert_eq!(codes, [(3, "missing"), (4, "missing")]);
}

#[test]
fn a_broken_line_is_one_bad_record() {
    let options = JsonOptions { max_record_bytes: 60, ..only(vec![column("a", "int", "a")]) };
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(5_000_000));
    let lines = [
        "{\"a\":1}",
        "{\"a\":2",
        "[1]",
        "{\"a\":\"x\"}",
        &long,
        "{\"a\":1.5}",
        "{\"a\":99999999999999999999}",
        "{\"a\":{}}",
        "{\"a\":true}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":3} x",
        "{\"a\":4,\"b\":\"\u{1}\"}",
        "{\"a\":12.0}",
    ];
    let content = lines.join("\n");
    let all = read(&content, &options);
    assert_eq!(rows(&all), [["1"], ["12"]]);
    let found: Vec<_> = bad(&all).iter().map(|b| (b.0, b.1)).collect();
    let expected = [
        (2, "json"),
        (3, "json"),
        (4, "cast"),
        (5, "too_long"),
        (6, "cast"),
        (7, "cast"),
        (8, "cast"),
        (9, "cast"),
        (10, "nul"),
        (11, "json"),
        (12, "json"),
        (13, "json"),
    ];
    assert_eq!(found, expected);
    for record in &all {
        assert!(content[record.offset as usize..].starts_with(&record.raw), "{record:?}");
    }
    let message = |i: usize| all[i].values.as_ref().unwrap_err().1.clone();
    assert_eq!(message(1), "no JSON: EOF while parsing an object, column 6");
    assert_eq!(message(5), "column a: \"1.5\" has too many digits behind the point for an int");
    assert_eq!(message(6), "column a: \"99999999999999999999\" is too large for an int");
    assert_eq!(all[4].raw.len(), 60, "the beginning is kept");
    assert_eq!(all[13].line, 14);
}

#[test]
fn bytes_that_are_no_text() {
    let input = Input::named("in.jsonl", b"{\"a\":\"\xff\"}\n{\"a\":\"x\0\"}\n{\"a\":\"y\"}\n");
    let all = read_all(&mut input.json(&JsonOptions::default()));
    let found: Vec<_> = bad(&all).iter().map(|b| (b.0, b.1)).collect();
    assert_eq!(found, [(1, "utf8"), (2, "nul")]);
    assert_eq!(rows(&all), [["y"]]);
}

#[test]
fn an_empty_file() {
    let input = Input::named("in.jsonl", "\n");
    let fault = JsonSource::open(&input.path, &JsonOptions::default()).err().unwrap();
    assert_eq!(fault.kind(), Kind::InputInvalid);
    assert!(fault.message().contains("has no record"), "{fault}");
    assert_eq!(rows(&read("", &only(vec![column("a", "int", "a")]))), [[""; 0]; 0]);
}

#[test]
fn options_that_can_not_be() {
    let input = Input::named("in.jsonl", "{}");
    let fault = |options| JsonSource::open(&input.path, &options).err().unwrap();
    let twice = only(vec![column("a", "int", "x"), column("a", "int", "y")]);
    assert!(fault(twice).message().contains("described twice"));
    let short = JsonOptions { max_record_bytes: 0, ..only(vec![column("a", "int", "x")]) };
    assert!(fault(short).message().contains("a record may be 1 to"));
}

/// Lines that look like JSON and often are not.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "(\\{\"a\":[1\"x,\\[\\]{}\\\\n.-]{0,6}\\}?\r?\n?){0,30}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_cutting_and_any_resume_give_the_same(
        content in rubbish(),
        limit in prop_oneof![Just(8usize), Just(1 << 20)],
        size in 1usize..7,
    ) {
        let input = Input::named("in.jsonl", &content);
        let options = JsonOptions { max_record_bytes: limit, ..only(vec![column("a", "int", "a")]) };
        let whole = read_all(&mut input.json(&options));
        let lines = content.split(|b| *b == b'\n');
        let blank = |line: &&[u8]| line.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r'));
        prop_assert_eq!(whole.len(), lines.filter(|line| !blank(line)).count());
        let mut source = input.json(&options);
        let mut found = Vec::new();
        let mut ends = vec![Position::default()];
        while let Some(chunk) = next(&mut source, &items(size)) {
            ends.push(chunk.end.clone());
            found.extend(records(&chunk));
        }
        prop_assert_eq!(&found, &whole);
        for end in ends.iter().rev() {
            seek(&mut source, end).unwrap();
            prop_assert_eq!(&read_all(&mut source)[..], &whole[end.ordinal as usize..]);
        }
    }

    #[test]
    fn what_serde_json_wrote_is_read(
        rows in prop::collection::vec((any::<String>(), any::<i64>(), any::<bool>()), 1..20),
    ) {
        let line = |(t, n, b): &(String, i64, bool)| {
            serde_json::json!({"t": t, "o": {"n": n, "b": [b]}}).to_string() + "\n"
        };
        let content: String = rows.iter().map(line).collect();
        let options = only(vec![
            column("t", "text", "t"), column("n", "int", "o.n"), column("b", "bool", "o.b[0]"),
        ]);
        let found = read(&content, &options);
        for (record, (text, n, b)) in found.iter().zip(&rows) {
            if text.contains('\0') {
                prop_assert_eq!(&record.values.as_ref().unwrap_err().0, "nul");
                continue;
            }
            let expected = vec![Some(text.clone()), Some(n.to_string()), Some(b.to_string())];
            prop_assert_eq!(record.values.as_ref().unwrap(), &expected);
        }
    }
}
