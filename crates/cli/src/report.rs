//! The report of a run: a table for people, JSON for machines.

use std::io::Write as _;
use std::path::Path;

use kiln::{FailedItem, Report, StepReport};
use kiln_core::{Counts, Fault, RuleCount, Status};
use kiln_jobfile::{Problem, printable};
use serde_json::{Value, json};

use crate::aside::{Aside, written};
use crate::output;
use crate::progress::{duration, per_second};
use crate::table::{Table, grouped};

/// How many failed items stand under the table.
const FAILED_SHOWN: usize = 5;

/// How many lines of what a command said.
const SAID_SHOWN: usize = 10;

/// What the command knows of a run besides the engine's report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    /// The job's name; empty if not even that is known.
    pub(crate) job: String,
    /// Items that this start has committed.
    pub(crate) items_now: u64,
    /// The exit code.
    pub(crate) exit_code: u8,
    /// The command that goes on with the run.
    pub(crate) resume: Option<String>,
}

/// The report as JSON. A run that never began has one too: its `problem`.
pub(crate) fn json(report: Option<&Report>, problem: Option<&Problem>, context: &Context) -> Value {
    let counts = report.map_or(Counts::default(), |r| r.counts);
    let seconds = report.map_or(0.0, |r| r.took.as_secs_f64());
    let failed: Vec<Value> = report.iter().flat_map(|r| &r.failed_items).map(failed_item).collect();
    json!({
        "job": context.job,
        "run": report.and_then(|r| r.run.as_ref()).map(|run| &run.0),
        "status": report.map_or(Status::Failed, |r| r.status).as_str(),
        "already_complete": report.is_some_and(|r| r.already_complete),
        "resumed": report.is_some_and(|r| r.resumed),
        "items_read": counts.read,
        "items_processed": counts.processed,
        "items_filtered": counts.filtered,
        "items_duplicate": counts.duplicate,
        "items_failed": counts.failed,
        "rules": report.iter().flat_map(|r| &r.steps).flat_map(rules).collect::<Value>(),
        "steps": report.iter().flat_map(|r| &r.steps).map(step).collect::<Value>(),
        "failed_items": failed,
        "processing_time_seconds": milliseconds(seconds),
        "items_per_second": per_second(context.items_now, seconds),
        "peak_memory_bytes": report.map_or(0, |r| r.peak_memory),
        "chunks": report.map_or(0, |r| r.chunks),
        "retries": report.map_or(0, |r| r.retries),
        "changes": report.map(|r| r.changes.clone()).unwrap_or_default(),
        "error": problem.map(error),
        "exit_code": context.exit_code,
        "resume": context.resume,
    })
}

fn step(step: &StepReport) -> Value {
    let Counts { read, processed, filtered, duplicate, failed } = step.counts;
    json!({
        "step": step.name,
        "status": step.status.map(Status::as_str),
        "items_read": read,
        "items_processed": processed,
        "items_filtered": filtered,
        "items_duplicate": duplicate,
        "items_failed": failed,
        "processing_time_seconds": milliseconds(step.took.as_secs_f64()),
        "chunks": step.chunks,
        "retries": step.retries,
        "output": step.said,
        "error": step.fault.as_ref().map(Fault::message),
    })
}

/// The rules that items of a step broke.
fn rules(step: &StepReport) -> impl Iterator<Item = Value> {
    step.rules.iter().map(|rule| rule_as_json(&step.name, rule))
}

/// How many items of a step broke a rule.
pub(crate) fn rule_as_json(step: &str, count: &RuleCount) -> Value {
    let RuleCount { rule, failed, warned } = count;
    json!({ "step": step, "rule": rule, "items_failed": failed, "items_warned": warned })
}

/// A line for each rule that was broken, with its step where there are several.
pub(crate) fn rule_table<'a>(
    steps: impl ExactSizeIterator<Item = (&'a str, &'a [RuleCount])>,
) -> Table {
    let several = steps.len() > 1;
    let heads = ["broken rule", ">failed", ">warned"];
    let mut table = Table::new(several.then_some("step").into_iter().chain(heads));
    for (step, rules) in steps {
        for RuleCount { rule, failed, warned } in rules {
            let cells = [rule.clone(), grouped(*failed), grouped(*warned)];
            table.row(several.then(|| step.to_owned()).into_iter().chain(cells));
        }
    }
    table
}

/// Seconds, to the millisecond.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

fn failed_item(item: &FailedItem) -> Value {
    json!({
        "step": item.step,
        "source": item.source,
        "line": item.line,
        "stage": item.stage.as_str(),
        "code": item.code,
        "error": item.error,
    })
}

fn error(problem: &Problem) -> Value {
    let fault = problem.fault();
    json!({
        "message": fault.message(),
        "hint": fault.hint(),
        "code": fault.code(),
        "at": problem.place(),
    })
}

/// Makes sure, before a run, that its report will have a place.
pub(crate) fn check_place(path: &Path) -> Result<(), Problem> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fault = if path.is_dir() {
        format!("the report can't be written to {}: it is a directory", path.display())
    } else if folder.is_dir() {
        return Ok(());
    } else {
        format!("the report can't be written to {}: there is no such folder", path.display())
    };
    Err(Fault::new(kiln_core::Kind::Io, fault)
        .with_hint("name a file in a folder that is there")
        .into())
}

/// Writes the JSON: to standard output for `-`, else whole to a file.
pub(crate) fn write(report: &Value, path: &Path) -> Result<(), Problem> {
    let text = format!("{report:#}\n");
    if path == "-" {
        return output::result(&text);
    }
    let mut file = Aside::create(path)?;
    file.write_all(text.as_bytes()).map_err(|e| written(path, e))?;
    Ok(file.publish()?)
}

/// The report as a table.
pub(crate) fn table(report: &Report, context: &Context) -> String {
    let Counts { read, processed, filtered, duplicate, failed } = report.counts;
    let seconds = report.took.as_secs_f64();
    let mut lines = vec![
        ("run", report.run.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)),
        ("read", grouped(read)),
        ("processed", grouped(processed)),
        ("filtered", grouped(filtered)),
    ];
    if duplicate > 0 {
        lines.push(("duplicate", grouped(duplicate)));
    }
    lines.push(("failed", grouped(failed)));
    let speed = grouped(per_second(context.items_now, seconds));
    lines.push(("time", format!("{} · {speed} items/s", duration(report.took))));
    let chunks = grouped(report.chunks);
    lines.push((
        "chunks",
        match report.retries {
            0 => chunks,
            1 => format!("{chunks} · 1 retry"),
            n => format!("{chunks} · {n} retries"),
        },
    ));
    if report.peak_memory > 0 {
        lines.push(("memory", format!("{} MiB at most", report.peak_memory >> 20)));
    }
    let resumed = if report.resumed { " (resumed)" } else { "" };
    let mut text = format!("{}: {}{resumed}\n", printable(&report.job), status(report.status));
    for (name, value) in lines {
        text.push_str(&format!("  {name:<10} {value}\n"));
    }
    for change in &report.changes {
        text.push_str(&format!("  changed    {}\n", printable(change)));
    }
    let rules = rule_table(report.steps.iter().map(|s| (s.name.as_str(), s.rules.as_slice())));
    let rules = if rules.is_empty() { String::new() } else { format!("\n{}", rules.lines("  ")) };
    text + &step_table(report) + &rules + &said(report) + &failed_table(report)
}

/// A line for each step, where there are several.
fn step_table(report: &Report) -> String {
    if report.steps.len() < 2 {
        return String::new();
    }
    let has_duplicates = report.counts.duplicate > 0;
    let heads = ["step", "status", ">read", ">processed", ">filtered"];
    let duplicate = has_duplicates.then_some(">duplicate");
    let mut table = Table::new(heads.into_iter().chain(duplicate).chain([">failed", ">time"]));
    for step in &report.steps {
        let Counts { read, processed, filtered, duplicate, failed } = step.counts;
        let status = step.status.map_or("not begun".to_owned(), |s| s.as_str().replace('_', " "));
        let mut row = vec![step.name.clone(), status];
        row.extend([read, processed, filtered].map(grouped));
        row.extend(has_duplicates.then(|| grouped(duplicate)));
        // A step that an earlier start completed took this one no time.
        let time = if step.took.is_zero() { String::new() } else { duration(step.took) };
        row.extend([grouped(failed), time]);
        table.row(row);
    }
    format!("\n{}", table.lines("  "))
}

/// What commands said last.
fn said(report: &Report) -> String {
    let mut text = String::new();
    for step in &report.steps {
        let said = step.said.as_deref().unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = &lines[lines.len().saturating_sub(SAID_SHOWN)..];
        if !last.is_empty() {
            let name = printable(&step.name);
            text.push_str(&format!(
                "\n  {name} said{}\n",
                if last.len() < lines.len() { " last" } else { "" }
            ));
        }
        last.iter().for_each(|line| text.push_str(&format!("    {}\n", printable(line))));
    }
    text
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Success => "success",
        Status::PartialSuccess => "partial success: some items failed",
        Status::Failed => "failed",
        Status::Stopped => "stopped",
        Status::Skipped => "skipped",
    }
}

fn failed_table(report: &Report) -> String {
    let several = report.steps.len() > 1;
    let heads = ["failed item", "stage", "code", "error"];
    let mut table = Table::new(several.then_some("step").into_iter().chain(heads));
    for item in report.failed_items.iter().take(FAILED_SHOWN) {
        let cells = [
            place(&item.source, item.line),
            item.stage.to_string(),
            item.code.clone().unwrap_or_default(),
            item.error.clone(),
        ];
        table.row(several.then(|| item.step.clone()).into_iter().chain(cells));
    }
    if table.is_empty() {
        return String::new();
    }
    let shown = report.failed_items.len().min(FAILED_SHOWN) as u64;
    let more = report.counts.failed.saturating_sub(shown);
    let more = if more > 0 { format!("  … and {} more\n", grouped(more)) } else { String::new() };
    format!("\n{}{more}", table.lines("  "))
}

/// `sales.csv:17`.
pub(crate) fn place(source: &str, line: Option<u64>) -> String {
    match line {
        Some(line) => format!("{source}:{line}"),
        None => source.to_owned(),
    }
}
