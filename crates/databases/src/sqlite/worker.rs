//! The thread that owns a database's connection.

use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use kiln_core::{Fault, Result};
use tokio::sync::oneshot;

use super::place::Place;
use super::session::Session;
use crate::Script;

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// Runs jobs on a database, one after another, in the order they were sent.
pub(super) struct Worker {
    place: Place,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread; the database is opened by the first job that needs it.
    pub(super) fn start(place: Place, set_up: Option<Script>) -> Result<Self> {
        let (jobs, inbox) = channel::<Job>();
        let mut session = Session::new(place.clone(), set_up);
        let thread = thread::Builder::new()
            .name("kiln-sqlite".to_owned())
            .spawn(move || inbox.into_iter().for_each(|job| job(&mut session)))
            .map_err(|e| Fault::io(format_args!("{place}: no thread for it"), e))?;
        Ok(Self { place, jobs: Some(jobs), thread: Some(thread) })
    }

    /// Where the database lies.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Sends a job; the answer comes later.
    pub(super) fn send<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (answer, receiver) = oneshot::channel();
        let job: Job = Box::new(move |session| {
            // Nobody waits any more if the caller was cancelled.
            let _ = answer.send(job(session));
        });
        if let Some(jobs) = &self.jobs {
            // A thread that is gone drops the job, and the receiver tells.
            let _ = jobs.send(job);
        }
        receiver
    }

    /// Runs a job and waits for its answer.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.send(job).await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// The fault of a job that never answered.
    pub(super) fn gone(&self) -> Fault {
        Fault::bug(format!("{}: the thread of the database ended", self.place))
    }
}

impl Drop for Worker {
    /// Waits until the database is closed: SQLite then folds the write-ahead log
    /// into the file, which is whole in itself.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}
