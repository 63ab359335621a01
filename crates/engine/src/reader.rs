//! Reading and mapping: from the source to units for the lanes.

use kiln_core::{
    Checkpoint, Chunk, ChunkLimits, Event, Fault, Items, Mapped, Mapper as _, Position, Result,
    Unit,
};
use tokio::sync::mpsc;

use crate::deal::Dealer;
use crate::job::{Doing, Step};
use crate::retry::{Retry, stopped};
use crate::route::Router;
use crate::step::Context;
use crate::stop::Stop;

/// Reads and maps in one task, in order.
pub(crate) struct Reader<'a> {
    pub(crate) step: &'a mut Step,
    pub(crate) router: &'a Router,
    pub(crate) dealer: &'a Dealer,
    pub(crate) limits: ChunkLimits,
    pub(crate) retry: Retry,
    pub(crate) context: &'a Context,
    /// The source stands where the next chunk begins.
    pub(crate) is_there: bool,
}

impl Reader<'_> {
    /// Reads from a checkpoint to the item `until`, or to the end, and gives
    /// each lane its share. Gives the ordinal of the last item read.
    pub(crate) async fn run(
        mut self,
        from: Checkpoint,
        until: Option<u64>,
        lanes: Vec<mpsc::Sender<Unit>>,
    ) -> Result<u64> {
        self.step.mapper.restore(from.state.as_deref())?;
        let mut at = from;
        while until.is_none_or(|until| at.position.ordinal < until) {
            if self.context.stop.is_requested() {
                return Err(stopped());
            }
            let Some(unit) = self.next(&at).await? else { break };
            at = unit.end.clone();
            let unit = match until {
                Some(until) if until < unit.span.to => unit.split(until).0,
                _ => unit,
            };
            for (lane, share) in lanes.iter().zip(self.dealer.deal(unit)?) {
                if lane.send(share).await.is_err() {
                    let asked = self.context.stop.is_requested();
                    return Err(if asked { stopped() } else { Fault::bug("a lane ended early") });
                }
            }
        }
        Ok(at.position.ordinal)
    }

    /// Reads and maps one chunk.
    async fn next(&mut self, start: &Checkpoint) -> Result<Option<Unit>> {
        let Some(chunk) = self.read(&start.position).await? else { return Ok(None) };
        let events = &self.context.events;
        let progress = self.step.source.progress();
        events.emit(&Event::ChunkRead { step: events.step(), progress });
        let mapped = self.map(&chunk.items, start).await?;
        let end = Checkpoint { position: chunk.end.clone(), state: self.step.mapper.save() };
        self.router.unit(start.clone(), end, &chunk, mapped).map(Some)
    }

    /// Reads the chunk behind `start`, again where the moment was at fault.
    async fn read(&mut self, start: &Position) -> Result<Option<Chunk>> {
        let Context { events, stop, .. } = self.context;
        let mut stop = stop.clone();
        let mut asked = stop.clone();
        loop {
            // One that waits for somebody else is not waited for.
            let read = tokio::select! {
                biased;
                read = self.try_to_read(start) => read,
                () = asked.requested() => return Err(stopped()),
            };
            match read {
                Ok(chunk) => {
                    self.is_there = true;
                    self.retry.reset();
                    return Ok(chunk);
                }
                Err(fault) => self.retry.pause(fault, events, &mut stop).await?,
            }
            self.is_there = false;
        }
    }

    async fn try_to_read(&mut self, start: &Position) -> Result<Option<Chunk>> {
        if !self.is_there {
            self.step.source.seek(start).await?;
        }
        self.step.source.next(&self.limits).await
    }

    /// Maps a chunk, again where the moment was at fault. A mapper in front of
    /// the one that failed has mapped the chunk already, so all go back to where
    /// they were.
    async fn map(&mut self, items: &Items, start: &Checkpoint) -> Result<Mapped> {
        let Context { events, stop, .. } = self.context;
        let mut stop = stop.clone();
        // A command ends itself, and what it started.
        let mut asked = match self.step.doing {
            Doing::Command(_) => Stop::never(),
            Doing::Writes | Doing::Statements => stop.clone(),
        };
        loop {
            // One that waits for somebody else is not waited for.
            let mapped = tokio::select! {
                biased;
                mapped = self.step.mapper.map(items.clone()) => mapped,
                () = asked.requested() => return Err(stopped()),
            };
            match mapped {
                Ok(mapped) => {
                    self.retry.reset();
                    return Ok(mapped);
                }
                Err(fault) => self.retry.pause(fault, events, &mut stop).await?,
            }
            self.step.mapper.restore(start.state.as_deref())?;
        }
    }
}
