//! What a run has counted so far, read off its events.

use std::sync::Mutex;

use kiln_core::{Counts, Event, Observer};

/// The counters of a run.
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
pub(crate) struct Tally(Mutex<Totals>);

impl Tally {
    pub(crate) fn totals(&self) -> Totals {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Totals> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Observer for Tally {
    fn observe(&self, event: &Event) {
        let mut totals = self.lock();
        match event {
            Event::RunStarted { resumed: Some(counts), .. } => totals.counts = *counts,
            Event::Committed { counts, .. } => {
                totals.counts += *counts;
                totals.chunks += 1;
            }
            Event::Retry { .. } => totals.retries += 1,
            _ => {}
        }
    }
}
