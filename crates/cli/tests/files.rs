//! Jobs that read files of every kind: the real binary, killed and resumed.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::process::{Output, Stdio};
use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use common::{Ended, Place};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::Value;

const ITEMS: i64 = 600;

const JOB: &str = r#"name = "files"

[source]
$source

[map]
sql = "SELECT n, name, price, _file AS file FROM item"

[target]
url = "sqlite:out.db"
setup = "tables.sql"

[[write]]
table = "sold"

[chunk]
items = 50
"#;

const TABLES: &str = "CREATE TABLE IF NOT EXISTS sold \
                      (n INTEGER PRIMARY KEY, name TEXT, price TEXT NOT NULL, file TEXT NOT NULL);";

/// A number, its name and its price in cents.
fn item(n: i64) -> (i64, String, i64) {
    (n, format!("Jörg {}", n % 7), n * 7)
}

fn price(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn lines(line: impl Fn(i64, &str, &str) -> String) -> String {
    let line = |n| {
        let (n, name, cents) = item(n);
        line(n, &name, &price(cents))
    };
    (1..=ITEMS).map(line).collect()
}

fn folder(source: &str) -> Place {
    let place = Place::new();
    place.write("job.toml", &JOB.replace("$source", source));
    place.write("tables.sql", TABLES);
    place
}

/// Starts the job, perhaps to be killed, with something on standard input.
fn start(place: &Place, input: Option<&[u8]>, crash: Option<&str>) -> Output {
    let mut command = place.command(&["run", "job.toml", "--quiet", "--report", "-"]);
    command.env_remove("KILN_CRASH_AT").stdout(Stdio::piped()).stderr(Stdio::piped());
    crash.map(|at| command.env("KILN_CRASH_AT", at));
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().unwrap();
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        stdin.write_all(input).unwrap();
    }
    child.wait_with_output().unwrap()
}

/// Runs the job, killed twice; gives the last report.
fn run_killed(place: &Place, input: Option<&[u8]>) -> Value {
    for at in ["commit:3", "committed:4"] {
        let killed = start(place, input, Some(at));
        assert_eq!(killed.status.code(), None, "{}", String::from_utf8_lossy(&killed.stderr));
    }
    let ended = Ended::of(start(place, input, None)).exits(0);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// What is in the table is what was in the files, each item once.
fn assert_whole(place: &Place, case: &str) {
    let count = ITEMS.to_string();
    assert_eq!(place.sql("SELECT count(*) FROM sold"), count, "{case}");
    let of = |n: i64| {
        let (_, name, cents) = item(n);
        format!("{name} {}", price(cents))
    };
    let found = |n: i64| place.sql(&format!("SELECT name || ' ' || price FROM sold WHERE n = {n}"));
    for n in [1, 149, 150, 151, 300, 599, 600] {
        assert_eq!(found(n), of(n), "{case}: item {n}");
    }
    let cents = "SELECT sum(CAST(replace(price, '.', '') AS INTEGER)) FROM sold";
    assert_eq!(place.sql(cents), (ITEMS * (ITEMS + 1) / 2 * 7).to_string(), "{case}");
}

fn json_lines() -> String {
    lines(|n, name, price| {
        format!("{{\"n\":{n},\"order\":{{\"name\":\"{name}\",\"prices\":[{price}]}}}}\n")
    })
}

const JSON_COLUMNS: &str = r#"
[source.columns]
n = "int"
name = { path = "order.name" }
price = { type = "decimal(10,2)", path = "order.prices[0]" }
"#;

const COLUMNS: &str = "\n[source.columns]\nn = \"int\"\nprice = \"decimal(10,2)\"\n";

fn csv() -> String {
    format!("n,name,price\n{}", lines(|n, name, price| format!("{n},{name},{price}\n")))
}

#[test]
fn json_lines_packed_and_with_a_bad_line() {
    let place = folder(&format!("file = \"in.ndjson.zst\"{JSON_COLUMNS}"));
    let bad = json_lines().replace("\n{\"n\":301,", "\n{\"n\":broken\n{\"n\":301,");
    fs::write(place.path("in.ndjson.zst"), zstd::encode_all(bad.as_bytes(), 1).unwrap()).unwrap();
    let report = run_killed(&place, None);
    assert_whole(&place, "jsonl");
    let failed = &report["failed_items"][0];
    assert_eq!((&report["items_failed"], &failed["line"]), (&1.into(), &301.into()), "{report}");
    assert_eq!(failed["code"], "json");
    let raw = place.sql("SELECT raw FROM kiln_dead_letters");
    assert_eq!(raw, "{\"n\":broken");
}

#[test]
fn a_json_array() {
    let place = folder(&format!("file = \"in.json\"{JSON_COLUMNS}"));
    let elements: Vec<String> = json_lines().lines().map(str::to_owned).collect();
    place.write("in.json", &format!("[\n{}\n]\n", elements.join(",\n")));
    run_killed(&place, None);
    assert_whole(&place, "json");
}

#[test]
fn utf_16_by_its_mark() {
    let place = folder(&format!("file = \"in.csv\"{COLUMNS}"));
    let text = format!("\u{feff}{}", csv());
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(place.path("in.csv"), bytes).unwrap();
    run_killed(&place, None);
    assert_whole(&place, "utf-16");
}

#[test]
fn fixed_width_in_latin_1() {
    let source = r#"file = "in.txt"
format = "fixed"
encoding = "latin-1"
[source.columns]
n = { type = "int", width = 5 }
price = { type = "decimal(10,2)", at = 16, width = 10 }
name = { at = 6, width = 10 }
"#;
    let place = folder(source);
    let text = lines(|n, name, price| format!("{n:>5}{name:<10}{price:>10}\r\n"));
    let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    fs::write(place.path("in.txt"), bytes).unwrap();
    run_killed(&place, None);
    assert_whole(&place, "fixed");
}

#[test]
fn parquet_files() {
    let place = folder("file = \"in.parquet\"\ncolumns = [\"price\", \"n\", \"name\"]\n");
    let items: Vec<_> = (1..=ITEMS).map(item).collect();
    let n: ArrayRef = Arc::new(items.iter().map(|i| i.0).collect::<Int64Array>());
    let names = items.iter().map(|i| Some(i.1.as_str()));
    let name: ArrayRef = Arc::new(names.collect::<StringArray>());
    let prices = items.iter().map(|i| i128::from(i.2)).collect::<Vec<_>>();
    let prices = Decimal128Array::from(prices).with_precision_and_scale(10, 2).unwrap();
    let columns = [
        ("n", n),
        ("unused", Arc::clone(&name)),
        ("name", name),
        ("price", Arc::new(prices) as ArrayRef),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(170)).build();
    let file = File::create(place.path("in.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    run_killed(&place, None);
    assert_whole(&place, "parquet");
}

/// Parts of the CSV file, each with a header.
fn parts(place: &Place, names: &[&str]) {
    let csv = csv();
    let (header, rest) = csv.split_once('\n').unwrap();
    let rows: Vec<&str> = rest.lines().collect();
    let parts = rows.chunks(rows.len().div_ceil(names.len()));
    for (name, part) in names.iter().zip(parts) {
        place.write(name, &format!("{header}\n{}\n", part.join("\n")));
    }
}

#[test]
fn several_files_of_a_pattern() {
    let place = folder(&format!("file = \"in/*.csv\"{COLUMNS}"));
    fs::create_dir(place.path("in")).unwrap();
    parts(&place, &["in/c.csv", "in/a.csv", "in/b.csv", "in/d.csv"]);
    run_killed(&place, None);
    assert_whole(&place, "several");
    let files = "SELECT group_concat(file || n, ' ') FROM sold WHERE n IN (150, 151, 450, 451)";
    assert_eq!(place.sql(files), "c.csv150 a.csv151 b.csv450 d.csv451");
}

#[test]
fn a_new_file_under_a_stopped_run_is_named() {
    let place = folder(&format!("file = [\"b.csv\", \"in/*.csv\"]{COLUMNS}"));
    fs::create_dir(place.path("in")).unwrap();
    parts(&place, &["b.csv", "in/a.csv"]);
    assert_eq!(start(&place, None, Some("commit:3")).status.code(), None);
    place.write("in/new.csv", "n,name,price\n");
    Ended::of(start(&place, None, None)).exits(78).says("new.csv");
    fs::remove_file(place.path("in/new.csv")).unwrap();
    Ended::of(start(&place, None, None)).exits(0);
    assert_whole(&place, "list");
}

#[test]
fn standard_input_goes_on_if_it_comes_again() {
    let place = folder(&format!("file = \"-\"\nformat = \"csv\"{COLUMNS}"));
    let csv = csv();
    for at in ["commit:3", "committed:4"] {
        assert_eq!(start(&place, Some(csv.as_bytes()), Some(at)).status.code(), None);
    }
    let other = csv.replace("Jörg", "Jürg");
    Ended::of(start(&place, Some(other.as_bytes()), None)).exits(78);
    Ended::of(start(&place, Some(csv.as_bytes()), None)).exits(0);
    assert_whole(&place, "stdin");
    assert_eq!(place.sql("SELECT DISTINCT file FROM sold"), "-");
}

#[test]
fn files_that_are_not_ready_wait() {
    let place = folder(&format!("file = \"in/*.csv\"\nready = {{ ending = \".done\" }}{COLUMNS}"));
    fs::create_dir(place.path("in")).unwrap();
    place.write("in/half.csv", "n,na");
    Ended::of(start(&place, None, None)).exits(66).says("half.csv is not ready");
    parts(&place, &["in/a.csv"]);
    place.write("in/a.csv.done", "");
    run_killed(&place, None);
    assert_whole(&place, "ready");
}

#[test]
fn what_can_not_be_is_refused() {
    let csv_file = "file = \"in.csv\"\n";
    for (source, code, words) in [
        ("file = \"no/*.csv\"\n".to_owned(), 66, "there is no file no/*.csv"),
        ("file = \"in\"\n".to_owned(), 78, "its ending tells no format"),
        (format!("{csv_file}compression = \"zip\"\n"), 78, "\"zip\" is no compression"),
        (format!("{csv_file}encoding = \"utf-9\"\n"), 78, "\"utf-9\" is no encoding"),
        (format!("{csv_file}ready = {{ age = \"soon\" }}\n"), 78, "no length of time"),
        (format!("{csv_file}ready = {{ age = \"5m\", marker = \"x\" }}\n"), 78, "one of marker"),
        (format!("{csv_file}ranges = 2\n"), 78, "`ranges` means nothing where the source is a file"),
        (format!("{csv_file}columns = [\"n\"]\n"), 78, "means nothing where the source is a csv"),
        (format!("{csv_file}[source.columns]\nn = {{ width = 3 }}\n"), 78, "`width` means nothing"),
        ("file = [\"in.csv\", \"a.json\"]\n".to_owned(), 78, "some of the files are csv, some are"),
        ("file = [\"-\", \"a.csv\"]\nformat = \"csv\"\n".to_owned(), 78, "can't be one of several"),
        ("file = []\n".to_owned(), 78, "the list of files is empty"),
        ("file = \"a.jsonl\"\ndelimiter = \";\"\n".to_owned(), 78, "`delimiter` means nothing"),
        (
            "file = \"a.jsonl\"\n[source.columns]\nn = { path = \"a..b\" }\n".to_owned(),
            78,
            "\"a..b\" is no path",
        ),
        (
            "file = \"a.jsonl\"\n[source.columns]\nn = { missing = \"reject\", type = \"exists\" }\n"
                .to_owned(),
            78,
            "misses nothing",
        ),
        (
            "file = \"in.csv\"\nformat = \"fixed\"\n[source.columns]\nn = \"int\"\n".to_owned(),
            78,
            "its width is missing",
        ),
    ] {
        let place = folder(&source);
        place.write("in.csv", &csv());
        place.write("a.jsonl", &json_lines());
        Ended::of(start(&place, None, None)).exits(code).says(words);
        assert!(!place.path("out.db").exists(), "{source}");
    }
}

#[test]
fn a_pattern_stays_in_the_folder() {
    let place = folder(&format!("file = \"in/*.csv\"{COLUMNS}"));
    let elsewhere = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path("in.csv"), place.path("in/x.csv")).unwrap();
    Ended::of(start(&place, None, None)).exits(77).says("leads out of the job file's folder");
}
