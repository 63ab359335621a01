//! The suite of the contract, on each kind of file.

use kiln_files::{
    Column, ColumnType, CsvOptions, Encoding, FixedOptions, JsonOptions, JsonRecords,
};
use kiln_testkit::suites::source::Make;

use crate::common::Input;
use crate::fixed::column;
#[cfg(feature = "parquet")]
use crate::parquet::{numbers, write};
use crate::several::Folder;

/// Thirteen lines of a kind; the fourth and the last are bad.
fn lines(line: impl Fn(usize) -> String, bad: &str, between: &str) -> String {
    let line = |n| if [4, 13].contains(&n) { bad.to_owned() } else { line(n) };
    (1..=13).map(line).collect::<Vec<_>>().join(between)
}

fn objects(between: &str) -> String {
    lines(|n| format!("{{\"n\":{n},\"o\":{{\"t\":\"é\"}}}}"), "{\"n\":x}", between)
}

async fn csv() -> Box<Make> {
    let content = lines(|n| format!("{n},é"), "x,", "\n");
    let input = Input::new(zstd::encode_all(format!("n,t\n{content}").as_bytes(), 1).unwrap());
    let columns = vec![Column::new("n", ColumnType::Int)];
    let options = CsvOptions { columns, ..CsvOptions::default() };
    Box::new(move || Box::new(input.open(&options)))
}

async fn utf_16() -> Box<Make> {
    let content = format!("n,t\n{}", lines(|n| format!("{n},é"), "x", "\n"));
    let input = Input::new(content.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>());
    let encoding = Some(Encoding::parse("utf-16be").unwrap());
    let options = CsvOptions { encoding, ..CsvOptions::default() };
    Box::new(move || Box::new(input.open(&options)))
}

async fn json_lines() -> Box<Make> {
    let input = Input::named("in.jsonl", objects("\r\n"));
    Box::new(move || Box::new(input.json(&JsonOptions::default())))
}

async fn json_array() -> Box<Make> {
    let input = Input::named("in.json", format!("[{}]\n", objects(",\n")));
    let options = JsonOptions { records: JsonRecords::Elements, ..JsonOptions::default() };
    Box::new(move || Box::new(input.json(&options)))
}

async fn fixed() -> Box<Make> {
    let input = Input::new(lines(|n| format!("{n:>3}é"), "  xé", "\n"));
    let columns = vec![column("n", "int", 1, 3), column("t", "text", 4, 1)];
    let options = FixedOptions { columns, ..FixedOptions::default() };
    Box::new(move || Box::new(input.fixed(&options)))
}

#[cfg(feature = "parquet")]
async fn parquet() -> Box<Make> {
    use ::parquet::basic::Compression;
    use kiln_files::{ParquetOptions, ParquetSource};
    let (folder, path) = write(&numbers(23), 5, Compression::SNAPPY);
    Box::new(move || {
        assert!(folder.path().exists(), "the file stays for as long as the source");
        Box::new(ParquetSource::open(&path, &ParquetOptions::default()).unwrap())
    })
}

async fn several() -> Box<Make> {
    let folder = Folder::new(&[
        ("a.csv", "k,n\na,1\na,2\na,3\na,4\na,5\n"),
        ("b.csv", "k,n\nb,1\nb,x\nb,3\n"),
        ("c.csv", "k,n\n"),
        ("d.csv", "n,k\n1,d\n2,d\n3,d\n4,d\nx,d\n"),
    ]);
    Box::new(move || Box::new(folder.open("*.csv").unwrap()))
}

mod of_csv {
    kiln_testkit::source_suite!(super::csv);
}

mod of_utf_16 {
    kiln_testkit::source_suite!(super::utf_16);
}

mod of_json_lines {
    kiln_testkit::source_suite!(super::json_lines);
}

mod of_json_array {
    kiln_testkit::source_suite!(super::json_array);
}

mod of_fixed {
    kiln_testkit::source_suite!(super::fixed);
}

#[cfg(feature = "parquet")]
mod of_parquet {
    kiln_testkit::source_suite!(super::parquet);
}

mod of_several {
    kiln_testkit::source_suite!(super::several);
}
