//! What a database owes that runs statements.

use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use kiln_core::{Counts, Fault, Kind, Lane, Mark, Rows, RunId, Settled, Span, Unit};

use super::ledger::begin;
use crate::TestTarget;
use crate::notes::{self, Fate, insert_notes, key, notes as these, sorted, unit};

type Target = dyn TestTarget;

/// The unit whose only item, the n-th, is a statement.
fn statement(n: u64, sql: &str) -> Unit {
    let schema = Schema::new(vec![Field::new("statement", DataType::Utf8, true)]);
    let column = Arc::new(StringArray::from(vec![sql]));
    let batch = RecordBatch::try_new(Arc::new(schema), vec![column]).expect("a batch");
    let writes = vec![Rows { batch, ordinals: vec![n] }];
    let span = Span { from: n - 1, to: n };
    Unit { span, items: vec![n], writes, ..unit(n - 1, &[Fate::Write], &[]) }
}

/// A run with the notes 1 to 6, and a lane for statements of its next step.
async fn lane(target: &Target) -> (RunId, Box<dyn Lane>) {
    let claim = begin(&*target.ledger(), "job", "").await;
    let writes = [insert_notes()];
    let notes = key(&claim.run, 0, 1);
    let (mut lane, _) = target.sink().open(&notes, &writes, &notes::items()).await.unwrap();
    answer(&mut lane, unit(0, &[Fate::Write; 6], &writes)).await.unwrap();
    (claim.run.clone(), open(target, &claim.run, 1).await.0)
}

async fn open(target: &Target, run: &RunId, epoch: u64) -> (Box<dyn Lane>, Mark) {
    target.sink().open_statements(&key(run, 7, epoch)).await.expect("an open lane")
}

async fn answer(lane: &mut Box<dyn Lane>, unit: Unit) -> Result<Counts, Fault> {
    lane.submit(Arc::new(unit)).await;
    match lane.settle().await {
        Settled::Committed(counts) => Ok(counts),
        Settled::Refused(refusal) => Err(refusal.fault),
        Settled::Unknown(fault) => panic!("{fault:?}"),
    }
}

async fn assert_notes(target: &Target, ordinals: impl IntoIterator<Item = u64>) {
    assert_eq!(sorted(target.rows("notes").await), these(ordinals));
}

const ONE: Counts = Counts { read: 1, processed: 1, filtered: 0, duplicate: 0, failed: 0 };

/// A statement is done with its mark, and the next one behind it.
pub async fn a_statement_commits_with_its_mark(target: &Target) {
    let (run, mut lane) = lane(target).await;
    let first = statement(1, "DELETE FROM notes WHERE id > (0) AND id <= (2)");
    assert_eq!(answer(&mut lane, first).await.unwrap(), ONE);
    assert_notes(target, 3..=6).await;
    let second = statement(2, "DELETE FROM notes -- up to 4\nWHERE id > (2) AND id <= (4);");
    answer(&mut lane, second).await.unwrap();
    assert_notes(target, 5..=6).await;
    let (_, mark) = open(target, &run, 1).await;
    assert_eq!((mark.done, mark.counts), (2, ONE + ONE));
    assert!(target.ledger().dead_letters(&run, notes::STEP, 0, 9).await.unwrap().is_empty());
}

/// What a statement reads is of no account, and texts in it are texts.
pub async fn a_statement_may_give_rows(target: &Target) {
    let (_, mut lane) = lane(target).await;
    answer(&mut lane, statement(1, "SELECT id, 'it''s :from; COMMIT' FROM notes")).await.unwrap();
    let with = "WITH few AS (SELECT id FROM notes WHERE id < 3) SELECT * FROM few";
    answer(&mut lane, statement(2, with)).await.unwrap();
    assert_notes(target, 1..=6).await;
}

/// One that fails is the job's fault, not an item's, and leaves nothing.
pub async fn a_failed_statement_leaves_nothing(target: &Target) {
    let (run, mut lane) = lane(target).await;
    for sql in [
        "INSERT INTO notes (id, body) VALUES (7, 'new'), (1, 'there already')",
        "INSERT INTO notes (id, body) VALUES (8, NULL)",
        "DELETE FROM no_such_table",
        "DELET FROM notes",
    ] {
        let fault = answer(&mut lane, statement(1, sql)).await.unwrap_err();
        assert_eq!(fault.kind(), Kind::Config, "{sql}: {fault:?}");
        assert!(!fault.is_transient());
        assert_notes(target, 1..=6).await;
    }
    assert_eq!(open(target, &run, 1).await.1, Mark::default());
    answer(&mut lane, statement(1, "DELETE FROM notes WHERE id < 6")).await.unwrap();
    assert_notes(target, [6]).await;
}

/// Two statements in one could end the transaction between them.
pub async fn several_statements_are_refused(target: &Target) {
    let (_, mut lane) = lane(target).await;
    for sql in ["DELETE FROM notes; DELETE FROM labels", "DELETE FROM notes; COMMIT"] {
        assert!(answer(&mut lane, statement(1, sql)).await.is_err(), "{sql}");
        let looked = target.sink().check_statement(sql).await;
        assert!(looked.iter().any(|check| check.result.is_err()), "{sql}");
        assert_notes(target, 1..=6).await;
    }
}

/// A unit that comes twice, or out of turn, runs nothing; nor does who was fenced.
pub async fn a_statement_is_never_run_twice(target: &Target) {
    let (run, mut old) = lane(target).await;
    let insert = |n, id| statement(n, &format!("INSERT INTO notes (id, body) VALUES ({id}, 'x')"));
    answer(&mut old, insert(1, 10)).await.unwrap();
    assert!(answer(&mut old, insert(1, 11)).await.is_err());
    assert!(answer(&mut old, insert(3, 12)).await.is_err());
    let (mut new, mark) = open(target, &run, 2).await;
    assert_eq!(mark.done, 1);
    let fenced = answer(&mut old, insert(2, 13)).await.unwrap_err();
    assert_eq!(fenced.kind(), Kind::Fenced, "{fenced:?}");
    answer(&mut new, insert(2, 14)).await.unwrap();
    let ids = target.rows("notes").await.into_iter().filter_map(|row| row[0].clone());
    let mut ids: Vec<u64> = ids.map(|id| id.parse().unwrap()).filter(|id| *id > 6).collect();
    ids.sort_unstable();
    assert_eq!(ids, [10, 14]);
}

/// Looking at a statement runs nothing, and finds what is wrong with it.
pub async fn a_statement_is_looked_at_and_not_run(target: &Target) {
    let (_, _lane) = lane(target).await;
    let good = target.sink().check_statement("DELETE FROM notes WHERE id > (0)").await;
    assert!(good.iter().all(|check| check.result.is_ok()), "{good:?}");
    for (sql, word) in [
        ("DELETE FROM no_such_table", "no_such_table"),
        ("DELETE FROM notes WHERE no_such_column = 1", "no_such_column"),
        ("COMMIT", "COMMIT"),
        (" /* x */ rollback", "ROLLBACK"),
        ("", "empty"),
    ] {
        let checks = target.sink().check_statement(sql).await;
        let faults: Vec<&Fault> = checks.iter().filter_map(|c| c.result.as_ref().err()).collect();
        assert!(faults.iter().any(|fault| fault.message().contains(word)), "{sql}: {faults:?}");
        assert!(faults.iter().all(|fault| fault.kind() == Kind::Config), "{sql}: {faults:?}");
    }
    assert_notes(target, 1..=6).await;
}
