//! A query that does not fit into its memory goes on in files.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kiln_core::Kind;
use kiln_sql::{QueryOptions, QuerySource};

use crate::common::{Files, rows};

const ROWS: usize = 60_000;

/// Numbers in no order, each with a text that takes room.
fn files() -> Files {
    let line = |n: usize| format!("{},{}\n", (n * 7_919) % ROWS, "x".repeat(200));
    let lines: String = (0..ROWS).map(line).collect();
    Files::new(&[("t", &format!("n,text\n{lines}"))])
}

/// Runs it in so much memory; gives its rows, and how many files there were at
/// most beside the result.
fn run(files: &Files, sql: &str, memory: usize) -> (kiln_core::Result<Vec<String>>, usize) {
    let options = QueryOptions { memory, ..files.options() };
    let mut query = QuerySource::new(sql, files.tables(), options).unwrap();
    let (over, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    let rows = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let spilled = files.left().iter().filter(|path| !path.ends_with("result")).count();
                most.fetch_max(spilled, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let rows = rows(&mut query);
        over.store(true, Ordering::Relaxed);
        rows
    });
    (rows, most.into_inner())
}

#[test]
fn sorts_groups_and_joins_go_on_in_files() {
    let files = files();
    for (memory, sql) in [
        (8, "SELECT n, length(text) AS l FROM t ORDER BY text, n"),
        (8, "SELECT n, max(text) AS text FROM t GROUP BY n ORDER BY n"),
        // Three sorts share it.
        (16, "SELECT a.n, b.text FROM t a JOIN t b ON a.n = b.n AND a.text = b.text ORDER BY a.n"),
        (
            16,
            "SELECT a.n, b.text FROM t a LEFT JOIN t b ON a.n = b.n + 1 AND a.text = b.text \
             ORDER BY a.n",
        ),
    ] {
        let (small, spilled) = run(&files, sql, memory << 20);
        assert!(spilled > 1, "{sql}: nothing was spilled");
        let small = small.unwrap_or_else(|fault| panic!("{sql}: {fault}"));
        assert_eq!(small.len(), ROWS, "{sql}");
        std::fs::remove_dir_all(files.work()).unwrap();
        let (large, _) = run(&files, sql, QueryOptions::DEFAULT_MEMORY);
        assert!(small == large.unwrap(), "{sql}");
        assert!(small[1].starts_with("{\"n\":1,"), "{sql}: {}", small[1]);
        std::fs::remove_dir_all(files.work()).unwrap();
    }
}

/// What can't go on in files says what to do.
#[test]
fn what_needs_memory_says_so() {
    let sql = "SELECT string_agg(text, ',') AS all FROM t";
    let (rows, _) = run(&files(), sql, 4 << 20);
    let fault = rows.expect_err("it can't be done in 4 MiB");
    assert_eq!(fault.kind(), Kind::Config, "{fault}");
    assert!(fault.hint().unwrap().contains("memory = "), "{fault}");
}
