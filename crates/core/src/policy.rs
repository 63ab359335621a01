//! How much failing is allowed, and how often to try again.

use std::time::Duration;

use crate::{Counts, Fault, Kind};

/// How many items may fail before the run does.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum FailureLimit {
    /// Any number.
    #[default]
    None,
    /// More than this many fail the run.
    Count(u64),
    /// More than this share of the items read fails the run, once at least
    /// `after` items were read.
    Ratio {
        /// Between 0 and 1.
        ratio: f64,
        /// The smallest sample.
        after: u64,
    },
}

impl FailureLimit {
    /// Whether these counts are over the limit, as a fault that says so.
    ///
    /// # Errors
    /// [`Kind::Limit`] if they are.
    pub fn check(&self, counts: &Counts) -> Result<(), Fault> {
        let (failed, read) = (counts.failed, counts.read);
        let over = match *self {
            Self::None => None,
            Self::Count(most) => (failed > most).then(|| most.to_string()),
            Self::Ratio { ratio, after } => (read >= after && failed as f64 > ratio * read as f64)
                .then(|| format!("{}% after {after} items", ratio * 100.0)),
        };
        match over {
            None => Ok(()),
            Some(limit) => Err(Fault::new(
                Kind::Limit,
                format!("{failed} of {read} items failed; the limit is {limit}"),
            )
            .with_hint(
                "the last chunk was not committed: mend the job, or raise [limits] failed, and run \
                 again; its items are read anew",
            )),
        }
    }
}

/// How often, and how patiently, a transient fault is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries after the first one; zero gives up at once.
    pub retries: u32,
    /// The longest first pause.
    pub base: Duration,
    /// The longest pause of all.
    pub most: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { retries: 5, base: Duration::from_millis(100), most: Duration::from_secs(10) }
    }
}

impl RetryPolicy {
    /// The pause before try `n` (the first retry is 1): exponential backoff
    /// with full jitter, `random(0, min(most, base · 2^(n-1)))`, where `random`
    /// is a number in [0, 1).
    ///
    /// Source: Marc Brooker, "Exponential Backoff And Jitter", AWS, 2015.
    pub fn pause(&self, n: u32, random: f64) -> Duration {
        let ceiling =
            self.base.saturating_mul(1u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX));
        ceiling.min(self.most).mul_f64(random.clamp(0.0, 1.0))
    }
}
