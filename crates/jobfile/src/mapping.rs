//! `[map]` and `[[require]]`: what becomes of an item.

use std::collections::BTreeMap;

use arrow_schema::{Schema, SchemaRef};
use kiln_core::{Fault, Mapper, TableName};
use kiln_sql::{RequireMapper, Rule, Severity, SqlMapper};

use crate::jobfile::JobFile;
use crate::nearest::suggestion;
use crate::problem::Problem;
use crate::shapes::Word;
use crate::spec::{MapSpec, RequireSpec};
use crate::streams::Streams;

/// A mapper, and the stream whose rows it is about.
pub(crate) type OfRows = (usize, Box<dyn Mapper>);

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

/// The mappers of all `[[require]]` of a step, one for each stream that has some.
pub(crate) fn require(
    job: &JobFile,
    specs: &[RequireSpec],
    streams: &Streams,
) -> Result<Vec<OfRows>, Problem> {
    let mut rules: BTreeMap<usize, Vec<Rule>> = BTreeMap::new();
    for spec in specs {
        let (stream, rule) = (streams.find(job, spec.from.as_ref())?, rule(job, spec)?);
        // One by one first: only so is it known which of them is wrong.
        RequireMapper::new(vec![rule.clone()], streams.columns(stream))
            .map_err(|fault| job.sql_problem(&spec.rule, fault))?;
        rules.entry(stream).or_default().push(rule);
    }
    let mapper = |(stream, rules)| {
        let mapper = RequireMapper::new(rules, streams.columns(stream))?;
        Ok((stream, Box::new(mapper) as Box<dyn Mapper>))
    };
    rules.into_iter().map(mapper).collect()
}

fn rule(job: &JobFile, spec: &RequireSpec) -> Result<Rule, Problem> {
    let severity =
        match spec.severity.as_ref().map(|word| (word, word.get_ref().as_str())) {
            None | Some((_, "fail")) => Severity::Fail,
            Some((_, "warn")) => Severity::Warn,
            Some((word, other)) => {
                let fault = Fault::config(format!("{other:?} is no severity"))
                    .with_hint(suggestion("severities", other, &["fail", "warn"]));
                return Err(job.problem(word.span(), fault));
            }
        };
    let name = match &spec.name {
        Some(word) if word.get_ref().trim().is_empty() => {
            let fault = Fault::config("the name is empty");
            return Err(job.problem(word.span(), fault.with_hint("name the rule, or leave it out")));
        }
        Some(word) => word.get_ref().clone(),
        None => String::new(),
    };
    let (rule, message) = (spec.rule.get_ref().clone(), spec.message.clone());
    Ok(Rule { rule, name, message, severity })
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
