//! A source as a table of a query.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion_common::DataFusionError;
use futures_util::stream::try_unfold;
use kiln_core::{Chunk, ChunkLimits, Fault, Fingerprint, Kind, Result, Source};

/// The rows that a query is handed at a time.
pub(super) const ROWS: usize = 1_024;

/// Opens a table's source, as often as the query reads it.
pub type OpenTable = dyn Fn() -> Result<Box<dyn Source>> + Send + Sync;

/// A table of a query: a source, and the name by which the SQL knows it.
pub struct QueryTable {
    pub(super) name: String,
    pub(super) schema: SchemaRef,
    pub(super) fingerprint: Fingerprint,
    open: Box<OpenTable>,
    /// The source that told the columns, until the first scan takes it.
    first: Mutex<Option<Box<dyn Source>>>,
}

impl QueryTable {
    /// Opens the source once, to know its columns.
    ///
    /// # Errors
    /// What `open` says.
    pub fn new(name: impl Into<String>, open: Box<OpenTable>) -> Result<Self> {
        let source = open()?;
        Ok(Self {
            name: name.into(),
            schema: source.schema(),
            fingerprint: source.fingerprint(),
            open,
            first: Mutex::new(Some(source)),
        })
    }

    /// As the planner knows it.
    pub(super) fn provider(self: &Arc<Self>) -> datafusion_common::Result<StreamingTable> {
        let scan = Arc::new(Scan(Arc::clone(self)));
        StreamingTable::try_new(Arc::clone(&self.schema), vec![scan])
    }

    /// The source at its start, and as it was.
    fn source(&self) -> Result<Box<dyn Source>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(source) = first {
            return Ok(source);
        }
        let source = (self.open)()?;
        if source.fingerprint() != self.fingerprint || source.schema() != self.schema {
            let what = format!("{} changed while the query read it", source.name());
            return Err(Fault::new(Kind::InputInvalid, what)
                .with_hint("let nobody change files while they are read; then run again"));
        }
        Ok(source)
    }

    /// The next rows. One bad record ends the query: what is joined or added up
    /// without it is another result.
    async fn rows(&self, source: &mut dyn Source) -> Result<Option<RecordBatch>> {
        let limits = ChunkLimits { items: ROWS, ..ChunkLimits::default() };
        match source.next(&limits).await? {
            None => Ok(None),
            Some(Chunk { items, failures, .. }) => match failures.first() {
                None => Ok(Some(items.batch)),
                Some(bad) => {
                    let origin = items.origins.origin(bad.ordinal);
                    let line = origin.line.map(|line| format!(":{line}")).unwrap_or_default();
                    let what = format!(
                        "table {}: {}{line}: {}",
                        self.name,
                        origin.source,
                        bad.fault.message()
                    );
                    Err(Fault::new(Kind::InputInvalid, what).with_hint(
                        "a query over a part of its input would be wrong; mend the record, or \
                         read the column as text and write TRY_CAST(… AS …) in the query, \
                         which gives NULL",
                    ))
                }
            },
        }
    }
}

impl fmt::Debug for QueryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryTable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A table as DataFusion reads it.
#[derive(Debug)]
struct Scan(Arc<QueryTable>);

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let table = Arc::clone(&self.0);
        let rows = try_unfold((table, None), |(table, source)| async move {
            let read = async {
                let mut source = match source {
                    Some(source) => source,
                    None => table.source()?,
                };
                let rows = table.rows(source.as_mut()).await?;
                Ok(rows.map(|rows| (rows, source)))
            };
            let read = read.await.map_err(|fault: Fault| DataFusionError::External(fault.into()));
            read.map(|next| next.map(|(rows, source)| (rows, (table, Some(source)))))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.0.schema), rows))
    }
}
