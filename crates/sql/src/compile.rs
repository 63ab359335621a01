//! From a typed expression to one that evaluates on arrow batches.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Schema, TimeUnit};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, Operator};
use datafusion_physical_expr::expressions::{BinaryExpr, Literal, NegativeExpr, cast, lit};
use datafusion_physical_expr::{
    PhysicalExpr, PhysicalExprSimplifier, ScalarFunctionExpr, create_physical_expr,
};
use kiln_core::{Fault, Result};

use crate::evaluate::Expression;
use crate::explain::{self, planning};

/// Plans an expression for batches of this schema. What fails without looking
/// at an item fails here.
pub(crate) fn compile(expr: &Expr, schema: &DFSchema) -> Result<Expression> {
    let arrow = schema.as_arrow();
    let planned = create_physical_expr(
        expr,
        schema,
        &ExecutionProps::new(),
        &PhysicalPlanningContext::default(),
    )
    .and_then(|physical| checked(physical, arrow))
    .and_then(fold)
    .and_then(|physical| PhysicalExprSimplifier::new(arrow).simplify(physical))
    .and_then(|physical| {
        let kind = plain_type(&physical.data_type(arrow)?);
        let physical = cast(physical, arrow, kind.clone())?;
        Ok(Expression { kind, physical })
    })
    .map_err(|e| planning(&e))?;
    dry_run(&planned, arrow)?;
    Ok(planned)
}

/// Finds what fails whatever the item is, such as `'x'` taken for a number.
fn dry_run(expression: &Expression, schema: &Schema) -> Result<()> {
    let nothing = RecordBatch::new_empty(Arc::new(schema.clone()));
    let array =
        expression.physical.evaluate(&nothing).and_then(|value| value.into_array(0)).map_err(
            |e| Fault::config(format!("it fails for every item: {}", explain::value(&e))),
        )?;
    if array.data_type() == &expression.kind {
        Ok(())
    } else {
        Err(Fault::bug(format!(
            "an expression was said to give {}, but gives {}",
            expression.kind,
            array.data_type()
        )))
    }
}

/// Evaluates what is made of constants alone, once and for one row: some
/// functions take a constant for an array, and break off where that has no rows.
/// A function that fails on constants fails for every item; what else fails is
/// left for the rows that need it.
fn fold(physical: Arc<dyn PhysicalExpr>) -> datafusion_common::Result<Arc<dyn PhysicalExpr>> {
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let empty = Arc::new(Schema::empty());
    let one_row = RecordBatch::try_new_with_options(empty, Vec::new(), &one_row)?;
    let rewrite = |node: Arc<dyn PhysicalExpr>| {
        let children = node.children();
        let is_constant =
            |child: &&Arc<dyn PhysicalExpr>| child.downcast_ref::<Literal>().is_some();
        if children.is_empty() || !children.iter().all(is_constant) {
            return Ok(Transformed::no(node));
        }
        let value = node.evaluate(&one_row).and_then(|value| value.into_array(1));
        let value = value.and_then(|array| ScalarValue::try_from_array(&array, 0));
        match value {
            Ok(value) => Ok(Transformed::yes(lit(value))),
            Err(error) if node.downcast_ref::<ScalarFunctionExpr>().is_some() => Err(error),
            Err(_) => Ok(Transformed::no(node)),
        }
    };
    physical.transform_up(rewrite).data()
}

/// Arithmetic on integers fails where it would wrap around.
fn checked(
    physical: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> datafusion_common::Result<Arc<dyn PhysicalExpr>> {
    let rewrite = |node: Arc<dyn PhysicalExpr>| {
        let arithmetic = if let Some(binary) = node.downcast_ref::<BinaryExpr>() {
            binary.clone()
        } else if let Some(negative) = node.downcast_ref::<NegativeExpr>()
            && let kind = node.data_type(schema)?
            && kind.is_signed_integer()
        {
            let zero = lit(ScalarValue::new_zero(&kind)?);
            BinaryExpr::new(zero, Operator::Minus, Arc::clone(negative.arg()))
        } else {
            return Ok(Transformed::no(node));
        };
        let arithmetic: Arc<dyn PhysicalExpr> = Arc::new(arithmetic.with_fail_on_overflow(true));
        Ok(Transformed::yes(arithmetic))
    };
    physical.transform_up(rewrite).data()
}

/// The plain form of a type: what sinks and people expect.
pub(crate) fn plain_type(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Date64 => DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Float16 => DataType::Float32,
        other => other.clone(),
    }
}
