//! Keeping the lease of a run.

use std::sync::Arc;
use std::time::Duration;

use kiln_core::{Claim, Kind, Ledger};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Keeps the lease as long as it lives.
pub(crate) struct Heart {
    beating: JoinHandle<()>,
    lost: Lost,
}

/// Knows when somebody else has the run.
#[derive(Clone)]
pub(crate) struct Lost(watch::Receiver<bool>);

impl Heart {
    pub(crate) fn start(ledger: &Arc<dyn Ledger>, claim: &Claim, lease: Duration) -> Self {
        let (tell, lost) = watch::channel(false);
        let beating = tokio::spawn(keep_alive(Arc::clone(ledger), claim.clone(), lease, tell));
        Self { beating, lost: Lost(lost) }
    }

    pub(crate) fn lost(&self) -> Lost {
        self.lost.clone()
    }
}

impl Lost {
    /// Waits until somebody else has the run.
    pub(crate) async fn happens(&mut self) {
        if self.0.wait_for(|lost| *lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

/// Prolongs the lease six times in its length; tells when it is lost. A ledger
/// that can't be reached for a while changes nothing: safety rests on the
/// epoch, the lease only lets others go on early.
async fn keep_alive(
    ledger: Arc<dyn Ledger>,
    claim: Claim,
    lease: Duration,
    lost: watch::Sender<bool>,
) {
    loop {
        tokio::time::sleep(lease / 6).await;
        if let Err(fault) = ledger.heartbeat(&claim, lease).await {
            if fault.kind() == Kind::Fenced {
                lost.send_replace(true);
                return;
            }
            tracing::warn!(run = %claim.run, %fault, "the lease could not be prolonged");
        }
    }
}
