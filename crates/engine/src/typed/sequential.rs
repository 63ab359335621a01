//! One item after another, with a memory.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use kiln_core::{Fault, Items, Mapped, Mapper, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Outcome, Sorted, read_all, schema_of};

/// Maps one struct to another, in order.
///
/// The mapper is its own state: it is saved with each chunk, and a run that
/// goes on restores it. So what it gives may depend on the items so far, and on
/// nothing else. A mapper without state is `struct M;` with serde's derives.
pub trait TypedMapper: Serialize + DeserializeOwned + Send {
    /// The item.
    type In: DeserializeOwned;
    /// What becomes of it.
    type Out: Serialize + DeserializeOwned + Send;

    /// Maps an item. State that is changed stays changed, also where the item
    /// fails.
    fn map(&mut self, item: Self::In) -> Outcome<Self::Out>;
}

/// A typed mapper as a mapper of a job.
///
/// # Errors
/// [`Kind::Config`](kiln_core::Kind::Config) if `Out` is not a plain struct of
/// numbers, texts, booleans and options of these.
pub fn mapper<M: TypedMapper + 'static>(mapper: M) -> Result<Box<dyn Mapper>> {
    let initial = save(&mapper)?;
    Ok(Box::new(Typed { schema: schema_of::<M::Out>()?, mapper, initial }))
}

struct Typed<M> {
    schema: SchemaRef,
    mapper: M,
    initial: Arc<[u8]>,
}

#[async_trait]
impl<M: TypedMapper> Mapper for Typed<M> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let mut sorted = Sorted::with_capacity(items.len());
        for (ordinal, item) in items.ordinals.iter().zip(read_all::<M::In>(&items.batch)) {
            sorted.put(*ordinal, item.map_or_else(Outcome::Fail, |item| self.mapper.map(item)));
        }
        sorted.mapped(&self.schema, items.origins)
    }

    fn save(&self) -> Option<Arc<[u8]>> {
        save(&self.mapper).ok()
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<()> {
        let state = state.unwrap_or(&self.initial);
        self.mapper = serde_json::from_slice(state).map_err(|e| {
            Fault::config(format!("the mapper's saved state can't be read: {e}"))
                .with_hint("the mapper changed since the run began; start a new run")
        })?;
        Ok(())
    }
}

fn save<M: Serialize>(mapper: &M) -> Result<Arc<[u8]>> {
    serde_json::to_vec(mapper)
        .map(Arc::from)
        .map_err(|e| Fault::bug(format!("the mapper's state can't be saved: {e}")))
}
