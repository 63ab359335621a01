//! What a step does: read and write items, run a statement, or run a command.

use std::ops::Range;

use kiln_core::Fault;
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::shapes::{TextOr, Word};
use crate::spec::{ExecSpec, SourceSpec, SqlSpec, StepSpec};

/// What a step does.
#[derive(Clone, Copy)]
pub(crate) enum StepKind<'a> {
    Items(&'a SourceSpec),
    Sql(&'a Spanned<TextOr<SqlSpec>>),
    Exec(&'a Spanned<ExecSpec>),
}

/// What a step does. What says two things, or none, is refused, and so is a key
/// that means nothing for it.
pub(crate) fn of<'a>(job: &JobFile, step: &'a StepSpec) -> Result<StepKind<'a>, Problem> {
    match (&step.source, &step.sql, &step.exec) {
        (Some(source), None, None) => Ok(StepKind::Items(source)),
        (None, Some(sql), None) => {
            refuse_keys_of_items(job, step, "runs a statement")?;
            Ok(StepKind::Sql(sql))
        }
        (None, None, Some(exec)) => {
            refuse_keys_of_items(job, step, "runs a command")?;
            Ok(StepKind::Exec(exec))
        }
        (None, None, None) => {
            let fault = Fault::config(format!("step {} does nothing", step.name.get_ref()))
                .with_hint(
                    "say what it reads ([step.source]), or what it runs (sql or [step.exec])",
                );
            Err(job.problem(step.name.span(), fault))
        }
        (_, sql, exec) => {
            let span = exec.as_ref().map(Spanned::span).or(sql.as_ref().map(Spanned::span));
            let fault = Fault::config("a step reads items, runs a statement or runs a command")
                .with_hint("make it several steps, the later ones with needs");
            Err(job.problem(span.unwrap_or_default(), fault))
        }
    }
}

fn refuse_keys_of_items(job: &JobFile, step: &StepSpec, does: &str) -> Result<(), Problem> {
    let keys: [(&str, Option<Range<usize>>); 5] = [
        ("map", step.map.as_ref().map(|m| m.sql.span())),
        ("explode", step.explode.first().map(|e| e.column.span())),
        ("require", step.require.first().map(|r| r.rule.span())),
        ("match", step.matches.first().map(|m| m.column.span())),
        ("write", step.write.first().map(Spanned::span)),
    ];
    match keys.into_iter().find_map(|(key, span)| span.map(|span| (key, span))) {
        None => Ok(()),
        Some((key, span)) => {
            let fault = Fault::config(format!("`{key}` means nothing in a step that {does}"));
            Err(job.problem(span, fault.with_hint("it is for steps that read items")))
        }
    }
}

/// The statement of a step, however it is written.
pub(crate) fn statement_of(sql: &Spanned<TextOr<SqlSpec>>) -> Word {
    match sql.get_ref() {
        TextOr::Text(text) => Word::new(sql.span(), text.clone()),
        TextOr::Table(table) => table.statement.clone(),
    }
}
