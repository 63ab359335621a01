//! What becomes of each row, and from that of each item.

use std::collections::BTreeMap;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use kiln_core::{Failure, Fault, Result, Stage};

/// What becomes of the rows of some items.
#[derive(Debug)]
pub(crate) struct Verdicts {
    keep: Vec<bool>,
    faults: BTreeMap<usize, Fault>,
}

/// The rows that still go on.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) batch: RecordBatch,
    /// Which they were among all rows; `None` if they are all rows.
    rows: Option<Vec<usize>>,
}

impl Kept {
    /// Which of all rows the i-th of these is.
    pub(crate) fn row(&self, i: usize) -> usize {
        self.rows.as_ref().map_or(i, |rows| rows[i])
    }
}

/// What becomes of the items.
#[derive(Debug)]
pub(crate) struct Settled {
    /// For each row, whether it goes on; `None` if all do.
    pub(crate) keep: Option<BooleanArray>,
    /// The items dropped on purpose.
    pub(crate) filtered: Vec<u64>,
    /// The items that failed.
    pub(crate) failures: Vec<Failure>,
}

impl Verdicts {
    /// All rows go on.
    pub(crate) fn new(rows: usize) -> Self {
        Self { keep: vec![true; rows], faults: BTreeMap::new() }
    }

    /// A row is dropped on purpose.
    pub(crate) fn filter(&mut self, row: usize) {
        self.keep[row] = false;
    }

    /// A row fails. Its first fault counts.
    pub(crate) fn fail(&mut self, row: usize, fault: Fault) {
        self.keep[row] = false;
        self.faults.entry(row).or_insert(fault);
    }

    /// The rows that still go on.
    pub(crate) fn kept(&self, batch: &RecordBatch) -> Result<Kept> {
        if self.keep.iter().all(|k| *k) {
            return Ok(Kept { batch: batch.clone(), rows: None });
        }
        let batch = filter_record_batch(batch, &BooleanArray::from(self.keep.clone()))
            .map_err(|e| Fault::bug(format!("rows can't be filtered: {e}")))?;
        let rows = (0..self.keep.len()).filter(|row| self.keep[*row]).collect();
        Ok(Kept { batch, rows: Some(rows) })
    }

    /// From rows to items. An item of several rows fails with the first of them
    /// that fails, and is filtered if all of them are.
    pub(crate) fn settle(mut self, ordinals: &[u64], stage: Stage) -> Settled {
        let mut settled = Settled { keep: None, filtered: Vec::new(), failures: Vec::new() };
        if self.keep.iter().all(|k| *k) {
            return settled;
        }
        let mut from = 0;
        for rows in ordinals.chunk_by(|a, b| a == b) {
            let to = from + rows.len();
            let ordinal = rows[0];
            if let Some(row) = self.faults.range(from..to).next().map(|(row, _)| *row)
                && let Some(fault) = self.faults.remove(&row)
            {
                self.keep[from..to].fill(false);
                settled.failures.push(Failure { ordinal, stage, fault });
            } else if self.keep[from..to].iter().all(|k| !k) {
                settled.filtered.push(ordinal);
            }
            from = to;
        }
        settled.keep = Some(BooleanArray::from(self.keep));
        settled
    }
}
