//! Items that a file does not take.

use arrow_array::Array;
use kiln_core::{Cell, CellColumn, Fault, Rejection, Result, Rows, TableName};

use super::format::{FileFormat, TargetOptions};

/// Every item of these rows that can't be written, with the first reason.
pub(super) fn rejections(
    table: &TableName,
    rows: &Rows,
    options: &TargetOptions,
) -> Result<Vec<Rejection>> {
    let mut rejected = Vec::new();
    let columns = CellColumn::of(&rows.batch)?;
    let alone = columns.len() == 1;
    for (index, (field, column)) in rows.batch.schema_ref().fields().iter().zip(columns).enumerate()
    {
        let name = field.name();
        let null = null_refusal(options, name, alone);
        let array = rows.batch.column(index);
        let json = options.format == FileFormat::JsonLines;
        let odd = json && field.data_type().is_floating();
        if !(odd || null.is_some() && array.logical_null_count() > 0) {
            continue;
        }
        for (row, ordinal) in rows.ordinals.iter().enumerate() {
            let fault = match column.cell(row) {
                Cell::Null => null.as_ref().map(|(code, why)| Fault::item(*why).with_code(*code)),
                Cell::Float(x) if odd && !x.is_finite() => {
                    Some(Fault::item(format!("JSON has no number {x}")).with_code("not_finite"))
                }
                _ => None,
            };
            if let Some(fault) = fault {
                let fault = fault.at(format_args!("{table}.{name}")).with_column(name);
                rejected.push(Rejection { ordinal: *ordinal, fault });
            }
        }
    }
    rejected.sort_by_key(|r| r.ordinal);
    rejected.dedup_by_key(|r| r.ordinal);
    Ok(rejected)
}

/// Why a NULL in this column can't be written, if it can't.
fn null_refusal(
    options: &TargetOptions,
    column: &str,
    alone: bool,
) -> Option<(&'static str, &'static str)> {
    if options.is_required(column) {
        return Some(("null", "the column is required, and the value is NULL"));
    }
    match &options.format {
        FileFormat::Csv { null, .. } if alone && null.is_empty() => Some((
            "null",
            "NULL in the only column would be an empty line, which readers pass over; say what \
             stands for it: null = \"…\"",
        )),
        _ => None,
    }
}
