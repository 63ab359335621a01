//! Sources and targets in memory: for tests of mappers and jobs, and the
//! plainest example of each contract.

mod ledger;
mod source;
mod target;

pub use source::MemorySource;
pub use target::{MemoryTarget, Row};
