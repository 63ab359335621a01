//! `kiln dead-letters`: the items that failed.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use kiln_core::{DeadLetter, Fault, Kind, RunRecord};
use kiln_jobfile::{Problem, printable, printable_lines};
use serde_json::json;

use super::runs::{moment, none_yet};
use crate::aside::{Aside, written};
use crate::ledger::{Book, Place};
use crate::report::place;
use crate::table::{Table, grouped};
use crate::{exit, output};

/// See, and take out, the items that failed.
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
    }
}

async fn list(args: ListArgs) -> Result<u8, Problem> {
    let book = Book::open(args.place, None).await?;
    for name in &args.runs {
        let text = match book.run(name).await? {
            Some(run) => listed(&book, &run, args.most).await?,
            None => none_yet(&book),
        };
        output::result(&text)?;
    }
    Ok(exit::COMPLETE)
}

async fn listed(book: &Book, run: &RunRecord, most: usize) -> Result<String, Problem> {
    let id = &run.start.id;
    let mut letters = Vec::new();
    for step in book.ledger.steps(id).await? {
        letters.extend(book.ledger.dead_letters(id, &step, 0, most - letters.len()).await?);
    }
    let all = book.ledger.dead_letter_count(id).await?;
    if all == 0 {
        return Ok(format!("run {id} has no dead letters\n"));
    }
    let mut table = Table::new([">item", "where", "stage", "code", "column", "error"]);
    for letter in &letters {
        table.row([
            letter.ordinal.to_string(),
            place(&letter.origin.source, letter.origin.line),
            letter.stage.to_string(),
            letter.code.clone().unwrap_or_default(),
            letter.column.clone().unwrap_or_default(),
            letter.message.clone(),
        ]);
    }
    let more = all.saturating_sub(letters.len() as u64);
    let more = if more > 0 { format!("… and {} more\n", grouped(more)) } else { String::new() };
    Ok(format!("run {id}: {} dead letters\n{}{more}", grouped(all), table.lines("")))
}

async fn show(args: ShowArgs) -> Result<u8, Problem> {
    let book = Book::open(args.place, None).await?;
    let Some(run) = book.run(&args.run).await? else {
        output::result(&none_yet(&book))?;
        return Ok(exit::COMPLETE);
    };
    let mut found = None;
    book.dead_letters(&run, |letter| {
        let is_it = match args.item {
            Item::Number(n) => letter.ordinal == n,
            Item::Line(n) => letter.origin.line == Some(n),
        };
        if is_it {
            found.get_or_insert(letter);
        }
        Ok(())
    })
    .await?;
    let letter = found.ok_or_else(|| {
        Fault::new(Kind::InputMissing, format!("run {} has no such dead letter", run.start.id))
            .with_hint("`kiln dead-letters list` shows their numbers and lines")
    })?;
    output::result(&whole(&letter, &run))?;
    Ok(exit::COMPLETE)
}

fn whole(letter: &DeadLetter, run: &RunRecord) -> String {
    let number = |n: Option<u64>| n.map(|n| n.to_string());
    let lines = [
        ("run", Some(run.start.id.0.clone())),
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
    book.dead_letters(&run, |letter| put(record(&letter, &run, args.format))).await?;
    file.map_or(Ok(()), Aside::publish)?;
    Ok(exit::COMPLETE)
}

const FIELDS: [&str; 14] = [
    "run",
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

fn record(letter: &DeadLetter, run: &RunRecord, format: Format) -> String {
    let DeadLetter { origin, .. } = letter;
    if format == Format::Jsonl {
        let object = json!({
            "run": run.start.id.0, "item": letter.ordinal, "source": origin.source,
            "line": origin.line, "byte": origin.offset, "key": origin.key,
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
