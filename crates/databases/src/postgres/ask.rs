//! A unit whose transaction goes on as the server answers: where only the
//! database knows which keys are equal, or which rows are new.

use kiln_core::{Counts, Duplicates, Fault, Mode, Refusal, Result, Rows, Unit, crash_point};

use super::by_key::ByKey;
use super::encode::arrays;
use super::fault::{no_items, of_server};
use super::transaction::{Step, Transaction};
use super::wire::{self, Connection, Parameter, Row, ServerError};
use super::write::{Halfway, How, Writer};
use crate::same_keys::{SameKeys, not_found, repeated};
use crate::written::{Order, Written};

/// Why a unit is not written.
pub(super) enum Failure {
    /// The session is over.
    Over(wire::Error),
    /// The server, or what it answered, refuses the unit.
    Refused(Refusal),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault.into())
    }
}

/// The writes of a unit, and the statements that were not sent yet.
pub(super) struct Dialogue<'a> {
    connection: &'a mut Connection,
    writers: &'a [Writer],
    unit: &'a Unit,
    pending: Transaction,
}

impl<'a> Dialogue<'a> {
    /// Goes on behind the statements of `pending`.
    pub(super) fn new(
        connection: &'a mut Connection,
        writers: &'a [Writer],
        unit: &'a Unit,
        pending: Transaction,
    ) -> Self {
        Self { connection, writers, unit, pending }
    }

    /// The rows of all writes; gives what the unit counts for, and the
    /// statements that are still to be sent.
    pub(super) async fn write(mut self, order: &Order) -> Result<(Counts, Transaction), Failure> {
        let unit = self.unit;
        let mut halfway = Halfway::of(unit.writes.iter().map(Rows::len).sum());
        halfway.pass(0, &mut self.pending);
        for (writer, rows) in self.writers.iter().zip(&unit.writes) {
            self.refuse_repeats(writer, rows).await?;
        }
        let mut written = Written::new(order);
        for i in &order.first {
            let rows = &unit.writes[*i];
            let passed = self.write_one(&self.writers[*i], rows, &mut halfway).await?;
            written.add(rows, &passed);
        }
        let known = written.nothing_of(&unit.items);
        for i in &order.then {
            let rows = unit.writes[*i].without(&known)?;
            self.write_one(&self.writers[*i], &rows, &mut halfway).await?;
            written.add(&rows, &[]);
        }
        let duplicates = written.nothing_of(&unit.items).len() as u64;
        Ok((unit.counts().with_duplicates(duplicates), self.pending))
    }

    /// Refuses the items whose key is not the first one where that is an error.
    async fn refuse_repeats(&mut self, writer: &Writer, rows: &Rows) -> Result<(), Failure> {
        let How::ByKey(write) = &writer.how else { return Ok(()) };
        if write.on_duplicate != Duplicates::Reject {
            return Ok(());
        }
        let repeats = self.same_keys(writer, write, rows).await?.repeats();
        Ok(Refusal::unless_none(repeated(&write.keyed, rows, &repeats))?)
    }

    /// The rows of one write; gives the numbers of those that were passed over.
    async fn write_one(
        &mut self,
        writer: &Writer,
        rows: &Rows,
        halfway: &mut Halfway,
    ) -> Result<Vec<usize>, Failure> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let passed = match &writer.how {
            How::ByKey(write) if write.mode == Mode::Ignore => {
                self.ignore(writer, write, rows).await?
            }
            How::ByKey(write) if write.mode != Mode::Delete => {
                let same = self.same_keys(writer, write, rows).await?;
                let (turns, passed) = write.turns(rows, &same)?;
                let mut missing = Vec::new();
                for turn in turns {
                    let values = arrays(&turn.batch, writer.columns.iter())?;
                    let unfound = self.ask(writer, &write.statement, &values).await?;
                    let items = unfound.iter().filter_map(|row| turn.items.get(number(row, 0)?));
                    missing.extend(items.flatten().copied());
                }
                Refusal::unless_none(not_found(&write.keyed, missing))?;
                passed
            }
            _ => return Ok(writer.put(rows, &mut self.pending, halfway)?),
        };
        halfway.pass(rows.len(), &mut self.pending);
        Ok(passed)
    }

    async fn ignore(
        &mut self,
        writer: &Writer,
        write: &ByKey,
        rows: &Rows,
    ) -> Result<Vec<usize>, Failure> {
        let answer = self.ask(writer, &write.statement, &writer.parameters(rows)?).await?;
        let Some(row) = answer.first() else { return Ok(Vec::new()) };
        let passed: Vec<usize> =
            text(row, 1).unwrap_or_default().split(',').filter_map(numbered).collect();
        let made: Option<usize> = text(row, 0).and_then(|made| made.parse().ok());
        if made.is_some_and(|made| made + passed.len() == rows.len()) {
            return Ok(passed);
        }
        // A trigger, or digits that the column does not keep.
        Err(Fault::item("the table changes the key of a new row, so it can't be told from others")
            .with_code("key_changed")
            .at(&writer.table)
            .into())
    }

    /// Which rows have the same key, by the table's own idea.
    async fn same_keys(
        &mut self,
        writer: &Writer,
        write: &ByKey,
        rows: &Rows,
    ) -> Result<SameKeys, Failure> {
        let (Some(repeats), 2..) = (&write.repeats, rows.len()) else {
            return Ok(SameKeys::new(rows.len(), []));
        };
        let keys = writer.key_parameters(write, rows)?;
        let found = self.ask(writer, repeats, &keys).await?;
        let pair = |row: &Row| Some((number(row, 0)?, number(row, 1)?));
        Ok(SameKeys::new(rows.len(), found.iter().filter_map(pair)))
    }

    /// Sends what is pending and one statement more, for its answer.
    async fn ask(
        &mut self,
        writer: &Writer,
        sql: &str,
        values: &[Parameter],
    ) -> Result<Vec<Row>, Failure> {
        let mut transaction = std::mem::take(&mut self.pending);
        transaction.run(writer.step(), sql, values)?;
        let (bytes, steps, points) = transaction.end();
        send(self.connection, bytes, &points).await.map_err(Failure::Over)?;
        let mut answers = self.connection.answers().await.map_err(Failure::Over)?;
        match answers.error {
            None => Ok(answers.done.pop().map(|answer| answer.rows).unwrap_or_default()),
            Some(error) => {
                let step = steps.get(answers.done.len()).copied().unwrap_or(writer.step());
                Err(blamed(step, &error, self.writers, self.unit).into())
            }
        }
    }
}

/// The refusal of a unit for the failure of a statement.
pub(super) fn blamed(step: Step, error: &ServerError, writers: &[Writer], unit: &Unit) -> Refusal {
    match step {
        Step::Write(number) => match (writers.get(number), unit.writes.get(number)) {
            (Some(writer), Some(rows)) => writer.refusal(error, rows),
            _ => of_server(error).into(),
        },
        Step::Commit => of_server(error).into(),
        Step::Begin | Step::DeadLetters | Step::Redriven | Step::Rules | Step::Mark => {
            no_items(of_server(error)).into()
        }
    }
}

/// Sends a request, stopping by at the places where a test may end the process.
pub(super) async fn send(
    connection: &mut Connection,
    mut bytes: bytes::BytesMut,
    points: &[(usize, &'static str)],
) -> Result<(), wire::Error> {
    let mut sent = 0;
    for (at, name) in points {
        let piece = bytes.split_to(at - sent);
        sent = *at;
        connection.send(piece).await?;
        crash_point(name);
    }
    connection.send(bytes).await
}

fn text(row: &Row, column: usize) -> Option<&str> {
    std::str::from_utf8(row.get(column)?.as_deref()?).ok()
}

/// The place of a row that the server counts from 1.
fn number(row: &Row, column: usize) -> Option<usize> {
    numbered(text(row, column)?)
}

fn numbered(text: &str) -> Option<usize> {
    text.parse::<usize>().ok()?.checked_sub(1)
}
