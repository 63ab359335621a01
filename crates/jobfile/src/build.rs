//! From a job file to a runnable job.

use std::collections::BTreeSet;
use std::sync::Arc;

use kiln::{Condition, Job, Options, Step};
use kiln_core::{Fault, Kind, Mapper, Source, Write};
use kiln_databases::Database;
use kiln_sql::ComputeMapper;
use toml::Spanned;

use crate::check::{Checked, Checks};
use crate::each::fan_of;
use crate::jobfile::JobFile;
use crate::kind::StepKind;
use crate::problem::Problem;
use crate::source::Reads;
use crate::spec::{MatchSpec, SourceSpec, StepSpec};
use crate::streams::Streams;
use crate::{exec, kind, limits, mapping, matches, source, statement, table, target, writes};

/// A job that can be run.
pub struct Built {
    /// The job; its steps run as its file says.
    pub job: Job,
    /// How the run as a whole goes; how it is held the file does not say.
    pub options: Options,
    /// The database that it writes to, not set up yet.
    pub database: Arc<dyn Database>,
}

/// What a job is put together from.
pub(crate) struct Parts {
    pub(crate) steps: Vec<StepParts>,
    pub(crate) database: Arc<dyn Database>,
}

/// What a step is put together from.
pub(crate) struct StepParts {
    pub(crate) work: Work,
    pub(crate) options: Options,
}

/// What a step does.
pub(crate) enum Work {
    Items {
        source: Box<dyn Source>,
        mappers: Vec<Box<dyn Mapper>>,
        writes: Vec<Write>,
    },
    /// It runs something, put together already.
    Runs(Box<Step>),
}

/// What the parts are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Run,
    Look,
}

impl JobFile {
    /// Checks everything that can be checked before the first item is read, and
    /// writes nothing. What rests on a check that failed is left out.
    pub async fn validate(&self) -> Vec<Checked> {
        let mut checks = Checks::default();
        let fanned = match self.fanned_out().await {
            Ok(fanned) => fanned,
            Err(problem) => {
                checks.add::<()>("steps", Err(problem), |()| None);
                return checks.into_lines();
            }
        };
        parts(fanned.as_ref().unwrap_or(self), Purpose::Look, &mut checks).await;
        checks.into_lines()
    }

    /// Builds the job, and writes nothing.
    ///
    /// # Errors
    /// The first check of [`validate`](Self::validate) that fails.
    pub async fn build(&self) -> Result<Built, Problem> {
        match self.fanned_out().await? {
            Some(fanned) => fanned.build_steps().await,
            None => self.build_steps().await,
        }
    }

    async fn build_steps(&self) -> Result<Built, Problem> {
        let Parts { steps, database } = self.parts(Purpose::Run).await?;
        let steps = self.spec().steps.iter().zip(steps).map(|(spec, parts)| step(spec, parts));
        let mut steps = steps.collect::<Result<Vec<_>, _>>()?.into_iter();
        let first = steps.next().ok_or_else(|| Fault::bug("a job was built without a step"))?;
        let job = Job::in_steps(self.name(), first, database.sink(), database.ledger())
            .parameters(self.parameters())
            .definition(self.definition()?);
        let job = steps.fold(job, Job::step);
        Ok(Built { job, options: limits::of_run(self)?, database })
    }

    /// The database that the job writes to and keeps its ledger in. Nothing is
    /// opened yet.
    ///
    /// # Errors
    /// If the URL or the set-up script can't be read.
    pub async fn database(&self) -> Result<Arc<dyn Database>, Problem> {
        target::open(self).await
    }

    /// The parts, if nothing is wrong with them.
    pub(crate) async fn parts(&self, purpose: Purpose) -> Result<Parts, Problem> {
        let mut checks = Checks::default();
        let parts = parts(self, purpose, &mut checks).await;
        match (checks.into_problem(), parts) {
            (None, Some(parts)) => Ok(parts),
            (Some(problem), _) => Err(problem),
            (None, None) => Err(Fault::bug("a job could not be built, and nobody said why").into()),
        }
    }
}

/// A step from its parts.
fn step(spec: &StepSpec, parts: StepParts) -> Result<Step, Problem> {
    let step = match parts.work {
        Work::Runs(step) => *step,
        Work::Items { source, mappers, writes } => {
            let step = Step::new(spec.name.get_ref(), source);
            let step = mappers.into_iter().fold(step, Step::map);
            writes.into_iter().fold(step, Step::write)
        }
    };
    let mut step = step.options(parts.options);
    if let Some(when) = &spec.when {
        step = step.when(Condition::parse(when.get_ref())?);
    }
    let step = spec.needs.iter().map(Spanned::get_ref).fold(step, Step::needs);
    Ok(step)
}

/// Puts the parts of all steps together. What is wrong with one step keeps no
/// other from being looked at.
async fn parts(job: &JobFile, purpose: Purpose, checks: &mut Checks) -> Option<Parts> {
    if let Err(problem) = limits::of_run(job) {
        checks.add::<()>("job file", Err(problem), |()| None);
    }
    let mut database = target::open(job).await.map_err(Some);
    let steps = &job.spec().steps;
    let mut all = Vec::with_capacity(steps.len());
    let mut told = BTreeSet::new();
    for step in steps {
        let (name, waits_for) = (step.name.get_ref(), about(step, steps));
        // Of many that share a name, all but the first are told of only if they fail.
        if fan_of(name).is_some_and(|fan| !told.insert(fan)) {
            let mut own = Checks::default();
            let built = step_parts(job, step, &mut database, purpose, &mut own).await;
            if built.is_none() {
                checks.pass(format!("step {name}"), waits_for);
                checks.extend_failed(own);
            }
            all.extend(built);
            continue;
        }
        if steps.len() > 1 {
            checks.pass(format!("step {name}"), waits_for);
        }
        all.extend(step_parts(job, step, &mut database, purpose, checks).await);
    }
    (all.len() == steps.len()).then_some(Parts { steps: all, database: database.ok()? })
}

/// Puts the parts of a step together.
async fn step_parts(
    job: &JobFile,
    step: &StepSpec,
    database: &mut Result<Arc<dyn Database>, Option<Problem>>,
    purpose: Purpose,
    checks: &mut Checks,
) -> Option<StepParts> {
    let kind = match kind::of(job, step) {
        Ok(kind) => kind,
        Err(problem) => return checks.add("job file", Err(problem), |_| None),
    };
    let front = match kind {
        StepKind::Items(source) => front(job, step, source, database.as_ref().ok(), checks).await,
        StepKind::Sql(_) | StepKind::Exec(_) => None,
    };
    match (database, kind, front) {
        (Ok(database), StepKind::Items(_), front) => {
            back(job, step, front?, database.as_ref(), purpose, checks).await
        }
        (Ok(database), kind, _) => runs(job, step, kind, database, checks).await,
        // Said once.
        (Err(problem), ..) => {
            let problem = problem.take()?;
            checks.add("target", Err(problem), |_| None)
        }
    }
}

/// Whether a step is one of many, what it needs, and when it is done.
fn about(step: &StepSpec, all: &[StepSpec]) -> Option<String> {
    let fan = fan_of(step.name.get_ref());
    let many = all.iter().filter(|other| fan.is_some() && fan_of(other.name.get_ref()) == fan);
    let many = fan.map(|_| format!("one of {}", many.count()));
    let needs: Vec<&str> = step.needs.iter().map(|need| need.get_ref().as_str()).collect();
    let needs = (!needs.is_empty()).then(|| format!("needs {}", needs.join(", ")));
    let when = step.when.as_ref().map(|when| format!("when {}", when.get_ref()));
    let notes: Vec<String> = many.into_iter().chain(needs).chain(when).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// Puts a step together that runs something.
async fn runs(
    job: &JobFile,
    step: &StepSpec,
    kind: StepKind<'_>,
    database: &Arc<dyn Database>,
    checks: &mut Checks,
) -> Option<StepParts> {
    let options = match limits::options(job, step) {
        Ok(options) => options,
        Err(problem) => return checks.add("job file", Err(problem), |_| None),
    };
    let step = match kind {
        StepKind::Items(_) => return None,
        StepKind::Sql(sql) => statement::step(job, step, sql, database, checks).await?,
        StepKind::Exec(exec) => {
            let command = exec.get_ref().command.get_ref();
            let what = command.first().map_or("", |program| program.get_ref());
            checks.add(format!("command {what}"), exec::step(job, step, exec), |_| None)?
        }
    };
    Some(StepParts { work: Work::Runs(Box::new(step)), options })
}

/// What of a step stands before its first look into the target: from its source
/// to its rules.
struct Front {
    options: Options,
    source: Box<dyn Source>,
    mappers: Vec<Box<dyn Mapper>>,
    streams: Streams,
}

/// Puts the front together, from left to right; each part is a check. A source
/// in a target that can't be used is left to whoever tells of the target.
async fn front(
    job: &JobFile,
    step: &StepSpec,
    source: &SourceSpec,
    target: Option<&Arc<dyn Database>>,
    checks: &mut Checks,
) -> Option<Front> {
    let options = match limits::options(job, step) {
        Ok(options) => options,
        Err(problem) => return checks.add("job file", Err(problem), |_| None),
    };
    let source = open_source(job, step, source, target, checks).await?;
    let mut mappers: Vec<Box<dyn Mapper>> = Vec::new();
    let mut streams = Streams::new(source.schema());
    if let Some(map) = &step.map {
        let mapper = mapping::map(job, map, source.schema());
        mappers.push(streams.add(0, checks.add("map", mapper, |_| None)?));
    }
    for spec in &step.explode {
        let what = format!("explode {}", spec.column.get_ref());
        mappers.push(checks.add(what, streams.explode(job, spec), |_| None)?);
    }
    if !step.require.is_empty() {
        let rules = step.require.len();
        let note = format!("{rules} {}", if rules == 1 { "rule" } else { "rules" });
        let required = mapping::require(job, &step.require, &streams);
        for (stream, mapper) in checks.add("require", required, |_| Some(note))? {
            mappers.push(streams.add(stream, mapper));
        }
    }
    Some(Front { options, source, mappers, streams })
}

/// Puts the rest together: what finds and writes rows in the database.
async fn back(
    job: &JobFile,
    step: &StepSpec,
    front: Front,
    database: &dyn Database,
    purpose: Purpose,
    checks: &mut Checks,
) -> Option<StepParts> {
    let Front { options, source, mut mappers, mut streams } = front;
    for spec in &step.matches {
        let only_look = purpose == Purpose::Look;
        let mapper = matches::mapper(job, spec, database, &streams, only_look).await;
        let (stream, mapper) = checks.add(match_line(job, spec, &mapper), mapper, |_| None)?;
        mappers.push(streams.add(stream, mapper));
    }
    let writes = match writes::writes(job, step, &streams) {
        Ok(writes) => writes,
        Err(problem) => return checks.add("write", Err(problem), |_| None),
    };
    for (stream, columns) in writes.computed {
        match ComputeMapper::new(columns, streams.columns(stream)) {
            Ok(compute) => mappers.push(streams.add(stream, Box::new(compute))),
            Err(fault) => return checks.add("write", Err(fault.into()), |_| None),
        }
    }
    checks.extend(database.sink().check(&writes.writes, streams.schema()).await);
    let work = Work::Items { source, mappers, writes: writes.writes };
    Some(StepParts { work, options })
}

/// The line of a `[[match]]`, or that of the target, where that is what fails.
fn match_line<T>(job: &JobFile, spec: &MatchSpec, result: &Result<T, Problem>) -> String {
    let unreached = |p: &Problem| matches!(p.fault().kind(), Kind::Unreachable | Kind::Busy);
    match result {
        Err(problem) if unreached(problem) => format!("target {}", job.shown_url()),
        _ => format!("match {} in {}", spec.column.get_ref(), spec.table.get_ref()),
    }
}

/// The file or table is one check, its columns are another.
async fn open_source(
    job: &JobFile,
    step: &StepSpec,
    spec: &SourceSpec,
    target: Option<&Arc<dyn Database>>,
    checks: &mut Checks,
) -> Option<Box<dyn Source>> {
    if job.redriven().is_some() || spec.dead_letters.is_some() {
        let opened = source::letters::open(job, step, spec, target?).await;
        let what = match &opened {
            Ok(source) => source.name().to_owned(),
            Err(_) => "dead letters".to_owned(),
        };
        return checks.add(what, opened, |source| {
            let letters = source.progress().total.unwrap_or_default();
            Some(format!("{letters} to read again"))
        });
    }
    let (what, opened) = match source::reads(job, spec) {
        Err(problem) => return checks.add("source", Err(problem), |_| None),
        Ok(Reads::Files(files)) => {
            (format!("file {}", files.get_ref()), source::open(job, spec, files))
        }
        Ok(Reads::Query(query)) => {
            (source::shown_query(spec), source::query::open(job, step, spec, query))
        }
        Ok(Reads::Table(_)) if spec.url.is_none() && target.is_none() => return None,
        Ok(Reads::Table(name)) => {
            (format!("table {}", name.get_ref()), table::open(job, spec, name, target).await)
        }
    };
    match opened {
        Ok(source) => {
            checks.pass(what, size(source.as_ref()));
            let schema = source.schema();
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            checks.pass("columns", Some(names.join(", ")));
            Some(source)
        }
        Err(problem) if problem.fault().column().is_some() => {
            checks.pass(what, None);
            checks.add("columns", Err(problem), |_| None)
        }
        Err(problem) => checks.add(what, Err(problem), |_| None),
    }
}

fn size(source: &dyn Source) -> Option<String> {
    source.progress().total.map(|bytes| format!("{bytes} bytes"))
}
