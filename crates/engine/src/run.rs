//! A run from its start to its report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kiln_core::{Claim, Counts, Event, Fault, Kind, Ledger, Result, RunRecord, RunState, Status};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::job::Job;
use crate::plan::put_in_order;
use crate::record::{self, StepState, counts_of};
use crate::report::{FAILED_ITEMS, FailedItem, Report, StepReport, peak_memory};
use crate::retry::Retry;
use crate::start::{Start, start};
use crate::step::{self, Context};
use crate::tally::Tally;

/// Runs a job and tells what came of it.
pub(crate) async fn run(mut job: Job) -> Report {
    let began = Instant::now();
    let mut report = Report {
        job: job.name.clone(),
        run: None,
        status: Status::Failed,
        already_complete: false,
        resumed: false,
        counts: Counts::default(),
        steps: Vec::new(),
        failed_items: Vec::new(),
        chunks: 0,
        retries: 0,
        took: began.elapsed(),
        peak_memory: 0,
        changes: Vec::new(),
        fault: None,
    };
    if let Err(fault) = start_and_run(&mut job, &mut report).await {
        report.status = status_of(&Err(&fault), &report.counts);
        report.fault = Some(fault);
    }
    if report.run.is_some()
        && let Err(fault) = fill(job.ledger.as_ref(), &mut report).await
    {
        report.fault.get_or_insert(fault);
    }
    report.took = began.elapsed();
    report.peak_memory = peak_memory();
    report
}

async fn start_and_run(job: &mut Job, report: &mut Report) -> Result<()> {
    job.steps = put_in_order(std::mem::take(&mut job.steps))?;
    report.steps = job.steps.iter().map(|step| StepReport::waiting(&step.name)).collect();
    job.ledger.prepare().await?;
    let (claim, resumed) = match start(job).await? {
        Start::Complete { record, changes } => {
            report.run = Some(record.start.id);
            report.already_complete = true;
            report.status = status_of(&Ok(()), &record.counts);
            report.changes = changes;
            return Ok(());
        }
        Start::Claimed { claim, resumed, changes } => {
            report.changes = changes;
            (claim, resumed)
        }
    };
    report.run = Some(claim.run.clone());
    report.resumed = resumed.is_some();
    let before = resumed.as_ref().map(|old| old.counts);
    let (run, name) = (claim.run.clone(), job.name.clone());
    job.events.emit(&Event::RunStarted { run, job: name, resumed: before });

    let ended = hold_and_work(job, &claim, resumed.as_deref(), report).await;

    let counts = total(&report.steps);
    report.status = status_of(&ended.as_ref().copied(), &counts);
    let fault = ended.as_ref().err().cloned();
    job.events.emit(&Event::RunEnded { status: report.status, counts, fault });
    ended
}

/// Works on the run while the lease is kept, then ends the claim.
async fn hold_and_work(
    job: &mut Job,
    claim: &Claim,
    resumed: Option<&RunRecord>,
    report: &mut Report,
) -> Result<()> {
    let ledger = Arc::clone(&job.ledger);
    let mut heart = Heart::start(&ledger, claim, job.options.lease);
    let worked = work(job, claim, resumed, &mut heart, report).await;
    drop(heart);
    let (state, message) = match &worked {
        Ok(()) => (RunState::Completed, None),
        Err(fault) if fault.kind() == Kind::Stopped => (RunState::Stopped, None),
        Err(fault) => (RunState::Failed, Some(fault.message().to_owned())),
    };
    let finished = ledger.finish(claim, state, message.as_deref()).await;
    // If the work failed, that is what the person needs to hear.
    worked.and(finished)
}

/// Runs the steps that are not complete, one after another.
async fn work(
    job: &mut Job,
    claim: &Claim,
    resumed: Option<&RunRecord>,
    heart: &mut Heart,
    report: &mut Report,
) -> Result<()> {
    let known = match resumed {
        Some(old) => record::steps_of(job.ledger.as_ref(), old).await?,
        None => Vec::new(),
    };
    for place in 0..job.steps.len() {
        let told = &mut report.steps[place];
        match known.get(place).filter(|step| step.state == StepState::Complete) {
            Some(complete) => {
                told.counts = complete.counts;
                told.status = Some(status_of(&Ok(()), &complete.counts));
            }
            None => {
                let remapped = resumed.is_some_and(|old| record::remapped(old, job, place));
                run_step(job, place, remapped, claim, heart, report).await?;
            }
        }
    }
    audit(job.ledger.as_ref(), claim, &report.steps).await?;
    publish(job, claim, heart).await
}

/// Shows the work of a complete run, with patience.
async fn publish(job: &mut Job, claim: &Claim, heart: &mut Heart) -> Result<()> {
    let sink = Arc::clone(&job.sink);
    let mut retry = Retry::new(job.options.retry);
    loop {
        let published = tokio::select! {
            published = sink.publish(claim, &job.name) => published,
            () = heart.is_lost() => Err(claim.fenced()),
        };
        let Err(fault) = published else { return Ok(()) };
        retry.pause(fault, &job.events, &mut job.stop).await?;
    }
}

/// Runs a step, and notes in the report what came of it.
async fn run_step(
    job: &mut Job,
    place: usize,
    remapped: bool,
    claim: &Claim,
    heart: &mut Heart,
    report: &mut Report,
) -> Result<()> {
    let began = Instant::now();
    let of = job.steps.len();
    let step = &mut job.steps[place];
    let tally = Arc::new(Tally::default());
    let context = Context {
        claim: claim.clone(),
        step: step.name.clone(),
        sink: Arc::clone(&job.sink),
        ledger: Arc::clone(&job.ledger),
        options: step.options.clone().unwrap_or_else(|| job.options.clone()),
        events: job.events.clone().with(Arc::clone(&tally) as Arc<_>),
        tally: Arc::clone(&tally),
        stop: job.stop.clone(),
        remapped,
    };
    let (name, source) = (step.name.clone(), step.source.name().to_owned());
    job.events.emit(&Event::StepStarted { step: name.clone(), place: place + 1, of, source });
    let ended = tokio::select! {
        worked = async { step::audit(&context, step::run(step, &context).await?).await } => worked,
        () = heart.is_lost() => Err(claim.fenced()),
    };
    let totals = tally.totals();
    let over_limit = tally.over_limit();
    report.failed_items = over_limit.into_iter().map(|l| FailedItem::new(&name, l)).collect();
    report.chunks += totals.chunks;
    report.retries += totals.retries;
    job.events.emit(&Event::StepEnded { step: name.clone(), counts: totals.counts });
    report.steps[place] = StepReport {
        status: Some(status_of(&ended.as_ref().copied(), &totals.counts)),
        counts: totals.counts,
        rules: Vec::new(),
        chunks: totals.chunks,
        retries: totals.retries,
        took: began.elapsed(),
        name: name.clone(),
    };
    match ended {
        Err(fault) if of > 1 && fault.kind() != Kind::Stopped => {
            Err(fault.at(format!("step {name}")))
        }
        ended => ended,
    }
}

/// Checks a finished run against its own book: every failed item is a dead
/// letter.
async fn audit(ledger: &dyn Ledger, claim: &Claim, steps: &[StepReport]) -> Result<()> {
    let failed = total(steps).failed;
    let letters = ledger.dead_letter_count(&claim.run).await?;
    if letters == failed {
        return Ok(());
    }
    Err(Fault::bug(format!(
        "the books do not balance: {failed} items failed, but there are {letters} dead letters"
    ))
    .with_hint("do not trust this run's result; please report it"))
}

/// Keeps the lease as long as it lives.
struct Heart {
    beating: JoinHandle<()>,
    lost: watch::Receiver<bool>,
}

impl Heart {
    fn start(ledger: &Arc<dyn Ledger>, claim: &Claim, lease: Duration) -> Self {
        let (tell, lost) = watch::channel(false);
        let beating = tokio::spawn(keep_alive(Arc::clone(ledger), claim.clone(), lease, tell));
        Self { beating, lost }
    }

    /// Waits until somebody else has the run.
    async fn is_lost(&mut self) {
        if self.lost.wait_for(|lost| *lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

/// Prolongs the lease six times in its length; tells when it is lost. A ledger
/// that can't be reached for a while changes nothing: safety rests on the
/// epoch, the lease only lets others go on early.
async fn keep_alive(
    ledger: Arc<dyn Ledger>,
    claim: Claim,
    lease: Duration,
    lost: watch::Sender<bool>,
) {
    loop {
        tokio::time::sleep(lease / 6).await;
        if let Err(fault) = ledger.heartbeat(&claim, lease).await {
            if fault.kind() == Kind::Fenced {
                lost.send_replace(true);
                return;
            }
            tracing::warn!(run = %claim.run, %fault, "the lease could not be prolonged");
        }
    }
}

fn status_of(ended: &Result<(), &Fault>, counts: &Counts) -> Status {
    match ended {
        Ok(()) if counts.failed == 0 => Status::Success,
        Ok(()) => Status::PartialSuccess,
        Err(fault) if fault.kind() == Kind::Stopped => Status::Stopped,
        Err(_) => Status::Failed,
    }
}

fn total(steps: &[StepReport]) -> Counts {
    steps.iter().fold(Counts::default(), |sum, step| sum + step.counts)
}

/// Fills in what the ledger knows.
async fn fill(ledger: &dyn Ledger, report: &mut Report) -> Result<()> {
    let Some(run) = report.run.clone() else { return Ok(()) };
    let mut failed = Vec::new();
    for step in &mut report.steps {
        step.counts = counts_of(ledger, &run, &step.name).await?;
        step.rules = ledger.rules(&run, &step.name).await?;
        if report.already_complete {
            step.status = Some(status_of(&Ok(()), &step.counts));
        }
        let most = FAILED_ITEMS - failed.len();
        let letters = ledger.dead_letters(&run, &step.name, 0, most).await?;
        failed.extend(letters.into_iter().map(|letter| FailedItem::new(&step.name, letter)));
    }
    report.counts = total(&report.steps);
    failed.append(&mut report.failed_items);
    failed.truncate(FAILED_ITEMS);
    report.failed_items = failed;
    Ok(())
}
