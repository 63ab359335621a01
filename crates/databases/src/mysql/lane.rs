//! A lane: units of work, one transaction each, on a connection of its own.

use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{
    Counts, Fault, Kind, Landed, Lane, LaneKey, Refusal, Rejection, Result, Settled, Unit,
    crash_point,
};

use super::fault::{ends_session, fault, leaves_open, own_fault};
use super::insert::Halfway;
use super::session::Session;
use super::write::Writer;
use super::{dead_letters, diagnose, mark, rules};
use crate::written::{Order, Written};

/// Commits units in [`submit`](Lane::submit) and keeps the answer for
/// [`settle`](Lane::settle).
///
/// Any error ends the unit with a `ROLLBACK`: after some of them the server has
/// rolled the transaction back by itself, after others only the statement.
///
/// A lane does not reconnect: once its connection is gone, or a transaction was
/// left in the middle, every unit is answered with a transient
/// [`Settled::Unknown`], so that the lane is opened again and the mark tells.
pub(super) struct MysqlLane {
    session: Session,
    key: LaneKey,
    writes: Writes,
    /// No transaction is open, and the connection is there.
    usable: bool,
    answer: Option<Settled>,
}

/// All writes of a step.
pub(super) struct Writes {
    pub(super) writers: Vec<Writer>,
    pub(super) order: Order,
}

impl MysqlLane {
    pub(super) fn new(session: Session, key: LaneKey, writes: Writes) -> Self {
        Self { session, key, writes, usable: true, answer: None }
    }

    async fn commit(&mut self, unit: &Unit) -> Settled {
        if !self.usable || self.session.is_lost() {
            let lost = "the lane's connection to the server is lost";
            return Settled::Unknown(Fault::new(Kind::Unreachable, lost));
        }
        crash_point("begin");
        self.usable = false;
        let counts = match self.fill(unit).await {
            Ok(counts) => counts,
            Err(refusal) => {
                self.usable = self.session.run("ROLLBACK").await.is_ok();
                // Rows that another runner has written already are no item's fault.
                let fenced = match self.usable {
                    true => mark::fenced_off(&mut self.session, &self.key).await,
                    false => None,
                };
                return Settled::Refused(fenced.map_or(refusal, Refusal::from));
            }
        };
        crash_point("commit");
        match self.session.run("COMMIT").await {
            Ok(_) => {
                crash_point("committed");
                self.usable = true;
                Settled::Committed(counts)
            }
            Err(error) if leaves_open(&error) => {
                Settled::Unknown(fault(&error).with_landed(Landed::Unknown).transient(true))
            }
            Err(error) => {
                self.usable = !ends_session(&error) && self.session.run("ROLLBACK").await.is_ok();
                Settled::Refused(fault(&error).into())
            }
        }
    }

    /// Everything of the unit, in a transaction that is left open.
    async fn fill(&mut self, unit: &Unit) -> Result<Counts, Refusal> {
        self.session.run("START TRANSACTION").await.map_err(|e| own_fault(&e))?;
        let mut halfway = Halfway::of(unit.writes.iter().map(kiln_core::Rows::len).sum());
        if halfway.passed_by(0) {
            crash_point("write");
        }
        let duplicates = self.writes.write(&mut self.session, unit, &mut halfway).await?;
        let counts = unit.counts().with_duplicates(duplicates);
        dead_letters::write(&mut self.session, &self.key, &unit.dead_letters).await?;
        if let Some((letters, ordinals)) = unit.redriven() {
            dead_letters::write_redriven(&mut self.session, &self.key, letters, &ordinals).await?;
        }
        rules::add(&mut self.session, &self.key, unit.rules()).await?;
        mark::advance(&mut self.session, &self.key, unit, &counts).await?;
        crash_point("mark");
        Ok(counts)
    }
}

impl Writes {
    /// The rows of all writes; gives how many items had nothing written.
    pub(super) async fn write(
        &self,
        session: &mut Session,
        unit: &Unit,
        halfway: &mut Halfway,
    ) -> Result<u64, Refusal> {
        if unit.writes.len() != self.writers.len() {
            return Err(Fault::bug("a unit has other writes than its lane").into());
        }
        for (writer, rows) in self.writers.iter().zip(&unit.writes) {
            writer.refuse_early(session, rows).await?;
        }
        let mut written = Written::new(&self.order);
        for i in &self.order.first {
            let rows = &unit.writes[*i];
            let passed = self.writers[*i].write(session, rows, halfway).await?;
            written.add(rows, &passed);
        }
        let known = written.nothing_of(&unit.items);
        for i in &self.order.then {
            let rows = unit.writes[*i].without(&known)?;
            self.writers[*i].write(session, &rows, halfway).await?;
            written.add(&rows, &[]);
        }
        Ok(written.nothing_of(&unit.items).len() as u64)
    }
}

#[async_trait]
impl Lane for MysqlLane {
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

    async fn diagnose(&mut self, unit: &Unit) -> Result<Option<Vec<Rejection>>> {
        if !self.usable {
            return Ok(None);
        }
        self.usable = false;
        let named = diagnose::diagnose(&mut self.session, &self.writes, unit).await;
        self.usable = self.session.run("ROLLBACK").await.is_ok();
        named
    }
}
