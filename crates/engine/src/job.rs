//! A job, ready to run.

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use kiln_core::{
    ChunkLimits, Events, FailureLimit, Fault, Fingerprint, Ledger, Mapper, Observer, Result,
    RetryPolicy, STREAM, Sink, Source, Write, WriteColumn,
};

use crate::chain::Chain;
use crate::command::Command;
use crate::ranges::{self, Ranges};
use crate::report::Report;
use crate::statement::Statement;
use crate::stop::Stop;
use crate::when::Condition;

/// The name of the step of a job that has only one.
pub(crate) const MAIN: &str = "main";

/// How a job runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// When a chunk is full.
    pub chunk: ChunkLimits,
    /// How many lanes write side by side, at most. The target may have use for
    /// fewer; and where writes find their rows by different keys it is one.
    pub lanes: u32,
    /// How many steps run side by side, at most; those that wait for no other.
    pub steps: u32,
    /// How many items of a step may fail.
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
            lanes: 1,
            steps: 2,
            limit: FailureLimit::default(),
            retry: RetryPolicy::default(),
            lease: Duration::from_secs(30),
            again: false,
            accept_changed_input: false,
        }
    }
}

/// A step of a job: where its items come from, what becomes of them, where they
/// go.
pub struct Step {
    pub(crate) name: String,
    pub(crate) needs: Vec<String>,
    pub(crate) when: Option<Condition>,
    pub(crate) source: Box<dyn Source>,
    pub(crate) mapper: Chain,
    pub(crate) writes: Vec<Write>,
    pub(crate) doing: Doing,
    pub(crate) options: Option<Options>,
}

/// What a step does with its items in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It writes them.
    Writes,
    /// They are statements, and it runs them.
    Statements,
    /// It has only one, and runs a command for it.
    Command(Command),
}

impl Step {
    /// A step of this name (letters, digits, `_`, `-` and `.`) that reads
    /// `source`.
    pub fn new(name: impl Into<String>, source: Box<dyn Source>) -> Self {
        Self {
            name: name.into(),
            needs: Vec::new(),
            when: None,
            mapper: Chain::new(source.schema()),
            source,
            writes: Vec::new(),
            doing: Doing::Writes,
            options: None,
        }
    }

    /// A step that runs one statement of the target's own SQL, once: in one
    /// transaction with the mark that says so.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if the statement has names such as
    /// `:from`, for which there are no values.
    pub fn statement(name: impl Into<String>, statement: &Statement) -> Result<Self> {
        if let Some(unknown) = statement.names().next() {
            return Err(Fault::config(format!(
                "there is no value for :{unknown} in the statement"
            ))
            .with_hint(":from and :to are there where the statement is run by key"));
        }
        let source = Box::new(ranges::only(statement.as_str())?);
        Self::new(name, source).running_statements()
    }

    /// A step that runs a statement for each `size` keys of a table, each time in a
    /// transaction with the mark of how far it got. `keys` gives the keys in order:
    /// whole numbers, in its only column. In the statement `:from` is the last key
    /// before those that are meant, `:to` the last of them.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if the statement does not have both
    /// names, or others.
    pub fn statement_by_key(
        name: impl Into<String>,
        statement: Statement,
        keys: Box<dyn Source>,
        size: usize,
    ) -> Result<Self> {
        statement.bounds_itself()?;
        let source = Box::new(Ranges::new(statement, keys, size));
        Self::new(name, source).running_statements()
    }

    /// A step that runs a command. It is complete when the command exits with 0;
    /// if the process dies before that is kept, the command is run again: it is run
    /// at least once.
    ///
    /// # Errors
    /// None that its caller could mend.
    pub fn command(name: impl Into<String>, command: Command) -> Result<Self> {
        let source = Box::new(ranges::only(&command.name())?);
        Ok(Self { doing: Doing::Command(command), ..Self::new(name, source) })
    }

    fn running_statements(self) -> Result<Self> {
        Ok(Self { doing: Doing::Statements, writes: vec![Write::insert("statement")?], ..self })
    }

    /// It begins when the step of this name is complete.
    #[must_use]
    pub fn needs(mut self, step: impl Into<String>) -> Self {
        self.needs.push(step.into());
        self
    }

    /// It is done only if this holds once the steps that it needs have ended, else
    /// skipped: what needs it does not wait for it. That is decided once in a run.
    #[must_use]
    pub fn when(mut self, condition: Condition) -> Self {
        self.when = Some(condition);
        self
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

    /// How it runs, where that is not as its job does. What concerns the run as
    /// a whole (`steps`, `lease`, `again`, `accept_changed_input`) is the job's to
    /// say.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = Some(options);
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
                let names = schema.fields().iter().map(|f| f.name());
                write.columns = names.filter(|name| *name != STREAM).map(column).collect();
            }
            write
        };
        self.writes.iter().cloned().map(all).collect()
    }
}

/// A job: its steps, the target they write to, the book that is kept of it.
///
/// Most jobs have one step, and are put together from [`Job::new`],
/// [`map`](Job::map) and [`write`](Job::write). Of several steps each begins when
/// those that it [needs](Step::needs) are complete, else in the order in which they
/// were given, as many side by side as [`Options::steps`] says:
///
/// ```no_run
/// # use kiln::{Job, Ledger, Result, Sink, Source, Step, Write};
/// # use std::sync::Arc;
/// # async fn shop(artists: Box<dyn Source>, albums: Box<dyn Source>,
/// #     sink: Arc<dyn Sink>, ledger: Arc<dyn Ledger>) -> Result<()> {
/// let artist = Step::new("artist", artists).write(Write::insert("artist")?);
/// let album = Step::new("album", albums).needs("artist").write(Write::insert("album")?);
/// let report = Job::in_steps("shop", artist, sink, ledger).step(album).run().await;
/// # Ok(()) }
/// ```
pub struct Job {
    pub(crate) name: String,
    pub(crate) parameters: String,
    pub(crate) definition: Fingerprint,
    /// At least one.
    pub(crate) steps: Vec<Step>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) options: Options,
    pub(crate) events: Events,
    pub(crate) stop: Stop,
}

impl Job {
    /// A job of one step, called `main`: reads `source`, writes to `sink`,
    /// keeps its book in `ledger`. For rows and marks to commit together the
    /// ledger is that of the sink's database.
    pub fn new(
        name: impl Into<String>,
        source: Box<dyn Source>,
        sink: Arc<dyn Sink>,
        ledger: Arc<dyn Ledger>,
    ) -> Self {
        Self::in_steps(name, Step::new(MAIN, source), sink, ledger)
    }

    /// A job of several steps; more of them with [`step`](Self::step).
    pub fn in_steps(
        name: impl Into<String>,
        first: Step,
        sink: Arc<dyn Sink>,
        ledger: Arc<dyn Ledger>,
    ) -> Self {
        Self {
            name: name.into(),
            parameters: String::new(),
            definition: Fingerprint::default(),
            steps: vec![first],
            sink,
            ledger,
            options: Options::default(),
            events: Events::new(),
            stop: Stop::never(),
        }
    }

    /// One more step.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// One more mapper in the last step, behind those there are.
    #[must_use]
    pub fn map(self, mapper: Box<dyn Mapper>) -> Self {
        self.in_last(|step| step.map(mapper))
    }

    /// One more write in the last step. Without columns it takes all that an
    /// item has behind the last mapper.
    #[must_use]
    pub fn write(self, write: Write) -> Self {
        self.in_last(|step| step.write(write))
    }

    fn in_last(mut self, change: impl FnOnce(Step) -> Step) -> Self {
        let last = self.steps.pop().map(change);
        self.steps.extend(last);
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
    /// Parts that belong to a step have its name and `: ` before theirs.
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

    /// Runs it: starts a run, or goes on with one that did not finish.
    ///
    /// It never panics and has no error of its own: what went wrong is in the
    /// report.
    pub async fn run(self) -> Report {
        crate::run::run(self).await
    }
}
