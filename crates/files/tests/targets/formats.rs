//! What is written is read again as it was.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    RecordBatch, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{Schema, SchemaRef};
use kiln_core::{
    ChunkLimits, Claim, Kind, LaneKey, NoOrigins, Refusal, Rows, Settled, Source, Span, Unit,
    Write, WriteColumn,
};
use kiln_files::{
    Column, ColumnType, CsvOptions, CsvSource, Existing, FileFormat, JsonColumn, JsonOptions,
    JsonPath, JsonSource, Missing, Packing, ParquetOptions, ParquetSource, TargetOptions,
};
use kiln_testkit::TestTarget as _;
use kiln_testkit::notes::key;

use crate::folder::Folder;

/// Every type, with values that tend to be mangled, and a row of NULLs.
fn rows() -> RecordBatch {
    let text = [Some("a,\"b\"\r\n; \\N"), Some(""), Some(" x "), None];
    let money = [Some(1_234_567_890_123_456_789_012_345_i128), Some(-5), Some(0), None];
    let decimals = Decimal128Array::from_iter(money).with_precision_and_scale(38, 10).unwrap();
    let moments = [Some(1_291_191_960_000_001), Some(-1), Some(0), None];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(StringArray::from_iter(text))),
        ("money", Arc::new(decimals)),
        ("whole", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(1 << 60), Some(0), None]))),
        ("float", Arc::new(Float64Array::from(vec![Some(0.1), Some(-1e300), Some(0.0), None]))),
        ("truth", Arc::new(BooleanArray::from(vec![Some(true), Some(false), Some(true), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(-1), Some(14_944), Some(0), None]))),
        (
            "time",
            Arc::new(Time64MicrosecondArray::from(vec![Some(1), Some(86_399_999_999), None, None])),
        ),
        ("shown", Arc::new(TimestampMicrosecondArray::from(moments.to_vec()))),
        (
            "instant",
            Arc::new(TimestampMicrosecondArray::from(moments.to_vec()).with_timezone("+00:00")),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

fn types() -> Vec<(&'static str, ColumnType)> {
    vec![
        ("text", ColumnType::Text),
        ("money", ColumnType::Decimal { precision: 38, scale: 10 }),
        ("whole", ColumnType::Int),
        ("float", ColumnType::Float),
        ("truth", ColumnType::Bool),
        ("day", ColumnType::Date),
        ("time", ColumnType::Time),
        ("shown", ColumnType::Timestamp),
        ("instant", ColumnType::TimestampTz),
    ]
}

fn insert(schema: &Schema) -> Write {
    let column = |name: &String| WriteColumn { column: name.clone(), from: name.clone() };
    let columns = schema.fields().iter().map(|f| column(f.name())).collect();
    Write { columns, ..Write::insert("t").unwrap() }
}

fn unit(batch: &RecordBatch) -> Unit {
    let n = batch.num_rows() as u64;
    let ordinals: Vec<u64> = (1..=n).collect();
    Unit {
        span: Span { from: 0, to: n },
        start: Default::default(),
        end: Default::default(),
        items: ordinals.clone(),
        filtered: Vec::new(),
        dead_letters: Vec::new(),
        warnings: Vec::new(),
        writes: vec![Rows { batch: batch.clone(), ordinals }],
        origins: Arc::new(NoOrigins),
    }
}

async fn send(folder: &Folder, batch: &RecordBatch) -> (Claim, Settled) {
    let claim = kiln_testkit::suites::ledger::begin(&*folder.ledger(), "job", "").await;
    let lane: LaneKey = key(&claim.run, 0, 1);
    let schema: SchemaRef = batch.schema();
    let (mut lane, _) = folder.sink().open(&lane, &[insert(&schema)], &schema).await.unwrap();
    (claim, crate::folder::answer(&mut lane, &unit(batch)).await)
}

/// Writes rows as one part, and shows it.
async fn written(options: TargetOptions, batch: &RecordBatch) -> (Folder, PathBuf) {
    let folder = Folder::new(options, Existing::Refuse).await;
    let (claim, settled) = send(&folder, batch).await;
    assert!(matches!(settled, Settled::Committed(_)), "{settled:?}");
    folder.sink().publish(&claim, "job").await.unwrap();
    let name = folder.shown().into_iter().find(|name| name.starts_with("t-")).unwrap();
    let path = folder.path().join(name);
    (folder, path)
}

async fn refused(options: TargetOptions, batch: &RecordBatch) -> Refusal {
    let folder = Folder::new(options, Existing::Refuse).await;
    match send(&folder, batch).await.1 {
        Settled::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

async fn all(source: &mut dyn Source) -> RecordBatch {
    let chunk = source.next(&ChunkLimits::default()).await.unwrap().unwrap();
    assert!(chunk.failures.is_empty(), "{:?}", chunk.failures);
    chunk.items.batch
}

#[tokio::test]
async fn csv_is_read_again_as_it_was() {
    for (delimiter, null, header) in [(b',', "", true), (b';', "\\N", true), (b'\t', "", false)] {
        for packing in [Packing::None, Packing::Gzip, Packing::Zstd] {
            let format = FileFormat::Csv { delimiter, header, null: null.to_owned() };
            let options = TargetOptions { packing, ..TargetOptions::new(format) };
            let (_folder, path) = written(options, &rows()).await;
            let names = types().into_iter().map(|(name, _)| name.to_owned()).collect();
            let options = CsvOptions {
                delimiter,
                nulls: vec![null.to_owned()],
                header: if header {
                    kiln_files::Header::Yes
                } else {
                    kiln_files::Header::Names(names)
                },
                columns: types().into_iter().map(|(n, t)| Column::new(n, t)).collect(),
                ..CsvOptions::default()
            };
            let read = all(&mut CsvSource::open(&path, &options).unwrap()).await;
            assert_eq!(read, rows(), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn json_is_read_again_as_it_was() {
    for packing in [Packing::None, Packing::Gzip] {
        let options = TargetOptions { packing, ..TargetOptions::new(FileFormat::JsonLines) };
        let (_folder, path) = written(options, &rows()).await;
        let columns = types().into_iter().map(|(name, kind)| JsonColumn {
            column: Column::new(name, kind),
            path: JsonPath::keys([name]),
            missing: Missing::Reject,
        });
        let options = JsonOptions { columns: columns.collect(), ..JsonOptions::default() };
        let read = all(&mut JsonSource::open(&path, &options).unwrap()).await;
        let order: Vec<usize> =
            types().iter().map(|(name, _)| read.schema().index_of(name).unwrap()).collect();
        assert_eq!(read.project(&order).unwrap(), rows(), "{}", path.display());
    }
}

#[tokio::test]
async fn parquet_keeps_types() {
    let packings = [Packing::None, Packing::Snappy, Packing::Gzip, Packing::Zstd, Packing::Lz4];
    for packing in packings {
        let options = TargetOptions { packing, ..TargetOptions::new(FileFormat::Parquet) };
        let (_folder, path) = written(options, &rows()).await;
        let read = all(&mut ParquetSource::open(&path, &ParquetOptions::default()).unwrap()).await;
        for (field, (read, expected)) in
            rows().schema().fields().iter().zip(read.columns().iter().zip(rows().columns()))
        {
            let instant = field.name() == "instant";
            assert!(instant || read == expected, "{packing}: {}", field.name());
            assert_eq!(read.to_data().buffers(), expected.to_data().buffers(), "{}", field.name());
        }
    }
}

#[tokio::test]
async fn a_required_column_of_parquet_says_so() {
    let batch = rows().slice(0, 2);
    let options = TargetOptions {
        required: vec!["money".to_owned()],
        ..TargetOptions::new(FileFormat::Parquet)
    };
    let (_folder, path) = written(options.clone(), &batch).await;
    let file = std::fs::File::open(path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file);
    let schema = Arc::clone(reader.unwrap().schema());
    assert!(!schema.field_with_name("money").unwrap().is_nullable());
    assert_eq!(
        schema.field_with_name("money").unwrap().data_type(),
        batch.schema().field(1).data_type()
    );
    assert!(schema.field_with_name("text").unwrap().is_nullable());

    let refusal = refused(options, &rows()).await;
    assert_eq!((refusal.fault.kind(), refusal.ordinal), (Kind::Item, Some(4)));
    assert_eq!(refusal.fault.column(), Some("money"));
}

#[tokio::test]
async fn odd_values_of_text_are_kept_or_refused() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("large", Arc::new(UInt64Array::from(vec![u64::MAX]))),
        (
            "fine",
            Arc::new(TimestampNanosecondArray::from(vec![1_000_000_001]).with_timezone("UTC")),
        ),
        ("bytes", Arc::new(BinaryArray::from_vec(vec![&[0, 255]]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let (_folder, path) = written(TargetOptions::new(FileFormat::JsonLines), &batch).await;
    let text = std::fs::read_to_string(path).unwrap();
    let expected = "{\"large\":18446744073709551615,\"fine\":\"1970-01-01T00:00:01.000000001Z\",\
                    \"bytes\":\"00ff\"}\n";
    assert_eq!(text, expected);

    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, f64::INFINITY]));
    let floats = RecordBatch::try_from_iter([("x", floats)]).unwrap();
    let refusal = refused(TargetOptions::new(FileFormat::JsonLines), &floats).await;
    assert_eq!((refusal.ordinal, refusal.others.len()), (Some(2), 1));
    assert_eq!(refusal.fault.code(), Some("not_finite"));

    // An empty line is no record.
    let lonely: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let lonely = RecordBatch::try_from_iter_with_nullable([("x", lonely, true)]).unwrap();
    let csv = |null: &str| {
        TargetOptions::new(FileFormat::Csv { delimiter: b',', header: true, null: null.to_owned() })
    };
    assert_eq!(refused(csv(""), &lonely).await.ordinal, Some(2));
    let (_folder, path) = written(csv("-"), &lonely).await;
    let mut text = String::new();
    std::fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "x\na\n-\n");
}
