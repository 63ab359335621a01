//! Which dead letters are read again: of which runs, of which steps.

use std::collections::BTreeMap;

use kiln::{DeadLetterSource, Which, is_of, source_of, step_names, steps_of};
use kiln_core::{Fault, Kind, Ledger, RunId, RunRecord, RunState, Stage};

use crate::nearest::suggestion;
use crate::spec::StepSpec;

/// The parameter that tells the runs of a job that redrive a run from its others.
const PARAMETER: &str = "dead letters of";

/// The most runs of a job that are looked at.
const MOST_RUNS: usize = 10_000;

/// What of a run a job reads again, in place of what it reads else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The run.
    pub run: RunId,
    /// Its steps, those that have dead letters; not empty.
    pub steps: Vec<String>,
    /// Only the dead letters that failed there.
    pub stage: Option<Stage>,
    /// Only those with this code.
    pub code: Option<String>,
}

impl Redrive {
    /// Leaves the steps that are redriven, and of what they need those that are. How
    /// many items may fail is not limited: they have failed before.
    ///
    /// # Errors
    /// [`Kind::Config`]: one is not in the job any more.
    pub(crate) fn keep_of(&self, steps: &mut Vec<StepSpec>) -> Result<(), Fault> {
        let has = |name: &String| steps.iter().any(|step| step.name.get_ref() == name);
        if let Some(gone) = self.steps.iter().find(|name| !has(name)) {
            let fault = format!("run {} has dead letters of a step {gone}", self.run);
            return Err(Fault::config(format!("{fault}, which is not in the job file"))
                .with_hint("put it back, or choose others: --step"));
        }
        steps.retain(|step| self.steps.contains(step.name.get_ref()));
        for step in steps {
            step.needs.retain(|need| self.steps.iter().any(|kept| is_of(kept, need.get_ref())));
            step.when = None;
            (step.limits.failed, step.limits.after) = (None, None);
        }
        Ok(())
    }
}

/// A run with dead letters that no run has redriven.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) run: RunRecord,
    /// The steps that have them.
    pub(crate) steps: Vec<String>,
}

/// The parameters of a run that redrives another, as JSON.
pub(crate) fn parameters(own: &str, of: &RunId) -> String {
    let mut all = parsed(own);
    all.insert(PARAMETER.to_owned(), of.0.clone());
    serde_json::to_string(&all).unwrap_or_default()
}

/// The run that one with these parameters redrives, and its parameters without that.
pub fn redriven_by(parameters: &str) -> Option<(RunId, String)> {
    let mut all = parsed(parameters);
    let run = all.remove(PARAMETER)?;
    Some((RunId(run), serde_json::to_string(&all).unwrap_or_default()))
}

fn parsed(parameters: &str) -> BTreeMap<String, String> {
    serde_json::from_str(parameters).unwrap_or_default()
}

/// Whether a run is one of a job with these parameters, or redrives one.
fn is_with(run: &RunRecord, parameters: &str) -> bool {
    let own = &run.start.parameters;
    let without = redriven_by(own).map(|(_, rest)| rest);
    parsed(without.as_deref().unwrap_or(own)) == parsed(parameters)
}

/// The runs of a job that are over and have dead letters which no run has redriven,
/// oldest first; with these parameters, if any are given.
pub(crate) async fn open(
    ledger: &dyn Ledger,
    job: &str,
    parameters: Option<&str>,
) -> Result<Vec<Open>, Fault> {
    let mut runs = ledger.runs(Some(job), MOST_RUNS).await?;
    runs.reverse();
    let mut all = Vec::new();
    for run in runs {
        let is_over = matches!(run.state, RunState::Completed | RunState::Abandoned);
        let is_meant = parameters.is_none_or(|parameters| is_with(&run, parameters));
        if !is_over || !is_meant || run.counts.failed == 0 {
            continue;
        }
        let steps = open_steps(ledger, &run).await?;
        if !steps.is_empty() {
            all.push(Open { run, steps });
        }
    }
    Ok(all)
}

/// The steps of a run that have dead letters which no run has redriven.
pub(crate) async fn open_steps(ledger: &dyn Ledger, run: &RunRecord) -> Result<Vec<String>, Fault> {
    let mut open = Vec::new();
    for step in steps_of(ledger, run).await? {
        let redriven = ledger.redriven(&run.start.id, &step.name).await?;
        if step.counts.failed > redriven.len() as u64 {
            open.push(step.name);
        }
    }
    Ok(open)
}

/// The run that an open run of a job with these parameters redrives: its own
/// choice is kept while it goes on.
pub(crate) async fn going_on(
    ledger: &dyn Ledger,
    job: &str,
    parameters: &str,
    step: &str,
) -> Result<Option<(RunId, RunId)>, Fault> {
    let newest = ledger.newest(job, parameters).await?.filter(|run| run.state.is_open());
    Ok(newest.and_then(|run| {
        let (redriven, _) = DeadLetterSource::meant_by(&source_of(&run, step))?;
        Some((run.start.id, redriven))
    }))
}

/// The steps of a run that have dead letters, redriven or not.
pub(crate) async fn failed_steps(
    ledger: &dyn Ledger,
    run: &RunRecord,
) -> Result<Vec<String>, Fault> {
    let steps = steps_of(ledger, run).await?.into_iter();
    Ok(steps.filter(|step| step.counts.failed > 0).map(|step| step.name).collect())
}

/// What the open run of a job with these parameters redrives that was begun for it,
/// if there is one.
pub(crate) async fn unfinished(
    ledger: &dyn Ledger,
    job: &str,
    parameters: &str,
) -> Result<Option<Redrive>, Fault> {
    for by in ledger.runs(Some(job), MOST_RUNS).await? {
        let redriven = redriven_by(&by.start.parameters).filter(|_| by.state.is_open());
        let Some((run, _)) = redriven.filter(|_| is_with(&by, parameters)) else { continue };
        let steps = step_names(&by)?;
        let first = steps.first().map(|step| source_of(&by, step));
        let meant = first.and_then(|source| DeadLetterSource::meant_by(&source));
        let Which { stage, code, .. } = meant.map(|(_, which)| which).unwrap_or_default();
        return Ok(Some(Redrive { run, steps, stage, code }));
    }
    Ok(None)
}

/// The run of that name.
pub(crate) async fn named(ledger: &dyn Ledger, name: &str) -> Result<RunRecord, Fault> {
    ledger.run(name).await?.ok_or_else(|| {
        let fault = format!("no run, or more than one, has a name that begins with {name}");
        Fault::new(Kind::InputMissing, fault).with_hint("`kiln runs` lists them")
    })
}

/// The stage with that word.
///
/// # Errors
/// [`Kind::Config`]: there is none.
pub fn stage(word: &str) -> Result<Stage, Fault> {
    Stage::parse(word).ok_or_else(|| {
        let words = Stage::ALL.map(Stage::as_str);
        Fault::config(format!("{word:?} is no stage")).with_hint(suggestion("stages", word, &words))
    })
}

/// The steps of those that are the one of this name, or share it.
///
/// # Errors
/// [`Kind::InputMissing`]: there is none.
pub(crate) fn of_name(steps: &[String], name: &str, run: &RunId) -> Result<Vec<String>, Fault> {
    let meant: Vec<String> = steps.iter().filter(|step| is_of(step, name)).cloned().collect();
    if meant.is_empty() {
        let fault = format!("run {run} has no dead letters of a step {name} to read again");
        return Err(Fault::new(Kind::InputMissing, fault)
            .with_hint(format!("its steps that have some: {}", steps.join(", "))));
    }
    Ok(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redriven_run_is_in_the_parameters() {
        let of = RunId("r1".to_owned());
        let own = r#"{"day":"2026-01-01"}"#;
        let with = parameters(own, &of);
        assert_eq!(redriven_by(&with), Some((of.clone(), own.to_owned())));
        assert_eq!(redriven_by(own), None);
        assert_eq!(redriven_by(&parameters("{}", &of)), Some((of, "{}".to_owned())));
    }
}
