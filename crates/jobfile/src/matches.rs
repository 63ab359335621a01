//! `[[match]]`: the row of a table that an item means.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_schema::Schema;
use kiln_core::{Catalog, CatalogSpec, Fault, Kind, WriteColumn};
use kiln_databases::Database;
use kiln_matching::{
    AT_LEAST, Compare, Fuzzy, FuzzyColumn, MARGIN, MatchMapper, Missing, Remember,
};
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::mapping::{OfRows, known_column, table};
use crate::nearest::suggestion;
use crate::problem::Problem;
use crate::shapes::{Setting, Word};
use crate::spec::{FuzzyColumnSpec, FuzzySpec, MatchSpec, RememberSpec};
use crate::streams::Streams;
use crate::target;

/// The mapper of one `[[match]]`; one that only looks creates nothing.
pub(crate) async fn mapper(
    job: &JobFile,
    spec: &MatchSpec,
    database: &dyn Database,
    streams: &Streams,
    only_look: bool,
) -> Result<OfRows, Problem> {
    let stream = streams.find(job, spec.from.as_ref())?;
    let input = streams.columns(stream);
    streams.refuse_hidden(job, &spec.column, &input)?;
    let matching = matching(job, spec, &input)?;
    let catalog = database.catalog(CatalogSpec {
        table: table(job, &spec.table)?,
        key: spec.key.clone(),
        on: matching.on.iter().map(|c| c.column.clone()).collect(),
        compare: compared(&matching).map(|c| c.column.column.clone()).collect(),
        create: matching.create.iter().map(|c| c.column.clone()).collect(),
    });
    let key_is_integer = catalog.key_is_integer().await;
    let key_is_integer =
        key_is_integer.map_err(|fault| job.problem(place(job, &spec.table, &fault), fault))?;
    let remember = match &spec.remember {
        Some(remember) => {
            Some(remembering(job, remember, &matching, database, &input, key_is_integer).await?)
        }
        None => None,
    };
    let wrong = |fault| job.problem(spec.column.span(), fault);
    let mut mapper = MatchMapper::new(matching, catalog, key_is_integer, input).map_err(wrong)?;
    if let Some(remember) = remember {
        mapper = mapper.remember(remember).map_err(wrong)?;
    }
    let mapper = if only_look { mapper.read_only() } else { mapper };
    Ok((stream, Box::new(mapper)))
}

/// What is looked for, and how.
fn matching(
    job: &JobFile,
    spec: &MatchSpec,
    input: &Schema,
) -> Result<kiln_matching::MatchSpec, Problem> {
    let on = match &spec.on {
        Some(on) => columns(job, on.get_ref(), input)?,
        None => Vec::new(),
    };
    let create = match &spec.create {
        None => Vec::new(),
        Some(create) => with_keys(&on, columns(job, create.get_ref(), input)?),
    };
    if on.is_empty() && (spec.fuzzy.is_none() || !create.is_empty()) {
        let fault = Fault::config("`on` names no column to find a row by")
            .with_hint("for example on = { code = \"stock_code\" }");
        let span = spec.on.as_ref().map_or(spec.column.span(), Spanned::span);
        return Err(job.problem(span, fault));
    }
    if let (None, Some(remember)) = (&spec.fuzzy, &spec.remember) {
        let fault = Fault::config("only what `fuzzy` finds is remembered, and there is none");
        return Err(job.problem(remember.span(), fault));
    }
    let fuzzy = spec.fuzzy.as_ref().map(|fuzzy| likeness(job, fuzzy, input)).transpose()?;
    Ok(kiln_matching::MatchSpec {
        column: spec.column.get_ref().clone(),
        table: spec.table.get_ref().clone(),
        on,
        folded: spec.folded.unwrap_or(fuzzy.is_some()),
        fuzzy,
        create,
        missing: missing(job, spec)?,
        memory: match &spec.memory {
            Some(memory) => job.bytes(memory)?,
            None => kiln_matching::MatchSpec::MEMORY,
        },
    })
}

fn compared(spec: &kiln_matching::MatchSpec) -> impl Iterator<Item = &FuzzyColumn> {
    spec.fuzzy.iter().flat_map(|fuzzy| &fuzzy.columns)
}

/// What becomes of an item that finds no row.
fn missing(job: &JobFile, spec: &MatchSpec) -> Result<Missing, Problem> {
    const WORDS: [&str; 3] = ["create", "reject", "null"];
    let Some(word) = &spec.otherwise else {
        return Ok(if spec.create.is_some() { Missing::Create } else { Missing::Reject });
    };
    let missing = match word.get_ref().as_str() {
        "create" if spec.create.is_some() => return Ok(Missing::Create),
        "create" => {
            let fault = Fault::config("nothing says what a new row is filled with")
                .with_hint("add create = { column = \"item column\" }");
            return Err(job.problem(word.span(), fault));
        }
        "reject" => Missing::Reject,
        "null" => Missing::Null,
        other => {
            let fault = Fault::config(format!("{other} is nothing that can be done"))
                .with_hint(suggestion("one of", other, &WORDS));
            return Err(job.problem(word.span(), fault));
        }
    };
    match &spec.create {
        None => Ok(missing),
        Some(create) => {
            let fault = Fault::config("no row is created, as `otherwise` says something else")
                .with_hint("leave out one of the two");
            Err(job.problem(create.span(), fault))
        }
    }
}

/// What is compared by likeness, and the bounds.
fn likeness(job: &JobFile, spec: &Spanned<FuzzySpec>, input: &Schema) -> Result<Fuzzy, Problem> {
    let mut fuzzy = Fuzzy::new(Vec::new());
    for (name, setting) in spec.get_ref() {
        let bound = match name.get_ref().as_str() {
            "at_least" => Some(&mut fuzzy.at_least),
            "margin" => Some(&mut fuzzy.margin),
            _ => None,
        };
        match (number(setting.get_ref()), bound) {
            (Some(number), Some(bound)) => *bound = number,
            (Some(_), None) => return Err(unknown_bound(job, name)),
            (None, _) => fuzzy.columns.push(compared_column(job, name, setting, input)?),
        }
    }
    let share = |what: &str, value: f64, is_right: bool| match is_right {
        true => Ok(()),
        false => {
            let fault = Fault::config(format!("{what} = {value} is no share"));
            let hint = format!("the defaults are at_least = {AT_LEAST} and margin = {MARGIN}");
            Err(job.problem(spec.span(), fault.with_hint(hint)))
        }
    };
    share("at_least", fuzzy.at_least, fuzzy.at_least > 0.0 && fuzzy.at_least <= 1.0)?;
    share("margin", fuzzy.margin, (0.0..1.0).contains(&fuzzy.margin))?;
    if !fuzzy.columns.iter().any(|c| c.compare == Compare::Text) {
        let fault = Fault::config("`fuzzy` compares no text")
            .with_hint("for example fuzzy = { name = \"description\" }");
        return Err(job.problem(spec.span(), fault));
    }
    Ok(fuzzy)
}

/// A number, also where a parameter has made it a text.
fn number(setting: &Setting<FuzzyColumnSpec>) -> Option<f64> {
    match setting {
        Setting::Number(number) => Some(*number),
        Setting::Text(text) => text.trim().parse().ok(),
        Setting::Table(_) => None,
    }
}

fn unknown_bound(job: &JobFile, name: &Word) -> Problem {
    let hint = suggestion("numbers that are known here", name.get_ref(), &["at_least", "margin"]);
    let fault = Fault::config(format!("unknown key `{}`", name.get_ref()));
    job.problem(name.span(), fault.with_hint(hint)).label("unknown key")
}

fn compared_column(
    job: &JobFile,
    name: &Word,
    setting: &Spanned<Setting<FuzzyColumnSpec>>,
    input: &Schema,
) -> Result<FuzzyColumn, Problem> {
    let column = |from: &str| WriteColumn { column: name.get_ref().clone(), from: from.to_owned() };
    let spec = match setting.get_ref() {
        Setting::Text(from) => {
            known_column(job, &Spanned::new(setting.span(), from.clone()), input)?;
            return Ok(FuzzyColumn { column: column(from), compare: Compare::Text, weight: 1.0 });
        }
        Setting::Table(spec) => spec,
        Setting::Number(_) => return Err(unknown_bound(job, name)),
    };
    known_column(job, &spec.from, input)?;
    let weight = spec.weight.as_ref().map_or(1.0, |weight| *weight.get_ref());
    if !(weight > 0.0 && weight.is_finite()) {
        let span = spec.weight.as_ref().map_or(setting.span(), Spanned::span);
        return Err(job.problem(span, Fault::config("a weight must be above 0")));
    }
    let compare = match spec.kind.as_ref().map(|kind| (kind, kind.get_ref().as_str())) {
        None | Some((_, "text")) => Compare::Text,
        Some((_, "number")) => Compare::Number,
        Some((kind, other)) => {
            let fault = Fault::config(format!("nothing is compared as {other}"))
                .with_hint(suggestion("one of", other, &["text", "number"]));
            return Err(job.problem(kind.span(), fault));
        }
    };
    Ok(FuzzyColumn { column: column(spec.from.get_ref()), compare, weight })
}

/// The table of decisions that are remembered.
async fn remembering(
    job: &JobFile,
    spec: &Spanned<RememberSpec>,
    matching: &kiln_matching::MatchSpec,
    database: &dyn Database,
    input: &Schema,
    key_is_integer: bool,
) -> Result<Remember, Problem> {
    let RememberSpec { table: name, text, key, from } = spec.get_ref();
    let from = match from {
        Some(from) => {
            known_column(job, from, input)?;
            from.get_ref().clone()
        }
        None => only_text(matching).ok_or_else(|| {
            let fault = Fault::config("several columns are compared: which of them is remembered?")
                .with_hint("name the item's column: from = \"description\"");
            job.problem(spec.span(), fault)
        })?,
    };
    let (text, key) = (text.get_ref().clone(), key.get_ref().clone());
    let catalog: Arc<dyn Catalog> = database.catalog(CatalogSpec {
        table: table(job, name)?,
        key: key.clone(),
        on: vec![text.clone()],
        compare: Vec::new(),
        create: vec![text.clone(), key.clone()],
    });
    let problem = |fault| job.problem(place(job, name, &fault), fault);
    if catalog.key_is_integer().await.map_err(problem)? != key_is_integer {
        let fault = Fault::config(format!(
            "{}.{key} can't hold a key of {}: one is an integer, the other is not",
            name.get_ref(),
            matching.table
        ));
        return Err(problem(fault.with_hint("give both the same type")));
    }
    Ok(Remember { catalog, table: name.get_ref().clone(), from, text, key })
}

/// The item's column that is compared as text, if it is the only one.
fn only_text(matching: &kiln_matching::MatchSpec) -> Option<String> {
    let mut texts = compared(matching).filter(|c| c.compare == Compare::Text);
    let first = texts.next()?;
    texts.next().is_none().then(|| first.column.from.clone())
}

/// Where a catalog's fault comes from: the table, the set-up script that was to
/// make it, or the target as a whole.
fn place(job: &JobFile, table: &Word, fault: &Fault) -> Range<usize> {
    let target = &job.spec().target;
    let script = target::script(job).ok().flatten();
    match &target.setup {
        _ if fault.kind() != Kind::Config => target.span(),
        Some(setup) if script.is_some_and(|s| fault.message().contains(&s.name)) => setup.span(),
        _ => table.span(),
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
