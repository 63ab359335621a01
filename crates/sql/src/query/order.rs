//! A total order of a query's rows, so that each has the same ordinal whenever
//! the query is run.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion_common::Result;
use datafusion_expr::expr::Sort as SortKey;
use datafusion_expr::logical_plan::{Limit, Sort};
use datafusion_expr::{Expr, LogicalPlan};

/// The same rows in the order that the query asks for; rows that it leaves equal
/// are ordered by all their columns. Those that are equal even then are
/// interchangeable.
///
/// It goes below a LIMIT, which so always means the same rows.
pub(super) fn total(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Sort(sort) => Ok(by_all(sort.expr, sort.input, sort.fetch)),
        LogicalPlan::Limit(limit) => {
            let input = total(Arc::unwrap_or_clone(limit.input))?;
            Ok(LogicalPlan::Limit(Limit { input: Arc::new(input), ..limit }))
        }
        LogicalPlan::Projection(projection) if is_ordered(&projection.input) => {
            let input = total(Arc::unwrap_or_clone(projection.input))?;
            LogicalPlan::Projection(datafusion_expr::Projection::try_new(
                projection.expr,
                Arc::new(input),
            )?)
            .recompute_schema()
        }
        unordered => Ok(by_all(Vec::new(), Arc::new(unordered), None)),
    }
}

/// Whether the rows come in an order that somebody asked for.
fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => true,
        LogicalPlan::Projection(projection) => is_ordered(&projection.input),
        _ => false,
    }
}

fn by_all(mut keys: Vec<SortKey>, input: Arc<LogicalPlan>, fetch: Option<usize>) -> LogicalPlan {
    for (qualifier, field) in input.schema().iter() {
        let column = Expr::Column((qualifier, field).into());
        // Nothing else has no order.
        let has_order = !matches!(field.data_type(), DataType::Map(..));
        if has_order && keys.iter().all(|key| key.expr != column) {
            keys.push(column.sort(true, false));
        }
    }
    if keys.is_empty() {
        return Arc::unwrap_or_clone(input);
    }
    LogicalPlan::Sort(Sort { expr: keys, input, fetch })
}
