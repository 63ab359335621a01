//! A lane at work: units in, commits out, in order.
//!
//! Units wait in a queue whose first ones are in flight. The answer to the
//! oldest decides what happens to the queue: committed, it goes; refused for an
//! item, its parts take its place; refused for the moment, it is sent again;
//! unknown, the lane is opened anew and the mark tells.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_schema::SchemaRef;
use kiln_core::{
    Counts, Event, Fault, Kind, Lane, LaneKey, Mark, Refusal, Result, Settled, Sink, Unit, Write,
};
use tokio::sync::mpsc;

use crate::isolate::{self, Findings};
use crate::limit::Limit;
use crate::retry::{Retry, stopped};
use crate::stop::Stop;
use crate::voice::Voice;

/// What a lane needs to open and to open again.
pub(crate) struct Opener {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) key: LaneKey,
    pub(crate) writes: Vec<Write>,
    pub(crate) items: SchemaRef,
    /// Its items are statements.
    pub(crate) runs_statements: bool,
}

impl Opener {
    async fn open(&self) -> Result<(Box<dyn Lane>, Mark)> {
        if self.runs_statements {
            return self.sink.open_statements(&self.key).await;
        }
        self.sink.open(&self.key, &self.writes, &self.items).await
    }
}

pub(crate) struct LaneRunner {
    opener: Opener,
    lane: Box<dyn Lane>,
    /// The lane's mark as far as its answers tell.
    mark: Mark,
    queue: VecDeque<Work>,
    in_flight: usize,
    retry: Retry,
    events: Voice,
    stop: Stop,
}

/// A unit in the queue, and the chunk it is of.
struct Work {
    unit: Arc<Unit>,
    since: Option<Instant>,
    /// How many items of the source were read when its chunk was.
    read: u64,
    /// What isolation knows of the chunk; none before its first refusal.
    findings: Option<Findings>,
}

impl LaneRunner {
    /// Opens the lane, with patience.
    pub(crate) async fn open(
        opener: Opener,
        mut retry: Retry,
        events: Voice,
        mut stop: Stop,
    ) -> Result<Self> {
        let (lane, mark) = loop {
            match opener.open().await {
                Ok(open) => break open,
                Err(fault) => retry.pause(fault, &events, &mut stop).await?,
            }
        };
        retry.reset();
        let queue = VecDeque::new();
        Ok(Self { opener, lane, mark, queue, in_flight: 0, retry, events, stop })
    }

    /// Its number.
    pub(crate) fn number(&self) -> u32 {
        self.opener.key.lane
    }

    /// How far the lane has committed.
    pub(crate) fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Commits one unit, before others come.
    pub(crate) async fn run_one(self, unit: Unit, limit: Arc<Limit>) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(1);
        let sent = sender.try_send(unit);
        sent.map_err(|e| Fault::bug(format!("a lane takes no unit: {e}")))?;
        drop(sender);
        self.run(receiver, limit).await
    }

    /// Commits what comes, until nothing more comes or the run is asked to
    /// stop. What is in flight is settled in every case. Gives itself back.
    pub(crate) async fn run(
        mut self,
        mut units: mpsc::Receiver<Unit>,
        limit: Arc<Limit>,
    ) -> Result<Self> {
        loop {
            self.fill(&mut units).await;
            if self.queue.is_empty() {
                // Asked to stop, it takes no more units, though some may wait.
                let all_came = units.is_closed() && units.is_empty();
                return if all_came { Ok(self) } else { Err(stopped()) };
            }
            if self.in_flight == 0 && self.stop.is_requested() {
                return Err(stopped());
            }
            self.send(&limit).await?;
            self.settle(&limit).await?;
        }
    }

    /// Takes units up to the lane's window; waits for one if there is nothing
    /// else to do.
    async fn fill(&mut self, units: &mut mpsc::Receiver<Unit>) {
        while self.queue.len() < self.lane.window() && !self.stop.is_requested() {
            let next = match units.try_recv() {
                Err(mpsc::error::TryRecvError::Empty) if self.queue.is_empty() => {
                    units.recv().await
                }
                other => other.ok(),
            };
            let Some(unit) = next else { return };
            if let Some(unit) = self.not_done(unit) {
                let read = unit.span.to;
                let unit = Arc::new(unit);
                self.queue.push_back(Work { unit, since: None, read, findings: None });
            }
        }
    }

    /// The part of a unit that lies behind the mark.
    fn not_done(&self, unit: Unit) -> Option<Unit> {
        match self.mark.done {
            done if done <= unit.span.from => Some(unit),
            done if done < unit.span.to => Some(unit.split(done).1),
            _ => None,
        }
    }

    /// Sends what the window has room for.
    async fn send(&mut self, limit: &Limit) -> Result<()> {
        while self.in_flight < self.queue.len().min(self.lane.window()) {
            if self.stop.is_requested() && self.in_flight > 0 {
                break;
            }
            let failed: u64 =
                self.queue.iter().take(self.in_flight + 1).map(|w| w.unit.counts().failed).sum();
            let work = &mut self.queue[self.in_flight];
            if let Err(over) = limit.admit(self.opener.key.lane, failed, work.read) {
                // What was sent before is still settled, then the run fails.
                if self.in_flight > 0 {
                    break;
                }
                let letters = work.unit.dead_letters.as_slice().into();
                let step = self.events.step();
                self.events.emit(&Event::LimitReached { step, letters });
                return Err(over);
            }
            work.since.get_or_insert_with(Instant::now);
            self.lane.submit(Arc::clone(&work.unit)).await;
            self.in_flight += 1;
        }
        Ok(())
    }

    /// Handles the answer to the oldest unit.
    async fn settle(&mut self, limit: &Limit) -> Result<()> {
        match self.lane.settle().await {
            Settled::Committed(counts) => {
                self.in_flight -= 1;
                self.committed(counts, limit);
                self.retry.reset();
                Ok(())
            }
            Settled::Refused(refusal) => {
                self.drain().await?;
                self.refused(refusal).await
            }
            Settled::Unknown(fault) => {
                self.in_flight = 0;
                self.resolve(fault, limit).await
            }
        }
    }

    /// Takes the answers to the units behind a refused one: they did not commit.
    async fn drain(&mut self) -> Result<()> {
        for _ in 1..self.in_flight {
            if let Settled::Committed(_) = self.lane.settle().await {
                return Err(Fault::bug("a unit behind a refused one was committed"));
            }
        }
        self.in_flight = 0;
        Ok(())
    }

    async fn refused(&mut self, refusal: Refusal) -> Result<()> {
        if refusal.fault.kind() != Kind::Item {
            return self.retry.pause(refusal.fault, &self.events, &mut self.stop).await;
        }
        let Some(work) = self.queue.pop_front() else {
            return Err(Fault::bug("a unit that was never sent was refused"));
        };
        let (step, span, fault) = (self.events.step(), work.unit.span, refusal.fault.clone());
        self.events.emit(&Event::Isolating { step, span, fault });
        let mut findings = work.findings.unwrap_or_default();
        findings.refused += 1;
        let parts = self.parts(&work.unit, refusal, &findings).await?;
        for part in parts.into_iter().rev() {
            let unit = Arc::new(part);
            self.queue.push_front(Work {
                unit,
                since: work.since,
                read: work.read,
                findings: Some(findings),
            });
        }
        Ok(())
    }

    async fn parts(
        &mut self,
        unit: &Unit,
        refusal: Refusal,
        findings: &Findings,
    ) -> Result<Vec<Unit>> {
        if let Some(rest) = isolate::without_all(unit, &refusal)? {
            return Ok(vec![rest]);
        }
        if unit.items.len() > 1 && findings.call_for_diagnosis(unit, &refusal) {
            let named = self.lane.diagnose(unit).await?;
            if let Some(rest) = isolate::without(unit, named.unwrap_or_default())? {
                return Ok(vec![rest]);
            }
        }
        isolate::take_apart(unit, refusal, findings)
    }

    /// The oldest unit is committed: its counts count, its failures are told.
    fn committed(&mut self, counts: Counts, limit: &Limit) {
        let Some(work) = self.queue.pop_front() else { return };
        let unit = &work.unit;
        self.mark.done = unit.span.to;
        self.mark.checkpoint = unit.end.clone();
        self.mark.counts += counts;
        limit.committed(self.opener.key.lane, counts.failed);
        if let (Some(mut findings), Some(next)) = (work.findings, self.queue.front_mut())
            && next.findings.is_some()
        {
            findings.settled += unit.items.len() + unit.dead_letters.len();
            findings.bad += unit.dead_letters.len();
            next.findings = Some(findings);
        }
        let took = work.since.map_or(Duration::ZERO, |since| since.elapsed());
        let (step, lane) = (self.events.step(), self.opener.key.lane);
        // A state alone is no chunk.
        if unit.span.from < unit.span.to {
            let (step, span) = (Arc::clone(&step), unit.span);
            self.events.emit(&Event::Committed { step, lane, span, counts, took });
        }
        for letter in &unit.dead_letters {
            let (step, letter) = (Arc::clone(&step), Arc::new(letter.clone()));
            self.events.emit(&Event::ItemFailed { step, letter });
        }
    }

    /// Nobody knows whether the units in flight landed: opens the lane again,
    /// which waits for the old transaction to end, and reads the mark.
    async fn resolve(&mut self, fault: Fault, limit: &Limit) -> Result<()> {
        let mut fault = fault;
        let (lane, mark) = loop {
            self.retry.pause(fault, &self.events, &mut self.stop).await?;
            match self.opener.open().await {
                Ok(open) => break open,
                Err(again) => fault = again,
            }
        };
        self.lane = lane;
        let mut landed = 0;
        let step = self.events.step();
        let told = |span, landed| Event::Resolved { step: Arc::clone(&step), span, landed };
        while let Some(work) = self.queue.front() {
            let unit = &work.unit;
            if has_landed(unit, &mark) {
                landed += 1;
                let event = told(unit.span, true);
                let counts = share(unit.counts(), &mark.counts, &self.mark.counts);
                self.events.emit(&event);
                self.committed(counts, limit);
            } else {
                self.events.emit(&told(unit.span, false));
                break;
            }
        }
        if landed > 0 {
            self.retry.reset();
        }
        if self.mark.done == mark.done {
            Ok(())
        } else {
            Err(Fault::bug(format!(
                "the lane's mark is at item {}, which is the end of no unit sent",
                mark.done
            )))
        }
    }
}

/// Whether a mark tells that a unit landed.
fn has_landed(unit: &Unit, mark: &Mark) -> bool {
    let is_state_alone = unit.span.from == unit.span.to;
    unit.span.to <= mark.done && (!is_state_alone || mark.checkpoint.state == unit.end.state)
}

/// What a unit that landed added to the counts. Only the target knew which items
/// are duplicates, and tells it for all units that landed together: the last of
/// them gets what the others leave, so that the sum is true.
fn share(unit: Counts, now: &Counts, before: &Counts) -> Counts {
    let processed = now.processed.saturating_sub(before.processed);
    unit.with_duplicates(unit.processed.saturating_sub(processed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(processed: u64, duplicate: u64) -> Counts {
        Counts { read: processed + duplicate, processed, duplicate, ..Counts::default() }
    }

    #[test]
    fn units_that_landed_together_share_what_the_mark_tells() {
        let units = [counts(4, 0), counts(3, 0), counts(2, 0)];
        for processed in 0..=9 {
            let now = counts(10 + processed, 1 + 9 - processed);
            let mut known = counts(10, 1);
            for unit in units {
                known += share(unit, &now, &known);
            }
            assert_eq!(known, now);
        }
    }
}
