//! `kiln show`: all there is to know of a run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use kiln::{StepRecord, StepState};
use kiln_core::{Counts, RunRecord, Stage};
use kiln_jobfile::{Problem, printable};
use serde_json::{Value, json};

use super::runs::{as_json, moment, none_yet, state};
use crate::ledger::{Book, Place};
use crate::report::{rule_as_json, rule_table};
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

/// How many dead letters there are of a kind.
type Failures = BTreeMap<Failed, u64>;

/// A kind of dead letters.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Failed {
    /// Which step of the run, counted from 0.
    place: usize,
    step: String,
    stage: Stage,
    code: String,
}

pub(super) async fn show(args: ShowArgs) -> Result<u8, Problem> {
    let book = Book::open(args.place, args.file).await?;
    let Some(run) = book.run(&args.run).await? else {
        output::result(&none_yet(&book))?;
        return Ok(exit::COMPLETE);
    };
    let steps = book.steps(&run).await?;
    let mut failures = Failures::new();
    book.dead_letters(&run, &steps, |step, letter| {
        let place = steps.iter().position(|s| s.name == step).unwrap_or_default();
        let (stage, code) = (letter.stage, letter.code.unwrap_or_default());
        let kind = Failed { place, step: step.to_owned(), stage, code };
        *failures.entry(kind).or_default() += 1;
        Ok(())
    })
    .await?;
    let resume = book.resume(&run);
    let text = if args.json {
        format!("{:#}\n", machine(&run, &steps, &failures, resume))
    } else {
        person(&run, &steps, &failures, resume)
    };
    output::result(&text)?;
    Ok(exit::COMPLETE)
}

fn machine(
    run: &RunRecord,
    steps: &[StepRecord],
    failures: &Failures,
    resume: Option<String>,
) -> Value {
    let failed = failures.iter().map(|(Failed { step, stage, code, .. }, n)| {
        json!({ "step": step, "stage": stage.as_str(), "code": code, "items": n })
    });
    let mut all = as_json(run);
    all["steps"] = steps.iter().map(|s| step_as_json(s, run)).collect();
    let rules = |step: &StepRecord| -> Vec<Value> {
        step.rules.iter().map(|rule| rule_as_json(&step.name, rule)).collect()
    };
    all["rules"] = steps.iter().flat_map(rules).collect();
    all["dead_letters"] = failed.collect();
    all["resume"] = resume.into();
    all
}

fn step_as_json(step: &StepRecord, run: &RunRecord) -> Value {
    let Counts { read, processed, filtered, duplicate, failed } = step.counts;
    json!({
        "step": step.name,
        "state": step_state(step, run),
        "items_read": read,
        "items_processed": processed,
        "items_filtered": filtered,
        "items_duplicate": duplicate,
        "items_failed": failed,
    })
}

/// A step that is not complete is where its run is.
fn step_state(step: &StepRecord, run: &RunRecord) -> String {
    match step.state {
        StepState::Waiting => "waiting".to_owned(),
        StepState::Begun => state(run),
        StepState::Complete => "completed".to_owned(),
        StepState::Skipped => "skipped".to_owned(),
    }
}

fn person(
    run: &RunRecord,
    steps: &[StepRecord],
    failures: &Failures,
    resume: Option<String>,
) -> String {
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
    let several = steps.len() > 1;
    if several {
        text.push_str(&format!("\n{}", step_table(steps, run).lines("  ")));
    }
    let rules = rule_table(steps.iter().map(|s| (s.name.as_str(), s.rules.as_slice())));
    if !rules.is_empty() {
        text.push_str(&format!("\n{}", rules.lines("  ")));
    }
    let heads = ["stage", "code", ">dead letters"];
    let mut table = Table::new(several.then_some("step").into_iter().chain(heads));
    for (Failed { step, stage, code, .. }, n) in failures {
        let cells = [stage.to_string(), code.clone(), grouped(*n)];
        table.row(several.then(|| step.clone()).into_iter().chain(cells));
    }
    if !table.is_empty() {
        text.push_str(&format!("\n{}", table.lines("  ")));
    }
    if let Some(resume) = resume {
        text.push_str(&format!("\nto go on where it stopped: {resume}\n"));
    }
    text
}

fn step_table(steps: &[StepRecord], run: &RunRecord) -> Table {
    let mut table =
        Table::new(["step", "state", ">read", ">processed", ">filtered", ">duplicate", ">failed"]);
    for step in steps {
        let Counts { read, processed, filtered, duplicate, failed } = step.counts;
        let numbers = [read, processed, filtered, duplicate, failed].map(grouped);
        table.row([step.name.clone(), step_state(step, run)].into_iter().chain(numbers));
    }
    table
}
