//! Items that failed, and what is kept of them.

use std::fmt;

use crate::{Fault, Origin};

/// Where on its way an item failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// It could not be read.
    Parse,
    /// An expression failed on it.
    Map,
    /// It broke a rule of the job.
    Require,
    /// What it refers to was not found, or could not be created.
    Match,
    /// The target refused it.
    Write,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 5] = [Self::Parse, Self::Map, Self::Require, Self::Match, Self::Write];

    /// The word that stands in ledgers and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Map => "map",
            Self::Require => "require",
            Self::Match => "match",
            Self::Write => "write",
        }
    }

    /// The stage with that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An item that failed, as the stage that refused it says.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which item.
    pub ordinal: u64,
    /// Where on its way.
    pub stage: Stage,
    /// Why.
    pub fault: Fault,
}

/// An item that failed, as the ledger keeps it: durable if and only if the unit
/// that carries it commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Which item of the source.
    pub ordinal: u64,
    /// Where it came from, with the record as it was read.
    pub origin: Origin,
    /// Where on its way it failed.
    pub stage: Stage,
    /// The class of error: the database's code, or a word of kiln's own.
    pub code: Option<String>,
    /// The constraint it broke, where the database names it, or the rule of the
    /// job.
    pub constraint: Option<String>,
    /// The column at fault, where it is known.
    pub column: Option<String>,
    /// What is wrong.
    pub message: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it was committed, RFC 3339 in UTC, by the ledger's clock; `None`
    /// before.
    pub at: Option<String>,
}

impl DeadLetter {
    /// The dead letter of a failed item.
    pub fn new(failure: &Failure, origin: Origin) -> Self {
        let fault = &failure.fault;
        Self {
            ordinal: failure.ordinal,
            origin,
            stage: failure.stage,
            code: fault.code().map(str::to_owned),
            constraint: fault.constraint().map(str::to_owned),
            column: fault.column().map(str::to_owned),
            message: fault.message().to_owned(),
            tries: fault.tries(),
            at: None,
        }
    }
}
