//! The example that makes days and weeks of taxi trips: every cent of the file, and
//! every week as a window function has it, killed on the way.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod common;

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use common::{Ended, Place};
use kiln_testkit::{TestDatabase, shared_data};
use serde_json::Value;

const FILE: &str = "green_tripdata_2023-12.parquet";

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/taxi/taxi.toml")
}

fn run(file: &Path, database: &TestDatabase, crash: Option<&str>) -> Ended {
    let place = Place::new();
    let (job, file) = (example(), format!("file={}", file.display()));
    let url = format!("url={}", database.url);
    let args = ["run", job.to_str().unwrap(), "--param", &file, "--param", &url, "--report", "-"];
    let mut command = place.command(&args);
    if let Some(crash) = crash {
        command.env("KILN_CRASH_AT", crash);
    }
    let output = command.output().unwrap();
    let is_killed = output.status.signal() == Some(9);
    assert_eq!(is_killed, crash.is_some(), "{}", String::from_utf8_lossy(&output.stderr));
    Ended::of(output)
}

/// Days, trips, cents and trips of another month.
const SUMS: &str = "SELECT count(*), sum(trips), sum(cents),
    sum(CASE WHEN day_number BETWEEN 19692 AND 19722 THEN 0 ELSE trips END) FROM daily";

/// Weeks that are not what a window function says.
const WRONG: &str = "SELECT count(*) FROM (
    SELECT trips_of_week, cents_of_week,
           sum(trips) OVER week AS trips_in_window, sum(cents) OVER week AS cents_in_window
    FROM daily
    WINDOW week AS (ORDER BY day_number RANGE BETWEEN 6 PRECEDING AND CURRENT ROW)) AS weeks
    WHERE trips_of_week IS NULL OR trips_of_week <> trips_in_window
       OR cents_of_week IS NULL OR cents_of_week <> cents_in_window";

async fn is_exact(database: &TestDatabase) {
    let Some(folder) = shared_data("tlc") else { return };
    let file = folder.join(FILE);
    for crash in ["mark:3", "commit:8", "committed:2", "begin:4"] {
        run(&file, database, Some(crash));
    }
    let report: Value = serde_json::from_str(&run(&file, database, None).exits(0).stdout).unwrap();
    let sums = database.query(SUMS).await.remove(0);
    let sums: Vec<String> = sums.into_iter().map(|value| value.unwrap()).collect();
    assert_eq!(sums[1..3], ["64215", "155792215"]);
    assert_eq!(database.value(WRONG).await, "0");
    assert_eq!(report["steps"][0]["items_read"], 64_215, "{report}");
    let rule = &report["rules"][0];
    assert_eq!(rule["rule"], "picked up in the month", "{report}");
    assert_eq!(rule["items_warned"].to_string(), sums[3], "{report}");

    // A second start has nothing to do.
    run(&file, database, None).exits(0);
    assert_eq!(database.value("SELECT sum(trips) FROM daily").await, "64215");
}

#[tokio::test]
async fn on_sqlite() {
    is_exact(&kiln_testkit::sqlite()).await;
}

#[tokio::test]
async fn on_postgres() {
    is_exact(&kiln_testkit::postgres().await).await;
}

#[tokio::test]
async fn on_mariadb() {
    is_exact(&kiln_testkit::mysql().await).await;
}
