//! The commands.

mod dead_letters;
mod preview;
mod redrive;
mod run;
mod runs;
mod show;
mod validate;

use clap::{Args, Parser, Subcommand};
use kiln_jobfile::Problem;

/// Batch jobs that finish.
#[derive(Debug, Parser)]
#[command(
    name = "kiln",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "A first run:\n  kiln validate job.toml && kiln run job.toml\n\n\
                  Exit codes: 0 complete, 64 usage, 65 too many failed items, 66 input missing, \
                  69 database unreachable, 70 bug in kiln, 74 I/O, 75 stopped or held: run again, \
                  77 not permitted, 78 job file wrong or input changed"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(run::RunArgs),
    Validate(validate::ValidateArgs),
    Preview(preview::PreviewArgs),
    Runs(runs::RunsArgs),
    Show(show::ShowArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
}

/// Runs a command, and gives its exit code.
pub(crate) async fn run(command: Command) -> Result<u8, Problem> {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Validate(args) => validate::validate(args).await,
        Command::Preview(args) => preview::preview(args).await,
        Command::Runs(args) => runs::runs(args).await,
        Command::Show(args) => show::show(args).await,
        Command::DeadLetters(args) => dead_letters::dead_letters(args).await,
    }
}

/// Parameters of a job file.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Params {
    /// Sets a parameter of the job file; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) list: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as name=value".to_owned()),
    }
}
