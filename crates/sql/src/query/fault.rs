//! What DataFusion says of a whole query, as a fault.

use std::error::Error;

use arrow_schema::ArrowError;
use datafusion_common::{Column, DataFusionError, SchemaError};
use datafusion_sql::sqlparser::ast::Ident;
use datafusion_sql::sqlparser::tokenizer::{Location, Span};
use kiln_core::{Fault, Kind};

use crate::explain::{self, root};
use crate::plan::unknown;

/// A query that can't be planned.
pub(super) fn planning(error: &DataFusionError) -> Fault {
    let at = span(error);
    if let DataFusionError::SchemaError(schema, _) = root(error)
        && let SchemaError::FieldNotFound { field, valid_fields } = schema.as_ref()
    {
        return unknown_column(field, valid_fields, at);
    }
    explain::planning(error).at_place(at)
}

trait AtPlace {
    fn at_place(self, at: Option<Location>) -> Self;
}

impl AtPlace for Fault {
    fn at_place(self, at: Option<Location>) -> Self {
        match at {
            Some(at) => self.at(explain::place(at).trim_end_matches(": ")),
            None => self,
        }
    }
}

/// Where in the text it is.
fn span(error: &DataFusionError) -> Option<Location> {
    match error {
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let at = diagnostic.span.map(|s| Location::new(s.start.line, s.start.column));
            at.filter(|at| at.line > 0).or_else(|| span(inner))
        }
        DataFusionError::Context(_, inner) => span(inner),
        DataFusionError::Collection(all) => all.first().and_then(span),
        DataFusionError::Shared(inner) => span(inner),
        _ => None,
    }
}

/// A column that none of the tables has, or not the one that is named.
fn unknown_column(wanted: &Column, all: &[Column], at: Option<Location>) -> Fault {
    let of_table = |column: &&Column| {
        wanted.relation.is_none()
            || wanted.relation.as_ref().map(|r| r.table())
                == column.relation.as_ref().map(|r| r.table())
    };
    let mut names: Vec<&str> = all.iter().filter(of_table).map(|c| c.name.as_str()).collect();
    let what = match &wanted.relation {
        Some(table) if names.is_empty() => {
            let mut tables: Vec<&str> =
                all.iter().filter_map(|c| Some(c.relation.as_ref()?.table())).collect();
            tables.sort_unstable();
            tables.dedup();
            let ident = ident(table.table(), at);
            return unknown("table", &ident, &tables);
        }
        _ => "column",
    };
    names.sort_unstable();
    names.dedup();
    unknown(what, &ident(&wanted.name, at), &names)
}

/// A name that was read already, quotes and all.
fn ident(name: &str, at: Option<Location>) -> Ident {
    let span = at.map_or(Span::empty(), |at| Span::new(at, at));
    let mut ident = Ident::with_quote_and_span('`', span, name);
    ident.value = name.to_owned();
    ident
}

/// A query that fails while it runs, in so many bytes.
pub(super) fn running(error: &DataFusionError, memory: usize) -> Fault {
    if let Some(fault) = own(error) {
        return fault.clone();
    }
    match root(error) {
        DataFusionError::ResourcesExhausted(what) => Fault::config(format!(
            "the query needs more memory than the {} MiB that it has: {}",
            memory.div_ceil(1 << 20),
            what.lines().next().unwrap_or_default()
        ))
        .with_hint("give it more: memory = \"2GB\" in [source]"),
        DataFusionError::IoError(e) => writing(e),
        DataFusionError::ArrowError(arrow, _) if let ArrowError::IoError(_, e) = &**arrow => {
            writing(e)
        }
        _ => {
            let value = explain::value(error);
            Fault::new(Kind::InputInvalid, format!("the query fails: {}", value.message()))
                .with_code(value.code().unwrap_or("expression"))
                .with_hint(
                    "TRY_CAST(… AS …) gives NULL where a value does not fit, and \
                     a / NULLIF(b, 0) where b is 0",
                )
        }
    }
}

/// Whether it is memory that was missing.
pub(super) fn is_memory(error: &DataFusionError) -> bool {
    own(error).is_none() && matches!(root(error), DataFusionError::ResourcesExhausted(_))
}

fn writing(error: &std::io::Error) -> Fault {
    let error = std::io::Error::new(error.kind(), error.to_string());
    Fault::io("the query's folder for work", error)
        .with_hint("free some space, or name another folder: work = \"…\" in [source]")
}

/// The fault of a source that the query reads.
fn own(error: &DataFusionError) -> Option<&Fault> {
    let mut below: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = below {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return Some(fault);
        }
        below = error.source();
    }
    None
}
