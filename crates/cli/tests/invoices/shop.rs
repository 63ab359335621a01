//! A shop: a fresh database, a copy of the example's job, and starts of kiln.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kiln_testkit::TestDatabase;
use tempfile::TempDir;

use crate::process::PATIENCE;
pub(crate) use crate::process::{Ended, send, wait};

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Sqlite,
    Postgres,
    Mysql,
}

pub(crate) struct Shop {
    pub(crate) on: On,
    pub(crate) database: TestDatabase,
    pub(crate) file: PathBuf,
    folder: TempDir,
}

impl Shop {
    /// A shop whose job commits chunks of so many items; `None` leaves the size
    /// to the example.
    pub(crate) async fn new(on: On, file: &Path, chunk: Option<u32>) -> Self {
        let database = match on {
            On::Sqlite => kiln_testkit::sqlite(),
            On::Postgres => kiln_testkit::postgres().await,
            On::Mysql => kiln_testkit::mysql().await,
        };
        let folder = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/invoices");
        for entry in std::fs::read_dir(example).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "sql" || e == "toml") {
                std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        if let Some(items) = chunk {
            let job = folder.path().join("job.toml");
            let text = std::fs::read_to_string(&job).unwrap();
            assert!(!text.contains("[chunk]"), "the example leaves the chunk to kiln");
            std::fs::write(&job, format!("{text}\n[chunk]\nitems = {items}\n")).unwrap();
        }
        Self { on, database, file: file.to_owned(), folder }
    }

    /// The command that starts the job.
    pub(crate) fn command(&self, more: &[&str]) -> Command {
        self.command_on(&self.file, more)
    }

    fn command_on(&self, file: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command
            .arg("run")
            .arg(self.folder.path().join("job.toml"))
            .args(["--param", &format!("file={}", file.display())])
            .args(["--param", &format!("url={}", self.database.url)])
            .args(["--report", "-", "--quiet"])
            .args(more)
            .env_remove("KILN_CRASH_AT")
            .env_remove("KILN_LEASE_SECONDS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the job and waits for its end.
    pub(crate) fn run(&self, more: &[&str]) -> Ended {
        wait(self.command(more).spawn().unwrap())
    }

    /// Starts the job and lets it die at a crash point.
    pub(crate) fn crash(&self, at: &str) {
        let ended = wait(self.command(&[]).env("KILN_CRASH_AT", at).spawn().unwrap());
        assert!(ended.is_killed(), "it did not die at {at}: {ended:?}");
    }

    /// Runs the job on no item at all, so that its tables are there.
    pub(crate) fn set_up(&self) {
        let empty = self.folder.path().join("header.csv");
        let text = std::fs::read_to_string(&self.file).unwrap();
        std::fs::write(&empty, text.lines().next().unwrap()).unwrap();
        wait(self.command_on(&empty, &[]).spawn().unwrap()).expect(0);
    }

    /// A table of the ledger, as this database names it.
    pub(crate) fn ledger(&self, table: &str) -> String {
        match self.on {
            On::Sqlite | On::Mysql => format!("kiln_{table}"),
            On::Postgres => format!("kiln.{table}"),
        }
    }

    /// How many items are settled, by the mark; 0 before there is one.
    pub(crate) async fn done(&self) -> u64 {
        let there = match self.on {
            On::Sqlite => {
                let path = self.database.url.strip_prefix("sqlite:").unwrap();
                if !Path::new(path).exists() {
                    return 0;
                }
                "SELECT count(*) FROM sqlite_schema WHERE name = 'kiln_marks'"
            }
            On::Postgres => "SELECT count(*) FROM pg_class WHERE oid = to_regclass('kiln.marks')",
            On::Mysql => {
                "SELECT count(*) FROM information_schema.tables
                 WHERE table_schema = database() AND table_name = 'kiln_marks'"
            }
        };
        if self.database.value(there).await == "0" {
            return 0;
        }
        let marks = self.ledger("marks");
        let sql = format!("SELECT coalesce(sum(done), 0) FROM {marks}");
        self.database.value(&sql).await.parse().unwrap()
    }

    /// Waits until a running job has committed something.
    pub(crate) async fn under_way(&self, child: &mut Child) {
        let before = self.done().await;
        let began = Instant::now();
        while self.done().await <= before {
            assert!(began.elapsed() < PATIENCE, "nothing is committed");
            assert!(child.try_wait().unwrap().is_none(), "it ended before it was disturbed");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
