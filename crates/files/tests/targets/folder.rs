//! A folder under test, with its ledger in SQLite.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{
    Catalog, CatalogSpec, Claim, Lane, Ledger, Owner, Result, Settled, Sink, Source, TableSpec,
    Unit, Write,
};
use kiln_databases::{Database, Script, connect};
use kiln_files::{Book, Existing, FileFormat, FileSink, TargetOptions, parts_script};
use kiln_testkit::notes::{self, Fate, insert_notes, key};
use kiln_testkit::{Row, TestTarget};
use tempfile::TempDir;

struct LedgerBook(Arc<dyn Database>);

#[async_trait]
impl Book for LedgerBook {
    fn sink(&self) -> Arc<dyn Sink> {
        self.0.sink()
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        self.0.ledger()
    }

    async fn open(&self, spec: &TableSpec) -> Result<Box<dyn Source>> {
        self.0.source(spec).await
    }
}

pub(crate) struct Folder {
    keep: Arc<TempDir>,
    database: Arc<dyn Database>,
    sink: Arc<FileSink>,
}

pub(crate) fn csv() -> TargetOptions {
    let format = FileFormat::Csv { delimiter: b',', header: true, null: String::new() };
    TargetOptions { required: vec!["body".into(), "label".into()], ..TargetOptions::new(format) }
}

impl Folder {
    pub(crate) async fn new(options: TargetOptions, existing: Existing) -> Self {
        Self::in_folder(Arc::new(tempfile::tempdir().unwrap()), options, existing).await
    }

    async fn in_folder(keep: Arc<TempDir>, options: TargetOptions, existing: Existing) -> Self {
        FileSink::make(keep.path()).unwrap();
        let url = format!("sqlite:{}", keep.path().join(".kiln/ledger.db").display());
        let database = connect(&url, Some(Script::from(parts_script()))).await.unwrap();
        database.set_up().await.unwrap();
        database.ledger().prepare().await.unwrap();
        let book = Arc::new(LedgerBook(Arc::clone(&database)));
        let sink = Arc::new(FileSink::in_folder(keep.path(), options, existing, book));
        Self { keep, database, sink }
    }

    /// The same folder as another process finds it, with other settings.
    pub(crate) async fn as_other(&self, options: TargetOptions, existing: Existing) -> Self {
        Self::in_folder(Arc::clone(&self.keep), options, existing).await
    }

    pub(crate) fn path(&self) -> &Path {
        self.keep.path()
    }

    /// A run of a job, and its first lane for `notes`.
    pub(crate) async fn begin(&self, job: &str) -> (Claim, Box<dyn Lane>) {
        let claim = kiln_testkit::suites::ledger::begin(&*self.ledger(), job, "").await;
        let lane = self.lane(&claim, &[insert_notes()]).await.unwrap();
        (claim, lane)
    }

    pub(crate) async fn lane(&self, claim: &Claim, writes: &[Write]) -> Result<Box<dyn Lane>> {
        let key = key(&claim.run, 0, claim.epoch);
        Ok(self.sink.open(&key, writes, &notes::items()).await?.0)
    }

    /// Takes a run over.
    pub(crate) async fn claim(&self, old: &Claim) -> Claim {
        let lease = std::time::Duration::from_secs(60);
        let owner = Owner::default();
        self.ledger().claim(&old.run, old.epoch, &owner, lease, true).await.unwrap().unwrap()
    }

    /// What lies in the folder, what is hidden left out, sorted.
    pub(crate) fn shown(&self) -> Vec<String> {
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<String> = std::fs::read_dir(self.path())
            .unwrap()
            .map(name)
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    /// What lies aside.
    pub(crate) fn aside(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.path().join(".kiln/runs")];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for path in entries.map(|entry| entry.unwrap().path()) {
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }

    /// Asks the book, without kiln.
    pub(crate) fn book(&self, sql: &str) -> Vec<String> {
        let path = self.path().join(".kiln/ledger.db");
        let connection = rusqlite::Connection::open(path).unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

/// Commits a unit of notes whose items are all written.
pub(crate) async fn commit(lane: &mut Box<dyn Lane>, from: u64, items: usize) {
    match answer(lane, &notes::unit(from, &vec![Fate::Write; items], &[insert_notes()])).await {
        Settled::Committed(_) => {}
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn answer(lane: &mut Box<dyn Lane>, unit: &Unit) -> Settled {
    lane.submit(Arc::new(unit.clone())).await;
    lane.settle().await
}

/// The rows of a CSV file.
pub(crate) fn rows_of(path: &Path) -> Vec<Row> {
    let mut reader = ::csv::Reader::from_path(path).unwrap();
    let row = |record: ::csv::StringRecord| record.iter().map(|f| Some(f.to_owned())).collect();
    reader.records().map(|record| row(record.unwrap())).collect()
}

pub(crate) async fn fresh() -> Box<dyn TestTarget> {
    Box::new(Folder::new(csv(), Existing::Refuse).await)
}

#[async_trait]
impl TestTarget for Folder {
    fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink) as Arc<dyn Sink>
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        self.database.ledger()
    }

    fn catalog(&self, _: CatalogSpec) -> Arc<dyn Catalog> {
        panic!("files are no catalog")
    }

    async fn rows(&self, table: &str) -> Vec<Row> {
        let sql = format!("SELECT staged FROM kiln_parts WHERE table_name = '{table}'");
        self.book(&sql).iter().flat_map(|staged| rows_of(&self.path().join(staged))).collect()
    }

    async fn again(&self) -> Box<dyn TestTarget> {
        Box::new(self.as_other(csv(), Existing::Refuse).await)
    }
}
