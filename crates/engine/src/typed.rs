//! Rust structs instead of Arrow batches, by way of serde.
//!
//! A field's name is the column's name. `Option` is NULL. Decimals are texts
//! here: let a field be a `String`, or a decimal type that (de)serializes as
//! one.
//!
//! ```
//! use kiln::typed::{self, Outcome, TypedMapper};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Reading { sensor: String, value: i64 }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Numbered { n: u64, sensor: String, value: i64 }
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Numbering { n: u64 }
//!
//! impl TypedMapper for Numbering {
//!     type In = Reading;
//!     type Out = Numbered;
//!     fn map(&mut self, item: Reading) -> Outcome<Numbered> {
//!         if item.value < 0 {
//!             return Outcome::Fail("a negative value".into());
//!         }
//!         self.n += 1;
//!         Outcome::Give(Numbered { n: self.n, sensor: item.sensor, value: item.value })
//!     }
//! }
//!
//! let mapper = typed::mapper(Numbering::default())?;
//! # Ok::<(), kiln::Fault>(())
//! ```

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use kiln_core::{Failure, Fault, Items, Mapped, Mapper, Result, Stage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_arrow::schema::{SchemaLike, TracingOptions};

use crate::memory::MemorySource;

/// What a mapper makes of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It goes on.
    Give(T),
    /// It is dropped on purpose.
    Filter,
    /// It is a dead letter, for this reason.
    Fail(String),
}

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

/// Structs as a source: each is an item.
///
/// # Errors
/// As [`mapper`].
pub fn source<T: Serialize + DeserializeOwned>(
    name: impl Into<String>,
    items: &[T],
) -> Result<MemorySource> {
    let schema = schema_of::<T>()?;
    Ok(MemorySource::new(name, to_batch(&schema, &items)?))
}

struct Typed<M> {
    schema: SchemaRef,
    mapper: M,
    initial: Arc<[u8]>,
}

impl<M: TypedMapper> Typed<M> {
    fn one(&mut self, ordinal: u64, item: Read<M::In>, mapped: &mut Sorted<M::Out>) {
        let outcome = match item {
            Ok(item) => self.mapper.map(item),
            Err(why) => Outcome::Fail(why),
        };
        match outcome {
            Outcome::Give(out) => {
                mapped.given.push(out);
                mapped.ordinals.push(ordinal);
            }
            Outcome::Filter => mapped.filtered.push(ordinal),
            Outcome::Fail(why) => {
                let fault = Fault::item(why).with_code("mapper");
                mapped.failures.push(Failure { ordinal, stage: Stage::Map, fault });
            }
        }
    }
}

/// An item, or why it is none.
type Read<T> = Result<T, String>;

struct Sorted<T> {
    given: Vec<T>,
    ordinals: Vec<u64>,
    filtered: Vec<u64>,
    failures: Vec<Failure>,
}

#[async_trait]
impl<M: TypedMapper> Mapper for Typed<M> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let mut sorted = Sorted {
            given: Vec::with_capacity(items.len()),
            ordinals: Vec::with_capacity(items.len()),
            filtered: Vec::new(),
            failures: Vec::new(),
        };
        for (ordinal, item) in items.ordinals.iter().zip(read_all::<M::In>(&items.batch)) {
            self.one(*ordinal, item, &mut sorted);
        }
        let Sorted { given, ordinals, filtered, failures } = sorted;
        let batch = to_batch(&self.schema, &given)?;
        let items = Items { batch, ordinals, origins: items.origins };
        Ok(Mapped { items, filtered, failures })
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

/// The rows as structs. If the batch as a whole can't be read, it is read item
/// by item, and only those that can't be read are refused.
fn read_all<T: DeserializeOwned>(batch: &RecordBatch) -> Vec<Read<T>> {
    match serde_arrow::from_record_batch::<Vec<T>>(batch) {
        Ok(all) => all.into_iter().map(Ok).collect(),
        Err(_) => (0..batch.num_rows()).map(|row| read_one(&batch.slice(row, 1))).collect(),
    }
}

fn read_one<T: DeserializeOwned>(row: &RecordBatch) -> Read<T> {
    let mut one = serde_arrow::from_record_batch::<Vec<T>>(row).map_err(|e| e.to_string())?;
    one.pop().ok_or_else(|| "nothing was read".to_owned())
}

fn save<M: Serialize>(mapper: &M) -> Result<Arc<[u8]>> {
    serde_json::to_vec(mapper)
        .map(Arc::from)
        .map_err(|e| Fault::bug(format!("the mapper's state can't be saved: {e}")))
}

fn schema_of<T: DeserializeOwned>() -> Result<SchemaRef> {
    let options = TracingOptions::default().strings_as_large_utf8(false);
    let fields = Vec::<FieldRef>::from_type::<T>(options).map_err(|e| {
        Fault::config(format!("{} is no plain struct: {e}", std::any::type_name::<T>()))
    })?;
    Ok(Arc::new(Schema::new(fields)))
}

fn to_batch<T: Serialize>(schema: &SchemaRef, items: &T) -> Result<RecordBatch> {
    serde_arrow::to_record_batch(schema.fields(), items)
        .map_err(|e| Fault::bug(format!("structs can't be made columns: {e}")))
}
