//! The book of runs.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Counts, DeadLetter, Fault, Fingerprint, Mark, Owner, Redriven, Result, RuleCount, RunId,
    RunState,
};

/// What is known of a run when it is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Its name, made by the caller.
    pub id: RunId,
    /// The job's name.
    pub job: String,
    /// What tells this run's parameters from others of the job, secrets left
    /// out. Runs with the same job and parameters follow each other; only the
    /// newest can be open.
    pub parameters: String,
    /// What the source looked like.
    pub source: Fingerprint,
    /// What the job looked like.
    pub definition: Fingerprint,
}

/// A run as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// What it began with.
    pub start: NewRun,
    /// Its state.
    pub state: RunState,
    /// Raised each time somebody takes it over.
    pub epoch: u64,
    /// Who has it, or had it last.
    pub owner: Owner,
    /// Whether its lease is still good, by the ledger's own clock. Only a
    /// running run has one.
    pub leased: bool,
    /// When it began, RFC 3339 in UTC, by the ledger's own clock.
    pub started_at: String,
    /// When its owner last claimed it.
    pub claimed_at: String,
    /// When it ended or stopped.
    pub ended_at: Option<String>,
    /// Why it stopped or failed.
    pub message: Option<String>,
    /// What its lanes have counted.
    pub counts: Counts,
}

/// The right to work on a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The run.
    pub run: RunId,
    /// The epoch at which it is held.
    pub epoch: u64,
}

/// Keeps runs, marks and dead letters.
///
/// Time is the ledger's own: no caller's clock decides who holds a run. Each
/// method is atomic. A method that would make an illegal change of state (see
/// [`RunState::may_become`]) changes nothing and says so.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Makes sure that the ledger's tables are there.
    ///
    /// # Errors
    /// [`Kind::NotPermitted`](crate::Kind::NotPermitted) if they are not and
    /// may not be created; [`Kind::Config`](crate::Kind::Config) if they are of
    /// a newer kiln.
    async fn prepare(&self) -> Result<()>;

    /// The newest run of a job with these parameters.
    async fn newest(&self, job: &str, parameters: &str) -> Result<Option<RunRecord>>;

    /// Begins a run at epoch 1 and holds it for `lease`, if `behind` is the
    /// newest run of the same job and parameters (`None`: if there is none).
    /// `None` if it is not, or is open: then somebody else was faster.
    async fn create(
        &self,
        run: &NewRun,
        behind: Option<&RunId>,
        owner: &Owner,
        lease: Duration,
    ) -> Result<Option<Claim>>;

    /// Takes over a run that is open and was seen at `epoch`, raising the epoch
    /// by one. `None` if somebody else was faster. The caller has made sure
    /// that the former owner is gone, or that the lease has run out: with
    /// `even_if_leased` the lease is not looked at.
    async fn claim(
        &self,
        run: &RunId,
        epoch: u64,
        owner: &Owner,
        lease: Duration,
        even_if_leased: bool,
    ) -> Result<Option<Claim>>;

    /// Prolongs the lease.
    ///
    /// # Errors
    /// [`Kind::Fenced`](crate::Kind::Fenced) if the run is no longer held at
    /// this epoch.
    async fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<()>;

    /// Ends the claim: the run becomes stopped, failed or completed.
    ///
    /// # Errors
    /// [`Kind::Fenced`](crate::Kind::Fenced) if the run is no longer held at
    /// this epoch; [`Kind::Bug`](crate::Kind::Bug) for a state that can't
    /// follow.
    async fn finish(&self, claim: &Claim, state: RunState, message: Option<&str>) -> Result<()>;

    /// Gives an open run up for good and raises the epoch of its marks, so that
    /// an owner who sleeps commits nothing when it wakes. False if the run is
    /// not open at this epoch.
    async fn abandon(&self, run: &RunId, epoch: u64) -> Result<bool>;

    /// The marks of a step's lanes, by lane.
    async fn marks(&self, run: &RunId, step: &str) -> Result<Vec<(u32, Mark)>>;

    /// Runs, newest first, of one job or of all.
    async fn runs(&self, job: Option<&str>, most: usize) -> Result<Vec<RunRecord>>;

    /// The run whose name is, or alone begins with, this text.
    async fn run(&self, name: &str) -> Result<Option<RunRecord>>;

    /// The steps of a run that have marks.
    async fn steps(&self, run: &RunId) -> Result<Vec<String>>;

    /// The dead letters of a step in the order of their items, those behind
    /// ordinal `after`, `most` of them.
    async fn dead_letters(
        &self,
        run: &RunId,
        step: &str,
        after: u64,
        most: usize,
    ) -> Result<Vec<DeadLetter>>;

    /// The dead letters of a step that another run has redriven, in the order of
    /// their items.
    async fn redriven(&self, run: &RunId, step: &str) -> Result<Vec<Redriven>>;

    /// How many dead letters a run has.
    async fn dead_letter_count(&self, run: &RunId) -> Result<u64>;

    /// The rules that items of a step broke, summed over its lanes, by name.
    async fn rules(&self, run: &RunId, step: &str) -> Result<Vec<RuleCount>>;
}

/// The fault of a runner whose run was taken over.
pub(crate) fn fenced(run: &RunId) -> Fault {
    Fault::new(crate::Kind::Fenced, format!("run {run} was taken over by another runner"))
        .with_hint("nothing is lost: the other runner goes on where this one stopped")
}

impl Claim {
    /// The fault of a claim that is no longer good.
    pub fn fenced(&self) -> Fault {
        fenced(&self.run)
    }
}
