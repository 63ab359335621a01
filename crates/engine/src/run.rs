//! A run from its start to its report.

use std::sync::Arc;
use std::time::Instant;

use kiln_core::{Claim, Counts, Event, Fault, Kind, Ledger, Result, RunRecord, RunState, Status};

use crate::end::End;
use crate::heart::{Heart, Lost};
use crate::job::Job;
use crate::plan::put_in_order;
use crate::record;
use crate::report::{FAILED_ITEMS, FailedItem, Report, StepReport, peak_memory};
use crate::retry::Retry;
use crate::start::{Start, start};
use crate::steps;
use crate::voice::Voice;

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
    let heart = Heart::start(&ledger, claim, job.options.lease);
    let mut worked = steps::work(job, claim, resumed, &heart.lost(), report).await;
    if worked.is_ok() {
        worked = audit(ledger.as_ref(), claim, &report.steps).await;
    }
    if worked.is_ok() {
        worked = publish(job, claim, &mut heart.lost()).await;
    }
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

/// Shows the work of a complete run, with patience.
async fn publish(job: &mut Job, claim: &Claim, lost: &mut Lost) -> Result<()> {
    let sink = Arc::clone(&job.sink);
    let voice = Voice::new("publish", job.events.clone());
    let mut retry = Retry::new(job.options.retry);
    loop {
        let published = tokio::select! {
            published = sink.publish(claim, &job.name) => published,
            () = lost.happens() => Err(claim.fenced()),
        };
        let Err(fault) = published else { return Ok(()) };
        retry.pause(fault, &voice, &mut job.stop).await?;
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

pub(crate) fn status_of(ended: &Result<(), &Fault>, counts: &Counts) -> Status {
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
        let marks = ledger.marks(&run, &step.name).await?;
        step.counts = record::sum(&marks);
        step.rules = ledger.rules(&run, &step.name).await?;
        if report.already_complete {
            let is_skipped = End::of(&marks)? == Some(End::Skipped);
            let status = status_of(&Ok(()), &step.counts);
            step.status = Some(if is_skipped { Status::Skipped } else { status });
        }
        let most = FAILED_ITEMS - failed.len();
        let letters = ledger.dead_letters(&run, &step.name, 0, most).await?;
        failed.extend(letters.into_iter().map(|letter| FailedItem::new(&step.name, letter)));
    }
    report.counts = total(&report.steps);
    let place = |item: &FailedItem| report.steps.iter().position(|step| step.name == item.step);
    report.failed_items.sort_by_key(place);
    failed.append(&mut report.failed_items);
    failed.truncate(FAILED_ITEMS);
    report.failed_items = failed;
    Ok(())
}
