//! The ledger of a target in memory.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use kiln_core::{
    Cell, Claim, Counts, DeadLetter, Fault, LaneKey, Ledger, Mark, NewRun, Owner, Redriven, Result,
    RuleCount, RunId, RunRecord, RunState, Unit,
};

use super::MemoryTarget;

/// What a ledger keeps.
#[derive(Debug, Default)]
pub(super) struct Book {
    runs: Vec<Entry>,
    marks: BTreeMap<(RunId, String, u32), (u64, Mark)>,
    letters: BTreeMap<(RunId, String, u64), DeadLetter>,
    redriven: BTreeMap<(RunId, String, u64), RunId>,
    rules: BTreeMap<(RunId, String, String), RuleCount>,
}

#[derive(Debug)]
struct Entry {
    record: RunRecord,
    lease_until: Instant,
}

impl Book {
    /// Takes a lane over.
    pub(super) fn open(&mut self, key: &LaneKey) -> Result<Mark> {
        let is_gone = |run: &RunRecord| {
            run.start.id == key.run && (run.epoch > key.epoch || run.state == RunState::Abandoned)
        };
        if self.runs.iter().any(|entry| is_gone(&entry.record)) {
            return Err(claim(key).fenced());
        }
        let lane = (key.run.clone(), key.step.clone(), key.lane);
        let (epoch, mark) = self.marks.entry(lane).or_default();
        if *epoch > key.epoch {
            return Err(claim(key).fenced());
        }
        *epoch = key.epoch;
        Ok(mark.clone())
    }

    /// Moves a lane's mark over a unit, and keeps its dead letters.
    pub(super) fn advance(&mut self, key: &LaneKey, unit: &Unit) -> Result<()> {
        let lane = (key.run.clone(), key.step.clone(), key.lane);
        let (epoch, mark) = self.marks.get_mut(&lane).ok_or_else(|| claim(key).fenced())?;
        if *epoch != key.epoch {
            return Err(claim(key).fenced());
        }
        if mark.done != unit.span.from {
            return Err(Fault::bug(format!(
                "the mark is at item {}, the unit begins behind {}",
                mark.done, unit.span.from
            )));
        }
        if let Some((letters, ordinals)) = unit.redriven() {
            let place = |ordinal: &u64| (letters.run.clone(), letters.step.clone(), *ordinal);
            if ordinals.iter().any(|ordinal| self.redriven.contains_key(&place(ordinal))) {
                return Err(letters.taken());
            }
            let settled = ordinals.iter().map(|ordinal| (place(ordinal), key.run.clone()));
            self.redriven.extend(settled);
        }
        mark.done = unit.span.to;
        mark.checkpoint = unit.end.clone();
        mark.counts += unit.counts();
        for letter in &unit.dead_letters {
            let kept = DeadLetter { at: Some(now()), ..letter.clone() };
            self.letters.insert((key.run.clone(), key.step.clone(), letter.ordinal), kept);
        }
        for RuleCount { rule, failed, warned } in unit.rules() {
            let place = (key.run.clone(), key.step.clone(), rule.clone());
            let none = RuleCount { rule, failed: 0, warned: 0 };
            let count = self.rules.entry(place).or_insert(none);
            count.failed += failed;
            count.warned += warned;
        }
        Ok(())
    }

    fn counts(&self, run: &RunId) -> Counts {
        let marks = self.marks.iter().filter(|((of, ..), _)| of == run);
        marks.fold(Counts::default(), |sum, (_, (_, mark))| sum + mark.counts)
    }

    fn seen(&self, entry: &Entry) -> RunRecord {
        let mut record = entry.record.clone();
        record.leased = record.state == RunState::Running && entry.lease_until > Instant::now();
        record.counts = self.counts(&record.start.id);
        record
    }

    fn entry(&mut self, run: &RunId) -> Option<&mut Entry> {
        self.runs.iter_mut().find(|e| e.record.start.id == *run)
    }

    fn held(&mut self, claim: &Claim) -> Result<&mut Entry> {
        self.entry(&claim.run)
            .filter(|e| e.record.epoch == claim.epoch && e.record.state == RunState::Running)
            .ok_or_else(|| claim.fenced())
    }
}

fn claim(key: &LaneKey) -> Claim {
    Claim { run: key.run.clone(), epoch: key.epoch }
}

/// The moment, RFC 3339 in UTC.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(since.as_micros()).unwrap_or_default();
    format!("{}Z", Cell::Timestamp(micros, false).to_string().replace(' ', "T"))
}

/// The ledger of a [`MemoryTarget`].
pub(super) struct MemoryLedger(pub(super) MemoryTarget);

#[async_trait]
impl Ledger for MemoryLedger {
    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    async fn newest(&self, job: &str, parameters: &str) -> Result<Option<RunRecord>> {
        Ok(self.0.with_book(|book| {
            let same =
                |e: &&Entry| e.record.start.job == job && e.record.start.parameters == parameters;
            book.runs.iter().rev().find(same).map(|e| book.seen(e))
        }))
    }

    async fn create(
        &self,
        run: &NewRun,
        behind: Option<&RunId>,
        owner: &Owner,
        lease: Duration,
    ) -> Result<Option<Claim>> {
        Ok(self.0.with_book(|book| {
            let same = |e: &&Entry| {
                let start = &e.record.start;
                start.job == run.job && start.parameters == run.parameters
            };
            let newest = book.runs.iter().rfind(same).map(|e| &e.record);
            if newest.is_some_and(|r| r.state.is_open()) || newest.map(|r| &r.start.id) != behind {
                return None;
            }
            let record = RunRecord {
                start: run.clone(),
                state: RunState::Running,
                epoch: 1,
                owner: owner.clone(),
                leased: true,
                started_at: now(),
                claimed_at: now(),
                ended_at: None,
                message: None,
                counts: Counts::default(),
            };
            book.runs.push(Entry { record, lease_until: Instant::now() + lease });
            Some(Claim { run: run.id.clone(), epoch: 1 })
        }))
    }

    async fn claim(
        &self,
        run: &RunId,
        epoch: u64,
        owner: &Owner,
        lease: Duration,
        even_if_leased: bool,
    ) -> Result<Option<Claim>> {
        Ok(self.0.with_book(|book| {
            let entry = book.entry(run)?;
            let leased =
                entry.record.state == RunState::Running && entry.lease_until > Instant::now();
            if entry.record.epoch != epoch
                || !entry.record.state.may_become(RunState::Running)
                || (leased && !even_if_leased)
            {
                return None;
            }
            entry.record.epoch += 1;
            entry.record.state = RunState::Running;
            entry.record.owner = owner.clone();
            entry.record.claimed_at = now();
            entry.record.ended_at = None;
            entry.record.message = None;
            entry.lease_until = Instant::now() + lease;
            Some(Claim { run: run.clone(), epoch: epoch + 1 })
        }))
    }

    async fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<()> {
        self.0.with_book(|book| {
            book.held(claim)?.lease_until = Instant::now() + lease;
            Ok(())
        })
    }

    async fn finish(&self, claim: &Claim, state: RunState, message: Option<&str>) -> Result<()> {
        if !matches!(state, RunState::Stopped | RunState::Failed | RunState::Completed) {
            return Err(Fault::bug(format!("a run can't finish as {}", state.as_str())));
        }
        self.0.with_book(|book| {
            let entry = book.held(claim)?;
            entry.record.state = state;
            entry.record.message = message.map(str::to_owned);
            entry.record.ended_at = Some(now());
            Ok(())
        })
    }

    async fn abandon(&self, run: &RunId, epoch: u64) -> Result<bool> {
        Ok(self.0.with_book(|book| match book.entry(run) {
            Some(e) if e.record.epoch == epoch && e.record.state.is_open() => {
                e.record.state = RunState::Abandoned;
                let lanes = book.marks.iter_mut().filter(|((r, ..), _)| r == run);
                lanes.for_each(|(_, (at, _))| *at = epoch + 1);
                true
            }
            _ => false,
        }))
    }

    async fn marks(&self, run: &RunId, step: &str) -> Result<Vec<(u32, Mark)>> {
        Ok(self.0.with_book(|book| {
            let of = |((r, s, lane), (_, mark)): (&(RunId, String, u32), &(u64, Mark))| {
                (r == run && s == step).then(|| (*lane, mark.clone()))
            };
            book.marks.iter().filter_map(of).collect()
        }))
    }

    async fn runs(&self, job: Option<&str>, most: usize) -> Result<Vec<RunRecord>> {
        Ok(self.0.with_book(|book| {
            let wanted = |e: &&Entry| job.is_none_or(|job| e.record.start.job == job);
            book.runs.iter().rev().filter(wanted).take(most).map(|e| book.seen(e)).collect()
        }))
    }

    async fn run(&self, name: &str) -> Result<Option<RunRecord>> {
        Ok(self.0.with_book(|book| {
            let exact = book.runs.iter().find(|e| e.record.start.id.0 == name);
            let mut begun = book.runs.iter().filter(|e| e.record.start.id.0.starts_with(name));
            let alone = begun.next().filter(|_| begun.next().is_none());
            exact.or(alone).map(|e| book.seen(e))
        }))
    }

    async fn steps(&self, run: &RunId) -> Result<Vec<String>> {
        Ok(self.0.with_book(|book| {
            let mut steps: Vec<String> =
                book.marks.keys().filter(|(r, ..)| r == run).map(|(_, s, _)| s.clone()).collect();
            steps.dedup();
            steps
        }))
    }

    async fn dead_letters(
        &self,
        run: &RunId,
        step: &str,
        after: u64,
        most: usize,
    ) -> Result<Vec<DeadLetter>> {
        Ok(self.0.with_book(|book| {
            let from = (run.clone(), step.to_owned(), after.saturating_add(1));
            let to = (run.clone(), step.to_owned(), u64::MAX);
            book.letters.range(from..=to).take(most).map(|(_, letter)| letter.clone()).collect()
        }))
    }

    async fn redriven(&self, run: &RunId, step: &str) -> Result<Vec<Redriven>> {
        Ok(self.0.with_book(|book| {
            let of = |((r, s, ordinal), by): (&(RunId, String, u64), &RunId)| {
                (r == run && s == step).then(|| Redriven { ordinal: *ordinal, by: by.clone() })
            };
            book.redriven.iter().filter_map(of).collect()
        }))
    }

    async fn dead_letter_count(&self, run: &RunId) -> Result<u64> {
        Ok(self.0.with_book(|book| book.letters.keys().filter(|(r, ..)| r == run).count() as u64))
    }

    async fn rules(&self, run: &RunId, step: &str) -> Result<Vec<RuleCount>> {
        Ok(self.0.with_book(|book| {
            let of = |((r, s, _), _): &(&(RunId, String, String), _)| r == run && s == step;
            book.rules.iter().filter(of).map(|(_, count)| count.clone()).collect()
        }))
    }
}
