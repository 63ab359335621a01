//! A lane: units on their way to the thread that commits them.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{Fault, Landed, Lane, LaneKey, Rejection, Result, Settled, Unit};
use tokio::sync::oneshot;

use super::plan::Work;
use super::session::Session;
use super::worker::Worker;
use super::{diagnose, unit};

/// Units are committed on the database's thread while the caller makes the next.
pub(super) struct SqliteLane {
    worker: Arc<Worker>,
    key: LaneKey,
    work: Arc<Work>,
    answers: VecDeque<oneshot::Receiver<Settled>>,
}

impl SqliteLane {
    pub(super) fn new(worker: Arc<Worker>, key: LaneKey, work: Work) -> Self {
        let work = Arc::new(work);
        Self { worker, key, work, answers: VecDeque::new() }
    }
}

#[async_trait]
impl Lane for SqliteLane {
    /// One is written while the next waits. A unit behind a refused one finds
    /// the mark elsewhere and is refused too.
    fn window(&self) -> usize {
        2
    }

    async fn submit(&mut self, unit: Arc<Unit>) {
        let (key, work) = (self.key.clone(), Arc::clone(&self.work));
        let answer = self.worker.send(move |session| unit::commit(session, &key, &work, &unit));
        self.answers.push_back(answer);
    }

    async fn settle(&mut self) -> Settled {
        let Some(answer) = self.answers.front_mut() else {
            return Settled::Unknown(Fault::bug("no unit was submitted that is not settled"));
        };
        let settled = answer.await;
        self.answers.pop_front();
        settled
            .unwrap_or_else(|_| Settled::Unknown(self.worker.gone().with_landed(Landed::Unknown)))
    }

    async fn diagnose(&mut self, unit: &Unit) -> Result<Option<Vec<Rejection>>> {
        let (work, unit) = (Arc::clone(&self.work), unit.clone());
        let named = move |session: &mut Session| match &*work {
            Work::Write(plans) => diagnose::diagnose(session, plans, &unit),
            Work::Run => Ok(None),
        };
        self.worker.run(named).await
    }
}
