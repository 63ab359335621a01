//! Files on a server, read over a real connection.
#![cfg(feature = "cloud")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test tells")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use kiln_core::{ChunkLimits, Fault, Kind, Source};
use kiln_files::{CsvOptions, CsvSource, ParquetOptions, ParquetSource};
use kiln_testkit::s3::S3;
use kiln_testkit::suites::source::Make;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

fn url(server: &S3, key: &str) -> PathBuf {
    PathBuf::from(format!("{}/shop/{key}", server.url()))
}

/// A file of so many numbers, about 16 bytes a line.
fn numbers(items: usize) -> String {
    let lines = (1..=items).map(|n| format!("{n:07},{:07}\n", n * 2));
    std::iter::once("n,double\n".to_owned()).chain(lines).collect()
}

fn open(path: &Path) -> CsvSource {
    CsvSource::open(path, &CsvOptions::default()).unwrap()
}

fn refusal(path: &Path) -> Fault {
    match CsvSource::open(path, &CsvOptions::default()) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(fault) => fault,
    }
}

/// How many items are left.
async fn rest(source: &mut dyn Source) -> Result<usize, Fault> {
    let mut items = 0;
    while let Some(chunk) = source.next(&ChunkLimits::default()).await? {
        assert!(chunk.failures.is_empty());
        items += chunk.items.len();
    }
    Ok(items)
}

async fn csv() -> Box<Make> {
    let server = S3::start(false);
    server.put("in/numbers.csv", numbers(40));
    Box::new(move || Box::new(open(&url(&server, "in/numbers.csv"))))
}

async fn packed() -> Box<Make> {
    let server = S3::start(false);
    server.put("numbers.csv.zst", zstd::encode_all(numbers(40).as_bytes(), 1).unwrap());
    Box::new(move || Box::new(open(&url(&server, "numbers.csv.zst"))))
}

async fn columns() -> Box<Make> {
    let server = S3::start(false);
    server.put("numbers.parquet", parquet_of(23, 5));
    let path = url(&server, "numbers.parquet");
    Box::new(move || {
        assert!(server.bucket().exists(), "the server stays for as long as the source");
        Box::new(ParquetSource::open(&path, &ParquetOptions::default()).unwrap())
    })
}

fn parquet_of(rows: i64, group: usize) -> Vec<u8> {
    let numbers = Arc::new((1..=rows).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("n", numbers as _)]).unwrap();
    let options = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(options)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

mod of_csv {
    kiln_testkit::source_suite!(super::csv);
}

mod of_packed {
    kiln_testkit::source_suite!(super::packed);
}

mod of_parquet {
    kiln_testkit::source_suite!(super::columns);
}

const MANY: usize = 500_000;

/// A connection that breaks in the middle of a file costs a part of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_is_mended() {
    let server = S3::start(false);
    server.put("many.csv", numbers(MANY));
    server.put("many.parquet", parquet_of(MANY as i64, 50_000));
    for bytes in [0, 100_000, 3_000_000, 5_500_000] {
        let mut source = open(&url(&server, "many.csv"));
        let first = source.next(&ChunkLimits::default()).await.unwrap().unwrap();
        server.cut_after(bytes);
        assert_eq!(first.items.len() + rest(&mut source).await.unwrap(), MANY);
        assert!(server.was_cut(), "after {bytes} bytes");
    }
    let path = url(&server, "many.parquet");
    let mut source = ParquetSource::open(&path, &ParquetOptions::default()).unwrap();
    server.cut_after(1_000_000);
    assert_eq!(rest(&mut source).await.unwrap(), MANY);
    assert!(server.was_cut());
}

/// What is read is one file, or it is an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_is_noticed() {
    let server = S3::start(false);
    server.put("many.csv", numbers(MANY));
    let path = url(&server, "many.csv");
    let mut source = open(&path);
    let before = source.fingerprint();
    source.next(&ChunkLimits::default()).await.unwrap().unwrap();
    server.put("many.csv", numbers(MANY - 1));
    let fault = rest(&mut source).await.unwrap_err();
    assert_eq!(fault.kind(), Kind::InputInvalid, "{fault:?}");
    assert!(fault.message().contains("changed"), "{fault:?}");
    let after = open(&path).fingerprint();
    assert!(before.differences(&after).iter().any(|(part, ..)| *part == "size"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_file_is_told() {
    let server = S3::start(false);
    let missing = refusal(&url(&server, "missing.csv"));
    assert_eq!(missing.kind(), Kind::InputMissing, "{missing:?}");
    let unreachable = refusal(Path::new("http://127.0.0.1:1/a.csv"));
    assert!(unreachable.is_transient(), "{unreachable:?}");
    for (url, why) in [
        ("https://ann:canary@host/a.csv", "credentials stand in the URL"),
        ("https://host/a.csv?signature=canary", "with a query"),
        ("https:///a.csv", "names no file"),
    ] {
        let fault = refusal(Path::new(url));
        assert_eq!(fault.kind(), Kind::Config);
        let said = format!("{fault:?} {:?}", fault.hint());
        assert!(said.contains(why) && !said.contains("canary"), "{said}");
    }
}

/// A server that always gives the whole file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_ranges_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let ask: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let body = if ask[0].starts_with("HEAD") { "" } else { "a,b\n1,2\n" };
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    let fault = refusal(Path::new(&format!("http://{address}/a.csv")));
    assert_eq!(fault.kind(), Kind::Config, "{fault:?}");
    assert!(fault.message().contains("parts of files"), "{fault:?}");
}
