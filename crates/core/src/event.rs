//! What happens in a run, as one stream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Counts, DeadLetter, Fault, Progress, RunId, Span, Status};

/// Something that happened. Progress bar, log, metrics and report all live off
/// these. Steps that run side by side tell in turn: what concerns one of them
/// names it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A run begins, or goes on.
    RunStarted {
        /// The run.
        run: RunId,
        /// The job's name.
        job: String,
        /// What is committed already.
        resumed: Option<Counts>,
    },
    /// A step begins.
    StepStarted {
        /// Its name.
        step: Arc<str>,
        /// Which one it is of the job's steps, counted from 1.
        place: usize,
        /// How many steps the job has.
        of: usize,
        /// What it reads.
        source: String,
    },
    /// A step is not done: its condition does not hold.
    StepSkipped {
        /// Its name.
        step: Arc<str>,
        /// The condition.
        condition: String,
    },
    /// A chunk was read.
    ChunkRead {
        /// By which step.
        step: Arc<str>,
        /// How far the source is read now.
        progress: Progress,
    },
    /// A unit was committed: its counts, and no others, count.
    Committed {
        /// Of which step.
        step: Arc<str>,
        /// By which lane.
        lane: u32,
        /// What it settled.
        span: Span,
        /// What it added.
        counts: Counts,
        /// From the first submission to the commit.
        took: Duration,
    },
    /// An item failed, and its dead letter is committed.
    ItemFailed {
        /// In which step.
        step: Arc<str>,
        /// What is kept of it.
        letter: Arc<DeadLetter>,
    },
    /// A unit would take the run over its limit of failed items, and is not
    /// committed: its failed items are no dead letters yet, and come again when
    /// the run is resumed.
    LimitReached {
        /// Which step has the limit.
        step: Arc<str>,
        /// The items that would be too many.
        letters: Arc<[DeadLetter]>,
    },
    /// A unit was refused for an item's fault, and is taken apart.
    Isolating {
        /// Of which step.
        step: Arc<str>,
        /// The unit.
        span: Span,
        /// What the target said.
        fault: Fault,
    },
    /// A transient fault: the unit is tried again after a pause.
    Retry {
        /// By which step.
        step: Arc<str>,
        /// Which retry this is, counted from 1.
        attempt: u32,
        /// The pause before it.
        pause: Duration,
        /// What went wrong.
        fault: Fault,
    },
    /// It was not known whether a unit had landed, and the mark told.
    Resolved {
        /// Of which step.
        step: Arc<str>,
        /// The unit.
        span: Span,
        /// Whether it was committed.
        landed: bool,
    },
    /// A command that a step ran has ended well.
    CommandEnded {
        /// Which step.
        step: Arc<str>,
        /// What it said last.
        said: String,
    },
    /// A step has read and committed everything, or stopped.
    StepEnded {
        /// Its name.
        step: Arc<str>,
        /// What it has counted, over all tries of the run.
        counts: Counts,
    },
    /// The run is over, for now.
    RunEnded {
        /// How.
        status: Status,
        /// What it has counted, over all tries.
        counts: Counts,
        /// Why, where it failed or stopped.
        fault: Option<Fault>,
    },
}

/// Sees every event, in order.
///
/// It is called on the way of the items, so it must not block: whatever talks
/// to the outside keeps a queue of its own and drops what does not fit.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, event: &Event);
}

/// The stream of events: hands each one to all observers.
#[derive(Clone, Default)]
pub struct Events(Vec<Arc<dyn Observer>>);

impl Events {
    /// Nobody watches.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more watches.
    #[must_use]
    pub fn with(mut self, observer: Arc<dyn Observer>) -> Self {
        self.0.push(observer);
        self
    }

    /// Tells all.
    pub fn emit(&self, event: &Event) {
        for observer in &self.0 {
            observer.observe(event);
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({} observers)", self.0.len())
    }
}
