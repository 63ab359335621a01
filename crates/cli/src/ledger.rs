//! Where the ledger is, and what a command finds in it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use kiln::{StepRecord, StepState, steps_of};
use kiln_core::{DeadLetter, Fault, Kind, Ledger, RunRecord};
use kiln_databases::Database;
use kiln_jobfile::{JobFile, Problem};

use crate::commands::Params;
use crate::shell;

/// How many dead letters are read at a time.
const PAGE: usize = 1_000;

/// Which ledger: that of a job's target, or of a database.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The job file whose target keeps the ledger.
    #[arg(long = "job", value_name = "JOB", help_heading = "Where the ledger is")]
    pub(crate) job: Option<PathBuf>,
    /// The database that keeps the ledger, where no job file is named.
    #[arg(long, env = "KILN_URL", hide_env_values = true, help_heading = "Where the ledger is")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) params: Params,
}

/// A ledger, open to be read.
pub(crate) struct Book {
    database: Arc<dyn Database>,
    pub(crate) ledger: Arc<dyn Ledger>,
    job: Option<(PathBuf, JobFile)>,
    params: Params,
}

impl Book {
    /// Finds the ledger; `job` is a job file named on the command line without
    /// `--job`.
    pub(crate) async fn open(place: Place, job: Option<PathBuf>) -> Result<Self, Problem> {
        let Place { job: named, url, params } = place;
        let job = match job.or(named) {
            Some(path) => Some((path.clone(), JobFile::load(&path, &params.list)?)),
            None => None,
        };
        let database = match (&job, url) {
            (Some((_, file)), _) => file.database().await?,
            (None, Some(url)) => kiln_databases::connect(&url, None).await?,
            (None, None) => return Err(nowhere()),
        };
        let ledger = database.ledger();
        Ok(Self { database, ledger, job, params })
    }

    /// The URL for people.
    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    /// The runs of the job, or of all jobs, newest first.
    pub(crate) async fn runs(&self, most: usize) -> Result<Vec<RunRecord>, Problem> {
        Ok(self.ledger.runs(self.job_name(), most).await?)
    }

    /// The run with that name, a beginning of a name, or `latest`; none if the
    /// ledger has no run at all.
    pub(crate) async fn run(&self, name: &str) -> Result<Option<RunRecord>, Problem> {
        let newest = self.runs(1).await?.pop();
        if name == "latest" || newest.is_none() {
            return Ok(newest);
        }
        match self.ledger.run(name).await? {
            Some(run) => Ok(Some(run)),
            None => Err(Fault::new(
                Kind::InputMissing,
                format!("no run, or more than one, has a name that begins with {name}"),
            )
            .with_hint("`kiln runs` lists them; `latest` is the newest")
            .into()),
        }
    }

    /// The steps of a run, in their order.
    pub(crate) async fn steps(&self, run: &RunRecord) -> Result<Vec<StepRecord>, Problem> {
        Ok(steps_of(self.ledger.as_ref(), run).await?)
    }

    /// The steps of a run that may have dead letters: all that have begun, or
    /// the one of this name, or all that share it.
    pub(crate) async fn begun(
        &self,
        run: &RunRecord,
        name: Option<&str>,
    ) -> Result<Vec<StepRecord>, Problem> {
        let steps = self.steps(run).await?;
        let is_meant = |step: &StepRecord| name.is_none_or(|name| kiln::is_of(&step.name, name));
        if let Some(name) = name.filter(|_| !steps.iter().any(is_meant)) {
            let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
            let fault = format!("run {} has no step {name}", run.start.id);
            return Err(Fault::new(Kind::InputMissing, fault)
                .with_hint(format!("its steps: {}", names.join(", ")))
                .into());
        }
        let has_begun = |step: &StepRecord| step.state != StepState::Waiting;
        Ok(steps.into_iter().filter(|step| is_meant(step) && has_begun(step)).collect())
    }

    /// Gives all dead letters of these steps of a run to `each`, in order, with
    /// the name of the step.
    pub(crate) async fn dead_letters(
        &self,
        run: &RunRecord,
        steps: &[StepRecord],
        mut each: impl FnMut(&str, DeadLetter) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        for StepRecord { name, .. } in steps {
            let mut after = 0;
            loop {
                let page = self.ledger.dead_letters(&run.start.id, name, after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.ordinal;
                page.into_iter().try_for_each(|letter| each(name, letter))?;
            }
        }
        Ok(())
    }

    /// The command that goes on with a run; none if it is over, or if nobody
    /// said where its job file is.
    pub(crate) fn resume(&self, run: &RunRecord) -> Option<String> {
        let (path, job) = self.job.as_ref().filter(|_| run.state.is_open())?;
        let redriven = kiln_jobfile::redriven_by(&run.start.parameters);
        let parameters = redriven.as_ref().map_or(&run.start.parameters, |(_, own)| own);
        let mut words = vec![shell::program()];
        match redriven {
            None => words.push("run".to_owned()),
            Some(_) => words.extend(["dead-letters", "redrive"].map(str::to_owned)),
        }
        words.push(path.display().to_string());
        for (name, value) in self.parameters_of(parameters, job) {
            words.extend(["--param".to_owned(), format!("{name}={value}")]);
        }
        if let Some((of, _)) = &redriven {
            words.extend(["--of".to_owned(), of.0.clone()]);
        }
        Some(shell::command(&words))
    }

    /// The parameters as given to this command, and those in which the run
    /// differs.
    fn parameters_of(&self, parameters: &str, job: &JobFile) -> Vec<(String, String)> {
        let read = |text: &str| {
            serde_json::from_str::<std::collections::BTreeMap<String, String>>(text)
                .unwrap_or_default()
        };
        let (theirs, ours) = (read(parameters), read(&job.parameters()));
        let given = self.params.list.iter().filter(|(name, _)| theirs.get(name) == ours.get(name));
        let others = theirs.iter().filter(|(name, value)| ours.get(*name) != Some(value));
        given
            .map(|(n, v)| (n, kiln_jobfile::without_secrets(v)))
            .chain(others.map(|(n, v)| (n, v.clone())))
            .map(|(n, v)| (n.clone(), v))
            .collect()
    }

    fn job_name(&self) -> Option<&str> {
        self.job.as_ref().map(|(_, job)| job.name())
    }
}

fn nowhere() -> Problem {
    Problem::usage(
        Fault::config("nobody said which ledger to read")
            .with_hint("name a job file, or a database with --url or KILN_URL"),
    )
}
