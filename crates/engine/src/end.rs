//! How a step ended, and where that is kept.
//!
//! A step's end is a unit of work like any other: one without items, in a lane of
//! its own behind all that have some ([`LaneKey::END`]), whose state says how the
//! step ended. So every target keeps it exactly once, and nobody whose run was
//! taken over can.

use std::sync::Arc;

use arrow_schema::Schema;
use kiln_core::{Checkpoint, FailureLimit, Fault, LaneKey, Mark, Result, Span};
use serde_json::{Value, json};

use crate::lane::{LaneRunner, Opener};
use crate::limit::Limit;
use crate::retry::Retry;
use crate::route::Router;
use crate::step::Context;
use crate::stop::Stop;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It read its source to the end.
    Complete,
    /// Its condition did not hold.
    Skipped,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Skipped => "skipped",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Complete, Self::Skipped].into_iter().find(|end| end.as_str() == word)
    }

    /// As its mark keeps it.
    fn state(self) -> Arc<[u8]> {
        json!({ "end": self.as_str() }).to_string().into_bytes().into()
    }

    /// The end that the marks of a step tell of, if it has come to one.
    ///
    /// # Errors
    /// If it is none that this kiln knows.
    pub(crate) fn of(marks: &[(u32, Mark)]) -> Result<Option<Self>> {
        let mark = marks.iter().find(|(lane, _)| *lane == LaneKey::END);
        let Some(state) = mark.and_then(|(_, mark)| mark.checkpoint.state.as_deref()) else {
            return Ok(None);
        };
        let state: Option<Value> = serde_json::from_slice(state).ok();
        let end = state.as_ref().and_then(|s| s["end"].as_str()).and_then(Self::parse);
        match end {
            Some(end) => Ok(Some(end)),
            None => Err(Fault::config("the ledger has an end of a step that this kiln can't read")
                .with_hint("use the kiln that began the run, or start a new run with --again")),
        }
    }

    /// Keeps it, whatever was asked of the run meanwhile: all that comes before it
    /// is done.
    pub(crate) async fn keep(self, context: &Context) -> Result<()> {
        let Context { claim, step, sink, options, events, .. } = context;
        let (run, epoch) = (claim.run.clone(), claim.epoch);
        let key = LaneKey { run, step: step.clone(), lane: LaneKey::END, epoch };
        let items = Arc::new(Schema::empty());
        let (sink, writes) = (Arc::clone(sink), Vec::new());
        let opener = Opener { sink, key, writes, items, runs_statements: false };
        let retry = Retry::new(options.retry);
        let lane = LaneRunner::open(opener, retry, events.clone(), Stop::never()).await?;
        let at = Checkpoint { state: Some(self.state()), ..Checkpoint::default() };
        let unit = Router::default().no_items(Span { from: 0, to: 0 }, &at);
        lane.run_one(unit, Arc::new(Limit::new(FailureLimit::None, 0))).await?;
        Ok(())
    }
}
