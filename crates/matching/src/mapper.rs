//! The mapper that adds the key of the row an item refers to.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use kiln_core::{Catalog, Failure, Fault, Items, Key, Mapped, Mapper, Result, Stage};

use crate::asked::Asked;
use crate::known::Known;
use crate::look_up::{LookUp, LookedUp};
use crate::place::Place;
use crate::remembered::{Remember, Remembered};
use crate::spec::{MatchSpec, Missing};

/// Adds to each item the key of the catalog row that it means.
///
/// A row is looked for by its `on` columns as they are written; then, where
/// [`folded`](MatchSpec::folded), by what [`fold`](crate::fold()) leaves of them;
/// then, where [`fuzzy`](MatchSpec::fuzzy), by likeness.
///
/// * An item that several rows may be meant by fails with the code `ambiguous`.
/// * A row that is missing is created, or the item fails with the code
///   `no_match`, or goes on with NULL, as [`Missing`] says.
/// * An item with NULL in an `on` value fails with the code `no_key`, unless
///   likeness finds it a row.
/// * The first item that asks for a row decides its values. If the target
///   refuses them, that item fails with the target's fault, and the next one
///   that asks for the same row tries with its own.
///
/// The catalog is loaded once, with the first items, and held in memory.
///
/// Where rows are found by likeness and created, what an item finds depends on
/// the rows that the items before it have created, and on no others: a run that
/// goes on leaves out of the catalog what was created behind its mark, until it
/// is asked for again. It tells these rows by their keys, where they are
/// numbers that the database counts up; with other keys an item that is read
/// again may find what an item behind it had created.
pub struct MatchMapper {
    spec: MatchSpec,
    catalog: Arc<dyn Catalog>,
    remember: Option<Remember>,
    asked: Asked,
    key_is_integer: bool,
    read_only: bool,
    schema: SchemaRef,
    known: Option<(Known, Remembered)>,
    place: Place,
}

impl fmt::Debug for MatchMapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MatchMapper").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl MatchMapper {
    /// A look-up for items with the columns `input`. The catalog loads the
    /// columns `on`, then those that are compared. The added column is an
    /// Int64 if `key_is_integer`, else a Utf8.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if the item lacks a column, has
    /// one named like the key, or a new row would not be found again by its `on`
    /// values.
    pub fn new(
        spec: MatchSpec,
        catalog: Arc<dyn Catalog>,
        key_is_integer: bool,
        input: SchemaRef,
    ) -> Result<Self> {
        spec.check(&input)?;
        let asked = Asked::new(&spec, &input)?;
        let kind = if key_is_integer { DataType::Int64 } else { DataType::Utf8 };
        let mut fields = input.fields().to_vec();
        fields.push(Arc::new(Field::new(&spec.column, kind, true)));
        // Without likeness, what is found does not depend on what is created.
        let rises = key_is_integer && spec.fuzzy.is_some() && spec.missing == Missing::Create;
        Ok(Self {
            spec,
            catalog,
            remember: None,
            asked,
            key_is_integer,
            read_only: false,
            schema: Arc::new(Schema::new(fields)),
            known: None,
            place: Place::new(rises),
        })
    }

    /// The same look-up, creating nothing: an item whose row would be created
    /// goes on with NULL.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The same look-up, with a memory of what was decided before: see
    /// [`Remember`].
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if the item lacks the column.
    pub fn remember(mut self, remember: Remember) -> Result<Self> {
        self.asked.remember(&self.spec, &remember.from)?;
        self.remember = Some(remember);
        Ok(self)
    }

    /// What is known of the catalog, loaded.
    async fn load(&self) -> Result<(Known, Remembered)> {
        self.check_size().await?;
        let mut known = Known::new(&self.spec);
        let on = self.spec.on.len();
        for (key, values) in self.catalog.load().await? {
            if self.place.is_before(&key) {
                known.push(Some(key), values.split_at(on.min(values.len())).into());
                known.settle();
                self.check_memory(known.bytes())?;
            }
        }
        let remembered = match &self.remember {
            Some(remember) => remember.load().await?,
            None => Remembered::default(),
        };
        Ok((known, remembered))
    }

    /// Refuses a catalog that is too large before it is read.
    async fn check_size(&self) -> Result<()> {
        let size = self.catalog.size().await?;
        self.check_memory(size.bytes.saturating_add(size.rows.saturating_mul(Known::LEAST)))
            .map_err(|fault| fault.at(format_args!("{} rows", size.rows)))
    }

    fn check_memory(&self, bytes: u64) -> Result<()> {
        let most = self.spec.memory;
        if bytes <= most {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        Err(Fault::config(format!(
            "{}: what is known of the table takes more than {} MiB of memory",
            self.spec.table,
            mib(most)
        ))
        .with_hint(format!("allow it more, for example memory = \"{} MB\"", mib(bytes) * 2)))
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
        Ok(Mapped { failures, ..Mapped::all(items) })
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

    async fn open(&mut self) -> Result<()> {
        if self.known.is_none() {
            let known = self.load().await?;
            self.place.loaded(known.0.keys());
            self.known = Some(known);
        }
        Ok(())
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        self.open().await?;
        let (known, remembered) =
            self.known.as_mut().ok_or_else(|| Fault::bug("no catalog was loaded"))?;
        let look_up = LookUp {
            spec: &self.spec,
            catalog: &*self.catalog,
            remember: self.remember.as_ref(),
            asked: &self.asked,
            read_only: self.read_only,
            known,
            remembered,
        };
        let looked_up = look_up.all(&items.batch).await?;
        self.place.created(&looked_up.created);
        let bytes = self.known.as_ref().map_or(0, |(known, _)| known.bytes());
        self.check_memory(bytes)?;
        self.settle(items, looked_up)
    }

    fn save(&self) -> Option<Arc<[u8]>> {
        self.place.save()
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<()> {
        if self.place.restore(state)? {
            self.known = None;
        }
        Ok(())
    }
}
