//! `kiln run`: starts a run, or goes on with one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kiln::{Report, Stop};
use kiln_jobfile::{JobFile, Problem, Redrive};

use super::Params;
use crate::log::{self, Format, Level, Log};
use crate::progress::{Meter, Screen};
use crate::report::{self, Context};
use crate::{exit, output, shell, signals};

/// Run a job, or go on with a run that did not finish.
///
/// Nothing is written before everything was checked. A run that stopped, failed
/// or died goes on where it was; one that is complete is not run again.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kiln run job.toml --param file=march.csv --report report.json")]
pub(crate) struct RunArgs {
    /// The job file.
    job: PathBuf,
    #[command(flatten)]
    params: Params,
    /// Start a new run where one is complete, or give one up that is not.
    #[arg(long)]
    again: bool,
    /// Go on with a run although its input changed since it began.
    #[arg(long)]
    accept_changed_input: bool,
    /// Exit with 65 if items failed, although the run is complete.
    #[arg(long)]
    strict: bool,
    /// Write the report as JSON to a file, or to standard output (`-`).
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print nothing but errors.
    #[arg(long, short)]
    quiet: bool,
    /// How the log on standard error looks.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    log_format: Format,
    /// Which lines of the log are wanted [default: warn; for JSON: info].
    #[arg(long, value_enum)]
    log_level: Option<Level>,
    /// For how many seconds a run is held without a sign of life.
    #[arg(long, env = "KILN_LEASE_SECONDS", hide = true, value_parser = seconds)]
    lease: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse().map(Duration::try_from_secs_f64) {
        Ok(Ok(lease)) if lease >= Duration::from_secs(1) => Ok(lease),
        _ => Err("a number of seconds, at least 1".to_owned()),
    }
}

impl RunArgs {
    pub(super) fn job(&self) -> &Path {
        &self.job
    }

    pub(super) fn parameters(&self) -> &[(String, String)] {
        &self.params.list
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }
}

/// What is started.
struct Start<'a> {
    args: &'a RunArgs,
    /// Whose dead letters are read, if any are, and the step that was asked for.
    redrive: Option<(Redrive, Option<String>)>,
}

impl std::ops::Deref for Start<'_> {
    type Target = RunArgs;

    fn deref(&self) -> &RunArgs {
        self.args
    }
}

/// How a start of a run ended.
struct Ended {
    /// None if it never began.
    report: Option<Report>,
    problem: Option<Problem>,
    context: Context,
}

pub(super) async fn run(args: RunArgs) -> Result<u8, Problem> {
    run_as(&args, None).await
}

/// Runs the job; with `redrive` it reads dead letters in place of its sources, those
/// of one step, if that is named.
pub(super) async fn run_as(
    args: &RunArgs,
    redrive: Option<(Redrive, Option<String>)>,
) -> Result<u8, Problem> {
    let args = Start { args, redrive };
    let screen = Screen::new(args.quiet || args.log_format == Format::Json);
    log::start(args.log_format, args.log_level, &screen);
    let ended = start(&args, &screen).await;
    screen.clear();
    ended.tell(&args)
}

/// Runs the job and puts together what there is to tell.
async fn start(args: &Start<'_>, screen: &Screen) -> Ended {
    let meter = Arc::new(Meter::new(screen.clone()));
    let mut context = Context::default();
    let report = match work(args, screen, &meter, &mut context).await {
        Ok(report) => report,
        Err(problem) => {
            context.exit_code = exit::of(&problem);
            return Ended { report: None, problem: Some(problem), context };
        }
    };
    context.items_now = meter.items();
    context.exit_code = exit::of_report(&report, args.strict);
    let problem = report.fault.clone().map(Problem::from);
    context.resume = problem.is_some().then(|| resume(args));
    Ended { report: Some(report), problem, context }
}

/// Loads, checks, sets up, runs. Nothing is written before all checks passed.
async fn work(
    args: &Start<'_>,
    screen: &Screen,
    meter: &Arc<Meter>,
    context: &mut Context,
) -> Result<Report, Problem> {
    if let Some(path) = args.report.as_deref().filter(|path| *path != Path::new("-")) {
        report::check_place(path)?;
    }
    let mut job = JobFile::load(&args.job, &args.params.list)?.anew(args.again);
    if let Some((redrive, _)) = &args.redrive {
        job = job.redriving(redrive.clone());
    }
    context.job = job.name().to_owned();
    for warning in job.warnings() {
        match args.log_format {
            Format::Json => log::warning(warning),
            Format::Text => screen.beside(|| output::problem(warning)),
        }
    }
    let (stopper, stop) = Stop::new();
    signals::watch(stopper, stopping(args, screen))?;
    let mut built = job.build().await?;
    built.options.again = args.again;
    built.options.accept_changed_input = args.accept_changed_input;
    built.options.lease = args.lease.unwrap_or(built.options.lease);
    built.database.set_up().await?;
    let runnable = built.job.options(built.options).stop_on(stop).observe(Arc::clone(meter) as _);
    Ok(runnable.observe(Arc::new(Log::default())).run().await)
}

/// Says, where somebody may read it, that the run was asked to stop.
fn stopping(args: &Start<'_>, screen: &Screen) -> impl FnOnce() + Send + 'static {
    const STOPPING: &str = "stopping when the chunk in hand is written; once more to stop at once";
    let (screen, quiet, format) = (screen.clone(), args.quiet, args.log_format);
    move || match format {
        Format::Json => tracing::warn!("{STOPPING}"),
        Format::Text if quiet => {}
        Format::Text => screen.beside(|| output::notice(STOPPING)),
    }
}

impl Ended {
    /// Tells how it ended: on the screen and in the report. Gives the exit code.
    fn tell(mut self, args: &Start<'_>) -> Result<u8, Problem> {
        let to_stdout = args.report.as_deref() == Some(Path::new("-"));
        if !args.quiet && !to_stdout {
            self.show(args)?;
        }
        self.tell_problem(args);
        let Some(path) = &args.report else { return Ok(self.context.exit_code) };
        let json = report::json(self.report.as_ref(), self.problem.as_ref(), &self.context);
        if let Err(problem) = report::write(&json, path) {
            output::problem(&problem);
            if self.context.exit_code == exit::COMPLETE {
                self.context.exit_code = exit::of(&problem);
            }
        }
        Ok(self.context.exit_code)
    }

    fn show(&self, args: &Start<'_>) -> Result<(), Problem> {
        let Some(report) = &self.report else { return Ok(()) };
        let Some(run) = &report.run else { return Ok(()) };
        if !report.already_complete {
            let mut table = report::table(report, &self.context);
            if report.counts.failed > 0 {
                let words = ledger_command(args, "dead-letters", &["list", &run.0]);
                table.push_str(&format!("\ndead letters: {words}\n"));
            }
            return output::result(&table);
        }
        let again = shell::command(&command(args, &["--again"]));
        output::result(&format!(
            "{}: already complete, nothing was done (run {run}); to run it again: {again}\n",
            kiln_jobfile::printable(&report.job),
        ))
    }

    fn tell_problem(&self, args: &Start<'_>) {
        let Some(problem) = &self.problem else { return };
        let resume = self.context.resume.as_deref();
        if args.log_format == Format::Json {
            return log::problem(problem, resume);
        }
        output::problem(problem);
        if let Some(resume) = resume {
            let began = self.report.as_ref().is_some_and(|r| r.run.is_some());
            let what = if began { "to go on where it stopped" } else { "to try again" };
            output::notice(&format!("{what}: {resume}"));
        }
    }
}

/// The command that goes on with the run.
fn resume(args: &Start<'_>) -> String {
    let mut more: Vec<&str> = Vec::new();
    if args.accept_changed_input {
        more.push("--accept-changed-input");
    }
    shell::command(&command(args, &more))
}

/// This command, with other flags in place of those that choose the run.
fn command(args: &Start<'_>, more: &[&str]) -> Vec<String> {
    let mut words = vec![shell::program()];
    match &args.redrive {
        None => words.push("run".to_owned()),
        Some(_) => words.extend(["dead-letters", "redrive"].map(str::to_owned)),
    }
    words.push(args.job.display().to_string());
    words.extend(params(args));
    if let Some((Redrive { run, stage, code, .. }, step)) = &args.redrive {
        let stage = stage.map(|stage| stage.as_str().to_owned());
        let flags = [
            ("--of", Some(run.0.clone())),
            ("--step", step.clone()),
            ("--stage", stage),
            ("--code", code.clone()),
        ];
        let given = flags.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?]));
        words.extend(given.flatten());
    }
    words.extend(more.iter().map(|&word| word.to_owned()));
    if args.strict {
        words.push("--strict".to_owned());
    }
    if let Some(path) = &args.report {
        words.extend(["--report".to_owned(), path.display().to_string()]);
    }
    if args.quiet {
        words.push("--quiet".to_owned());
    }
    if args.log_format == Format::Json {
        words.extend(["--log-format".to_owned(), "json".to_owned()]);
    }
    words
}

fn params(args: &RunArgs) -> impl Iterator<Item = String> {
    let shown = |(name, value): &(String, String)| {
        ["--param".to_owned(), format!("{name}={}", kiln_jobfile::without_secrets(value))]
    };
    args.params.list.iter().flat_map(shown)
}

fn ledger_command(args: &RunArgs, name: &str, rest: &[&str]) -> String {
    let mut words = vec![shell::program(), name.to_owned()];
    words.extend(rest.iter().map(|&word| word.to_owned()));
    words.extend(["--job".to_owned(), args.job.display().to_string()]);
    words.extend(params(args));
    shell::command(&words)
}
