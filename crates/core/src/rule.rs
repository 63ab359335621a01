//! Rules of a job that items broke, and how many.

use std::sync::Arc;

/// An item that goes on although it broke a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Which item.
    pub ordinal: u64,
    /// The rule's name.
    pub rule: Arc<str>,
}

/// How many items broke a rule. Like all counts it is of committed work only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCount {
    /// The rule's name.
    pub rule: String,
    /// Items that became dead letters for it.
    pub failed: u64,
    /// Items that were written although they broke it.
    pub warned: u64,
}
