//! Any text as a position, such as a damaged ledger may hold: it is refused, or
//! it is a place to read from.

#![no_main]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use kiln_core::{ChunkLimits, Position, Source, TableName, TableSpec};
use kiln_files::{
    Column, ColumnType, CsvOptions, CsvSource, Files, FixedColumn, FixedOptions, FixedSource,
    JsonOptions, JsonRecords, JsonSource, ParquetOptions, ParquetSource,
};
use kiln_fuzz::Bench;
use libfuzzer_sys::fuzz_target;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

struct Sources {
    bench: Bench,
    all: Vec<Box<dyn Source>>,
}

std::thread_local!(static SOURCES: std::cell::RefCell<Sources> = std::cell::RefCell::new(sources()));

fuzz_target!(|input: (u8, u64, String)| {
    let (which, ordinal, place) = input;
    SOURCES.with_borrow_mut(|Sources { bench, all }| {
        let which = usize::from(which) % all.len();
        let source = &mut all[which];
        let position = Position { ordinal, place };
        if bench.wait(source.seek(&position)).is_err() {
            return;
        }
        let limits = ChunkLimits { items: 3, ..ChunkLimits::default() };
        while let Ok(Some(chunk)) = bench.wait(source.next(&limits)) {
            assert!(chunk.start.ordinal < chunk.end.ordinal, "an empty chunk");
        }
    });
});

fn sources() -> Sources {
    let bench = Bench::default();
    let csv = bench.file("f.csv", b"a,b\n1,\"x\ny\"\n2,y\n\n3,z\nbad,\"\n");
    let lines = bench.file("f.jsonl", b"{\"a\":1}\n{\"a\":2,\"b\":{}}\n[]\n");
    let array = bench.file("f.json", b"[{\"a\":1}, {\"a\":2}, 3]");
    let fixed = bench.file("f.txt", b"1  one\n2  two\n3\n");
    let all: Vec<Box<dyn Source>> = vec![
        Box::new(CsvSource::open(&csv, &CsvOptions::default()).expect("CSV")),
        Box::new(JsonSource::open(&lines, &JsonOptions::default()).expect("JSON Lines")),
        Box::new(JsonSource::open(&array, &elements()).expect("JSON")),
        Box::new(FixedSource::open(&fixed, &in_two()).expect("fixed width")),
        Box::new(parquet(&bench)),
        Box::new(several(&bench)),
        table(&bench),
    ];
    Sources { bench, all }
}

fn elements() -> JsonOptions {
    JsonOptions { records: JsonRecords::Elements, ..JsonOptions::default() }
}

fn in_two() -> FixedOptions {
    let column = |name, at, width| FixedColumn {
        column: Column::new(name, ColumnType::Text),
        at,
        width,
    };
    FixedOptions { columns: vec![column("a", 1, 2), column("b", 4, 3)], ..FixedOptions::default() }
}

fn several(bench: &Bench) -> Files {
    let paths = ["one.csv", "two.csv"].map(|name| bench.file(name, b"a\n1\n2\n"));
    let open = |path: &Path, name: &str| {
        let options = CsvOptions { name: Some(name.to_owned()), ..CsvOptions::default() };
        CsvSource::open(path, &options).map(|source| Box::new(source) as Box<dyn Source>)
    };
    Files::open("*.csv", paths.to_vec(), Box::new(open)).expect("files")
}

/// Ten rows in groups of four.
fn parquet(bench: &Bench) -> ParquetSource {
    let path = bench.file("f.parquet", b"");
    let numbers = Arc::new((0..10).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("n", numbers as _)]).expect("a batch");
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(4)).build();
    let file = File::create(&path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(groups)).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("an end");
    ParquetSource::open(&path, &ParquetOptions::default()).expect("Parquet")
}

/// A table whose key is of two columns.
fn table(bench: &Bench) -> Box<dyn Source> {
    let path = bench.folder().join("f.db");
    let made = rusqlite::Connection::open(&path).expect("a database");
    made.execute_batch(
        "CREATE TABLE t (day TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (day, n)) WITHOUT ROWID;
         INSERT INTO t VALUES ('mon', 1), ('mon', 2), ('tue', 1), ('wed', 7);",
    )
    .expect("rows");
    drop(made);
    bench.wait(async {
        let url = format!("sqlite:{}", path.display());
        let database = kiln_databases::connect(&url, None).await.expect("the database");
        let table = TableName::parse("t").expect("a name");
        database.source(&TableSpec::new(table)).await.expect("its rows")
    })
}
