//! Looking items up, one after another.
//!
//! What is missing is added to what is known at once, so that the next item
//! finds it, and created for all items together at the end. If the target
//! refuses a row, everything behind it is taken back and looked up again: some
//! item may have found the row that is none.

use std::collections::{BTreeMap, HashMap};

use arrow_array::RecordBatch;
use kiln_core::{Catalog, Fault, Key, Kind, Result};

use crate::asked::{Asked, Item};
use crate::faults::Faults;
use crate::known::{By, Found, Known};
use crate::remembered::{Remember, Remembered};
use crate::spec::{MatchSpec, Missing};

/// Rows that are created at once behind one that was refused: others may be, and
/// what lies behind each has to be done again.
const FEW: usize = 64;

/// All that takes part in looking up the items of one batch.
pub(crate) struct LookUp<'a> {
    pub(crate) spec: &'a MatchSpec,
    pub(crate) catalog: &'a dyn Catalog,
    pub(crate) remember: Option<&'a Remember>,
    pub(crate) asked: &'a Asked,
    pub(crate) read_only: bool,
    pub(crate) known: &'a mut Known,
    pub(crate) remembered: &'a mut Remembered,
}

/// What was found, item by item.
#[derive(Debug, Default)]
pub(crate) struct LookedUp {
    pub(crate) keys: Vec<Option<Key>>,
    pub(crate) faults: BTreeMap<usize, Fault>,
    /// The keys of rows that were created.
    pub(crate) created: Vec<Key>,
}

/// What one item refers to.
#[derive(Debug, Clone)]
enum Refers {
    Nothing,
    Row(u32),
    /// It was decided before.
    Remembered(Key),
}

/// What is decided so far.
#[derive(Debug, Default)]
struct Decided {
    refers: Vec<Refers>,
    faults: BTreeMap<usize, Fault>,
    created: Vec<Key>,
    /// The items whose rows are to be created, and these rows.
    wanted: Vec<(usize, u32)>,
    /// What is to be remembered: the item, and the row that is likely meant.
    likely: Vec<(usize, u32)>,
    /// The same, by the items' texts.
    by_text: HashMap<String, u32>,
}

impl LookUp<'_> {
    /// Looks all items up. On error what is known is as it was before.
    pub(crate) async fn all(mut self, batch: &RecordBatch) -> Result<LookedUp> {
        let before = self.known.len();
        let found = self.try_all(batch).await;
        if found.is_err() {
            self.known.truncate(before);
        }
        self.known.settle();
        found
    }

    async fn try_all(&mut self, batch: &RecordBatch) -> Result<LookedUp> {
        let items = self.asked.items(batch)?;
        let mut decided = Decided::default();
        let mut most = usize::MAX;
        while decided.refers.len() < items.len() {
            self.decide(&items, most, &mut decided);
            let is_refused = self.create(batch, &mut decided).await?;
            most = if is_refused { FEW } else { most.saturating_mul(2) };
        }
        let mut looked_up = self.keys(&decided);
        self.remember(&items, &decided, &mut looked_up).await?;
        Ok(looked_up)
    }

    /// Decides for the next items, until `most` rows are to be created.
    fn decide(&mut self, items: &[Item], most: usize, decided: &mut Decided) {
        for (number, item) in items.iter().enumerate().skip(decided.refers.len()) {
            let refers = match self.find(number, item, decided) {
                Ok(refers) => refers,
                Err(fault) => {
                    decided.faults.insert(number, fault);
                    Refers::Nothing
                }
            };
            decided.refers.push(refers);
            if decided.wanted.len() >= most {
                return;
            }
        }
    }

    fn find(&mut self, number: usize, item: &Item, decided: &mut Decided) -> Result<Refers> {
        if let Some(text) = &item.text {
            if let Some(key) = self.remembered.get(text) {
                return Ok(Refers::Remembered(key.clone()));
            }
            if let Some(row) = decided.by_text.get(text) {
                decided.likely.push((number, *row));
                return Ok(Refers::Row(*row));
            }
        }
        match self.known.find(item.values()) {
            Found::Row(row, By::Likeness) => {
                if let Some(text) = &item.text {
                    decided.likely.push((number, row));
                    decided.by_text.insert(text.clone(), row);
                }
                Ok(Refers::Row(row))
            }
            Found::Row(row, _) => Ok(Refers::Row(row)),
            Found::Several(near) => Err(self.faults().ambiguous(item, &near)),
            Found::Nothing => self.missing(number, item, decided),
        }
    }

    fn missing(&mut self, number: usize, item: &Item, decided: &mut Decided) -> Result<Refers> {
        let null = item.on.iter().position(Option::is_none);
        let has_none = item.compared.iter().all(Option::is_none);
        match (self.spec.missing, null) {
            // Without any value nobody knows what is asked for.
            (_, Some(null)) if has_none => Err(self.faults().no_key(null)),
            (Missing::Create, Some(null)) => Err(self.faults().no_key(null)),
            (Missing::Reject, _) => Err(self.faults().no_match(item)),
            (Missing::Null, _) => Ok(Refers::Nothing),
            (Missing::Create, None) => {
                let row = self.known.push(None, self.asked.created(item).values());
                decided.wanted.push((number, row));
                Ok(Refers::Row(row))
            }
        }
    }

    /// Creates what is wanted; whether a row was refused. Then the items behind
    /// the one that wanted it are not decided any more.
    async fn create(&mut self, batch: &RecordBatch, decided: &mut Decided) -> Result<bool> {
        let wanted = std::mem::take(&mut decided.wanted);
        if wanted.is_empty() || self.read_only {
            return Ok(false);
        }
        let items: Vec<usize> = wanted.iter().map(|(item, _)| *item).collect();
        let rows = self.asked.new_rows(batch, &items)?;
        let mut answers = self.catalog.find_or_create_in_order(&rows).await?.into_iter();
        for (item, row) in wanted {
            match answers.next() {
                Some(Ok(key)) => {
                    decided.created.push(key.clone());
                    self.known.set_key(row, key);
                }
                Some(Err(fault)) if fault.kind() == Kind::Item => {
                    self.known.truncate(row as usize);
                    decided.forget_behind(item, row);
                    decided.refers[item] = Refers::Nothing;
                    decided.faults.insert(item, fault);
                    return Ok(true);
                }
                Some(Err(fault)) => return Err(fault),
                None => {
                    let table = &self.spec.table;
                    return Err(Fault::bug(format!("a new row of {table} got no answer")));
                }
            }
        }
        Ok(false)
    }

    /// Has what was found by likeness remembered. What stands there already,
    /// because somebody else was faster, is what counts.
    async fn remember(
        &mut self,
        items: &[Item],
        decided: &Decided,
        looked_up: &mut LookedUp,
    ) -> Result<()> {
        let Some(remember) = self.remember.filter(|_| !self.read_only) else { return Ok(()) };
        let mut wanted: Vec<(&str, &Key)> = Vec::new();
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (item, row) in &decided.likely {
            let (Some(text), Some(key)) = (&items[*item].text, self.known.key(*row)) else {
                continue;
            };
            let same = places.entry(text).or_default();
            if same.is_empty() {
                wanted.push((text, key));
            }
            same.push(*item);
        }
        let answers = remember.add(&wanted).await?;
        for ((text, _), answer) in wanted.into_iter().zip(answers) {
            for item in &places[text] {
                match &answer {
                    Ok(key) => looked_up.keys[*item] = Some(key.clone()),
                    Err(fault) => {
                        looked_up.faults.insert(*item, fault.clone());
                    }
                }
            }
            if let Ok(key) = answer {
                self.remembered.insert(text.to_owned(), key);
            }
        }
        Ok(())
    }

    fn keys(&self, decided: &Decided) -> LookedUp {
        let key = |refers: &Refers| match refers {
            Refers::Nothing => None,
            Refers::Row(row) => self.known.key(*row).cloned(),
            Refers::Remembered(key) => Some(key.clone()),
        };
        LookedUp {
            keys: decided.refers.iter().map(key).collect(),
            faults: decided.faults.clone(),
            created: decided.created.clone(),
        }
    }

    fn faults(&self) -> Faults<'_> {
        Faults { spec: self.spec, known: self.known }
    }
}

impl Decided {
    /// Takes back what was decided for the items behind one whose row was
    /// refused.
    fn forget_behind(&mut self, item: usize, row: u32) {
        self.refers.truncate(item + 1);
        self.faults.split_off(&(item + 1));
        self.likely.retain(|(likely, _)| *likely <= item);
        self.by_text.retain(|_, likely| *likely < row);
    }
}
