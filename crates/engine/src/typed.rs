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
//!
//! | mapper | for what |
//! |---|---|
//! | [`mapper`] | one item after another, with a memory that the mark carries |
//! | [`stateless`] | each item by itself, on all cores |
//! | [`calls`] | calls to other services: several at once, each tried again by itself |

mod calls;
mod parallel;
mod sequential;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{FieldRef, Schema, SchemaRef};
use kiln_core::{Failure, Fault, Items, Mapped, Origins, Result, Stage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_arrow::schema::{SchemaLike, TracingOptions};

pub use calls::{AsyncMapper, Calls, calls};
pub use parallel::stateless;
pub use sequential::{TypedMapper, mapper};

use crate::memory::MemorySource;

/// What a mapper makes of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It goes on.
    Give(T),
    /// It becomes several rows, in this order; it is dropped if there are none.
    GiveAll(Vec<T>),
    /// It is dropped on purpose.
    Filter,
    /// It is a dead letter, for this reason.
    Fail(String),
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

/// An item, or why it is none.
type Read<T> = Result<T, String>;

/// What became of some items.
struct Sorted<T> {
    given: Vec<T>,
    ordinals: Vec<u64>,
    filtered: Vec<u64>,
    failures: Vec<Failure>,
}

impl<T: Serialize> Sorted<T> {
    fn with_capacity(items: usize) -> Self {
        Self {
            given: Vec::with_capacity(items),
            ordinals: Vec::with_capacity(items),
            filtered: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn put(&mut self, ordinal: u64, outcome: Outcome<T>) {
        match outcome {
            Outcome::Give(out) => {
                self.given.push(out);
                self.ordinals.push(ordinal);
            }
            Outcome::GiveAll(all) if !all.is_empty() => {
                self.ordinals.extend(all.iter().map(|_| ordinal));
                self.given.extend(all);
            }
            Outcome::GiveAll(_) | Outcome::Filter => self.filtered.push(ordinal),
            Outcome::Fail(why) => self.fail(ordinal, Fault::item(why).with_code("mapper")),
        }
    }

    fn fail(&mut self, ordinal: u64, fault: Fault) {
        self.failures.push(Failure { ordinal, stage: Stage::Map, fault });
    }

    fn mapped(self, schema: &SchemaRef, origins: Arc<dyn Origins>) -> Result<Mapped> {
        let Self { given, ordinals, filtered, failures } = self;
        let items = Items { batch: to_batch(schema, &given)?, ordinals, origins };
        Ok(Mapped { filtered, failures, ..Mapped::all(items) })
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
