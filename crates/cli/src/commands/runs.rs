//! `kiln runs`: the runs in a ledger.

use std::path::PathBuf;

use clap::Args;
use kiln_core::RunRecord;
use kiln_jobfile::Problem;
use serde_json::{Value, json};

use crate::ledger::{Book, Place};
use crate::table::{Table, grouped};
use crate::{exit, output};

/// List runs, newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln runs job.toml\n  kiln runs --url postgres://me@db/shop")]
pub(crate) struct RunsArgs {
    /// The job file; its runs are listed.
    #[arg(value_name = "JOB")]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// How many, at most.
    #[arg(short = 'n', long = "most", default_value_t = 20, value_name = "RUNS")]
    most: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn runs(args: RunsArgs) -> Result<u8, Problem> {
    let book = Book::open(args.place, args.file).await?;
    let runs = book.runs(args.most).await?;
    if args.json {
        let all: Vec<Value> = runs.iter().map(as_json).collect();
        output::result(&format!("{:#}\n", Value::from(all)))?;
    } else if runs.is_empty() {
        output::result(&none_yet(&book))?;
    } else {
        output::result(&table(&runs).lines(""))?;
    }
    Ok(exit::COMPLETE)
}

/// Said where there is no run, nor a ledger.
pub(super) fn none_yet(book: &Book) -> String {
    format!("no runs yet in {}\n", kiln_jobfile::printable(book.url()))
}

fn table(runs: &[RunRecord]) -> Table {
    let mut table =
        Table::new(["run", "job", "state", "started", ">read", ">processed", ">failed"]);
    for run in runs {
        table.row([
            run.start.id.to_string(),
            run.start.job.clone(),
            state(run),
            moment(&run.started_at),
            grouped(run.counts.read),
            grouped(run.counts.processed),
            grouped(run.counts.failed),
        ]);
    }
    table
}

/// The state of a run; one that should be running may have died.
pub(super) fn state(run: &RunRecord) -> String {
    match run.state {
        kiln_core::RunState::Running if !run.leased => "running?".to_owned(),
        state => state.as_str().to_owned(),
    }
}

/// A moment without fractions of a second: `2010-12-01 08:26:00Z`.
pub(super) fn moment(rfc3339: &str) -> String {
    let seconds = rfc3339.split(['.', 'Z', '+']).next().unwrap_or(rfc3339);
    format!("{}Z", seconds.replacen('T', " ", 1))
}

/// A run for machines.
pub(super) fn as_json(run: &RunRecord) -> Value {
    let parameters: Value = serde_json::from_str(&run.start.parameters).unwrap_or(Value::Null);
    json!({
        "run": run.start.id.0,
        "job": run.start.job,
        "parameters": parameters,
        "state": run.state.as_str(),
        "leased": run.leased,
        "host": run.owner.host,
        "pid": run.owner.pid,
        "started_at": run.started_at,
        "claimed_at": run.claimed_at,
        "ended_at": run.ended_at,
        "starts": run.epoch,
        "items_read": run.counts.read,
        "items_processed": run.counts.processed,
        "items_filtered": run.counts.filtered,
        "items_duplicate": run.counts.duplicate,
        "items_failed": run.counts.failed,
        "message": run.message,
    })
}
