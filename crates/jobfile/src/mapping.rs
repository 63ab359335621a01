//! `[map]`, `[[require]]` and `[[match]]`: what becomes of an item.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use kiln_core::{CatalogSpec, Fault, Kind, Mapper, TableName, WriteColumn};
use kiln_databases::Database;
use kiln_matching::{MatchMapper, Missing};
use kiln_sql::{RequireMapper, Rule, SqlMapper};

use crate::jobfile::JobFile;
use crate::nearest::suggestion;
use crate::problem::Problem;
use crate::shapes::Word;
use crate::spec::{MapSpec, MatchSpec, RequireSpec};
use crate::target;

/// The mapper of `[map] sql`.
pub(crate) fn map(
    job: &JobFile,
    map: &MapSpec,
    input: SchemaRef,
) -> Result<Box<dyn Mapper>, Problem> {
    let mapper = SqlMapper::new(map.sql.get_ref(), input)
        .map_err(|fault| job.sql_problem(&map.sql, fault))?;
    Ok(Box::new(mapper))
}

/// The mapper of all `[[require]]` of a step.
pub(crate) fn require(
    job: &JobFile,
    specs: &[RequireSpec],
    input: SchemaRef,
) -> Result<Box<dyn Mapper>, Problem> {
    let rule = |spec: &RequireSpec| Rule {
        rule: spec.rule.get_ref().clone(),
        message: spec.message.clone(),
    };
    // One by one first: only so is it known which of them is wrong.
    for spec in specs {
        RequireMapper::new(vec![rule(spec)], Arc::clone(&input))
            .map_err(|fault| job.sql_problem(&spec.rule, fault))?;
    }
    Ok(Box::new(RequireMapper::new(specs.iter().map(rule).collect(), input)?))
}

/// The mapper of one `[[match]]`; one that only looks creates nothing.
pub(crate) async fn matching(
    job: &JobFile,
    spec: &MatchSpec,
    database: &dyn Database,
    input: SchemaRef,
    only_look: bool,
) -> Result<Box<dyn Mapper>, Problem> {
    let on = columns(job, spec.on.get_ref(), &input)?;
    if on.is_empty() {
        let fault = Fault::config("`on` names no column to find a row by")
            .with_hint("for example on = { code = \"stock_code\" }");
        return Err(job.problem(spec.on.span(), fault));
    }
    let create = match &spec.create {
        None => Vec::new(),
        Some(create) => with_keys(&on, columns(job, create, &input)?),
    };
    let catalog = database.catalog(CatalogSpec {
        table: table(job, &spec.table)?,
        key: spec.key.clone(),
        on: on.iter().map(|c| c.column.clone()).collect(),
        create: create.iter().map(|c| c.column.clone()).collect(),
    });
    let key_is_integer = catalog.key_is_integer().await;
    let key_is_integer =
        key_is_integer.map_err(|fault| job.problem(place(job, spec, &fault), fault))?;
    let missing = if create.is_empty() { Missing::Reject } else { Missing::Create };
    let column = spec.column.get_ref().clone();
    let table = spec.table.get_ref().clone();
    let matching = kiln_matching::MatchSpec { column, table, on, create, missing };
    let mapper = MatchMapper::new(matching, catalog, key_is_integer, input)
        .map_err(|fault| job.problem(spec.column.span(), fault))?;
    Ok(Box::new(if only_look { mapper.read_only() } else { mapper }))
}

/// Where a catalog's fault comes from: the table, the set-up script that was to
/// make it, or the target as a whole.
fn place(job: &JobFile, spec: &MatchSpec, fault: &Fault) -> Range<usize> {
    let target = &job.spec().target;
    let script = target::script(job).ok().flatten();
    match &target.setup {
        _ if fault.kind() != Kind::Config => target.url.span(),
        Some(setup) if script.is_some_and(|s| fault.message().contains(&s.name)) => setup.span(),
        _ => spec.table.span(),
    }
}

/// What fills a new row: what it is found by, and the rest.
fn with_keys(on: &[WriteColumn], create: Vec<WriteColumn>) -> Vec<WriteColumn> {
    let is_named = |key: &&WriteColumn| create.iter().all(|c| c.column != key.column);
    let keys: Vec<WriteColumn> = on.iter().filter(is_named).cloned().collect();
    keys.into_iter().chain(create).collect()
}

fn columns(
    job: &JobFile,
    pairs: &BTreeMap<String, Word>,
    input: &Schema,
) -> Result<Vec<WriteColumn>, Problem> {
    let pair = |(column, from): (&String, &Word)| {
        known_column(job, from, input)?;
        Ok(WriteColumn { column: column.clone(), from: from.get_ref().clone() })
    };
    pairs.iter().map(pair).collect()
}

/// A name of a table.
pub(crate) fn table(job: &JobFile, word: &Word) -> Result<TableName, Problem> {
    TableName::parse(word.get_ref()).map_err(|fault| job.problem(word.span(), fault))
}

/// Makes sure that the item has this column.
pub(crate) fn known_column(job: &JobFile, word: &Word, items: &Schema) -> Result<(), Problem> {
    let name = word.get_ref();
    if items.column_with_name(name).is_some() {
        return Ok(());
    }
    let names: Vec<&str> = items.fields().iter().map(|f| f.name().as_str()).collect();
    let fault = Fault::config(format!("the item has no column {name}")).with_hint(suggestion(
        "its columns",
        name,
        &names,
    ));
    Err(job.problem(word.span(), fault))
}
