//! Packed files and encodings: the same records as of the plain file.

use std::io::Write;

use kiln_core::{Kind, Position, Source};
use kiln_files::{Compression, CsvOptions, CsvSource, Encoding, JsonOptions, JsonSource};

use crate::common::{Input, Read, bad, items, next, read_all, rows, seek};

fn pack(compression: Compression, content: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => content.to_vec(),
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(content, 1).unwrap(),
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let options = lzma_rust2::XzOptions::with_preset(1);
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
    }
}

const PACKED: [Compression; 4] =
    [Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Xz];

fn lines(count: usize) -> String {
    let line = |n: usize| format!("{{\"n\":{n},\"text\":\"{}\"}}\n", n * 7919 % 10_007);
    (0..count).map(line).collect()
}

#[test]
fn files_of_several_packed_parts_are_read_to_their_end() {
    let content = lines(5_000);
    let plain = read_all(&mut Input::new(&content).json(&JsonOptions::default()));
    assert_eq!(plain.len(), 5_000);
    let (front, back) = content.as_bytes().split_at(content.len() / 3);
    for compression in PACKED {
        // The name says nothing: the first bytes tell.
        let packed = [pack(compression, front), pack(compression, back)].concat();
        let input = Input::named("in.jsonl", packed);
        let mut source = input.json(&JsonOptions::default());
        let first = next(&mut source, &items(7)).unwrap();
        assert_eq!(read_all(&mut source), plain[7..], "{compression}");
        assert_eq!(Some(source.progress().done), source.progress().total, "{compression}");
        seek(&mut source, &first.end).unwrap();
        assert_eq!(read_all(&mut source), plain[7..], "{compression}");
        let declared = JsonOptions { compression: Some(compression), ..JsonOptions::default() };
        assert_eq!(read_all(&mut input.json(&declared)), plain);
    }
}

#[test]
fn damaged_files_end_with_a_fault() {
    let content = lines(100_000);
    for compression in PACKED {
        let packed = pack(compression, content.as_bytes());
        let input = Input::named("in.jsonl", &packed[..packed.len() / 2]);
        let options = JsonOptions { compression: Some(compression), ..JsonOptions::default() };
        let mut source = input.json(&options);
        let fault = loop {
            match crate::common::block_on(source.next(&items(1_000))) {
                Ok(chunk) => assert!(chunk.is_some(), "{compression} ended without a fault"),
                Err(fault) => break fault,
            }
        };
        assert_eq!(fault.kind(), Kind::InputInvalid, "{fault}");
        let test = format!("`{compression} -t` tests the file; copy it again");
        assert!(fault.message().contains("is damaged"), "{fault}");
        assert_eq!(fault.hint(), Some(test.as_str()));
    }
    let plain = Input::named("in.jsonl", &content);
    let options = JsonOptions { compression: Some(Compression::Xz), ..JsonOptions::default() };
    let fault = JsonSource::open(&plain.path, &options).err().unwrap();
    assert_eq!(fault.kind(), Kind::InputInvalid, "{fault}");
}

fn utf_16(text: &str, big: bool, mark: bool) -> Vec<u8> {
    let mark = mark.then_some('\u{feff}');
    let units: Vec<u16> =
        mark.into_iter().chain(text.chars()).collect::<String>().encode_utf16().collect();
    let bytes = |u: u16| if big { u.to_be_bytes() } else { u.to_le_bytes() };
    units.into_iter().flat_map(bytes).collect()
}

const TEXT: &str = "name,n\nJörg €,1\n\"𝄞\nx\",2\nKim,3\n";

fn with(encoding: &str) -> CsvOptions {
    CsvOptions { encoding: Some(Encoding::parse(encoding).unwrap()), ..CsvOptions::default() }
}

fn values(all: &[Read]) -> Vec<Vec<String>> {
    rows(all)
}

#[test]
fn utf_16_declared_or_by_its_mark() {
    let expected = values(&Input::new(TEXT).read(&CsvOptions::default()));
    for (big, mark, options) in [
        (false, true, CsvOptions::default()),
        (true, true, CsvOptions::default()),
        (false, false, with("utf-16le")),
        (true, false, with("utf-16be")),
        (true, true, with("utf-16")),
    ] {
        for compression in [Compression::None, Compression::Gzip] {
            let content = pack(compression, &utf_16(TEXT, big, mark));
            let input = Input::new(content);
            let mut source = input.open(&options);
            let first = next(&mut source, &items(1)).unwrap();
            read_all(&mut source);
            assert_eq!(Some(source.progress().done), source.progress().total);
            seek(&mut source, &first.end).unwrap();
            assert_eq!(values(&read_all(&mut source)), expected[1..]);
            seek(&mut source, &Position::default()).unwrap();
            assert_eq!(values(&read_all(&mut source)), expected);
        }
    }
}

#[test]
fn encodings_of_one_byte() {
    let raw = b"name\nJ\xf6rg \x80\n";
    assert_eq!(values(&Input::new(raw).read(&with("windows-1252"))), [["Jörg €"]]);
    assert_eq!(values(&Input::new(raw).read(&with("latin-1"))), [["Jörg \u{80}"]]);
    assert_eq!(bad(&Input::new(raw).read(&CsvOptions::default()))[0].1, "utf8");
}

#[test]
fn a_byte_order_mark_of_utf_8_is_no_data() {
    for options in [CsvOptions::default(), with("utf-8")] {
        let all = Input::new("\u{feff}a\n1\n").read(&options);
        assert_eq!((values(&all), all[0].offset), (vec![vec!["1".to_owned()]], 5));
    }
    let json = Input::new("\u{feff}{\"a\":1}\n");
    assert_eq!(values(&read_all(&mut json.json(&JsonOptions::default()))), [["1"]]);
}

#[test]
fn a_mark_of_another_encoding_is_told() {
    let input = Input::new(utf_16("a\n1\n", false, true));
    let fault = CsvSource::open(&input.path, &with("latin-1")).err().unwrap();
    assert_eq!(fault.kind(), Kind::Config);
    assert!(fault.message().contains("its byte order mark says UTF-16LE"), "{fault}");
}

/// A lone surrogate spoils its own record only.
#[test]
fn what_is_no_text_is_a_bad_record() {
    let mut content = utf_16("a\nx\n?\ny\n", false, true);
    let at = content.chunks(2).position(|c| c == [b'?', 0]).unwrap() * 2;
    content[at..at + 2].copy_from_slice(&[0x00, 0xd8]);
    let all = Input::new(content).read(&CsvOptions::default());
    assert_eq!(values(&all), [["x"], ["y"]]);
    assert_eq!((bad(&all)[0].0, bad(&all)[0].1), (3, "utf8"));
}

#[test]
fn how_text_is_stored_is_part_of_the_fingerprint() {
    let input = Input::new("a\n1\n");
    let of = |options: &CsvOptions| input.open(options).fingerprint();
    assert_eq!(of(&with("utf-8")).differences(&of(&with("latin-1"))).len(), 1);
}
