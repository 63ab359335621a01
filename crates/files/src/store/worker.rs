//! A thread that talks to a store.
//!
//! Files are read on the thread that asks for a chunk, which may be one of the
//! runtime's; so what has to wait for the network does it here.

use std::pin::Pin;
use std::sync::mpsc;
use std::thread;

use kiln_core::{Fault, Result};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs one job after another; it ends with this value.
pub(super) struct Worker(UnboundedSender<Job>);

impl Worker {
    pub(super) fn start() -> Result<Self> {
        let failed = |e| Fault::io("a thread that talks to a store", e);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (jobs, mut inbox) = unbounded_channel::<Job>();
        let work = async move {
            while let Some(job) = inbox.recv().await {
                job.await;
            }
        };
        let thread = thread::Builder::new().name("kiln-store".to_owned());
        thread.spawn(move || runtime.block_on(work)).map_err(failed)?;
        Ok(Self(jobs))
    }

    /// Runs a job and waits for what it gives.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (answer, receiver) = mpsc::channel();
        let job: Job = Box::pin(async move {
            // Whoever asked waits for it.
            let _ = answer.send(job.await);
        });
        let gone = || Fault::bug("the thread that talks to a store ended");
        self.0.send(job).map_err(|_| gone())?;
        receiver.recv().unwrap_or_else(|_| Err(gone()))
    }
}
