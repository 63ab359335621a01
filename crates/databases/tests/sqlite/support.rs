//! Throw-away databases, and units to write to them.

use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use kiln_core::{
    Checkpoint, DeadLetter, Failure, Fault, Lane, LaneKey, Mark, Mode, NoOrigins, Origin, Position,
    Refusal, Rows, RunId, Settled, Span, Stage, TableName, Unit, Write, WriteColumn,
};
use kiln_databases::{Database, Script};
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

/// A database in a folder of its own.
pub(crate) struct Shop {
    pub(crate) folder: TempDir,
    pub(crate) database: Arc<dyn Database>,
}

pub(crate) fn script(sql: &str) -> Option<Script> {
    Some(Script { name: "schema.sql".to_owned(), sql: sql.to_owned() })
}

impl Shop {
    /// A database that is set up and has its ledger.
    pub(crate) async fn new(sql: &str) -> Self {
        let shop = Self::untouched(sql).await;
        shop.database.set_up().await.unwrap();
        shop.database.ledger().prepare().await.unwrap();
        shop
    }

    /// A database that nobody has used yet.
    pub(crate) async fn untouched(sql: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("shop.db").display());
        let database = kiln_databases::connect(&url, script(sql)).await.unwrap();
        Self { folder, database }
    }

    /// The same database, opened by somebody else.
    pub(crate) async fn again(&self) -> Arc<dyn Database> {
        kiln_databases::connect(self.database.url(), None).await.unwrap()
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("shop.db")
    }

    pub(crate) fn sql(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        connection
    }

    /// The rows of a query, values as SQLite has them, separated by `|`.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        let connection = self.sql();
        let mut statement = connection.prepare(sql).unwrap();
        let count = statement.column_count();
        let line = |row: &rusqlite::Row<'_>| {
            let value = |i| row.get::<_, Value>(i).map(|v| show(&v));
            Ok((0..count).map(value).collect::<Result<Vec<_>, _>>()?.join("|"))
        };
        statement.query_map([], line).unwrap().collect::<Result<_, _>>().unwrap()
    }

    pub(crate) async fn lane(
        &self,
        epoch: u64,
        writes: &[Write],
        items: SchemaRef,
    ) -> Box<dyn Lane> {
        self.open(epoch, writes, items).await.unwrap().0
    }

    pub(crate) async fn open(
        &self,
        epoch: u64,
        writes: &[Write],
        items: SchemaRef,
    ) -> kiln_core::Result<(Box<dyn Lane>, Mark)> {
        self.database.sink().open(&lane_key(epoch), writes, &items).await
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(i) => i.to_string(),
        Value::Real(x) => format!("{x:?}"),
        Value::Text(t) => format!("'{t}'"),
        Value::Blob(b) => format!("x{b:02x?}"),
    }
}

pub(crate) fn lane_key(epoch: u64) -> LaneKey {
    LaneKey { run: RunId("run-1".to_owned()), step: "main".to_owned(), lane: 0, epoch }
}

/// Writes `columns`, from columns of the same name, into `table`.
pub(crate) fn insert(table: &str, columns: &[&str]) -> Write {
    Write {
        table: TableName::parse(table).unwrap(),
        stream: None,
        mode: Mode::Insert,
        columns: columns
            .iter()
            .map(|c| WriteColumn { column: (*c).to_owned(), from: (*c).to_owned() })
            .collect(),
        key: Vec::new(),
        on_duplicate: kiln_core::Duplicates::default(),
    }
}

/// Adds `added` to the rows of `table` with the same `key`.
pub(crate) fn increment(table: &str, key: &[&str], added: &[&str]) -> Write {
    Write {
        mode: Mode::Increment,
        key: key.iter().map(|k| (*k).to_owned()).collect(),
        ..insert(table, &[key, added].concat())
    }
}

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

pub(crate) fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

pub(crate) fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub(crate) fn decimals(
    precision: u8,
    scale: i8,
    digits: impl IntoIterator<Item = i128>,
) -> ArrayRef {
    let array = Decimal128Array::from_iter_values(digits);
    Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
}

/// A unit of the items behind `from`, one row in each write for each item.
pub(crate) fn unit(from: u64, writes: Vec<RecordBatch>) -> Unit {
    let count = writes[0].num_rows() as u64;
    let ordinals: Vec<u64> = (from + 1..=from + count).collect();
    let rows = |batch| Rows { batch, ordinals: ordinals.clone() };
    Unit {
        span: Span { from, to: from + count },
        start: checkpoint(from),
        end: checkpoint(from + count),
        writes: writes.into_iter().map(rows).collect(),
        items: ordinals,
        filtered: Vec::new(),
        dead_letters: Vec::new(),
        warnings: Vec::new(),
        origins: Arc::new(NoOrigins),
    }
}

pub(crate) fn checkpoint(ordinal: u64) -> Checkpoint {
    Checkpoint {
        position: Position { ordinal, place: format!("byte {ordinal}") },
        state: Some(Arc::from(ordinal.to_le_bytes().as_slice())),
    }
}

pub(crate) fn dead_letter(ordinal: u64, raw: &str) -> DeadLetter {
    let fault = Fault::item("no price").with_code("require").with_column("price");
    let origin = Origin {
        source: "a.csv".to_owned(),
        line: Some(ordinal + 1),
        offset: Some(ordinal * 10),
        key: None,
        raw: raw.to_owned(),
    };
    DeadLetter::new(&Failure { ordinal, stage: Stage::Require, fault }, origin)
}

/// Sends a unit and waits for its answer.
pub(crate) async fn settle(lane: &mut dyn Lane, unit: Unit) -> Settled {
    lane.submit(Arc::new(unit)).await;
    lane.settle().await
}

pub(crate) async fn commit(lane: &mut dyn Lane, unit: Unit) {
    let settled = settle(lane, unit).await;
    assert!(matches!(settled, Settled::Committed(_)), "{settled:?}");
}

pub(crate) async fn refusal(lane: &mut dyn Lane, unit: Unit) -> Refusal {
    match settle(lane, unit).await {
        Settled::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}
