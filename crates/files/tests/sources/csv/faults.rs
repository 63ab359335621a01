//! Inputs and options that can't be used at all: what is said, and which kind.

use std::io::Write;
use std::path::Path;

use kiln_core::{ChunkLimits, Kind, Position, Source};
use kiln_files::{Column, ColumnType, CsvOptions, CsvSource, Header};

use crate::common::{Input, block_on, items, next, open_fault, read_all, rows, seek};

fn with(header: Header) -> CsvOptions {
    CsvOptions { header, ..CsvOptions::default() }
}

fn typed(name: &str, kind: ColumnType) -> CsvOptions {
    CsvOptions { columns: vec![Column::new(name, kind)], ..CsvOptions::default() }
}

#[test]
fn a_missing_file() {
    let fault = open_fault(Path::new("/no/such/file.csv"), &CsvOptions::default());
    assert_eq!(fault.kind(), Kind::InputMissing);
    assert!(fault.message().contains("/no/such/file.csv"), "{fault}");
    let input = Input::new("a\n");
    let below = input.path.join("below.csv");
    assert_eq!(open_fault(&below, &CsvOptions::default()).kind(), Kind::InputMissing);
}

#[test]
fn a_directory_and_a_device() {
    let folder = tempfile::tempdir().unwrap();
    let fault = open_fault(folder.path(), &CsvOptions::default());
    assert_eq!(fault.kind(), Kind::InputMissing);
    assert!(fault.message().ends_with("is a directory, not a file"), "{fault}");
    let fault = open_fault(Path::new("/dev/null"), &CsvOptions::default());
    assert_eq!(fault.kind(), Kind::InputInvalid);
    assert!(fault.message().contains("not a regular file"), "{fault}");
}

#[test]
fn an_empty_file() {
    for content in ["", "\u{feff}", "\n\r\n"] {
        for header in [Header::Yes, Header::No] {
            let fault = Input::new(content).fault(&with(header));
            assert_eq!(fault.kind(), Kind::InputInvalid);
            assert!(fault.message().contains("is empty"), "{fault}");
        }
        let names = with(Header::Names(vec!["a".to_owned()]));
        assert_eq!(Input::new(content).read(&names), []);
    }
    let fault = Input::new("").fault(&CsvOptions::default());
    assert!(fault.message().ends_with("is empty: a header line was expected"), "{fault}");
}

#[test]
fn a_header_alone() {
    for content in ["a,b", "a,b\n", "a,b\r\n\r\n"] {
        let mut source = Input::new(content).open(&CsvOptions::default());
        assert!(next(&mut source, &items(10)).is_none());
        assert_eq!(source.schema().fields().len(), 2);
    }
}

#[test]
fn a_header_that_is_none() {
    for (content, part) in [
        (&b"a,\"b\n1,2\n"[..], "input.csv:1: the header is unusable: field 2"),
        (b"\na\0,b\n", "input.csv:2: the header is unusable: a NUL"),
        (b"caf\xe9\n", "no UTF-8"),
        (b"a,b\r1,2\r3,4\r", "CR alone"),
        (b"\xff\xfea\0\x00\xd8\n\0", "no UTF-8"),
    ] {
        let fault = Input::new(content).fault(&CsvOptions::default());
        assert_eq!(fault.kind(), Kind::InputInvalid);
        assert!(fault.message().contains(part), "{fault}");
    }
}

#[test]
fn names_of_columns() {
    let names = |content: &str, header| {
        let source = Input::new(content).open(&with(header));
        let schema = source.schema();
        schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("a,,\"x\"\"y\", \n", Header::Yes), ["a", "column_2", "x\"y", "column_4"]);
    assert_eq!(names("5,6\n", Header::No), ["column_1", "column_2"]);
    assert_eq!(names("\"bad\n1,2,3\n", Header::No), ["column_1", "column_2", "column_3"]);
    let fault = Input::new("a,b,a\n").fault(&CsvOptions::default());
    assert_eq!(fault.kind(), Kind::Config);
    assert!(fault.message().ends_with("two columns are called \"a\""), "{fault}");
}

#[test]
fn a_column_that_is_not_there() {
    let input = Input::new("InvoiceNo,Quantity,UnitPrice\n");
    let fault = input.fault(&typed("quantty", ColumnType::Int));
    assert_eq!(fault.kind(), Kind::Config);
    let expected = "there is no column \"quantty\"; did you mean \"Quantity\"?";
    assert!(fault.message().ends_with(expected), "{fault}");
    assert_eq!(fault.hint(), Some("its columns are InvoiceNo, Quantity, UnitPrice"));
}

#[test]
fn options_that_can_not_be() {
    let input = Input::new("a\n");
    let base = CsvOptions::default;
    let format = |kind| Column { format: Some("%d".to_owned()), ..Column::new("a", kind) };
    let twice = Column::new("a", ColumnType::Int);
    for (options, part) in [
        (CsvOptions { delimiter: b'"', ..base() }, "the delimiter can't be the quote"),
        (CsvOptions { delimiter: b'\n', ..base() }, "the delimiter can't be byte 0x0a"),
        (CsvOptions { quote: Some(0xe9), ..base() }, "the quote can't be byte 0xe9"),
        (CsvOptions { quote: None, escape: Some(b'\\'), ..base() }, "an escape without a quote"),
        (CsvOptions { max_record_bytes: 0, ..base() }, "a record may be 1 to"),
        (CsvOptions { max_record_bytes: 1 << 30, ..base() }, "a record may be 1 to"),
        (with(Header::Names(Vec::new())), "the list of column names is empty"),
        (CsvOptions { columns: vec![twice.clone(), twice], ..base() }, "described twice"),
        (CsvOptions { columns: vec![format(ColumnType::Int)], ..base() }, "int has no format"),
        (
            CsvOptions {
                columns: vec![Column {
                    format: Some("%d %Q".to_owned()),
                    ..Column::new("a", ColumnType::Date)
                }],
                ..base()
            },
            "column a: \"%d %Q\" is no format",
        ),
    ] {
        let fault = input.fault(&options);
        assert_eq!(fault.kind(), Kind::Config, "{fault}");
        assert!(fault.message().contains(part), "{fault}");
    }
}

fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &str) -> Vec<u8> {
    zstd::encode_all(content.as_bytes(), 1).unwrap()
}

#[test]
fn compressed_files_of_several_parts() {
    let parts = ["a,b\n1,", "2\n3,4\n"];
    let plain = Input::new(parts.concat()).read(&CsvOptions::default());
    for (name, pack) in [("a.csv.gz", gzip as fn(&str) -> Vec<u8>), ("a.csv.zst", zstd)] {
        let input = Input::named(name, parts.map(pack).concat());
        let mut source = input.open(&CsvOptions::default());
        assert_eq!(source.name(), name);
        let first = next(&mut source, &items(1)).unwrap();
        assert_eq!(read_all(&mut source), plain[1..]);
        let progress = source.progress();
        assert_eq!(Some(progress.done), progress.total);
        seek(&mut source, &first.end).unwrap();
        assert_eq!(read_all(&mut source), plain[1..]);
        seek(&mut source, &Position::default()).unwrap();
        assert_eq!(read_all(&mut source), plain);
    }
}

#[test]
fn damaged_compressed_files() {
    let content: String = (0..200_000).map(|n| format!("{n},{}\n", n * 7919 % 10_007)).collect();
    for (name, packed) in [("a.gz", gzip(&content)), ("a.zst", zstd(&content))] {
        let input = Input::named(name, &packed[..packed.len() / 2]);
        let mut source = input.open(&with(Header::No));
        let fault = loop {
            match block_on(source.next(&items(1_000))) {
                Ok(chunk) => assert!(chunk.is_some(), "{name} ended without a fault"),
                Err(fault) => break fault,
            }
        };
        assert_eq!(fault.kind(), Kind::InputInvalid, "{fault}");
        assert!(fault.message().contains("is damaged"), "{fault}");
        // Records may have been read before the error; none is lost in silence.
        assert_eq!(block_on(source.next(&items(1))).unwrap_err().kind(), Kind::Bug);
        seek(&mut source, &Position::default()).unwrap();
        assert_eq!(next(&mut source, &items(1)).unwrap().end.ordinal, 1);
    }
}

#[test]
fn foreign_positions() {
    let input = Input::new("a,b\n1,2\n3,4\n");
    let mut source = input.open(&CsvOptions::default());
    for (ordinal, place) in [
        (1, ""),
        (0, "byte=4;line=2"),
        (1, "byte=8"),
        (1, "byte=8;line=3 "),
        (1, "byte=08;line=3"),
        (1, "byte=+8;line=3"),
        (1, "byte=-8;line=3"),
        (1, "byte=2;line=3"),
        (1, "byte=99999;line=3"),
        (1, "byte=99999999999999999999999;line=3"),
        (1, "rowid=7"),
    ] {
        let position = Position { ordinal, place: place.to_owned() };
        let fault = seek(&mut source, &position).unwrap_err();
        assert_eq!(fault.kind(), Kind::Config, "{place:?}: {fault}");
    }
    seek(&mut source, &Position { ordinal: 1, place: "byte=8;line=3".to_owned() }).unwrap();
    assert_eq!(rows(&read_all(&mut source)), [["3", "4"]]);
    let compressed = Input::named("a.gz", gzip("a\n1\n"));
    let far = Position { ordinal: 1, place: "byte=99;line=9".to_owned() };
    let fault = seek(&mut compressed.open(&CsvOptions::default()), &far).unwrap_err();
    assert_eq!(fault.kind(), Kind::Config);
}

#[test]
fn a_changed_file_or_layout_has_another_fingerprint() {
    let base = CsvOptions::default();
    let of = |content: &str, options: &CsvOptions| Input::new(content).open(options).fingerprint();
    let first = of("a,b\n1,2\n", &base);
    assert_eq!(first, of("a,b\n1,2\n", &CsvOptions { name: Some("x".to_owned()), ..base.clone() }));
    let differing = |content: &str, options: &CsvOptions| -> Vec<String> {
        let other = of(content, options);
        first.differences(&other).iter().map(|d| d.0.to_owned()).collect()
    };
    assert_eq!(differing("a,b\n1,3\n", &base), ["content"]);
    assert_eq!(differing("a,b\n1,2\n3,4\n", &base), ["content", "size"]);
    assert_eq!(differing("a,c\n1,2\n", &base), ["columns", "content"]);
    let trim = CsvOptions { trim: true, ..base.clone() };
    assert_eq!(differing("a,b\n1,2\n", &trim), ["layout"]);
}

#[test]
fn chunks_close_by_items_bytes_and_age() {
    let input = Input::new("a\n1\n2\n\"x\n4\n5\n");
    let ends = |limits: ChunkLimits| {
        let mut source = input.open(&CsvOptions::default());
        std::iter::from_fn(|| next(&mut source, &limits).map(|c| c.end.ordinal)).collect::<Vec<_>>()
    };
    let off = ChunkLimits { items: 0, bytes: 0, age: std::time::Duration::ZERO };
    assert_eq!(ends(off), [5]);
    assert_eq!(ends(ChunkLimits { items: 2, ..off }), [2, 4, 5]);
    assert_eq!(ends(ChunkLimits { items: 5, ..off }), [5], "B4: no empty chunk");
    assert_eq!(ends(ChunkLimits { bytes: 3, ..off }), [2, 3, 5]);
    let nanosecond = std::time::Duration::from_nanos(1);
    assert!(ends(ChunkLimits { age: nanosecond, ..off }).len() >= 3);
    // A chunk of nothing but failures is one.
    let mut source = input.open(&CsvOptions::default());
    let chunks: Vec<_> = std::iter::from_fn(|| next(&mut source, &items(1))).collect();
    assert!(chunks[2].items.is_empty() && chunks[2].failures.len() == 1);
    assert_eq!(chunks[0].start, Position::default());
    assert!(chunks.windows(2).all(|w| w[0].end == w[1].start));
}

#[test]
fn types_reach_the_schema() {
    let kinds =
        ["int", "decimal(12,3)", "float", "bool", "date", "time", "timestamp", "timestamptz"];
    let header: Vec<String> = kinds.iter().map(|k| format!("\"{k}\"")).collect();
    let row = "1,2.5,0.25,t,2020-1-2,3:04,2020-1-2 3:04,2020-01-02T03:04:05.5+01:00";
    let columns = kinds.map(|k| Column::new(k, ColumnType::parse(k).unwrap())).to_vec();
    let input = Input::new(format!("{}\n{row}\n,,,,,,,\n", header.join(",")));
    let options = CsvOptions { columns: columns.clone(), ..CsvOptions::default() };
    let schema = CsvSource::open(&input.path, &options).unwrap().schema();
    for (field, column) in schema.fields().iter().zip(&columns) {
        assert_eq!(*field.data_type(), column.kind.data_type());
    }
    assert_eq!(
        rows(&input.read(&options)),
        [
            [
                "1",
                "2.500",
                "0.25",
                "true",
                "2020-01-02",
                "03:04:00",
                "2020-01-02 03:04:00",
                "2020-01-02 02:04:05.500000+00"
            ],
            [r"\N"; 8],
        ]
    );
}
