//! What a step has counted so far, read off its events.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kiln_core::{Counts, DeadLetter, Event, Observer};

/// The counters of a step.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    /// Over all tries of the run.
    pub(crate) counts: Counts,
    /// Units committed by this try.
    pub(crate) chunks: u64,
    /// Transient faults that were tried again.
    pub(crate) retries: u64,
}

/// Keeps the counters: one more observer of the stream.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    totals: Mutex<Totals>,
    over_limit: Mutex<Vec<DeadLetter>>,
    said: Mutex<Option<String>>,
}

impl Tally {
    pub(crate) fn totals(&self) -> Totals {
        *lock(&self.totals)
    }

    /// Begins with what earlier tries of the run have counted.
    pub(crate) fn go_on_from(&self, counts: Counts) {
        lock(&self.totals).counts = counts;
    }

    /// The failed items for which the run stopped at its limit.
    pub(crate) fn over_limit(&self) -> Vec<DeadLetter> {
        lock(&self.over_limit).clone()
    }

    /// What the step's command said last.
    pub(crate) fn said(&self) -> Option<String> {
        lock(&self.said).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Tally {
    fn observe(&self, event: &Event) {
        let mut totals = lock(&self.totals);
        match event {
            Event::Committed { counts, .. } => {
                totals.counts += *counts;
                totals.chunks += 1;
            }
            Event::Retry { .. } => totals.retries += 1,
            Event::LimitReached { letters, .. } => *lock(&self.over_limit) = letters.to_vec(),
            Event::CommandEnded { said, .. } => *lock(&self.said) = Some(said.clone()),
            _ => {}
        }
    }
}
