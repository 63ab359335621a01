//! Pauses between tries.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use kiln_core::{Event, Fault, Kind, Result, RetryPolicy};

use crate::stop::Stop;
use crate::voice::Voice;

/// Counts the tries since the last success.
#[derive(Debug)]
pub(crate) struct Retry {
    policy: RetryPolicy,
    tried: u32,
}

impl Retry {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Self { policy, tried: 0 }
    }

    /// Something succeeded: the next fault starts counting anew.
    pub(crate) fn reset(&mut self) {
        self.tried = 0;
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The fault itself, if it may not be tried again or was tried often
    /// enough; [`Kind::Stopped`] if the run is asked to stop.
    pub(crate) async fn pause(
        &mut self,
        fault: Fault,
        events: &Voice,
        stop: &mut Stop,
    ) -> Result<()> {
        if !fault.is_transient() || self.tried >= self.policy.retries {
            return Err(fault);
        }
        self.tried += 1;
        let pause = self.policy.pause(self.tried, random());
        let (step, attempt) = (events.step(), self.tried);
        events.emit(&Event::Retry { step, attempt, pause, fault });
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = stop.requested() => Err(stopped()),
        }
    }
}

/// The fault of a run that was asked to stop.
pub(crate) fn stopped() -> Fault {
    Fault::new(Kind::Stopped, "stopped on request")
}

/// A number in [0, 1), good enough to keep runners from moving in step: the
/// standard library seeds each `RandomState` anew.
pub(crate) fn random() -> f64 {
    let bits = RandomState::new().hash_one(Duration::ZERO) >> 11;
    bits as f64 / (1u64 << 53) as f64
}
