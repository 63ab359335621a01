//! A lane: units become files aside, and rows of the book.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use async_trait::async_trait;
use kiln_core::{
    Fault, Kind, Lane, LaneKey, Refusal, Result, Rows, Settled, TableName, Unit, crash_point,
};
use sha2::{Digest, Sha256};

use super::folder::Folder;
use super::format::TargetOptions;
use super::name;
use super::part::{self, Part};
use super::refuse::rejections;

/// The folder in which a lane keeps what is not shown yet.
pub(super) fn aside(key: &LaneKey) -> String {
    format!("{}/{}/{}", super::sink::aside(&key.run), name::safe(&key.step), key.lane)
}

/// One unit at a time: making its files takes most of the time, the book next to
/// none.
pub(super) struct FileLane {
    staging: Staging,
    /// The book's lane.
    marks: Box<dyn Lane>,
    sent: Option<Sent>,
}

/// Makes files of units.
pub(super) struct Staging {
    pub(super) folder: Arc<dyn Folder>,
    pub(super) options: Arc<TargetOptions>,
    pub(super) key: LaneKey,
    pub(super) tables: Vec<TableName>,
}

/// A unit that has no answer yet.
enum Sent {
    /// It did not come as far as the book.
    Refused(Refusal),
    /// It waits for the book; the files that it becomes, aside.
    ToBook(Vec<Part>),
}

impl FileLane {
    pub(super) fn new(staging: Staging, marks: Box<dyn Lane>) -> Self {
        Self { staging, marks, sent: None }
    }
}

impl Staging {
    /// Makes the files of a unit.
    async fn stage(&self, unit: &Unit) -> Result<Vec<Part>, Refusal> {
        let mut rejected = Vec::new();
        for (table, rows) in self.tables.iter().zip(&unit.writes) {
            rejected.extend(rejections(table, rows, &self.options)?);
        }
        rejected.sort_by_key(|r| r.ordinal);
        rejected.dedup_by_key(|r| r.ordinal);
        Refusal::unless_none(rejected)?;
        let mut parts = Vec::new();
        for (table, rows) in self.tables.iter().zip(&unit.writes) {
            if rows.is_empty() {
                continue;
            }
            match self.part(table, rows, unit).await {
                Ok(part) => parts.push(part),
                Err(fault) => {
                    self.remove(&parts).await;
                    return Err(fault.into());
                }
            }
        }
        crash_point("staged");
        Ok(parts)
    }

    async fn part(&self, table: &TableName, rows: &Rows, unit: &Unit) -> Result<Part> {
        let LaneKey { step, lane, .. } = &self.key;
        let bytes = self.options.encode(&rows.batch)?;
        let file = name::of_part(step, *lane, table, unit.span, &self.options.ending());
        // Another runner, or another try, writes another file.
        let nonce = RandomState::new().hash_one(unit.span);
        let staged = format!("{}/{file}.{nonce:016x}", aside(&self.key));
        let part = Part {
            step: step.clone(),
            lane: *lane,
            table: table.to_string(),
            span: unit.span,
            file,
            staged,
            rows: rows.len() as u64,
            bytes: bytes.len() as u64,
            sha256: sha256(&bytes),
            layout: self.options.layout(&rows.batch.schema()).to_string(),
        };
        self.folder.put(&part.staged, bytes).await?;
        Ok(part)
    }

    /// Removes files that will never be committed. Those that stay are removed
    /// when the lane is opened next.
    async fn remove(&self, parts: &[Part]) {
        for part in parts {
            let _ = self.folder.remove(&part.staged).await;
        }
    }

    /// The unit as the book has it: the same marks and dead letters, and rows
    /// that name the files.
    fn in_book(&self, unit: &Unit, parts: &[Part]) -> Result<Unit> {
        let batch = part::rows(&self.key.run, parts)?;
        let ordinals = vec![unit.span.to; parts.len()];
        Ok(Unit { writes: vec![Rows { batch, ordinals }], ..unit.clone() })
    }
}

/// As hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[async_trait]
impl Lane for FileLane {
    async fn submit(&mut self, unit: Arc<Unit>) {
        let sent = match self.staging.stage(&unit).await {
            Err(refusal) => Sent::Refused(refusal),
            Ok(parts) => match self.staging.in_book(&unit, &parts) {
                Err(fault) => Sent::Refused(fault.into()),
                Ok(unit) => {
                    self.marks.submit(Arc::new(unit)).await;
                    Sent::ToBook(parts)
                }
            },
        };
        self.sent = Some(sent);
    }

    async fn settle(&mut self) -> Settled {
        let parts = match self.sent.take() {
            None => return Settled::Unknown(Fault::bug("no unit was submitted")),
            Some(Sent::Refused(refusal)) => return Settled::Refused(refusal),
            Some(Sent::ToBook(parts)) => parts,
        };
        let settled = self.marks.settle().await;
        let Settled::Refused(refusal) = settled else { return settled };
        self.staging.remove(&parts).await;
        // Rows of the book are no items.
        Settled::Refused(match refusal.fault.kind() {
            Kind::Item => Fault::bug(refusal.fault.message()).at("the book of parts").into(),
            _ => refusal,
        })
    }
}
