//! Parquet: types, projection, row groups, and the green taxis of New York.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    Time32MillisecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field};
use kiln_core::{CellColumn, Chunk, ChunkLimits, Kind, Position, Source, cells_as_json};
use kiln_files::{ParquetOptions, ParquetSource};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use crate::common::{block_on, items, shared_data};

/// Writes a batch, so many rows to a row group.
pub(crate) fn write(
    batch: &RecordBatch,
    group: usize,
    compression: Compression,
) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.parquet");
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .set_compression(compression)
        .build();
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    (folder, path)
}

/// Numbers from 1 on, and their texts.
pub(crate) fn numbers(rows: i64) -> RecordBatch {
    let n: ArrayRef = Arc::new((1..=rows).collect::<Int64Array>());
    let text = |n: i64| (n % 5 != 0).then(|| format!("text {n}"));
    let texts: ArrayRef = Arc::new((1..=rows).map(text).collect::<StringArray>());
    let double: ArrayRef = Arc::new((1..=rows).map(|n| n as f64 / 2.0).collect::<Float64Array>());
    RecordBatch::try_from_iter([("n", n), ("text", texts), ("half", double)]).unwrap()
}

fn open(path: &Path, columns: Option<&[&str]>) -> ParquetSource {
    let columns = columns.map(|names| names.iter().map(|n| (*n).to_owned()).collect());
    ParquetSource::open(path, &ParquetOptions { columns, name: None }).unwrap()
}

fn read(source: &mut ParquetSource, limits: &ChunkLimits) -> Vec<Chunk> {
    std::iter::from_fn(|| block_on(source.next(limits)).unwrap()).collect()
}

fn rows(chunks: &[Chunk]) -> Vec<String> {
    let of = |chunk: &Chunk| {
        let batch = chunk.items.batch.clone();
        (0..batch.num_rows()).map(move |row| cells_as_json(&batch, row).unwrap())
    };
    chunks.iter().flat_map(of).collect()
}

#[test]
fn reading_goes_on_at_any_row_in_any_row_group() {
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
        Compression::GZIP(Default::default()),
    ] {
        let (_folder, path) = write(&numbers(3_000), 700, compression);
        let mut source = open(&path, None);
        let whole = rows(&read(&mut source, &items(0)));
        assert_eq!(whole.len(), 3_000);
        assert_eq!(whole[4], r#"{"n":5,"text":null,"half":2.5}"#);
        for size in [1_000, 699, 3_000] {
            let mut source = open(&path, None);
            let chunks = read(&mut source, &items(size));
            assert_eq!(rows(&chunks), whole);
            assert!(chunks.iter().all(|c| c.items.len() <= size));
            for chunk in chunks {
                let mut source = open(&path, None);
                block_on(source.seek(&chunk.end)).unwrap();
                let rest = read(&mut source, &items(500));
                assert_eq!(rows(&rest), whole[chunk.end.ordinal as usize..], "{:?}", chunk.end);
            }
        }
    }
}

#[test]
fn only_the_columns_that_are_asked_for() {
    let (_folder, path) = write(&numbers(3), 10, Compression::UNCOMPRESSED);
    let mut source = open(&path, Some(&["half", "n"]));
    let chunks = read(&mut source, &items(0));
    assert_eq!(rows(&chunks)[0], r#"{"half":0.5,"n":1}"#);
    let origin = chunks[0].items.origins.origin(2);
    assert_eq!(origin.key.as_deref(), Some("row 2"));
    assert_eq!(origin.raw, r#"{"half":1.0,"n":2}"#);
    for (name, part) in [("m", "has no column \"m\""), ("n", "described twice")] {
        let columns = Some(vec!["n".to_owned(), name.to_owned()]);
        let fault =
            ParquetSource::open(&path, &ParquetOptions { columns, name: None }).err().unwrap();
        assert_eq!(fault.kind(), Kind::Config);
        assert!(fault.message().contains(part), "{fault}");
    }
}

/// B37, B38: nothing is rounded on the way.
#[test]
fn values_of_all_types() {
    let struct_of = |value: ArrayRef| -> ArrayRef {
        let field = Arc::new(Field::new("x", value.data_type().clone(), true));
        Arc::new(StructArray::from(vec![(field, value)]))
    };
    let decimal: ArrayRef = Arc::new(
        Decimal128Array::from(vec![Some(-12_345), None]).with_precision_and_scale(38, 2).unwrap(),
    );
    let wide = |precision| -> ArrayRef {
        let digits = i256::from_string("12345678901234567890123456789012345678").unwrap();
        let array = Decimal256Array::from(vec![Some(digits), None]);
        Arc::new(array.with_precision_and_scale(precision, 3).unwrap())
    };
    let ns = 1_600_000_000_123_456_789;
    let columns: Vec<(&str, ArrayRef, [&str; 2])> = vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), None])), ["true", "NULL"]),
        (
            "u64",
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])),
            ["18446744073709551615", "NULL"],
        ),
        ("decimal", Arc::clone(&decimal), ["-123.45", "NULL"]),
        ("fits", wide(38), ["12345678901234567890123456789012345.678", "NULL"]),
        ("wide", wide(60), ["12345678901234567890123456789012345.678", "NULL"]),
        ("date", Arc::new(Date32Array::from(vec![Some(18_000), None])), ["2019-04-14", "NULL"]),
        (
            "time",
            Arc::new(Time32MillisecondArray::from(vec![Some(3_723_004), None])),
            ["01:02:03.004000", "NULL"],
        ),
        (
            "instant",
            Arc::new(
                TimestampMillisecondArray::from(vec![Some(1_600_000_000_123), None])
                    .with_timezone("+02:00"),
            ),
            ["2020-09-13 12:26:40.123000+00", "NULL"],
        ),
        (
            "local",
            Arc::new(TimestampNanosecondArray::from(vec![Some(ns), None])),
            ["2020-09-13 12:26:40.123456", "NULL"],
        ),
        (
            "bytes",
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                    [Some([1u8, 255]), None].into_iter(),
                    2,
                )
                .unwrap(),
            ),
            ["01ff", "NULL"],
        ),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
                Some(vec![Some(1), None]),
                None,
            ])),
            ["[1,null]", "NULL"],
        ),
        (
            "struct",
            struct_of(struct_of(decimal)),
            [r#"{"x":{"x":"-123.45"}}"#, r#"{"x":{"x":null}}"#],
        ),
        (
            "texts",
            struct_of(Arc::new(StringArray::from(vec![Some("a\"ä"), None]))),
            [r#"{"x":"a\"ä"}"#, r#"{"x":null}"#],
        ),
    ];
    let pairs = columns.iter().map(|(name, array, _)| (*name, Arc::clone(array), true));
    let batch = RecordBatch::try_from_iter_with_nullable(pairs).unwrap();
    let (_folder, path) = write(&batch, 10, Compression::UNCOMPRESSED);
    let mut source = open(&path, None);
    assert_eq!(*source.schema().field(4).data_type(), DataType::Utf8);
    let chunk = read(&mut source, &items(0)).remove(0);
    assert_eq!(chunk.items.batch.schema(), source.schema());
    let cells = CellColumn::of(&chunk.items.batch).unwrap();
    for ((name, _, expected), column) in columns.iter().zip(cells) {
        assert_eq!([0, 1].map(|row| column.cell(row).to_string()), *expected, "{name}");
    }
}

#[test]
fn bytes_close_a_chunk() {
    let (_folder, path) = write(&numbers(10_000), 10_000, Compression::UNCOMPRESSED);
    let limits = ChunkLimits { items: 0, bytes: 20_000, ..ChunkLimits::default() };
    let chunks = read(&mut open(&path, None), &limits);
    assert!(chunks.len() > 5, "{}", chunks.len());
    assert_eq!(rows(&chunks).len(), 10_000);
}

#[test]
fn files_that_are_none() {
    let (folder, path) = write(&numbers(1_000), 100, Compression::UNCOMPRESSED);
    let whole = std::fs::read(&path).unwrap();
    for (content, kind) in [
        (&b"a,b\n1,2\n"[..], Kind::InputInvalid),
        (&whole[..whole.len() / 2], Kind::InputInvalid),
        (b"", Kind::InputInvalid),
    ] {
        std::fs::write(&path, content).unwrap();
        let fault = ParquetSource::open(&path, &ParquetOptions::default()).err().unwrap();
        assert_eq!(fault.kind(), kind);
        assert!(fault.message().contains("in.parquet is no Parquet file"), "{fault}");
    }
    let missing = folder.path().join("no.parquet");
    let fault = ParquetSource::open(&missing, &ParquetOptions::default()).err().unwrap();
    assert_eq!(fault.kind(), Kind::InputMissing);
}

#[test]
fn foreign_positions() {
    let (_folder, path) = write(&numbers(10), 100, Compression::UNCOMPRESSED);
    let mut source = open(&path, None);
    for (ordinal, place) in [(1, ""), (0, "row=0"), (3, "row=4"), (11, "row=11"), (1, "row=01")] {
        let position = Position { ordinal, place: place.to_owned() };
        let fault = block_on(source.seek(&position)).unwrap_err();
        assert_eq!(fault.kind(), Kind::Config, "{place}");
    }
}

#[test]
fn an_empty_table() {
    let (_folder, path) = write(&numbers(0), 100, Compression::UNCOMPRESSED);
    let mut source = open(&path, None);
    assert!(block_on(source.next(&items(1))).unwrap().is_none());
    assert_eq!(Some(source.progress().done), source.progress().total);
}

/// The known facts stand in the data's own page.
#[test]
fn green_taxi_trips() {
    let Some(path) = shared_data("tlc/green_tripdata_2023-12.parquet") else { return };
    let mut source = open(&path, None);
    assert_eq!(source.schema().fields().len(), 20);
    let chunks = read(&mut source, &ChunkLimits::default());
    assert_eq!(chunks.last().unwrap().end.ordinal, 64_215);
    let column = |name: &str| -> Vec<String> {
        let of = |chunk: &Chunk| {
            let array = Arc::clone(chunk.items.batch.column_by_name(name).unwrap());
            let cells = CellColumn::new(array.as_ref()).unwrap();
            (0..array.len()).map(|row| cells.cell(row).to_string()).collect::<Vec<_>>()
        };
        chunks.iter().flat_map(of).collect()
    };
    let cents = |text: &String| (text.parse::<f64>().unwrap() * 100.0).round() as i64;
    assert_eq!(column("total_amount").iter().map(cents).sum::<i64>(), 155_792_215);
    let nulls = |name: &str| column(name).iter().filter(|v| *v == "NULL").count();
    assert_eq!((nulls("passenger_count"), nulls("ehail_fee")), (4_912, 64_215));
}
