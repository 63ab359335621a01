//! Arithmetic on whole numbers that fails where it would wrap around, as in a
//! mapping. DataFusion plans the kind that wraps.

use std::sync::{Arc, LazyLock};

use arrow_schema::{ArrowError, DataType};
use datafusion::arrow::array::{ArrayRef, Datum};
use datafusion::arrow::compute::kernels::numeric::{add, mul, sub};
use datafusion::physical_expr_common::datum::apply;
use datafusion_common::{DFSchema, Result, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion_expr::{
    ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_sql::sqlparser::ast::BinaryOperator;

/// Plans `+`, `-` and `*` of whole numbers.
#[derive(Debug)]
pub(super) struct CheckedPlanner;

impl ExprPlanner for CheckedPlanner {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let is_whole = |e: &Expr| e.get_type(schema).is_ok_and(|kind| kind.is_integer());
        let operation = match expr.op {
            BinaryOperator::Plus => &SUM,
            BinaryOperator::Minus => &DIFFERENCE,
            BinaryOperator::Multiply => &PRODUCT,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        if !is_whole(&expr.left) || !is_whole(&expr.right) {
            return Ok(PlannerResult::Original(expr));
        }
        let args = vec![expr.left, expr.right];
        let call = ScalarFunction::new_udf(Arc::clone(operation), args);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

static SUM: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Checked::function("+", Operator::Plus));
static DIFFERENCE: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Checked::function("-", Operator::Minus));
static PRODUCT: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Checked::function("*", Operator::Multiply));

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    name: &'static str,
    operator: Operator,
    signature: Signature,
}

impl Checked {
    fn function(name: &'static str, operator: Operator) -> Arc<ScalarUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::from(Self { name, operator, signature }))
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, kinds: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = kinds else { return plan_err!("{} takes two numbers", self.name) };
        let (left, right) =
            BinaryTypeCoercer::new(left, &self.operator, right).get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        let [left, right] = kinds else { return plan_err!("{} takes two numbers", self.name) };
        BinaryTypeCoercer::new(left, &self.operator, right).get_result_type()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return plan_err!("{} takes two numbers", self.name);
        };
        let kernel: fn(&dyn Datum, &dyn Datum) -> std::result::Result<ArrayRef, ArrowError> =
            match self.operator {
                Operator::Plus => add,
                Operator::Minus => sub,
                _ => mul,
            };
        apply(left, right, kernel)
    }
}
