//! A job, its files, and a database of its own.

use kiln_testkit::{Row, TestDatabase};
use serde_json::Value;

use crate::common::{Ended, Place};

pub(crate) struct On {
    pub(crate) database: TestDatabase,
    pub(crate) place: Place,
}

impl On {
    /// A job with `[params] url`, and its files.
    pub(crate) fn new(database: TestDatabase, files: &[(&str, &str)]) -> Self {
        let place = Place::new();
        files.iter().for_each(|(name, text)| place.write(name, text));
        Self { database, place }
    }

    pub(crate) fn kiln(&self, args: &[&str], crash: Option<&str>) -> Ended {
        let url = format!("url={}", self.database.url);
        let mut command = self.place.command(&[args, &["job.toml", "--param", &url]].concat());
        crash.map(|at| command.env("KILN_CRASH_AT", at));
        Ended::of(command.output().unwrap())
    }

    /// Runs the job to its end; gives the report.
    pub(crate) fn run(&self) -> Value {
        let ended = self.kiln(&["run", "--report", "-"], None).exits(0);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
    }

    /// Runs it until it dies.
    pub(crate) fn crash(&self, at: &str) {
        let ended = self.kiln(&["run"], Some(at));
        assert_eq!(ended.code, None, "it did not die at {at}: {ended:?}");
    }

    /// The rows of all these queries.
    pub(crate) async fn rows(&self, queries: &[&str]) -> Vec<Row> {
        let mut all = Vec::new();
        for sql in queries {
            all.extend(self.database.query(sql).await);
        }
        all
    }

    /// The name of a table of the ledger.
    pub(crate) fn ledger(&self, table: &str) -> String {
        let dot = if self.database.url.starts_with("postgres") { '.' } else { '_' };
        format!("kiln{dot}{table}")
    }
}

/// One test for each database, of a function that is given a way to make one.
macro_rules! on_every_database {
    ($($name:ident)+) => { $(
        mod $name {
            #[tokio::test]
            async fn on_sqlite() {
                super::$name(async || kiln_testkit::sqlite()).await;
            }
            #[tokio::test]
            async fn on_postgres() {
                super::$name(kiln_testkit::postgres).await;
            }
            #[tokio::test]
            async fn on_mysql() {
                super::$name(kiln_testkit::mysql).await;
            }
        }
    )+ };
}

pub(crate) use on_every_database;
