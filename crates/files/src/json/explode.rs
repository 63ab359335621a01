//! Items with a JSON array in a column to items with a row for each element.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take;
use async_trait::async_trait;
use kiln_core::{Failure, Fault, Items, Mapped, Mapper, Result, STREAM, Stage};
use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::columns::{Columns, no_json};
use super::options::JsonColumn;
use crate::column::refuse_twice;

/// Which array becomes rows, and what its elements hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explode {
    /// The column of text that holds the array, as JSON.
    pub column: String,
    /// The stream of the new rows.
    pub stream: String,
    /// The stream whose rows have the column; `None`: the items themselves.
    pub of: Option<String>,
    /// A column for the place of an element in its array, counted from 1.
    pub number: Option<String>,
    /// The columns of an element, and where in it their values are.
    pub columns: Vec<JsonColumn>,
}

/// Puts behind each row one for each element of the JSON array in a column.
///
/// New rows have the values of the row they were made of, too; that row has NULL
/// in the new columns. The column of the array is gone. An array that is empty,
/// a `null` and NULL have no elements.
///
/// An item fails whole, in [`Stage::Map`], if what is in the column is no JSON
/// or no array (`json`), or a value of an element does not fit its column: as in
/// a [`JsonSource`](super::JsonSource).
pub struct ExplodeMapper {
    explode: Explode,
    /// Where the array is among the columns that come in.
    place: usize,
    /// Which of those columns stay, [`STREAM`] not among them.
    stay: Vec<usize>,
    elements: Columns,
    schema: SchemaRef,
}

impl fmt::Debug for ExplodeMapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExplodeMapper").field("explode", &self.explode).finish_non_exhaustive()
    }
}

impl ExplodeMapper {
    /// For items with the columns `input`.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config): there is no such column, it is
    /// no text, a name is taken, or a column's format is none.
    pub fn new(explode: Explode, input: &Schema) -> Result<Self> {
        let Some((place, array)) = input.column_with_name(&explode.column) else {
            return Err(Fault::config(format!("the item has no column {}", explode.column)));
        };
        if array.data_type() != &DataType::Utf8 {
            let (column, kind) = (&explode.column, array.data_type());
            return Err(Fault::config(format!("column {column} is of type {kind}, not text"))
                .with_hint("the array stands in a column of text, as JSON"));
        }
        let columns: Vec<JsonColumn> = explode.columns.iter().map(JsonColumn::plain).collect();
        let elements = Columns::new(&columns, &[])?;
        let stay = (0..input.fields().len())
            .filter(|i| *i != place && input.field(*i).name() != STREAM)
            .collect::<Vec<_>>();
        let mut fields: Vec<_> = stay.iter().map(|i| Arc::clone(&input.fields()[*i])).collect();
        let number = explode.number.iter();
        fields.extend(number.map(|name| Arc::new(Field::new(name, DataType::Int64, true))));
        fields.extend(elements.schema().fields().iter().cloned());
        fields.push(Arc::new(Field::new(STREAM, DataType::Utf8, true)));
        refuse_twice(fields.iter().map(|f| f.name().as_str()))?;
        Ok(Self { explode, place, stay, elements, schema: Arc::new(Schema::new(fields)) })
    }

    /// The rows of one item. Where it fails, `rows` is left as it was.
    fn item(&mut self, items: &Given<'_>, of: Range<usize>, rows: &mut Rows) -> Result<()> {
        let (before, elements) = (rows.from.len(), rows.elements);
        for row in of {
            rows.push(row, None);
            if !items.is_exploded(row) {
                continue;
            }
            if let Err(fault) = self.array(items.arrays.value(row), row, rows) {
                rows.from.truncate(before);
                rows.numbers.truncate(before);
                rows.elements = elements;
                self.elements.truncate(elements);
                return Err(match fault.column() {
                    Some(_) => fault,
                    None => fault.with_column(&self.explode.column),
                });
            }
        }
        Ok(())
    }

    fn array(&mut self, array: &str, row: usize, rows: &mut Rows) -> Result<()> {
        for (nth, element) in
            elements(array).map_err(|fault| fault.at(&self.explode.column))?.into_iter().enumerate()
        {
            let place = || format!("{}[{nth}]", self.explode.column);
            self.elements.push_any(element.get().as_bytes()).map_err(|fault| fault.at(place()))?;
            rows.push(row, Some(nth as i64 + 1));
        }
        Ok(())
    }

    /// All rows as items.
    fn finish(&mut self, items: Items, rows: Rows) -> Result<Items> {
        let wrong = |e| Fault::bug(format!("exploded rows do not fit together: {e}"));
        let streams = items.batch.column_by_name(STREAM).map(|c| c.as_string::<i32>());
        let stream = |(from, nth): (&u64, &Option<i64>)| match (nth, streams) {
            (Some(_), _) => Some(self.explode.stream.as_str()),
            (None, Some(old)) => {
                let row = *from as usize;
                old.is_valid(row).then(|| old.value(row))
            }
            (None, None) => None,
        };
        let streams: StringArray = rows.from.iter().zip(&rows.numbers).map(stream).collect();
        let ordinals = rows.from.iter().map(|row| items.ordinals[*row as usize]).collect();

        let mut places = 0..;
        let place = |number: &Option<i64>| number.and_then(|_| places.next());
        let places: UInt64Array = rows.numbers.iter().map(place).collect();
        let from = UInt64Array::from(rows.from);
        let elements = self.elements.finish()?;
        let stay = self.stay.iter().map(|i| take(items.batch.column(*i), &from, None));
        let number: Option<ArrayRef> =
            self.explode.number.as_ref().map(|_| Arc::new(Int64Array::from(rows.numbers)) as _);
        let new = elements.columns().iter().map(|column| take(column, &places, None));
        let columns = stay
            .chain(number.map(Ok))
            .chain(new)
            .chain([Ok(Arc::new(streams) as ArrayRef)])
            .collect::<Result<Vec<_>, _>>()
            .map_err(wrong)?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(wrong)?;
        Ok(Items { batch, ordinals, origins: items.origins })
    }
}

/// What comes in: the arrays, and which rows have theirs taken apart.
struct Given<'a> {
    arrays: &'a StringArray,
    is_of: arrow_array::BooleanArray,
}

impl Given<'_> {
    fn is_exploded(&self, row: usize) -> bool {
        self.is_of.value(row) && self.arrays.is_valid(row)
    }
}

/// What goes on: for each row, the row that came in and the place of the element.
#[derive(Default)]
struct Rows {
    from: Vec<u64>,
    numbers: Vec<Option<i64>>,
    /// How many of them are elements.
    elements: usize,
}

impl Rows {
    fn push(&mut self, from: usize, number: Option<i64>) {
        self.from.push(from as u64);
        self.numbers.push(number);
        self.elements += usize::from(number.is_some());
    }
}

/// The elements of an array, as they are written; none of a `null`.
fn elements(text: &str) -> Result<Vec<&RawValue>> {
    struct Elements;
    impl<'de> Visitor<'de> for Elements {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(element) = seq.next_element()? {
                all.push(element);
            }
            Ok(all)
        }
    }
    if let Some(first) = text.trim_start().chars().next().filter(|c| !"[n".contains(*c)) {
        let message = format!("an array should be there, but it begins with {first:?}");
        return Err(Fault::item(message).with_code("json"));
    }
    let mut walk = serde_json::Deserializer::from_str(text);
    let all = walk.deserialize_any(Elements).map_err(no_json)?;
    walk.end().map_err(no_json)?;
    Ok(all)
}

#[async_trait]
impl Mapper for ExplodeMapper {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let arrays = items.batch.columns().get(self.place).and_then(|c| c.as_string_opt::<i32>());
        let arrays = arrays.ok_or_else(|| Fault::bug("items lack the array they should have"))?;
        let given = Given { arrays, is_of: items.is_of(self.explode.of.as_deref())? };
        let (mut rows, mut failures) = (Rows::default(), Vec::new());
        let mut from = 0;
        for of in items.ordinals.chunk_by(|a, b| a == b) {
            let to = from + of.len();
            if let Err(fault) = self.item(&given, from..to, &mut rows) {
                failures.push(Failure { ordinal: of[0], stage: Stage::Map, fault });
            }
            from = to;
        }
        let items = self.finish(items.clone(), rows)?;
        Ok(Mapped { failures, ..Mapped::all(items) })
    }
}
