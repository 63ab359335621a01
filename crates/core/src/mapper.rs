//! What becomes of items on their way.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;

use crate::{Failure, Fault, Items, Result, Run, Warning};

/// What a mapper made of some items.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// The items that go on, in order.
    pub items: Items,
    /// The ordinals of items dropped on purpose, rising.
    pub filtered: Vec<u64>,
    /// The items it refused, in order.
    pub failures: Vec<Failure>,
    /// The rules that items broke which go on all the same, by item; each rule
    /// once for an item.
    pub warnings: Vec<Warning>,
}

impl Mapped {
    /// All of these items go on.
    pub fn all(items: Items) -> Self {
        Self { items, filtered: Vec::new(), failures: Vec::new(), warnings: Vec::new() }
    }
}

/// Turns items into items, one after another.
///
/// Obligations:
/// * Every ordinal that goes in comes out: in `items` (once, or several times
///   where one item gives several rows), in `filtered`, or in `failures`, and
///   in one of them only. Order is kept.
/// * What it gives depends on the items so far and on its state, not on how the
///   items are cut into calls. A run that goes on after a crash maps some items
///   again, from a saved state, and must get the same.
/// * On error nothing of the call counts: its state is as it was before. The
///   same holds of a call that is dropped because the run is to stop.
#[async_trait]
pub trait Mapper: Send {
    /// The columns of what it gives.
    fn schema(&self) -> SchemaRef;

    /// Tells the run it works for, before the first item.
    fn begin(&mut self, _run: &Run) {}

    /// Makes itself ready for the first item. Where a run begins, the state that
    /// [`save`](Mapper::save) gives then commits before any item is mapped: so a
    /// mapper that changes what it looks at knows, after a crash, how it was.
    ///
    /// # Errors
    /// As [`map`](Mapper::map).
    async fn open(&mut self) -> Result<()> {
        Ok(())
    }

    /// Maps some items.
    ///
    /// # Errors
    /// What concerns all items, such as a catalog that can't be reached. What
    /// concerns one item is a failure in the result.
    async fn map(&mut self, items: Items) -> Result<Mapped>;

    /// The state it needs to go on from here in another process. It commits
    /// with the items it belongs to.
    fn save(&self) -> Option<Arc<[u8]>> {
        None
    }

    /// Takes up a state that [`save`](Mapper::save) gave; `None` is the state
    /// at the start of a source.
    ///
    /// # Errors
    /// If the state is not one of its own.
    fn restore(&mut self, state: Option<&[u8]>) -> Result<()> {
        match state {
            None => Ok(()),
            Some(_) => Err(Fault::config("the run has saved state, but the mapper keeps none")
                .with_hint("the job changed since the run began; start a new run with --again")),
        }
    }
}
