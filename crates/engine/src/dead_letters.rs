//! Dead letters of an earlier run as a source.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use async_trait::async_trait;
use kiln_core::{
    Chunk, ChunkLimits, DeadLetter, Failure, Fault, Fingerprint, Items, Kind, Ledger, Letters,
    Origin, Origins, Position, Progress, RawReader, Result, RunId, RunRecord, RunState, Source,
    Stage,
};

/// How many dead letters are read at a time: each may hold a long record.
const PAGE: usize = 100;

/// The parts of its fingerprint that tell which dead letters they are.
const OF_RUN: &str = "dead letters of run";
const OF_STEP: &str = "dead letters of step";
const OF_STAGE: &str = "dead letters of stage";
const OF_CODE: &str = "dead letters of code";

/// Which dead letters of a step are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// Those that failed there.
    pub stage: Option<Stage>,
    /// Those with this code.
    pub code: Option<String>,
    /// Those, too, that this run has redriven: it is the one that goes on.
    pub redriven_by: Option<RunId>,
}

impl Which {
    fn takes(&self, letter: &DeadLetter) -> bool {
        self.stage.is_none_or(|stage| stage == letter.stage)
            && (self.code.is_none() || self.code == letter.code)
    }
}

/// The dead letters of a step of an earlier run: those that no run has redriven.
///
/// * Its items are the records as dead letters keep them, in the order in which they
///   failed; a [`RawReader`] makes items of them again. Where they came from
///   ([`Origin`]) is where they came from then.
/// * With the unit that settles an item its dead letter is redriven
///   ([`Letters`]), in the same transaction. An item that fails again is a dead
///   letter of the run that reads this source.
/// * A record that is not kept as it was, for it was too long or no text, fails
///   again with a [`Failure`] of [`Stage::Parse`].
/// * A [`Position`]'s place is `letter=17`: the ordinal that the last item had then.
pub struct DeadLetterSource {
    name: String,
    ledger: Arc<dyn Ledger>,
    run: RunId,
    step: String,
    /// The ordinals of the dead letters that are its items; they rise.
    letters: Vec<u64>,
    reader: Box<dyn RawReader>,
    fingerprint: Fingerprint,
    position: Position,
    /// Whether an error came between, so that letters may have been lost.
    interrupted: bool,
}

impl DeadLetterSource {
    /// Looks which dead letters of a step there are. `columns` are parts of the
    /// fingerprint of what they were read from; they become parts of this one's, so
    /// that its own dead letters can be read again.
    ///
    /// # Errors
    /// [`Kind::Config`] if the run may still go on and get more of them; if the
    /// ledger can't be read.
    pub async fn open(
        ledger: Arc<dyn Ledger>,
        run: &RunRecord,
        step: &str,
        which: &Which,
        columns: Fingerprint,
        reader: Box<dyn RawReader>,
    ) -> Result<Self> {
        let id = &run.start.id;
        if !matches!(run.state, RunState::Completed | RunState::Abandoned) {
            let fault = format!("run {id} is not complete: it may get more dead letters");
            return Err(Fault::config(fault)
                .with_hint("go on with it first: `kiln run`; or give it up: `kiln run --again`"));
        }
        let letters = meant(ledger.as_ref(), id, step, which).await?;
        let mut fingerprint =
            columns.with(OF_RUN, id).with(OF_STEP, step).with("size", letters.len());
        if let Some(stage) = which.stage {
            fingerprint = fingerprint.with(OF_STAGE, stage);
        }
        if let Some(code) = &which.code {
            fingerprint = fingerprint.with(OF_CODE, code);
        }
        Ok(Self {
            name: format!("dead letters of {id}"),
            run: id.clone(),
            step: step.to_owned(),
            ledger,
            letters,
            reader,
            fingerprint,
            position: Position::default(),
            interrupted: false,
        })
    }

    /// The run whose dead letters a source reads, and which of them, by the source's
    /// fingerprint; none if it is no such source's.
    pub fn meant_by(source: &Fingerprint) -> Option<(RunId, Which)> {
        let run = RunId(source.0.get(OF_RUN)?.clone());
        let stage = source.0.get(OF_STAGE).and_then(|word| Stage::parse(word));
        let code = source.0.get(OF_CODE).cloned();
        Some((run, Which { stage, code, redriven_by: None }))
    }

    /// How many dead letters lie before the position.
    fn behind(&self) -> usize {
        usize::try_from(self.position.ordinal).unwrap_or(usize::MAX).min(self.letters.len())
    }

    fn place(&self, behind: usize) -> Option<String> {
        let last = self.letters.get(behind.checked_sub(1)?)?;
        Some(format!("letter={last}"))
    }

    /// The next dead letters, some of them.
    async fn page(&self, behind: usize, most: usize) -> Result<Vec<DeadLetter>> {
        let wanted = &self.letters[behind..(behind + most).min(self.letters.len())];
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::with_capacity(wanted.len());
        let mut after = first - 1;
        while after < *last {
            let page = self.ledger.dead_letters(&self.run, &self.step, after, most).await?;
            let Some(end) = page.last() else { break };
            after = end.ordinal;
            found.extend(page.into_iter().filter(|l| wanted.binary_search(&l.ordinal).is_ok()));
        }
        if found.len() == wanted.len() {
            return Ok(found);
        }
        let Self { run, step, .. } = self;
        let fault = format!("dead letters of run {run}, step {step}, are gone from the ledger");
        Err(Fault::new(Kind::InputInvalid, fault).with_hint("somebody removed them: start again"))
    }

    async fn read(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        let began = std::time::Instant::now();
        let first = self.behind();
        let mut chunk = Reading::default();
        'chunk: while first + chunk.origins.len() < self.letters.len() {
            for letter in self.page(first + chunk.origins.len(), PAGE).await? {
                let ordinal = self.position.ordinal + chunk.origins.len() as u64 + 1;
                let item = as_it_was(&letter).and_then(|()| self.reader.read(&letter));
                chunk.add(ordinal, letter, item)?;
                let ChunkLimits { items, bytes, age } = *limits;
                if items > 0 && chunk.origins.len() >= items
                    || bytes > 0 && chunk.bytes >= bytes
                    || !age.is_zero() && began.elapsed() >= age
                {
                    break 'chunk;
                }
            }
        }
        let read = chunk.origins.len();
        let Some(place) = self.place(first + read).filter(|_| read > 0) else { return Ok(None) };
        let end = Position { ordinal: self.position.ordinal + read as u64, place };
        let start = std::mem::replace(&mut self.position, end.clone());
        let letters = Letters {
            run: self.run.clone(),
            step: self.step.clone(),
            before: start.ordinal,
            ordinals: self.letters[first..first + read].to_vec(),
        };
        let batch = concat_batches(&self.reader.schema(), &chunk.rows)
            .map_err(|e| Fault::bug(format!("records of dead letters are no batch: {e}")))?;
        let origins = Arc::new(LetterOrigins { letters, origins: chunk.origins });
        let items = Items { batch, ordinals: chunk.ordinals, origins };
        Ok(Some(Chunk { start, end, items, failures: chunk.failures }))
    }
}

/// The dead letters of a step that are meant.
async fn meant(ledger: &dyn Ledger, run: &RunId, step: &str, which: &Which) -> Result<Vec<u64>> {
    let redriven = ledger.redriven(run, step).await?;
    let is_taken = |ordinal: u64| {
        let found = redriven.binary_search_by_key(&ordinal, |r| r.ordinal).ok();
        found.is_some_and(|i| which.redriven_by.as_ref() != Some(&redriven[i].by))
    };
    let mut letters = Vec::new();
    let mut after = 0;
    loop {
        let page = ledger.dead_letters(run, step, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(letters) };
        after = last.ordinal;
        let meant = page.iter().filter(|letter| which.takes(letter) && !is_taken(letter.ordinal));
        letters.extend(meant.map(|letter| letter.ordinal));
    }
}

/// Refuses a record that the dead letter does not hold as it was: the beginning of
/// one that was too long, or bytes that are no text and are written as `\xNN`.
fn as_it_was(letter: &DeadLetter) -> Result<()> {
    let code = letter.code.as_deref();
    let is_whole = letter.stage != Stage::Parse
        || code != Some("too_long") && !letter.origin.raw.contains("\\x");
    if is_whole {
        return Ok(());
    }
    let fault = Fault::item(format!(
        "its record could not be kept as it was ({}): mend it in {} and load that",
        letter.message, letter.origin.source
    ));
    Err(fault.with_code(code.unwrap_or("raw")))
}

/// A chunk while it is read.
#[derive(Default)]
struct Reading {
    rows: Vec<RecordBatch>,
    ordinals: Vec<u64>,
    failures: Vec<Failure>,
    origins: Vec<Origin>,
    bytes: usize,
}

impl Reading {
    fn add(&mut self, ordinal: u64, letter: DeadLetter, item: Result<RecordBatch>) -> Result<()> {
        match item {
            Ok(row) => {
                self.rows.push(row);
                self.ordinals.push(ordinal);
            }
            Err(fault) if fault.kind() == Kind::Item => {
                self.failures.push(Failure { ordinal, stage: Stage::Parse, fault });
            }
            Err(fault) => return Err(fault),
        }
        self.bytes += letter.origin.raw.len();
        self.origins.push(letter.origin);
        Ok(())
    }
}

#[async_trait]
impl Source for DeadLetterSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    async fn seek(&mut self, position: &Position) -> Result<()> {
        let behind = usize::try_from(position.ordinal).ok();
        let place = behind.and_then(|behind| self.place(behind));
        if *position != Position::default() && place.as_ref() != Some(&position.place) {
            return Err(Fault::config(format!(
                "{}: {:?} behind item {} is no position in them",
                self.name, position.place, position.ordinal
            )));
        }
        self.position = position.clone();
        self.interrupted = false;
        Ok(())
    }

    async fn next(&mut self, limits: &ChunkLimits) -> Result<Option<Chunk>> {
        if self.interrupted {
            return Err(Fault::bug(format!("{} were read on behind an error", self.name)));
        }
        self.interrupted = true;
        let chunk = self.read(limits).await?;
        self.interrupted = false;
        Ok(chunk)
    }

    fn progress(&self) -> Progress {
        Progress { done: self.position.ordinal, total: Some(self.letters.len() as u64) }
    }
}

/// Where the records came from when they failed.
#[derive(Debug)]
struct LetterOrigins {
    letters: Letters,
    origins: Vec<Origin>,
}

impl LetterOrigins {
    fn get(&self, ordinal: u64) -> Option<&Origin> {
        let index = ordinal.checked_sub(self.letters.before + 1)?;
        self.origins.get(usize::try_from(index).ok()?)
    }
}

impl Origins for LetterOrigins {
    fn source(&self, ordinal: u64) -> &str {
        self.get(ordinal).map_or("", |origin| &origin.source)
    }

    fn line(&self, ordinal: u64) -> Option<u64> {
        self.get(ordinal)?.line
    }

    fn origin(&self, ordinal: u64) -> Origin {
        self.get(ordinal).cloned().unwrap_or_default()
    }

    fn letters(&self) -> Option<&Letters> {
        Some(&self.letters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_not_whole_is_not_read_again() {
        for (stage, code, raw, is_whole) in [
            (Stage::Parse, "utf8", "\\xff", false),
            (Stage::Parse, "too_long", "{\"n\":1", false),
            (Stage::Parse, "cast", "{\"n\":\"x\"}", true),
            (Stage::Write, "23514", "C:\\xff", true),
        ] {
            let fault = Fault::item("bad").with_code(code);
            let failure = Failure { ordinal: 1, stage, fault };
            let origin = Origin { raw: raw.to_owned(), ..Origin::default() };
            let again = as_it_was(&DeadLetter::new(&failure, origin));
            assert_eq!(again.is_ok(), is_whole, "{raw}");
        }
    }
}
