//! Calls to other services: several at once, each tried again by itself.

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use kiln_core::{Fault, Items, Kind, Mapped, Mapper, Result, RetryPolicy};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Outcome, Sorted, read_all, schema_of};
use crate::retry::random;

/// Maps one struct to another by asking somebody else.
///
/// A call may be made again: after a fault, and for the items of a chunk that
/// did not commit before a crash. Who is called must bear that.
#[async_trait]
pub trait AsyncMapper: Send + Sync + 'static {
    /// The item.
    type In: DeserializeOwned + Send + Sync;
    /// What becomes of it.
    type Out: Serialize + DeserializeOwned + Send;

    /// Maps an item.
    ///
    /// # Errors
    /// A [transient](Fault::transient) fault is tried again; [`Kind::Item`] fails
    /// the item; any other concerns all items, and ends the run.
    async fn map(&self, item: &Self::In) -> Result<Outcome<Self::Out>>;
}

/// How calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// How many items are on their way at once, at most; at least 1.
    pub at_once: usize,
    /// How long one try may take; longer is a transient fault.
    pub patience: Duration,
    /// How an item is tried again. When its tries are used up it is a dead
    /// letter, with their number; but where the other side can't be reached at
    /// all ([`Kind::Unreachable`]) no item is at fault, and the run ends.
    pub retry: RetryPolicy,
}

impl Default for Calls {
    fn default() -> Self {
        Self { at_once: 16, patience: Duration::from_secs(30), retry: RetryPolicy::default() }
    }
}

/// An async mapper as a mapper of a job. Order is kept: what an item gives waits
/// for what the items before it give.
///
/// # Errors
/// As [`mapper`](super::mapper).
pub fn calls<M: AsyncMapper>(mapper: M, how: Calls) -> Result<Box<dyn Mapper>> {
    Ok(Box::new(Calling { schema: schema_of::<M::Out>()?, mapper, how }))
}

struct Calling<M> {
    schema: SchemaRef,
    mapper: M,
    how: Calls,
}

#[async_trait]
impl<M: AsyncMapper> Mapper for Calling<M> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let mut sorted = Sorted::with_capacity(items.len());
        let answers = stream::iter(read_all::<M::In>(&items.batch))
            .map(|item| self.one(item))
            .buffered(self.how.at_once.max(1));
        let mut answers = std::pin::pin!(answers);
        for ordinal in &items.ordinals {
            match answers.next().await {
                Some(Ok(outcome)) => sorted.put(*ordinal, outcome),
                Some(Err(fault)) if fault.kind() == Kind::Item => sorted.fail(*ordinal, fault),
                Some(Err(fault)) => return Err(fault),
                None => return Err(Fault::bug("an item got lost in its call")),
            }
        }
        sorted.mapped(&self.schema, items.origins)
    }
}

impl<M: AsyncMapper> Calling<M> {
    /// Maps an item, again as long as the fault may pass.
    async fn one(&self, item: Result<M::In, String>) -> Result<Outcome<M::Out>> {
        let item = match item {
            Ok(item) => item,
            Err(why) => return Ok(Outcome::Fail(why)),
        };
        let mut tries = 1;
        loop {
            let fault = match self.once(&item).await {
                Ok(outcome) => return Ok(outcome),
                Err(fault) => fault,
            };
            if !fault.is_transient() || tries > self.how.retry.retries {
                return Err(given_up(fault, tries));
            }
            tracing::debug!(tries, %fault, "a call is tried again");
            tokio::time::sleep(self.how.retry.pause(tries, random())).await;
            tries += 1;
        }
    }

    async fn once(&self, item: &M::In) -> Result<Outcome<M::Out>> {
        let patience = self.how.patience;
        tokio::time::timeout(patience, self.mapper.map(item)).await.unwrap_or_else(|_| {
            let text = format!("no answer within {} s", patience.as_secs_f64());
            Err(Fault::new(Kind::Busy, text).with_code("timeout"))
        })
    }
}

/// What is told of an item whose tries are used up.
fn given_up(fault: Fault, tries: u32) -> Fault {
    match fault.kind() {
        Kind::Item => fault.with_tries(tries),
        kind if kind == Kind::Unreachable || !fault.is_transient() => fault,
        _ => Fault::item(format!("{} (given up after {tries} tries)", fault.message()))
            .with_code(fault.code().unwrap_or("mapper"))
            .with_tries(tries),
    }
}
