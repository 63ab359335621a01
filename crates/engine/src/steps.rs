//! The steps of a run, side by side: each begins when those it needs have ended.

use std::sync::Arc;
use std::time::Instant;

use kiln_core::{Claim, Event, Fault, Kind, Result, RunRecord, Status};
use tokio::task::JoinSet;

use crate::end::End;
use crate::heart::Lost;
use crate::job::{Job, Step};
use crate::plan;
use crate::record::{self, StepState};
use crate::report::{FailedItem, Report, StepReport};
use crate::retry::stopped;
use crate::run::status_of;
use crate::schedule::Schedule;
use crate::step::{self, Context};
use crate::tally::Tally;
use crate::voice::Voice;
use crate::when::Outcomes;

/// Runs the steps that have not ended. One that fails stops what needs it, and
/// nothing else: the others go on to their end.
///
/// # Errors
/// What went wrong in the first step that failed, in their order.
pub(crate) async fn work(
    job: &mut Job,
    claim: &Claim,
    resumed: Option<&RunRecord>,
    lost: &Lost,
    report: &mut Report,
) -> Result<()> {
    let needs = plan::needs(&job.steps);
    let mut schedule = Schedule::new(needs.clone(), job.options.steps);
    let known = match resumed {
        Some(old) => record::steps_of(job.ledger.as_ref(), old).await?,
        None => Vec::new(),
    };
    for (place, step) in known.iter().enumerate() {
        let told = &mut report.steps[place];
        told.status = match step.state {
            StepState::Complete => Some(status_of(&Ok(()), &step.counts)),
            StepState::Skipped => Some(Status::Skipped),
            StepState::Begun | StepState::Waiting => continue,
        };
        told.counts = step.counts;
        schedule.ended(place);
    }
    // What has begun was chosen then.
    let has_begun = |place: usize| known.get(place).is_some_and(|s| s.state == StepState::Begun);
    let of = job.steps.len();
    let steps = std::mem::take(&mut job.steps);
    let mut works: Vec<Option<AtWork>> = Vec::with_capacity(of);
    for (place, step) in steps.into_iter().enumerate() {
        works.push(Some(AtWork::new(job, step, (place, of), claim, resumed, lost)));
    }
    let mut running = JoinSet::new();
    let mut faults: Vec<(usize, Fault)> = Vec::new();
    loop {
        let is_over = |(_, fault): &(usize, Fault)| fault.kind() == Kind::Fenced;
        while !job.stop.is_requested() && !faults.iter().any(is_over) {
            let Some(next) = schedule.begin().and_then(|place| works[place].take()) else { break };
            let is_chosen =
                has_begun(next.place) || next.is_chosen(&outcomes(&needs[next.place], report));
            running.spawn(next.run(is_chosen));
        }
        let Some(ended) = running.join_next().await else { break };
        let ended = ended.map_err(|e| Fault::bug(format!("a step broke off: {e}")))?;
        let place = ended.place;
        match ended.tell(report) {
            Ok(()) => schedule.ended(place),
            Err(fault) => {
                schedule.failed(place);
                faults.push((place, fault));
            }
        }
    }
    faults.sort_by_key(|(place, fault)| (fault.kind() == Kind::Stopped, *place));
    match faults.into_iter().next() {
        Some((_, fault)) => Err(fault),
        None if !schedule.is_over() => Err(stopped()),
        None => Ok(()),
    }
}

/// What became of steps that have ended.
fn outcomes<'a>(steps: &[usize], report: &'a Report) -> Outcomes<'a> {
    let told = |place: &usize| {
        let StepReport { name, status, counts, .. } = &report.steps[*place];
        (name.as_str(), (status.unwrap_or(Status::Success), *counts))
    };
    steps.iter().map(told).collect()
}

/// A step at work.
struct AtWork {
    step: Step,
    /// Which of the job's steps it is, counted from 0.
    place: usize,
    /// How many there are.
    of: usize,
    context: Context,
    lost: Lost,
}

/// What came of a step.
struct Ended {
    place: usize,
    told: StepReport,
    /// The failed items at which it stopped.
    over_limit: Vec<FailedItem>,
    outcome: Result<()>,
}

impl AtWork {
    fn new(
        job: &Job,
        step: Step,
        (place, of): (usize, usize),
        claim: &Claim,
        resumed: Option<&RunRecord>,
        lost: &Lost,
    ) -> Self {
        let tally = Arc::new(Tally::default());
        let events = job.events.clone().with(Arc::clone(&tally) as Arc<_>);
        let context = Context {
            job: job.name.clone(),
            parameters: job.parameters.clone(),
            claim: claim.clone(),
            step: step.name.clone(),
            sink: Arc::clone(&job.sink),
            ledger: Arc::clone(&job.ledger),
            options: step.options.clone().unwrap_or_else(|| job.options.clone()),
            events: Voice::new(step.name.as_str(), events),
            tally,
            stop: job.stop.clone(),
            remapped: resumed.is_some_and(|old| record::remapped(old, job, &step.name)),
        };
        Self { step, place, of, context, lost: lost.clone() }
    }

    /// Whether its condition holds.
    fn is_chosen(&self, outcomes: &Outcomes<'_>) -> bool {
        self.step.when.as_ref().is_none_or(|condition| condition.holds(outcomes))
    }

    async fn run(self, is_chosen: bool) -> Ended {
        if is_chosen { self.work().await } else { self.skip().await }
    }

    /// Keeps that it is not done.
    async fn skip(self) -> Ended {
        let Self { step, place, context, .. } = self;
        let outcome = End::Skipped.keep(&context).await;
        let mut told = StepReport::waiting(&step.name);
        match &outcome {
            Ok(()) => {
                let condition = step.when.map(|when| when.to_string()).unwrap_or_default();
                let event = Event::StepSkipped { step: context.events.step(), condition };
                context.events.emit(&event);
                told.status = Some(Status::Skipped);
            }
            Err(fault) => {
                told.status = Some(status_of(&Err(fault), &told.counts));
                told.fault = Some(fault.clone());
            }
        }
        let outcome = outcome.map_err(|fault| fault.at(format!("step {}", step.name)));
        Ended { place, told, over_limit: Vec::new(), outcome }
    }

    async fn work(mut self) -> Ended {
        let Self { place, of, .. } = self;
        let began = Instant::now();
        let events = self.context.events.clone();
        let source = self.step.source.name().to_owned();
        events.emit(&Event::StepStarted { step: events.step(), place: place + 1, of, source });
        let outcome = tokio::select! {
            worked = work_on(&mut self.step, &self.context, of > 1) => worked,
            () = self.lost.happens() => Err(self.context.claim.fenced()),
        };
        let name = self.step.name;
        let totals = self.context.tally.totals();
        events.emit(&Event::StepEnded { step: events.step(), counts: totals.counts });
        let over_limit = self.context.tally.over_limit();
        Ended {
            place,
            over_limit: over_limit.into_iter().map(|l| FailedItem::new(&name, l)).collect(),
            told: StepReport {
                status: Some(status_of(&outcome.as_ref().copied(), &totals.counts)),
                counts: totals.counts,
                rules: Vec::new(),
                chunks: totals.chunks,
                retries: totals.retries,
                took: began.elapsed(),
                said: self.context.tally.said(),
                fault: outcome.as_ref().err().cloned(),
                name: name.clone(),
            },
            outcome: match outcome {
                Err(fault) if of > 1 && fault.kind() != Kind::Stopped => {
                    Err(fault.at(format!("step {name}")))
                }
                outcome => outcome,
            },
        }
    }
}

/// Does a step to its end, looks whether all of it is there, and keeps that it has
/// ended. The end of a job's only step is that of its run.
async fn work_on(step: &mut Step, context: &Context, keeps_end: bool) -> Result<()> {
    let items = step::run(step, context).await?;
    step::audit(context, items).await?;
    if keeps_end {
        End::Complete.keep(context).await?;
    }
    step.source.done();
    Ok(())
}

impl Ended {
    /// Notes it in the report; gives whether the step went well.
    fn tell(self, report: &mut Report) -> Result<()> {
        report.chunks += self.told.chunks;
        report.retries += self.told.retries;
        report.failed_items.extend(self.over_limit);
        report.steps[self.place] = self.told;
        self.outcome
    }
}
