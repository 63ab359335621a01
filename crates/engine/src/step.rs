//! The way of an item: read → map → unit → lanes.
//!
//! Every lane gets a share of every chunk. So all lanes are level where a chunk
//! ends, and what a crash leaves apart lies within the last few chunks. The next
//! start goes on from the mark that is farthest behind, and each lane drops what
//! it has done.

use std::sync::Arc;

use kiln_core::{
    Checkpoint, ChunkLimits, Claim, Counts, Fault, Kind, LaneKey, Ledger, Mapper as _, Mark,
    Position, Result, Run, Sink, Span, Write,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::deal::{By, Dealer};
use crate::exec::Exec;
use crate::job::{Doing, Options, Step};
use crate::lane::{LaneRunner, Opener};
use crate::layout::Layout;
use crate::limit::Limit;
use crate::reader::Reader;
use crate::record;
use crate::retry::{Retry, stopped};
use crate::route::Router;
use crate::stop::Stop;
use crate::tally::Tally;
use crate::voice::Voice;

/// Units that are mapped while a lane is busy.
const AHEAD: usize = 2;

/// Who runs what, where to, and who watches.
pub(crate) struct Context {
    pub(crate) job: String,
    pub(crate) parameters: String,
    pub(crate) claim: Claim,
    pub(crate) step: String,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) options: Options,
    pub(crate) events: Voice,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: Stop,
    /// How items are mapped or written is not as it was when the run began.
    pub(crate) remapped: bool,
}

/// Reads the source from where the run is to its end, and commits everything.
/// Gives the number of items in the source.
pub(crate) async fn run(step: &mut Step, context: &Context) -> Result<u64> {
    if let Doing::Command(command) = &step.doing {
        let exec = Exec::new(command, step.schema(), context);
        step.mapper.push(Box::new(exec));
    }
    let writes = step.resolved_writes();
    let router = Router::new(&writes, &step.schema())?;
    let by = By::of(&writes);
    step.mapper.begin(&run_of(context).await?);
    let mut work = Work { step, context, writes, router, by: by.unwrap_or(By::Block) };
    let shares = by.is_some() && work.step.doing == Doing::Writes;
    let wanted = if shares { work.wanted().await? } else { Layout::new(1) };
    let open = work.open_begun().await?;
    let counts = open.iter().fold(Counts::default(), |sum, lane| sum + lane.mark().counts);
    context.tally.go_on_from(counts);
    let limit = Arc::new(Limit::new(context.options.limit, counts.failed));
    let marks: Vec<(u32, Mark)> =
        open.iter().map(|lane| (lane.number(), lane.mark().clone())).collect();
    let lanes = match Layout::in_force(&marks) {
        None => work.open(wanted).await?,
        Some(begun) => {
            let lanes: Vec<LaneRunner> =
                open.into_iter().filter(|lane| begun.lanes().contains(&lane.number())).collect();
            work.refuse_remapped(&lanes)?;
            if begun == wanted { lanes } else { work.change(begun, lanes, wanted, &limit).await? }
        }
    };
    let lanes = work.begin(lanes, &limit).await?;
    let (items, _) = work.pass(wanted, lanes, None, &limit).await?;
    Ok(items)
}

/// The run, as the ledger knows it: when it began does not change when it is
/// resumed.
async fn run_of(context: &Context) -> Result<Run> {
    let id = &context.claim.run;
    let record = context.ledger.run(&id.0).await?;
    let record = record.ok_or_else(|| Fault::bug(format!("the ledger has no run {id}")))?;
    Ok(Run::new(id.clone(), &record.started_at))
}

/// A step at work.
struct Work<'a> {
    step: &'a mut Step,
    context: &'a Context,
    writes: Vec<Write>,
    router: Router,
    by: By,
}

impl Work<'_> {
    /// The lanes that are of use.
    async fn wanted(&mut self) -> Result<Layout> {
        let Context { sink, options, .. } = self.context;
        if options.lanes <= 1 {
            return Ok(Layout::new(1));
        }
        let useful = sink.max_lanes(&self.writes, &self.step.schema()).await?;
        Ok(Layout::new(options.lanes.min(useful)))
    }

    /// Opens all lanes that the run has ever had, so that whoever had them
    /// writes nothing more; then their marks can be trusted to stay.
    async fn open_begun(&mut self) -> Result<Vec<LaneRunner>> {
        let Context { claim, step, ledger, .. } = self.context;
        let mut lanes = Vec::new();
        let marks = ledger.marks(&claim.run, step).await?;
        for (number, _) in marks.into_iter().filter(|(number, _)| *number != LaneKey::END) {
            lanes.push(self.open_lane(number).await?);
        }
        Ok(lanes)
    }

    async fn open(&mut self, layout: Layout) -> Result<Vec<LaneRunner>> {
        let mut lanes = Vec::new();
        for number in layout.lanes() {
            lanes.push(self.open_lane(number).await?);
        }
        Ok(lanes)
    }

    async fn open_lane(&mut self, lane: u32) -> Result<LaneRunner> {
        let Context { claim, step, sink, options, events, stop, .. } = self.context;
        let Claim { run, epoch } = claim.clone();
        let key = LaneKey { run, step: step.clone(), lane, epoch };
        let (sink, items) = (Arc::clone(sink), self.step.schema());
        let runs_statements = self.step.doing == Doing::Statements;
        let opener = Opener { sink, key, writes: self.writes.clone(), items, runs_statements };
        let retry = Retry::new(options.retry);
        LaneRunner::open(opener, retry, events.clone(), stop.clone()).await
    }

    /// Where lanes are apart, an item that is mapped to another key now would
    /// not be found in the lane that has done it.
    fn refuse_remapped(&self, lanes: &[LaneRunner]) -> Result<()> {
        let level = lanes.windows(2).all(|pair| pair[0].mark().done == pair[1].mark().done);
        if level || !self.context.remapped {
            return Ok(());
        }
        Err(Fault::config(
            "the job's mapping or writes changed while its lanes were not level, so it can't be \
             told any more which items are done",
        )
        .with_hint("put the job back as it was, or start a new run with --again"))
    }

    /// Goes over to another number of lanes: first the lanes there are come
    /// level, then those that take over are brought to the same place.
    async fn change(
        &mut self,
        begun: Layout,
        lanes: Vec<LaneRunner>,
        wanted: Layout,
        limit: &Arc<Limit>,
    ) -> Result<Vec<LaneRunner>> {
        let level = lanes.iter().map(|lane| lane.mark().done).max().unwrap_or_default();
        let (_, lanes) = self.pass(begun, lanes, Some(level), limit).await?;
        let at = last(&lanes).checkpoint;
        let mut ready = Vec::new();
        for lane in self.open(wanted).await? {
            let from = lane.mark().done;
            ready.push(if from < level {
                let unit = self.router.no_items(Span { from, to: level }, &at);
                lane.run_one(unit, Arc::clone(limit)).await?
            } else {
                lane
            });
        }
        Ok(ready)
    }

    /// Where nothing is done yet, commits what the order of the items hangs on, and
    /// the state that the mappers begin with.
    async fn begin(
        &mut self,
        lanes: Vec<LaneRunner>,
        limit: &Arc<Limit>,
    ) -> Result<Vec<LaneRunner>> {
        let has_begun = |lane: &LaneRunner| lane.mark().checkpoint != Checkpoint::default();
        if lanes.iter().all(has_begun) || lanes.iter().any(|lane| lane.mark().done > 0) {
            return Ok(lanes);
        }
        self.step.mapper.restore(None)?;
        self.open_mappers().await?;
        let at = Checkpoint { position: self.start().await?, state: self.step.mapper.save() };
        if at == Checkpoint::default() {
            return Ok(lanes);
        }
        let mut ready = Vec::new();
        for lane in lanes {
            let unit = self.router.no_items(Span { from: 0, to: 0 }, &at);
            ready.push(lane.run_one(unit, Arc::clone(limit)).await?);
        }
        Ok(ready)
    }

    /// Where the source starts.
    async fn start(&mut self) -> Result<Position> {
        let Context { events, stop, options, .. } = self.context;
        let mut retry = Retry::new(options.retry);
        let mut asked = stop.clone();
        loop {
            let started = tokio::select! {
                biased;
                started = self.step.source.start() => started,
                () = asked.requested() => return Err(stopped()),
            };
            match started {
                Ok(position) => return Ok(position),
                Err(fault) => retry.pause(fault, events, &mut stop.clone()).await?,
            }
        }
    }

    async fn open_mappers(&mut self) -> Result<()> {
        let Context { events, stop, options, .. } = self.context;
        let mut retry = Retry::new(options.retry);
        while let Err(fault) = self.step.mapper.open().await {
            retry.pause(fault, events, &mut stop.clone()).await?;
        }
        Ok(())
    }

    /// Reads from where the lanes are to the item `until`, or to the end. Gives
    /// the ordinal of the last item, and the lanes.
    async fn pass(
        &mut self,
        layout: Layout,
        lanes: Vec<LaneRunner>,
        until: Option<u64>,
        limit: &Arc<Limit>,
    ) -> Result<(u64, Vec<LaneRunner>)> {
        let from = last(&lanes);
        if until.is_some_and(|until| from.done >= until) {
            return Ok((from.done, lanes));
        }
        let mut senders = Vec::new();
        // In a set, so that the lanes end with this future, whatever ends it.
        let mut tasks = JoinSet::new();
        for lane in lanes {
            let (sender, receiver) = mpsc::channel(AHEAD);
            senders.push(sender);
            tasks.spawn(lane.run(receiver, Arc::clone(limit)));
        }
        let options = &self.context.options;
        let (limits, retry) = (of_all_lanes(options.chunk, layout), Retry::new(options.retry));
        let dealer = Dealer::new(layout, self.by, &self.writes);
        let reader = Reader {
            step: self.step,
            router: &self.router,
            dealer: &dealer,
            limits,
            retry,
            context: self.context,
            is_there: false,
        };
        let read = reader.run(from.checkpoint, until, senders).await;
        let lanes = join(tasks).await?;
        Ok((read?, lanes))
    }
}

/// The mark that is farthest behind: from there all lanes can go on.
fn last(lanes: &[LaneRunner]) -> Mark {
    lanes.iter().map(LaneRunner::mark).min_by_key(|mark| mark.done).cloned().unwrap_or_default()
}

/// What is read at once, so that each lane's share is a chunk.
fn of_all_lanes(chunk: ChunkLimits, layout: Layout) -> ChunkLimits {
    let lanes = layout.count() as usize;
    ChunkLimits {
        items: chunk.items.saturating_mul(lanes),
        bytes: chunk.bytes.saturating_mul(lanes),
        age: chunk.age,
    }
}

/// Waits for all lanes to end. If one failed, the others end in peace: they get
/// no more units, as the reader stops. A reader that finds a lane gone only saw
/// that nobody listens any more: it is the lane that knows why.
///
/// # Errors
/// What went wrong first; that the run was asked to stop only if nothing did.
async fn join(mut tasks: JoinSet<Result<LaneRunner>>) -> Result<Vec<LaneRunner>> {
    let mut lanes = Vec::new();
    let mut failed: Option<Fault> = None;
    while let Some(ended) = tasks.join_next().await {
        match ended.map_err(|e| Fault::bug(format!("a lane broke off: {e}"))).flatten() {
            Ok(lane) => lanes.push(lane),
            Err(fault) if failed.as_ref().is_none_or(|f| f.kind() == Kind::Stopped) => {
                failed = Some(fault);
            }
            Err(_) => {}
        }
    }
    lanes.sort_by_key(LaneRunner::number);
    failed.map_or(Ok(lanes), Err)
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
