//! `kiln preview`: the first items as they would be written, nothing written.

use std::path::PathBuf;

use clap::Args;
use kiln_core::Mode;
use kiln_jobfile::{JobFile, Preview, PreviewTable, Problem, printable, printable_lines};

use super::Params;
use crate::report::place;
use crate::table::{Table, grouped};
use crate::{exit, output};

/// Show the first items after mapping, as they would be written.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kiln preview job.toml -n 20")]
pub(crate) struct PreviewArgs {
    /// The job file.
    job: PathBuf,
    #[command(flatten)]
    params: Params,
    /// How many items.
    #[arg(short = 'n', long = "items", default_value_t = 10, value_name = "ITEMS")]
    items: usize,
    /// Only this step of the job.
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
}

pub(super) async fn preview(args: PreviewArgs) -> Result<u8, Problem> {
    let job = JobFile::load(&args.job, &args.params.list)?;
    job.warnings().iter().for_each(output::problem);
    let previews = job.preview(args.items, args.step.as_deref()).await?;
    let texts: Vec<String> = previews.iter().map(rendered).collect();
    output::result(&texts.join("\n"))?;
    Ok(exit::COMPLETE)
}

fn rendered(preview: &Preview) -> String {
    let step = preview.step.iter().map(|name| format!("step {}\n\n", printable(name)));
    let mut text: String = step.chain(preview.tables.iter().map(table)).collect();
    if let Some(why) = &preview.unread {
        return format!("{text}nothing can be read yet: {}\n", printable(why));
    }
    if let Some(what) = &preview.runs {
        return format!(
            "{text}it would run:\n\n  {}\n",
            printable_lines(what).replace('\n', "\n  ")
        );
    }
    let mut failed = Table::new(["failed item", "stage", "error"]);
    for item in &preview.failed {
        failed.row([place(&item.source, item.line), item.stage.to_string(), item.reason.clone()]);
    }
    if !failed.is_empty() {
        text.push_str(&format!("{}\n", failed.lines("")));
    }
    let mut warned = Table::new(["item", "breaks the rule"]);
    for item in &preview.warned {
        warned.row([place(&item.source, item.line), item.rule.clone()]);
    }
    if !warned.is_empty() {
        text.push_str(&format!("{}\n", warned.lines("")));
    }
    let [read, filtered, failed] =
        [preview.read, preview.filtered as u64, preview.failed.len() as u64].map(grouped);
    text + &format!(
        "{read} items read, {filtered} filtered, {failed} failed; nothing was written\n"
    )
}

fn table(write: &PreviewTable) -> String {
    let mut table = Table::new(write.columns.iter().map(String::as_str));
    for row in &write.rows {
        table.row(row.iter().map(|cell| cell.clone().unwrap_or_else(|| "NULL".to_owned())));
    }
    let how = match write.mode {
        Mode::Increment => "increment, summed by key",
        mode => mode.as_str(),
    };
    let rows = if table.is_empty() { "  no rows\n".to_owned() } else { table.lines("  ") };
    format!("{} ({how})\n{rows}\n", printable(&write.table))
}
