//! What items ask for: their values, and the rows to be created from them.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::{Field, Schema, SchemaRef};
use arrow_select::take::take_record_batch;
use kiln_core::{CellColumn, Fault, Result};

use crate::known::Values;
use crate::spec::MatchSpec;

/// Which columns of an item say what.
#[derive(Debug)]
pub(crate) struct Asked {
    table: String,
    input: SchemaRef,
    on: Vec<usize>,
    compared: Vec<usize>,
    /// The text that a decision is remembered by.
    text: Option<usize>,
    create: Vec<usize>,
    new_row: SchemaRef,
    /// For each compared column, whether a new row is filled with its value.
    kept: Vec<bool>,
}

/// What one item asks for.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) on: Vec<Option<String>>,
    pub(crate) compared: Vec<Option<String>>,
    pub(crate) text: Option<String>,
}

impl Item {
    pub(crate) fn values(&self) -> Values<'_> {
        Values { on: &self.on, compared: &self.compared }
    }
}

impl Asked {
    pub(crate) fn new(spec: &MatchSpec, input: &SchemaRef) -> Result<Self> {
        let compared = spec.compared().iter().map(|c| &c.column);
        let create = spec.places(&spec.create, input)?;
        let filled = spec.create.iter().zip(&create);
        let new_row = filled
            .map(|(c, i)| Field::new(&c.column, input.field(*i).data_type().clone(), true))
            .collect::<Vec<_>>();
        Ok(Self {
            table: spec.table.clone(),
            input: Arc::clone(input),
            on: spec.places(&spec.on, input)?,
            compared: spec.places(compared.clone(), input)?,
            text: None,
            create,
            new_row: Arc::new(Schema::new(new_row)),
            kept: compared.map(|c| spec.create.contains(c)).collect(),
        })
    }

    /// Decisions are remembered by this column of the item.
    pub(crate) fn remember(&mut self, spec: &MatchSpec, from: &str) -> Result<()> {
        let found = self.input.index_of(from);
        self.text = Some(found.map_err(|_| spec.wrong(format!("the item has no column {from}")))?);
        Ok(())
    }

    /// What the items of a batch ask for.
    pub(crate) fn items(&self, batch: &RecordBatch) -> Result<Vec<Item>> {
        let columns = |places: &[usize]| -> Result<Vec<CellColumn<'_>>> {
            places.iter().map(|place| CellColumn::new(batch.column(*place).as_ref())).collect()
        };
        let (on, compared) = (columns(&self.on)?, columns(&self.compared)?);
        let text = columns(self.text.as_slice())?;
        let item = |row| Item {
            on: texts(&on, row),
            compared: texts(&compared, row),
            text: texts(&text, row).pop().flatten(),
        };
        Ok((0..batch.num_rows()).map(item).collect())
    }

    /// The values of the row that is created for an item, as far as they are
    /// known.
    pub(crate) fn created(&self, item: &Item) -> Item {
        let keep = |(value, kept): (&Option<String>, &bool)| value.clone().filter(|_| *kept);
        Item { compared: item.compared.iter().zip(&self.kept).map(keep).collect(), ..item.clone() }
    }

    /// The rows to create for these items of a batch.
    pub(crate) fn new_rows(&self, batch: &RecordBatch, items: &[usize]) -> Result<RecordBatch> {
        let rows = UInt64Array::from_iter_values(items.iter().map(|item| *item as u64));
        let columns = batch.project(&self.create).map_err(|e| Fault::bug(e.to_string()))?;
        take_record_batch(&columns, &rows)
            .and_then(|rows| {
                RecordBatch::try_new(Arc::clone(&self.new_row), rows.columns().to_vec())
            })
            .map_err(|e| Fault::bug(format!("new rows of {}: {e}", self.table)))
    }
}

/// The texts of some columns in a row.
fn texts(columns: &[CellColumn<'_>], row: usize) -> Vec<Option<String>> {
    let text = |column: &CellColumn<'_>| {
        let cell = column.cell(row);
        (!cell.is_null()).then(|| cell.to_string())
    };
    columns.iter().map(text).collect()
}
