//! What the ledger knows of the steps of a run.
//!
//! A step's first act is to open its lanes, which makes their marks; its last one
//! is to keep how it ended, beside them ([`End`]). So the marks tell all.

use kiln_core::{
    Counts, Fault, Fingerprint, LaneKey, Ledger, Mark, Result, RuleCount, RunId, RunRecord,
    RunState,
};

use crate::end::End;
use crate::job::{Job, MAIN, Step};
use crate::when::is_of;

/// The part of a run's fingerprint that holds the names of its steps, in order,
/// as a JSON array.
const STEPS: &str = "steps";

/// A step of a run, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub state: StepState,
    /// What it has counted, over all tries of the run.
    pub counts: Counts,
    /// The rules that its items broke, the same way.
    pub rules: Vec<RuleCount>,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// It has not begun.
    Waiting,
    /// It has begun; the state of its run says whether it goes on.
    Begun,
    /// It has read its source to the end.
    Complete,
    /// Its condition did not hold.
    Skipped,
}

/// The steps of a run, in the order in which they run.
///
/// # Errors
/// If the ledger can't be read.
pub async fn steps_of(ledger: &dyn Ledger, run: &RunRecord) -> Result<Vec<StepRecord>> {
    let mut steps = Vec::new();
    for name in names(&run.start.source)? {
        let marks = ledger.marks(&run.start.id, &name).await?;
        let state = match End::of(&marks)? {
            Some(End::Complete) => StepState::Complete,
            Some(End::Skipped) => StepState::Skipped,
            // The end's lane may have been opened in vain.
            None if marks.iter().all(|(lane, _)| *lane == LaneKey::END) => StepState::Waiting,
            None if run.state == RunState::Completed => StepState::Complete,
            None => StepState::Begun,
        };
        let rules = ledger.rules(&run.start.id, &name).await?;
        steps.push(StepRecord { name, state, counts: sum(&marks), rules });
    }
    Ok(steps)
}

/// What a step has counted.
pub(crate) async fn counts_of(ledger: &dyn Ledger, run: &RunId, step: &str) -> Result<Counts> {
    Ok(sum(&ledger.marks(run, step).await?))
}

/// What the lanes of a step have counted.
pub(crate) fn sum(marks: &[(u32, Mark)]) -> Counts {
    marks.iter().fold(Counts::default(), |sum, (_, mark)| sum + mark.counts)
}

/// What the steps read: the parts of each source's fingerprint, and the names of
/// the steps, unless there is a lone one called `main`.
pub(crate) fn sources(steps: &[Step]) -> Fingerprint {
    let alone = is_alone(steps);
    let mut all = Fingerprint::default();
    if !alone {
        let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        all = all.with(STEPS, serde_json::Value::from(names));
    }
    for step in steps {
        for (name, value) in step.source.fingerprint().0 {
            all = all.with(part(alone, &step.name, &name), value);
        }
    }
    all
}

/// Whether there is one step only, called `main`.
pub(crate) fn is_alone(steps: &[Step]) -> bool {
    matches!(steps, [only] if only.name == MAIN)
}

/// The name of a part in the run's fingerprint: with the step's name and `: `
/// before it, unless the step is alone.
pub(crate) fn part(alone: bool, step: &str, name: &str) -> String {
    if alone { name.to_owned() } else { format!("{step}: {name}") }
}

/// The step that a part of a fingerprint belongs to, and the part's own name.
pub(crate) fn of_step(part: &str) -> (Option<&str>, &str) {
    match part.split_once(": ") {
        Some((step, part)) => (Some(step), part),
        None => (None, part),
    }
}

/// Parts of a job's definition that say how fast it goes, not what it does.
const HARMLESS: [&str; 2] = ["chunk", "limits"];

/// What a step of a run read: the fingerprint that its source had.
pub fn source_of(run: &RunRecord, step: &str) -> Fingerprint {
    let source = &run.start.source;
    let alone = !source.0.contains_key(STEPS);
    let own = |(name, value): (&String, &String)| {
        let name = if alone { name } else { name.strip_prefix(step)?.strip_prefix(": ")? };
        Some((name.to_owned(), value.clone()))
    };
    Fingerprint(source.0.iter().filter_map(own).collect())
}

/// Whether how a step maps or writes its items is not as it was when the run
/// began.
pub(crate) fn remapped(run: &RunRecord, job: &Job, name: &str) -> bool {
    run.start.definition.differences(&job.definition).iter().any(|(part, ..)| {
        let (step, part) = of_step(part);
        step.is_none_or(|step| is_of(name, step)) && !HARMLESS.contains(&part)
    })
}

/// The names of the steps of a run, in the order in which they run.
///
/// # Errors
/// If the ledger's names can't be read.
pub fn step_names(run: &RunRecord) -> Result<Vec<String>> {
    names(&run.start.source)
}

/// The names of the steps, in the order in which they run.
pub(crate) fn names(source: &Fingerprint) -> Result<Vec<String>> {
    match source.0.get(STEPS) {
        None => Ok(vec![MAIN.to_owned()]),
        Some(names) => serde_json::from_str(names)
            .map_err(|e| Fault::bug(format!("the ledger's names of steps can't be read: {e}"))),
    }
}
