//! Fields of fixed width.

use kiln_core::{Kind, Source};
use kiln_files::{Column, ColumnType, Encoding, FixedColumn, FixedOptions, FixedSource, Ragged};

use crate::common::{Input, Read, bad, items, next, read_all, rows, seek};

/// A column at a place.
pub(crate) fn column(name: &str, kind: &str, at: usize, width: usize) -> FixedColumn {
    FixedColumn { column: Column::new(name, ColumnType::parse(kind).unwrap()), at, width }
}

fn options() -> FixedOptions {
    let columns = vec![
        column("name", "text", 1, 6),
        column("price", "decimal(7,2)", 7, 8),
        column("day", "date", 16, 10),
        column("initial", "text", 1, 1),
    ];
    FixedOptions { columns, ..FixedOptions::default() }
}

fn read(content: impl AsRef<[u8]>, options: &FixedOptions) -> Vec<Read> {
    read_all(&mut FixedSource::open(&Input::new(content).path, options).unwrap())
}

const LINES: &str =
    "Jörg     12.50 2020-01-02 rest\r\n\nAnna           2020-01-03\nK.€𝄞  -3.5     2020-01-04\n";

#[test]
fn fields_are_cut_by_characters() {
    let expected = [
        ["Jörg", "12.50", "2020-01-02", "J"],
        ["Anna", r"\N", "2020-01-03", "A"],
        ["K.€𝄞", "-3.50", "2020-01-04", "K"],
    ];
    let all = read(LINES, &options());
    assert_eq!(rows(&all), expected);
    assert_eq!((all[1].line, &*all[1].raw), (3, "Anna           2020-01-03"));
    let plain =
        FixedOptions { trim: false, columns: vec![column("name", "text", 1, 6)], ..options() };
    assert_eq!(
        rows(&read("Anna\n", &FixedOptions { ragged: Ragged::Pad, ..plain.clone() })),
        [["Anna"]]
    );
    assert_eq!(rows(&read("Anna   \n", &plain)), [["Anna  "]]);
}

#[test]
fn a_short_line_fails_or_is_blank() {
    let content = "Anna   1.00 \nAnna   x    2020-01-01\n\u{e4}\n";
    let codes: Vec<_> =
        read(content, &options()).iter().map(|r| r.values.clone().unwrap_err().0).collect();
    assert_eq!(codes, ["ragged", "ragged", "ragged"]);
    let pad = FixedOptions { ragged: Ragged::Pad, ..options() };
    let all = read(content, &pad);
    assert_eq!(rows(&all), [["Anna", "1.00", r"\N", "A"], ["ä", r"\N", r"\N", "ä"]]);
    assert_eq!(bad(&all)[0].1, "cast");
}

#[test]
fn a_header_is_passed_and_positions_hold() {
    let options = FixedOptions { header: true, ..options() };
    let input = Input::new(format!("name  price\n{LINES}"));
    let mut source = FixedSource::open(&input.path, &options).unwrap();
    let first = next(&mut source, &items(1)).unwrap();
    let rest = read_all(&mut source);
    assert_eq!((rest.len(), rest[0].line), (2, 4));
    seek(&mut source, &first.end).unwrap();
    assert_eq!(read_all(&mut source), rest);
}

#[test]
fn other_encodings_and_null_texts() {
    let columns = vec![column("a", "text", 1, 2), column("b", "int", 3, 3)];
    let options = FixedOptions {
        columns,
        nulls: vec!["---".to_owned()],
        encoding: Some(Encoding::parse("latin-1").unwrap()),
        ..FixedOptions::default()
    };
    assert_eq!(rows(&read(b"\xe4\xf6 12\n\xfcx---\n", &options)), [["äö", "12"], ["üx", r"\N"]]);
}

#[test]
fn options_that_can_not_be() {
    let input = Input::new("");
    let with = |columns| FixedOptions { columns, ..FixedOptions::default() };
    for (columns, part) in [
        (vec![], "no columns"),
        (vec![column("a", "text", 0, 1)], "column a"),
        (vec![column("a", "text", 1, 0)], "column a"),
        (vec![column("a", "text", usize::MAX, 2)], "column a"),
        (vec![column("a", "text", 1, 1), column("a", "text", 2, 1)], "described twice"),
    ] {
        let fault = FixedSource::open(&input.path, &with(columns)).err().unwrap();
        assert_eq!(fault.kind(), Kind::Config);
        assert!(fault.message().contains(part), "{fault}");
    }
    let source = FixedSource::open(&input.path, &options()).unwrap();
    assert_eq!(source.schema().fields().len(), 4);
}
