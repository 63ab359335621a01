//! `kiln dead-letters redrive`: sends dead letters through the job again.

use clap::Args;
use kiln_core::Stage;
use kiln_jobfile::{JobFile, Problem, Redrive};

use super::run::{RunArgs, run_as};
use crate::{exit, output};

/// Send the dead letters of a run through its job again.
///
/// A dead letter is redriven once, in the same transaction as what becomes of it:
/// its rows are in the target, or it is a dead letter of the run that redrives it,
/// which can be redriven in turn. A run that did not finish goes on where it was.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln dead-letters redrive job.toml\n  \
                  kiln dead-letters redrive job.toml --of 0197a3 --stage write")]
pub(super) struct RedriveArgs {
    #[command(flatten)]
    run: RunArgs,
    /// The run: its name, or the beginning of it [default: the oldest run of the job
    /// with these parameters that has dead letters which were not redriven].
    #[arg(long, value_name = "RUN")]
    of: Option<String>,
    /// Only those of this step.
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// Only those that failed at this stage: parse, map, require, match or write.
    #[arg(long, value_parser = stage)]
    stage: Option<Stage>,
    /// Only those with this code, such as 23503.
    #[arg(long)]
    code: Option<String>,
}

fn stage(word: &str) -> Result<Stage, String> {
    kiln_jobfile::stage(word).map_err(|fault| match fault.hint() {
        Some(hint) => format!("{}; {hint}", fault.message()),
        None => fault.message().to_owned(),
    })
}

pub(super) async fn redrive(args: RedriveArgs) -> Result<u8, Problem> {
    let RedriveArgs { run, of, step, stage, code } = args;
    let job = JobFile::load(run.job(), run.parameters())?;
    let Some((found, others)) = job.open_letters(of.as_deref(), step.as_deref()).await? else {
        output::result(&format!(
            "{}: there are no dead letters to redrive\n",
            kiln_jobfile::printable(job.name())
        ))?;
        return Ok(exit::COMPLETE);
    };
    let found = Redrive { stage: stage.or(found.stage), code: code.or(found.code), ..found };
    let exit_code = run_as(&run, Some((found, step))).await?;
    if exit_code == exit::COMPLETE && !others.is_empty() && !run.is_quiet() {
        let names: Vec<&str> = others.iter().map(|run| run.0.as_str()).collect();
        output::notice(&format!(
            "runs with dead letters that were not redriven: {}",
            names.join(", ")
        ));
    }
    Ok(exit_code)
}
