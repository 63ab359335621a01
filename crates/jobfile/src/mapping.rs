//! `[map]` and `[[require]]`: what becomes of an item.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use kiln_core::{Fault, Mapper, TableName};
use kiln_sql::{RequireMapper, Rule, SqlMapper};

use crate::jobfile::JobFile;
use crate::nearest::suggestion;
use crate::problem::Problem;
use crate::shapes::Word;
use crate::spec::{MapSpec, RequireSpec};

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
