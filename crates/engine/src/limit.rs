//! The failed items of a step against their limit, over all its lanes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use kiln_core::{Counts, FailureLimit, Result};

/// Counts what failed for good and what is about to.
#[derive(Debug)]
pub(crate) struct Limit {
    policy: FailureLimit,
    failed: Mutex<Failed>,
}

#[derive(Debug)]
struct Failed {
    /// Dead letters that are committed.
    committed: u64,
    /// By lane, those of the units that are sent and not settled.
    sent: BTreeMap<u32, u64>,
}

impl Limit {
    /// With so many failed items committed by earlier starts.
    pub(crate) fn new(policy: FailureLimit, committed: u64) -> Self {
        Self { policy, failed: Mutex::new(Failed { committed, sent: BTreeMap::new() }) }
    }

    /// Whether a lane may send one more unit, with which `failed` items of its
    /// units would be under way, when `read` items of the source are read.
    ///
    /// # Errors
    /// [`Kind::Limit`](kiln_core::Kind::Limit) if there would be too many.
    pub(crate) fn admit(&self, lane: u32, failed: u64, read: u64) -> Result<()> {
        self.with(|all| {
            let others: u64 = all.sent.iter().filter(|(l, _)| **l != lane).map(|(_, n)| n).sum();
            let failed_in_all = all.committed + others + failed;
            let counts = Counts { read, failed: failed_in_all, ..Counts::default() };
            self.policy.check(&counts)?;
            all.sent.insert(lane, failed);
            Ok(())
        })
    }

    /// A lane's unit with so many failed items is committed.
    pub(crate) fn committed(&self, lane: u32, failed: u64) {
        self.with(|all| {
            all.committed += failed;
            let sent = all.sent.entry(lane).or_default();
            *sent = sent.saturating_sub(failed);
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Failed) -> T) -> T {
        act(&mut self.failed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_share_one_limit() {
        let limit = Limit::new(FailureLimit::Count(10), 4);
        limit.admit(1, 3, 100).unwrap();
        limit.admit(2, 4, 100).unwrap_err();
        limit.admit(2, 3, 100).unwrap();
        limit.committed(1, 3);
        limit.admit(1, 1, 100).unwrap_err();
        limit.committed(2, 3);
        limit.admit(1, 0, 100).unwrap();
        limit.admit(2, 1, 100).unwrap_err();
    }
}
