//! JSON in a column of text: `json_get(document, 'lines', 0, 'sku')` and its
//! kin, and the operators `->` and `->>`.

mod document;
mod value;

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray,
};
use arrow_schema::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use datafusion_sql::sqlparser::ast::BinaryOperator;

use self::document::{Path, Step};
use self::value::Misfit;

/// All functions.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    Gives::ALL.into_iter().map(function).collect()
}

fn function(gives: Gives) -> ScalarUDF {
    let signature = Signature::new(TypeSignature::UserDefined, Volatility::Immutable);
    ScalarUDF::from(JsonFunction { gives, signature })
}

/// What a function gives of the value at a path; NULL where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Gives {
    /// The value as JSON.
    Json,
    /// The text of a string; of anything else, its JSON.
    Text,
    /// A whole number.
    Int,
    /// An exact number.
    Decimal,
    /// A float.
    Float,
    /// True or false.
    Bool,
    /// How many elements or keys it has.
    Length,
    /// Whether there is one at all, be it `null`.
    Exists,
}

impl Gives {
    const ALL: [Self; 8] = [
        Self::Json,
        Self::Text,
        Self::Int,
        Self::Decimal,
        Self::Float,
        Self::Bool,
        Self::Length,
        Self::Exists,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Json => "json_get",
            Self::Text => "json_get_str",
            Self::Int => "json_get_int",
            Self::Decimal => "json_get_decimal",
            Self::Float => "json_get_float",
            Self::Bool => "json_get_bool",
            Self::Length => "json_length",
            Self::Exists => "json_exists",
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Json | Self::Text => DataType::Utf8,
            Self::Int | Self::Length => DataType::Int64,
            Self::Decimal => DataType::Decimal128(DECIMAL128_MAX_PRECISION, value::SCALE),
            Self::Float => DataType::Float64,
            Self::Bool | Self::Exists => DataType::Boolean,
        }
    }

    /// What a value should have been.
    fn noun(self) -> &'static str {
        match self {
            Self::Json | Self::Text | Self::Exists => "text",
            Self::Int => "whole number",
            Self::Decimal => "decimal(38,10)",
            Self::Float => "float",
            Self::Bool => "boolean",
            Self::Length => "array or object",
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    gives: Gives,
    signature: Signature,
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        self.gives.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.gives.data_type())
    }

    /// A text, then keys and places.
    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let Some((document, path)) = given.split_first() else {
            return plan_err!("{} needs a document", self.name());
        };
        if !is_text(document) {
            return plan_err!("{} reads JSON from text, not from {document}", self.name());
        }
        let step = |kind: &DataType| match kind {
            _ if is_text(kind) => Ok(DataType::Utf8),
            _ if kind.is_integer() => Ok(DataType::Int64),
            _ => plan_err!(
                "{}: a path is made of keys (texts) and places (integers), not of {kind}",
                self.name()
            ),
        };
        std::iter::once(Ok(DataType::Utf8)).chain(path.iter().map(step)).collect()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let array = self.gives.of(&arrays)?;
        Ok(match is_constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?),
            false => ColumnarValue::Array(array),
        })
    }
}

fn is_text(kind: &DataType) -> bool {
    kind.is_string() || kind.is_null()
}

impl Gives {
    /// The values for all rows.
    fn of(self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let rows = Rows::new(arguments)?;
        Ok(match self {
            Self::Json => {
                Arc::new(rows.each(self, |raw| Ok(raw.to_owned()))?.collect::<StringArray>())
            }
            Self::Text => {
                let text = |raw: &str| value::text(raw).map(|text| text.into_owned());
                Arc::new(rows.each(self, text)?.collect::<StringArray>())
            }
            Self::Int => Arc::new(rows.each(self, value::int)?.collect::<Int64Array>()),
            Self::Decimal => {
                let decimals: Decimal128Array = rows.each(self, value::decimal)?.collect();
                let (precision, scale) = (DECIMAL128_MAX_PRECISION, value::SCALE);
                Arc::new(decimals.with_precision_and_scale(precision, scale)?)
            }
            Self::Float => Arc::new(rows.each(self, value::float)?.collect::<Float64Array>()),
            Self::Bool => Arc::new(rows.each(self, value::bool)?.collect::<BooleanArray>()),
            Self::Length => {
                let length =
                    |raw: &str| document::len(raw).map_err(Misfit::Text)?.ok_or(Misfit::Kind);
                Arc::new(rows.each(self, length)?.collect::<Int64Array>())
            }
            Self::Exists => Arc::new(rows.exist()?),
        })
    }
}

/// The documents and paths of a batch.
struct Rows<'a> {
    documents: &'a StringArray,
    path: Vec<Steps<'a>>,
}

/// A step of the path, for each row.
enum Steps<'a> {
    Keys(&'a StringArray),
    Places(&'a Int64Array),
}

impl<'a> Rows<'a> {
    fn new(arguments: &'a [ArrayRef]) -> Result<Self> {
        let Some((documents, path)) = arguments.split_first() else {
            return plan_err!("a document is missing");
        };
        let steps = |array: &'a ArrayRef| match array.data_type() {
            DataType::Int64 => Steps::Places(array.as_primitive::<Int64Type>()),
            _ => Steps::Keys(array.as_string()),
        };
        Ok(Self { documents: documents.as_string(), path: path.iter().map(steps).collect() })
    }

    /// The path of a row; none if a step of it is NULL.
    fn path(&self, row: usize) -> Option<Vec<Step<'a>>> {
        let step = |steps: &Steps<'a>| match steps {
            Steps::Keys(keys) => keys.is_valid(row).then(|| Step::Key(keys.value(row))),
            Steps::Places(places) => places.is_valid(row).then(|| Step::Place(places.value(row))),
        };
        self.path.iter().map(step).collect()
    }

    /// What a row's path leads to, as it is written, and the path.
    fn find(&self, row: usize) -> Result<Option<(&'a str, Vec<Step<'a>>)>> {
        if self.documents.is_null(row) {
            return Ok(None);
        }
        let Some(path) = self.path(row) else { return Ok(None) };
        let found = document::find(self.documents.value(row), &path).map_err(no_json)?;
        Ok(found.map(|raw| (raw, path)))
    }

    /// The values of all rows, read by `read`; NULL for `null` and for nothing.
    fn each<T>(
        &self,
        gives: Gives,
        read: impl Fn(&str) -> Result<T, Misfit>,
    ) -> Result<std::vec::IntoIter<Option<T>>> {
        let value = |row| match self.find(row)? {
            None | Some(("null", _)) => Ok(None),
            Some((raw, path)) => {
                read(raw).map(Some).map_err(|why| misfit(gives, &Path(&path), raw, why))
            }
        };
        let values: Vec<Option<T>> = (0..self.documents.len()).map(value).collect::<Result<_>>()?;
        Ok(values.into_iter())
    }

    fn exist(&self) -> Result<BooleanArray> {
        let exists = |row| match self.documents.is_null(row) {
            true => Ok(None),
            false => self.find(row).map(|found| Some(found.is_some())),
        };
        (0..self.documents.len()).map(exists).collect()
    }
}

/// A document, or a value in it, that is not what was asked for.
#[derive(Debug)]
pub(crate) struct NotAsAsked(String);

impl fmt::Display for NotAsAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NotAsAsked {}

fn not_as_asked(what: String) -> DataFusionError {
    DataFusionError::External(Box::new(NotAsAsked(what)))
}

/// The fault of a document that is no JSON, with the place in it.
fn no_json(error: serde_json::Error) -> DataFusionError {
    let shown = error.to_string();
    let what = shown.rsplit_once(" at line ").map_or(shown.as_str(), |(what, _)| what);
    not_as_asked(match (error.line(), error.column()) {
        (_, 0) => format!("no JSON: {what}"),
        (0 | 1, column) => format!("no JSON: {what}, column {column}"),
        (line, column) => format!("no JSON: {what}, line {line}, column {column}"),
    })
}

fn misfit(gives: Gives, path: &Path<'_>, raw: &str, why: Misfit) -> DataFusionError {
    const MOST: usize = 60;
    let shown = match raw.char_indices().nth(MOST) {
        None => raw.to_owned(),
        Some((end, _)) => format!("{}…", &raw[..end]),
    };
    let noun = gives.noun();
    not_as_asked(match why {
        Misfit::Kind => format!("{path} is {shown}, which is no {noun}"),
        Misfit::Digits => format!("{path} is {shown}, which has too many digits for a {noun}"),
        Misfit::Text(error) => format!("{path} is {shown}: {error}"),
    })
}

/// Plans `->` as `json_get` and `->>` as `json_get_str`.
#[derive(Debug)]
pub(crate) struct JsonPlanner;

impl ExprPlanner for JsonPlanner {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        _: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let gives = match expr.op {
            BinaryOperator::Arrow => Gives::Json,
            BinaryOperator::LongArrow => Gives::Text,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        // `a -> 'b' ->> 'c'` is one walk.
        let mut arguments = match expr.left {
            Expr::ScalarFunction(ScalarFunction { func, args })
                if func.name() == Gives::Json.name() =>
            {
                args
            }
            left => vec![left],
        };
        arguments.push(expr.right);
        let call = ScalarFunction::new_udf(Arc::new(function(gives)), arguments);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}
