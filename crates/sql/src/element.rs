//! `list[n]`: an element of a list, such as the groups that `regexp_match` finds;
//! and `structure['field']`.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, UInt64Array};
use arrow_schema::DataType;
use arrow_select::take::take;
use datafusion_common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion_expr::{
    ColumnarValue, Expr, ExprSchemable as _, GetFieldAccess, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion_functions::core::get_field;

/// `array_element(list, n)`, counted from 1; NULL where the list has none.
pub(crate) fn function() -> ScalarUDF {
    let signature = Signature::new(TypeSignature::UserDefined, Volatility::Immutable);
    ScalarUDF::from(ArrayElement { signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayElement {
    signature: Signature,
}

impl ScalarUDFImpl for ArrayElement {
    fn name(&self) -> &'static str {
        "array_element"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match given {
            [DataType::List(element), _] => Ok(element.data_type().clone()),
            _ => plan_err!("only a list has elements"),
        }
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [list @ DataType::List(_), place] if place.is_integer() => {
                Ok(vec![list.clone(), DataType::Int64])
            }
            _ => plan_err!("array_element needs a list and a place, counted from 1"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [lists, places] = arrays.as_slice() else {
            return plan_err!("array_element needs a list and a place");
        };
        let (lists, places) = (lists.as_list::<i32>(), places.as_primitive::<Int64Type>());
        let index = |row: usize| {
            let place = (places.is_valid(row) && lists.is_valid(row)).then(|| places.value(row))?;
            let nth = u64::try_from(place).ok()?.checked_sub(1)?;
            let len = u64::try_from(lists.value_length(row)).ok()?;
            let begin = u64::try_from(lists.value_offsets()[row]).ok()?;
            (nth < len).then_some(begin + nth)
        };
        let indices: UInt64Array = (0..lists.len()).map(index).collect();
        let array = take(lists.values(), &indices, None)?;
        Ok(match is_constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?),
            false => ColumnarValue::Array(array),
        })
    }
}

/// Plans `list[n]` and `structure['field']`.
#[derive(Debug)]
pub(crate) struct ElementPlanner;

impl ExprPlanner for ElementPlanner {
    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { field_access, expr } = expr;
        Ok(match (field_access, expr.get_type(schema)?) {
            (GetFieldAccess::ListIndex { key }, DataType::List(_)) => {
                PlannerResult::Planned(function().call(vec![expr, *key]))
            }
            (GetFieldAccess::NamedStructField { name }, DataType::Struct(_)) => {
                PlannerResult::Planned(get_field().call(vec![expr, Expr::Literal(name, None)]))
            }
            (field_access, _) => PlannerResult::Original(RawFieldAccessExpr { field_access, expr }),
        })
    }
}
