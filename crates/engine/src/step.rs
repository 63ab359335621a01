//! The way of an item: read → map → unit → lane.

use std::sync::Arc;

use kiln_core::{
    Checkpoint, Chunk, ChunkLimits, Counts, Event, Events, Fault, Items, LaneKey, Ledger, Mapped,
    Mapper, Position, Result, RunId, Unit,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::job::{Job, Options};
use crate::lane::{LaneRunner, Opener};
use crate::retry::{Retry, stopped};
use crate::route::Router;
use crate::stop::Stop;
use crate::tally::Tally;

/// The only step's name.
pub(crate) const MAIN: &str = "main";

/// Units that are mapped while the lane is busy.
const AHEAD: usize = 2;

/// Who runs, and who watches.
pub(crate) struct Context {
    pub(crate) run: RunId,
    pub(crate) epoch: u64,
    pub(crate) events: Events,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: Stop,
}

/// Reads the source from where the run is to its end, and commits everything.
/// Gives the number of items in the source.
pub(crate) async fn run(job: &mut Job, context: &Context) -> Result<u64> {
    let writes = job.resolved_writes();
    let items = job.schema();
    let router = Router::new(&writes, &items)?;
    let key =
        LaneKey { run: context.run.clone(), step: MAIN.to_owned(), lane: 0, epoch: context.epoch };
    let opener = Opener { sink: Arc::clone(&job.sink), key, writes, items };
    let Options { retry, limit, chunk, .. } = job.options.clone();
    let lane = LaneRunner::open(
        opener,
        Retry::new(retry),
        limit,
        Arc::clone(&context.tally),
        context.events.clone(),
        context.stop.clone(),
    )
    .await?;
    let from = lane.mark().checkpoint.clone();
    let (sender, receiver) = mpsc::channel(AHEAD);
    // In a set, so that the lane ends with this future, whatever ends it.
    let mut lanes = JoinSet::new();
    lanes.spawn(lane.run(receiver));
    let reader = Reader { job, router, limits: chunk, retry: Retry::new(retry), context };
    let read = reader.run(from, sender).await;
    while let Some(ended) = lanes.join_next().await {
        // If the lane failed, the reader only saw that nobody listens any more.
        ended.map_err(|e| Fault::bug(format!("a lane broke off: {e}")))??;
    }
    read
}

struct Reader<'a> {
    job: &'a mut Job,
    router: Router,
    limits: ChunkLimits,
    retry: Retry,
    context: &'a Context,
}

impl Reader<'_> {
    async fn run(mut self, from: Checkpoint, units: mpsc::Sender<Unit>) -> Result<u64> {
        self.job.mapper.begin(&self.context.run);
        self.job.mapper.restore(from.state.as_deref())?;
        self.job.source.seek(&from.position).await?;
        let mut at = from;
        loop {
            if self.context.stop.is_requested() {
                return Err(stopped());
            }
            let Some(unit) = self.next(&at).await? else { return Ok(at.position.ordinal) };
            at = unit.end.clone();
            if units.send(unit).await.is_err() {
                let asked = self.context.stop.is_requested();
                return Err(if asked { stopped() } else { Fault::bug("the lane ended early") });
            }
        }
    }

    /// Reads and maps one chunk.
    async fn next(&mut self, start: &Checkpoint) -> Result<Option<Unit>> {
        let Some(chunk) = self.read(&start.position).await? else { return Ok(None) };
        let progress = self.job.source.progress();
        self.context.events.emit(&Event::ChunkRead { progress });
        let mapped = self.map(&chunk.items, start).await?;
        let end = Checkpoint { position: chunk.end.clone(), state: self.job.mapper.save() };
        self.router.unit(start.clone(), end, &chunk, mapped).map(Some)
    }

    /// Reads a chunk, again where the moment was at fault.
    async fn read(&mut self, start: &Position) -> Result<Option<Chunk>> {
        let Context { events, stop, .. } = self.context;
        loop {
            match self.job.source.next(&self.limits).await {
                Ok(chunk) => {
                    self.retry.reset();
                    return Ok(chunk);
                }
                Err(fault) => self.retry.pause(fault, events, &mut stop.clone()).await?,
            }
            self.job.source.seek(start).await?;
        }
    }

    /// Maps a chunk, again where the moment was at fault. A mapper in front of
    /// the one that failed has mapped the chunk already, so all go back to where
    /// they were.
    async fn map(&mut self, items: &Items, start: &Checkpoint) -> Result<Mapped> {
        let Context { events, stop, .. } = self.context;
        loop {
            match self.job.mapper.map(items.clone()).await {
                Ok(mapped) => {
                    self.retry.reset();
                    return Ok(mapped);
                }
                Err(fault) => self.retry.pause(fault, events, &mut stop.clone()).await?,
            }
            self.job.mapper.restore(start.state.as_deref())?;
        }
    }
}

/// Checks a finished run against its own book: every item read came to one end,
/// every failed one is a dead letter, and what was seen to commit is what the
/// ledger has.
pub(crate) async fn audit(ledger: &dyn Ledger, context: &Context, items: u64) -> Result<()> {
    let marks = ledger.marks(&context.run, MAIN).await?;
    let counts = marks.iter().fold(Counts::default(), |sum, (_, mark)| sum + mark.counts);
    let letters = ledger.dead_letter_count(&context.run).await?;
    let seen = context.tally.totals().counts;
    if counts.balance() && counts.read == items && letters == counts.failed && seen == counts {
        return Ok(());
    }
    Err(Fault::bug(format!(
        "the books do not balance: the source has {items} items; the ledger has {counts:?} \
         and {letters} dead letters; {seen:?} were seen to commit"
    ))
    .with_hint("do not trust this run's result; please report it"))
}
