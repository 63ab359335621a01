//! A lane: units on their way to the thread that commits them.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{Fault, Landed, Lane, LaneKey, Rejection, Result, Settled, Unit};
use tokio::sync::oneshot;

use super::plan::Plans;
use super::worker::Worker;
use super::{diagnose, unit};

/// Units are committed on the database's thread while the caller makes the next.
pub(super) struct SqliteLane {
    worker: Arc<Worker>,
    key: LaneKey,
    plans: Arc<Plans>,
    answers: VecDeque<oneshot::Receiver<Settled>>,
}

impl SqliteLane {
    pub(super) fn new(worker: Arc<Worker>, key: LaneKey, plans: Arc<Plans>) -> Self {
        Self { worker, key, plans, answers: VecDeque::new() }
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
        let (key, plans) = (self.key.clone(), Arc::clone(&self.plans));
        let answer = self.worker.send(move |session| unit::commit(session, &key, &plans, &unit));
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
        let (plans, unit) = (Arc::clone(&self.plans), unit.clone());
        self.worker.run(move |session| diagnose::diagnose(session, &plans, &unit)).await
    }
}
