//! Which run a start works on: a new one, one to be resumed, or none.

use std::sync::Arc;

use kiln_core::{
    Claim, Fault, Fingerprint, Kind, NewRun, Owner, Result, RunId, RunRecord, RunState, SINCE,
};

use crate::job::Job;
use crate::{owner, record};

/// What a start has come to.
pub(crate) enum Start {
    /// It holds a run.
    Claimed {
        claim: Claim,
        /// The run as earlier starts left it, if there were any.
        resumed: Option<Box<RunRecord>>,
        /// What differs from when the run began.
        changes: Vec<String>,
    },
    /// The same run is complete already.
    Complete { record: Box<RunRecord>, changes: Vec<String> },
}

/// Parts of a source's fingerprint whose change can be accepted; any other
/// makes positions meaningless.
const ACCEPTABLE: [&str; 2] = ["size", "content"];

/// Claims a run for the job.
///
/// | newest run of the job with these parameters | becomes |
/// |---|---|
/// | none, or abandoned | a new run |
/// | complete, same input | nothing to do; with `again` a new run |
/// | complete, other input | a new run |
/// | complete, and the source reads only what is new | a new run behind it |
/// | open, and its owner lives | [`Kind::Held`] |
/// | open | resumed; with `again` abandoned, and a new run |
///
/// The job is borrowed mutably only because a source need not be `Sync`: a
/// shared borrow would keep the run from being spawned.
pub(crate) async fn start(job: &mut Job) -> Result<Start> {
    let ledger = Arc::clone(&job.ledger);
    let me = owner::this_process();
    let newest = ledger.newest(&job.name, &job.parameters).await?;
    let is_new = starts_behind(job, newest.as_ref()).await?;
    let new = NewRun {
        id: RunId(uuid::Uuid::now_v7().simple().to_string()),
        job: job.name.clone(),
        parameters: job.parameters.clone(),
        source: record::sources(&job.steps),
        definition: job.definition.clone(),
    };
    match newest {
        Some(old) if old.state.is_open() => {
            let dead = owner::is_dead(&old.owner);
            if old.state == RunState::Running && old.leased && !dead {
                return Err(held(&old));
            }
            if job.options.again {
                if !ledger.abandon(&old.start.id, old.epoch).await? {
                    return Err(faster(job).await);
                }
                create(job, &new, Some(&old.start.id), &me).await
            } else {
                resume(job, &new, old, &me, dead).await
            }
        }
        Some(old)
            if old.state == RunState::Completed
                && !job.options.again
                && !is_new
                && old.start.source == new.source =>
        {
            let changes = describe("the job", &old.start.definition, &new.definition);
            Ok(Start::Complete { record: Box::new(old), changes })
        }
        old => create(job, &new, old.as_ref().map(|old| &old.start.id), &me).await,
    }
}

/// Lets each source that reads only what is new begin where the last complete
/// run ended; with `again` it reads everything. A run keeps where it began in
/// its fingerprint, so that it is resumed from there, and the next one finds it.
/// Gives whether there is such a source.
async fn starts_behind(job: &mut Job, newest: Option<&RunRecord>) -> Result<bool> {
    let mut any = false;
    let alone = record::is_alone(&job.steps);
    for step in &mut job.steps {
        let mut place = String::new();
        if let Some(old) = newest.filter(|_| !job.options.again) {
            if old.state == RunState::Completed {
                let marks = job.ledger.marks(&old.start.id, &step.name).await?;
                let ends = marks.into_iter().map(|(_, mark)| mark.checkpoint.position);
                let ends = ends.filter(|end| end.ordinal > 0);
                place = ends.max_by_key(|end| end.ordinal).map(|end| end.place).unwrap_or_default();
            }
            if place.is_empty() {
                let part = record::part(alone, &step.name, SINCE);
                place = old.start.source.0.get(&part).cloned().unwrap_or_default();
            }
        }
        any |= step.source.start_behind(&place)?;
    }
    Ok(any)
}

async fn create(job: &mut Job, new: &NewRun, behind: Option<&RunId>, me: &Owner) -> Result<Start> {
    match job.ledger.create(new, behind, me, job.options.lease).await? {
        Some(claim) => Ok(Start::Claimed { claim, resumed: None, changes: Vec::new() }),
        None => Err(faster(job).await),
    }
}

async fn resume(
    job: &mut Job,
    new: &NewRun,
    old: RunRecord,
    me: &Owner,
    dead: bool,
) -> Result<Start> {
    let mut changes = source_changes(job, &old.start.source, &new.source)?;
    changes.extend(describe("the job", &old.start.definition, &new.definition));
    let lease = job.options.lease;
    match job.ledger.claim(&old.start.id, old.epoch, me, lease, dead).await? {
        Some(claim) => Ok(Start::Claimed { claim, resumed: Some(Box::new(old)), changes }),
        None => Err(faster(job).await),
    }
}

/// What changed in the input since the run began.
///
/// # Errors
/// [`Kind::Config`] if it changed and that is not accepted, or can't be.
fn source_changes(job: &Job, then: &Fingerprint, now: &Fingerprint) -> Result<Vec<String>> {
    let differences = then.differences(now);
    let changes = describe("the input", then, now);
    if differences.is_empty() {
        return Ok(changes);
    }
    steps_are_the_same(then, now)?;
    let acceptable =
        differences.iter().all(|(part, ..)| ACCEPTABLE.contains(&record::of_step(part).1));
    if acceptable && job.options.accept_changed_input {
        return Ok(changes);
    }
    let hint = if acceptable {
        "put the input back as it was, start a new run with --again, or go on with \
         --accept-changed-input if you know that what was read already is still the same"
    } else {
        "put the input back as it was, or start a new run with --again"
    };
    Err(Fault::config(format!(
        "{} changed since the run began, so its position may mean something else: {}",
        match job.steps.as_slice() {
            [only] => only.source.name(),
            _ => "the input",
        },
        changes.join("; ")
    ))
    .with_hint(hint))
}

/// Which steps are complete is known from their order, so it can't change under
/// a run.
fn steps_are_the_same(then: &Fingerprint, now: &Fingerprint) -> Result<()> {
    let (then, now) = (record::names(then)?, record::names(now)?);
    if then == now {
        return Ok(());
    }
    Err(Fault::config(format!(
        "the steps changed since the run began: they were {}; now they are {}",
        then.join(", "),
        now.join(", ")
    ))
    .with_hint("put them back as they were, or start a new run with --again"))
}

/// The differences of two fingerprints, one sentence each.
fn describe(what: &str, then: &Fingerprint, now: &Fingerprint) -> Vec<String> {
    let shown = |value: Option<&str>| match value {
        None => "nothing".to_owned(),
        Some(v) if v.chars().count() <= 60 && !v.contains('\n') => v.to_owned(),
        Some(_) => "another".to_owned(),
    };
    let sentence = |(part, a, b): (&str, Option<&str>, Option<&str>)| {
        let part = match record::of_step(part) {
            (Some(step), part) => format!("{what} of step {step}: {part}"),
            (None, part) => format!("{what}: {part}"),
        };
        match (shown(a), shown(b)) {
            (a, b) if a == b => format!("{part} changed"),
            (a, b) if a == "another" || b == "another" => format!("{part} changed"),
            (a, b) => format!("{part} was {a}, is {b}"),
        }
    };
    then.differences(now).into_iter().map(sentence).collect()
}

fn held(record: &RunRecord) -> Fault {
    Fault::new(
        Kind::Held,
        format!("run {} is held by {} since {}", record.start.id, record.owner, record.claimed_at),
    )
    .transient(false)
    .with_hint("wait for it; if that process is gone, its lease runs out by itself")
}

/// The fault of a start that came too late: it names who was faster.
async fn faster(job: &mut Job) -> Fault {
    match job.ledger.newest(&job.name, &job.parameters).await {
        Ok(Some(record)) if record.state == RunState::Running => held(&record),
        Ok(_) => Fault::new(Kind::Held, format!("another start of job {} was faster", job.name))
            .with_hint("wait for it to end, then run again"),
        Err(fault) => fault,
    }
}
