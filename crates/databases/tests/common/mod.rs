//! Units made by hand, and what becomes of them: for tests of one database.

// Each database's tests use what they need of it.
#![allow(dead_code)]

pub(crate) use std::sync::Arc;

pub(crate) use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
pub(crate) use arrow_schema::{Schema, SchemaRef};
pub(crate) use kiln_core::{
    Check, Checkpoint, DeadLetter, Duplicates, Failure, Fault, Lane, LaneKey, Mark, Mode,
    NoOrigins, Origin, Position, Rows, RunId, Settled, Span, Stage, TableName, Unit, Write,
    WriteColumn,
};
pub(crate) use kiln_databases::Database;

/// A write of columns that are called the same in the item.
pub(crate) fn write(table: &str, mode: Mode, columns: &[&str], key: &[&str]) -> Write {
    let column = |name: &&str| WriteColumn { column: (*name).into(), from: (*name).into() };
    Write {
        table: TableName::parse(table).unwrap(),
        stream: None,
        mode,
        columns: columns.iter().map(column).collect(),
        key: key.iter().map(|k| (*k).into()).collect(),
        on_duplicate: Duplicates::Last,
    }
}

pub(crate) fn insert(table: &str, columns: &[&str]) -> Write {
    write(table, Mode::Insert, columns, &[])
}

pub(crate) fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}

pub(crate) fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let nullable = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(nullable).unwrap()
}

/// The unit of the items behind ordinal `from`, one for each row.
pub(crate) fn unit(from: u64, writes: Vec<RecordBatch>) -> Unit {
    let rows = writes.first().map_or(0, RecordBatch::num_rows) as u64;
    let items: Vec<u64> = (from + 1..=from + rows).collect();
    let rows = |batch: RecordBatch| Rows { batch, ordinals: items.clone() };
    let place = |ordinal: u64| Checkpoint {
        position: Position { ordinal, place: format!("byte={ordinal}") },
        state: Some(Arc::from(ordinal.to_string().as_bytes())),
    };
    Unit {
        span: Span { from, to: from + items.len() as u64 },
        start: place(from),
        end: place(from + items.len() as u64),
        writes: writes.into_iter().map(rows).collect(),
        items,
        filtered: Vec::new(),
        dead_letters: Vec::new(),
        warnings: Vec::new(),
        origins: Arc::new(NoOrigins),
    }
}

/// The dead letter of an item that failed before.
pub(crate) fn dead_letter(ordinal: u64, raw: &str) -> DeadLetter {
    let fault = Fault::item("no \"price\"\u{1b}[31m").with_code("require");
    let origin = Origin {
        source: "a\tb.csv".into(),
        line: Some(ordinal),
        offset: Some(7 * ordinal),
        key: Some("k\n".into()),
        raw: raw.into(),
    };
    DeadLetter::new(&Failure { ordinal, stage: Stage::Require, fault }, origin)
}

pub(crate) fn schema_of(batches: &[&RecordBatch]) -> SchemaRef {
    let fields = batches.iter().flat_map(|b| b.schema().fields().to_vec());
    let mut all: Vec<arrow_schema::FieldRef> = fields.collect();
    all.sort_by(|a, b| a.name().cmp(b.name()));
    all.dedup_by(|a, b| a.name() == b.name());
    Arc::new(Schema::new(all))
}

pub(crate) fn key(run: &str, epoch: u64) -> LaneKey {
    LaneKey { run: RunId(run.into()), step: "main".into(), lane: 0, epoch }
}

pub(crate) async fn open(
    database: &Arc<dyn Database>,
    key: &LaneKey,
    writes: &[Write],
    items: &SchemaRef,
) -> (Box<dyn Lane>, Mark) {
    database.sink().open(key, writes, items).await.unwrap()
}

pub(crate) async fn settle(lane: &mut Box<dyn Lane>, unit: &Unit) -> Settled {
    lane.submit(Arc::new(unit.clone())).await;
    lane.settle().await
}

pub(crate) async fn commit(lane: &mut Box<dyn Lane>, unit: &Unit) {
    match settle(lane, unit).await {
        Settled::Committed(counts) => assert_eq!(counts, unit.counts()),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn refused(lane: &mut Box<dyn Lane>, unit: &Unit) -> (Fault, Option<u64>) {
    match settle(lane, unit).await {
        Settled::Refused(refusal) => (refusal.fault, refusal.ordinal),
        other => panic!("{other:?}"),
    }
}

/// The fault of a failing check, with what it looked at.
pub(crate) fn failing(checks: &[Check]) -> Vec<(&str, &Fault)> {
    checks.iter().filter_map(|c| Some((c.what.as_str(), c.result.as_ref().err()?))).collect()
}
