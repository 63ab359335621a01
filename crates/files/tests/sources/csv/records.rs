//! Bad records are dead letters with line, offset and text, and the records
//! behind them survive (B41).

use kiln_core::Position;
use kiln_files::{Column, ColumnType, CsvOptions, Header, Ragged};

use crate::common::{Input, bad, read_all, rows, seek};

fn no_header() -> CsvOptions {
    CsvOptions { header: Header::No, ..CsvOptions::default() }
}

fn bounded(max_record_bytes: usize) -> CsvOptions {
    CsvOptions { max_record_bytes, ..no_header() }
}

#[test]
fn a_quote_that_is_not_closed_costs_one_line() {
    let input = Input::new("a,b,c\n1,x,y\n5,\"plop\n6,\"a\",\"b\"\n7,x,y\n");
    let all = input.read(&CsvOptions::default());
    assert_eq!(bad(&all), [(3, "quote", "5,\"plop")]);
    assert_eq!(rows(&all), [["1", "x", "y"], ["6", "a", "b"], ["7", "x", "y"]]);
    let places: Vec<_> = all.iter().map(|r| (r.ordinal, r.line, r.offset)).collect();
    assert_eq!(places, [(1, 2, 6), (2, 3, 12), (3, 4, 20), (4, 5, 30)]);
    let (code, message) = all[1].values.clone().unwrap_err();
    assert_eq!(code, "quote");
    assert!(message.starts_with("field 2: its quote is not closed on this line"), "{message}");
}

#[test]
fn a_quote_that_is_not_closed_before_the_end_costs_one_line() {
    let all = Input::new("1,\"a\n2,b\n3,c").read(&no_header());
    assert_eq!(bad(&all), [(1, "quote", "1,\"a")]);
    assert_eq!(rows(&all), [["2", "b"], ["3", "c"]]);
    let all = Input::new("1,b\n2,\"").read(&no_header());
    assert_eq!(bad(&all), [(2, "quote", "2,\"")]);
}

#[test]
fn text_behind_a_closing_quote_is_bad() {
    let input = Input::new("1,\"a\"b\r\n2,\"c\" ,d\r\n3,x\r\n");
    let all = input.read(&no_header());
    assert_eq!(bad(&all), [(1, "quote", "1,\"a\"b"), (2, "quote", "2,\"c\" ,d")]);
    assert_eq!(rows(&all), [["3", "x"]]);
    let trim = CsvOptions { trim: true, ragged: Ragged::Pad, ..no_header() };
    assert_eq!(rows(&input.read(&trim)), [["2", "c", "d"], ["3", "x", r"\N"]]);
}

#[test]
fn a_quote_inside_an_unquoted_field_is_text() {
    let all = Input::new("3\" pipe,4\"\nx \"y\",z\n").read(&no_header());
    assert_eq!(rows(&all), [["3\" pipe", "4\""], ["x \"y\"", "z"]]);
}

#[test]
fn quoted_line_ends_blank_lines_and_crlf_keep_lines_right() {
    let input = Input::new("\u{feff}a,b\r\n\r\n1,\"x\r\ny\"\r\n\r\n\r\n2,z\r\n\r\n");
    let all = input.read(&CsvOptions::default());
    assert_eq!(rows(&all), [["1", "x\r\ny"], ["2", "z"]]);
    let places: Vec<_> = all.iter().map(|r| (r.line, r.offset, r.raw.as_str())).collect();
    assert_eq!(places, [(3, 10, "1,\"x\r\ny\""), (7, 24, "2,z")]);
}

#[test]
fn empty_and_quoted_empty_differ() {
    let options = CsvOptions {
        columns: vec![Column::new("n", ColumnType::Int)],
        nulls: vec!["NA".to_owned()],
        ..CsvOptions::default()
    };
    let all = Input::new("t,n\n,\n\"\",1\nNA,NA\n\"NA\",2\nx,\"\"\nx,\"NA\"\n").read(&options);
    assert_eq!(rows(&all), [[r"\N", r"\N"], ["", "1"], [r"\N", r"\N"], ["NA", "2"]]);
    assert_eq!(bad(&all), [(6, "cast", "x,\"\""), (7, "cast", "x,\"NA\"")]);
}

#[test]
fn a_value_that_does_not_fit_leaves_no_half_row() {
    let options = CsvOptions {
        columns: vec![
            Column::new("n", ColumnType::Int),
            Column::new("d", ColumnType::Decimal { precision: 5, scale: 2 }),
            Column::new("ok", ColumnType::Bool),
        ],
        ..CsvOptions::default()
    };
    let input = Input::new(
        "t,n,d,ok,u\na,1,1.5,yes,ä\nb,12x,1,no,z\nc,1,1.005,no,z\nd,1,1000,no,z\n\
         e,1,\"x\"\"\",no,z\nf,2,\" 2 \",maybe,z\ng,99999999999999999999,1,t,z\nh,3,-.5,0,\n",
    );
    let all = input.read(&options);
    assert_eq!(rows(&all), [["a", "1", "1.50", "true", "ä"], ["h", "3", "-0.50", "false", r"\N"]]);
    let messages: Vec<_> =
        all.iter().filter_map(|r| Some(r.values.as_ref().err()?.1.as_str())).collect();
    assert_eq!(
        messages,
        [
            "column n: \"12x\" is not an int",
            "column d: \"1.005\" has too many digits behind the point for a decimal(5,2)",
            "column d: \"1000\" is too large for a decimal(5,2)",
            "column d: \"x\\\"\" is not a decimal(5,2)",
            "column ok: \"maybe\" is not a bool",
            "column n: \"99999999999999999999\" is too large for an int",
        ]
    );
}

#[test]
fn the_text_of_a_message_is_short_and_harmless() {
    let options =
        CsvOptions { columns: vec![Column::new("n", ColumnType::Int)], ..CsvOptions::default() };
    let all = Input::new(format!("n\n\x1b[2J\n{}\n", "é".repeat(500))).read(&options);
    let message = |i: usize| all[i].values.clone().unwrap_err().1;
    assert_eq!(message(0), r#"column n: "\u{1b}[2J" is not an int"#);
    assert!(message(1).chars().count() < 100, "{}", message(1));
}

#[test]
fn ragged_records_fail_or_are_padded() {
    let input = Input::new("a,b,c\n1,2,3\n4,5\n6,7,8,9\n");
    let all = input.read(&CsvOptions::default());
    assert_eq!(bad(&all), [(3, "ragged", "4,5"), (4, "ragged", "6,7,8,9")]);
    assert_eq!(all[1].values.clone().unwrap_err().1, "2 fields for 3 columns");
    let pad = CsvOptions { ragged: Ragged::Pad, ..CsvOptions::default() };
    assert_eq!(rows(&input.read(&pad)), [["1", "2", "3"], ["4", "5", r"\N"], ["6", "7", "8"]]);
}

#[test]
fn what_is_no_text_is_bad_and_still_legible() {
    let all =
        Input::new(b"a,b\nx,\xe9t\xe9\ny,\0\nz,\"1\n\xff\"\nok,1\n").read(&CsvOptions::default());
    assert_eq!(
        bad(&all),
        [(2, "utf8", r"x,\xe9t\xe9"), (3, "nul", r"y,\x00"), (4, "utf8", "z,\"1\n\\xff\"")]
    );
    assert_eq!(rows(&all), [["ok", "1"]]);
    let message = all[0].values.clone().unwrap_err().1;
    assert_eq!(message, "no UTF-8: byte 0xe9, 2 bytes into the record");
}

#[test]
fn a_record_may_be_as_long_as_allowed_and_no_longer() {
    for end in ["\n", "\r\n", ""] {
        let all = Input::new(format!("1234567890{end}")).read(&bounded(10));
        assert_eq!(rows(&all), [["1234567890"]], "{end:?}");
        let all = Input::new(format!("\"2345\n789\"{end}")).read(&bounded(10));
        assert_eq!(rows(&all), [["2345\n789"]], "{end:?}");
        let all = Input::new(format!("ok\n\"2345\n7890\"{end}")).read(&bounded(10));
        assert_eq!(bad(&all)[0], (2, "quote", "\"2345"), "{end:?}");
        let all = Input::new(format!("ok\n12345678901{end}")).read(&bounded(10));
        assert_eq!(bad(&all), [(2, "too_long", "1234567890")], "{end:?}");
    }
}

#[test]
fn a_huge_line_is_one_bad_record_in_bounded_memory() {
    for quote in ["", "\""] {
        let mut content = String::from("1,a\n2,");
        content.push_str(quote);
        content.push_str(&"x".repeat(20 << 20));
        content.push_str("\n3,c\n");
        let all = Input::new(content).read(&no_header());
        assert_eq!(rows(&all), [["1", "a"], ["3", "c"]]);
        assert_eq!((all[1].line, all[2].line), (2, 3));
        assert_eq!(all[1].raw.len(), 16 << 10);
        assert_eq!(all[1].values.clone().unwrap_err().0, "too_long");
    }
}

#[test]
fn a_huge_line_without_an_end_is_one_bad_record() {
    let all = Input::new(format!("1\n{}", "x".repeat(3 << 20))).read(&no_header());
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].values.clone().unwrap_err().0, "too_long");
}

/// Every line opens a quote anew, and from inside the quote of a line before
/// none ends the record: each would be looked through to the limit again.
#[test]
fn many_wrong_quotes_take_linear_time() {
    let lines = 400_000;
    for (content, bad) in [
        ("z\",\"w\n".repeat(lines), lines),
        (format!("{}1,\"x\"y\n", "z\",\"w\n".repeat(lines)), lines + 1),
        (format!("{}{}\n", "z\",\"w\n".repeat(lines), "x".repeat(900_000)), lines),
    ] {
        let started = std::time::Instant::now();
        let all = Input::new(content).read(&CsvOptions {
            header: Header::Names(vec!["a".to_owned(), "b".to_owned()]),
            ragged: Ragged::Pad,
            ..CsvOptions::default()
        });
        let failed = all.iter().filter(|r| r.values.is_err()).count();
        assert!(failed <= bad && failed >= bad - 1, "{failed} of {bad}");
        assert_eq!(all.last().unwrap().ordinal, all.len() as u64);
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }
}

#[test]
fn without_a_quote_character_quotes_are_text() {
    let options = CsvOptions { quote: None, delimiter: b'\t', ..no_header() };
    let all = Input::new("\"a\t\"\"\n\"b\tc\n").read(&options);
    assert_eq!(rows(&all), [["\"a", "\"\""], ["\"b", "c"]]);
}

#[test]
fn a_tab_that_is_the_delimiter_is_no_blank() {
    let options = CsvOptions { trim: true, delimiter: b'\t', ..no_header() };
    let all = Input::new(" a \t b\t\n\t\t\n   \n").read(&options);
    assert_eq!(rows(&all), [["a", "b", r"\N"], [r"\N", r"\N", r"\N"]]);
}

#[test]
fn a_wrong_quote_is_found_again_from_any_place() {
    let input = Input::new("1,\"a\n2,b\"x\n3,c\n".repeat(3));
    let whole = input.read(&no_header());
    for record in &whole[1..] {
        let mut source = input.open(&no_header());
        let place = format!("byte={};line={}", record.offset, record.line);
        seek(&mut source, &Position { ordinal: record.ordinal - 1, place }).unwrap();
        assert_eq!(read_all(&mut source), whole[record.ordinal as usize - 1..]);
    }
}
