//! A unit of work: what commits together, as a plain value.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;

use crate::{
    Checkpoint, Counts, DeadLetter, Failure, Fault, Letters, Origins, Result, RuleCount, Span,
    Stage, Warning,
};

/// The rows of one write, in item order.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The columns of the write, named as in the table.
    pub batch: RecordBatch,
    /// The item of each row; never falls, repeats where an item gave several
    /// rows.
    pub ordinals: Vec<u64>,
}

impl Rows {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.ordinals.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ordinals.is_empty()
    }

    fn split(&self, at: u64) -> (Self, Self) {
        let n = self.ordinals.partition_point(|o| *o <= at);
        let (a, b) = self.ordinals.split_at(n);
        (
            Self { batch: self.batch.slice(0, n), ordinals: a.to_vec() },
            Self { batch: self.batch.slice(n, b.len()), ordinals: b.to_vec() },
        )
    }

    /// The rows but those of the items `gone`, which rise.
    ///
    /// # Errors
    /// A [`Kind::Bug`](crate::Kind::Bug) if rows and ordinals are at odds.
    pub fn without(&self, gone: &[u64]) -> Result<Self> {
        if gone.is_empty() {
            return Ok(self.clone());
        }
        self.keep(self.ordinals.iter().map(|o| gone.binary_search(o).is_err()).collect())
    }

    fn keep(&self, keep: Vec<bool>) -> Result<Self> {
        let ordinals =
            self.ordinals.iter().zip(&keep).filter(|(_, k)| **k).map(|(o, _)| *o).collect();
        let batch = filter_record_batch(&self.batch, &BooleanArray::from(keep))
            .map_err(|e| Fault::bug(format!("rows can't be taken out of a unit: {e}")))?;
        Ok(Self { batch, ordinals })
    }
}

/// All that commits together: the rows of every write, the dead letters, the
/// counts and the mark. A target commits it whole or not at all.
///
/// Three laws (each has a property test):
/// * the parts of a split unit cover its span, without gap or overlap;
/// * the shares of a unit have its span, and each of its items once;
/// * committing the parts, in order, or the shares, in any, gives the same
///   tables, dead letters and counts as committing the whole. What looks at one unit only is excepted:
///   [`Duplicates`](crate::Duplicates) other than the last, and several writes
///   to the same rows of one table.
#[derive(Debug, Clone)]
pub struct Unit {
    /// The ordinals it settles: when it commits, the lane is done up to
    /// `span.to`. A unit without any keeps the state of its end, before the
    /// first item.
    pub span: Span,
    /// Where the chunk that it is made of began; stored with a mark that lies
    /// in the middle of the chunk.
    pub start: Checkpoint,
    /// Where to go on once the lane is done up to `span.to`.
    pub end: Checkpoint,
    /// Items to be written, rising.
    pub items: Vec<u64>,
    /// Items dropped on purpose, rising.
    pub filtered: Vec<u64>,
    /// Items that failed, rising.
    pub dead_letters: Vec<DeadLetter>,
    /// Rules that items to be written broke, by rising item.
    pub warnings: Vec<Warning>,
    /// One for each declared write, in order.
    pub writes: Vec<Rows>,
    /// Where the items came from.
    pub origins: Arc<dyn Origins>,
}

impl Unit {
    /// What it adds to the counts when it commits, as far as is known before:
    /// whether an item is a duplicate only the target can tell.
    pub fn counts(&self) -> Counts {
        let [processed, filtered, failed] =
            [self.items.len(), self.filtered.len(), self.dead_letters.len()].map(|n| n as u64);
        Counts { read: processed + filtered + failed, processed, filtered, duplicate: 0, failed }
    }

    /// What it adds to the counts of the rules that its items broke, by name.
    pub fn rules(&self) -> Vec<RuleCount> {
        let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let failed = self.dead_letters.iter().filter(|d| d.stage == Stage::Require);
        for rule in failed.filter_map(|d| d.constraint.as_deref()) {
            counts.entry(rule).or_default().0 += 1;
        }
        for warning in &self.warnings {
            counts.entry(&warning.rule).or_default().1 += 1;
        }
        let count = |(rule, (failed, warned)): (&str, _)| RuleCount {
            rule: rule.to_owned(),
            failed,
            warned,
        };
        counts.into_iter().map(count).collect()
    }

    /// The dead letters of an earlier run that its items are, if they are any, by
    /// rising ordinals: they are redriven when it commits, whether their items are
    /// written, dropped or fail again.
    pub fn redriven(&self) -> Option<(&Letters, Vec<u64>)> {
        let letters = self.origins.letters()?;
        let failed = self.dead_letters.iter().map(|d| &d.ordinal);
        let items = self.items.iter().chain(&self.filtered).chain(failed);
        let mut redriven: Vec<u64> = items.filter_map(|item| letters.of(*item)).collect();
        redriven.sort_unstable();
        (!redriven.is_empty()).then_some((letters, redriven))
    }

    /// Cuts it behind the item with ordinal `at`, which must lie in the span
    /// and before its end: (from, at] and (at, to].
    pub fn split(&self, at: u64) -> (Self, Self) {
        debug_assert!(self.span.from < at && at < self.span.to, "{at} splits {:?}", self.span);
        let (first_rows, second_rows): (Vec<_>, Vec<_>) =
            self.writes.iter().map(|rows| rows.split(at)).unzip();
        let (items_a, items_b) = split_sorted(&self.items, |o| *o <= at);
        let (filtered_a, filtered_b) = split_sorted(&self.filtered, |o| *o <= at);
        let (dead_a, dead_b) = split_sorted(&self.dead_letters, |d| d.ordinal <= at);
        let (warnings_a, warnings_b) = split_sorted(&self.warnings, |w| w.ordinal <= at);
        let first = Self {
            span: Span { from: self.span.from, to: at },
            start: self.start.clone(),
            end: self.start.clone(),
            items: items_a,
            filtered: filtered_a,
            dead_letters: dead_a,
            warnings: warnings_a,
            writes: first_rows,
            origins: Arc::clone(&self.origins),
        };
        let second = Self {
            span: Span { from: at, to: self.span.to },
            start: self.start.clone(),
            end: self.end.clone(),
            items: items_b,
            filtered: filtered_b,
            dead_letters: dead_b,
            warnings: warnings_b,
            writes: second_rows,
            origins: Arc::clone(&self.origins),
        };
        (first, second)
    }

    /// Shares it out among `count` lanes: all shares have its whole span. The
    /// items go to `lanes`, one for each, counted from 0; what has no rows goes
    /// where `rest` says.
    ///
    /// # Errors
    /// A [`Kind::Bug`](crate::Kind::Bug) if there is not one lane for each item,
    /// or rows and ordinals are at odds.
    pub fn share(&self, count: u32, lanes: &[u32], rest: impl Fn(u64) -> u32) -> Result<Vec<Self>> {
        if lanes.len() != self.items.len() || lanes.iter().any(|lane| *lane >= count) {
            return Err(Fault::bug("the items of a unit are not shared out among its lanes"));
        }
        let lane_of = |ordinal: &u64| match self.items.binary_search(ordinal) {
            Ok(i) => Some(lanes[i]),
            Err(_) => None,
        };
        let row_lanes: Vec<Vec<Option<u32>>> =
            self.writes.iter().map(|rows| rows.ordinals.iter().map(lane_of).collect()).collect();
        let share = |lane: u32| {
            let mine = |rows: (&Rows, &Vec<Option<u32>>)| {
                rows.0.keep(rows.1.iter().map(|l| *l == Some(lane)).collect())
            };
            let items = self.items.iter().zip(lanes).filter(|(_, l)| **l == lane);
            Ok(Self {
                span: self.span,
                start: self.start.clone(),
                end: self.end.clone(),
                items: items.map(|(o, _)| *o).collect(),
                filtered: self.filtered.iter().copied().filter(|o| rest(*o) == lane).collect(),
                dead_letters: {
                    let mine = |d: &&DeadLetter| rest(d.ordinal) == lane;
                    self.dead_letters.iter().filter(mine).cloned().collect()
                },
                warnings: {
                    let mine = |w: &&Warning| lane_of(&w.ordinal) == Some(lane);
                    self.warnings.iter().filter(mine).cloned().collect()
                },
                writes: self.writes.iter().zip(&row_lanes).map(mine).collect::<Result<_>>()?,
                origins: Arc::clone(&self.origins),
            })
        };
        (0..count).map(share).collect()
    }

    /// The same unit, with these items as dead letters and without their rows.
    /// Failures of items that the unit does not write are left out.
    ///
    /// # Errors
    /// A [`Kind::Bug`](crate::Kind::Bug) if rows and ordinals are at odds.
    pub fn reject(&self, failures: &[Failure]) -> Result<Self> {
        let mut failures: Vec<&Failure> =
            failures.iter().filter(|f| self.items.binary_search(&f.ordinal).is_ok()).collect();
        failures.sort_by_key(|f| f.ordinal);
        failures.dedup_by_key(|f| f.ordinal);
        let gone: Vec<u64> = failures.iter().map(|f| f.ordinal).collect();
        let mut unit = self.clone();
        unit.writes = self.writes.iter().map(|rows| rows.without(&gone)).collect::<Result<_>>()?;
        unit.items.retain(|o| gone.binary_search(o).is_err());
        unit.warnings.retain(|w| gone.binary_search(&w.ordinal).is_err());
        unit.dead_letters
            .extend(failures.iter().map(|f| DeadLetter::new(f, self.origins.origin(f.ordinal))));
        unit.dead_letters.sort_by_key(|d| d.ordinal);
        Ok(unit)
    }
}

fn split_sorted<T: Clone>(all: &[T], before: impl Fn(&T) -> bool) -> (Vec<T>, Vec<T>) {
    let (a, b) = all.split_at(all.partition_point(before));
    (a.to_vec(), b.to_vec())
}
