//! What expressions see of items: the columns they need, and what kiln knows.

use std::collections::HashSet;
use std::iter::repeat_n;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use kiln_core::{Fault, Items, Result, Run};

/// How Arrow names the time zone of an instant.
const UTC: &str = "+00:00";

/// What kiln knows of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Line,
    File,
    Ordinal,
    Run,
    IngestedAt,
}

impl Known {
    fn all() -> [(&'static str, DataType, Self); 5] {
        let moment = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
        [
            ("_line", DataType::Int64, Self::Line),
            ("_file", DataType::Utf8, Self::File),
            ("_ordinal", DataType::Int64, Self::Ordinal),
            ("_run", DataType::Utf8, Self::Run),
            ("_ingested_at", moment, Self::IngestedAt),
        ]
    }

    fn array(self, items: &Items, run: &Run) -> ArrayRef {
        let integer = |n: u64| i64::try_from(n).ok();
        match self {
            Self::Line => Arc::new(Int64Array::from_iter(
                items.ordinals.iter().map(|o| items.origins.line(*o).and_then(integer)),
            )),
            Self::Ordinal => {
                Arc::new(Int64Array::from_iter(items.ordinals.iter().map(|o| integer(*o))))
            }
            Self::File => Arc::new(StringArray::from_iter_values(
                items.ordinals.iter().map(|o| items.origins.source(*o)),
            )),
            Self::Run => {
                let runs = repeat_n(run.id.0.as_str(), items.len());
                Arc::new(StringArray::from_iter_values(runs))
            }
            Self::IngestedAt => {
                let moments = repeat_n(run.began, items.len());
                Arc::new(TimestampMicrosecondArray::from_iter(moments).with_timezone(UTC))
            }
        }
    }
}

/// Where a column of the view comes from.
#[derive(Debug, Clone, Copy)]
enum From {
    Item(usize),
    Known(Known),
}

/// The columns that some expressions see.
#[derive(Debug, Clone)]
pub(crate) struct View {
    schema: SchemaRef,
    from: Vec<From>,
}

impl View {
    /// All there is: the item's columns, and what kiln knows under names that
    /// the item leaves free.
    pub(crate) fn everything(input: &Schema) -> Self {
        let of_item =
            input.fields().iter().enumerate().map(|(i, f)| (Arc::clone(f), From::Item(i)));
        let known = Known::all()
            .into_iter()
            .filter(|(name, ..)| input.column_with_name(name).is_none())
            .map(|(name, kind, known)| {
                (Arc::new(Field::new(name, kind, true)), From::Known(known))
            });
        Self::of(of_item.chain(known))
    }

    /// Only the columns with these names: what nobody asks for is never built.
    pub(crate) fn only(&self, names: &HashSet<&str>) -> Self {
        let all = self.schema.fields().iter().cloned().zip(self.from.iter().copied());
        Self::of(all.filter(|(field, _)| names.contains(field.name().as_str())))
    }

    fn of(columns: impl Iterator<Item = (FieldRef, From)>) -> Self {
        let (fields, from): (Vec<_>, Vec<_>) = columns.unzip();
        Self { schema: Arc::new(Schema::new(fields)), from }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What the expressions see of these items.
    pub(crate) fn batch(&self, items: &Items, run: &Run) -> Result<RecordBatch> {
        let column = |from: &From| match *from {
            From::Item(i) => items.batch.columns().get(i).map(Arc::clone),
            From::Known(known) => Some(known.array(items, run)),
        };
        let columns: Option<Vec<ArrayRef>> = self.from.iter().map(column).collect();
        let columns =
            columns.ok_or_else(|| Fault::bug("items lack columns they were said to have"))?;
        let options = RecordBatchOptions::new().with_row_count(Some(items.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(
            |e| Fault::bug(format!("items are not of the type they were said to have: {e}")),
        )
    }
}
