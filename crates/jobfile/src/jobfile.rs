//! A job file that was read.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use kiln_core::{Fault, Fingerprint, RunId};
use kiln_files::{Found, Ready, Staged, is_remote};
use toml::Spanned;

use crate::definition::hash;
use crate::each::{self, Fans};
use crate::load::{Loaded, load, read};
use crate::paths::{refuse_outside, resolve};
use crate::problem::{Problem, Text};
use crate::redrive::{self, Open, Redrive};
use crate::secrets::{secrets_of, without_secrets};
use crate::shapes::{Amount, Word};
use crate::spec::Spec;
use crate::target;

/// A job file, with its parameters filled in. Nothing that it names was looked
/// at yet.
pub struct JobFile {
    folder: PathBuf,
    text: Text,
    loaded: Loaded,
    /// The parameters of the command line.
    given: Vec<(String, String)>,
    /// Whether it is to be run anew, whatever run of it is open.
    is_anew: bool,
    /// What it reads in place of its sources.
    redriven: Option<Redrive>,
    url: String,
    /// Standard input, once a step has asked for it.
    stdin: OnceLock<Arc<Staged>>,
}

impl JobFile {
    /// Reads a job file. `parameters` are those of the command line, as name
    /// and value.
    ///
    /// # Errors
    /// What is wrong with it, and on which line: see [`Problem`].
    pub fn load(path: &Path, parameters: &[(String, String)]) -> Result<Self, Problem> {
        let text = read(path)?;
        let loaded = load(&text, parameters, &Fans::new())?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let url = target::url(&loaded, &folder, &text)?;
        let given = parameters.to_vec();
        let stdin = OnceLock::new();
        Ok(Self { folder, text, loaded, given, is_anew: false, redriven: None, url, stdin })
    }

    /// It is to be run anew: a run of it that is open does not count.
    #[must_use]
    pub fn anew(self, is_anew: bool) -> Self {
        Self { is_anew, ..self }
    }

    /// It reads dead letters of an earlier run of it in place of what its steps
    /// name. Only steps that have some are left, none waits for another, and any
    /// number of items may fail again.
    #[must_use]
    pub fn redriving(self, redrive: Redrive) -> Self {
        Self { redriven: Some(redrive), ..self }
    }

    pub(crate) fn redriven(&self) -> Option<&Redrive> {
        self.redriven.as_ref()
    }

    pub(crate) fn is_anew(&self) -> bool {
        self.is_anew
    }

    /// Whose dead letters are to be read again, of what run and step, if one is told;
    /// else what an open run has begun with, or those of the oldest run of the job
    /// with these parameters that has some. And the names of other such runs. None if
    /// there is none.
    ///
    /// # Errors
    /// [`Kind::InputMissing`](kiln_core::Kind::InputMissing): there is no such run or
    /// step; [`Kind::Config`](kiln_core::Kind::Config): the target is files; if the
    /// ledger can't be read.
    pub async fn open_letters(
        &self,
        of: Option<&str>,
        step: Option<&str>,
    ) -> Result<Option<(Redrive, Vec<RunId>)>, Problem> {
        if target::is_files(self) {
            return Err(no_redrive_into_files().into());
        }
        let ledger = self.database().await?.ledger();
        let mut all = redrive::open(ledger.as_ref(), self.name(), Some(&self.parameters())).await?;
        let unfinished =
            redrive::unfinished(ledger.as_ref(), self.name(), &self.parameters()).await?;
        let whole = |run, steps| Redrive { run, steps, stage: None, code: None };
        let mut found = match (of, unfinished) {
            (None, Some(begun)) => begun,
            (Some(name), begun) => {
                let run = redrive::named(ledger.as_ref(), name).await?;
                match begun.filter(|begun| begun.run == run.start.id) {
                    Some(begun) => begun,
                    None => {
                        let steps = redrive::failed_steps(ledger.as_ref(), &run).await?;
                        whole(run.start.id, steps)
                    }
                }
            }
            (None, None) if all.is_empty() => return Ok(None),
            (None, None) => {
                let Open { run, steps } = all.remove(0);
                whole(run.start.id, steps)
            }
        };
        if found.steps.is_empty() {
            return Ok(None);
        }
        if let Some(name) = step {
            found.steps = redrive::of_name(&found.steps, name, &found.run)?;
        }
        let others = all.into_iter().map(|open| open.run.start.id);
        let others = others.filter(|run| *run != found.run).collect();
        Ok(Some((found, others)))
    }

    /// The same with a step for each thing that one is for: as the open run of the
    /// job has it, or else as it is now; and without steps that are not redriven.
    /// None if that is the same.
    pub(crate) async fn fanned_out(&self) -> Result<Option<Self>, Problem> {
        let is_fan = self.spec().steps.iter().any(|step| step.each.is_some());
        if !is_fan && self.redriven.is_none() {
            return Ok(None);
        }
        let mut fans = Fans::new();
        if is_fan {
            let database = target::open(self).await?;
            fans = each::fans(self, &database, !self.is_anew).await?;
        }
        let mut loaded = load(&self.text, &self.given, &fans)?;
        if let Some(redrive) = &self.redriven {
            redrive.keep_of(&mut loaded.spec.steps)?;
        }
        Ok(Some(Self {
            folder: self.folder.clone(),
            text: self.text.clone(),
            loaded,
            given: self.given.clone(),
            is_anew: self.is_anew,
            redriven: self.redriven.clone(),
            url: self.url.clone(),
            stdin: OnceLock::new(),
        }))
    }

    /// The job's name.
    pub fn name(&self) -> &str {
        self.spec().name.get_ref()
    }

    /// The URL of the database or the folder that it writes to, passwords
    /// included.
    pub fn target_url(&self) -> &str {
        &self.url
    }

    /// The same for people: passwords masked.
    pub fn shown_url(&self) -> String {
        without_secrets(&self.url)
    }

    /// The parameters as JSON, in the order of their names, passwords masked:
    /// with the job's name they tell one run from another.
    pub fn parameters(&self) -> String {
        let mut secrets = secrets_of(&self.url);
        let ledger = self.spec().target.ledger.iter();
        secrets.extend(ledger.flat_map(|url| secrets_of(url.get_ref())));
        let sources = self.spec().steps.iter();
        let sources = sources.filter_map(|step| step.source.as_ref()?.url.as_ref());
        secrets.extend(sources.flat_map(|url| secrets_of(url.get_ref())));
        let own = self.loaded.parameters.to_json(&secrets);
        match &self.redriven {
            Some(redrive) => redrive::parameters(&own, &redrive.run),
            None => own,
        }
    }

    /// What to know about the job file, although it can be run.
    pub fn warnings(&self) -> &[Problem] {
        &self.loaded.warnings
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.loaded.spec
    }

    pub(crate) fn text(&self) -> &Text {
        &self.text
    }

    /// What the job looks like: its parts, and its set-up script.
    pub(crate) fn definition(&self) -> Result<Fingerprint, Problem> {
        let definition = self.loaded.definition.clone();
        Ok(match target::script(self)? {
            Some(script) => definition.with("set-up script", hash(&script.sql)),
            None => definition,
        })
    }

    /// Where a path of the job file leads.
    pub(crate) fn path_of(&self, word: &Word) -> Result<PathBuf, Problem> {
        if is_remote(Path::new(word.get_ref())) {
            return Ok(PathBuf::from(word.get_ref()));
        }
        let outside = self.loaded.outside.contains(&word.span());
        resolve(&self.folder, word.get_ref(), outside).map_err(|f| self.problem(word.span(), f))
    }

    /// The files that a pattern of the job file means.
    pub(crate) fn find(&self, pattern: &Word, ready: &Ready) -> Result<Found, Problem> {
        self.path_of(pattern)?;
        let wrong = |fault| self.problem(pattern.span(), fault);
        let written = pattern.get_ref();
        let anywhere = self.loaded.outside.contains(&pattern.span())
            || Path::new(written).is_absolute()
            || is_remote(Path::new(written));
        if anywhere {
            return kiln_files::find(Path::new(""), written, ready).map_err(wrong);
        }
        let found = kiln_files::find(&self.folder, written, ready).map_err(wrong)?;
        let refuse = |path: &PathBuf| refuse_outside(&self.folder, path).map_err(wrong);
        found.files.iter().try_for_each(refuse)?;
        Ok(found)
    }

    /// Standard input; it is read when it is first asked for.
    pub(crate) fn stdin(&self) -> kiln_core::Result<Arc<Staged>> {
        if let Some(staged) = self.stdin.get() {
            return Ok(Arc::clone(staged));
        }
        let staged = Arc::new(Staged::stdin()?);
        Ok(Arc::clone(self.stdin.get_or_init(|| staged)))
    }

    /// Where the job file lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A database's URL with the path in it resolved.
    pub(crate) fn resolved_url(&self, url: &Word) -> Result<String, Problem> {
        target::resolved_url(url, &self.folder, &self.loaded.outside)
            .map_err(|fault| self.problem(url.span(), fault))
    }

    /// A fault at a place of the job file.
    pub(crate) fn problem(&self, span: Range<usize>, fault: Fault) -> Problem {
        self.text.problem(span, fault)
    }

    /// A fault of SQL, at the very place in the SQL that it names.
    pub(crate) fn sql_problem(&self, sql: &Word, fault: Fault) -> Problem {
        let span = sql.span();
        let named = self.text.slice(&span).find(sql.get_ref().as_str()).and_then(|begin| {
            let place = named_place(fault.message(), sql.get_ref())?;
            Some(span.start + begin + place..span.end)
        });
        let span = match named {
            // From there to the end of the word.
            Some(span) => {
                let rest = self.text.slice(&span);
                let word = |c: char| c.is_alphanumeric() || c == '_';
                let end = rest.find(|c| !word(c)).filter(|end| *end > 0).unwrap_or(1);
                span.start..span.start + end
            }
            None => span,
        };
        self.problem(span, fault)
    }

    /// A number that must be at least 1.
    pub(crate) fn positive(&self, number: &Spanned<i64>) -> Result<usize, Problem> {
        match usize::try_from(*number.get_ref()) {
            Ok(n @ 1..) => Ok(n),
            _ => Err(self.problem(number.span(), Fault::config("it must be at least 1"))),
        }
    }

    /// How much memory may be taken: bytes, or a text such as `512 MB`.
    pub(crate) fn bytes(&self, amount: &Spanned<Amount>) -> Result<u64, Problem> {
        let bytes = match amount.get_ref() {
            Amount::Number(bytes) => u64::try_from(*bytes).ok(),
            Amount::Text(text) => bytes(text),
        };
        bytes.filter(|bytes| *bytes > 0).ok_or_else(|| {
            let written = self.text.slice(&amount.span());
            let fault = Fault::config(format!("{written} is no amount of memory"));
            self.problem(amount.span(), fault.with_hint("write it as \"512 MB\" or \"2 GB\""))
        })
    }

    /// A number that must not be negative.
    pub(crate) fn count(&self, number: &Spanned<i64>) -> Result<u64, Problem> {
        u64::try_from(*number.get_ref())
            .map_err(|_| self.problem(number.span(), Fault::config("it can't be negative")))
    }
}

/// Said where a redrive would have to add to what is published, or replace it.
fn no_redrive_into_files() -> Fault {
    Fault::config("dead letters can't be redriven into files: those are published and complete")
        .with_hint(
            "write them to a folder of their own: a job whose source is dead_letters = { job = \
             \"…\" }, with the ledger of this one: [target] ledger = \"sqlite:…\"",
        )
}

/// `kB`, `MB` and `GB` are powers of 1024 here, with an `i` in them or not.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "kb" | "kib" => 10,
        "mb" | "mib" => 20,
        "gb" | "gib" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The byte of the SQL that a message names as `line 2, column 8`.
fn named_place(message: &str, sql: &str) -> Option<usize> {
    let (_, rest) = message.split_once("line ")?;
    let (line, rest) = rest.split_once(", column ")?;
    let column = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    let (line, column) = (line.parse::<usize>().ok()?, column.parse::<usize>().ok()?);
    let begin: usize = sql.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let text = sql.get(begin..)?.lines().next()?;
    text.char_indices().nth(column.checked_sub(1)?).map(|(at, _)| begin + at)
}

#[cfg(test)]
mod tests {
    use super::{bytes, named_place};

    #[test]
    fn memory_is_written_with_its_unit() {
        assert_eq!(bytes("512 MB"), Some(512 << 20));
        assert_eq!(bytes("2GiB"), Some(2 << 30));
        assert_eq!(bytes("1000"), Some(1000));
        for wrong in ["", "MB", "5 TB", "-1", "1.5 GB", "99999999999 GB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_message_names_a_place() {
        let sql = "SELECT ä,\n  b\nFROM item";
        let place = |message| named_place(message, sql).map(|at| &sql[at..at + 1]);
        assert_eq!(place("line 1, column 9: x"), Some(","));
        assert_eq!(place("[map] sql: column b: line 2, column 3: there is no b"), Some("b"));
        for nowhere in ["line 9, column 1", "line 2, column 99", "line 0, column 1", "no place"] {
            assert_eq!(place(nowhere), None, "{nowhere}");
        }
    }
}
