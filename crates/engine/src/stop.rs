//! Asking a run to stop.

use tokio::sync::watch;

/// Asks a run to stop. Dropping it asks nothing.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

/// Knows whether a run was asked to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A pair: who asks, and who is asked.
    pub fn new() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Self(receiver))
    }

    /// One that is never asked.
    pub fn never() -> Self {
        Self::new().1
    }

    /// Whether it was asked.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked; for ever, if nobody can ask any more.
    pub async fn requested(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Stopper {
    /// The run finishes the units it has sent, and ends as stopped: it can be
    /// resumed.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}
