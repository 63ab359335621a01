//! From a mapped chunk to a unit of work.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use kiln_core::{
    Checkpoint, Chunk, DeadLetter, Failure, Fault, Items, Mapped, NoOrigins, Result, Rows, STREAM,
    Span, Unit, Write,
};

/// Picks, for each write, the columns it takes from an item.
#[derive(Debug, Default)]
pub(crate) struct Router {
    projections: Vec<Projection>,
}

#[derive(Debug)]
struct Projection {
    stream: Option<String>,
    schema: SchemaRef,
    columns: Vec<usize>,
}

impl Router {
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if a write takes a column that
    /// items don't have.
    pub(crate) fn new(writes: &[Write], items: &SchemaRef) -> Result<Self> {
        let projections = writes.iter().map(|w| project(w, items)).collect::<Result<_>>()?;
        Ok(Self { projections })
    }

    /// The unit of a chunk: rows for each write, and all that failed.
    ///
    /// # Errors
    /// [`Kind::Bug`](kiln_core::Kind::Bug) if the mapper lost an item or gave
    /// it twice: that would be silent loss, so nothing of the chunk is written.
    pub(crate) fn unit(
        &self,
        start: Checkpoint,
        end: Checkpoint,
        chunk: &Chunk,
        mapped: Mapped,
    ) -> Result<Unit> {
        account(chunk, &mapped)?;
        let Mapped { items, filtered, failures, mut warnings } = mapped;
        let mut failures: Vec<&Failure> = chunk.failures.iter().chain(&failures).collect();
        failures.sort_by_key(|f| f.ordinal);
        let origins = Arc::clone(&chunk.items.origins);
        // What became of an item behind the rule that it broke is told by its end.
        warnings.retain(|w| items.ordinals.binary_search(&w.ordinal).is_ok());
        Ok(Unit {
            span: Span { from: chunk.start.ordinal, to: chunk.end.ordinal },
            start,
            end,
            dead_letters: failures
                .iter()
                .map(|f| DeadLetter::new(f, origins.origin(f.ordinal)))
                .collect(),
            writes: self.rows(&items)?,
            items: {
                let mut all = items.ordinals;
                all.dedup();
                all
            },
            filtered,
            warnings,
            origins,
        })
    }

    /// A unit without items, which only moves a mark.
    pub(crate) fn no_items(&self, span: Span, at: &Checkpoint) -> Unit {
        let rows = |p: &Projection| Rows {
            batch: RecordBatch::new_empty(Arc::clone(&p.schema)),
            ordinals: Vec::new(),
        };
        Unit {
            span,
            start: at.clone(),
            end: at.clone(),
            items: Vec::new(),
            filtered: Vec::new(),
            dead_letters: Vec::new(),
            warnings: Vec::new(),
            writes: self.projections.iter().map(rows).collect(),
            origins: Arc::new(NoOrigins),
        }
    }

    fn rows(&self, items: &Items) -> Result<Vec<Rows>> {
        let mut streams: BTreeMap<Option<&str>, Items> = BTreeMap::new();
        for p in &self.projections {
            if let Entry::Vacant(slot) = streams.entry(p.stream.as_deref()) {
                slot.insert(items.of_stream(p.stream.as_deref())?);
            }
        }
        let rows = |p: &Projection| {
            let items = streams.get(&p.stream.as_deref()).unwrap_or(items);
            let columns = p.columns.iter().map(|i| Arc::clone(items.batch.column(*i))).collect();
            let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(items.len()));
            RecordBatch::try_new_with_options(Arc::clone(&p.schema), columns, &options)
                .map(|batch| Rows { batch, ordinals: items.ordinals.clone() })
                .map_err(|e| Fault::bug(format!("the columns of a write do not fit together: {e}")))
        };
        self.projections.iter().map(rows).collect()
    }
}

fn project(write: &Write, items: &SchemaRef) -> Result<Projection> {
    if let Some(stream) = &write.stream
        && items.column_with_name(STREAM).is_none()
    {
        let message = format!("table {}: items have no rows of {stream:?}", write.table);
        return Err(Fault::config(message));
    }
    let mut fields = Vec::with_capacity(write.columns.len());
    let mut columns = Vec::with_capacity(write.columns.len());
    for column in &write.columns {
        let (index, field) = items.column_with_name(&column.from).ok_or_else(|| {
            let names: Vec<&str> = items.fields().iter().map(|f| f.name().as_str()).collect();
            Fault::config(format!(
                "table {}: items have no column {:?}; they have {}",
                write.table,
                column.from,
                names.join(", ")
            ))
        })?;
        columns.push(index);
        // Whether a value is there is the target's to judge, item by item.
        fields.push(Field::new(&column.column, field.data_type().clone(), true));
    }
    Ok(Projection { stream: write.stream.clone(), schema: Arc::new(Schema::new(fields)), columns })
}

/// Every item that was read came to exactly one end.
fn account(chunk: &Chunk, mapped: &Mapped) -> Result<()> {
    let mut ends = mapped.items.ordinals.clone();
    let in_order = ends.is_sorted();
    ends.dedup();
    ends.extend(&mapped.filtered);
    ends.extend(mapped.failures.iter().map(|f| f.ordinal));
    ends.sort_unstable();
    if in_order && ends == chunk.items.ordinals {
        return Ok(());
    }
    let lost = chunk.items.ordinals.iter().find(|o| ends.binary_search(o).is_err());
    Err(Fault::bug(match lost {
        Some(ordinal) => format!("the mapper lost item {ordinal}"),
        None => "the mapper gave an item twice, or out of order".to_owned(),
    })
    .with_hint("a mapper must give, filter or fail every item, once and in order"))
}
