//! Telling of a step, in the stream that all steps share.

use std::sync::Arc;

use kiln_core::{Event, Events};

/// The stream of events, and the step that speaks.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    step: Arc<str>,
    events: Events,
}

impl Voice {
    pub(crate) fn new(step: impl Into<Arc<str>>, events: Events) -> Self {
        Self { step: step.into(), events }
    }

    /// The name of the step.
    pub(crate) fn step(&self) -> Arc<str> {
        Arc::clone(&self.step)
    }

    pub(crate) fn emit(&self, event: &Event) {
        self.events.emit(event);
    }
}
