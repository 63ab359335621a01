//! Any bytes as a CSV file, read in any way.

#![no_main]

use kiln_files::{Column, ColumnType, CsvOptions, CsvSource, Header, Ragged};
use kiln_fuzz::Bench;
use libfuzzer_sys::fuzz_target;

std::thread_local!(static BENCH: Bench = Bench::default());

fuzz_target!(|input: (u8, u8, Vec<u8>)| {
    let (how, items, content) = input;
    let is = |bit: u8| how & (1 << bit) != 0;
    let types = [
        ColumnType::Int,
        ColumnType::Decimal { precision: 12, scale: 3 },
        ColumnType::TimestampTz,
        ColumnType::Bool,
    ];
    let typed = types.into_iter().zip(["a", "b", "c", "d"]);
    let named = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
    let options = CsvOptions {
        delimiter: if is(0) { b';' } else { b',' },
        quote: (!is(1)).then_some(b'"'),
        escape: is(2).then_some(b'\\'),
        header: if is(3) { Header::Names(named) } else { Header::Yes },
        trim: is(4),
        ragged: if is(5) { Ragged::Reject } else { Ragged::Pad },
        max_record_bytes: if is(6) { 64 } else { 1 << 20 },
        columns: match is(3) {
            true => typed.map(|(kind, name)| Column::new(name, kind)).collect(),
            false => Vec::new(),
        },
        ..CsvOptions::default()
    };
    BENCH.with(|bench| {
        let path = bench.file("f.csv", &content);
        bench.law(|| CsvSource::open(&path, &options), 1 + usize::from(items % 8));
    });
});
