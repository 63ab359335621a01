//! `[[write]]`: which columns of an item go where.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use kiln_core::{Duplicates, Fault, Mode, Write, WriteColumn};
use kiln_sql::ComputeMapper;
use toml::Spanned;

use crate::jobfile::JobFile;
use crate::mapping::{known_column, table};
use crate::nearest::suggestion;
use crate::problem::Problem;
use crate::shapes::{Columns, Word};
use crate::spec::{StepSpec, WriteSpec};
use crate::streams::Streams;

/// The writes of a step, and the columns computed for them.
pub(crate) struct Writes {
    pub(crate) writes: Vec<Write>,
    /// The columns computed for the rows of a stream: name and expression.
    pub(crate) computed: BTreeMap<usize, Vec<(String, String)>>,
}

/// A column to be computed for the rows of a stream.
struct Computed {
    stream: usize,
    name: String,
    sql: String,
}

/// Reads all `[[write]]` of a step.
pub(crate) fn writes(job: &JobFile, step: &StepSpec, streams: &Streams) -> Result<Writes, Problem> {
    let specs = &step.write;
    if specs.is_empty() {
        let (what, table) = match job.spec().steps.len() {
            1 => ("job", "[[write]]"),
            _ => ("step", "[[step.write]]"),
        };
        let fault = Fault::config(format!("the {what} writes nothing"))
            .with_hint(format!("add a {table} with the table to write to"));
        return Err(job.problem(step.name.span(), fault));
    }
    let mut computed = Vec::new();
    let mut writes = Vec::with_capacity(specs.len());
    for spec in specs {
        let stream = streams.find(job, spec.get_ref().from.as_ref())?;
        let items = streams.columns(stream);
        let mut reader = Reader { job, streams, stream, items, computed: &mut computed };
        writes.push(reader.write(spec)?);
    }
    let mut by_stream: BTreeMap<usize, Vec<(String, String)>> = BTreeMap::new();
    for Computed { stream, name, sql } in computed {
        by_stream.entry(stream).or_default().push((name, sql));
    }
    Ok(Writes { writes, computed: by_stream })
}

struct Reader<'a> {
    job: &'a JobFile,
    streams: &'a Streams,
    /// The stream whose rows are written.
    stream: usize,
    /// Its columns.
    items: SchemaRef,
    /// Columns to be computed.
    computed: &'a mut Vec<Computed>,
}

impl Reader<'_> {
    fn write(&mut self, spec: &Spanned<WriteSpec>) -> Result<Write, Problem> {
        let write = spec.get_ref();
        let mode = self.mode(write)?;
        let columns = match (mode, &write.columns) {
            (Mode::Increment, _) => self.increment(spec)?,
            (Mode::Delete, None) => self.key(write)?,
            _ => self.columns(write)?,
        };
        self.only_where_it_has_meaning(write, mode)?;
        if mode.is_keyed() && write.key.as_ref().is_none_or(|k| k.get_ref().is_empty()) {
            let fault = Fault::config(format!("mode {} needs a key", mode.as_str()))
                .with_hint("add key = [\"…\"]: the table's columns by which a row is found");
            return Err(self.job.problem(spec.span(), fault));
        }
        self.key_is_written(write, &columns)?;
        Ok(Write {
            table: table(self.job, &write.table)?,
            stream: self.streams.name(self.stream),
            mode,
            columns,
            key: names(&write.key),
            on_duplicate: self.duplicates(write)?,
        })
    }

    fn mode(&self, write: &WriteSpec) -> Result<Mode, Problem> {
        let Some(word) = &write.mode else { return Ok(Mode::Insert) };
        Mode::parse(word.get_ref()).ok_or_else(|| {
            let known = Mode::ALL.map(Mode::as_str);
            let fault = Fault::config(format!("{:?} is no mode", word.get_ref()))
                .with_hint(suggestion("modes", word.get_ref(), &known));
            self.job.problem(word.span(), fault)
        })
    }

    /// The keys, then what is added.
    fn increment(&self, spec: &Spanned<WriteSpec>) -> Result<Vec<WriteColumn>, Problem> {
        let write = spec.get_ref();
        if let Some(columns) = &write.columns {
            let fault = Fault::config("mode increment has no columns")
                .with_hint("name the key and what to add: key = [\"…\"], add = [\"…\"]");
            return Err(self.job.problem(columns.span(), fault));
        }
        let Some(add) = write.add.as_ref().filter(|add| !add.get_ref().is_empty()) else {
            let fault = Fault::config("mode increment needs to know what to add")
                .with_hint("add add = [\"…\"]: the columns whose values are summed");
            return Err(self.job.problem(spec.span(), fault));
        };
        let mut columns = self.key(write)?;
        for word in add.get_ref() {
            columns.push(self.same(word)?);
        }
        Ok(columns)
    }

    /// The key alone, called the same in the item.
    fn key(&self, write: &WriteSpec) -> Result<Vec<WriteColumn>, Problem> {
        let key = write.key.iter().flat_map(|k| k.get_ref());
        key.map(|word| self.same(word)).collect()
    }

    /// A row is found by its key's values, so the write must have them.
    fn key_is_written(&self, write: &WriteSpec, columns: &[WriteColumn]) -> Result<(), Problem> {
        let known: Vec<&str> = columns.iter().map(|c| c.column.as_str()).collect();
        // Whether names differ by their case is for the database to say.
        let is_written =
            |word: &&Word| known.iter().any(|c| c.eq_ignore_ascii_case(word.get_ref()));
        let mut key = write.key.iter().flat_map(|k| k.get_ref());
        let Some(missing) = key.find(|word| !is_written(word)) else { return Ok(()) };
        let fault = Fault::config(format!("the key {} is not written", missing.get_ref()))
            .with_hint(suggestion("columns written", missing.get_ref(), &known));
        Err(self.job.problem(missing.span(), fault))
    }

    fn columns(&mut self, write: &WriteSpec) -> Result<Vec<WriteColumn>, Problem> {
        match write.columns.as_ref().map(Spanned::get_ref) {
            None => {
                let all = self.streams.own_columns(self.stream).into_iter();
                Ok(all.map(|name| WriteColumn { column: name.clone(), from: name }).collect())
            }
            Some(Columns::List(words)) => words.iter().map(|word| self.same(word)).collect(),
            Some(Columns::Table(columns)) => {
                // In the order in which they are written.
                let mut columns: Vec<(&String, &Word)> = columns.iter().collect();
                columns.sort_by_key(|(_, expression)| expression.span().start);
                let table = write.table.get_ref();
                columns.into_iter().map(|(name, e)| self.expression(table, name, e)).collect()
            }
        }
    }

    /// A column that is called the same in the item.
    fn same(&self, word: &Word) -> Result<WriteColumn, Problem> {
        known_column(self.job, word, &self.items)?;
        Ok(WriteColumn { column: word.get_ref().clone(), from: word.get_ref().clone() })
    }

    /// A column of the item under another name, or a column to be computed.
    fn expression(
        &mut self,
        table: &str,
        column: &str,
        expression: &Word,
    ) -> Result<WriteColumn, Problem> {
        let sql = expression.get_ref();
        if self.items.column_with_name(sql).is_some() {
            return Ok(WriteColumn { column: column.to_owned(), from: sql.clone() });
        }
        let from = self.free_name(&format!("{table}.{column}"));
        // Alone first: only so is it known which of them is wrong.
        let one = vec![(from.clone(), sql.clone())];
        ComputeMapper::new(one, Arc::clone(&self.items))
            .map_err(|fault| self.job.sql_problem(expression, fault))?;
        self.computed.push(Computed { stream: self.stream, name: from.clone(), sql: sql.clone() });
        Ok(WriteColumn { column: column.to_owned(), from })
    }

    /// The name, or with a number behind it, that no other column has.
    fn free_name(&self, name: &str) -> String {
        let is_taken = |n: &String| {
            is_column(self.streams.schema(), n) || self.computed.iter().any(|c| c.name == *n)
        };
        let numbered = (2u32..).map(|i| format!("{name} {i}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        candidates.find(|n| !is_taken(n)).unwrap_or_else(|| name.to_owned())
    }

    fn only_where_it_has_meaning(&self, write: &WriteSpec, mode: Mode) -> Result<(), Problem> {
        let refuse = |span, what: &str, hint: &str| {
            let fault = Fault::config(format!("mode {} has no {what}", mode.as_str()));
            Err(self.job.problem(span, fault.with_hint(hint)))
        };
        match (mode, &write.key, &write.add, &write.on_duplicate) {
            (Mode::Insert, Some(key), ..) => {
                refuse(key.span(), "key", "leave it out, or choose a mode that finds rows by a key")
            }
            (m, _, _, Some(word)) if !m.has_duplicates() => {
                refuse(word.span(), "on_duplicate", one_key_twice(m))
            }
            (m, _, Some(add), _) if m != Mode::Increment => {
                refuse(add.span(), "add", "leave it out, or choose mode = \"increment\"")
            }
            _ => Ok(()),
        }
    }

    fn duplicates(&self, write: &WriteSpec) -> Result<Duplicates, Problem> {
        let Some(word) = &write.on_duplicate else { return Ok(Duplicates::default()) };
        Ok(match word.get_ref().as_str() {
            "last" => Duplicates::Last,
            "first" => Duplicates::First,
            "sum" => Duplicates::Sum,
            "reject" => Duplicates::Reject,
            other => {
                let known = ["last", "first", "sum", "reject"];
                let fault = Fault::config(format!("{other:?} does not say which row wins"))
                    .with_hint(suggestion("on_duplicate is one of", other, &known));
                return Err(self.job.problem(word.span(), fault));
            }
        })
    }
}

/// What the modes do with one key twice that leave no choice.
fn one_key_twice(mode: Mode) -> &'static str {
    match mode {
        Mode::Ignore => "leave it out: a row that is there already is passed over",
        Mode::Increment => "leave it out: values of one key are summed",
        Mode::Delete => "leave it out: a row that is gone stays gone",
        _ => "leave it out: a row that is there already becomes a dead letter",
    }
}

fn is_column(items: &Schema, name: &str) -> bool {
    items.column_with_name(name).is_some()
}

fn names(words: &Option<Spanned<Vec<Word>>>) -> Vec<String> {
    words.iter().flat_map(|w| w.get_ref()).map(|w| w.get_ref().clone()).collect()
}
