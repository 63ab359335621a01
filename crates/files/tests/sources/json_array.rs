//! Arrays of JSON objects, and objects one behind the other.

use kiln_core::{Fault, Kind, Position, Source};
use kiln_files::{JsonOptions, JsonRecords};
use proptest::prelude::*;

use crate::common::{Input, bad, block_on, items, next, read_all, records, rows, seek};
use crate::json_lines::{column, only};

fn options() -> JsonOptions {
    JsonOptions { records: JsonRecords::Elements, ..only(vec![column("a", "text", "a")]) }
}

fn read(content: &str) -> Vec<crate::common::Read> {
    read_all(&mut Input::named("in.json", content).json(&options()))
}

/// What ends the reading, and how many items come before.
fn broken(content: &str) -> (u64, Fault) {
    let mut source = Input::named("in.json", content).json(&options());
    let mut read = 0;
    loop {
        match block_on(source.next(&items(1))) {
            Ok(Some(chunk)) => read = chunk.end.ordinal,
            Ok(None) => panic!("{content:?} was read to its end"),
            Err(fault) => return (read, fault),
        }
    }
}

#[test]
fn any_layout_of_an_array() {
    for content in [
        "[{\"a\":1},{\"a\":\"]}\\\"\"},{\"a\":[{}]}]",
        "\n [ {\"a\":1}\n, {\"a\":\"]}\\\"\"} ,\r\n\t{\n\"a\":[{}]\n}\n]\n",
        "{\"a\":1}{\"a\":\"]}\\\"\"}\n\n {\"a\":[{}]}",
        "{\"a\":1}\n{\"a\":\"]}\\\"\"}\n{\"a\":[{}]}\n",
    ] {
        assert_eq!(rows(&read(content)), [["1"], ["]}\""], ["[{}]"]], "{content:?}");
    }
    for content in ["[]", " [ ] ", ""] {
        assert_eq!(read(content), [], "{content:?}");
    }
}

#[test]
fn a_record_has_its_line_and_its_text() {
    let content = "[\n  {\"a\": 1},\n  {\n    \"a\": 2\n  }\n]";
    let all = read(content);
    assert_eq!((all[0].line, all[1].line), (2, 3));
    assert_eq!(all[1].raw, "{\n    \"a\": 2\n  }");
    assert!(content[all[1].offset as usize..].starts_with(&all[1].raw));
}

#[test]
fn an_element_that_is_broken_inside_is_one_bad_record() {
    let content = "[{\"a\":1},\n{\"a\" 2},\n7, null, \"x\", [8],\n{'a':3},\n{\"a\":4}]";
    let all = read(content);
    assert_eq!(rows(&all), [["1"], ["4"]]);
    let found: Vec<_> = bad(&all).iter().map(|b| (b.0, b.1, b.2)).collect();
    assert_eq!(
        found,
        [
            (2, "json", "{\"a\" 2}"),
            (3, "json", "7"),
            (3, "json", "null"),
            (3, "json", "\"x\""),
            (3, "json", "[8]"),
            (4, "json", "{'a':3}"),
        ]
    );
}

#[test]
fn a_huge_element_is_one_bad_record() {
    let options = JsonOptions { max_record_bytes: 50, ..options() };
    let huge = format!("{{\"a\":\"{}\\\"{}\n}}\"}}", "x".repeat(3_000_000), "[".repeat(1_000_000));
    let content = format!("[{{\"a\":1}},{huge},\n{{\"a\":2}}]");
    let all = read_all(&mut Input::named("in.json", content).json(&options));
    assert_eq!(rows(&all), [["1"], ["2"]]);
    let (line, code, raw) = bad(&all)[0];
    assert_eq!((line, code, raw.len()), (1, "too_long", 50));
    assert_eq!(all[2].line, 3);
}

#[test]
fn wrong_brackets_end_the_reading() {
    for (content, before, message) in [
        ("[{\"a\":1},\n{\"a\":2}", 2, "in.json:2: the file ends before its array does"),
        ("[{\"a\":1},\n{\"a\":[2}]", 1, "in.json:2: in this record, a `}` stands where a `]`"),
        ("[{\"a\":1},\n{\"a\":2", 1, "in.json:2: the record is not closed before the file ends"),
        ("[{\"a\":1} {\"a\":2}]", 1, "in.json:1: `,` or `]` was expected"),
        ("[{\"a\":1},,{\"a\":2}]", 1, "in.json:1: an element is missing"),
        ("[{\"a\":1},]", 1, "in.json:1: an element is missing"),
        ("[,{\"a\":1}]", 0, "in.json:1: an element is missing"),
        ("[{\"a\":1}]\n[", 1, "in.json:2: something follows the array"),
        ("{\"a\":1}\n]", 1, "in.json:2: a record can't begin with `]`"),
        ("{\"a\":1},{\"a\":1}", 1, "in.json:1: a record can't begin with `,`"),
    ] {
        let (read, fault) = broken(content);
        assert_eq!(fault.kind(), Kind::InputInvalid, "{content:?}: {fault}");
        assert!(fault.message().contains(message), "{content:?}: {fault}");
        assert_eq!(read, before, "{content:?}");
    }
}

/// Values with brackets and quotes in them, between blanks.
fn array() -> impl Strategy<Value = (Vec<serde_json::Value>, Vec<String>, bool)> {
    let text = "[a\"\\\\\\[\\]{},\n é]{0,9}";
    let value = prop_oneof![
        text.prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        prop::collection::vec(text, 0..3).prop_map(serde_json::Value::from),
    ];
    let record = value.prop_map(|v| serde_json::json!({"a": v}));
    (
        prop::collection::vec(record, 0..30),
        prop::collection::vec("[ \n\r\t]{0,4}", 1..9),
        any::<bool>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_layout_any_cut_and_any_resume_give_the_same(
        (values, blanks, in_array) in array(),
        size in 1usize..7,
        pretty: bool,
    ) {
        let mut blanks = blanks.iter().cycle();
        let mut content = String::new();
        for (i, value) in values.iter().enumerate() {
            let shown = if pretty { format!("{value:#}") } else { value.to_string() };
            let comma = if in_array && i > 0 { "," } else { "" };
            let (before, behind) = (blanks.next().unwrap(), blanks.next().unwrap());
            content += &format!("{comma}{before}{shown}{behind}");
        }
        if in_array {
            content = format!("[{content}]");
        }
        let input = Input::named("in.json", &content);
        let whole = read_all(&mut input.json(&options()));
        prop_assert_eq!(whole.len(), values.len());
        for (record, value) in whole.iter().zip(&values) {
            let found: serde_json::Value = serde_json::from_str(&record.raw).unwrap();
            prop_assert_eq!(&found, value);
            prop_assert!(record.values.is_ok());
            let before = &content.as_bytes()[..record.offset as usize];
            let line = before.iter().filter(|b| **b == b'\n').count() as u64 + 1;
            prop_assert_eq!(record.line, line);
        }
        let mut source = input.json(&options());
        let mut ends = vec![Position::default()];
        let mut found = Vec::new();
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
    fn nothing_panics_and_everything_ends(content in "[{}\\[\\]\",:1a\\\\ \n]{0,80}") {
        let mut source = Input::named("in.json", &content).json(&options());
        let mut read = 0;
        while let Ok(Some(chunk)) = block_on(source.next(&items(3))) {
            prop_assert!(chunk.end.ordinal > read);
            read = chunk.end.ordinal;
        }
        prop_assert!(read <= content.len() as u64);
    }
}
