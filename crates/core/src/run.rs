//! Runs: who they are, what state they are in, what they have counted.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, AddAssign};

use chrono::DateTime;

/// The name of a run: time-ordered and unique.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The run that a mapper works for: the same however often it is resumed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// When it began, by the ledger's clock, in microseconds since 1970; none
    /// where nothing is run.
    pub began: Option<i64>,
}

impl Run {
    /// A run that began at this moment, as
    /// [`RunRecord::started_at`](crate::RunRecord::started_at) has it.
    pub fn new(id: RunId, started_at: &str) -> Self {
        let began = DateTime::parse_from_rfc3339(started_at).ok();
        Self { id, began: began.map(|moment| moment.timestamp_micros()) }
    }
}

/// The state of a run in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    /// Somebody works on it, or died doing so.
    Running,
    /// It stopped on request; it can be resumed.
    Stopped,
    /// It met a fault; it can be resumed.
    Failed,
    /// It read its source to the end.
    Completed,
    /// Another run took its place; it can't be resumed.
    Abandoned,
}

impl RunState {
    /// All states.
    pub const ALL: [Self; 5] =
        [Self::Running, Self::Stopped, Self::Failed, Self::Completed, Self::Abandoned];

    /// The word that stands in ledgers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Completed => "completed",
            Self::Abandoned => "abandoned",
        }
    }

    /// The state with that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// Whether a run may go on from here.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Stopped | Self::Failed)
    }

    /// Whether a run in this state may come into `next`. Every other change is
    /// an error of whoever asks for it.
    ///
    /// | from | to |
    /// |---|---|
    /// | running | running (taken over), stopped, failed, completed, abandoned |
    /// | stopped, failed | running, abandoned |
    /// | completed, abandoned | — |
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Running => true,
            Self::Stopped | Self::Failed => matches!(next, Self::Running | Self::Abandoned),
            Self::Completed | Self::Abandoned => false,
        }
    }
}

/// How a run or a step went, for its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Complete, no item failed.
    Success,
    /// Complete within its limits; some items failed.
    PartialSuccess,
    /// It met a fault.
    Failed,
    /// It stopped on request.
    Stopped,
    /// It was not chosen; only a step can be.
    Skipped,
}

impl Status {
    /// The word that stands in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::PartialSuccess => "partial_success",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Skipped => "skipped",
        }
    }
}

/// What became of items. Only committed work is ever counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records read.
    pub read: u64,
    /// Items written.
    pub processed: u64,
    /// Items dropped on purpose.
    pub filtered: u64,
    /// Items of which nothing was written: the target has them already (see
    /// [`Mode::Ignore`](crate::Mode::Ignore)).
    pub duplicate: u64,
    /// Items that became dead letters.
    pub failed: u64,
}

impl Counts {
    /// The accounting identity: every item read came to exactly one end.
    pub fn balance(&self) -> bool {
        self.read == self.processed + self.filtered + self.duplicate + self.failed
    }

    /// The same, with `n` of the processed items as duplicates instead.
    #[must_use]
    pub fn with_duplicates(self, n: u64) -> Self {
        let n = n.min(self.processed);
        Self { processed: self.processed - n, duplicate: self.duplicate + n, ..self }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.processed += other.processed;
        self.filtered += other.filtered;
        self.duplicate += other.duplicate;
        self.failed += other.failed;
    }
}

impl Add for Counts {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

/// What something looked like when a run began, in named parts, so that a
/// difference can be told and not only detected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint(pub BTreeMap<String, String>);

impl Fingerprint {
    /// Adds a part.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.insert(name.into(), value.to_string());
        self
    }

    /// The names of the parts in which `other` differs, with both values;
    /// `None` where one side lacks the part.
    pub fn differences<'a>(
        &'a self,
        other: &'a Self,
    ) -> Vec<(&'a str, Option<&'a str>, Option<&'a str>)> {
        let names: std::collections::BTreeSet<&String> =
            self.0.keys().chain(other.0.keys()).collect();
        names
            .into_iter()
            .map(|n| {
                (n.as_str(), self.0.get(n).map(String::as_str), other.0.get(n).map(String::as_str))
            })
            .filter(|(_, a, b)| a != b)
            .collect()
    }
}

/// Who works on a run: enough to tell a person where to look, and to see on the
/// same machine whether the process still lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The machine, for people.
    pub host: String,
    /// The process, for people.
    pub pid: u32,
    /// The machine since its last start, its process namespace, and the
    /// process with its start: equal only for the same living process.
    pub identity: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}
