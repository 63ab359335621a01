//! Where in a source, and how far a lane has come.
//!
//! | | committed? |
//! |---|---|
//! | ordinal ≤ [`Mark::done`] | yes: its rows, or its dead letter, or its being filtered |
//! | ordinal > [`Mark::done`] | no, nothing of it |
//!
//! A mark may lie in the middle of a chunk (a refused unit is split, and its
//! parts commit one by one); a source can be opened, and a mapper's state is
//! known, only where a chunk began. So a mark carries both: how far the lane is
//! done, and the [`Checkpoint`] at or before it from which to read again. What
//! is read again up to `done` is dropped.

use std::sync::Arc;

use crate::Counts;

/// A place between two items of a source.
///
/// Positions of one source compare by `ordinal`; `place` is the source's own
/// business (a byte offset, a key) and opaque to everybody else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// How many items lie before this place, failures included.
    pub ordinal: u64,
    /// What the source needs to find the place again. Empty: the start, of which
    /// there is nothing to know.
    pub place: String,
}

impl Position {
    /// The most items, lines or bytes that can lie before a place: ledgers keep
    /// signed numbers, and what is beyond was never written by one.
    pub const MOST: u64 = i64::MAX as u64;
}

/// The items with ordinals in (from, to]. The first item's ordinal is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The last ordinal before the span.
    pub from: u64,
    /// The last ordinal in the span.
    pub to: u64,
}

impl Span {
    /// How many ordinals it holds.
    pub fn len(self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.to <= self.from
    }

    /// Whether the item with this ordinal lies in it.
    pub fn contains(self, ordinal: u64) -> bool {
        self.from < ordinal && ordinal <= self.to
    }
}

/// A place where a run can take up its work: the source's position and the
/// mapper's state as they were there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where the source seeks to.
    pub position: Position,
    /// What [`Mapper::save`](crate::Mapper::save) gave there.
    pub state: Option<Arc<[u8]>>,
}

/// How far a lane has committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// The ordinal up to which all of the lane's items are committed.
    pub done: u64,
    /// Where to read from to go on; its position is never behind `done`.
    pub checkpoint: Checkpoint,
    /// What the lane has counted so far, over all tries of the run.
    pub counts: Counts,
}
