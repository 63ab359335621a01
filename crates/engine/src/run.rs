//! A run from its start to its report.

use std::sync::Arc;
use std::time::Instant;

use kiln_core::{Claim, Counts, Event, Kind, Ledger, Result, RunId, RunState, Status};
use tokio::sync::watch;

use crate::job::Job;
use crate::report::{FAILED_ITEMS, FailedItem, Report, peak_memory};
use crate::start::{Start, start};
use crate::step::{self, Context, MAIN};
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
        failed_items: Vec::new(),
        chunks: 0,
        retries: 0,
        took: began.elapsed(),
        peak_memory: 0,
        changes: Vec::new(),
        fault: None,
    };
    if let Err(fault) = start_and_run(&mut job, &mut report).await {
        report.status =
            if fault.kind() == Kind::Stopped { Status::Stopped } else { Status::Failed };
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
    job.ledger.prepare().await?;
    let (claim, resumed) = match start(job).await? {
        Start::Complete { record, changes } => {
            report.run = Some(record.start.id);
            report.already_complete = true;
            report.status = status_of(&record.counts);
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

    let tally = Arc::new(Tally::default());
    let context = Context {
        run: claim.run.clone(),
        epoch: claim.epoch,
        events: job.events.clone().with(Arc::clone(&tally) as Arc<_>),
        tally: Arc::clone(&tally),
        stop: job.stop.clone(),
    };
    let (run, name) = (claim.run.clone(), job.name.clone());
    context.events.emit(&Event::RunStarted { run, job: name, resumed });
    let source = job.source.name().to_owned();
    context.events.emit(&Event::StepStarted { step: MAIN.to_owned(), source });

    let ended = hold_and_work(job, &claim, &context).await;

    let totals = tally.totals();
    (report.chunks, report.retries) = (totals.chunks, totals.retries);
    report.failed_items = tally.over_limit();
    let counts = totals.counts;
    report.status = match &ended {
        Ok(()) => status_of(&counts),
        Err(fault) if fault.kind() == Kind::Stopped => Status::Stopped,
        Err(_) => Status::Failed,
    };
    context.events.emit(&Event::StepEnded { step: MAIN.to_owned(), counts });
    let fault = ended.as_ref().err().cloned();
    context.events.emit(&Event::RunEnded { status: report.status, counts, fault });
    ended
}

/// Works on the run while the lease is kept, then ends the claim.
async fn hold_and_work(job: &mut Job, claim: &Claim, context: &Context) -> Result<()> {
    let ledger = Arc::clone(&job.ledger);
    let (lost, mut is_lost) = watch::channel(false);
    let heart =
        tokio::spawn(keep_alive(Arc::clone(&ledger), claim.clone(), job.options.lease, lost));
    let worked = tokio::select! {
        worked = work(job, context, ledger.as_ref()) => worked,
        _ = is_lost.wait_for(|lost| *lost) => Err(claim.fenced()),
    };
    heart.abort();
    let (state, message) = match &worked {
        Ok(()) => (RunState::Completed, None),
        Err(fault) if fault.kind() == Kind::Stopped => (RunState::Stopped, None),
        Err(fault) => (RunState::Failed, Some(fault.message().to_owned())),
    };
    let finished = ledger.finish(claim, state, message.as_deref()).await;
    // If the work failed, that is what the person needs to hear.
    worked.and(finished)
}

async fn work(job: &mut Job, context: &Context, ledger: &dyn Ledger) -> Result<()> {
    let items = step::run(job, context).await?;
    step::audit(ledger, context, items).await
}

/// Prolongs the lease six times in its length; tells when it is lost. A ledger
/// that can't be reached for a while changes nothing: safety rests on the
/// epoch, the lease only lets others go on early.
async fn keep_alive(
    ledger: Arc<dyn Ledger>,
    claim: Claim,
    lease: std::time::Duration,
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

fn status_of(counts: &Counts) -> Status {
    if counts.failed == 0 { Status::Success } else { Status::PartialSuccess }
}

/// Fills in what the ledger knows.
async fn fill(ledger: &dyn Ledger, report: &mut Report) -> Result<()> {
    let Some(run) = report.run.clone() else { return Ok(()) };
    report.counts = counts_of(ledger, &run).await?;
    let letters = ledger.dead_letters(&run, MAIN, 0, FAILED_ITEMS).await?;
    let mut failed: Vec<FailedItem> = letters.into_iter().map(FailedItem::from).collect();
    failed.append(&mut report.failed_items);
    failed.truncate(FAILED_ITEMS);
    report.failed_items = failed;
    Ok(())
}

async fn counts_of(ledger: &dyn Ledger, run: &RunId) -> Result<Counts> {
    let marks = ledger.marks(run, MAIN).await?;
    Ok(marks.iter().fold(Counts::default(), |sum, (_, mark)| sum + mark.counts))
}
