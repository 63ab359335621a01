//! What a run came to.

use std::time::Duration;

use kiln_core::{Counts, DeadLetter, Fault, RuleCount, RunId, Stage, Status};

/// How many failed items a report names; the ledger has all.
pub(crate) const FAILED_ITEMS: usize = 100;

/// What a run came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The job's name.
    pub job: String,
    /// The run; none if it could not even be begun.
    pub run: Option<RunId>,
    /// How it went.
    pub status: Status,
    /// The same run was complete before: nothing was done.
    pub already_complete: bool,
    /// It went on with what an earlier start had begun.
    pub resumed: bool,
    /// What it has counted, over all its tries, as the ledger has it.
    pub counts: Counts,
    /// The same for each step, in the order in which they run.
    pub steps: Vec<StepReport>,
    /// The first items that failed: dead letters, then those for which the run
    /// stopped at its limit, which are none yet.
    pub failed_items: Vec<FailedItem>,
    /// Units committed by this try.
    pub chunks: u64,
    /// Transient faults that were tried again by this try.
    pub retries: u64,
    /// From start to end of this try, by the wall's clock.
    pub took: Duration,
    /// The most memory the process has held so far, in bytes; 0 where the
    /// system does not tell.
    pub peak_memory: u64,
    /// What differs from the job or the input as they were when the run began.
    pub changes: Vec<String>,
    /// Why it failed or stopped.
    pub fault: Option<Fault>,
}

/// What a step came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepReport {
    /// Its name; that of a job's only step is `main`.
    pub name: String,
    /// How it went; none if it has not begun.
    pub status: Option<Status>,
    /// What it has counted, over all tries of the run, as the ledger has it.
    pub counts: Counts,
    /// The rules that its items broke, the same way.
    pub rules: Vec<RuleCount>,
    /// Units committed by this try.
    pub chunks: u64,
    /// Transient faults that were tried again by this try.
    pub retries: u64,
    /// How long this try worked on it, by the wall's clock.
    pub took: Duration,
    /// What its command said last, if this try ran one.
    pub said: Option<String>,
    /// Why it failed or stopped.
    pub fault: Option<Fault>,
}

impl StepReport {
    /// That of a step which has not begun.
    pub(crate) fn waiting(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            status: None,
            counts: Counts::default(),
            rules: Vec::new(),
            chunks: 0,
            retries: 0,
            took: Duration::ZERO,
            said: None,
            fault: None,
        }
    }
}

/// A failed item, as far as a report tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedItem {
    /// The step in which it failed.
    pub step: String,
    /// The file or table.
    pub source: String,
    /// The line on which it starts, counted from 1.
    pub line: Option<u64>,
    /// Where on its way it failed.
    pub stage: Stage,
    /// The class of error.
    pub code: Option<String>,
    /// What is wrong.
    pub error: String,
}

impl FailedItem {
    pub(crate) fn new(step: &str, letter: DeadLetter) -> Self {
        Self {
            step: step.to_owned(),
            source: letter.origin.source,
            line: letter.origin.line,
            stage: letter.stage,
            code: letter.code,
            error: letter.message,
        }
    }
}

/// The most memory this process has held, in bytes.
pub(crate) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib: Option<u64> = line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0) * 1024
}
