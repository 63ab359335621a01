//! Any bytes as a file of JSON: lines, an array, values one behind the other.

#![no_main]

use kiln_files::{
    Column, ColumnType, JsonColumn, JsonOptions, JsonPath, JsonRecords, JsonSource, Missing,
};
use kiln_fuzz::Bench;
use libfuzzer_sys::fuzz_target;

std::thread_local!(static BENCH: Bench = Bench::default());

fn column(name: &str, kind: ColumnType, missing: Missing) -> JsonColumn {
    JsonColumn { column: Column::new(name, kind), path: JsonPath::keys(name.split('.')), missing }
}

fuzz_target!(|input: (u8, u8, Vec<u8>)| {
    let (how, items, content) = input;
    let is = |bit: u8| how & (1 << bit) != 0;
    let declared = || {
        vec![
            column("a", ColumnType::Decimal { precision: 20, scale: 4 }, Missing::Null),
            column("b.c", ColumnType::Int, Missing::Reject),
            column("d", ColumnType::Bool, Missing::Tell),
        ]
    };
    let options = JsonOptions {
        records: if is(0) { JsonRecords::Elements } else { JsonRecords::Lines },
        columns: if is(1) { declared() } else { Vec::new() },
        others: is(2) || !is(1),
        max_record_bytes: if is(3) { 64 } else { 1 << 20 },
        ..JsonOptions::default()
    };
    BENCH.with(|bench| {
        let path = bench.file("f.json", &content);
        bench.law(|| JsonSource::open(&path, &options), 1 + usize::from(items % 8));
    });
});
