//! A folder of files as a target.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use kiln_core::{Check, Claim, Fault, Lane, LaneKey, Mark, Mode, Result, RunId, Sink, Write};

use super::book::{Book, read_parts};
use super::folder::Folder;
use super::format::TargetOptions;
use super::lane::{self, FileLane, Staging};
use super::local::LocalFolder;
use super::manifest::Manifest;
use super::part::{self, Part};
use super::{HIDDEN, MANIFEST};

/// The folder for what is not shown yet, of all runs.
const RUNS: &str = ".kiln/runs";

/// The folder for what is not shown yet, of a run.
pub(super) fn aside(run: &RunId) -> String {
    format!("{RUNS}/{}", super::name::safe(&run.0))
}

/// What becomes of the result of another run in the same folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// It stays, and the run is refused.
    #[default]
    Refuse,
    /// Its files go when the new ones are shown.
    Replace,
}

/// A folder as a target: each table of a unit is a part in it.
///
/// Only [`Mode::Insert`] has a meaning. There is one lane. Nothing is seen in
/// the folder before [`publish`](Sink::publish).
pub struct FileSink {
    pub(super) folder: Arc<dyn Folder>,
    options: Arc<TargetOptions>,
    pub(super) existing: Existing,
    pub(super) book: Arc<dyn Book>,
}

impl FileSink {
    /// Files in a folder of this machine, which is made when it is needed.
    pub fn in_folder(
        path: &Path,
        options: TargetOptions,
        existing: Existing,
        book: Arc<dyn Book>,
    ) -> Self {
        let folder = Arc::new(LocalFolder::new(path));
        Self { folder, options: Arc::new(options), existing, book }
    }

    /// Objects below the URL of an object store. The result of another run is
    /// never replaced there.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for what is no such URL, or where the environment does
    /// not say enough.
    #[cfg(feature = "cloud")]
    pub fn in_store(url: &str, options: TargetOptions, book: Arc<dyn Book>) -> Result<Self> {
        let folder = Arc::new(super::bucket::Bucket::new(url)?);
        Ok(Self { folder, options: Arc::new(options), existing: Existing::Refuse, book })
    }

    /// Says that this build has no object stores.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "cloud"))]
    pub fn in_store(url: &str, _: TargetOptions, _: Arc<dyn Book>) -> Result<Self> {
        Err(crate::store::refused(Path::new(url)))
    }

    /// Makes the folder, with what it hides.
    ///
    /// # Errors
    /// [`Kind::NotPermitted`](kiln_core::Kind::NotPermitted),
    /// [`Kind::Io`](kiln_core::Kind::Io).
    pub fn make(path: &Path) -> Result<()> {
        super::local::make(&path.join(HIDDEN))
    }

    /// The manifest in the folder, if it is of another run.
    pub(super) async fn other(&self, run: &RunId) -> Result<Option<Manifest>> {
        let Some(bytes) = self.folder.read(MANIFEST).await? else { return Ok(None) };
        let manifest = Manifest::read(&bytes, self.folder.shown())?;
        Ok((manifest.run != run.0).then_some(manifest))
    }

    /// Refuses a folder that holds the result of another run.
    async fn refuse_other(&self, run: &RunId) -> Result<()> {
        match self.other(run).await? {
            Some(other) if self.existing == Existing::Refuse => Err(self.is_taken(&other)),
            _ => Ok(()),
        }
    }

    pub(super) fn is_taken(&self, other: &Manifest) -> Fault {
        let (place, run, job) = (self.folder.shown(), &other.run, &other.job);
        Fault::config(format!("{place} holds the result of run {run} of job {job}")).with_hint(
            "name another folder, for example by a parameter; or let this run's files take the \
             place of those: existing = \"replace\"",
        )
    }

    /// Refuses to go on with parts of another kind than those there are.
    fn refuse_other_layout(
        &self,
        key: &LaneKey,
        tables: &[Table<'_>],
        parts: &[Part],
    ) -> Result<()> {
        for Table { write, columns } in tables {
            let (name, layout) =
                (write.table.to_string(), self.options.layout(columns).to_string());
            let odd = |p: &&Part| p.step == key.step && p.table == name && p.layout != layout;
            if parts.iter().any(|part| odd(&part)) {
                return Err(Fault::config(format!(
                    "the columns or the format of {name} changed since the run began, and its \
                     parts must be alike"
                ))
                .with_hint("put the job back as it was, or start a new run with --again"));
            }
        }
        Ok(())
    }

    /// Removes what a lane has aside that was never committed. Whoever wrote it
    /// can't commit it any more.
    async fn sweep(&self, key: &LaneKey, parts: &[Part]) -> Result<()> {
        let committed: HashSet<&str> = parts.iter().map(|part| part.staged.as_str()).collect();
        for name in self.folder.list(&lane::aside(key)).await? {
            if !committed.contains(name.as_str()) {
                self.folder.remove(&name).await?;
            }
        }
        Ok(())
    }
}

/// A write, and the columns of its rows.
struct Table<'a> {
    write: &'a Write,
    columns: Schema,
}

fn tables<'a>(writes: &'a [Write], items: &SchemaRef) -> Result<Vec<Table<'a>>> {
    let table = |write: &'a Write| {
        only_inserts(write)?;
        let field = |column: &kiln_core::WriteColumn| {
            let field = items.field_with_name(&column.from).map_err(|_| {
                Fault::config(format!("{}: items have no column {:?}", write.table, column.from))
            })?;
            Ok(Field::new(&column.column, field.data_type().clone(), true))
        };
        let columns = write.columns.iter().map(field).collect::<Result<Vec<_>>>()?;
        Ok(Table { write, columns: Schema::new(columns) })
    };
    writes.iter().map(table).collect()
}

fn only_inserts(write: &Write) -> Result<()> {
    match write.mode {
        Mode::Insert => Ok(()),
        mode => Err(Fault::config(format!("files have no mode {}", mode.as_str())).with_hint(
            "rows of files are only ever added: leave the mode out, or write to a database",
        )),
    }
}

impl FileSink {
    fn check_table(&self, table: &Table<'_>, all: &[Write]) -> Result<()> {
        let name = &table.write.table;
        if all.iter().filter(|other| other.table == *name).count() > 1 {
            return Err(Fault::config(format!("two writes are called {name}"))
                .with_hint("each becomes files of its own: give one of them another name"));
        }
        self.options.check(&table.columns)
    }

    fn check_required(&self, tables: &[Table<'_>]) -> Result<()> {
        let known = |name: &String| tables.iter().any(|t| t.columns.index_of(name).is_ok());
        match self.options.required.iter().find(|name| !known(name)) {
            None => Ok(()),
            Some(name) => {
                Err(Fault::config(format!("no write has the required column {name}"))
                    .with_column(name))
            }
        }
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn check(&self, writes: &[Write], items: &SchemaRef) -> Vec<Check> {
        let mut checks = vec![self.folder.check().await];
        checks.extend(self.book.check().await);
        let tables = match tables(writes, items) {
            Ok(tables) => tables,
            Err(fault) => {
                checks.push(Check::fail("files", fault));
                return checks;
            }
        };
        for table in &tables {
            let what = format!("files of {}", table.write.table);
            checks.push(match self.check_table(table, writes) {
                Ok(()) => Check::pass(what),
                Err(fault) => Check::fail(what, fault),
            });
        }
        if let Err(fault) = self.check_required(&tables) {
            checks.push(Check::fail("required columns", fault));
        }
        checks
    }

    /// One: a second would only share out the rows among more files.
    async fn max_lanes(&self, _: &[Write], _: &SchemaRef) -> Result<u32> {
        Ok(1)
    }

    async fn open(
        &self,
        key: &LaneKey,
        writes: &[Write],
        items: &SchemaRef,
    ) -> Result<(Box<dyn Lane>, Mark)> {
        let tables = tables(writes, items)?;
        let (marks, mark) = self.book.sink().open(key, &[part::write()], &part::schema()).await?;
        self.refuse_other(&key.run).await?;
        let parts = read_parts(self.book.as_ref(), &key.run).await?;
        self.refuse_other_layout(key, &tables, &parts)?;
        self.sweep(key, &parts).await?;
        let staging = Staging {
            folder: Arc::clone(&self.folder),
            options: Arc::clone(&self.options),
            key: key.clone(),
            tables: writes.iter().map(|write| write.table.clone()).collect(),
        };
        Ok((Box::new(FileLane::new(staging, marks)), mark))
    }

    async fn publish(&self, claim: &Claim, job: &str) -> Result<()> {
        self.show_run(claim, job).await
    }
}
