//! Rows as JSON Lines.

use std::io::{self, Write as _};

use arrow_array::RecordBatch;
use kiln_core::{Cell, Fault, Result};

use super::text::{TextColumn, Written};

/// An object a line, with the columns in their order. Integers and decimals are
/// numbers with all their digits, NULL is `null`, an instant is written with a
/// `T` and a `Z`, bytes are hexadecimal texts.
pub(super) fn encode(rows: &RecordBatch) -> Result<Vec<u8>> {
    let columns = TextColumn::of(rows)?;
    let quoted = |name: &String| serde_json::to_string(name).map(|name| format!("{name}:"));
    let names: Vec<String> = rows
        .schema_ref()
        .fields()
        .iter()
        .map(|field| quoted(field.name()))
        .collect::<Result<_, _>>()
        .map_err(|e| Fault::bug(e.to_string()))?;
    let mut text = Vec::with_capacity(rows.num_rows() * columns.len() * 16);
    for row in 0..rows.num_rows() {
        for (i, (name, column)) in names.iter().zip(&columns).enumerate() {
            text.push(if i == 0 { b'{' } else { b',' });
            text.extend_from_slice(name.as_bytes());
            put(&mut text, &column.value(row)).map_err(|e| Fault::bug(e.to_string()))?;
        }
        text.extend_from_slice(if names.is_empty() { b"{}\n" } else { b"}\n" });
    }
    Ok(text)
}

fn put(text: &mut Vec<u8>, value: &Written<'_>) -> io::Result<()> {
    match value.cell {
        Cell::Null => text.write_all(b"null"),
        Cell::Bool(_) | Cell::Int(_) | Cell::UInt(_) | Cell::Decimal(..) => {
            write!(text, "{value}")
        }
        Cell::Float(x) => serde_json::to_writer(text, &x).map_err(io::Error::from),
        Cell::Text(t) => serde_json::to_writer(text, t).map_err(io::Error::from),
        Cell::Timestamp(_, utc) => {
            let iso = value.to_string().replacen(' ', "T", 1);
            let iso = iso.strip_suffix("+00").map_or(iso.as_str(), |front| front);
            write!(text, "\"{iso}{}\"", if utc { "Z" } else { "" })
        }
        Cell::Bytes(_) | Cell::Date(_) | Cell::Time(_) => write!(text, "\"{value}\""),
    }
}
