//! Dead letters of an earlier run as a source.

use std::sync::Arc;

use kiln::{DeadLetterSource, Which, source_of, step_names};
use kiln_core::{Fault, Fingerprint, Kind, Ledger, RawReader, RunRecord, Source};
use kiln_databases::Database;
use kiln_files::{FileColumns, RawRows};
use toml::Spanned;

use super::{Reads, files, format, keys};
use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::redrive;
use crate::shapes::{TextOr, Word};
use crate::spec::{LettersSpec, SourceSpec, StepSpec};

/// What stands for the oldest run that has some.
const OPEN: &str = "open";

/// Whose dead letters a step reads.
struct Meant {
    run: RunRecord,
    step: String,
    which: Which,
}

/// Opens the dead letters that a step reads in place of what its source names: for
/// the job is to redrive them, or its file says so.
pub(crate) async fn open(
    job: &JobFile,
    step: &StepSpec,
    source: &SourceSpec,
    target: &Arc<dyn Database>,
) -> Result<Box<dyn Source>, Problem> {
    let ledger = target.ledger();
    let Meant { run, step: of, which } = meant(job, step, source, ledger.as_ref()).await?;
    let was = source_of(&run, &of);
    let reader = reader(job, step, source, &was, target).await?;
    let columns = FileColumns::parts(&was);
    let letters = DeadLetterSource::open(ledger, &run, &of, &which, columns, reader).await;
    Ok(Box::new(letters?))
}

async fn meant(
    job: &JobFile,
    step: &StepSpec,
    source: &SourceSpec,
    ledger: &dyn Ledger,
) -> Result<Meant, Problem> {
    let own = step.name.get_ref();
    let going_on = match job.is_anew() {
        true => None,
        false => redrive::going_on(ledger, job.name(), &job.parameters(), own).await?,
    };
    if let Some(redrive) = job.redriven() {
        let run = redrive::named(ledger, &redrive.run.0).await?;
        let redriven_by = going_on.map(|(by, _)| by);
        let which = Which { stage: redrive.stage, code: redrive.code.clone(), redriven_by };
        return Ok(Meant { run, step: own.clone(), which });
    }
    let Some(spec) = &source.dead_letters else {
        return Err(Fault::bug("a source without dead letters was asked for them").into());
    };
    let wrong = |fault| job.problem(spec.span(), fault);
    let letters = Letters::of(job, spec)?;
    let (redriven_by, run) = match (going_on, letters.run) {
        (Some((by, run)), _) => (Some(by), redrive::named(ledger, &run.0).await?),
        (None, OPEN) => (None, oldest(ledger, letters.job).await.map_err(wrong)?),
        (None, name) => (None, redrive::named(ledger, name).await.map_err(wrong)?),
    };
    if run.start.job != letters.job {
        let fault = format!("run {} is one of job {}", run.start.id, run.start.job);
        let hint = "name it: dead_letters = { job = \"…\", run = \"…\" }";
        return Err(wrong(Fault::config(fault).with_hint(hint)));
    }
    let step = letters.step_of(&run, own).map_err(wrong)?;
    let which = Which { stage: letters.stage, code: letters.code.map(str::to_owned), redriven_by };
    Ok(Meant { run, step, which })
}

/// `dead_letters`, as the job file says it.
struct Letters<'a> {
    job: &'a str,
    run: &'a str,
    step: Option<&'a str>,
    stage: Option<kiln_core::Stage>,
    code: Option<&'a str>,
}

impl<'a> Letters<'a> {
    fn of(job: &'a JobFile, spec: &'a Spanned<TextOr<LettersSpec>>) -> Result<Self, Problem> {
        let text = |word: &'a Option<Word>| word.as_ref().map(|word| word.get_ref().as_str());
        let own = job.name();
        Ok(match spec.get_ref() {
            TextOr::Text(run) => Self { job: own, run, step: None, stage: None, code: None },
            TextOr::Table(table) => Self {
                job: text(&table.job).unwrap_or(own),
                run: text(&table.run).unwrap_or(OPEN),
                step: text(&table.step),
                stage: match &table.stage {
                    None => None,
                    Some(word) => Some(
                        redrive::stage(word.get_ref()).map_err(|f| job.problem(word.span(), f))?,
                    ),
                },
                code: text(&table.code),
            },
        })
    }

    /// The step of the run that is meant: the one that is named, or that has the name
    /// of the step that reads, or the only one.
    fn step_of(&self, run: &RunRecord, own: &str) -> Result<String, Fault> {
        let names = step_names(run)?;
        let wanted = self.step.unwrap_or(own);
        if let Some(name) = names.iter().find(|name| *name == wanted) {
            return Ok(name.clone());
        }
        match names.as_slice() {
            [only] if self.step.is_none() => Ok(only.clone()),
            _ => Err(Fault::config(format!("run {} has no step {wanted}", run.start.id))
                .with_hint(format!("its steps: {}; name one: step = \"…\"", names.join(", ")))),
        }
    }
}

/// The oldest run of a job that has dead letters which no run has redriven; where
/// there are none left, the newest that is over.
async fn oldest(ledger: &dyn Ledger, job: &str) -> Result<RunRecord, Fault> {
    if let Some(open) = redrive::open(ledger, job, None).await?.into_iter().next() {
        return Ok(open.run);
    }
    let over = ledger.runs(Some(job), 100).await?.into_iter().find(|run| !run.state.is_open());
    over.ok_or_else(|| {
        Fault::new(Kind::InputMissing, format!("no run of job {job} is complete"))
            .with_hint("`kiln runs` lists the runs of the ledger")
    })
}

/// What makes items of the records: they are in the format that the source names.
async fn reader(
    job: &JobFile,
    step: &StepSpec,
    source: &SourceSpec,
    was: &Fingerprint,
    target: &Arc<dyn Database>,
) -> Result<Box<dyn RawReader>, Problem> {
    let files = source.file.as_ref();
    let words = files.map(|f| f.get_ref().words(f.span())).unwrap_or_default();
    if source.table.is_none() && (source.format.is_some() || files.is_some()) {
        words.iter().try_for_each(|file| files::refuse_remote(job, file))?;
        let format = format::of(job, source, &words)?;
        keys::refuse_of_other_formats(job, source, format)?;
        if let Some(raw) = format.raw {
            return raw(job, source, &FileColumns::of(was)?);
        }
    }
    let opened = match super::reads(job, source)? {
        Reads::Files(files) => super::open(job, source, files)?,
        Reads::Table(name) => crate::table::open(job, source, name, Some(target)).await?,
        Reads::Query(query) => super::query::open(job, step, source, query)?,
    };
    Ok(Box::new(RawRows::new(opened.schema())))
}
