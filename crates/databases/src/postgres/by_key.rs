//! Writes of rows that are found by a key, one statement for all rows of a unit
//! that have different keys.
//!
//! Keys that are the same text are the same key; whether others are, only the
//! database knows. So rows are sent as if none were, in statements that fail if
//! some are; then the database is asked first. And rows to be made or changed
//! are sent as if all were new, by `COPY`, until some are not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use kiln_core::{CellColumn, Duplicates, Fault, Mode, Refusal, Rejection, Result, Rows, Write};

use super::encode::{CopyRows, arrays};
use super::statement::Shape;
use super::transaction::Transaction;
use super::wire::Parameter;
use super::write::Writer;
use crate::same_keys::{KeyedTable, SameKeys, Turn, null_keys, repeated, resolve};

/// After rows were not all new, so many units go without that hope: at first,
/// and at most, as each time it is deceived doubles it.
const DOUBT: u32 = 16;
const MOST_DOUBT: u32 = 4_096;

/// The hope that all rows are new: a `COPY` makes them twice as fast as the
/// statement that looks for each, and fails at the first that is there.
pub(super) struct AllNew {
    binary: String,
    text: String,
    /// How many more units go without.
    doubt: AtomicU32,
    next: AtomicU32,
}

impl AllNew {
    fn of(shape: &Shape<'_>) -> Result<Self> {
        let text = shape.copy()?;
        let binary = format!("{text} (FORMAT binary)");
        Ok(Self { binary, text, doubt: AtomicU32::new(0), next: AtomicU32::new(DOUBT) })
    }

    /// Whether to hope so of one unit more.
    fn may_be(&self) -> bool {
        let doubt = self.doubt.load(Ordering::Relaxed);
        self.doubt.store(doubt.saturating_sub(1), Ordering::Relaxed);
        doubt == 0
    }

    fn deceived(&self) {
        let next = self.next.load(Ordering::Relaxed);
        self.doubt.store(next, Ordering::Relaxed);
        self.next.store((2 * next).min(MOST_DOUBT), Ordering::Relaxed);
    }
}

/// The statements of a write, and what decides about its rows.
pub(super) struct ByKey {
    pub(super) mode: Mode,
    pub(super) on_duplicate: Duplicates,
    /// Which of the columns are the key.
    pub(super) keys: Vec<usize>,
    pub(super) keyed: KeyedTable,
    /// Does it, and tells what it did.
    pub(super) statement: String,
    /// Does it, or fails.
    sure: String,
    /// Which rows have the same key; where the mode must know.
    pub(super) repeats: Option<String>,
    /// Where rows are made or changed.
    all_new: Option<AllNew>,
}

impl ByKey {
    pub(super) fn new(write: &Write, shape: &Shape<'_>) -> Result<Self> {
        let statement = match write.mode {
            Mode::Ignore => shape.ignore()?,
            Mode::Update => shape.update()?,
            Mode::Delete => shape.delete()?,
            _ => shape.upsert()?,
        };
        let sure = match write.mode {
            Mode::Update => shape.update_all()?,
            _ => statement.clone(),
        };
        Ok(Self {
            mode: write.mode,
            on_duplicate: write.on_duplicate,
            keys: shape.keys.to_vec(),
            keyed: KeyedTable::of(write),
            statement,
            sure,
            repeats: write.mode.has_duplicates().then(|| shape.repeats()),
            all_new: (write.mode == Mode::Upsert).then(|| AllNew::of(shape)).transpose()?,
        })
    }

    /// The items that no statement is needed for: those whose key is NULL, and
    /// those whose key is plainly not the first one where that is an error.
    pub(super) fn refuse(&self, rows: &Rows) -> Result<Vec<Rejection>> {
        let mut rejections = null_keys(&self.keyed, rows, &self.keys)?;
        if self.mode.has_duplicates() && self.on_duplicate == Duplicates::Reject {
            let repeats = self.plainly_same(rows)?.repeats();
            rejections.extend(repeated(&self.keyed, rows, &repeats));
        }
        Ok(rejections)
    }

    /// Rows whose keys are the same text.
    pub(super) fn plainly_same(&self, rows: &Rows) -> Result<SameKeys> {
        let columns = self.keys.iter().map(|key| CellColumn::new(rows.batch.column(*key).as_ref()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut firsts: HashMap<String, usize> = HashMap::with_capacity(rows.len());
        let mut repeats = Vec::new();
        for row in 0..rows.len() {
            let texts: Vec<String> = columns.iter().map(|c| c.cell(row).to_string()).collect();
            // No text can look like the end of one and the start of the next.
            let key = texts.join("\0");
            match firsts.get(&key) {
                Some(first) => repeats.push((row, *first)),
                None => drop(firsts.insert(key, row)),
            }
        }
        Ok(SameKeys::new(rows.len(), repeats))
    }

    /// Whether a failure of this class may only mean that the database knows
    /// more of the keys than their texts tell, or that a row is there.
    pub(super) fn may_be_mistaken(&self, code: &str) -> bool {
        match (self.mode, &self.all_new) {
            // There, or a table whose rows have policies.
            (Mode::Upsert, Some(all_new)) if matches!(code, "23505" | "0A000") => {
                all_new.deceived();
                true
            }
            (Mode::Upsert, _) => code == "21000",
            (Mode::Update, _) => code == "22012",
            _ => false,
        }
    }

    /// Rows as they are to be written, and those that are passed over.
    pub(super) fn turns(
        &self,
        rows: &Rows,
        same: &SameKeys,
    ) -> Result<(Vec<Turn>, Vec<usize>), Refusal> {
        resolve(rows, same, self.on_duplicate, &self.keys)
    }
}

impl Writer {
    /// Adds the rows to the transaction, if it is true that keys with different
    /// texts are different; gives the numbers of those that are passed over.
    pub(super) fn put_by_key(
        &self,
        write: &ByKey,
        rows: &Rows,
        transaction: &mut Transaction,
    ) -> Result<Vec<usize>, Refusal> {
        if write.mode == Mode::Delete {
            transaction.run(self.step(), &write.sure, &self.parameters(rows)?)?;
            return Ok(Vec::new());
        }
        let same = write.plainly_same(rows)?;
        if let Some(all_new) = &write.all_new
            && same.repeats().is_empty()
            && all_new.may_be()
        {
            let copied = CopyRows::of(&rows.batch, &self.columns, 0)?;
            let sql = if copied.is_binary { &all_new.binary } else { &all_new.text };
            transaction.copy(self.step(), sql, &copied, None)?;
            return Ok(Vec::new());
        }
        let (turns, passed) = write.turns(rows, &same)?;
        for turn in turns {
            let values = arrays(&turn.batch, self.columns.iter())?;
            transaction.run(self.step(), &write.sure, &values)?;
        }
        Ok(passed)
    }

    /// All columns of the rows.
    pub(super) fn parameters(&self, rows: &Rows) -> Result<Vec<Parameter>> {
        arrays(&rows.batch, self.columns.iter())
    }

    /// The key's columns of the rows.
    pub(super) fn key_parameters(&self, write: &ByKey, rows: &Rows) -> Result<Vec<Parameter>> {
        let keys = rows.batch.project(&write.keys);
        let keys = keys.map_err(|e| Fault::bug(format!("a unit's rows have no key: {e}")))?;
        arrays(&keys, write.keys.iter().map(|key| &self.columns[*key]))
    }
}
