//! From a syntax tree to a typed expression.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_schema::{DataType, Schema};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DFSchemaRef, TableReference};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{Expr, ExprSchemable, Volatility};
use datafusion_optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::{Expr as Ast, Ident, visit_expressions};
use kiln_core::{Fault, Result};

use crate::compile::compile;
use crate::evaluate::Expression;
use crate::explain::{place, planning};
use crate::functions::Functions;
use crate::view::View;

/// A name as SQL reads it: capitals count only inside quotes.
pub(crate) fn name(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// Plans expressions over the items of one schema.
#[derive(Debug)]
pub(crate) struct Planner {
    everything: View,
    table: TableReference,
    schema: DFSchemaRef,
}

impl Planner {
    /// A planner for items that the SQL knows as `table`.
    pub(crate) fn new(input: &Schema, table: &str) -> Result<Self> {
        let everything = View::everything(input);
        let table = TableReference::bare(table);
        let schema = DFSchema::try_from_qualified_schema(table.clone(), everything.schema())
            .map_err(|e| planning(&e))?;
        Ok(Self { everything, table, schema: Arc::new(schema) })
    }

    /// Resolves names and types.
    pub(crate) fn resolve(&self, ast: Ast) -> Result<Expr> {
        self.check_names(&ast)?;
        let context = Functions::default();
        let planned = SqlToRel::new_with_options(&context, options())
            .sql_to_expr(ast, &self.schema, &mut PlannerContext::new())
            .and_then(|e| e.rewrite(&mut TypeCoercionRewriter::new(&self.schema)).data())
            .map_err(|e| planning(&e))?;
        check_repeatable(&planned)?;
        self.rewrite_functions(planned)
    }

    /// Some functions, such as coalesce, are only a way to write something
    /// else, and can't be evaluated themselves.
    fn rewrite_functions(&self, expr: Expr) -> Result<Expr> {
        let context = SimplifyContext::builder().with_schema(Arc::clone(&self.schema)).build();
        let rewrite = |part| match part {
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                Ok(match func.simplify(args, &context)? {
                    ExprSimplifyResult::Simplified(other) => Transformed::yes(other),
                    ExprSimplifyResult::Original(args) => {
                        Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))
                    }
                })
            }
            other => Ok(Transformed::no(other)),
        };
        expr.transform_up(rewrite).data().map_err(|e| planning(&e))
    }

    /// The same, for what is true or false of an item.
    pub(crate) fn resolve_condition(&self, ast: Ast) -> Result<Expr> {
        let text = ast.to_string();
        let resolved = self.resolve(ast)?;
        match resolved.get_type(&self.schema).map_err(|e| planning(&e))? {
            DataType::Boolean => Ok(resolved),
            DataType::Null => Ok(datafusion_expr::cast(resolved, DataType::Boolean)),
            other => Err(Fault::config(format!("{text} is of type {other}, not true or false"))
                .with_hint("compare it with something: … = …, … <> 0, … IS NOT NULL")),
        }
    }

    /// The columns that some expressions need, and the expressions planned for
    /// them. What fails without looking at an item fails here, under the name
    /// that the expression is given.
    pub(crate) fn compile(&self, all: &[(String, &Expr)]) -> Result<(View, Vec<Expression>)> {
        let used: HashSet<&str> = all
            .iter()
            .flat_map(|(_, e)| e.column_refs())
            .map(|column| column.name.as_str())
            .collect();
        let view = self.everything.only(&used);
        let schema = DFSchema::try_from_qualified_schema(self.table.clone(), view.schema())
            .map_err(|e| planning(&e))?;
        let compiled = all.iter().map(|(name, e)| compile(e, &schema).map_err(|f| f.at(name)));
        let compiled = compiled.collect::<Result<Vec<_>>>()?;
        Ok((view, compiled))
    }

    /// Says which name is wrong, and where, before the planner says less.
    fn check_names(&self, ast: &Ast) -> Result<()> {
        let check = visit_expressions(ast, |part| match part {
            Ast::Identifier(column) => self.check_column(column),
            Ast::CompoundIdentifier(path) => match path.as_slice() {
                [first, column, ..] if name(first) == self.table.table() => {
                    self.check_column(column)
                }
                [first, ..] => self.check_column(first),
                [] => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        });
        match check {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(fault) => Err(fault),
        }
    }

    fn check_column(&self, column: &Ident) -> ControlFlow<Fault> {
        let wanted = name(column);
        if self.everything.schema().column_with_name(&wanted).is_some() {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(self.unknown(column))
    }

    /// The fault of a column that is not there.
    pub(crate) fn unknown(&self, column: &Ident) -> Fault {
        let fields = self.everything.schema().fields();
        let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
        unknown("column", column, &names)
    }
}

/// How SQL is read: numbers with a point are exact.
pub(crate) fn options() -> ParserOptions {
    ParserOptions::new().with_parse_float_as_decimal(true).with_map_string_types_to_utf8view(false)
}

/// The fault of a column or a table that is not there.
pub(crate) fn unknown(what: &str, written: &Ident, names: &[&str]) -> Fault {
    let wanted = name(written);
    let at = place(written.span.start);
    let list = names.join(", ");
    let fault = Fault::config(format!("{at}there is no {what} {wanted:?}; there are: {list}"));
    match nearest(&written.value, names) {
        Some(n) if n.eq_ignore_ascii_case(&written.value) => {
            fault.with_hint(format!("a name with capitals stands in double quotes: \"{n}\""))
        }
        Some(n) => fault.with_hint(format!("did you mean {}?", quoted(n))),
        None if written.quote_style == Some('"') => fault.with_hint(format!(
            "double quotes mark a {what}; text stands in single quotes: '{wanted}'"
        )),
        None => fault,
    }
}

/// A name as it must be written in SQL.
fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn nearest<'a>(wanted: &str, names: &[&'a str]) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let distance = |name: &str| strsim::osa_distance(&wanted, &name.to_lowercase());
    let most = 1 + wanted.chars().count() / 4;
    names.iter().map(|n| (distance(n), *n)).filter(|(d, _)| *d <= most).min().map(|(_, n)| n)
}

/// Refuses functions that ask the clock or chance: an item that is mapped again
/// after a crash must become the same.
pub(crate) fn check_repeatable(expr: &Expr) -> Result<()> {
    let mut refused = None;
    let walked = expr.apply(|part| {
        if let Expr::ScalarFunction(call) = part
            && call.func.signature().volatility != Volatility::Immutable
        {
            refused = Some(call.func.name().to_owned());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(|e| planning(&e))?;
    let Some(function) = refused else { return Ok(()) };
    let hint = match function.as_str() {
        "input_file_name" => "the item's file is _file",
        "file_row_index" => "the item's number is _ordinal, its line is _line",
        "random" | "uuid" => {
            "let the database make the value (a DEFAULT of the column), \
             or derive it from the item, as _run and _ordinal together are unique"
        }
        _ => "let the database set the time: give the column DEFAULT CURRENT_TIMESTAMP",
    };
    Err(Fault::config(format!(
        "{function}() can't be used: it gives something else when a run goes on after a stop"
    ))
    .with_hint(hint))
}
