//! Adding up rows that have the same key.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use kiln_core::{Cell, CellColumn, Fault, Refusal, Result, Rows};

/// One row for each key: the first `keys` columns are the key, the others are
/// added up. Rows are sorted by key, always in the same way, so that two writers
/// lock them in the same order.
///
/// Integers become `Int64`, decimals `Decimal128(38, scale)`, floats `Float64`;
/// a NULL adds nothing.
///
/// # Errors
/// Of [`Kind::Item`](kiln_core::Kind::Item), with the item's ordinal, where a
/// key is NULL or a sum leaves its range; of
/// [`Kind::Config`](kiln_core::Kind::Config) for a column that can't be added.
pub(crate) fn sum_by_key(rows: &Rows, keys: usize) -> Result<RecordBatch, Refusal> {
    let columns = CellColumn::of(&rows.batch)?;
    let (key_columns, addends) = columns.split_at(keys.min(columns.len()));
    let names: Vec<&str> =
        rows.batch.schema_ref().fields().iter().map(|f| f.name().as_str()).collect();
    let groups = groups(rows, key_columns, &names)?;

    let firsts = UInt64Array::from_iter_values(groups.iter().map(|group| group[0] as u64));
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for array in &rows.batch.columns()[..key_columns.len()] {
        let taken = arrow_select::take::take(array, &firsts, None)
            .map_err(|e| Fault::bug(format!("keys can't be taken out of a unit: {e}")))?;
        arrays.push(taken);
    }
    for (addend, name) in addends.iter().zip(&names[key_columns.len()..]) {
        arrays.push(sums(rows, &groups, addend, name)?);
    }
    batch_of(&names, arrays)
}

/// One row for each group of rows that have the same key: numbers are added up
/// as in [`sum_by_key`], but a group of NULLs stays NULL; keys and what is no
/// number are the last row's.
///
/// # Errors
/// As [`sum_by_key`].
pub(crate) fn sum_groups(
    rows: &Rows,
    groups: &[Vec<usize>],
    keys: &[usize],
) -> Result<RecordBatch, Refusal> {
    let lasts = groups.iter().filter_map(|group| group.last().map(|row| *row as u64));
    let lasts = UInt64Array::from_iter_values(lasts);
    let mut names = Vec::with_capacity(rows.batch.num_columns());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(rows.batch.num_columns());
    for (i, (field, array)) in
        rows.batch.schema_ref().fields().iter().zip(rows.batch.columns()).enumerate()
    {
        let adds = !keys.contains(&i) && field.data_type().is_numeric();
        arrays.push(if adds {
            let column = CellColumn::new(array.as_ref())?;
            let sums = sums(rows, groups, &column, field.name())?;
            null_where(&sums, groups, |row| column.cell(row).is_null())?
        } else {
            arrow_select::take::take(array, &lasts, None)
                .map_err(|e| Fault::bug(format!("rows can't be taken out of a unit: {e}")))?
        });
        names.push(field.name().as_str());
    }
    batch_of(&names, arrays)
}

/// The sums, NULL for each group in which every row is.
fn null_where(
    sums: &ArrayRef,
    groups: &[Vec<usize>],
    is_null: impl Fn(usize) -> bool,
) -> Result<ArrayRef> {
    let numbers = groups.iter().enumerate();
    let numbers: UInt64Array = numbers
        .map(|(i, group)| (!group.iter().all(|row| is_null(*row))).then_some(i as u64))
        .collect();
    arrow_select::take::take(sums, &numbers, None)
        .map_err(|e| Fault::bug(format!("sums can't be put in order: {e}")))
}

fn batch_of(names: &[&str], arrays: Vec<ArrayRef>) -> Result<RecordBatch, Refusal> {
    let fields: Vec<Field> = names
        .iter()
        .zip(&arrays)
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|e| Fault::bug(format!("sums make no batch: {e}")).into())
}

/// The rows of each key, keys sorted, rows in item order.
fn groups(
    rows: &Rows,
    columns: &[CellColumn<'_>],
    names: &[&str],
) -> Result<Vec<Vec<usize>>, Refusal> {
    let mut keyed: Vec<(Vec<Cell<'_>>, usize)> = Vec::with_capacity(rows.len());
    for row in 0..rows.len() {
        let key: Vec<Cell<'_>> = columns.iter().map(|c| c.cell(row)).collect();
        if let Some(null) = key.iter().position(Cell::is_null) {
            let fault = Fault::item(format!("the key {} is NULL", names[null]))
                .with_code("null_key")
                .with_column(names[null]);
            return Err(Refusal::of(Some(rows.ordinals[row]), fault));
        }
        keyed.push((key, row));
    }
    keyed.sort_by(|(a, _), (b, _)| compare_keys(a, b));
    Ok(keyed
        .chunk_by(|(a, _), (b, _)| compare_keys(a, b).is_eq())
        .map(|group| group.iter().map(|(_, row)| *row).collect())
        .collect())
}

fn compare_keys(a: &[Cell<'_>], b: &[Cell<'_>]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// Orders two values of one column.
fn compare(a: &Cell<'_>, b: &Cell<'_>) -> Ordering {
    match (a, b) {
        (Cell::Bool(a), Cell::Bool(b)) => a.cmp(b),
        (Cell::Int(a), Cell::Int(b)) | (Cell::Time(a), Cell::Time(b)) => a.cmp(b),
        (Cell::Timestamp(a, _), Cell::Timestamp(b, _)) => a.cmp(b),
        (Cell::UInt(a), Cell::UInt(b)) => a.cmp(b),
        (Cell::Int(_), Cell::UInt(_)) => Ordering::Less,
        (Cell::UInt(_), Cell::Int(_)) => Ordering::Greater,
        // Adding zero makes one of the two zeros, which are one key to a database.
        (Cell::Float(a), Cell::Float(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
        (Cell::Decimal(a, _), Cell::Decimal(b, _)) => a.cmp(b),
        (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
        (Cell::Bytes(a), Cell::Bytes(b)) => a.cmp(b),
        (Cell::Date(a), Cell::Date(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

fn sums(
    rows: &Rows,
    groups: &[Vec<usize>],
    column: &CellColumn<'_>,
    name: &str,
) -> Result<ArrayRef, Refusal> {
    let overflow = |row: usize| {
        let fault = Fault::item(format!("the sum for {name} leaves the range of its type"))
            .with_code("out_of_range")
            .with_column(name);
        Refusal::of(Some(rows.ordinals[row]), fault)
    };
    match column {
        CellColumn::Float32(_) | CellColumn::Float64(_) => {
            let sum = |group: &Vec<usize>| group.iter().map(|row| float(column, *row)).sum::<f64>();
            Ok(Arc::new(Float64Array::from_iter_values(groups.iter().map(sum))))
        }
        CellColumn::Decimal(_, scale) => {
            let sums = exact_sums(groups, column, |sum| sum.unsigned_abs() < 10u128.pow(38))
                .map_err(overflow)?;
            Decimal128Array::from(sums)
                .with_precision_and_scale(38, *scale)
                .map(|array| Arc::new(array) as ArrayRef)
                .map_err(|e| Fault::bug(format!("sums of {name}: {e}")).into())
        }
        _ if is_integer(column) => {
            let sums = exact_sums(groups, column, |sum| i64::try_from(sum).is_ok())
                .map_err(overflow)?
                .into_iter()
                .filter_map(|sum| i64::try_from(sum).ok());
            Ok(Arc::new(Int64Array::from_iter_values(sums)))
        }
        _ => {
            let type_ = rows.batch.column_by_name(name).map(|a| a.data_type().clone());
            let type_ = type_.unwrap_or(DataType::Null);
            Err(Fault::config(format!("{name} can't be added up: it is of type {type_}"))
                .with_hint("cast it to a number in [map] sql")
                .into())
        }
    }
}

fn is_integer(column: &CellColumn<'_>) -> bool {
    use CellColumn as C;
    matches!(
        column,
        C::Null
            | C::Int8(_)
            | C::Int16(_)
            | C::Int32(_)
            | C::Int64(_)
            | C::UInt8(_)
            | C::UInt16(_)
            | C::UInt32(_)
            | C::UInt64(_)
    )
}

/// The sum of each group; or the row at which one of them leaves the range.
fn exact_sums(
    groups: &[Vec<usize>],
    column: &CellColumn<'_>,
    in_range: impl Fn(i128) -> bool,
) -> Result<Vec<i128>, usize> {
    let add = |sum: i128, row: &usize| {
        let addend = match column.cell(*row) {
            Cell::Int(i) => i128::from(i),
            Cell::UInt(u) => i128::from(u),
            Cell::Decimal(digits, _) => digits,
            _ => 0,
        };
        sum.checked_add(addend).filter(|sum| in_range(*sum)).ok_or(*row)
    };
    groups.iter().map(|group| group.iter().try_fold(0, add)).collect()
}

fn float(column: &CellColumn<'_>, row: usize) -> f64 {
    match column.cell(row) {
        Cell::Float(x) => x,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
    use arrow_array::{Array, StringArray};
    use kiln_core::Kind;

    use super::*;

    fn rows(columns: Vec<(&str, ArrayRef)>) -> Rows {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let ordinals = (0..batch.num_rows() as u64).map(|i| 100 + i).collect();
        Rows { batch, ordinals }
    }

    fn ints(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    #[test]
    fn keys_are_sorted_and_everything_is_added_exactly() {
        let price = Decimal128Array::from(vec![Some(1), Some(2), None, Some(i128::from(i64::MAX))])
            .with_precision_and_scale(20, 3)
            .unwrap();
        let rows = rows(vec![
            ("code", Arc::new(StringArray::from(vec!["b", "a", "b", "a"]))),
            ("n", ints(&[Some(1), Some(2), Some(-5), None])),
            ("price", Arc::new(price)),
            ("x", Arc::new(Float64Array::from(vec![0.5, 0.25, 0.5, 1.0]))),
        ]);
        let sums = sum_by_key(&rows, 1).unwrap();
        assert_eq!(
            sums.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(sums.column(1).as_primitive::<Int64Type>().values().to_vec(), [2, -4]);
        let decimals = sums.column(2).as_primitive::<Decimal128Type>();
        assert_eq!(decimals.data_type(), &DataType::Decimal128(38, 3));
        assert_eq!(decimals.values().to_vec(), [i128::from(i64::MAX) + 2, 1]);
        assert_eq!(sums.column(3).as_primitive::<Float64Type>().values().to_vec(), [1.25, 1.0]);
    }

    #[test]
    fn a_key_may_have_several_columns_and_zero_is_one_key() {
        let rows = rows(vec![
            ("a", ints(&[Some(1), Some(1), Some(0), Some(1)])),
            ("b", Arc::new(Float64Array::from(vec![0.0, -0.0, 7.0, 1.0]))),
            ("n", ints(&[Some(1), Some(2), Some(3), Some(4)])),
        ]);
        let sums = sum_by_key(&rows, 2).unwrap();
        assert_eq!(sums.column(0).as_primitive::<Int64Type>().values().to_vec(), [0, 1, 1]);
        assert_eq!(sums.column(2).as_primitive::<Int64Type>().values().to_vec(), [3, 3, 4]);
    }

    #[test]
    fn the_item_at_fault_is_named() {
        let null = rows(vec![
            ("k", ints(&[Some(1), None, None])),
            ("n", ints(&[Some(1), Some(2), Some(3)])),
        ]);
        let refusal = sum_by_key(&null, 1).unwrap_err();
        assert_eq!(
            (refusal.fault.kind(), refusal.ordinal, refusal.fault.column()),
            (Kind::Item, Some(101), Some("k"))
        );

        let much = rows(vec![
            ("k", ints(&[Some(1), Some(2), Some(1)])),
            ("n", ints(&[Some(i64::MAX), Some(i64::MAX), Some(1)])),
        ]);
        let refusal = sum_by_key(&much, 1).unwrap_err();
        assert_eq!((refusal.fault.kind(), refusal.ordinal), (Kind::Item, Some(102)));
    }

    #[test]
    fn text_is_no_addend_and_nothing_gives_nothing() {
        let text = rows(vec![
            ("k", ints(&[Some(1)])),
            ("n", Arc::new(StringArray::from(vec!["1"])) as ArrayRef),
        ]);
        assert_eq!(sum_by_key(&text, 1).unwrap_err().fault.kind(), Kind::Config);
        let none = rows(vec![("k", ints(&[])), ("n", ints(&[]))]);
        assert_eq!(sum_by_key(&none, 1).unwrap().num_rows(), 0);
    }
}
