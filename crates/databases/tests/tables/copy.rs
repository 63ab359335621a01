//! Copying a table by source and lane, as a run does it.

use std::sync::Arc;

use kiln_core::{
    Checkpoint, ChunkLimits, Failure, LaneKey, NoOrigins, Rows, RunId, Settled, Source, Span,
    TableName, TableSpec, Unit, Write, WriteColumn,
};
use kiln_databases::connect;
use kiln_testkit::{Row, TestDatabase};

/// Opens a table of a database.
pub(crate) async fn open(database: &TestDatabase, table: &str) -> Box<dyn Source> {
    let spec = TableSpec::new(TableName::parse(table).unwrap());
    connect(&database.url, None).await.unwrap().source(&spec).await.unwrap()
}

/// Copies all rows of a table to one of the same columns; gives what failed.
/// Nothing that could be read may be refused.
pub(crate) async fn copy(
    from: &TestDatabase,
    table: &str,
    to: &TestDatabase,
    target: &str,
) -> Vec<Failure> {
    let mut source = open(from, table).await;
    let database = connect(&to.url, None).await.unwrap();
    database.ledger().prepare().await.unwrap();
    let schema = source.schema();
    let mut write = Write::insert(target).unwrap();
    let column = |name: &String| WriteColumn { column: name.clone(), from: name.clone() };
    write.columns = schema.fields().iter().map(|f| column(f.name())).collect();
    for check in database.sink().check(std::slice::from_ref(&write), &schema).await {
        check.result.unwrap_or_else(|fault| panic!("{}: {fault}", check.what));
    }
    let key = LaneKey { run: RunId(format!("{table}-1")), step: "main".into(), lane: 0, epoch: 1 };
    let (mut lane, _) = database.sink().open(&key, &[write], &schema).await.unwrap();
    let mut failures = Vec::new();
    while let Some(chunk) = source.next(&ChunkLimits::default()).await.unwrap() {
        let place = |position| Checkpoint { position, state: None };
        let unit = Unit {
            span: Span { from: chunk.start.ordinal, to: chunk.end.ordinal },
            start: place(chunk.start),
            end: place(chunk.end),
            items: chunk.items.ordinals.clone(),
            filtered: chunk.failures.iter().map(|f| f.ordinal).collect(),
            writes: vec![Rows { batch: chunk.items.batch, ordinals: chunk.items.ordinals }],
            dead_letters: Vec::new(),
            warnings: Vec::new(),
            origins: Arc::new(NoOrigins),
        };
        lane.submit(Arc::new(unit)).await;
        match lane.settle().await {
            Settled::Committed(_) => failures.extend(chunk.failures),
            other => panic!("{table}: {other:?}"),
        }
    }
    failures
}

/// Makes sure that two queries give the same rows, and some.
pub(crate) fn assert_same(a: &[Row], b: &[Row], what: &str) {
    assert!(!a.is_empty(), "{what}: no rows");
    assert_eq!(a, b, "{what}");
}
