//! Several files as one source.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_core::{ChunkLimits, Kind, Position, Result, Source};
use kiln_files::{
    Column, ColumnType, CsvOptions, CsvSource, Files, Found, Ready, find, is_pattern,
};
use tempfile::TempDir;

use crate::common::{block_on, items, next, read_all, records, rows, seek};

/// Opens CSV files in which `n` is a number.
pub(crate) fn open_csv(path: &Path, name: &str) -> Result<Box<dyn Source>> {
    let options = CsvOptions {
        columns: vec![Column::new("n", ColumnType::Int)],
        name: Some(name.to_owned()),
        ..CsvOptions::default()
    };
    Ok(Box::new(CsvSource::open(path, &options)?))
}

/// A folder with these files.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, content)| folder.write(name, content));
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn find(&self, pattern: &str, ready: &Ready) -> Found {
        find(self.0.path(), pattern, ready).unwrap()
    }

    /// The names of the files that a pattern means.
    fn names(&self, pattern: &str, ready: &Ready) -> Vec<String> {
        let name = |p: &PathBuf| p.strip_prefix(self.0.path()).unwrap().display().to_string();
        self.find(pattern, ready).files.iter().map(name).collect()
    }

    pub(crate) fn open(&self, pattern: &str) -> Result<Files> {
        Files::open(pattern, self.find(pattern, &Ready::Always).files, Box::new(open_csv))
    }
}

const FILES: [(&str, &str); 5] = [
    ("b.csv", "k,n\nb,1\nb,x\n"),
    ("a.csv", "n,k\n1,a\n2,a\n\n3,a\n"),
    ("c.csv", "k,n\n"),
    ("d.csv", "k,n\nd,1\n"),
    ("e.csv", "k,n\n"),
];

#[test]
fn items_come_in_the_order_of_the_files() {
    let folder = Folder::new(&FILES);
    let mut source = folder.open("*.csv").unwrap();
    let chunk = next(&mut source, &ChunkLimits::default()).unwrap();
    assert!(next(&mut source, &ChunkLimits::default()).is_none());
    let all = records(&chunk);
    assert_eq!(rows(&all), [["1", "a"], ["2", "a"], ["3", "a"], ["1", "b"], ["1", "d"]]);
    let places: Vec<_> = (0..=7)
        .map(|ordinal| {
            let origins = &chunk.items.origins;
            (origins.source(ordinal).to_owned(), origins.line(ordinal))
        })
        .collect();
    let place = |name: &str, line| (name.to_owned(), line);
    assert_eq!(
        places,
        [
            place("a.csv", None),
            place("a.csv", Some(2)),
            place("a.csv", Some(3)),
            place("a.csv", Some(5)),
            place("b.csv", Some(2)),
            place("b.csv", Some(3)),
            place("d.csv", Some(2)),
            place("", None),
        ]
    );
    assert_eq!(chunk.items.origins.origin(5).raw, "b,x");
    assert_eq!(chunk.failures[0].ordinal, 5);
    assert_eq!(chunk.end.place, "file=4;first=5;byte=8;line=3");
}

#[test]
fn reading_goes_on_at_the_end_of_any_chunk() {
    let folder = Folder::new(&FILES);
    let whole = read_all(&mut folder.open("*.csv").unwrap());
    assert_eq!(whole.len(), 6);
    for size in 1..=7 {
        let mut source = folder.open("*.csv").unwrap();
        let mut found = Vec::new();
        let mut ends = vec![Position::default()];
        while let Some(chunk) = next(&mut source, &items(size)) {
            assert_eq!(chunk.start, *ends.last().unwrap());
            ends.push(chunk.end.clone());
            found.extend(records(&chunk));
        }
        assert_eq!(found, whole);
        for end in &ends {
            seek(&mut source, end).unwrap();
            assert_eq!(read_all(&mut source), whole[end.ordinal as usize..], "{end:?}");
        }
    }
}

#[test]
fn bytes_close_a_chunk_whatever_the_number_of_files() {
    let line = format!("k,n\n{},1\n", "x".repeat(10_000));
    let names: Vec<String> = (10..60).map(|n| format!("{n}.csv")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), line.as_str())).collect();
    let folder = Folder::new(&files);
    let mut chunks = folder.open("*.csv").unwrap();
    let limits = ChunkLimits { items: 0, bytes: 100_000, age: Duration::ZERO };
    let first = next(&mut chunks, &limits).unwrap();
    assert!((2..=10).contains(&first.items.len()), "{}", first.items.len());
}

#[test]
fn files_with_other_columns_are_refused() {
    for (content, part) in [
        ("k,n,m\n", "b.csv has other columns than a.csv: \"m\" is too many"),
        ("n\n1\n", "b.csv has other columns than a.csv: \"k\" is missing"),
    ] {
        let folder = Folder::new(&[("a.csv", "k,n\n"), ("b.csv", content)]);
        let fault = folder.open("*.csv").err().unwrap();
        assert_eq!(fault.kind(), Kind::InputInvalid);
        assert!(fault.message().contains(part), "{fault}");
    }
}

#[test]
fn a_file_more_less_or_changed_is_another_source() {
    let folder = Folder::new(&FILES);
    let before = folder.open("*.csv").unwrap().fingerprint();
    let differs = || -> Vec<String> {
        let now = folder.open("*.csv").unwrap().fingerprint();
        before.differences(&now).iter().map(|d| d.0.to_owned()).collect()
    };
    assert_eq!(differs(), [""; 0]);
    folder.write("bb.csv", "k,n\n");
    assert_eq!(differs(), ["columns of bb.csv", "file bb.csv"], "in another order");
    std::fs::remove_file(folder.path("bb.csv")).unwrap();
    folder.write("d.csv", "k,n\nd,2\n");
    assert_eq!(differs(), ["file d.csv"]);
}

#[test]
fn a_file_that_changes_before_its_turn_is_noticed() {
    let folder = Folder::new(&FILES);
    let mut source = folder.open("*.csv").unwrap();
    next(&mut source, &items(2)).unwrap();
    folder.write("d.csv", "k,n\nd,2\n");
    let fault = block_on(source.next(&items(100))).unwrap_err();
    assert_eq!(fault.kind(), Kind::InputInvalid);
    assert!(fault.message().contains("d.csv changed while"), "{fault}");
    assert_eq!(block_on(source.next(&items(1))).unwrap_err().kind(), Kind::Bug);
}

#[test]
fn very_many_files_have_one_fingerprint() {
    let names: Vec<String> = (0..150).map(|n| format!("{n:03}.csv")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), "k,n\nx,1\n")).collect();
    let folder = Folder::new(&files);
    let before = folder.open("*.csv").unwrap().fingerprint();
    assert!(before.0.len() < 10);
    folder.write("077.csv", "k,n\nx,2\n");
    let now = folder.open("*.csv").unwrap().fingerprint();
    assert_eq!(before.differences(&now).len(), 1);
    assert_eq!(read_all(&mut folder.open("*.csv").unwrap()).len(), 150);
}

#[test]
fn foreign_positions() {
    let folder = Folder::new(&FILES);
    let mut source = folder.open("*.csv").unwrap();
    for (ordinal, place) in [
        (1, "byte=4;line=2"),
        (1, "file=9;first=0;byte=8;line=3"),
        (3, "file=2;first=3;byte=8;line=3"),
        (1, "file=1;first=0;byte=99;line=3"),
        (1, "file=1;first=0;"),
    ] {
        let position = Position { ordinal, place: place.to_owned() };
        assert_eq!(seek(&mut source, &position).unwrap_err().kind(), Kind::Config, "{place}");
    }
}

#[test]
fn patterns() {
    let folder = Folder::new(&[
        ("in/b.csv", ""),
        ("in/a.csv", ""),
        ("in/.hidden.csv", ""),
        ("in/a.txt", ""),
        ("in/deep/c.csv", ""),
        ("in/deep/x.csv/no", ""),
        ("[odd]/a.csv", ""),
    ]);
    let names = |pattern: &str| folder.names(pattern, &Ready::Always);
    assert_eq!(names("in/*.csv"), ["in/a.csv", "in/b.csv"]);
    assert_eq!(names("in/**/*.csv"), ["in/a.csv", "in/b.csv", "in/deep/c.csv"]);
    assert_eq!(names("in/?.[ct]*"), ["in/a.csv", "in/a.txt", "in/b.csv"]);
    assert_eq!(names("no/*"), [""; 0]);
    let odd = find(&folder.path("[odd]"), "*.csv", &Ready::Always).unwrap();
    assert_eq!(odd.files, [folder.path("[odd]/a.csv")]);
    assert_eq!(find(&folder.path(""), "***", &Ready::Always).unwrap_err().kind(), Kind::Config);
    assert!(is_pattern(&folder.path("in/*.csv")) && !is_pattern(&folder.path("[odd]/a.csv")));
}

#[test]
fn files_that_are_not_all_there_are_left_for_later() {
    let folder =
        Folder::new(&[("a.csv", "n\n"), ("b.csv", "n\n"), ("b.csv.done", ""), ("s/c.csv", "")]);
    let ending = Ready::Ending(".done".to_owned());
    assert_eq!(folder.names("*", &ending), ["b.csv"]);
    let found = folder.find("a*", &ending);
    assert_eq!(found.not_ready, [folder.path("a.csv")]);
    let fault = found.nothing("a*", &ending);
    assert_eq!(fault.kind(), Kind::InputMissing);
    assert!(fault.message().ends_with("a.csv.done"), "{fault}");

    let marker = Ready::Marker("_SUCCESS".to_owned());
    assert_eq!(folder.names("s/*", &marker), [""; 0]);
    folder.write("s/_SUCCESS", "");
    assert_eq!(folder.names("s/*", &marker), ["s/c.csv"]);

    let age = Ready::Age(Duration::from_secs(3_600));
    assert_eq!(folder.names("*.csv", &age), [""; 0]);
    let file = std::fs::File::open(folder.path("a.csv")).unwrap();
    let hours = Duration::from_secs(7_200);
    file.set_modified(std::time::SystemTime::now() - hours).unwrap();
    assert_eq!(folder.names("*.csv", &age), ["a.csv"]);
    assert!(ending.holds(Path::new("/no/such")).is_ok_and(|ready| !ready));
    assert_eq!(age.holds(Path::new("/no/such")).unwrap_err().kind(), Kind::InputMissing);
    let none = Found::default().nothing("x*", &Ready::Always);
    assert_eq!(none.message(), "there is no file x*");
}
