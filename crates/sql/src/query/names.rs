//! What is seen in the text of a query, before it is planned.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Ident, ObjectName, Query, Select, SelectItem, SetExpr, Statement, Value, Visit, Visitor,
};
use kiln_core::{Fault, Result};

use crate::columns::{check_unique, own_name};
use crate::explain::place;
use crate::plan::{name, unknown};

/// Refuses what is no SELECT over these tables, and columns without a name.
pub(super) fn check(statement: &Statement, tables: &[&str]) -> Result<()> {
    let Statement::Query(query) = statement else {
        let text = statement.to_string();
        let verb = text.split_whitespace().next().unwrap_or_default();
        return Err(Fault::config(format!("{verb} is not a SELECT"))
            .with_hint("a source reads; what is written stands in [[write]]"));
    };
    named(&query.body)?;
    let mut known: BTreeSet<String> = tables.iter().map(|t| (*t).to_owned()).collect();
    // What WITH names is known everywhere: DataFusion sees to the rest.
    let _ = query.visit(&mut Withs(&mut known));
    match query.visit(&mut Check { known }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(fault) => Err(*fault),
    }
}

/// Each column of the result is known by a name of its own.
fn named(body: &SetExpr) -> Result<()> {
    match body {
        SetExpr::Select(select) => {
            let written = |item: &SelectItem| match item {
                SelectItem::UnnamedExpr(expr) => Some(own_name(expr)),
                SelectItem::ExprWithAlias { alias, .. } => Some(Ok(name(alias))),
                _ => None,
            };
            let names = select.projection.iter().filter_map(written).collect::<Result<Vec<_>>>()?;
            check_unique(names.iter().map(String::as_str))
        }
        SetExpr::Query(query) => named(&query.body),
        // The first one names them.
        SetExpr::SetOperation { left, .. } => named(left),
        _ => Ok(()),
    }
}

/// Collects what WITH names.
struct Withs<'a>(&'a mut BTreeSet<String>);

impl Visitor for Withs<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(with.map(|cte| name(&cte.alias.name)));
        ControlFlow::Continue(())
    }
}

struct Check {
    known: BTreeSet<String>,
}

impl Check {
    fn unknown(&self, table: &Ident) -> ControlFlow<Box<Fault>> {
        let names: Vec<&str> = self.known.iter().map(String::as_str).collect();
        let fault = unknown("table", table, &names);
        stop(if fault.hint().is_some() {
            fault
        } else {
            fault.with_hint(format!("describe it: [source.tables.{}]", name(table)))
        })
    }
}

fn stop(fault: Fault) -> ControlFlow<Box<Fault>> {
    ControlFlow::Break(Box::new(fault))
}

impl Visitor for Check {
    type Break = Box<Fault>;

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Box<Fault>> {
        let parts: Vec<&Ident> = relation.0.iter().filter_map(|part| part.as_ident()).collect();
        match parts.as_slice() {
            [table] if self.known.contains(&name(table)) => ControlFlow::Continue(()),
            [table] | [.., table] => self.unknown(table),
            [] => stop(Fault::config(format!("{relation} is no table"))),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Box<Fault>> {
        let extras = !query.locks.is_empty()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        if extras {
            return stop(
                Fault::config("what follows the SELECT can't be used")
                    .with_hint("a query ends with ORDER BY or LIMIT"),
            );
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Box<Fault>> {
        if select.into.is_some() {
            return stop(
                Fault::config("INTO can't be used")
                    .with_hint("what is written stands in [[write]]"),
            );
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Box<Fault>> {
        match expr {
            Expr::Value(value) if let Value::Placeholder(name) = &value.value => {
                let at = place(value.span.start);
                stop(
                    Fault::config(format!("{at}there is no value for {name}"))
                        .with_hint("parameters of a job are written ${name}"),
                )
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
