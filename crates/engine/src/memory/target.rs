//! A target in memory, with its ledger beside the rows, as in a database.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use kiln_core::{
    CellColumn, Check, Fault, Kind, Lane, LaneKey, Ledger, Mark, Mode, Refusal, Result, Rows,
    Settled, Sink, Unit, Write,
};

use super::ledger::{Book, MemoryLedger};

/// A row: its values as text, `None` for NULL.
pub type Row = Vec<Option<String>>;

/// Judges a row before it is written to a table.
type Judge = dyn Fn(&str, &Row) -> Result<()> + Send + Sync;

/// What happens to the next unit that comes.
#[derive(Debug, Clone)]
enum Trouble {
    Refuse(Fault),
    /// The answer is lost; whether the unit landed.
    Lose {
        landed: bool,
    },
}

#[derive(Default)]
struct State {
    tables: BTreeMap<String, Vec<Row>>,
    book: Book,
    judge: Option<Box<Judge>>,
    troubles: VecDeque<Trouble>,
    tried: u64,
}

/// A target in memory. Rows are only ever inserted; clones share what is in it.
#[derive(Clone, Default)]
pub struct MemoryTarget(Arc<Mutex<State>>);

impl fmt::Debug for MemoryTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTarget").field("tables", &self.lock().tables).finish_non_exhaustive()
    }
}

impl MemoryTarget {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has every row judged before it is written; one that is refused with
    /// [`Kind::Item`] takes its unit with it, as in a database.
    #[must_use]
    pub fn judge(self, judge: impl Fn(&str, &Row) -> Result<()> + Send + Sync + 'static) -> Self {
        self.lock().judge = Some(Box::new(judge));
        self
    }

    /// Refuses the next unit with this fault.
    pub fn refuse_next(&self, fault: Fault) {
        self.lock().troubles.push_back(Trouble::Refuse(fault));
    }

    /// Loses the answer to the next unit, which lands or not.
    pub fn lose_next_answer(&self, landed: bool) {
        self.lock().troubles.push_back(Trouble::Lose { landed });
    }

    /// The rows of a table, in the order they were committed.
    pub fn rows(&self, table: &str) -> Vec<Row> {
        self.lock().tables.get(table).cloned().unwrap_or_default()
    }

    /// How many units were tried, committed or not.
    pub fn tried(&self) -> u64 {
        self.lock().tried
    }

    /// As a sink.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(self.clone())
    }

    /// Its ledger.
    pub fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(MemoryLedger(self.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with_book<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        act(&mut self.lock().book)
    }
}

#[async_trait]
impl Sink for MemoryTarget {
    async fn check(&self, writes: &[Write], _: &SchemaRef) -> Vec<Check> {
        let check = |write: &Write| {
            let what = format!("table {}", write.table);
            match only_inserts(write) {
                Ok(()) => Check::pass(what),
                Err(fault) => Check::fail(what, fault),
            }
        };
        writes.iter().map(check).collect()
    }

    async fn max_lanes(&self, _: &[Write], _: &SchemaRef) -> Result<u32> {
        Ok(8)
    }

    async fn open(
        &self,
        key: &LaneKey,
        writes: &[Write],
        _: &SchemaRef,
    ) -> Result<(Box<dyn Lane>, Mark)> {
        writes.iter().try_for_each(only_inserts)?;
        let mark = self.with_book(|book| book.open(key))?;
        let tables = writes.iter().map(|w| w.table.to_string()).collect();
        let lane =
            MemoryLane { target: self.clone(), key: key.clone(), tables, answers: VecDeque::new() };
        Ok((Box::new(lane), mark))
    }

    /// What is run is kept in the table `statements`.
    async fn open_statements(&self, key: &LaneKey) -> Result<(Box<dyn Lane>, Mark)> {
        self.open(key, &[Write::insert("statements")?], &Arc::new(Schema::empty())).await
    }

    async fn check_statement(&self, sql: &str) -> Vec<Check> {
        vec![Check::pass(format!("statement {sql}"))]
    }
}

fn only_inserts(write: &Write) -> Result<()> {
    match write.mode {
        Mode::Insert => Ok(()),
        mode => Err(Fault::config(format!("a table in memory has no mode {:?}", mode.as_str()))),
    }
}

struct MemoryLane {
    target: MemoryTarget,
    key: LaneKey,
    tables: Vec<String>,
    answers: VecDeque<Settled>,
}

impl MemoryLane {
    fn commit(&self, state: &mut State, unit: &Unit) -> Result<Settled, Refusal> {
        state.tried += 1;
        let lost = match state.troubles.pop_front() {
            Some(Trouble::Refuse(fault)) => return Err(fault.into()),
            Some(Trouble::Lose { landed: false }) => {
                return Ok(Settled::Unknown(answer_lost()));
            }
            Some(Trouble::Lose { landed: true }) => true,
            None => false,
        };
        let mut new = Vec::new();
        for (table, rows) in self.tables.iter().zip(&unit.writes) {
            for row in as_text(rows)? {
                if let Some(judge) = &state.judge {
                    judge(table, &row)?;
                }
                new.push((table.clone(), row));
            }
        }
        let counts = unit.counts();
        state.book.advance(&self.key, unit)?;
        for (table, row) in new {
            state.tables.entry(table).or_default().push(row);
        }
        Ok(if lost { Settled::Unknown(answer_lost()) } else { Settled::Committed(counts) })
    }
}

fn answer_lost() -> Fault {
    Fault::new(Kind::Unreachable, "the answer was lost").with_landed(kiln_core::Landed::Unknown)
}

fn as_text(rows: &Rows) -> Result<Vec<Row>> {
    let columns = CellColumn::of(&rows.batch)?;
    let text = |row: usize| {
        let cell = |column: &CellColumn<'_>| {
            let cell = column.cell(row);
            (!cell.is_null()).then(|| cell.to_string())
        };
        columns.iter().map(cell).collect()
    };
    Ok((0..rows.len()).map(text).collect())
}

#[async_trait]
impl Lane for MemoryLane {
    async fn submit(&mut self, unit: Arc<Unit>) {
        let mut state = self.target.lock();
        let answer = self.commit(&mut state, &unit).unwrap_or_else(Settled::Refused);
        drop(state);
        self.answers.push_back(answer);
    }

    async fn settle(&mut self) -> Settled {
        let none = || Settled::Unknown(Fault::bug("no unit was submitted"));
        self.answers.pop_front().unwrap_or_else(none)
    }
}
