//! What all connections of a proxy share: the count, and the cut.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Action, Cut, Way};

#[derive(Debug, Default)]
pub(super) struct State {
    counting: Mutex<Counting>,
    /// What became of all connections.
    fate: watch::Sender<Option<Action>>,
    /// Whether the proxy is gone.
    ended: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Counting {
    to_server: u64,
    to_client: u64,
    cut: Option<Cut>,
    change: Option<Change>,
    is_met: bool,
}

/// A text that is to come by, and what is put in its place.
#[derive(Debug, Clone, Copy)]
struct Change {
    way: Way,
    text: &'static str,
    by: &'static str,
}

impl Counting {
    fn seen(&mut self, way: Way) -> &mut u64 {
        match way {
            Way::ToServer => &mut self.to_server,
            Way::ToClient => &mut self.to_client,
        }
    }
}

impl State {
    fn counting(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(&self, cut: Option<Cut>) {
        *self.counting() = Counting { cut, ..Counting::default() };
        self.fate.send_replace(None);
    }

    pub(super) fn replace(&self, way: Way, text: &'static str, by: &'static str) {
        self.counting().change = Some(Change { way, text, by });
    }

    /// What to put in the place of which bytes of a message, if it is the one to
    /// be changed.
    pub(super) fn change(&self, way: Way, message: &[u8]) -> Option<(Range<usize>, &'static str)> {
        let mut counting = self.counting();
        let Change { text, by, .. } = counting.change.filter(|change| change.way == way)?;
        let at = message.windows(text.len()).position(|part| part == text.as_bytes())?;
        counting.change = None;
        counting.is_met = true;
        Some((at..at + text.len(), by))
    }

    pub(super) fn is_met(&self) -> bool {
        self.counting().is_met
    }

    pub(super) fn seen(&self, way: Way) -> u64 {
        *self.counting().seen(way)
    }

    /// One more message: what becomes of it, if anything does.
    pub(super) fn count(&self, way: Way) -> Option<Action> {
        let mut counting = self.counting();
        let seen = counting.seen(way);
        *seen += 1;
        let at = *seen;
        let cut = counting.cut.filter(|cut| cut.way == way && cut.at == at)?;
        counting.is_met = true;
        Some(cut.action)
    }

    /// One connection is cut; if it is for good, all are.
    pub(super) fn cut_all(&self) {
        let cut = self.counting().cut.filter(|cut| cut.for_good);
        if let Some(cut) = cut {
            self.fate.send_replace(Some(cut.action));
        }
    }

    /// What became of all connections, if anything did.
    pub(super) fn fate(&self) -> Option<Action> {
        *self.fate.borrow()
    }

    /// Waits until all connections are cut.
    pub(super) async fn all_cut(&self) -> Action {
        let mut fate = self.fate.subscribe();
        let action = fate.wait_for(Option::is_some).await.ok().and_then(|action| *action);
        action.unwrap_or(Action::Drop)
    }

    /// The proxy is gone, and its connections with it.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
        self.fate.send_replace(Some(Action::Drop));
    }

    /// Waits until the proxy is gone.
    pub(super) async fn ended(&self) {
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}
