//! A mapper that looks at the rows of one stream.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow_schema::{Field, Schema, SchemaRef};
use arrow_select::take::take;
use async_trait::async_trait;
use kiln_core::{Failure, Fault, Items, Mapped, Mapper, Result, Run};

/// Which rows a mapper looks at, and what it sees of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The rows of this stream; `None`: those of the items themselves.
    pub stream: Option<String>,
    /// The streams that are made of its rows, or of theirs: their rows get what
    /// the mapper adds to the row that they were made of.
    pub below: Vec<String>,
    /// The columns it sees, by their places.
    pub sees: Vec<usize>,
}

/// Runs a mapper over the rows of one stream (see [`STREAM`](kiln_core::STREAM)).
///
/// The mapper may add columns, behind those it sees, and let items fail; one
/// that fails does so with all of its rows, whichever stream they are of. It
/// must give each other row once, in order: it can't filter.
pub struct OfStream {
    scope: Scope,
    inner: Box<dyn Mapper>,
    schema: SchemaRef,
}

impl OfStream {
    /// A mapper made for [`Scope::sees`] of the columns `input`.
    pub fn new(scope: Scope, inner: Box<dyn Mapper>, input: &Schema) -> Self {
        let added = inner.schema();
        let added = added.fields().iter().skip(scope.sees.len());
        let added = added.map(|f| Arc::new(Field::new(f.name(), f.data_type().clone(), true)));
        let fields: Vec<_> = input.fields().iter().cloned().chain(added).collect();
        Self { scope, inner, schema: Arc::new(Schema::new(fields)) }
    }

    /// For each row, which of the stream's rows it gets its values from.
    fn sources(&self, items: &Items, is_own: &BooleanArray) -> Result<Vec<Option<u64>>> {
        let mut takes_part = is_own.values().iter().collect::<Vec<bool>>();
        for stream in &self.scope.below {
            let below = items.is_of(Some(stream))?;
            takes_part.iter_mut().zip(below.values().iter()).for_each(|(t, b)| *t |= b);
        }
        let mut own = 0;
        let mut last: Option<(u64, u64)> = None;
        let source = |row: usize| {
            let ordinal = items.ordinals[row];
            if is_own.value(row) {
                last = Some((ordinal, own));
                own += 1;
            }
            last.filter(|(of, _)| *of == ordinal && takes_part[row]).map(|(_, source)| source)
        };
        Ok((0..items.len()).map(source).collect())
    }

    /// All rows of items that did not fail, with what was added.
    fn join(
        &self,
        items: &Items,
        sources: &[Option<u64>],
        given: &Items,
        failures: &[Failure],
    ) -> Result<Items> {
        let has_failed =
            |ordinal: &u64| failures.binary_search_by_key(ordinal, |f| f.ordinal).is_ok();
        let kept: BooleanArray = items.ordinals.iter().map(|o| Some(!has_failed(o))).collect();
        let rest = items.filter(&kept)?;
        // Rows of failed items are missing from what was given.
        let mut place = 0;
        let mut places: Vec<u64> = Vec::new();
        for (row, source) in sources.iter().enumerate() {
            if source.is_some_and(|source| source as usize == places.len()) {
                places.push(place);
                place += u64::from(kept.value(row));
            }
        }
        let indices: UInt64Array = (0..items.len())
            .filter(|row| kept.value(*row))
            .map(|row| sources[row].map(|source| places[source as usize]))
            .collect();
        if place != given.len() as u64 {
            return Err(Fault::bug("a mapper of one stream lost rows, or made some"));
        }
        let added = given.batch.columns().iter().skip(self.scope.sees.len());
        let added = added
            .map(|column| take(column, &indices, None))
            .collect::<Result<Vec<ArrayRef>, _>>()
            .map_err(|e| Fault::bug(format!("what was added can't be taken over: {e}")))?;
        let columns = rest.batch.columns().iter().cloned().chain(added).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|e| Fault::bug(format!("what was added does not fit the items: {e}")))?;
        Ok(Items { batch, ..rest })
    }
}

#[async_trait]
impl Mapper for OfStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn begin(&mut self, run: &Run) {
        self.inner.begin(run);
    }

    async fn open(&mut self) -> Result<()> {
        self.inner.open().await
    }

    async fn map(&mut self, items: Items) -> Result<Mapped> {
        let is_own = items.is_of(self.scope.stream.as_deref())?;
        let sources = self.sources(&items, &is_own)?;
        let own = items.filter(&is_own)?;
        let seen = own
            .batch
            .project(&self.scope.sees)
            .map_err(|e| Fault::bug(format!("items lack columns of a stream: {e}")))?;
        let mapped = self.inner.map(Items { batch: seen, ..own }).await?;
        let Mapped { items: given, filtered, failures, warnings } = mapped;
        if !filtered.is_empty() {
            return Err(Fault::bug("a mapper of one stream has filtered items"));
        }
        let items = self.join(&items, &sources, &given, &failures)?;
        Ok(Mapped { items, filtered, failures, warnings })
    }

    fn save(&self) -> Option<Arc<[u8]>> {
        self.inner.save()
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<()> {
        self.inner.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray as _;
    use arrow_array::types::Int64Type;
    use arrow_array::{Array as _, Int64Array, StringArray};
    use arrow_schema::DataType;
    use kiln_core::{NoOrigins, Stage};

    use super::*;

    /// Adds ten times `n`; where that is 30 the item fails.
    struct Tenfold;

    #[async_trait]
    impl Mapper for Tenfold {
        fn schema(&self) -> SchemaRef {
            let fields = ["n", "ten"].map(|name| Field::new(name, DataType::Int64, true));
            Arc::new(Schema::new(fields.to_vec()))
        }

        async fn map(&mut self, items: Items) -> Result<Mapped> {
            let n = items.batch.column(0).as_primitive::<Int64Type>();
            let ten: Int64Array = n.iter().map(|n| n.map(|n| n * 10)).collect();
            let failed: Vec<u64> =
                (0..n.len()).filter(|i| n.value(*i) == 3).map(|i| items.ordinals[i]).collect();
            let keep = items.ordinals.iter().map(|o| Some(!failed.contains(o)));
            let keep: BooleanArray = keep.collect();
            let columns = vec![Arc::clone(items.batch.column(0)), Arc::new(ten) as ArrayRef];
            let batch = RecordBatch::try_new(self.schema(), columns).unwrap();
            let items = Items { batch, ..items }.filter(&keep)?;
            let failure =
                |ordinal: u64| Failure { ordinal, stage: Stage::Map, fault: Fault::item("three") };
            let failures = failed.into_iter().map(failure).collect();
            Ok(Mapped { failures, ..Mapped::all(items) })
        }
    }

    /// Rows as (ordinal, stream, n).
    fn items(rows: &[(u64, Option<&str>, i64)]) -> Items {
        let n = Int64Array::from_iter_values(rows.iter().map(|r| r.2));
        let streams: StringArray = rows.iter().map(|r| r.1).collect();
        let columns: [(&str, ArrayRef); 2] =
            [("n", Arc::new(n)), (kiln_core::STREAM, Arc::new(streams))];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true)));
        Items {
            batch: batch.unwrap(),
            ordinals: rows.iter().map(|r| r.0).collect(),
            origins: Arc::new(NoOrigins),
        }
    }

    async fn mapped(
        stream: Option<&str>,
        below: &[&str],
        rows: &[(u64, Option<&str>, i64)],
    ) -> (Vec<(u64, i64, Option<i64>)>, Vec<u64>) {
        let scope = Scope {
            stream: stream.map(str::to_owned),
            below: below.iter().map(|b| (*b).to_owned()).collect(),
            sees: vec![0],
        };
        let items = items(rows);
        let mut mapper = OfStream::new(scope, Box::new(Tenfold), &items.batch.schema());
        let mapped = mapper.map(items).await.unwrap();
        assert_eq!(mapped.items.batch.schema(), mapper.schema());
        let n = mapped.items.batch.column(0).as_primitive::<Int64Type>();
        let ten = mapped.items.batch.column(2).as_primitive::<Int64Type>();
        let row = |i: usize| {
            (mapped.items.ordinals[i], n.value(i), ten.is_valid(i).then(|| ten.value(i)))
        };
        let failed = mapped.failures.iter().map(|f| f.ordinal).collect();
        ((0..mapped.items.len()).map(row).collect(), failed)
    }

    const A: Option<&str> = Some("a");
    const B: Option<&str> = Some("b");

    #[tokio::test]
    async fn a_stream_gets_what_is_added_and_so_do_rows_made_of_it() {
        let rows = [(1, None, 1), (1, A, 2), (1, B, 4), (2, None, 5), (4, None, 6), (4, B, 7)];
        let (given, failed) = mapped(None, &["a"], &rows).await;
        assert!(failed.is_empty());
        let expected = [
            (1, 1, Some(10)),
            (1, 2, Some(10)),
            (1, 4, None),
            (2, 5, Some(50)),
            (4, 6, Some(60)),
            (4, 7, None),
        ];
        assert_eq!(given, expected);
        let (given, _) = mapped(B, &[], &rows).await;
        let expected = [
            (1, 1, None),
            (1, 2, None),
            (1, 4, Some(40)),
            (2, 5, None),
            (4, 6, None),
            (4, 7, Some(70)),
        ];
        assert_eq!(given, expected);
    }

    #[tokio::test]
    async fn an_item_fails_with_the_rows_of_all_streams() {
        let rows = [
            (1, None, 1),
            (1, A, 2),
            (2, None, 1),
            (2, A, 2),
            (2, A, 3),
            (2, B, 1),
            (3, None, 8),
            (3, A, 9),
        ];
        let (given, failed) = mapped(A, &[], &rows).await;
        assert_eq!(failed, [2]);
        assert_eq!(given, [(1, 1, None), (1, 2, Some(20)), (3, 8, None), (3, 9, Some(90))]);
        let (given, failed) = mapped(A, &[], &[(7, None, 1), (7, A, 3)]).await;
        assert_eq!((given, failed), (vec![], vec![7]));
        let (given, failed) = mapped(A, &[], &[(7, None, 1)]).await;
        assert_eq!((given, failed), (vec![(7, 1, None)], vec![]));
    }
}
