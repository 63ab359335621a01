//! Dead letters of an earlier run as a source.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use kiln::memory::MemoryTarget;
use kiln::{
    DeadLetter, DeadLetterSource, Fault, Fingerprint, Job, Kind, Options, RawReader, Redriven,
    Result, RunRecord, Source, Stage, Which,
};

use crate::common::{into_out, job, numbers, options, written};

/// `{"n":3}`, as [`MemorySource`](kiln::memory::MemorySource) keeps its rows.
struct Numbers;

impl RawReader for Numbers {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
    }

    fn read(&mut self, letter: &DeadLetter) -> Result<RecordBatch> {
        let digits = letter.origin.raw.trim_matches(|c: char| !c.is_ascii_digit());
        let n: i64 = digits.parse().map_err(|_| Fault::item("no number"))?;
        if n % 4 == 0 {
            return Err(Fault::item(format!("{n} can't be read again")).with_code("four"));
        }
        let column = Arc::new(Int64Array::from(vec![n]));
        RecordBatch::try_new(self.schema(), vec![column]).map_err(|e| Fault::bug(e.to_string()))
    }
}

/// A run whose dead letters are read.
pub(crate) struct Failed {
    pub(crate) target: MemoryTarget,
    pub(crate) run: RunRecord,
}

/// A complete run of which all items failed.
pub(crate) async fn all_failed(items: i64) -> Failed {
    let target = MemoryTarget::new();
    refuse(&target, |_| true);
    let report = job(&target, numbers(items), 4).run().await;
    assert_eq!(report.counts.failed, items as u64, "{report:?}");
    let run = target.ledger().newest("numbers", "").await.unwrap().unwrap();
    Failed { target, run }
}

fn refuse(target: &MemoryTarget, bad: impl Fn(u64) -> bool + Send + Sync + 'static) {
    let judge = move |_: &str, row: &Vec<Option<String>>| {
        let n: u64 = row[0].as_deref().unwrap().parse().unwrap();
        if bad(n) { Err(Fault::item(format!("{n} is refused")).with_code("no")) } else { Ok(()) }
    };
    let _ = target.clone().judge(judge);
}

impl Failed {
    async fn source(&self, which: Which) -> Result<DeadLetterSource> {
        let columns = Fingerprint::default().with("columns", "n");
        let ledger = self.target.ledger();
        DeadLetterSource::open(ledger, &self.run, "main", &which, columns, Box::new(Numbers)).await
    }

    /// All of them.
    pub(crate) fn open(&self) -> DeadLetterSource {
        let opened = self.source(Which::default());
        at_once(opened).unwrap()
    }

    async fn redrive(&self, which: Which, options: Options) -> kiln::Report {
        let source = Box::new(self.source(which).await.unwrap());
        Job::new("numbers", source, self.target.sink(), self.target.ledger())
            .parameters("again")
            .write(into_out())
            .options(options)
            .run()
            .await
    }

    async fn redriven(&self) -> Vec<u64> {
        let redriven = self.target.ledger().redriven(&self.run.start.id, "main").await.unwrap();
        redriven.into_iter().map(|Redriven { ordinal, .. }| ordinal).collect()
    }
}

/// What is in memory is there at once.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a ledger in memory does not wait"),
    }
}

/// B22: what fits now is written, what does not is a dead letter of the new run with
/// the origin it had.
#[tokio::test]
async fn letters_are_written_or_fail_again() {
    let failed = all_failed(10).await;
    refuse(&failed.target, |n| n == 5);
    let report = failed.redrive(Which::default(), options(3)).await;
    let counts = report.counts;
    assert_eq!((counts.read, counts.processed, counts.failed), (10, 7, 3), "{report:?}");
    assert_eq!(written(&failed.target), [1, 2, 3, 6, 7, 9, 10]);
    assert_eq!(failed.redriven().await, (1..=10).collect::<Vec<_>>());
    let (ledger, run) = (failed.target.ledger(), report.run.unwrap());
    let letters = ledger.dead_letters(&run, "main", 0, 99).await.unwrap();
    let seen: Vec<_> =
        letters.iter().map(|l| (l.ordinal, l.stage, l.origin.key.as_deref().unwrap())).collect();
    assert_eq!(
        seen,
        [(4, Stage::Parse, "row 4"), (5, Stage::Write, "row 5"), (8, Stage::Parse, "row 8")],
        "the keys are those of the first source"
    );
    assert_eq!(failed.open().fingerprint().0["columns"], "n", "kept for the next");
}

/// Those of a stage or a code alone; the others can be redriven later.
#[tokio::test]
async fn letters_are_chosen() {
    let failed = all_failed(6).await;
    refuse(&failed.target, |_| false);
    for (which, items) in [
        (Which { stage: Some(Stage::Map), ..Which::default() }, 0),
        (Which { code: Some("other".into()), ..Which::default() }, 0),
        (Which { stage: Some(Stage::Write), code: Some("no".into()), ..Which::default() }, 6),
        (Which::default(), 0),
    ] {
        let report = failed.redrive(which.clone(), options(4)).await;
        assert_eq!(report.counts.read, items, "{which:?}: {report:?}");
    }
    assert_eq!(written(&failed.target), [1, 2, 3, 5, 6]);
}

/// A run that may get more dead letters has none to redrive yet.
#[tokio::test]
async fn an_open_run_is_not_redriven() {
    let target = MemoryTarget::new();
    target.refuse_next(Fault::new(Kind::Io, "the disk is full"));
    let report = job(&target, numbers(3), 3).run().await;
    assert!(report.fault.is_some());
    let run = target.ledger().newest("numbers", "").await.unwrap().unwrap();
    let failed = Failed { target, run };
    let fault = failed.source(Which::default()).await.err().unwrap();
    assert_eq!(fault.kind(), Kind::Config);
    assert!(fault.message().contains("not complete"), "{fault}");
}
