//! From the text of a query to a logical plan.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::LogicalPlan;
use datafusion_sql::planner::SqlToRel;
use kiln_core::{Fault, Result};

use super::context::Context;
use super::fault::planning;
use super::physical::Room;
use super::table::QueryTable;
use super::{names, order, sums};
use crate::columns::check_unique;
use crate::compile::plain_type;
use crate::plan::{check_repeatable, options};
use crate::{depth, parse};

/// A query that can be run.
#[derive(Debug)]
pub(super) struct Planned {
    /// The text as the parser writes it: without comments, in one line.
    pub(super) text: String,
    pub(super) plan: LogicalPlan,
    /// The columns of the result, in their plain types.
    pub(super) schema: SchemaRef,
}

/// Parses, checks and plans a query over these tables.
///
/// # Errors
/// [`Kind::Config`](kiln_core::Kind::Config).
pub(super) fn plan(sql: &str, tables: &[Arc<QueryTable>]) -> Result<Planned> {
    depth::with_room(|| {
        let hint = "write a SELECT over the tables of [source.tables]";
        let statement = parse::statement(sql, hint)?;
        let known: Vec<&str> = tables.iter().map(|t| t.name.as_str()).collect();
        names::check(&statement, &known)?;
        let text = statement.to_string();
        let context = Context::new(tables)?;
        let options = options().with_collect_spans(true);
        let plan = SqlToRel::new_with_options(&context, options)
            .sql_statement_to_plan(statement)
            .map_err(|e| planning(&e))?;
        repeatable(&plan)?;
        check_unique(plan.schema().fields().iter().map(|f| f.name().as_str()))?;
        let plan = sums::exact(plan).and_then(order::total).map_err(|e| planning(&e))?;
        // What can't be run is refused here, not when it is.
        let physical = Room::to_look().plan(&plan).map_err(|e| planning(&e))?;
        let schema = plain_schema(&physical.schema())?;
        Ok(Planned { text, plan, schema })
    })
}

/// Refuses functions that ask the clock or chance.
fn repeatable(plan: &LogicalPlan) -> Result<()> {
    let mut refused = None;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| match check_repeatable(expr) {
            Ok(()) => Ok(TreeNodeRecursion::Continue),
            Err(fault) => {
                refused = Some(fault);
                Ok(TreeNodeRecursion::Stop)
            }
        })
    });
    walked.map_err(|e| planning(&e))?;
    refused.map_or(Ok(()), Err)
}

fn plain_schema(schema: &Schema) -> Result<SchemaRef> {
    let plain = |field: &Arc<Field>| match field.data_type() {
        kind if kind.is_nested() => Err(Fault::config(format!(
            "column {}: values of type {kind} can't be items",
            field.name()
        ))
        .with_column(field.name())
        .with_hint("make it one value, as with string_agg(…, ',')")),
        DataType::Interval(_) | DataType::Duration(_) => {
            Err(Fault::config(format!("column {}: lengths of time can't be items", field.name()))
                .with_column(field.name())
                .with_hint("make it a number, as with date_part('day', …)"))
        }
        kind => Ok(Field::new(field.name(), plain_type(kind), true)),
    };
    let fields = schema.fields().iter().map(plain).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}
