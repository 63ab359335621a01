//! Laws that hold for any input.

use kiln_core::{ChunkLimits, Position, Source};
use kiln_files::{Column, ColumnType, CsvOptions, Header, Ragged};
use proptest::prelude::*;

use crate::common::{Input, Read, items, next, read_all, records, rows, seek};

/// Texts that are awkward in CSV, but hold no lone CR at a field's end.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9 ]{0,8}",
        "[a,\"\n; 'é|\t\\\\]{0,6}",
        Just("\r\n".to_owned()),
        Just("x\ry".to_owned()),
    ]
}

fn table() -> impl Strategy<Value = Vec<Vec<String>>> {
    (1usize..5)
        .prop_flat_map(|width| prop::collection::vec(prop::collection::vec(cell(), width), 1..20))
}

/// Lines that look like CSV and often are not.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[a1,\"\n\r\\\\ ]{0,300}".prop_map(String::into_bytes),
        "([a1]?\"?,\"?[a\"]?\n){0,60}".prop_map(String::into_bytes),
        prop::collection::vec(
            prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'a'), Just(0xff)],
            0..300
        ),
    ]
}

fn options() -> impl Strategy<Value = CsvOptions> {
    let names = Header::Names(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]);
    let escape = prop_oneof![Just(None), Just(Some(b'\\'))];
    (any::<bool>(), any::<bool>(), escape, prop_oneof![Just(8usize), Just(40), Just(1 << 20)])
        .prop_map(move |(trim, pad, escape, max_record_bytes)| CsvOptions {
            trim,
            escape,
            max_record_bytes,
            header: names.clone(),
            ragged: if pad { Ragged::Pad } else { Ragged::Reject },
            columns: vec![Column::new("b", ColumnType::Int)],
            ..CsvOptions::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn well_formed_csv_is_read_as_the_csv_crate_wrote_it(
        table in table(),
        style in prop_oneof![
            Just(::csv::QuoteStyle::Always),
            Just(::csv::QuoteStyle::Necessary),
            Just(::csv::QuoteStyle::NonNumeric),
        ],
        crlf: bool,
        doubled: bool,
        delimiter in prop_oneof![Just(b','), Just(b'\t'), Just(b';')],
    ) {
        let terminator = if crlf { ::csv::Terminator::CRLF } else { ::csv::Terminator::Any(b'\n') };
        let mut writer = ::csv::WriterBuilder::new()
            .quote_style(style)
            .terminator(terminator)
            .double_quote(doubled)
            .delimiter(delimiter)
            .from_writer(Vec::new());
        for row in &table {
            // A backslash that is data is not escaped by the writer.
            let plain = |t: &String| if doubled { t.clone() } else { t.replace('\\', "/") };
            writer.write_record(row.iter().map(plain)).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let names = (0..table[0].len()).map(|i| format!("c{i}")).collect();
        let options = CsvOptions {
            delimiter,
            header: Header::Names(names),
            escape: (!doubled).then_some(b'\\'),
            ..CsvOptions::default()
        };
        let mut reader = ::csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(delimiter)
            .double_quote(doubled)
            .escape((!doubled).then_some(b'\\'))
            .from_reader(&bytes[..]);
        let oracle: Vec<Vec<String>> =
            reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
        let all = Input::new(&bytes).read(&options);
        prop_assert!(all.iter().all(|r| r.values.is_ok()), "{all:?}");
        // An unquoted field that is empty is NULL here and empty there.
        let found: Vec<Vec<String>> = all
            .into_iter()
            .map(|r| r.values.unwrap().into_iter().map(Option::unwrap_or_default).collect())
            .collect();
        prop_assert_eq!(found, oracle);
    }

    #[test]
    fn any_cutting_and_any_resume_give_the_same(
        content in rubbish(),
        options in options(),
        sizes in prop::collection::vec(1usize..7, 1..9),
        packed: bool,
    ) {
        let input = match packed {
            true => Input::named("a.zst", zstd::encode_all(&content[..], 1).unwrap()),
            false => Input::new(&content),
        };
        let whole = whole(&input, &options);
        let mut source = input.open(&options);
        let mut found = Vec::new();
        let mut ends = vec![Position::default()];
        for size in sizes.iter().cycle() {
            let Some(chunk) = next(&mut source, &items(*size)) else { break };
            prop_assert_eq!(Some(&chunk.start), ends.last());
            prop_assert!(chunk.end.ordinal - chunk.start.ordinal <= *size as u64);
            ends.push(chunk.end.clone());
            found.extend(records(&chunk));
        }
        prop_assert_eq!(&found, &whole);
        for end in ends.iter().rev() {
            seek(&mut source, end).unwrap();
            let rest = read_all(&mut source);
            prop_assert_eq!(&rest[..], &whole[end.ordinal as usize..]);
        }
    }

    /// Records lie in the order of the file, without overlap; between them is
    /// nothing but line ends and blank lines; and lines are counted right.
    #[test]
    fn every_byte_is_accounted_for(content in rubbish(), options in options()) {
        let input = Input::new(&content);
        let all = whole(&input, &options);
        let start = if content.starts_with(&[0xef, 0xbb, 0xbf]) { 3 } else { 0 };
        let mut behind = start;
        for (record, raw) in all.iter().zip(raws(&content, &all)) {
            let offset = record.offset as usize;
            prop_assert!(blank(&content[behind..offset]), "{behind}..{offset}");
            let newlines = content[..offset].iter().filter(|b| **b == b'\n').count();
            prop_assert_eq!(record.line, newlines as u64 + 1);
            behind = offset + raw;
        }
        prop_assert!(blank(&content[behind..]), "{behind}.. of {:?}", all);
    }
}

fn whole(input: &Input, options: &CsvOptions) -> Vec<Read> {
    let mut source = input.open(options);
    let limits = ChunkLimits { items: 0, bytes: 0, ..ChunkLimits::default() };
    let all = next(&mut source, &limits).map(|c| records(&c)).unwrap_or_default();
    assert!(next(&mut source, &limits).is_none());
    assert_eq!(Some(source.progress().done), source.progress().total);
    all
}

/// How long each record is in the file; of one that was too long only the
/// beginning is kept, and its line is given up.
fn raws(content: &[u8], all: &[Read]) -> Vec<usize> {
    let line = |from: usize| {
        let end = content[from..].iter().position(|b| *b == b'\n');
        end.unwrap_or(content.len() - from)
    };
    let legible = |raw: &[u8]| -> String {
        let text: String = raw.utf8_chunks().fold(String::new(), |text, part| {
            let invalid: String = part.invalid().iter().map(|b| format!("\\x{b:02x}")).collect();
            text + part.valid() + &invalid
        });
        text.replace('\0', "\\x00")
    };
    let len = |r: &Read| match &r.values {
        Err((code, _)) if code == "too_long" => line(r.offset as usize),
        _ => {
            let rest = &content[r.offset as usize..];
            (0..=rest.len()).find(|n| legible(&rest[..*n]) == r.raw).unwrap()
        }
    };
    all.iter().map(len).collect()
}

fn blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| matches!(b, b'\n' | b'\r' | b' ' | b'\t'))
}

#[test]
fn rows_of_a_resumed_source_are_not_read_twice() {
    let input = Input::new("a\n1\n2\n3\n");
    let mut source = input.open(&CsvOptions::default());
    let first = next(&mut source, &items(2)).unwrap();
    seek(&mut source, &first.end).unwrap();
    assert_eq!(rows(&read_all(&mut source)), [["3"]]);
}
