//! The result lies in a file: taken up again, made again, refused, removed.

use std::path::PathBuf;

use kiln_core::{ChunkLimits, Kind, Position, Source};
use kiln_sql::{QueryOptions, QuerySource};

use crate::common::{Files, block_on, rows};

const SQL: &str = "SELECT n, count(*) AS k FROM t GROUP BY n ORDER BY k";

fn files() -> Files {
    let lines: String = (0..5_000).map(|n| format!("{}\n", n % 2_500)).collect();
    Files::new(&[("t", &format!("n\n{lines}"))])
}

fn end_of_first_chunk(source: &mut dyn Source) -> Position {
    let limits = ChunkLimits { items: 100, ..ChunkLimits::default() };
    block_on(source.next(&limits)).unwrap().unwrap().end
}

fn only(files: &Files) -> PathBuf {
    let left = files.left();
    assert_eq!(left.len(), 1, "{left:?}");
    left.into_iter().next().unwrap()
}

#[test]
fn a_result_is_taken_up_again() {
    let files = files();
    let end = end_of_first_chunk(&mut files.query(SQL));
    let written = std::fs::metadata(only(&files)).unwrap().modified().unwrap();
    let mut again = files.query(SQL);
    block_on(again.seek(&end)).unwrap();
    assert_eq!(rows(&mut again).unwrap().len(), 2_400);
    assert_eq!(std::fs::metadata(only(&files)).unwrap().modified().unwrap(), written);
    again.done();
    assert!(std::fs::read_dir(files.work()).unwrap().next().is_none());
    again.done();
}

#[test]
fn a_result_that_is_gone_is_made_again_with_the_same_rows() {
    let files = files();
    let whole = files.rows(SQL);
    let end = end_of_first_chunk(&mut files.query(SQL));
    std::fs::remove_dir_all(files.work()).unwrap();
    let mut again = files.query(SQL);
    block_on(again.seek(&end)).unwrap();
    assert!(rows(&mut again).unwrap() == whole[100..]);
}

#[test]
fn a_result_that_is_damaged_is_made_again() {
    let files = files();
    let whole = files.rows(SQL);
    std::fs::write(only(&files), "ARROW1 and no more").unwrap();
    assert!(files.rows(SQL) == whole);
}

#[test]
fn a_place_in_another_result_is_refused() {
    let files = files();
    let end = end_of_first_chunk(&mut files.query(SQL));
    for sql in [
        "SELECT n, count(*) AS k FROM t GROUP BY n ORDER BY k DESC, n DESC",
        "SELECT n, count(*) + 1 AS k FROM t GROUP BY n ORDER BY k",
        "SELECT n, count(*) AS k FROM t WHERE n <> 2000 GROUP BY n ORDER BY k",
    ] {
        let fault = block_on(files.query(sql).seek(&end)).expect_err(sql);
        assert_eq!(fault.kind(), Kind::Config);
        assert!(fault.message().contains("another result"), "{fault}");
    }
    // Also before the first item.
    let start = block_on(files.query(SQL).start()).unwrap();
    assert_eq!(start.ordinal, 0);
    let mut again = files.query(SQL);
    block_on(again.seek(&start)).unwrap();
    assert_eq!(rows(&mut again).unwrap().len(), 2_500);
    let fault = block_on(files.query("SELECT n FROM t").seek(&start)).unwrap_err();
    assert!(fault.message().contains("another result"), "{fault}");
    let behind = Position { ordinal: 2_501, place: end.place.replace("row=100;", "row=2501;") };
    let fault = block_on(files.query(SQL).seek(&behind)).unwrap_err();
    assert!(fault.message().contains("no position"), "{fault}");
}

#[test]
fn the_fingerprint_is_of_query_and_tables() {
    let files = files();
    let before = files.query(SQL).fingerprint();
    let spaced = SQL.replace(' ', "\n  ") + " -- as before";
    assert_eq!(files.query(&spaced).fingerprint(), before);
    assert_ne!(files.query(&SQL.replace("ORDER BY k", "ORDER BY n")).fingerprint(), before);
    files.write("t", "n\n1\n");
    assert_ne!(files.query(SQL).fingerprint(), before);
}

/// What a killed run left, and results of no use any more, go with the next one.
#[test]
fn what_is_left_goes() {
    let files = files();
    files.rows(SQL);
    let folder = only(&files).parent().unwrap().to_owned();
    std::fs::create_dir(folder.join("staging-killed")).unwrap();
    std::fs::write(folder.join("staging-killed/result"), "half of it").unwrap();
    let first = only_result(&folder);
    files.rows("SELECT n FROM t");
    assert_ne!(only_result(&folder), first);
    assert!(!folder.join("staging-killed").exists());
    // Another's result is left alone.
    let options = QueryOptions { owner: "another".to_owned(), ..files.options() };
    let mut other = QuerySource::new(SQL, files.tables(), options).unwrap();
    rows(&mut other).unwrap();
    assert_eq!(files.left().len(), 2);
    other.done();
    assert_eq!(files.left().len(), 1);
}

fn only_result(folder: &std::path::Path) -> PathBuf {
    let results = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut results = results.filter(|path| path.extension().is_some_and(|e| e == "arrow"));
    let result = results.next().unwrap();
    assert_eq!(results.next(), None);
    result
}

#[test]
fn a_file_that_changes_under_a_query_is_noticed() {
    let files = files();
    // It reads its table twice; the second time it is opened anew.
    let mut query = files.query("SELECT a.n FROM t a JOIN t b ON a.n = b.n");
    files.write("t", "n\n1\n");
    let fault = rows(&mut query).expect_err("a changed file");
    assert_eq!(fault.kind(), Kind::InputInvalid, "{fault}");
    assert!(fault.message().contains("t.csv changed"), "{fault}");
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let files = files();
    let whole = files.rows(SQL);
    std::fs::remove_dir_all(files.work()).unwrap();
    let files = &files;
    let whole = &whole;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                loop {
                    match rows(&mut files.query(SQL)) {
                        Ok(rows) => return assert!(rows == *whole),
                        Err(fault) => assert_eq!(fault.kind(), Kind::Busy, "{fault}"),
                    }
                }
            });
        }
    });
    only(files);
}
