//! Where units of work go.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;

use crate::{Claim, Counts, Fault, Mark, Result, RunId, Unit, Write};

/// Who commits: a lane of a step of a run, at an epoch of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneKey {
    /// The run.
    pub run: RunId,
    /// The step's name.
    pub step: String,
    /// Counted from 0.
    pub lane: u32,
    /// The run's epoch when it was claimed; a higher one fences lower ones.
    pub epoch: u64,
}

impl LaneKey {
    /// The lane in which a step keeps how it ended. It has no items and no
    /// writes; its number is behind all others.
    pub const END: u32 = i32::MAX as u32;
}

/// One line of what `validate` says.
#[derive(Debug, Clone)]
pub struct Check {
    /// What was looked at.
    pub what: String,
    /// What was found: a remark, or what is wrong.
    pub result: Result<Option<String>>,
}

impl Check {
    /// A check that passed.
    pub fn pass(what: impl Into<String>) -> Self {
        Self { what: what.into(), result: Ok(None) }
    }

    /// A check that passed, with something to know.
    pub fn note(what: impl Into<String>, note: impl Into<String>) -> Self {
        Self { what: what.into(), result: Ok(Some(note.into())) }
    }

    /// A check that failed.
    pub fn fail(what: impl Into<String>, fault: Fault) -> Self {
        Self { what: what.into(), result: Err(fault) }
    }
}

/// An item that the target will not take.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// Which item.
    pub ordinal: u64,
    /// Why; of [`Kind::Item`](crate::Kind::Item).
    pub fault: Fault,
}

/// Why a unit was not committed. Nothing of it is in the target.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What is wrong: with an item of it ([`Kind::Item`](crate::Kind::Item)),
    /// with the moment (transient), or with the target as a whole.
    pub fault: Fault,
    /// The item at fault, where the target names it.
    pub ordinal: Option<u64>,
    /// More items at fault, where the target names several at once. The unit
    /// without all of them may be sent as it is.
    pub others: Vec<Rejection>,
}

impl Refusal {
    /// A refusal for the fault of an item, if the target names it.
    pub fn of(ordinal: Option<u64>, fault: Fault) -> Self {
        Self { fault, ordinal, others: Vec::new() }
    }

    /// A refusal that names all these items.
    ///
    /// # Errors
    /// The refusal, if there are any.
    pub fn unless_none(rejections: Vec<Rejection>) -> Result<(), Self> {
        let mut rejections = rejections.into_iter();
        match rejections.next() {
            None => Ok(()),
            Some(Rejection { ordinal, fault }) => {
                Err(Self { fault, ordinal: Some(ordinal), others: rejections.collect() })
            }
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::of(None, fault)
    }
}

/// The answer to a unit.
#[derive(Debug, Clone)]
pub enum Settled {
    /// It is in the target, with its mark. What it added to the lane's counts.
    Committed(Counts),
    /// It is not in the target, nor is any unit submitted behind it.
    Refused(Refusal),
    /// It may be or not. The lane is of no more use; opening it again tells
    /// from the mark.
    Unknown(Fault),
}

/// A target that units are committed to.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Looks whether the writes can be done at all: the target is reachable,
    /// the tables and columns are there, of a type that `items` fit, and may be
    /// written. `items` are the columns that the writes' `from` name. Writes
    /// nothing; a set-up script of the target that has not run yet is run in a
    /// transaction that is rolled back.
    async fn check(&self, writes: &[Write], items: &SchemaRef) -> Vec<Check>;

    /// How many lanes at once are of use for these writes, whose keys are all
    /// filled from the same columns of the item. One, where two keys that differ
    /// as items have them may be the same to the target (such as texts in a
    /// column that does not tell case): their rows would be in two lanes.
    ///
    /// # Errors
    /// What keeps the target from being looked at.
    async fn max_lanes(&self, writes: &[Write], items: &SchemaRef) -> Result<u32>;

    /// Takes a lane over, and says how far it got.
    ///
    /// Waits until no commit of a former holder is in flight; from then on a
    /// holder of a lower epoch commits nothing. Called again with the same key
    /// (after [`Settled::Unknown`]) it gives a fresh lane with the true mark.
    ///
    /// A run that is held at a higher epoch in the same target's ledger, or was
    /// given up, gets no lane any more, not even one that nobody opened yet; a
    /// [`Ledger::claim`](crate::Ledger::claim) waits for an `open` that is under
    /// way.
    ///
    /// Without writes a lane keeps marks alone, as any other does.
    ///
    /// # Errors
    /// [`Kind::Fenced`](crate::Kind::Fenced) if somebody holds it at a higher
    /// epoch.
    async fn open(
        &self,
        key: &LaneKey,
        writes: &[Write],
        items: &SchemaRef,
    ) -> Result<(Box<dyn Lane>, Mark)>;

    /// As [`open`](Sink::open), for a lane that runs statements: its units have one
    /// write with one column of texts, and each row is a statement in the target's
    /// own language, run in the unit's transaction. What a statement meets is no
    /// item's fault: it is refused with another kind than
    /// [`Kind::Item`](crate::Kind::Item).
    ///
    /// # Errors
    /// As [`open`](Sink::open); [`Kind::Config`](crate::Kind::Config) from a target
    /// that knows no statements.
    async fn open_statements(&self, key: &LaneKey) -> Result<(Box<dyn Lane>, Mark)> {
        Err(Fault::config(format!("step {}: this target runs no statements", key.step)))
    }

    /// Looks whether a statement can be run, in a transaction with others and with
    /// the mark. Runs nothing; a set-up script of the target that has not run yet is
    /// run in a transaction that is rolled back.
    async fn check_statement(&self, _: &str) -> Vec<Check> {
        vec![Check::fail("statement", Fault::config("this target runs no statements"))]
    }

    /// Shows others what the run of a job has committed, where they do not see
    /// it from the start. Called when all steps are complete and the books
    /// balance, before the run itself is complete; if it fails, or the process
    /// dies, it is called again later, and leaves what was done as it is.
    ///
    /// # Errors
    /// [`Kind::Fenced`](crate::Kind::Fenced) if the run is no longer held by
    /// this claim, and whatever keeps the work from being seen.
    async fn publish(&self, _claim: &Claim, _job: &str) -> Result<()> {
        Ok(())
    }
}

/// An ordered stream of units into a target.
///
/// Obligations:
/// * A unit commits whole, with its mark, its counts and its dead letters, or
///   nothing of it does.
/// * A unit commits only if the lane's mark is where the unit's span begins and
///   the epoch is the lane's. So a unit behind a refused one never commits.
/// * Units are settled in the order they were submitted, each once.
#[async_trait]
pub trait Lane: Send {
    /// How many units may be submitted before the first is settled.
    fn window(&self) -> usize {
        1
    }

    /// Sends a unit; may return before there is an answer. What goes wrong is
    /// told by [`settle`](Lane::settle).
    async fn submit(&mut self, unit: Arc<Unit>);

    /// The answer to the oldest unit that has none. Without such a unit it is a
    /// [`Settled::Unknown`] of [`Kind::Bug`](crate::Kind::Bug).
    async fn settle(&mut self) -> Settled;

    /// Names every item of the unit that the target would refuse, and commits
    /// nothing; `None` where the target has no cheaper way than trying parts.
    /// Called only while no unit is in flight. What it wrote to find out may wait
    /// for the unit that the good items become; any other finds it undone.
    ///
    /// # Errors
    /// What concerns all items; nothing has changed then either.
    async fn diagnose(&mut self, _unit: &Unit) -> Result<Option<Vec<Rejection>>> {
        Ok(None)
    }
}
