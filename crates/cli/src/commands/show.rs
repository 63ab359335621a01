//! `kiln show`: all there is to know of a run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use kiln_core::RunRecord;
use kiln_jobfile::{Problem, printable};
use serde_json::{Value, json};

use super::runs::{as_json, moment, none_yet, state};
use crate::ledger::{Book, Place};
use crate::table::{Table, grouped};
use crate::{exit, output};

/// Show a run: its state, its counts, who runs it, what failed, how to go on.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kiln show latest job.toml\n  kiln show 019 --url sqlite:shop.db"
)]
pub(crate) struct ShowArgs {
    /// The run: its name, the beginning of it, or `latest`.
    #[arg(default_value = "latest")]
    run: String,
    /// The job file.
    #[arg(value_name = "JOB")]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Dead letters by stage and code.
type Failures = BTreeMap<(kiln_core::Stage, String), u64>;

pub(super) async fn show(args: ShowArgs) -> Result<u8, Problem> {
    let book = Book::open(args.place, args.file).await?;
    let Some(run) = book.run(&args.run).await? else {
        output::result(&none_yet(&book))?;
        return Ok(exit::COMPLETE);
    };
    let mut failures = Failures::new();
    book.dead_letters(&run, |letter| {
        *failures.entry((letter.stage, letter.code.unwrap_or_default())).or_default() += 1;
        Ok(())
    })
    .await?;
    let resume = book.resume(&run);
    let text = if args.json {
        format!("{:#}\n", machine(&run, &failures, resume))
    } else {
        person(&run, &failures, resume)
    };
    output::result(&text)?;
    Ok(exit::COMPLETE)
}

fn machine(run: &RunRecord, failures: &Failures, resume: Option<String>) -> Value {
    let failed = failures
        .iter()
        .map(|((stage, code), n)| json!({ "stage": stage.as_str(), "code": code, "items": n }));
    let mut all = as_json(run);
    all["dead_letters"] = failed.collect();
    all["resume"] = resume.into();
    all
}

fn person(run: &RunRecord, failures: &Failures, resume: Option<String>) -> String {
    let state = match state(run).as_str() {
        "running?" => "running, but without a sign of life; the next start goes on".to_owned(),
        state => state.to_owned(),
    };
    let mut lines = vec![
        ("job", run.start.job.clone()),
        ("parameters", run.start.parameters.clone()),
        ("state", state),
        ("started", moment(&run.started_at)),
        ("by", run.owner.to_string()),
    ];
    if run.epoch > 1 {
        lines.push(("starts", format!("{}, the last {}", run.epoch, moment(&run.claimed_at))));
    }
    lines.extend(run.ended_at.as_ref().map(|at| ("ended", moment(at))));
    let counts = run.counts;
    lines.extend([
        ("read", grouped(counts.read)),
        ("processed", grouped(counts.processed)),
        ("filtered", grouped(counts.filtered)),
    ]);
    if counts.duplicate > 0 {
        lines.push(("duplicate", grouped(counts.duplicate)));
    }
    lines.push(("failed", grouped(counts.failed)));
    lines.extend(run.message.as_ref().map(|message| ("message", message.clone())));
    let mut text = format!("run {}\n", printable(&run.start.id.0));
    for (name, value) in lines {
        text.push_str(&format!("  {name:<10} {}\n", printable(&value)));
    }
    let mut table = Table::new(["stage", "code", ">dead letters"]);
    for ((stage, code), n) in failures {
        table.row([stage.to_string(), code.clone(), grouped(*n)]);
    }
    if !table.is_empty() {
        text.push_str(&format!("\n{}", table.lines("  ")));
    }
    if let Some(resume) = resume {
        text.push_str(&format!("\nto go on where it stopped: {resume}\n"));
    }
    text
}
