//! Public cases: csv-spectrum, pgloader's own suite, Online Retail.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use kiln_core::{ChunkLimits, Source};
use kiln_files::{Column, ColumnType, CsvOptions, CsvSource, Header, Ragged};
use std::path::Path;

use crate::common::{Read, bad, items, next, read_all, rows, shared_data};

fn read(path: &Path, options: &CsvOptions) -> Vec<Read> {
    read_all(&mut CsvSource::open(path, options).unwrap())
}

#[test]
fn csv_spectrum() {
    let Some(folder) = shared_data("csv-spectrum") else { return };
    let mut cases = 0;
    for case in std::fs::read_dir(folder.join("csvs")).unwrap() {
        let path = case.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let json = std::fs::read(folder.join("json").join(format!("{name}.json"))).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        // One case is a bare object, and its number is not that of its CSV.
        let expected: Vec<serde_json::Value> = match json {
            serde_json::Value::Array(all) => all,
            mut one => {
                one["Contact Phone Number"] = "2095257564".into();
                vec![one]
            }
        };
        let mut source = CsvSource::open(&path, &CsvOptions::default()).unwrap();
        let names: Vec<String> =
            source.schema().fields().iter().map(|f| f.name().clone()).collect();
        let found: Vec<serde_json::Value> = rows(&read_all(&mut source))
            .into_iter()
            .map(|row| {
                let values = row.into_iter().map(serde_json::Value::from);
                names.iter().cloned().zip(values).collect::<serde_json::Map<_, _>>().into()
            })
            .collect();
        assert_eq!(found, expected, "{name}");
        cases += 1;
    }
    assert_eq!(cases, 12);
}

/// One case of pgloader's suite: the rows of the columns that its table has,
/// against the table after the load.
fn pgloader(case: &str, options: &CsvOptions, columns: &[&str]) -> Vec<Read> {
    let Some(folder) = shared_data("pgloader") else { return Vec::new() };
    let mut source = CsvSource::open(&folder.join(case).join("input.dat"), options).unwrap();
    let schema = source.schema();
    let picked: Vec<usize> = columns.iter().map(|c| schema.index_of(c).unwrap()).collect();
    let all = read_all(&mut source);
    let found: Vec<Vec<String>> =
        rows(&all).iter().map(|row| picked.iter().map(|i| row[*i].clone()).collect()).collect();
    let copy = std::fs::read_to_string(folder.join(case).join("expected.copy")).unwrap();
    assert_eq!(found, expected(case, &copy), "{case}");
    all
}

/// The lines of a COPY text, without what the database made of its own accord.
fn expected(case: &str, copy: &str) -> Vec<Vec<String>> {
    let unescape = |s: &str| if s == r"\N" { s.to_owned() } else { s.replace(r"\\", r"\") };
    let line = |line: &str| {
        let mut row: Vec<String> = line.split('\t').map(unescape).collect();
        match case {
            // A serial key, a constant, a column that is not loaded.
            "csv-trim-extra-blanks" => drop(row.remove(0)),
            "udc" => drop(row.remove(1)),
            "partial" => drop(row.remove(3)),
            // The clock in Paris, as the session's zone shows it.
            "csv-parse-date" => row[1] = row[1].trim_end_matches("+02").to_owned(),
            _ => {}
        }
        row
    };
    copy.lines().map(line).collect()
}

fn names(names: &[&str]) -> Header {
    Header::Names(names.iter().map(|n| (*n).to_owned()).collect())
}

fn with_format(name: &str, kind: ColumnType, format: &str) -> Column {
    Column { format: Some(format.to_owned()), ..Column::new(name, kind) }
}

#[test]
fn pgloader_allcols() {
    let options = CsvOptions {
        delimiter: b':',
        header: names(&["a", "b", "c"]),
        columns: vec![Column::new("a", ColumnType::Int), Column::new("b", ColumnType::Date)],
        ..CsvOptions::default()
    };
    pgloader("allcols", &options, &["a", "b", "c"]);
}

#[test]
fn pgloader_escape_mode() {
    let options = CsvOptions {
        escape: Some(b'\\'),
        header: Header::No,
        columns: vec![Column::new("column_1", ColumnType::Int)],
        ..CsvOptions::default()
    };
    let all = pgloader("csv-escape-mode", &options, &["column_1", "column_72"]);
    if let Some(first) = all.first() {
        assert_eq!(first.values.as_ref().unwrap()[14], None, r"an unquoted \N is NULL");
    }
}

#[test]
fn pgloader_header() {
    let options = CsvOptions {
        columns: vec![Column::new("fields", ColumnType::Int)],
        ..CsvOptions::default()
    };
    let in_table = ["somefields", "rekplcode", "repl$grpid", "repl$id", "another", "fields"];
    pgloader("csv-header", &options, &in_table);
}

#[test]
fn pgloader_json() {
    let options =
        CsvOptions { delimiter: 2, quote: None, header: names(&["json"]), ..CsvOptions::default() };
    pgloader("csv-json", &options, &["json"]);
}

#[test]
fn pgloader_nulls() {
    let number = Column { nulls: vec![r"\N".to_owned()], ..Column::new("number", ColumnType::Int) };
    let options = CsvOptions {
        header: names(&["id", "number", "data"]),
        columns: vec![Column::new("id", ColumnType::Int), number],
        ..CsvOptions::default()
    };
    pgloader("csv-nulls", &options, &["id", "number", "data"]);
}

#[test]
fn pgloader_parse_date() {
    let options = CsvOptions {
        header: names(&["row num", "ts", "hr"]),
        columns: vec![
            Column::new("row num", ColumnType::Int),
            with_format("ts", ColumnType::Timestamp, "%m-%d-%Y %H-%M-%S%.f"),
            with_format("hr", ColumnType::Time, "%H:%M.%S"),
        ],
        ..CsvOptions::default()
    };
    let Some(folder) = shared_data("pgloader/csv-parse-date") else { return };
    let all = read(&folder.join("input.dat"), &options);
    let copy = std::fs::read_to_string(folder.join("expected.copy")).unwrap();
    // COPY leaves zeros at the end of a fraction out.
    let short = |row: Vec<String>| -> Vec<String> {
        let cut = |v: String| match v.split_once('.') {
            Some(_) => v.trim_end_matches('0').to_owned(),
            None => v,
        };
        row.into_iter().map(cut).collect()
    };
    let found: Vec<_> = rows(&all).into_iter().map(short).collect();
    assert_eq!(found, expected("csv-parse-date", &copy));
}

#[test]
fn pgloader_trim_extra_blanks() {
    let options =
        CsvOptions { trim: true, header: names(&["f1", "f2", "f3"]), ..CsvOptions::default() };
    pgloader("csv-trim-extra-blanks", &options, &["f1", "f2", "f3"]);
}

#[test]
fn pgloader_errors() {
    let options = CsvOptions {
        delimiter: b'|',
        header: names(&["a", "c", "b", "trailing"]),
        ragged: Ragged::Pad,
        columns: vec![Column::new("a", ColumnType::Int), Column::new("b", ColumnType::Date)],
        ..CsvOptions::default()
    };
    let all = pgloader("errors", &options, &["a", "b", "c"]);
    if !all.is_empty() {
        assert_eq!(
            bad(&all),
            [
                (3, "cast", "2|expected error, month 13|2006-13-11|"),
                (4, "cast", r"3|\ |2006-16-4|"),
                (8, "cast", "5|another month 13, stress retry path|2006-13-10|"),
                (15, "quote", "10|\"plop"),
            ]
        );
    }
}

#[test]
fn pgloader_partial() {
    let options = CsvOptions {
        delimiter: b'%',
        header: names(&["a", "b", "c", "d", "e"]),
        columns: vec![Column::new("a", ColumnType::Int)],
        ..CsvOptions::default()
    };
    pgloader("partial", &options, &["a", "b", "c", "e"]);
}

#[test]
fn pgloader_udc() {
    let number = |name: &str| Column::new(name, ColumnType::Int);
    let options = CsvOptions {
        delimiter: b'%',
        header: names(&["d", "b", "x", "y"]),
        columns: vec![number("b"), number("d")],
        ..CsvOptions::default()
    };
    pgloader("udc", &options, &["b", "d"]);
}

#[test]
fn pgloader_fk_reject_is_the_databases_business() {
    let Some(folder) = shared_data("pgloader/fk-reject") else { return };
    let options = CsvOptions {
        header: names(&["id", "parent_id"]),
        columns: vec![
            Column::new("id", ColumnType::Int),
            Column::new("parent_id", ColumnType::Int),
        ],
        ..CsvOptions::default()
    };
    let all = read(&folder.join("input.dat"), &options);
    assert_eq!(rows(&all), [["1", "1"], ["2", "99"], ["3", "2"]]);
}

#[test]
fn online_retail() {
    let Some(path) = shared_data("online-retail/online-retail.csv.zst") else { return };
    let options = CsvOptions {
        columns: vec![
            Column::new("Quantity", ColumnType::Int),
            Column::new("UnitPrice", ColumnType::Decimal { precision: 12, scale: 3 }),
            Column::new("InvoiceDate", ColumnType::Timestamp),
        ],
        ..CsvOptions::default()
    };
    let mut source = CsvSource::open(&path, &options).unwrap();
    let (mut count, mut quantity, mut money, mut no_customer, mut no_text) = (0, 0, 0, 0, 0);
    while let Some(chunk) = next(&mut source, &items(ChunkLimits::DEFAULT_ITEMS)) {
        assert!(chunk.failures.is_empty(), "{:?}", chunk.failures);
        let batch = &chunk.items.batch;
        let column = |name| batch.column_by_name(name).unwrap();
        let quantities = column("Quantity").as_primitive::<Int64Type>().values();
        let prices = column("UnitPrice").as_primitive::<Decimal128Type>().values();
        count += batch.num_rows();
        quantity += quantities.iter().sum::<i64>();
        money += quantities.iter().zip(prices).map(|(q, p)| i128::from(*q) * p).sum::<i128>();
        no_customer += column("CustomerID").null_count();
        no_text += column("Description").null_count();
        assert_eq!(column("InvoiceDate").null_count(), 0);
    }
    let progress = source.progress();
    assert_eq!(Some(progress.done), progress.total);
    assert_eq!((count, quantity, money), (541_909, 5_176_450, 9_747_747_934));
    assert_eq!((no_customer, no_text), (135_080, 1_454));
}
