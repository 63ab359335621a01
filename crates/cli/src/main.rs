//! The `kiln` command.
//!
//! Each command is a file in `commands`: its arguments, its help, its function.
//! Whatever goes wrong comes back here as a [`Problem`], is shown, and becomes
//! an exit code in `exit`.

mod aside;
mod commands;
mod exit;
mod ledger;
mod log;
mod output;
mod progress;
mod report;
mod shell;
mod signals;
mod table;

use std::process::ExitCode;

use clap::Parser;
use kiln_core::Fault;
use kiln_jobfile::Problem;

/// The fewest threads: reading, writing, heartbeat and signals never wait for
/// one another, however few cores there are.
const LEAST_THREADS: usize = 4;

fn main() -> ExitCode {
    let cli = match commands::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = !error.use_stderr();
            // Where nobody can read it, nothing can be said.
            let _ = error.print();
            return ExitCode::from(if asked { exit::COMPLETE } else { exit::USAGE });
        }
    };
    let outcome = runtime().and_then(|runtime| runtime.block_on(commands::run(cli.command)));
    ExitCode::from(outcome.unwrap_or_else(|problem| {
        output::problem(&problem);
        exit::of(&problem)
    }))
}

fn runtime() -> Result<tokio::runtime::Runtime, Problem> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(LEAST_THREADS))
        .enable_all()
        .build()
        .map_err(|e| Fault::io("threads could not be started", e).into())
}
