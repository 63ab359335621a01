//! Each item by itself, on all cores.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use async_trait::async_trait;
use kiln_core::{Fault, Items, Mapped, Mapper, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::{JoinError, spawn_blocking};

use super::{Outcome, Sorted, read_all, schema_of};

/// Fewer items than this are not worth a thread of their own.
const WORTH_A_THREAD: usize = 256;

/// A function of one item as a mapper of a job. A chunk is shared out among as
/// many threads as there are cores; what they give is put together in the order
/// of the items.
///
/// # Errors
/// As [`mapper`](super::mapper).
pub fn stateless<In, Out, F>(function: F) -> Result<Box<dyn Mapper>>
where
    In: DeserializeOwned + 'static,
    Out: Serialize + DeserializeOwned + 'static,
    F: Fn(In) -> Outcome<Out> + Send + Sync + 'static,
{
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let (schema, function) = (schema_of::<Out>()?, Arc::new(function));
    Ok(Box::new(Stateless { schema, function, threads, types: PhantomData }))
}

struct Stateless<In, Out, F> {
    schema: SchemaRef,
    function: Arc<F>,
    threads: usize,
    types: PhantomData<fn(In) -> Out>,
}

#[async_trait]
impl<In, Out, F> Mapper for Stateless<In, Out, F>
where
    In: DeserializeOwned + 'static,
    Out: Serialize + DeserializeOwned + 'static,
    F: Fn(In) -> Outcome<Out> + Send + Sync + 'static,
{
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let share = items.len().div_ceil(self.threads).max(WORTH_A_THREAD);
        let shares = (0..items.len()).step_by(share).map(|from| {
            let part = items.slice(from, share.min(items.len() - from));
            let (schema, function) = (Arc::clone(&self.schema), Arc::clone(&self.function));
            spawn_blocking(move || map_all(&schema, &*function, part))
        });
        let mut all = Parts::default();
        for share in shares.collect::<Vec<_>>() {
            all.add(share.await.map_err(|e| broken(&e))??);
        }
        all.together(&self.schema, &items)
    }
}

fn map_all<In: DeserializeOwned, Out: Serialize>(
    schema: &SchemaRef,
    function: impl Fn(In) -> Outcome<Out>,
    items: Items,
) -> Result<Mapped> {
    let mut sorted = Sorted::with_capacity(items.len());
    for (ordinal, item) in items.ordinals.iter().zip(read_all::<In>(&items.batch)) {
        sorted.put(*ordinal, item.map_or_else(Outcome::Fail, &function));
    }
    sorted.mapped(schema, items.origins)
}

fn broken(error: &JoinError) -> Fault {
    Fault::bug(format!("the mapper broke off: {error}"))
}

/// What the threads gave, in order.
#[derive(Default)]
struct Parts(Vec<Mapped>);

impl Parts {
    fn add(&mut self, part: Mapped) {
        self.0.push(part);
    }

    fn together(self, schema: &SchemaRef, all: &Items) -> Result<Mapped> {
        let batch = concat_batches(schema, self.0.iter().map(|part| &part.items.batch))
            .map_err(|e| Fault::bug(format!("what the mapper gave can't be put together: {e}")))?;
        let origins = Arc::clone(&all.origins);
        let mut mapped = Mapped::all(Items { batch, ordinals: Vec::new(), origins });
        for part in self.0 {
            mapped.items.ordinals.extend(part.items.ordinals);
            mapped.filtered.extend(part.filtered);
            mapped.failures.extend(part.failures);
            mapped.warnings.extend(part.warnings);
        }
        Ok(mapped)
    }
}
