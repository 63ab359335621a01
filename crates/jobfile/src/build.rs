//! From a job file to a runnable job.

use std::sync::Arc;

use kiln::{Job, Options};
use kiln_core::{Fault, Kind, Mapper, Source, Write};
use kiln_databases::Database;

use crate::check::{Checked, Checks};
use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::source::Reads;
use crate::{limits, mapping, source, table, target, writes};

/// A job that can be run.
pub struct Built {
    /// The job; its options are those of the job file.
    pub job: Job,
    /// How it runs, as its file says.
    pub options: Options,
    /// The database that it writes to, not set up yet.
    pub database: Arc<dyn Database>,
}

/// What a job is put together from.
pub(crate) struct Parts {
    pub(crate) source: Box<dyn Source>,
    pub(crate) mappers: Vec<Box<dyn Mapper>>,
    pub(crate) writes: Vec<Write>,
    pub(crate) database: Arc<dyn Database>,
    pub(crate) options: Options,
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
        parts(self, Purpose::Look, &mut checks).await;
        checks.into_lines()
    }

    /// Builds the job, and writes nothing.
    ///
    /// # Errors
    /// The first check of [`validate`](Self::validate) that fails.
    pub async fn build(&self) -> Result<Built, Problem> {
        let Parts { source, mappers, writes, database, options } = self.parts(Purpose::Run).await?;
        let job = Job::new(self.name(), source, database.sink(), database.ledger())
            .parameters(self.parameters())
            .definition(self.definition()?)
            .options(options.clone());
        let job = mappers.into_iter().fold(job, Job::map);
        let job = writes.into_iter().fold(job, Job::write);
        Ok(Built { job, options, database })
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

/// Puts the parts together, from left to right; each step is a check.
async fn parts(job: &JobFile, purpose: Purpose, checks: &mut Checks) -> Option<Parts> {
    let options = match limits::options(job) {
        Ok(options) => options,
        Err(problem) => return checks.add("job file", Err(problem), |_| None),
    };
    let reads = match source::reads(job) {
        Ok(reads) => reads,
        Err(problem) => return checks.add("source", Err(problem), |_| None),
    };
    let database = match target::open(job).await {
        // A table may lie in it.
        Err(problem) if matches!(reads, Reads::Table(_)) => {
            return checks.add("target", Err(problem), |_| None);
        }
        database => database,
    };
    let source = open_source(job, reads, database.as_ref().ok(), checks).await?;
    let mut mappers: Vec<Box<dyn Mapper>> = Vec::new();

    if job.spec().map.is_some() {
        mappers.extend(checks.add("map", mapping::map(job, source.schema()), |_| None)?);
    }
    let schema = mappers.last().map_or_else(|| source.schema(), |m| m.schema());
    if !job.spec().require.is_empty() {
        let rules = job.spec().require.len();
        let note = format!("{rules} {}", if rules == 1 { "rule" } else { "rules" });
        let mapper = mapping::require(job, Arc::clone(&schema));
        mappers.extend(checks.add("require", mapper, |_| Some(note))?);
    }

    let database = match database {
        Ok(database) => database,
        Err(problem) => return checks.add("target", Err(problem), |_| None),
    };
    let mut schema = schema;
    for spec in &job.spec().matches {
        let only_look = purpose == Purpose::Look;
        let mapper = mapping::matching(job, spec, database.as_ref(), schema, only_look).await;
        let mapper = checks.add(match_line(job, spec, &mapper), mapper, |_| None)?;
        schema = mapper.schema();
        mappers.push(mapper);
    }

    let writes = match writes::writes(job, &schema) {
        Ok(writes) => writes,
        Err(problem) => return checks.add("write", Err(problem), |_| None),
    };
    if let Some(compute) = writes.compute {
        schema = compute.schema();
        mappers.push(Box::new(compute));
    }
    checks.extend(database.sink().check(&writes.writes, &schema).await);
    Some(Parts { source, mappers, writes: writes.writes, database, options })
}

/// The line of a `[[match]]`, or that of the target, where that is what fails.
fn match_line<T>(
    job: &JobFile,
    spec: &crate::spec::MatchSpec,
    result: &Result<T, Problem>,
) -> String {
    let unreached = |p: &Problem| matches!(p.fault().kind(), Kind::Unreachable | Kind::Busy);
    match result {
        Err(problem) if unreached(problem) => format!("target {}", job.shown_url()),
        _ => format!("match {} in {}", spec.column.get_ref(), spec.table.get_ref()),
    }
}

/// The file or table is one check, its columns are another.
async fn open_source(
    job: &JobFile,
    reads: Reads<'_>,
    target: Option<&Arc<dyn Database>>,
    checks: &mut Checks,
) -> Option<Box<dyn Source>> {
    let (what, opened) = match reads {
        Reads::File(file) => (format!("file {}", file.get_ref()), source::open(job, file)),
        Reads::Table(name) => {
            (format!("table {}", name.get_ref()), table::open(job, name, target).await)
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
