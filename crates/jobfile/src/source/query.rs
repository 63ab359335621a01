//! `[source] query`: from SQL and the tables it names to a source.

use kiln_core::{Fault, Source};
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::problem::Problem;
use crate::shapes::Word;
use crate::spec::{SourceSpec, StepSpec};

/// Plans it over its tables; nothing is read yet but what tells their columns.
pub(crate) fn open(
    job: &JobFile,
    step: &StepSpec,
    source: &SourceSpec,
    query: &Word,
) -> Result<Box<dyn Source>, Problem> {
    let Some(described) = source.tables.as_ref().filter(|tables| !tables.get_ref().is_empty())
    else {
        let fault = Fault::config("the query has no tables")
            .with_hint("describe each: [source.tables.orders], with file = \"orders.csv\"");
        return Err(job.problem(query.span(), fault));
    };
    let tables = described.get_ref().iter().map(|(name, table)| self::table(job, name, table));
    let tables = tables.collect::<Result<Vec<_>, _>>()?;
    let options = options(job, step, source)?;
    match kiln_sql::QuerySource::new(query.get_ref(), tables, options) {
        Ok(source) => Ok(Box::new(source)),
        Err(fault) => Err(job.sql_problem(query, fault)),
    }
}

fn table(job: &JobFile, name: &Word, table: &SourceSpec) -> Result<kiln_sql::QueryTable, Problem> {
    let Some(files) = &table.file else {
        let fault = Fault::config(format!("table {}: a query reads files", name.get_ref()))
            .with_hint("write file = \"…\"; what is in a database goes to a file first, in a step");
        return Err(job.problem(name.span(), fault));
    };
    super::reads(job, table)?;
    let open = super::opener(job, table, files)?;
    kiln_sql::QueryTable::new(name.get_ref(), open)
        .map_err(|fault| super::problem(job, table, files, fault))
}

fn options(
    job: &JobFile,
    step: &StepSpec,
    source: &SourceSpec,
) -> Result<kiln_sql::QueryOptions, Problem> {
    let folder = match &source.work {
        Some(work) => job.path_of(work)?,
        None => job.folder().join(kiln_files::HIDDEN),
    };
    let memory = match &source.memory {
        Some(memory) => usize::try_from(job.bytes(memory)?).unwrap_or(usize::MAX),
        None => kiln_sql::QueryOptions::DEFAULT_MEMORY,
    };
    // Each run that may be open has a result of its own.
    let owner = [job.name(), step.name.get_ref(), &job.parameters()].join("\n");
    let described = source.tables.as_ref().map(Spanned::get_ref);
    Ok(kiln_sql::QueryOptions { folder, owner, described: format!("{described:?}"), memory })
}
