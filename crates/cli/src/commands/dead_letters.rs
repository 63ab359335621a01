//! `kiln dead-letters`: the items that failed.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use kiln::StepRecord;
use kiln_core::{DeadLetter, Fault, Kind, RunRecord};
use kiln_jobfile::{Problem, printable, printable_lines};
use serde_json::json;

use super::redrive::{RedriveArgs, redrive};
use super::runs::{moment, none_yet};
use crate::aside::{Aside, written};
use crate::ledger::{Book, Place};
use crate::report::place;
use crate::table::{Table, grouped};
use crate::{exit, output};

/// See, take out, and send again, the items that failed.
#[derive(Debug, Args)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArgs),
    Show(ShowArgs),
    Export(ExportArgs),
    Redrive(Box<RedriveArgs>),
}

/// List the dead letters of runs.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kiln dead-letters list latest --job job.toml -n 50")]
struct ListArgs {
    /// The runs: their names, the beginnings of them, or `latest`.
    #[arg(value_name = "RUN", default_value = "latest")]
    runs: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Only those of this step.
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// How many of each run, at most.
    #[arg(short = 'n', long = "most", default_value_t = 20, value_name = "ITEMS")]
    most: usize,
}

/// Show all that is known of one dead letter, with the record as it was read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kiln dead-letters show latest 17 --job job.toml\n  \
                        kiln dead-letters show latest line:18 --job job.toml")]
struct ShowArgs {
    /// The run: its name, the beginning of it, or `latest`.
    run: String,
    /// The item: its number, or `line:` and the line on which it starts.
    #[arg(value_parser = item)]
    item: Item,
    #[command(flatten)]
    place: Place,
    /// The step, where several have such an item.
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
}

/// Write all dead letters of a run to a file or to standard output.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  kiln dead-letters export latest --job job.toml --format csv -o failed.csv"
)]
struct ExportArgs {
    /// The run: its name, the beginning of it, or `latest`.
    #[arg(default_value = "latest")]
    run: String,
    #[command(flatten)]
    place: Place,
    /// Only those of this step.
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// How they are written.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// The file; standard output if there is none.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How dead letters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line, exact.
    Jsonl,
    /// For spreadsheets: what they would take for a formula begins with a `'`.
    Csv,
}

/// The step of a job that has only one; it goes without saying.
const MAIN: &str = "main";

/// Which item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Number(u64),
    Line(u64),
}

fn item(text: &str) -> Result<Item, String> {
    let (number, of): (&str, fn(u64) -> Item) = match text.strip_prefix("line:") {
        Some(line) => (line, Item::Line),
        None => (text, Item::Number),
    };
    number.parse().map(of).map_err(|_| "write the item's number, or line:17".to_owned())
}

pub(super) async fn dead_letters(args: DeadLettersArgs) -> Result<u8, Problem> {
    match args.command {
        Command::List(args) => list(args).await,
        Command::Show(args) => show(args).await,
        Command::Export(args) => export(args).await,
        Command::Redrive(args) => redrive(*args).await,
    }
}

async fn list(args: ListArgs) -> Result<u8, Problem> {
    let book = Book::open(args.place, None).await?;
    for name in &args.runs {
        let text = match book.run(name).await? {
            Some(run) => listed(&book, &run, args.step.as_deref(), args.most).await?,
            None => none_yet(&book),
        };
        output::result(&text)?;
    }
    Ok(exit::COMPLETE)
}

async fn listed(
    book: &Book,
    run: &RunRecord,
    step: Option<&str>,
    most: usize,
) -> Result<String, Problem> {
    let id = &run.start.id;
    let steps = book.begun(run, step).await?;
    let mut letters = Vec::new();
    for StepRecord { name, .. } in &steps {
        let page = book.ledger.dead_letters(id, name, 0, most - letters.len()).await?;
        letters.extend(page.into_iter().map(|letter| (name.as_str(), letter)));
    }
    // Each failed item is a dead letter.
    let all: u64 = steps.iter().map(|step| step.counts.failed).sum();
    if all == 0 {
        return Ok(format!("run {id} has no dead letters\n"));
    }
    let several = steps.len() > 1;
    let heads = [">item", "where", "stage", "code", "column", "error"];
    let mut table = Table::new(several.then_some("step").into_iter().chain(heads));
    for (step, letter) in &letters {
        let cells = [
            letter.ordinal.to_string(),
            place(&letter.origin.source, letter.origin.line),
            letter.stage.to_string(),
            letter.code.clone().unwrap_or_default(),
            letter.column.clone().unwrap_or_default(),
            letter.message.clone(),
        ];
        table.row(several.then(|| (*step).to_owned()).into_iter().chain(cells));
    }
    let mut redriven = 0;
    for StepRecord { name, .. } in &steps {
        redriven += book.ledger.redriven(id, name).await?.len() as u64;
    }
    let redriven = match redriven {
        0 => String::new(),
        some => format!(", {} of them redriven", grouped(some)),
    };
    let more = all.saturating_sub(letters.len() as u64);
    let more = if more > 0 { format!("… and {} more\n", grouped(more)) } else { String::new() };
    Ok(format!("run {id}: {} dead letters{redriven}\n{}{more}", grouped(all), table.lines("")))
}

async fn show(args: ShowArgs) -> Result<u8, Problem> {
    let book = Book::open(args.place, None).await?;
    let Some(run) = book.run(&args.run).await? else {
        output::result(&none_yet(&book))?;
        return Ok(exit::COMPLETE);
    };
    let steps = book.begun(&run, args.step.as_deref()).await?;
    let mut found: Vec<(String, DeadLetter)> = Vec::new();
    book.dead_letters(&run, &steps, |step, letter| {
        let is_it = match args.item {
            Item::Number(n) => letter.ordinal == n,
            Item::Line(n) => letter.origin.line == Some(n),
        };
        if is_it && found.last().is_none_or(|(last, _)| last != step) {
            found.push((step.to_owned(), letter));
        }
        Ok(())
    })
    .await?;
    let [(step, letter)] = found.as_slice() else { return Err(not_one(&found, &run)) };
    let redriven = book.ledger.redriven(&run.start.id, step).await?;
    let by = redriven.into_iter().find(|r| r.ordinal == letter.ordinal).map(|r| r.by.0);
    output::result(&whole(letter, step, &run, by))?;
    Ok(exit::COMPLETE)
}

/// Said where not exactly one dead letter is meant.
fn not_one(found: &[(String, DeadLetter)], run: &RunRecord) -> Problem {
    let run = &run.start.id;
    if found.is_empty() {
        return Fault::new(Kind::InputMissing, format!("run {run} has no such dead letter"))
            .with_hint("`kiln dead-letters list` shows their numbers and lines")
            .into();
    }
    let steps: Vec<&str> = found.iter().map(|(step, _)| step.as_str()).collect();
    let fault = format!("several steps of run {run} have such a dead letter: {}", steps.join(", "));
    Problem::usage(Fault::config(fault).with_hint(format!("choose one with --step {}", steps[0])))
}

fn whole(letter: &DeadLetter, step: &str, run: &RunRecord, redriven: Option<String>) -> String {
    let number = |n: Option<u64>| n.map(|n| n.to_string());
    let lines = [
        ("run", Some(run.start.id.0.clone())),
        ("step", (step != MAIN).then(|| step.to_owned())),
        ("item", Some(letter.ordinal.to_string())),
        ("source", Some(letter.origin.source.clone())),
        ("line", number(letter.origin.line)),
        ("byte", number(letter.origin.offset)),
        ("key", letter.origin.key.clone()),
        ("stage", Some(letter.stage.to_string())),
        ("code", letter.code.clone()),
        ("constraint", letter.constraint.clone()),
        ("column", letter.column.clone()),
        ("tries", Some(letter.tries.to_string())),
        ("at", letter.at.as_deref().map(moment)),
        ("redriven", redriven.map(|run| format!("by run {run}"))),
        ("error", Some(letter.message.clone())),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        if let Some(value) = value {
            text.push_str(&format!("{name:<10} {}\n", printable(&value)));
        }
    }
    let raw = printable_lines(&letter.origin.raw).replace('\n', "\n  ");
    text + &format!("record\n  {raw}\n")
}

async fn export(args: ExportArgs) -> Result<u8, Problem> {
    let book = Book::open(args.place, None).await?;
    let Some(run) = book.run(&args.run).await? else {
        output::notice(none_yet(&book).trim_end());
        return Ok(exit::COMPLETE);
    };
    let mut file = args.output.as_deref().map(Aside::create).transpose()?;
    // A file gets the data as it is, a screen what is safe to show.
    let safe = file.is_none() && std::io::IsTerminal::is_terminal(&std::io::stdout());
    let mut put = |record: String| match (&mut file, &args.output) {
        (Some(file), Some(path)) => {
            file.write_all(record.as_bytes()).map_err(|e| written(path, e).into())
        }
        _ if safe => output::result(&format!("{}\n", printable_lines(&record))),
        _ => output::result(&record),
    };
    if args.format == Format::Csv {
        put(csv_line(FIELDS.map(str::to_owned)))?;
    }
    let steps = book.begun(&run, args.step.as_deref()).await?;
    let each = |step: &str, letter| put(record(&letter, step, &run, args.format));
    book.dead_letters(&run, &steps, each).await?;
    file.map_or(Ok(()), Aside::publish)?;
    Ok(exit::COMPLETE)
}

const FIELDS: [&str; 15] = [
    "run",
    "step",
    "item",
    "source",
    "line",
    "byte",
    "key",
    "stage",
    "code",
    "constraint",
    "column",
    "message",
    "tries",
    "at",
    "raw",
];

fn record(letter: &DeadLetter, step: &str, run: &RunRecord, format: Format) -> String {
    let DeadLetter { origin, .. } = letter;
    if format == Format::Jsonl {
        let object = json!({
            "run": run.start.id.0, "step": step, "item": letter.ordinal,
            "source": origin.source, "line": origin.line, "byte": origin.offset, "key": origin.key,
            "stage": letter.stage.as_str(), "code": letter.code,
            "constraint": letter.constraint, "column": letter.column,
            "message": letter.message, "tries": letter.tries, "at": letter.at,
            "raw": origin.raw,
        });
        return format!("{object}\n");
    }
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
    csv_line([
        run.start.id.0.clone(),
        step.to_owned(),
        letter.ordinal.to_string(),
        origin.source.clone(),
        number(origin.line),
        number(origin.offset),
        text(&origin.key),
        letter.stage.to_string(),
        text(&letter.code),
        text(&letter.constraint),
        text(&letter.column),
        letter.message.clone(),
        letter.tries.to_string(),
        text(&letter.at),
        origin.raw.clone(),
    ])
}

fn csv_line(cells: [String; FIELDS.len()]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell of CSV (RFC 4180) that no spreadsheet takes for a formula.
fn csv_cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        let cases = [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\r=1", "\"'\r=1\""),
            ("=a,\"b\"", "\"'=a,\"\"b\"\"\""),
            ("plain", "plain"),
            ("two\nlines", "\"two\nlines\""),
            ("", ""),
        ];
        for (text, cell) in cases {
            assert_eq!(csv_cell(text), cell);
        }
    }

    #[test]
    fn an_item_is_named_by_number_or_line() {
        assert_eq!(item("17"), Ok(Item::Number(17)));
        assert_eq!(item("line:18"), Ok(Item::Line(18)));
        assert!(item("last").is_err());
    }
}
