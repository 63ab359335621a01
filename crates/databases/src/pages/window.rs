//! Which rows are asked for.

use super::place::Key;

/// A stretch of a table's rows, in the order of their key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    /// The rows behind this key; without one, from the first.
    pub(crate) behind: Option<Key>,
    /// The rows up to this key, its own among them; without one, to the last.
    pub(crate) upto: Option<Key>,
    /// How many of them are passed over.
    pub(crate) skip: usize,
    /// How many are given at most.
    pub(crate) most: usize,
    /// Whether they come from the last to the first.
    pub(crate) is_backwards: bool,
}

impl Window {
    /// At most so many rows behind a key.
    pub(crate) fn behind(key: Option<Key>, most: usize) -> Self {
        Self { behind: key, most, ..Self::default() }
    }
}
