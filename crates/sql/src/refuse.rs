//! What one item cannot answer is refused, with what to use instead.
//!
//! The syntax tree is taken apart field by field, so that nothing that the
//! parser knows is passed over in silence.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Distinct, Expr, Function, FunctionArguments, GroupByExpr, Ident, ObjectName, Query,
    Select as SelectAst, SelectItem, SetExpr, Spanned, Statement, TableFactor, TableWithJoins,
    Value, Visit, Visitor,
};
use kiln_core::{Fault, Result};

use crate::explain::place;

/// A SELECT that one item can answer.
#[derive(Debug)]
pub(crate) struct Select {
    /// What stands between SELECT and FROM.
    pub(crate) columns: Vec<SelectItem>,
    /// The name under which the SQL knows the item.
    pub(crate) table: Ident,
    /// What stands behind WHERE.
    pub(crate) condition: Option<Expr>,
}

/// The SELECT of a statement, if that is all it is.
pub(crate) fn statement(statement: Statement) -> Result<Select> {
    let Statement::Query(query) = statement else {
        let text = statement.to_string();
        let verb = text.split_whitespace().next().unwrap_or_default();
        return Err(Fault::config(format!("{verb} is not a SELECT")).with_hint(
            "select what becomes of an item here; what is written stands in [[write]]",
        ));
    };
    let select = select(body(*query)?)?;
    check(&select.columns)?;
    check(&select.condition)?;
    Ok(select)
}

/// Refuses an expression that one item can't answer.
pub(crate) fn expression(expression: &Expr) -> Result<()> {
    check(expression)
}

fn refuse<T>(what: &str, instead: &str) -> Result<T> {
    Err(Fault::config(format!("{what} can't be used: an item is mapped by itself"))
        .with_hint(instead))
}

fn refuse_if(present: bool, what: &str, instead: &str) -> Result<()> {
    if present { refuse(what, instead) } else { Ok(()) }
}

const SUMS: &str = "a [[write]] with mode = \"increment\" adds values up by key; \
                    other aggregates belong in a view of the target";
const FIRST: &str = "to try a job on its first items use `kiln preview`, \
                     or select them by number: WHERE _ordinal <= 100";
const JOIN: &str = "look a row up with [[match]], or join in the query of a database source";
const PLAIN: &str = "write SELECT … FROM item WHERE …";

/// The one SELECT of a query that does nothing else.
fn body(query: Query) -> Result<SelectAst> {
    let Query {
        with,
        body,
        order_by,
        limit_clause,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    refuse_if(with.is_some(), "WITH", "write the expression out where it is needed")?;
    refuse_if(order_by.is_some(), "ORDER BY", "items keep the order of the source")?;
    refuse_if(limit_clause.is_some(), "LIMIT or OFFSET", FIRST)?;
    refuse_if(fetch.is_some(), "FETCH", FIRST)?;
    let extras = !locks.is_empty()
        || for_clause.is_some()
        || settings.is_some()
        || format_clause.is_some()
        || !pipe_operators.is_empty();
    refuse_if(extras, "what follows the SELECT", PLAIN)?;
    match *body {
        SetExpr::Select(select) => Ok(*select),
        SetExpr::Query(inner) => self::body(*inner),
        SetExpr::SetOperation { op, .. } => {
            refuse(&op.to_string(), "give each source a job of its own")
        }
        SetExpr::Values(_) => refuse("VALUES", PLAIN),
        other => refuse(&format!("`{other}`"), PLAIN),
    }
}

fn select(ast: SelectAst) -> Result<Select> {
    let SelectAst {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor: _,
    } = ast;
    let is_distinct = matches!(distinct, Some(Distinct::Distinct | Distinct::On(_)));
    refuse_if(
        is_distinct,
        "DISTINCT",
        "give the [[write]] a key and mode = \"ignore\": rows that are there already are left out",
    )?;
    refuse_if(top.is_some(), "TOP", FIRST)?;
    let grouped = match &group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(columns, modifiers) => {
            !columns.is_empty() || !modifiers.is_empty()
        }
    };
    refuse_if(grouped, "GROUP BY", SUMS)?;
    refuse_if(having.is_some(), "HAVING", "filter items with WHERE")?;
    let windows = !named_window.is_empty() || qualify.is_some();
    refuse_if(windows, "a window", "an item's number is _ordinal")?;
    refuse_if(into.is_some(), "INTO", "what is written stands in [[write]]")?;
    let sorted = !cluster_by.is_empty() || !distribute_by.is_empty() || !sort_by.is_empty();
    refuse_if(sorted, "SORT BY", "items keep the order of the source")?;
    let extras = !optimizer_hints.is_empty()
        || select_modifiers.is_some()
        || exclude.is_some()
        || !lateral_views.is_empty()
        || prewhere.is_some()
        || !connect_by.is_empty()
        || value_table_mode.is_some();
    refuse_if(extras, "this form of SELECT", PLAIN)?;
    Ok(Select { columns: projection, table: table(from)?, condition: selection })
}

/// The name under which the SQL knows the one table there is.
fn table(from: Vec<TableWithJoins>) -> Result<Ident> {
    let table = match <[TableWithJoins; 1]>::try_from(from) {
        Ok([table]) if table.joins.is_empty() => table.relation,
        Err(none) if none.is_empty() => {
            return Err(Fault::config("FROM is missing").with_hint(PLAIN));
        }
        _ => return refuse("a join", JOIN),
    };
    let TableFactor::Table {
        name,
        alias,
        args: None,
        with_hints,
        version: None,
        with_ordinality: false,
        partitions,
        json_path: None,
        sample: None,
        index_hints,
    } = table
    else {
        return refuse(
            &format!("FROM {table}"),
            "the only table is item; look rows up with [[match]]",
        );
    };
    if !with_hints.is_empty() || !partitions.is_empty() || !index_hints.is_empty() {
        return refuse("what follows the table", PLAIN);
    }
    let item = item(&name)?;
    match alias {
        None => Ok(item),
        Some(alias) if alias.columns.is_empty() && alias.at.is_none() => Ok(alias.name),
        Some(_) => refuse("a list of columns behind the table", "name columns with AS"),
    }
}

fn item(name: &ObjectName) -> Result<Ident> {
    if let [part] = name.0.as_slice()
        && let Some(ident) = part.as_ident()
        && ident.value.eq_ignore_ascii_case("item")
    {
        return Ok(Ident::new("item"));
    }
    Err(Fault::config(format!(
        "{}there is no table {name}; the only table is item",
        place(name.span().start)
    ))
    .with_hint(JOIN))
}

fn check(tree: &impl Visit) -> Result<()> {
    match tree.visit(&mut Refusals) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(fault) => Err(fault),
    }
}

/// Looks into expressions.
struct Refusals;

impl Visitor for Refusals {
    type Break = Fault;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Fault> {
        stop_on(refuse("a subquery", "look a row up with [[match]]"))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Fault> {
        match expr {
            Expr::Function(function) => stop_on(self::function(function)),
            Expr::Value(value) => match &value.value {
                Value::Placeholder(name) => stop_on(Err(Fault::config(format!(
                    "{}there is no value for {name}",
                    place(value.span.start)
                ))
                .with_hint("parameters of a job are written ${name}"))),
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

fn stop_on(result: Result<()>) -> ControlFlow<Fault> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(fault) => ControlFlow::Break(fault),
    }
}

/// The aggregates people know, so that they are told more than "unknown".
const AGGREGATES: &[&str] = &[
    "any_value",
    "approx_distinct",
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "first_value",
    "grouping",
    "group_concat",
    "last_value",
    "listagg",
    "max",
    "mean",
    "median",
    "min",
    "mode",
    "percentile_cont",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "total",
    "var",
    "var_pop",
    "var_samp",
    "variance",
];

fn function(function: &Function) -> Result<()> {
    let name = function.name.to_string().to_lowercase();
    let at = place(function.name.span().start);
    let refuse = |what: String, instead| refuse(&format!("{at}{what}"), instead);
    if function.over.is_some() {
        return refuse(format!("the window function {name}"), "an item's number is _ordinal");
    }
    if AGGREGATES.contains(&name.as_str()) {
        return refuse(format!("the aggregate {name}"), SUMS);
    }
    let list_is_plain = match &function.args {
        FunctionArguments::List(list) => {
            list.duplicate_treatment.is_none() && list.clauses.is_empty()
        }
        FunctionArguments::None | FunctionArguments::Subquery(_) => true,
    };
    let is_plain = list_is_plain
        && matches!(function.parameters, FunctionArguments::None)
        && function.filter.is_none()
        && function.null_treatment.is_none()
        && function.within_group.is_empty();
    if is_plain {
        Ok(())
    } else {
        refuse(format!("this form of {name}"), "call it with values only")
    }
}
