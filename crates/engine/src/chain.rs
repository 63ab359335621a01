//! Mappers one behind the other.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use kiln_core::{Fault, Items, Mapped, Mapper, Result, Run};

/// Mappers one behind the other, as one mapper.
pub struct Chain {
    first: SchemaRef,
    mappers: Vec<Box<dyn Mapper>>,
}

impl Chain {
    /// No mapper yet: items of this schema pass as they are.
    pub fn new(schema: SchemaRef) -> Self {
        Self { first: schema, mappers: Vec::new() }
    }

    /// One more, behind the others.
    pub fn push(&mut self, mapper: Box<dyn Mapper>) {
        self.mappers.push(mapper);
    }
}

#[async_trait]
impl Mapper for Chain {
    fn schema(&self) -> SchemaRef {
        self.mappers.last().map_or_else(|| Arc::clone(&self.first), |m| m.schema())
    }

    fn begin(&mut self, run: &Run) {
        self.mappers.iter_mut().for_each(|m| m.begin(run));
    }

    async fn open(&mut self) -> Result<()> {
        for mapper in &mut self.mappers {
            mapper.open().await?;
        }
        Ok(())
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let mut all = Mapped::all(items);
        for mapper in &mut self.mappers {
            let step = mapper.map(all.items).await?;
            all.items = step.items;
            all.filtered.extend(step.filtered);
            all.failures.extend(step.failures);
            all.warnings.extend(step.warnings);
        }
        all.filtered.sort_unstable();
        all.failures.sort_by_key(|f| f.ordinal);
        all.warnings.sort_by_key(|w| w.ordinal);
        Ok(all)
    }

    /// The states of those that keep one, as a JSON array of byte arrays and
    /// nulls; none if none keeps one.
    fn save(&self) -> Option<Arc<[u8]>> {
        let states: Vec<Option<Arc<[u8]>>> = self.mappers.iter().map(|m| m.save()).collect();
        if states.iter().all(Option::is_none) {
            return None;
        }
        let states: Vec<Option<&[u8]>> = states.iter().map(|s| s.as_deref()).collect();
        serde_json::to_vec(&states).ok().map(Arc::from)
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<()> {
        let states: Vec<Option<Vec<u8>>> = match state {
            None => vec![None; self.mappers.len()],
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|e| Fault::config(format!("the saved state can't be read: {e}")))?,
        };
        if states.len() != self.mappers.len() {
            return Err(Fault::config("the saved state is of a job with other mappers")
                .with_hint("start a new run with --again"));
        }
        self.mappers.iter_mut().zip(&states).try_for_each(|(m, s)| m.restore(s.as_deref()))
    }
}
