//! The job in Rust runs, stops, and goes on with its mapper's memory.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use kiln::{ChunkLimits, Event, Observer, Options, Status, Stop, Stopper};

#[allow(dead_code, unreachable_pub)]
#[path = "../../../examples/library.rs"]
mod library;

/// Asks the run to stop when the first chunk is committed.
struct StopEarly(Mutex<Stopper>);

impl Observer for StopEarly {
    fn observe(&self, event: &Event) {
        if matches!(event, Event::Committed { .. }) {
            self.0.lock().unwrap().stop();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_rust_stops_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/invoices/online-retail-day.csv");
    let path = folder.path().join("sales.db");
    let url = format!("sqlite:{}", path.display());
    let limits = ChunkLimits { items: 100, ..ChunkLimits::default() };
    let options = || Options { chunk: limits, ..Options::default() };

    let (stopper, stop) = Stop::new();
    let job = library::job(&file, &url).await.unwrap().options(options()).stop_on(stop);
    let first = job.observe(Arc::new(StopEarly(Mutex::new(stopper)))).run().await;
    assert_eq!(first.status, Status::Stopped, "{:?}", first.fault);
    assert!((100..3_108).contains(&first.counts.read), "{:?}", first.counts);

    let second = library::job(&file, &url).await.unwrap().options(options()).run().await;
    assert_eq!(second.status, Status::PartialSuccess, "{:?}", second.fault);
    assert!(second.resumed);
    let counts = second.counts;
    assert_eq!((counts.read, counts.processed, counts.failed), (3_108, 3_081, 27));

    let sqlite = rusqlite::Connection::open(path).unwrap();
    let ask = |sql: &str| sqlite.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(ask("SELECT count(*) FROM sales"), 3_081);
    assert_eq!(ask("SELECT max(number) FROM sales"), 3_081, "the numbering went on");
    assert_eq!(ask("SELECT count(*) FROM kiln_dead_letters"), 27);
}
