//! `kiln validate`: one line a check, nothing written.

use std::path::PathBuf;

use clap::Args;
use kiln_jobfile::{Checked, JobFile, Problem, printable, printable_lines};

use super::Params;
use crate::{exit, output};

/// Check a job and everything it needs, and write nothing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kiln validate job.toml --param file=march.csv")]
pub(crate) struct ValidateArgs {
    /// The job file.
    job: PathBuf,
    #[command(flatten)]
    params: Params,
}

pub(super) async fn validate(args: ValidateArgs) -> Result<u8, Problem> {
    let job = JobFile::load(&args.job, &args.params.list)?;
    job.warnings().iter().for_each(output::problem);
    let checks = job.validate().await;
    let text: String = checks.iter().map(line).collect();
    output::result(&format!("✓ job file: {}\n{text}", printable(job.name())))?;
    let wrong = checks.iter().find_map(|check| check.result.as_ref().err());
    Ok(wrong.map_or(exit::COMPLETE, exit::of))
}

/// `✓ what: note`, or `✗ what: why` with the hint under it.
fn line(check: &Checked) -> String {
    let what = printable(&check.what);
    let problem = match &check.result {
        Ok(None) => return format!("✓ {what}\n"),
        Ok(Some(note)) => return format!("✓ {what}: {}\n", printable(note)),
        Err(problem) => problem,
    };
    let mut text = format!("✗ {what}: {}\n", indented(problem.fault().message()));
    if let Some(place) = problem.place() {
        text.push_str(&format!("    at {}\n", printable(&place)));
    }
    if let Some(hint) = problem.fault().hint() {
        text.push_str(&format!("    {}\n", indented(hint)));
    }
    text
}

fn indented(text: &str) -> String {
    printable_lines(text).replace('\n', "\n    ")
}
