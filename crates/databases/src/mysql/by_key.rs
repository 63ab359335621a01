//! Writes of rows that are found by a key.
//!
//! `ON DUPLICATE KEY` acts on whichever unique index a row meets first. So it is
//! used only where the declared key is the only index that can be met; else the
//! known rows are found by their key and changed, and the others inserted, so
//! that one that meets another index is refused.

use kiln_core::{Duplicates, Fault, Kind, Mode, Refusal, Result, Rows, Write, crash_point};

use super::insert::{Halfway, Insert, refusal};
use super::session::Session;
use super::stage::Stage;
use super::statement::Shape;
use super::table::Table;
use crate::same_keys::{KeyedTable, SameKeys, Turn, not_found, null_keys, repeated, resolve};
use crate::sums::sum_by_key;

/// The statements of a write, and what decides about its rows.
pub(super) struct ByKey {
    mode: Mode,
    on_duplicate: Duplicates,
    keys: Vec<usize>,
    keyed: KeyedTable,
    /// The key's index.
    index: Option<String>,
    /// Makes rows, or changes those it meets.
    at_once: Option<Insert>,
    /// Makes rows.
    insert: Insert,
    stage: Option<Stage>,
    /// Which staged rows are there.
    found: String,
    /// What is done to them.
    change: String,
}

impl ByKey {
    pub(super) async fn prepare(
        session: &mut Session,
        write: &Write,
        table: &Table,
        shape: &Shape<'_>,
    ) -> Result<Self> {
        let insert = |tail: String| -> Result<Insert> {
            Ok(Insert {
                table: write.table.to_string(),
                columns: shape.columns.to_vec(),
                head: shape.insert()?,
                tail,
                numbered: false,
            })
        };
        let written: Vec<String> = shape.columns.iter().map(|c| c.name.clone()).collect();
        let at_once = match write.mode {
            _ if table.meets_otherwise(&write.key, &written) => None,
            Mode::Upsert => Some(insert(shape.or_change()?)?),
            Mode::Increment => Some(insert(shape.or_add()?)?),
            _ => None,
        };
        let all: Vec<usize> = (0..shape.columns.len()).collect();
        let needs: &[usize] = match (write.mode, &at_once, write.on_duplicate) {
            (Mode::Increment, Some(_), _) | (Mode::Upsert, Some(_), Duplicates::Last) => &[],
            (Mode::Upsert, Some(_), _) | (Mode::Ignore | Mode::Delete, ..) => shape.keys,
            _ => &all,
        };
        let table_name = write.table.to_string();
        let stage = match needs {
            [] => None,
            needs => Some(Stage::make(session, &table_name, shape.columns, needs).await?),
        };
        let name = stage.as_ref().map_or("", |s| s.name.as_str());
        Ok(Self {
            mode: write.mode,
            on_duplicate: write.on_duplicate,
            keys: shape.keys.to_vec(),
            keyed: KeyedTable::of(write),
            index: table.unique_over(&write.key).map(|u| u.index.clone()),
            at_once,
            insert: insert(String::new())?,
            found: shape.found(name, write.mode != Mode::Ignore)?,
            change: match write.mode {
                Mode::Delete => shape.delete(name)?,
                Mode::Increment => shape.add(name)?,
                _ => shape.change(name)?,
            },
            stage,
        })
    }

    /// Refuses the items that no row is needed for: those whose key is NULL, and
    /// those whose key is not the first one where that is an error.
    pub(super) async fn refuse_early(
        &self,
        session: &mut Session,
        rows: &Rows,
    ) -> Result<(), Refusal> {
        Refusal::unless_none(null_keys(&self.keyed, rows, &self.keys)?)?;
        if !self.mode.has_duplicates() || self.on_duplicate != Duplicates::Reject {
            return Ok(());
        }
        let repeats = self.same_keys(session, rows).await?.repeats();
        Refusal::unless_none(repeated(&self.keyed, rows, &repeats))
    }

    /// Writes the rows; gives the numbers of those that were passed over.
    pub(super) async fn write(
        &self,
        session: &mut Session,
        rows: &Rows,
        halfway: &mut Halfway,
    ) -> Result<Vec<usize>, Refusal> {
        let passed = match self.mode {
            Mode::Ignore => self.ignore(session, rows).await?,
            Mode::Delete => {
                self.fill(session, rows).await?;
                self.change(session).await?;
                Vec::new()
            }
            Mode::Increment => {
                self.add(session, rows).await?;
                Vec::new()
            }
            _ => self.make_or_change(session, rows).await?,
        };
        if halfway.passed_by(rows.len()) {
            crash_point("write");
        }
        Ok(passed)
    }

    /// Adds up in the unit first: one row a key. What the item takes for two
    /// keys may be one for the database, which adds up again.
    async fn add(&self, session: &mut Session, rows: &Rows) -> Result<(), Refusal> {
        let batch = sum_by_key(rows, self.keys.len())?;
        let nobody = vec![None; batch.num_rows()];
        if let Some(at_once) = &self.at_once {
            return at_once.send(session, &batch, &nobody, &mut Halfway::never()).await;
        }
        let sums = Rows { ordinals: vec![0; batch.num_rows()], batch };
        self.stage()?.fill(session, &sums.batch, &nobody).await?;
        let repeats = self.stage()?.repeats(session, &self.keys).await?;
        let same = SameKeys::new(sums.len(), repeats);
        let (mut turns, _) = resolve(&sums, &same, Duplicates::Last, &self.keys)?;
        turns.iter_mut().for_each(|turn| turn.items.iter_mut().for_each(Vec::clear));
        self.take_turns(session, &turns, None).await
    }

    async fn make_or_change(
        &self,
        session: &mut Session,
        rows: &Rows,
    ) -> Result<Vec<usize>, Refusal> {
        if let (Some(at_once), Duplicates::Last) = (&self.at_once, self.on_duplicate) {
            // Row by row in their order: of those with one key the last stays.
            let items: Vec<Option<u64>> = rows.ordinals.iter().copied().map(Some).collect();
            at_once.send(session, &rows.batch, &items, &mut Halfway::never()).await?;
            return Ok(Vec::new());
        }
        let same = self.same_keys(session, rows).await?;
        let (turns, passed) = resolve(rows, &same, self.on_duplicate, &self.keys)?;
        let staged = same.repeats().is_empty().then_some(rows.len());
        self.take_turns(session, &turns, staged).await?;
        Ok(passed)
    }

    /// Writes turns of rows with different keys; `staged` of them are staged
    /// already.
    async fn take_turns(
        &self,
        session: &mut Session,
        turns: &[Turn],
        staged: Option<usize>,
    ) -> Result<(), Refusal> {
        let mut missing = Vec::new();
        for turn in turns {
            let items = items_of(turn);
            if let Some(at_once) = &self.at_once {
                at_once.send(session, &turn.batch, &items, &mut Halfway::never()).await?;
                continue;
            }
            if staged != Some(turn.batch.num_rows()) {
                self.stage()?.fill(session, &turn.batch, &items).await?;
            }
            let found = Stage::numbers(session, &self.found).await?;
            let absent = absent_from(&found, turn.batch.num_rows());
            if self.mode == Mode::Update {
                missing.extend(absent.iter().flat_map(|row| turn.items[*row].iter().copied()));
                if !missing.is_empty() {
                    continue;
                }
            }
            if !found.is_empty() {
                self.change(session).await?;
            }
            if self.mode != Mode::Update {
                self.make(session, &turn.batch, &items, &absent).await?;
            }
        }
        Refusal::unless_none(not_found(&self.keyed, missing))
    }

    async fn ignore(&self, session: &mut Session, rows: &Rows) -> Result<Vec<usize>, Refusal> {
        self.fill(session, rows).await?;
        let repeats = self.stage()?.repeats(session, &self.keys).await?;
        let mut passed = Stage::numbers(session, &self.found).await?;
        passed.extend(repeats.iter().map(|(row, _)| *row));
        passed.sort_unstable();
        passed.dedup();
        let items: Vec<Option<u64>> = rows.ordinals.iter().copied().map(Some).collect();
        let new = absent_from(&passed, rows.len());
        self.make(session, &rows.batch, &items, &new).await?;
        Ok(passed)
    }

    /// Makes the rows that are not there. If the key's own index has one by now,
    /// somebody made it in the meantime: the whole unit is tried again.
    async fn make(
        &self,
        session: &mut Session,
        batch: &arrow_array::RecordBatch,
        items: &[Option<u64>],
        rows: &[usize],
    ) -> Result<(), Refusal> {
        if rows.is_empty() {
            return Ok(());
        }
        let numbers = arrow_array::UInt64Array::from_iter_values(rows.iter().map(|r| *r as u64));
        let batch = arrow_select::take::take_record_batch(batch, &numbers)
            .map_err(|e| Fault::bug(format!("rows can't be taken out of a unit: {e}")))?;
        let items: Vec<Option<u64>> = rows.iter().map(|r| items[*r]).collect();
        let made = self.insert.send(session, &batch, &items, &mut Halfway::never()).await;
        let Err(refusal) = made else { return Ok(()) };
        if self.index.is_none() || refusal.fault.constraint() != self.index.as_deref() {
            return Err(refusal);
        }
        let now = Stage::numbers(session, &self.found).await?;
        if rows.iter().any(|row| now.binary_search(row).is_ok()) {
            return Err(Fault::new(Kind::Busy, "somebody else made the same row just now")
                .with_code("1062")
                .at(self.keyed.table())
                .into());
        }
        let fault =
            Fault::item("the table changes the key of a new row, so it can't be told from others")
                .with_code("key_changed")
                .at(self.keyed.table());
        Err(Refusal::of(refusal.ordinal, fault))
    }

    async fn same_keys(&self, session: &mut Session, rows: &Rows) -> Result<SameKeys, Refusal> {
        self.fill(session, rows).await?;
        let repeats = self.stage()?.repeats(session, &self.keys).await?;
        Ok(SameKeys::new(rows.len(), repeats))
    }

    async fn fill(&self, session: &mut Session, rows: &Rows) -> Result<(), Refusal> {
        let items: Vec<Option<u64>> = rows.ordinals.iter().copied().map(Some).collect();
        self.stage()?.fill(session, &rows.batch, &items).await
    }

    /// Changes the rows of the table that are staged. Which one is at fault the
    /// server does not tell here.
    async fn change(&self, session: &mut Session) -> Result<(), Refusal> {
        let refused = |error| refusal(self.keyed.table(), &error, None, &[]);
        let done = session.run(&self.change).await.map_err(refused)?;
        match session.silent_change(done).await.map_err(refused)? {
            Some(warning) => Err(refused(warning)),
            None => Ok(()),
        }
    }

    fn stage(&self) -> Result<&Stage> {
        let none = || Fault::bug(format!("{}: no room to compare keys", self.keyed.table()));
        self.stage.as_ref().ok_or_else(none)
    }
}

/// The item behind each row, where there is only one.
fn items_of(turn: &Turn) -> Vec<Option<u64>> {
    let only = |items: &Vec<u64>| match items[..] {
        [item] => Some(item),
        _ => None,
    };
    turn.items.iter().map(only).collect()
}

/// The numbers up to `rows` that are not among these, which rise.
fn absent_from(found: &[usize], rows: usize) -> Vec<usize> {
    (0..rows).filter(|row| found.binary_search(row).is_err()).collect()
}
