//! From an expression and a batch to an array, and the rows that failed.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, ArrayRef, RecordBatch, new_empty_array, new_null_array};
use arrow_schema::{DECIMAL128_MAX_PRECISION, DataType};
use arrow_select::concat::concat;
use datafusion_common::DataFusionError;
use datafusion_physical_expr::PhysicalExpr;
use kiln_core::{Fault, Result};

use crate::explain;

/// An expression, planned for the batches of one [`View`](crate::view::View).
#[derive(Debug, Clone)]
pub(crate) struct Expression {
    /// What it gives.
    pub(crate) kind: DataType,
    pub(crate) physical: Arc<dyn PhysicalExpr>,
}

/// The rows for which an expression failed, rising, and why.
pub(crate) type Failed = Vec<(usize, Fault)>;

/// What an expression gave.
#[derive(Debug)]
pub(crate) struct Evaluated {
    /// A value for each row; NULL where it failed.
    pub(crate) array: ArrayRef,
    pub(crate) failed: Failed,
}

impl Expression {
    /// Evaluates it for each row.
    ///
    /// A row has the value, or the fault, that it would have alone: when a
    /// stretch fails, its halves are tried, down to single rows. Of n rows, k
    /// that fail cost about 2·k·log2(n/k) + 2·k evaluations.
    pub(crate) fn evaluate(&self, batch: &RecordBatch) -> Result<Evaluated> {
        let rows = batch.num_rows();
        match self.whole(batch) {
            Ok(array) => Ok(Evaluated { array, failed: Vec::new() }),
            Err(error) => {
                let mut halves =
                    Halves::new(|r: Range<usize>| self.whole(&batch.slice(r.start, r.len())));
                halves.behind(0..rows, error);
                halves.join(&self.kind)
            }
        }
    }

    /// Evaluates a condition: the rows for which it is false or NULL, and among
    /// them those for which it failed.
    pub(crate) fn broken(&self, batch: &RecordBatch) -> Result<(Vec<usize>, Failed)> {
        let Evaluated { array, failed } = self.evaluate(batch)?;
        let holds = array.as_boolean();
        let broken = |row: &usize| !(holds.is_valid(*row) && holds.value(*row));
        Ok(((0..holds.len()).filter(broken).collect(), failed))
    }

    /// Evaluates a condition: the rows for which it is false, and those for which
    /// it failed.
    pub(crate) fn refuted(&self, batch: &RecordBatch) -> Result<(Vec<usize>, Failed)> {
        let Evaluated { array, failed } = self.evaluate(batch)?;
        let holds = array.as_boolean();
        let refuted = |row: &usize| holds.is_valid(*row) && !holds.value(*row);
        Ok(((0..holds.len()).filter(refuted).collect(), failed))
    }

    /// Evaluates it for all rows or fails.
    pub(crate) fn whole(&self, batch: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
        if batch.num_rows() == 0 {
            return Ok(new_empty_array(&self.kind));
        }
        let array = self.physical.evaluate(batch)?.into_array(batch.num_rows())?;
        // Types grow with arithmetic, so that results fit, except beyond the
        // largest: there arrow computes on without a look at the digits.
        if let DataType::Decimal128(DECIMAL128_MAX_PRECISION, _) = array.data_type() {
            let decimals = array.as_primitive::<Decimal128Type>();
            decimals.validate_decimal_precision(DECIMAL128_MAX_PRECISION)?;
        }
        Ok(array)
    }
}

/// Finds the rows that fail, by halving.
struct Halves<F> {
    whole: F,
    pieces: Vec<Option<ArrayRef>>,
    failed: Failed,
}

impl<F: FnMut(Range<usize>) -> Result<ArrayRef, DataFusionError>> Halves<F> {
    fn new(whole: F) -> Self {
        Self { whole, pieces: Vec::new(), failed: Vec::new() }
    }

    /// Goes on behind the failure of these rows.
    fn behind(&mut self, rows: Range<usize>, error: DataFusionError) {
        if rows.len() <= 1 {
            self.failed.push((rows.start, explain::value(&error)));
            self.pieces.push(None);
            return;
        }
        let middle = rows.start + rows.len() / 2;
        for half in [rows.start..middle, middle..rows.end] {
            match (self.whole)(half.clone()) {
                Ok(array) => self.pieces.push(Some(array)),
                Err(error) => self.behind(half, error),
            }
        }
    }

    fn join(self, kind: &DataType) -> Result<Evaluated> {
        let hole = new_null_array(kind, 1);
        let pieces: Vec<_> =
            self.pieces.iter().map(|p| p.as_ref().unwrap_or(&hole).as_ref()).collect();
        let array = concat(&pieces)
            .map_err(|e| Fault::bug(format!("the parts of a column do not fit together: {e}")))?;
        Ok(Evaluated { array, failed: self.failed })
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use datafusion_common::exec_datafusion_err;

    use super::*;

    /// Evaluates n rows of which some fail; what came out, and how many
    /// evaluations it took.
    fn halve(n: usize, bad: &[usize]) -> (Evaluated, usize) {
        let mut evaluations = 1;
        let mut halves = Halves::new(|rows: Range<usize>| {
            evaluations += 1;
            match bad.iter().find(|b| rows.contains(b)) {
                Some(b) => Err(exec_datafusion_err!("row {b}")),
                None => {
                    Ok(Arc::new(Int64Array::from_iter_values(rows.map(|r| r as i64))) as ArrayRef)
                }
            }
        });
        halves.behind(0..n, exec_datafusion_err!("row {}", bad[0]));
        let evaluated = halves.join(&DataType::Int64).unwrap();
        (evaluated, evaluations)
    }

    #[test]
    fn halving_finds_all_bad_rows_in_bounded_time() {
        let cases: [(usize, Vec<usize>); 7] = [
            (1, vec![0]),
            (1_000, vec![0]),
            (1_000, vec![999]),
            (1_000, (0..10).map(|i| i * 97).collect()),
            (1_000, (0..100).map(|i| i * 10 + 3).collect()),
            (4_999, vec![0, 1, 2_499, 2_500, 4_998]),
            (1_000, (0..1_000).collect()),
        ];
        for (n, bad) in cases {
            let (evaluated, evaluations) = halve(n, &bad);
            let (rows, k) = (n as f64, bad.len() as f64);
            let bound = 2.0 * k * (rows / k).log2() + 2.0 * k + 1.0;
            assert!(evaluations as f64 <= bound, "{n}, {k}: {evaluations} > {bound}");
            let failed: Vec<usize> = evaluated.failed.iter().map(|(row, _)| *row).collect();
            assert_eq!(failed, bad);
            let values = evaluated.array.as_primitive::<arrow_array::types::Int64Type>();
            assert_eq!(values.len(), n);
            for row in 0..n {
                let value = values.is_valid(row).then(|| values.value(row));
                assert_eq!(value, (!bad.contains(&row)).then_some(row as i64));
            }
            for (row, fault) in evaluated.failed {
                assert_eq!(fault.message(), format!("row {row}"));
            }
        }
    }
}
