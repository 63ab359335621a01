//! Sums of whole numbers that fail where they would wrap around.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, DFSchemaRef, Result};
use datafusion_expr::logical_plan::{Aggregate, Projection, Window};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, WindowFunctionDefinition, cast};

/// Wide enough for any whole number, and so many of them that no file holds more.
const WIDE: DataType = DataType::Decimal128(20, 0);

/// The same plan with such sums done in decimals, and made whole numbers again.
pub(super) fn exact(plan: LogicalPlan) -> Result<LogicalPlan> {
    let widen = |node: LogicalPlan| match &node {
        LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, schema, .. }) => {
            let Some(wide) = all(aggr_expr, input.schema())? else {
                return Ok(Transformed::no(node));
            };
            let wide = Aggregate::try_new(Arc::clone(input), group_expr.clone(), wide)?;
            as_before(LogicalPlan::Aggregate(wide), schema)
        }
        LogicalPlan::Window(Window { input, window_expr, schema, .. }) => {
            let Some(wide) = all(window_expr, input.schema())? else {
                return Ok(Transformed::no(node));
            };
            let wide = Window::try_new(wide, Arc::clone(input))?;
            as_before(LogicalPlan::Window(wide), schema)
        }
        _ => Ok(Transformed::no(node)),
    };
    plan.transform_up_with_subqueries(widen).data()
}

/// The expressions with wide sums, if there are any to widen.
fn all(expressions: &[Expr], input: &DFSchema) -> Result<Option<Vec<Expr>>> {
    let mut any = false;
    let widened = expressions.iter().map(|expression| {
        let name = expression.schema_name().to_string();
        let wide = expression.clone().transform_up(|part| widened(part, input))?;
        any |= wide.transformed;
        Ok(if wide.transformed { wide.data.alias(name) } else { wide.data })
    });
    let widened = widened.collect::<Result<Vec<_>>>()?;
    Ok(any.then_some(widened))
}

fn widened(mut part: Expr, input: &DFSchema) -> Result<Transformed<Expr>> {
    let arguments = match &mut part {
        Expr::AggregateFunction(sum) if sum.func.name() == "sum" => &mut sum.params.args,
        Expr::WindowFunction(sum) => match &sum.fun {
            WindowFunctionDefinition::AggregateUDF(f) if f.name() == "sum" => &mut sum.params.args,
            _ => return Ok(Transformed::no(part)),
        },
        _ => return Ok(Transformed::no(part)),
    };
    match arguments.as_mut_slice() {
        [number] if number.get_type(input)?.is_integer() => {
            *number = cast(std::mem::take(number), WIDE);
            Ok(Transformed::yes(part))
        }
        _ => Ok(Transformed::no(part)),
    }
}

/// The columns of a plan under the names and in the types that they had.
fn as_before(wide: LogicalPlan, before: &DFSchemaRef) -> Result<Transformed<LogicalPlan>> {
    let columns = wide.schema().iter().zip(before.iter());
    let columns = columns.map(|((qualifier, field), (old, as_was))| {
        let column = Expr::Column((qualifier, field).into());
        if field.data_type() == as_was.data_type() {
            return column;
        }
        cast(column, as_was.data_type().clone()).alias_qualified(old.cloned(), as_was.name())
    });
    let columns = columns.collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(wide))?)))
}
