//! A job over numbers, each of its parts under the test's control.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::{BooleanArray, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use kiln::memory::{MemorySource, MemoryTarget};
use kiln::typed::{Outcome, TypedMapper};
use kiln::{
    Chunk, ChunkLimits, Counts, Duplicates, Event, Failure, Fault, Fingerprint, Items, Job, Mapped,
    Mapper, Mode, Observer, Options, Position, Progress, Report, Result, RetryPolicy, Source,
    Stage, TableName, Write,
};
use serde::{Deserialize, Serialize};

/// The numbers 1 to n: the number of an item is its ordinal.
pub(crate) fn numbers(n: i64) -> MemorySource {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    let column = Arc::new((1..=n).collect::<Int64Array>());
    MemorySource::new("numbers", RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap())
}

/// Inserts all that an item has into `out`.
pub(crate) fn into_out() -> Write {
    Write {
        table: TableName { schema: None, name: "out".to_owned() },
        stream: None,
        mode: Mode::Insert,
        columns: Vec::new(),
        key: Vec::new(),
        on_duplicate: Duplicates::default(),
    }
}

/// Chunks of so many items; retries that don't keep a test waiting.
pub(crate) fn options(chunk: usize) -> Options {
    Options {
        chunk: ChunkLimits { items: chunk, ..ChunkLimits::default() },
        retry: RetryPolicy {
            retries: 5,
            base: Duration::from_millis(1),
            most: Duration::from_millis(2),
        },
        ..Options::default()
    }
}

/// Numbers into `out`, in chunks.
pub(crate) fn job(target: &MemoryTarget, source: impl Source + 'static, chunk: usize) -> Job {
    Job::new("numbers", Box::new(source), target.sink(), target.ledger())
        .write(into_out())
        .options(options(chunk))
}

/// The numbers in `out`, in the order they were committed.
pub(crate) fn written(target: &MemoryTarget) -> Vec<u64> {
    let number = |row: &Vec<Option<String>>| row[0].as_deref().unwrap().parse().unwrap();
    target.rows("out").iter().map(number).collect()
}

/// The fault of a run that failed.
pub(crate) fn fault(report: &Report) -> &Fault {
    report.fault.as_ref().unwrap_or_else(|| panic!("the run did not fail: {report:?}"))
}

/// That it ended well, with these counts.
pub(crate) fn assert_complete(report: &Report, counts: Counts) {
    assert!(report.fault.is_none(), "{:?}", report.fault);
    assert_eq!(report.counts, counts);
}

/// Counts of a run without duplicates.
pub(crate) fn counts(processed: u64, filtered: u64, failed: u64) -> Counts {
    Counts { read: processed + filtered + failed, processed, filtered, duplicate: 0, failed }
}

/// A target that refuses these numbers.
pub(crate) fn refusing(bad: impl IntoIterator<Item = u64>) -> MemoryTarget {
    let bad: BTreeSet<u64> = bad.into_iter().collect();
    MemoryTarget::new().judge(move |_, row| {
        let n: u64 = row[0].as_deref().unwrap_or_default().parse().unwrap();
        if bad.contains(&n) { Err(Fault::item(format!("{n} is bad"))) } else { Ok(()) }
    })
}

type Hook = dyn Fn(u64) -> Result<()> + Send + Sync;

/// A mapper that gives what it gets, less what it is told to drop or refuse,
/// and remembers what it saw. Clones share what they saw.
#[derive(Clone)]
pub(crate) struct Probe {
    pub(crate) seen: Arc<Mutex<Vec<u64>>>,
    filter: Vec<u64>,
    fail: Vec<u64>,
    lose: Vec<u64>,
    hook: Arc<Hook>,
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self {
            seen: Arc::default(),
            filter: Vec::new(),
            fail: Vec::new(),
            lose: Vec::new(),
            hook: Arc::new(|_| Ok(())),
        }
    }

    /// Drops these on purpose.
    pub(crate) fn filter(mut self, ordinals: impl IntoIterator<Item = u64>) -> Self {
        self.filter = ordinals.into_iter().collect();
        self
    }

    /// Refuses these.
    pub(crate) fn fail(mut self, ordinals: impl IntoIterator<Item = u64>) -> Self {
        self.fail = ordinals.into_iter().collect();
        self
    }

    /// Loses these: neither given, filtered nor failed.
    pub(crate) fn lose(mut self, ordinals: impl IntoIterator<Item = u64>) -> Self {
        self.lose = ordinals.into_iter().collect();
        self
    }

    /// Asks this for each item; an error is the error of the whole call.
    pub(crate) fn hook(mut self, hook: impl Fn(u64) -> Result<()> + Send + Sync + 'static) -> Self {
        self.hook = Arc::new(hook);
        self
    }

    pub(crate) fn seen(&self) -> Vec<u64> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    pub(crate) fn boxed(&self) -> Box<dyn Mapper> {
        self.behind(numbers(0).schema())
    }

    /// As a mapper of items that another mapper gave.
    pub(crate) fn behind(&self, schema: SchemaRef) -> Box<dyn Mapper> {
        Box::new(Passing { schema, probe: self.clone() })
    }
}

struct Passing {
    schema: SchemaRef,
    probe: Probe,
}

#[async_trait]
impl Mapper for Passing {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let probe = &self.probe;
        // A hook may wait for somebody; on this runtime others go on meanwhile.
        tokio::task::block_in_place(|| items.ordinals.iter().try_for_each(|o| (probe.hook)(*o)))?;
        probe.seen.lock().unwrap().extend(&items.ordinals);
        let of = |these: &[u64]| -> Vec<u64> {
            items.ordinals.iter().copied().filter(|o| these.contains(o)).collect()
        };
        let (filtered, failed, lost) = (of(&probe.filter), of(&probe.fail), of(&probe.lose));
        let gone: BTreeSet<u64> = filtered.iter().chain(&failed).chain(&lost).copied().collect();
        let keep: Vec<bool> = items.ordinals.iter().map(|o| !gone.contains(o)).collect();
        let failure = |ordinal| Failure {
            ordinal,
            stage: Stage::Map,
            fault: Fault::item(format!("{ordinal} can't be mapped")),
        };
        Ok(Mapped {
            items: items.filter(&BooleanArray::from(keep))?,
            filtered,
            failures: failed.into_iter().map(failure).collect(),
            warnings: Vec::new(),
        })
    }
}

/// A source some of whose records can't be read.
pub(crate) struct Torn {
    pub(crate) inner: MemorySource,
    pub(crate) bad: Vec<u64>,
}

#[async_trait]
impl Source for Torn {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.inner.fingerprint()
    }

    async fn seek(&mut self, position: &Position) -> Result<()> {
        self.inner.seek(position).await
    }

    async fn next(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        let Some(mut chunk) = self.inner.next(limits).await? else { return Ok(None) };
        let bad = |o: &u64| self.bad.contains(o);
        let failure = |ordinal| Failure {
            ordinal,
            stage: Stage::Parse,
            fault: Fault::item(format!("{ordinal} can't be read")),
        };
        chunk.failures =
            chunk.items.ordinals.iter().copied().filter(|o| bad(o)).map(failure).collect();
        let keep: Vec<bool> = chunk.items.ordinals.iter().map(|o| !bad(o)).collect();
        chunk.items = chunk.items.filter(&BooleanArray::from(keep))?;
        Ok(Some(chunk))
    }

    fn progress(&self) -> Progress {
        self.inner.progress()
    }
}

/// Remembers all events.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Recorder {
    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// Does something at each event.
pub(crate) struct Watch<F>(pub(crate) F);

impl<F: Fn(&Event) + Send + Sync> Observer for Watch<F> {
    fn observe(&self, event: &Event) {
        self.0(event);
    }
}

/// A number as a struct.
#[derive(Serialize, Deserialize)]
pub(crate) struct Number {
    n: i64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Running {
    n: i64,
    nth: i64,
    sum: i64,
}

/// Numbers what it sees, and adds it up: a mapper whose state matters.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Sum {
    nth: i64,
    sum: i64,
}

impl TypedMapper for Sum {
    type In = Number;
    type Out = Running;

    fn map(&mut self, item: Number) -> Outcome<Running> {
        self.nth += 1;
        self.sum += item.n;
        match item.n % 10 {
            4 => Outcome::Filter,
            7 => Outcome::Fail("a seven".to_owned()),
            _ => Outcome::Give(Running { n: item.n, nth: self.nth, sum: self.sum }),
        }
    }
}
