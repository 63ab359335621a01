//! The way of an item: read → map → unit → lane.

use std::sync::Arc;
use std::time::Duration;

use kiln_core::{
    Checkpoint, ChunkLimits, Claim, Event, Events, Fault, Items, LaneKey, Ledger, Mapped, Mapper,
    Result, Sink, Unit,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::job::{Options, Step};
use crate::lane::{LaneRunner, Opener};
use crate::record;
use crate::retry::{Retry, stopped};
use crate::route::Router;
use crate::stop::Stop;
use crate::tally::Tally;

/// Units that are mapped while the lane is busy.
const AHEAD: usize = 2;

/// Who runs what, where to, and who watches.
pub(crate) struct Context {
    pub(crate) claim: Claim,
    pub(crate) step: String,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) options: Options,
    pub(crate) events: Events,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: Stop,
}

/// Reads the source from where the run is to its end, and commits everything.
/// Gives the number of items in the source.
pub(crate) async fn run(step: &mut Step, context: &Context) -> Result<u64> {
    let writes = step.resolved_writes();
    let items = step.schema();
    let router = Router::new(&writes, &items)?;
    let Claim { run, epoch } = context.claim.clone();
    let key = LaneKey { run, step: context.step.clone(), lane: 0, epoch };
    let opener = Opener { sink: Arc::clone(&context.sink), key, writes, items };
    let Options { retry, limit, chunk, lease, .. } = context.options.clone();
    let lane = LaneRunner::open(
        opener,
        Retry::new(retry),
        limit,
        Arc::clone(&context.tally),
        context.events.clone(),
        context.stop.clone(),
    )
    .await?;
    still_held(context, lease).await?;
    context.tally.go_on_from(lane.mark().counts);
    let from = lane.mark().checkpoint.clone();
    let (sender, receiver) = mpsc::channel(AHEAD);
    // In a set, so that the lane ends with this future, whatever ends it.
    let mut lanes = JoinSet::new();
    lanes.spawn(lane.run(receiver));
    let reader = Reader { step, router, limits: chunk, retry: Retry::new(retry), context };
    let read = reader.run(from, sender).await;
    while let Some(ended) = lanes.join_next().await {
        // If the lane failed, the reader only saw that nobody listens any more.
        ended.map_err(|e| Fault::bug(format!("a lane broke off: {e}")))??;
    }
    read
}

/// Makes sure that the run is still ours now that its lane has a mark: a run that
/// was given up before could not fence a lane that was not there.
async fn still_held(context: &Context, lease: Duration) -> Result<()> {
    let Context { claim, ledger, options, events, stop, .. } = context;
    let mut retry = Retry::new(options.retry);
    while let Err(fault) = ledger.heartbeat(claim, lease).await {
        retry.pause(fault, events, &mut stop.clone()).await?;
    }
    Ok(())
}

struct Reader<'a> {
    step: &'a mut Step,
    router: Router,
    limits: ChunkLimits,
    retry: Retry,
    context: &'a Context,
}

impl Reader<'_> {
    async fn run(mut self, from: Checkpoint, units: mpsc::Sender<Unit>) -> Result<u64> {
        self.step.mapper.begin(&self.context.claim.run);
        self.step.mapper.restore(from.state.as_deref())?;
        self.step.source.seek(&from.position).await?;
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
        let Some(chunk) = self.step.source.next(&self.limits).await? else { return Ok(None) };
        let progress = self.step.source.progress();
        self.context.events.emit(&Event::ChunkRead { progress });
        let mapped = self.map(&chunk.items, start).await?;
        let end = Checkpoint { position: chunk.end.clone(), state: self.step.mapper.save() };
        self.router.unit(start.clone(), end, &chunk, mapped).map(Some)
    }

    /// Maps a chunk, again where the moment was at fault. A mapper in front of
    /// the one that failed has mapped the chunk already, so all go back to where
    /// they were.
    async fn map(&mut self, items: &Items, start: &Checkpoint) -> Result<Mapped> {
        let Context { events, stop, .. } = self.context;
        loop {
            match self.step.mapper.map(items.clone()).await {
                Ok(mapped) => {
                    self.retry.reset();
                    return Ok(mapped);
                }
                Err(fault) => self.retry.pause(fault, events, &mut stop.clone()).await?,
            }
            self.step.mapper.restore(start.state.as_deref())?;
        }
    }
}

/// Checks a finished step against the book: every item read came to one end, and
/// what was seen to commit is what the ledger has.
pub(crate) async fn audit(context: &Context, items: u64) -> Result<()> {
    let Context { claim, step, ledger, tally, .. } = context;
    let counts = record::counts_of(ledger.as_ref(), &claim.run, step).await?;
    let seen = tally.totals().counts;
    if counts.balance() && counts.read == items && seen == counts {
        return Ok(());
    }
    Err(Fault::bug(format!(
        "the books do not balance: the source has {items} items; the ledger has {counts:?}; \
         {seen:?} were seen to commit"
    ))
    .with_hint("do not trust this run's result; please report it"))
}
