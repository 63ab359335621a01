//! A job, ready to run.

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use kiln_core::{
    ChunkLimits, Events, FailureLimit, Fault, Fingerprint, Items, Ledger, Mapped, Mapper, Observer,
    Result, RetryPolicy, RunId, Sink, Source, Write, WriteColumn,
};

use crate::report::Report;
use crate::stop::Stop;

/// How a job runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// When a chunk is full.
    pub chunk: ChunkLimits,
    /// How many items may fail.
    pub limit: FailureLimit,
    /// How transient faults are tried again.
    pub retry: RetryPolicy,
    /// For how long a run is held without a heartbeat; at least a second.
    pub lease: Duration,
    /// Start a new run where the newest one is complete, or give it up where it
    /// is not.
    pub again: bool,
    /// Go on although the input's size or content changed since the run began.
    pub accept_changed_input: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chunk: ChunkLimits::default(),
            limit: FailureLimit::default(),
            retry: RetryPolicy::default(),
            lease: Duration::from_secs(30),
            again: false,
            accept_changed_input: false,
        }
    }
}

/// A job: where items come from, what becomes of them, where they go.
pub struct Job {
    pub(crate) name: String,
    pub(crate) parameters: String,
    pub(crate) definition: Fingerprint,
    pub(crate) source: Box<dyn Source>,
    pub(crate) mapper: Chain,
    pub(crate) writes: Vec<Write>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) options: Options,
    pub(crate) events: Events,
    pub(crate) stop: Stop,
}

impl Job {
    /// A job of this name: reads `source`, writes to `sink`, keeps its book in
    /// `ledger`. For rows and marks to commit together the ledger is that of
    /// the sink's database.
    pub fn new(
        name: impl Into<String>,
        source: Box<dyn Source>,
        sink: Arc<dyn Sink>,
        ledger: Arc<dyn Ledger>,
    ) -> Self {
        Self {
            name: name.into(),
            parameters: String::new(),
            definition: Fingerprint::default(),
            mapper: Chain::new(source.schema()),
            source,
            writes: Vec::new(),
            sink,
            ledger,
            options: Options::default(),
            events: Events::new(),
            stop: Stop::never(),
        }
    }

    /// One more mapper, behind those there are.
    #[must_use]
    pub fn map(mut self, mapper: Box<dyn Mapper>) -> Self {
        self.mapper.push(mapper);
        self
    }

    /// One more write. Without columns it takes all that an item has behind the
    /// last mapper.
    #[must_use]
    pub fn write(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// What tells this run from others of the job. Secrets have no place here:
    /// it is stored.
    #[must_use]
    pub fn parameters(mut self, parameters: impl Into<String>) -> Self {
        self.parameters = parameters.into();
        self
    }

    /// What the job looks like, so that a resumed run can tell what changed.
    #[must_use]
    pub fn definition(mut self, definition: Fingerprint) -> Self {
        self.definition = definition;
        self
    }

    /// How it runs.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// One more watches its events.
    #[must_use]
    pub fn observe(mut self, observer: Arc<dyn Observer>) -> Self {
        self.events = self.events.with(observer);
        self
    }

    /// Stops when asked through `stop`.
    #[must_use]
    pub fn stop_on(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// The columns of items behind the last mapper.
    pub fn schema(&self) -> SchemaRef {
        self.mapper.schema()
    }

    /// The writes with their columns filled in: an empty list of columns stands
    /// for all of the item's.
    pub fn resolved_writes(&self) -> Vec<Write> {
        let schema = self.schema();
        let all = |mut write: Write| {
            if write.columns.is_empty() {
                let column =
                    |name: &String| WriteColumn { column: name.clone(), from: name.clone() };
                write.columns = schema.fields().iter().map(|f| column(f.name())).collect();
            }
            write
        };
        self.writes.iter().cloned().map(all).collect()
    }

    /// Runs it: starts a run, or goes on with one that did not finish.
    ///
    /// It never panics and has no error of its own: what went wrong is in the
    /// report.
    pub async fn run(self) -> Report {
        crate::run::run(self).await
    }
}

/// Mappers one behind the other, as one mapper.
pub struct Chain {
    first: SchemaRef,
    mappers: Vec<Box<dyn Mapper>>,
}

impl Chain {
    /// No mapper yet: items of this schema pass as they are.
    pub fn new(schema: SchemaRef) -> Self {
        Self { first: schema, mappers: Vec::new() }
    }

    /// One more, behind the others.
    pub fn push(&mut self, mapper: Box<dyn Mapper>) {
        self.mappers.push(mapper);
    }
}

#[async_trait]
impl Mapper for Chain {
    fn schema(&self) -> SchemaRef {
        self.mappers.last().map_or_else(|| Arc::clone(&self.first), |m| m.schema())
    }

    fn begin(&mut self, run: &RunId) {
        self.mappers.iter_mut().for_each(|m| m.begin(run));
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let mut all = Mapped { items, filtered: Vec::new(), failures: Vec::new() };
        for mapper in &mut self.mappers {
            let step = mapper.map(all.items).await?;
            all.items = step.items;
            all.filtered.extend(step.filtered);
            all.failures.extend(step.failures);
        }
        all.filtered.sort_unstable();
        all.failures.sort_by_key(|f| f.ordinal);
        Ok(all)
    }

    /// The states of those that keep one, as a JSON array of byte arrays and
    /// nulls; none if none keeps one.
    fn save(&self) -> Option<Arc<[u8]>> {
        let states: Vec<Option<Arc<[u8]>>> = self.mappers.iter().map(|m| m.save()).collect();
        if states.iter().all(Option::is_none) {
            return None;
        }
        let states: Vec<Option<&[u8]>> = states.iter().map(|s| s.as_deref()).collect();
        serde_json::to_vec(&states).ok().map(Arc::from)
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<()> {
        let states: Vec<Option<Vec<u8>>> = match state {
            None => vec![None; self.mappers.len()],
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|e| Fault::config(format!("the saved state can't be read: {e}")))?,
        };
        if states.len() != self.mappers.len() {
            return Err(Fault::config("the saved state is of a job with other mappers")
                .with_hint("start a new run with --again"));
        }
        self.mappers.iter_mut().zip(&states).try_for_each(|(m, s)| m.restore(s.as_deref()))
    }
}
