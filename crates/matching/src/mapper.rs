//! The mapper that adds the key of the row an item refers to.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take_record_batch;
use async_trait::async_trait;
use kiln_core::{
    Catalog, CellColumn, Failure, Fault, Items, Key, Kind, Mapped, Mapper, Result, Stage,
};

use crate::known::{Known, name_of};
use crate::spec::{MatchSpec, Missing};

/// Adds to each item the key of the catalog row whose `on` columns equal the
/// item's values as text.
///
/// * An item with NULL in one of these values fails with the code `no_key`.
/// * A row that is missing is created, or the item fails with the code
///   `no_match`, or goes on with NULL, as [`Missing`] says.
/// * The first item that asks for a row decides its values. If the target
///   refuses them, that item fails with the target's fault, and the next one
///   that asks for the same row tries with its own.
///
/// The catalog is loaded once, with the first items, and held in memory: its
/// `on` values and keys.
pub struct MatchMapper {
    spec: MatchSpec,
    catalog: Arc<dyn Catalog>,
    known: Option<Known>,
    on: Vec<usize>,
    create: Vec<usize>,
    new_row: SchemaRef,
    key_is_integer: bool,
    read_only: bool,
    schema: SchemaRef,
}

impl fmt::Debug for MatchMapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MatchMapper").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl MatchMapper {
    /// A look-up for items with the columns `input`. The added column is an
    /// Int64 if `key_is_integer`, else a Utf8.
    ///
    /// # Errors
    /// [`Kind::Config`] if the item lacks a column, has one named like the key,
    /// or a new row would not be found again by its `on` values.
    pub fn new(
        spec: MatchSpec,
        catalog: Arc<dyn Catalog>,
        key_is_integer: bool,
        input: SchemaRef,
    ) -> Result<Self> {
        spec.check(&input)?;
        let on = spec.places(&spec.on, &input)?;
        let create = spec.places(&spec.create, &input)?;
        let filled = spec.create.iter().zip(&create);
        let new_row = filled
            .map(|(c, i)| Field::new(&c.column, input.field(*i).data_type().clone(), true))
            .collect::<Vec<_>>();
        let kind = if key_is_integer { DataType::Int64 } else { DataType::Utf8 };
        let mut fields = input.fields().to_vec();
        fields.push(Arc::new(Field::new(&spec.column, kind, true)));
        Ok(Self {
            spec,
            catalog,
            known: None,
            on,
            create,
            new_row: Arc::new(Schema::new(new_row)),
            key_is_integer,
            read_only: false,
            schema: Arc::new(Schema::new(fields)),
        })
    }

    /// The same look-up, creating nothing: an item whose row would be created
    /// goes on with NULL.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Looks every item up in what is known.
    fn look_up(&self, known: &Known, batch: &RecordBatch) -> Result<LookedUp> {
        let on = batch.project(&self.on).map_err(|e| Fault::bug(e.to_string()))?;
        let columns = CellColumn::of(&on)?;
        let mut looked_up = LookedUp { keys: vec![None; batch.num_rows()], ..LookedUp::default() };
        let mut name = String::new();
        for row in 0..batch.num_rows() {
            if let Err(null) = name_of(&columns, row, &mut name) {
                looked_up.faults.insert(row, self.no_key(null));
            } else if let Some(key) = known.get(&name) {
                looked_up.keys[row] = Some(key.clone());
            } else {
                match self.spec.missing {
                    Missing::Create if !self.read_only => looked_up.wanted.add(&name, row),
                    Missing::Create | Missing::Null => {}
                    Missing::Reject => {
                        looked_up.faults.insert(row, self.no_match(&columns, row));
                    }
                }
            }
        }
        Ok(looked_up)
    }

    fn no_key(&self, null: usize) -> Fault {
        let from = &self.spec.on[null].from;
        Fault::item(format!("no row of {} can be looked up: {from} is NULL", self.spec.table))
            .with_code("no_key")
            .with_column(from)
    }

    fn no_match(&self, columns: &[CellColumn<'_>], row: usize) -> Fault {
        let values = self.spec.on.iter().zip(columns);
        let values: Vec<String> =
            values.map(|(on, c)| format!("{} = '{}'", on.column, c.cell(row))).collect();
        let fault =
            Fault::item(format!("{} has no row with {}", self.spec.table, values.join(", ")));
        let fault = fault.with_code("no_match");
        match self.spec.on.as_slice() {
            [on] => fault.with_column(&on.from),
            _ => fault,
        }
    }

    /// Creates what is wanted: for each row the first item that asks for it,
    /// and while the target refuses, the next. Each round settles an item of
    /// each row that is wanted, so there are no more rounds than items.
    async fn create(
        &self,
        batch: &RecordBatch,
        looked_up: &mut LookedUp,
    ) -> Result<Vec<(String, Key)>> {
        let mut created = Vec::new();
        let mut wanted = std::mem::take(&mut looked_up.wanted).rows;
        while !wanted.is_empty() {
            let asked = self.catalog.find_or_create(&self.new_rows(batch, &wanted)?).await?;
            if asked.len() != wanted.len() {
                return Err(Fault::bug(format!(
                    "{} rows of {} were asked for, {} answered",
                    wanted.len(),
                    self.spec.table,
                    asked.len()
                )));
            }
            let mut again = Vec::new();
            for (mut want, answer) in wanted.into_iter().zip(asked) {
                match answer {
                    Ok(key) => {
                        for row in want.items {
                            looked_up.keys[row] = Some(key.clone());
                        }
                        created.push((want.name, key));
                    }
                    Err(fault) if fault.kind() == Kind::Item => {
                        looked_up.faults.extend(want.items.pop_front().map(|row| (row, fault)));
                        if !want.items.is_empty() {
                            again.push(want);
                        }
                    }
                    Err(fault) => return Err(fault),
                }
            }
            wanted = again;
        }
        Ok(created)
    }

    /// The rows to create, each from the first item that asks for it.
    fn new_rows(&self, batch: &RecordBatch, wanted: &[Want]) -> Result<RecordBatch> {
        let first = wanted.iter().filter_map(|want| want.items.front());
        let first = UInt64Array::from_iter_values(first.map(|row| *row as u64));
        let columns = batch.project(&self.create).map_err(|e| Fault::bug(e.to_string()))?;
        take_record_batch(&columns, &first)
            .and_then(|rows| {
                RecordBatch::try_new(Arc::clone(&self.new_row), rows.columns().to_vec())
            })
            .map_err(|e| Fault::bug(format!("new rows of {}: {e}", self.spec.table)))
    }

    /// The items with their keys, without those that failed. An item of several
    /// rows fails with the first of them that fails.
    fn settle(&self, items: Items, looked_up: LookedUp) -> Result<Mapped> {
        let mut failures: Vec<Failure> = Vec::new();
        for (row, fault) in looked_up.faults {
            let ordinal = items.ordinals[row];
            if failures.last().is_none_or(|f| f.ordinal != ordinal) {
                failures.push(Failure { ordinal, stage: Stage::Match, fault });
            }
        }
        let mut columns = items.batch.columns().to_vec();
        columns.push(self.key_column(&looked_up.keys)?);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|e| Fault::bug(format!("keys do not fit the items: {e}")))?;
        let mut items = Items { batch, ..items };
        if !failures.is_empty() {
            let failed: BTreeSet<u64> = failures.iter().map(|f| f.ordinal).collect();
            let keep = items.ordinals.iter().map(|o| Some(!failed.contains(o)));
            items = items.filter(&keep.collect::<BooleanArray>())?;
        }
        Ok(Mapped { items, filtered: Vec::new(), failures })
    }

    fn key_column(&self, keys: &[Option<Key>]) -> Result<ArrayRef> {
        let misfit =
            || Fault::bug(format!("a key of {} is not of the type it has", self.spec.table));
        if self.key_is_integer {
            let integer = |key: &Option<Key>| match key {
                None => Ok(None),
                Some(Key::Int(i)) => Ok(Some(*i)),
                Some(Key::Text(_)) => Err(misfit()),
            };
            Ok(Arc::new(keys.iter().map(integer).collect::<Result<Int64Array>>()?))
        } else {
            let text = |key: &Option<Key>| key.as_ref().map(|k| k.cell().to_string());
            Ok(Arc::new(keys.iter().map(text).collect::<StringArray>()))
        }
    }
}

#[async_trait]
impl Mapper for MatchMapper {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        if self.known.is_none() {
            self.known = Some(Known::new(self.catalog.load().await?));
        }
        let known = self.known.as_ref().ok_or_else(|| Fault::bug("no catalog was loaded"))?;
        let mut looked_up = self.look_up(known, &items.batch)?;
        let created = self.create(&items.batch, &mut looked_up).await?;
        let mapped = self.settle(items, looked_up)?;
        if let Some(known) = &mut self.known {
            created.into_iter().for_each(|(name, key)| known.insert(name, key));
        }
        Ok(mapped)
    }
}

/// What a look-up found, item by item.
#[derive(Debug, Default)]
struct LookedUp {
    keys: Vec<Option<Key>>,
    faults: BTreeMap<usize, Fault>,
    wanted: Wanted,
}

/// The rows to create, in the order in which they were first asked for.
#[derive(Debug, Default)]
struct Wanted {
    rows: Vec<Want>,
    by_name: HashMap<String, usize>,
}

/// A row to create, and the items that ask for it, in order.
#[derive(Debug)]
struct Want {
    name: String,
    items: VecDeque<usize>,
}

impl Wanted {
    fn add(&mut self, name: &str, item: usize) {
        if let Some(i) = self.by_name.get(name) {
            self.rows[*i].items.push_back(item);
        } else {
            self.by_name.insert(name.to_owned(), self.rows.len());
            self.rows.push(Want { name: name.to_owned(), items: VecDeque::from([item]) });
        }
    }
}
