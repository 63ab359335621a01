//! A catalog in memory, and items for it.

use std::sync::{Arc, Mutex};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use kiln_core::{
    Catalog, CatalogSize, CellColumn, Fault, Items, Key, Kind, Mapped, Mapper, NoOrigins, Result,
    Stage, WriteColumn,
};
use kiln_matching::MatchMapper;

/// A table `items(id, code unique, name not null)` in memory.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) state: Mutex<State>,
    pub(crate) text_keys: bool,
    /// Whether names are loaded beside the codes.
    pub(crate) compared: bool,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) rows: Vec<(String, String)>,
    pub(crate) loads: usize,
    /// The codes of each call, in order.
    pub(crate) asked: Vec<Vec<String>>,
    pub(crate) unreachable: bool,
}

impl Table {
    pub(crate) fn with(rows: &[(&str, &str)]) -> Arc<Self> {
        let table = Self::default();
        table.state.lock().unwrap().rows =
            rows.iter().map(|(c, n)| ((*c).to_owned(), (*n).to_owned())).collect();
        Arc::new(table)
    }

    pub(crate) fn state(&self) -> State {
        self.state.lock().unwrap().clone()
    }

    pub(crate) fn set_unreachable(&self, unreachable: bool) {
        self.state.lock().unwrap().unreachable = unreachable;
    }

    fn key(&self, index: usize) -> Key {
        if self.text_keys { Key::Text(format!("k{index}")) } else { Key::Int(index as i64 + 1) }
    }
}

fn unreachable() -> Fault {
    Fault::new(Kind::Unreachable, "the connection is gone")
}

#[async_trait]
impl Catalog for Table {
    async fn key_is_integer(&self) -> Result<bool> {
        Ok(!self.text_keys)
    }

    async fn size(&self) -> Result<CatalogSize> {
        let rows = &self.state.lock().unwrap().rows;
        let bytes = rows.iter().map(|(code, name)| code.len() + name.len()).sum::<usize>();
        Ok(CatalogSize { rows: rows.len() as u64, bytes: bytes as u64 })
    }

    async fn load(&self) -> Result<Vec<(Key, Vec<Option<String>>)>> {
        let mut state = self.state.lock().unwrap();
        state.loads += 1;
        if state.unreachable {
            return Err(unreachable());
        }
        let rows = state.rows.iter().enumerate();
        let values = |code: &String, name: &String| {
            let name = self.compared.then(|| Some(name.clone()));
            [Some(code.clone())].into_iter().chain(name).collect()
        };
        Ok(rows.map(|(i, (code, name))| (self.key(i), values(code, name))).collect())
    }

    async fn find_or_create(&self, rows: &RecordBatch) -> Result<Vec<Result<Key>>> {
        self.make(rows, false)
    }

    async fn find_or_create_in_order(&self, rows: &RecordBatch) -> Result<Vec<Result<Key>>> {
        self.make(rows, true)
    }
}

impl Table {
    fn make(&self, rows: &RecordBatch, in_order: bool) -> Result<Vec<Result<Key>>> {
        let names: Vec<_> = rows.schema_ref().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, ["code", "name"]);
        let columns = CellColumn::of(rows).unwrap();
        let mut state = self.state.lock().unwrap();
        let cell = |c: usize, r: usize| columns[c].cell(r);
        state.asked.push((0..rows.num_rows()).map(|r| cell(0, r).to_string()).collect());
        if state.unreachable {
            return Err(unreachable());
        }
        let mut answers = Vec::new();
        for row in 0..rows.num_rows() {
            let code = cell(0, row).to_string();
            if let Some(i) = state.rows.iter().position(|(c, _)| *c == code) {
                answers.push(Ok(self.key(i)));
            } else if cell(1, row).is_null() {
                answers.push(Err(Fault::item("items.name: NULL").with_code("23502")));
                if in_order {
                    break;
                }
            } else {
                state.rows.push((code, cell(1, row).to_string()));
                answers.push(Ok(self.key(state.rows.len() - 1)));
            }
        }
        Ok(answers)
    }
}

pub(crate) fn input() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("stock_code", DataType::Utf8, true),
        Field::new("description", DataType::Utf8, true),
        Field::new("number", DataType::Int64, true),
    ]))
}

pub(crate) type Line<'a> = (Option<&'a str>, Option<&'a str>);

pub(crate) fn items(lines: &[Line<'_>]) -> Items {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter(lines.iter().map(|l| l.0))),
        Arc::new(StringArray::from_iter(lines.iter().map(|l| l.1))),
        Arc::new(Int64Array::from_iter_values(0..lines.len() as i64)),
    ];
    Items {
        batch: RecordBatch::try_new(input(), columns).unwrap(),
        ordinals: (1..=lines.len() as u64).collect(),
        origins: Arc::new(NoOrigins),
    }
}

pub(crate) fn column(column: &str, from: &str) -> WriteColumn {
    WriteColumn { column: column.into(), from: from.into() }
}

pub(crate) async fn map(mapper: &mut MatchMapper, items: Items) -> Mapped {
    let count = items.len();
    let mapped = mapper.map(items).await.unwrap();
    assert_eq!(mapped.items.len() + mapped.failures.len(), count);
    assert_eq!(mapped.items.batch.num_rows(), mapped.items.len());
    assert_eq!(mapped.items.batch.schema(), mapper.schema());
    assert!(mapped.failures.is_sorted_by_key(|f| f.ordinal));
    assert_eq!(mapped.filtered.len(), 0);
    mapped
}

/// The key of each item that goes on.
pub(crate) fn keys(mapped: &Mapped) -> Vec<(u64, Option<i64>)> {
    let keys = mapped.items.batch.column_by_name("item_id").unwrap();
    let keys = keys.as_primitive::<Int64Type>().iter();
    mapped.items.ordinals.iter().copied().zip(keys).collect()
}

pub(crate) fn failed(mapped: &Mapped) -> Vec<(u64, &str)> {
    assert!(mapped.failures.iter().all(|f| f.stage == Stage::Match));
    mapped.failures.iter().map(|f| (f.ordinal, f.fault.code().unwrap_or(""))).collect()
}
