//! What a run does with sources that fail for a moment, or that read only what
//! is new.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use kiln::memory::{MemorySource, MemoryTarget};
use kiln::{
    Chunk, ChunkLimits, Fault, Fingerprint, Items, Job, Kind, NoOrigins, Options, Position,
    Progress, Result, SINCE, Source,
};

use crate::common::{Probe, assert_complete, counts, fault, job, numbers, options, written};

/// Fails at every other call, when it has read on already.
struct Flaky {
    inner: MemorySource,
    calls: u32,
    fault: fn() -> Fault,
}

impl Flaky {
    fn new(items: i64, fault: fn() -> Fault) -> Self {
        Self { inner: numbers(items), calls: 0, fault }
    }
}

#[async_trait]
impl Source for Flaky {
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
        self.calls += 1;
        let chunk = self.inner.next(limits).await?;
        if self.calls.is_multiple_of(2) { Ok(chunk) } else { Err((self.fault)()) }
    }

    fn progress(&self) -> Progress {
        self.inner.progress()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b15_a_moment_of_the_source_is_waited_for() {
    let target = MemoryTarget::new();
    let source = Flaky::new(30, || Fault::new(Kind::Unreachable, "gone for a moment"));
    let report = job(&target, source, 7).run().await;
    assert_complete(&report, counts(30, 0, 0));
    assert_eq!(written(&target), (1..=30).collect::<Vec<_>>());
    assert_eq!(report.retries, 6, "five chunks and the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_wrong_is_not_asked_again() {
    let target = MemoryTarget::new();
    let source = Flaky::new(30, || Fault::config("no such column"));
    let report = job(&target, source, 7).run().await;
    assert_eq!((fault(&report).kind(), report.retries), (Kind::Config, 0));
}

/// A growing row of numbers, of which only the new ones are read.
struct Growing {
    there: Arc<AtomicI64>,
    since: i64,
    at: i64,
}

impl Growing {
    fn new(there: &Arc<AtomicI64>) -> Self {
        Self { there: Arc::clone(there), since: 0, at: 0 }
    }

    fn position(&self) -> Position {
        let ordinal = u64::try_from(self.at - self.since).unwrap();
        let place = if ordinal == 0 { String::new() } else { self.at.to_string() };
        Position { ordinal, place }
    }
}

fn number(place: &str) -> Result<i64> {
    if place.is_empty() {
        return Ok(0);
    }
    place.parse().map_err(|_| Fault::config(format!("{place} is no place")))
}

#[async_trait]
impl Source for Growing {
    fn name(&self) -> &str {
        "growing"
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
    }

    fn fingerprint(&self) -> Fingerprint {
        let since = if self.since == 0 { String::new() } else { self.since.to_string() };
        Fingerprint::default().with("table", "growing").with(SINCE, since)
    }

    fn start_behind(&mut self, place: &str) -> Result<bool> {
        self.since = number(place)?;
        self.at = self.since;
        Ok(true)
    }

    async fn seek(&mut self, position: &Position) -> Result<()> {
        self.at = if position.ordinal == 0 { self.since } else { number(&position.place)? };
        Ok(())
    }

    async fn next(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        let start = self.position();
        let most = self.at + i64::try_from(limits.items).unwrap();
        let to = self.there.load(Ordering::SeqCst).min(most);
        let values: Int64Array = (self.at + 1..=to).collect();
        if values.is_empty() {
            return Ok(None);
        }
        self.at = to;
        let end = self.position();
        let batch = RecordBatch::try_new(self.schema(), vec![Arc::new(values)]).unwrap();
        let ordinals = (start.ordinal + 1..=end.ordinal).collect();
        let items = Items { batch, ordinals, origins: Arc::new(NoOrigins) };
        Ok(Some(Chunk { start, end, items, failures: Vec::new() }))
    }

    fn progress(&self) -> Progress {
        Progress { done: self.position().ordinal, total: None }
    }
}

fn growing(target: &MemoryTarget, there: &Arc<AtomicI64>) -> Job {
    job(target, Growing::new(there), 4)
}

/// Breaks at its fifth item.
fn breaking(target: &MemoryTarget, there: &Arc<AtomicI64>) -> Job {
    let probe = Probe::new().hook(|o| if o == 5 { Err(Fault::config("broken")) } else { Ok(()) });
    growing(target, there).map(probe.boxed())
}

fn upto(n: u64) -> Vec<u64> {
    (1..=n).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_reads_what_is_new_since_the_one_before() {
    let (target, there) = (MemoryTarget::new(), Arc::new(AtomicI64::new(0)));
    let mut all = 0;
    for more in [0, 10, 0, 5, 0, 0, 1] {
        all += more;
        there.store(all, Ordering::SeqCst);
        let report = growing(&target, &there).run().await;
        assert!(!report.already_complete, "what is new is always looked for");
        assert_complete(&report, counts(u64::try_from(more).unwrap(), 0, 0));
    }
    assert_eq!(written(&target), upto(16));
    assert_eq!(target.ledger().runs(None, 100).await.unwrap().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_broke_goes_on_from_where_it_began() {
    let (target, there) = (MemoryTarget::new(), Arc::new(AtomicI64::new(10)));
    growing(&target, &there).run().await;
    there.store(20, Ordering::SeqCst);
    for _ in 0..2 {
        let report = breaking(&target, &there).run().await;
        assert_eq!(fault(&report).message(), "broken");
    }
    there.store(30, Ordering::SeqCst);
    let report = growing(&target, &there).run().await;
    assert!(report.resumed);
    assert_complete(&report, counts(20, 0, 0));
    assert_eq!(written(&target), upto(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_broke_before_its_first_item_begins_there_again() {
    let (target, there) = (MemoryTarget::new(), Arc::new(AtomicI64::new(10)));
    growing(&target, &there).run().await;
    there.store(20, Ordering::SeqCst);
    let probe = Probe::new().hook(|_| Err(Fault::config("broken")));
    growing(&target, &there).map(probe.boxed()).run().await;
    let report = growing(&target, &there).run().await;
    assert_complete(&report, counts(10, 0, 0));
    assert_eq!(written(&target), upto(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn again_reads_everything() {
    let (target, there) = (MemoryTarget::new(), Arc::new(AtomicI64::new(3)));
    growing(&target, &there).run().await;
    let again = Options { again: true, ..options(4) };
    let report = growing(&target, &there).options(again).run().await;
    assert_complete(&report, counts(3, 0, 0));
    assert_eq!(written(&target), [1, 2, 3, 1, 2, 3]);
    let report = growing(&target, &there).run().await;
    assert_complete(&report, counts(0, 0, 0));
}

/// Twenty numbers in an order that each start decides anew.
struct Dealt {
    starts: Arc<AtomicI64>,
    /// The number that comes first, once that is decided, and how many were given.
    at: Option<(i64, i64)>,
}

impl Dealt {
    fn position(&self) -> Position {
        let (first, given) = self.at.expect("a source that has started");
        Position { ordinal: u64::try_from(given).unwrap(), place: format!("{first}:{given}") }
    }
}

#[async_trait]
impl Source for Dealt {
    fn name(&self) -> &str {
        "dealt"
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::default().with("table", "dealt")
    }

    async fn start(&mut self) -> Result<Position> {
        self.at = Some((self.starts.fetch_add(7, Ordering::SeqCst), 0));
        Ok(self.position())
    }

    async fn seek(&mut self, position: &Position) -> Result<()> {
        let (first, given) = position.place.split_once(':').expect("a place");
        self.at = Some((first.parse().unwrap(), given.parse().unwrap()));
        Ok(())
    }

    async fn next(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        let (start, (first, given)) = (self.position(), self.at.expect("a place"));
        let to = (given + i64::try_from(limits.items).unwrap()).min(20);
        let values: Int64Array = (given..to).map(|n| (first + n) % 20 + 1).collect();
        if values.is_empty() {
            return Ok(None);
        }
        self.at = Some((first, to));
        let end = self.position();
        let batch = RecordBatch::try_new(self.schema(), vec![Arc::new(values)]).unwrap();
        let ordinals = (start.ordinal + 1..=end.ordinal).collect();
        let items = Items { batch, ordinals, origins: Arc::new(NoOrigins) };
        Ok(Some(Chunk { start, end, items, failures: Vec::new() }))
    }

    fn progress(&self) -> Progress {
        Progress { done: self.position().ordinal, total: Some(20) }
    }
}

/// The order that a run began with is kept before its first item is done: it is
/// decided once, wherever the run broke and whatever lanes it had.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_decided_once() {
    for (broken, lanes, later) in [(1, 1, 1), (5, 1, 1), (3, 2, 2), (12, 2, 1), (14, 3, 2)] {
        let (target, starts) = (MemoryTarget::new(), Arc::new(AtomicI64::new(0)));
        let dealt = |lanes| {
            let source = Dealt { starts: Arc::clone(&starts), at: None };
            job(&target, source, 4).options(Options { lanes, ..options(4) })
        };
        let breaks = move |o| if o == broken { Err(Fault::config("broken")) } else { Ok(()) };
        let report = dealt(lanes).map(Probe::new().hook(breaks).boxed()).run().await;
        assert_eq!(fault(&report).message(), "broken");
        let report = dealt(later).run().await;
        assert!(report.resumed);
        assert_complete(&report, counts(20, 0, 0));
        let mut all = written(&target);
        all.sort_unstable();
        assert_eq!(all, upto(20), "broken at {broken}");
        assert_eq!(starts.load(Ordering::SeqCst), 7, "broken at {broken}");
    }
}
