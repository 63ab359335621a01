//! The database that keeps the book of a folder.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{Check, ChunkLimits, Ledger, Result, RunId, Sink, Source, TableName, TableSpec};

use super::part::{self, Part};

/// A database that keeps the marks, the dead letters and the parts of a target
/// of files. Its set-up script is [`parts_script`].
#[async_trait]
pub trait Book: Send + Sync {
    /// Takes the rows of parts, with the marks.
    fn sink(&self) -> Arc<dyn Sink>;

    /// The runs.
    fn ledger(&self) -> Arc<dyn Ledger>;

    /// Reads rows; what is asked for is [`parts_of`] a run.
    ///
    /// # Errors
    /// If the table can't be read.
    async fn open(&self, spec: &TableSpec) -> Result<Box<dyn Source>>;

    /// Looks whether it can be used, and writes nothing.
    async fn check(&self) -> Vec<Check> {
        check_book(self.sink().as_ref()).await
    }
}

/// Looks whether a database can take the rows of parts, and writes nothing.
pub async fn check_book(sink: &dyn Sink) -> Vec<Check> {
    sink.check(&[part::write()], &part::schema()).await
}

/// The statement that makes the book's table of parts, where it is missing.
pub fn parts_script() -> &'static str {
    part::SCRIPT
}

/// The parts of a run, as rows of the book.
pub fn parts_of(run: &RunId) -> TableSpec {
    let name = TableName { schema: None, name: part::TABLE.to_owned() };
    TableSpec {
        columns: part::columns().map(str::to_owned).collect(),
        filter: Some(format!("run = '{}'", run.0.replace('\'', "''"))),
        ..TableSpec::new(name)
    }
}

/// The committed parts of a run, by step, table and span.
pub(super) async fn read_parts(book: &dyn Book, run: &RunId) -> Result<Vec<Part>> {
    let mut source = book.open(&parts_of(run)).await?;
    let mut parts = Vec::new();
    while let Some(chunk) = source.next(&ChunkLimits::default()).await? {
        parts.extend(part::read(&chunk)?);
    }
    parts.sort_by(|a, b| {
        let key = |p: &Part| (p.step.clone(), p.table.clone(), p.span.from, p.lane);
        key(a).cmp(&key(b))
    });
    Ok(parts)
}
