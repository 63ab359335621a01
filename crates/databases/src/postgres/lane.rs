//! A lane: units of work, one transaction each, on a connection of its own.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{
    Claim, Counts, Fault, Kind, Landed, Lane, LaneKey, Refusal, Result, Settled, Unit, crash_point,
};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use super::fault::{ends_session, fault, leaves_open, own_fault};
use super::write::{Halfway, Writer};
use super::{BEGIN, dead_letters};
use crate::written::{Order, Written};

/// The mark moves only from where the unit begins, and only at the lane's own
/// epoch: fence, order and lock in one.
const MARK: &str = "\
UPDATE kiln.marks
SET done = $6, place_ordinal = $7, place = $8, state = $9, read = read + $10,
    processed = processed + $11, filtered = filtered + $12, duplicate = duplicate + $13,
    failed = failed + $14, at = clock_timestamp()
WHERE run = $1 AND step = $2 AND lane = $3 AND epoch = $4 AND done = $5";

const MARK_TYPES: [Type; 14] = [
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::TEXT,
    Type::BYTEA,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
];

/// Commits units in [`submit`](Lane::submit) and keeps the answer for
/// [`settle`](Lane::settle).
///
/// A lane does not reconnect: once its connection is gone, or a transaction was
/// left in the middle, every unit is answered with a transient
/// [`Settled::Unknown`], so that the lane is opened again and the mark tells.
pub(super) struct PostgresLane {
    client: Client,
    key: LaneKey,
    writers: Vec<Writer>,
    order: Order,
    mark: Statement,
    dead_letters: Statement,
    /// No transaction is open, and the connection is there.
    usable: bool,
    answer: Option<Settled>,
}

impl PostgresLane {
    pub(super) async fn new(
        client: Client,
        key: LaneKey,
        writers: Vec<Writer>,
        order: Order,
    ) -> Result<Self> {
        let mark = client.prepare_typed(MARK, &MARK_TYPES).await.map_err(|e| own_fault(&e))?;
        let dead_letters = client.prepare(dead_letters::COPY).await.map_err(|e| own_fault(&e))?;
        Ok(Self { client, key, writers, order, mark, dead_letters, usable: true, answer: None })
    }

    async fn commit(&mut self, unit: &Unit) -> Settled {
        if !self.usable || self.client.is_closed() {
            let lost = "the lane's connection to PostgreSQL is lost";
            return Settled::Unknown(Fault::new(Kind::Unreachable, lost));
        }
        crash_point("begin");
        self.usable = false;
        let counts = match self.fill(unit).await {
            Ok(counts) => counts,
            Err(refusal) => {
                // COMMIT of a failed transaction would be answered without an
                // error. A COPY that the server refuses before the first row
                // takes the driver's connection with it; then ROLLBACK fails,
                // and the server rolls back by itself.
                self.usable = self.client.batch_execute("ROLLBACK").await.is_ok();
                // Rows that another runner has written already are no item's fault.
                let fenced = if self.usable { self.fenced().await } else { None };
                return Settled::Refused(fenced.map_or(refusal, Refusal::from));
            }
        };
        crash_point("commit");
        match self.client.batch_execute("COMMIT").await {
            Ok(()) => {
                crash_point("committed");
                self.usable = true;
                Settled::Committed(counts)
            }
            Err(error) if leaves_open(&error) => {
                Settled::Unknown(fault(&error).with_landed(Landed::Unknown).transient(true))
            }
            Err(error) => {
                self.usable = !ends_session(&error);
                Settled::Refused(fault(&error).into())
            }
        }
    }

    /// Everything of the unit, in a transaction that is left open.
    async fn fill(&self, unit: &Unit) -> Result<Counts, Refusal> {
        if unit.writes.len() != self.writers.len() {
            return Err(Fault::bug("a unit has other writes than its lane").into());
        }
        self.client.batch_execute(BEGIN).await.map_err(|e| own_fault(&e))?;
        let mut halfway = Halfway::of(unit.writes.iter().map(kiln_core::Rows::len).sum());
        if halfway.passed_by(0) {
            crash_point("write");
        }
        let duplicates = self.write(unit, &mut halfway).await?;
        let counts = unit.counts().with_duplicates(duplicates);
        if !unit.dead_letters.is_empty() {
            dead_letters::write(&self.client, &self.dead_letters, &self.key, &unit.dead_letters)
                .await
                .map_err(|e| own_fault(&e))?;
        }
        self.move_mark(unit, &counts).await?;
        crash_point("mark");
        Ok(counts)
    }

    /// The rows of all writes; gives how many items had nothing written.
    async fn write(&self, unit: &Unit, halfway: &mut Halfway) -> Result<u64, Refusal> {
        for (writer, rows) in self.writers.iter().zip(&unit.writes) {
            writer.refuse_early(&self.client, rows).await?;
        }
        let mut written = Written::new(&self.order);
        for i in &self.order.first {
            let rows = &unit.writes[*i];
            let passed = self.writers[*i].write(&self.client, rows, halfway).await?;
            written.add(rows, &passed);
        }
        let known = written.nothing_of(&unit.items);
        for i in &self.order.then {
            let rows = unit.writes[*i].without(&known)?;
            self.writers[*i].write(&self.client, &rows, halfway).await?;
            written.add(&rows, &[]);
        }
        Ok(written.nothing_of(&unit.items).len() as u64)
    }

    async fn move_mark(&self, unit: &Unit, counts: &Counts) -> Result<()> {
        let numbers = [
            u64::from(self.key.lane),
            self.key.epoch,
            unit.span.from,
            unit.span.to,
            unit.end.position.ordinal,
            counts.read,
            counts.processed,
            counts.filtered,
            counts.duplicate,
            counts.failed,
        ]
        .map(|n| n as i64);
        let [lane, epoch, from, to, ordinal, read, processed, filtered, duplicate, failed] =
            numbers;
        let (run, step) = (&self.key.run.0, &self.key.step);
        let (place, state) = (&unit.end.position.place, unit.end.state.as_deref());
        let moved = self
            .client
            .execute(
                &self.mark,
                &[
                    run, step, &lane, &epoch, &from, &to, &ordinal, place, &state, &read,
                    &processed, &filtered, &duplicate, &failed,
                ],
            )
            .await
            .map_err(|e| own_fault(&e))?;
        if moved == 1 { Ok(()) } else { Err(self.why_not_moved(unit).await) }
    }

    async fn why_not_moved(&self, unit: &Unit) -> Fault {
        match self.look().await {
            Err(fault) => fault,
            Ok(done) => {
                let (from, to) = (unit.span.from, unit.span.to);
                Fault::bug(format!("the unit ({from}, {to}] does not follow the mark at {done}"))
            }
        }
    }

    /// The fault of a lane that was taken over, if it was.
    async fn fenced(&self) -> Option<Fault> {
        self.look().await.err().filter(|fault| fault.kind() == Kind::Fenced)
    }

    /// How far the mark is; an error if it is another lane's.
    async fn look(&self) -> Result<u64> {
        let LaneKey { run, step, lane, epoch } = &self.key;
        let mark = self
            .client
            .query_typed(
                "SELECT epoch, done FROM kiln.marks WHERE run = $1 AND step = $2 AND lane = $3",
                &[(&run.0, Type::TEXT), (step, Type::TEXT), (&i64::from(*lane), Type::INT8)],
            )
            .await
            .map_err(|e| own_fault(&e))?;
        let [row] = mark.as_slice() else {
            return Err(Fault::bug(format!("the mark of run {run}, step {step} is gone")));
        };
        let [theirs, done] = [0, 1].map(|i| row.get::<_, i64>(i).unsigned_abs());
        if theirs == *epoch {
            Ok(done)
        } else {
            Err(Claim { run: run.clone(), epoch: *epoch }.fenced())
        }
    }
}

#[async_trait]
impl Lane for PostgresLane {
    async fn submit(&mut self, unit: Arc<Unit>) {
        let answer = self.commit(&unit).await;
        if let Settled::Unknown(fault) = &answer {
            tracing::debug!(%fault, "it is not known whether a unit is committed");
        }
        self.answer = Some(answer);
    }

    async fn settle(&mut self) -> Settled {
        self.answer
            .take()
            .unwrap_or_else(|| Settled::Unknown(Fault::bug("no unit was submitted to the lane")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_the_mark_has_a_type() {
        let highest = (1..).take_while(|n| MARK.contains(&format!("${n}"))).count();
        assert_eq!(MARK_TYPES.len(), highest);
    }
}
