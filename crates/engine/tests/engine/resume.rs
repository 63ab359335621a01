//! A run that ends before its time goes on where it was.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::{
    Probe, Sum, Watch, assert_complete, counts, fault, job, numbers, options, written,
};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use kiln::memory::MemoryTarget;
use kiln::typed;
use kiln::{
    ChunkLimits, Event, Fault, Items, Kind, Mapped, Mapper, Options, RunState, Source as _, Status,
    Stop,
};

/// A mapper that fails as a whole at this item, the first time.
fn trip_once_at(ordinal: u64) -> Probe {
    let tripped = AtomicBool::new(false);
    Probe::new().hook(move |o| {
        if o == ordinal && !tripped.swap(true, Ordering::SeqCst) {
            return Err(Fault::config("the mapper broke"));
        }
        Ok(())
    })
}

/// B1, B18: a run that fails at item 12 goes on at the begin of its chunk.
async fn fails_at_12_and_goes_on(chunk: usize, first_of_second_try: u64) {
    let target = MemoryTarget::new();
    let probe = trip_once_at(12);
    let report = job(&target, numbers(30), chunk).map(probe.boxed()).run().await;
    assert_eq!(report.status, Status::Failed);
    assert_eq!(fault(&report).message(), "the mapper broke");
    let done = first_of_second_try - 1;
    assert_eq!(report.counts, counts(done, 0, 0), "only committed work counts");
    assert_eq!(written(&target), (1..=done).collect::<Vec<_>>());
    probe.seen();

    let report = job(&target, numbers(30), chunk).map(probe.boxed()).run().await;
    assert!(report.resumed);
    assert_complete(&report, counts(30, 0, 0));
    assert_eq!(probe.seen(), (first_of_second_try..=30).collect::<Vec<_>>());
    assert_eq!(written(&target), (1..=30).collect::<Vec<_>>());
}

/// A mapper that changes the world it looks at, and breaks the first time.
struct Changing {
    world: Arc<AtomicU64>,
    /// The world as it was when the run began.
    began: Option<u64>,
    /// What it took for that, each time it mapped something.
    took: Arc<Mutex<Vec<Option<u64>>>>,
}

#[async_trait]
impl Mapper for Changing {
    fn schema(&self) -> SchemaRef {
        numbers(0).schema()
    }

    async fn open(&mut self) -> Result<(), Fault> {
        self.began.get_or_insert(self.world.load(Ordering::SeqCst));
        Ok(())
    }

    async fn map(&mut self, items: Items) -> Result<Mapped, Fault> {
        self.took.lock().unwrap().push(self.began);
        match self.world.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Fault::config("the mapper broke")),
            _ => Ok(Mapped::all(items)),
        }
    }

    fn save(&self) -> Option<Arc<[u8]>> {
        self.began.map(|began| Arc::from(began.to_string().as_bytes()))
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), Fault> {
        self.began = state.map(|s| std::str::from_utf8(s).unwrap().parse().unwrap());
        Ok(())
    }
}

/// B6: also where the very first chunk did not commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_mapper_knows_how_the_world_was_when_the_run_began() {
    for lanes in [1, 3] {
        let target = MemoryTarget::new();
        let (world, took) = (Arc::<AtomicU64>::default(), Arc::<Mutex<_>>::default());
        let start = async || {
            let mapper =
                Changing { world: Arc::clone(&world), began: None, took: Arc::clone(&took) };
            let options = Options { lanes, ..options(10) };
            job(&target, numbers(30), 10).map(Box::new(mapper)).options(options).run().await
        };
        let report = start().await;
        assert_eq!((report.status, report.chunks), (Status::Failed, 0));
        let report = start().await;
        assert_complete(&report, counts(30, 0, 0));
        assert!(took.lock().unwrap().iter().all(|began| *began == Some(0)), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_with_chunks_of_10_it_goes_on_at_11() {
    fails_at_12_and_goes_on(10, 11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b1_with_chunks_of_7_it_goes_on_at_8() {
    fails_at_12_and_goes_on(7, 8).await;
}

#[tokio::test]
async fn b2_a_job_needs_no_mapper_and_has_a_chunk_size_of_its_own() {
    let target = MemoryTarget::new();
    let n = ChunkLimits::DEFAULT_ITEMS as i64 + 1;
    let report = job(&target, numbers(n), 10).options(Options::default()).run().await;
    assert_complete(&report, counts(n as u64, 0, 0));
    assert_eq!(report.chunks, 2);
    assert_eq!(report.status, Status::Success);
}

#[tokio::test]
async fn b4_an_exact_multiple_of_the_chunk_writes_no_empty_chunk() {
    for (n, chunks) in [(0, 0), (1, 1), (10, 1), (11, 2), (30, 3)] {
        let target = MemoryTarget::new();
        let report = job(&target, numbers(n), 10).run().await;
        assert_complete(&report, counts(n as u64, 0, 0));
        assert_eq!((report.chunks, target.tried()), (chunks, chunks), "{n} items");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_the_state_of_a_mapper_survives() {
    let (broken, whole) = (MemoryTarget::new(), MemoryTarget::new());
    let run = async |target: &MemoryTarget, before: &Probe| {
        let mapper = typed::mapper(Sum::default()).unwrap();
        job(target, numbers(30), 7).map(before.boxed()).map(mapper).run().await
    };
    let probe = trip_once_at(17);
    assert_eq!(run(&broken, &probe).await.status, Status::Failed);
    assert_complete(&run(&broken, &probe).await, counts(24, 3, 3));
    assert_complete(&run(&whole, &Probe::new()).await, counts(24, 3, 3));
    assert_eq!(broken.rows("out"), whole.rows("out"));
    assert_eq!(whole.rows("out").last().unwrap()[2].as_deref(), Some("465"));
}

/// B10: asked to stop, it ends behind the chunk in hand, however much of the
/// source was read ahead.
async fn stops_and_goes_on(items: i64, after_chunks: u64) {
    let target = MemoryTarget::new();
    let (stopper, stop) = Stop::new();
    let committed = std::sync::atomic::AtomicU64::new(0);
    let watch = Watch(move |event: &Event| {
        if matches!(event, Event::Committed { .. })
            && committed.fetch_add(1, Ordering::SeqCst) + 1 == after_chunks
        {
            stopper.stop();
        }
    });
    let first = job(&target, numbers(items), 10).observe(Arc::new(watch)).stop_on(stop).run().await;
    assert_eq!(first.status, Status::Stopped, "{items} items: {:?}", first.fault);
    assert_eq!(fault(&first).kind(), Kind::Stopped);
    assert_eq!(first.counts, counts(after_chunks * 10, 0, 0));
    let record = target.ledger().newest("numbers", "").await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Stopped);

    let second = job(&target, numbers(items), 10).run().await;
    assert_eq!(second.run, first.run);
    assert!(second.resumed);
    assert_complete(&second, counts(items as u64, 0, 0));
    assert_eq!(written(&target), (1..=items as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn b10_a_stopped_run_is_resumed() {
    stops_and_goes_on(1000, 2).await;
}

#[tokio::test]
async fn b10_a_run_stopped_when_all_is_read_but_not_committed_is_resumed() {
    for items in [20, 30, 40] {
        stops_and_goes_on(items, 1).await;
    }
}

#[tokio::test]
async fn b10_a_stop_before_the_start_does_nothing() {
    let target = MemoryTarget::new();
    let (stopper, stop) = Stop::new();
    stopper.stop();
    let report = job(&target, numbers(30), 10).stop_on(stop).run().await;
    assert_eq!(report.status, Status::Stopped);
    assert!(written(&target).is_empty());
    assert_complete(&job(&target, numbers(30), 10).run().await, counts(30, 0, 0));
}

/// B24: broken off while bad items are taken out, with the mark in the middle
/// of a chunk, it goes on from there.
#[tokio::test]
async fn b24_a_run_broken_off_in_the_middle_of_isolation_goes_on() {
    for broken in 11..=20u64 {
        let armed = AtomicBool::new(true);
        let target = MemoryTarget::new().judge(move |_, row| {
            let n: u64 = row[0].as_deref().unwrap().parse().unwrap();
            // Item 13 is tried before and behind the break.
            if n == 13 {
                return Err(Fault::item("13 is bad"));
            }
            if n == broken && armed.swap(false, Ordering::SeqCst) {
                return Err(Fault::new(Kind::Io, "the disk broke"));
            }
            Ok(())
        });
        let first = job(&target, numbers(30), 10).run().await;
        assert_eq!(fault_kind(&first), (broken != 13).then_some(Kind::Io), "at {broken}");
        let second = job(&target, numbers(30), 10).run().await;
        assert_complete(&second, counts(29, 0, 1));
        let expected: Vec<u64> = (1..=30).filter(|n| *n != 13).collect();
        assert_eq!(written(&target), expected, "broken at {broken}");
    }
}

fn fault_kind(report: &kiln::Report) -> Option<Kind> {
    report.fault.as_ref().map(Fault::kind)
}
