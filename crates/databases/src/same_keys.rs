//! Rows of one write that have the same key, and what becomes of them.
//!
//! Only the database knows which keys are equal: `'a'` and `'A'` may be one, and
//! `'01'` is 1 in a column of numbers.

use std::collections::BTreeMap;

use arrow_array::{RecordBatch, UInt64Array};
use kiln_core::Refusal;
use kiln_core::{CellColumn, Duplicates, Fault, Rejection, Result, Rows, Write};

use crate::sums::sum_groups;

/// For each row, the first row with the same key.
#[derive(Debug)]
pub(crate) struct SameKeys(Vec<usize>);

impl SameKeys {
    /// Of so many rows, those that have the key of an earlier one, with the
    /// first of them.
    pub(crate) fn new(rows: usize, repeats: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut first: Vec<usize> = (0..rows).collect();
        for (row, of) in repeats {
            if let Some(slot) = first.get_mut(row) {
                *slot = of;
            }
        }
        Self(first)
    }

    /// The rows that have the key of an earlier one.
    pub(crate) fn repeats(&self) -> Vec<usize> {
        let repeats = |(row, first): &(usize, &usize)| row != *first;
        self.0.iter().enumerate().filter(repeats).map(|(row, _)| row).collect()
    }

    /// The rows of each key.
    fn groups(&self) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (row, first) in self.0.iter().enumerate() {
            groups.entry(*first).or_default().push(row);
        }
        groups.into_values().collect()
    }

    /// Rows that can be written at once: the first of each key, then the second
    /// of each, and so on.
    fn turns(&self) -> Vec<Vec<usize>> {
        let mut seen = vec![0; self.0.len()];
        let mut turns: Vec<Vec<usize>> = Vec::new();
        for (row, first) in self.0.iter().enumerate() {
            let turn: &mut usize = &mut seen[*first];
            if turns.len() == *turn {
                turns.push(Vec::new());
            }
            turns[*turn].push(row);
            *turn += 1;
        }
        turns
    }
}

/// Rows of which no two have the same key.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) batch: RecordBatch,
    /// The items behind each row.
    pub(crate) items: Vec<Vec<u64>>,
}

impl Turn {
    fn of(rows: &Rows, picked: &[usize]) -> Result<Self> {
        let items = picked.iter().map(|row| vec![rows.ordinals[*row]]).collect();
        Ok(Self { batch: taken(&rows.batch, picked)?, items })
    }
}

/// The rows of a batch with these numbers.
fn taken(batch: &RecordBatch, rows: &[usize]) -> Result<RecordBatch> {
    if rows.len() == batch.num_rows() && rows.is_sorted() {
        return Ok(batch.clone());
    }
    let rows = UInt64Array::from_iter_values(rows.iter().map(|row| *row as u64));
    arrow_select::take::take_record_batch(batch, &rows)
        .map_err(|e| Fault::bug(format!("rows can't be taken out of a unit: {e}")))
}

/// Rows as they are to be written, and those that are passed over.
///
/// # Errors
/// If a sum leaves its range.
pub(crate) fn resolve(
    rows: &Rows,
    same: &SameKeys,
    on_duplicate: Duplicates,
    keys: &[usize],
) -> Result<(Vec<Turn>, Vec<usize>), Refusal> {
    let repeats = same.repeats();
    match on_duplicate {
        Duplicates::Sum if !repeats.is_empty() => {
            let groups = same.groups();
            let batch = sum_groups(rows, &groups, keys)?;
            let item = |row: &usize| rows.ordinals[*row];
            let items = groups.iter().map(|group| group.iter().map(item).collect()).collect();
            Ok((vec![Turn { batch, items }], Vec::new()))
        }
        Duplicates::First => {
            let firsts: Vec<usize> =
                (0..rows.len()).filter(|row| repeats.binary_search(row).is_err()).collect();
            Ok((vec![Turn::of(rows, &firsts)?], repeats))
        }
        _ => {
            let turns = same.turns();
            let turns = turns.iter().map(|turn| Turn::of(rows, turn)).collect::<Result<_>>()?;
            Ok((turns, Vec::new()))
        }
    }
}

/// The items of these rows, which have the key of an earlier one.
pub(crate) fn repeated(write: &KeyedTable, rows: &Rows, repeats: &[usize]) -> Vec<Rejection> {
    let KeyedTable { table, key } = write;
    let rejection = |row: &usize| Rejection {
        ordinal: rows.ordinals[*row],
        fault: Fault::item(format!("{table}: an earlier item of the chunk has the same {key}"))
            .with_code("duplicate_key"),
    };
    repeats.iter().map(rejection).collect()
}

/// The items whose row is not there.
pub(crate) fn not_found(
    write: &KeyedTable,
    items: impl IntoIterator<Item = u64>,
) -> Vec<Rejection> {
    let KeyedTable { table, key } = write;
    let rejection = |ordinal| Rejection {
        ordinal,
        fault: Fault::item(format!("{table}: there is no row with this {key} to update"))
            .with_code("not_found"),
    };
    items.into_iter().map(rejection).collect()
}

/// The items whose key holds a NULL, which is equal to nothing.
///
/// # Errors
/// For a column that can't be read.
pub(crate) fn null_keys(write: &KeyedTable, rows: &Rows, keys: &[usize]) -> Result<Vec<Rejection>> {
    let schema = rows.batch.schema_ref();
    let mut rejections = Vec::new();
    for key in keys {
        let column = CellColumn::new(rows.batch.column(*key).as_ref())?;
        let name = schema.field(*key).name();
        let null = (0..rows.len()).filter(|row| column.cell(*row).is_null());
        rejections.extend(null.map(|row| {
            Rejection {
                ordinal: rows.ordinals[row],
                fault: Fault::item(format!("{}.{name}: the key is NULL", write.table))
                    .with_code("null_key")
                    .with_column(name),
            }
        }));
    }
    Ok(rejections)
}

/// A table and its key, for messages.
#[derive(Debug)]
pub(crate) struct KeyedTable {
    table: String,
    key: String,
}

impl KeyedTable {
    pub(crate) fn of(write: &Write) -> Self {
        let key = write.key.join(", ");
        let key = if write.key.len() > 1 { format!("key ({key})") } else { key };
        Self { table: write.table.to_string(), key }
    }

    pub(crate) fn table(&self) -> &str {
        &self.table
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn rows() -> Rows {
        let int =
            |values: [Option<i64>; 5]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("n", int([Some(1), Some(2), None, Some(4), None]), true),
            ("k", int([Some(7), Some(8), Some(7), Some(7), Some(9)]), true),
            ("s", Arc::new(StringArray::from(vec!["a", "b", "c", "d", "e"])) as ArrayRef, true),
        ]);
        Rows { batch: batch.unwrap(), ordinals: vec![11, 12, 13, 14, 15] }
    }

    fn same() -> SameKeys {
        SameKeys::new(5, [(2, 0), (3, 0)])
    }

    fn shown(turn: &Turn) -> Vec<(Vec<u64>, Option<i64>, String)> {
        let (n, s) = (turn.batch.column(0), turn.batch.column(2));
        let n = n.as_primitive::<Int64Type>().iter();
        let s = s.as_string::<i32>().iter().map(|s| s.unwrap_or_default().to_owned());
        turn.items.iter().cloned().zip(n).zip(s).map(|((items, n), s)| (items, n, s)).collect()
    }

    fn row(items: &[u64], n: Option<i64>, s: &str) -> (Vec<u64>, Option<i64>, String) {
        (items.to_vec(), n, s.to_owned())
    }

    #[test]
    fn each_policy_gives_rows_of_different_keys() {
        let resolved = |policy| resolve(&rows(), &same(), policy, &[1]).unwrap();
        let (turns, passed) = resolved(Duplicates::Last);
        assert!(passed.is_empty());
        assert_eq!(
            turns.iter().map(shown).collect::<Vec<_>>(),
            [
                vec![row(&[11], Some(1), "a"), row(&[12], Some(2), "b"), row(&[15], None, "e")],
                vec![row(&[13], None, "c")],
                vec![row(&[14], Some(4), "d")],
            ]
        );
        let (turns, passed) = resolved(Duplicates::First);
        assert_eq!(passed, [2, 3]);
        assert_eq!(turns.len(), 1);
        assert_eq!(turns[0].items, [[11], [12], [15]]);
        let (turns, passed) = resolved(Duplicates::Sum);
        assert!(passed.is_empty());
        assert_eq!(
            turns.iter().map(shown).collect::<Vec<_>>(),
            [[row(&[11, 13, 14], Some(5), "d"), row(&[12], Some(2), "b"), row(&[15], None, "e")]]
        );
    }

    #[test]
    fn what_is_repeated_or_null_is_named() {
        let write = Write { key: vec!["k".into()], ..Write::insert("t").unwrap() };
        let keyed = KeyedTable::of(&write);
        let names = |named: Vec<Rejection>, code: &str| -> Vec<u64> {
            assert!(named.iter().all(|r| r.fault.code() == Some(code)), "{named:?}");
            named.iter().map(|r| r.ordinal).collect()
        };
        let repeats = same().repeats();
        assert_eq!(names(repeated(&keyed, &rows(), &repeats), "duplicate_key"), [13, 14]);
        assert_eq!(names(null_keys(&keyed, &rows(), &[1, 0]).unwrap(), "null_key"), [13, 15]);
        assert_eq!(names(not_found(&keyed, [4]), "not_found"), [4]);
    }
}
