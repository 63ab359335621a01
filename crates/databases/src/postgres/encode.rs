//! Values and rows as PostgreSQL reads them.

use std::fmt::Write as _;

use arrow_array::RecordBatch;
use arrow_array::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use bytes::{BufMut, BytesMut};
use kiln_core::{Cell, CellColumn, Fault, Result};
use tokio_postgres::types::Type;

use super::binary::Binary;
use super::table::Column;
use super::types::{Family, would_round};
use super::wire::{Parameter, copy_data};

/// Bytes of rows in a message.
const MESSAGE: usize = 64 << 10;

/// The start of a binary `COPY`: a signature, no flags, no extension.
const BINARY_START: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Its end.
const BINARY_END: &[u8] = &[0xff, 0xff];

/// Whether the column can hold the value as it is; what the server would see
/// by itself is left to the server.
///
/// # Errors
/// [`Kind::Item`](kiln_core::Kind::Item) if not.
pub(super) fn check_value(cell: Cell<'_>, column: &Column) -> Result<(), Fault> {
    let wrong = match cell {
        Cell::Null => return Ok(()),
        Cell::Text(text) if text.as_bytes().contains(&0) => Some((
            "22021",
            "the text holds a NUL character, which PostgreSQL can't keep".to_owned(),
        )),
        Cell::Date(days) if date32_to_datetime(days).is_none() => {
            Some(("22008", "the date is out of range".to_owned()))
        }
        Cell::Timestamp(us, _) if timestamp_us_to_datetime(us).is_none() => {
            Some(("22008", "the timestamp is out of range".to_owned()))
        }
        _ => match column.family {
            Family::Numeric(Some(scale)) if would_round(cell, scale) => Some((
                "22003",
                format!("{cell} has more digits behind the point than {} keeps", column.type_name),
            )),
            _ => None,
        },
    };
    match wrong {
        None => Ok(()),
        Some((code, message)) => {
            Err(Fault::item(message).with_code(code).with_column(column.name.as_str()))
        }
    }
}

/// Rows for a `COPY`, as messages.
pub(super) struct CopyRows {
    pub(super) is_binary: bool,
    pub(super) messages: BytesMut,
    /// How many bytes of them half of the rows are.
    pub(super) half: usize,
}

impl CopyRows {
    /// The rows of a batch: binary, if every column's type and every value can
    /// be, else text. `half` of the rows are told apart.
    ///
    /// # Errors
    /// For a column that can't be read.
    pub(super) fn of(batch: &RecordBatch, columns: &[Column], half: usize) -> Result<Self> {
        let cells = CellColumn::of(batch)?;
        let room = batch.num_rows() * (16 + 12 * cells.len());
        if let Some(types) = binary_types(batch, columns)
            && let Some(rows) = binary_rows(&cells, &types, batch.num_rows(), half, room)
        {
            return Ok(rows);
        }
        let line = |row, out: &mut BytesMut| {
            push_line(out, cells.iter().map(|column| column.cell(row)));
            true
        };
        let (messages, half) =
            messages(batch.num_rows(), half, room, line).unwrap_or((BytesMut::new(), 0));
        Ok(Self { is_binary: false, messages, half })
    }
}

/// The binary type of each column, if each has one that its items fit.
fn binary_types(batch: &RecordBatch, columns: &[Column]) -> Option<Vec<Binary>> {
    let fields = batch.schema_ref().fields();
    let fits = |(column, field): (&Column, &arrow_schema::FieldRef)| {
        column.binary.filter(|binary| binary.takes(field.data_type()))
    };
    columns.iter().zip(fields).map(fits).collect()
}

fn binary_rows(
    cells: &[CellColumn<'_>],
    types: &[Binary],
    rows: usize,
    half: usize,
    room: usize,
) -> Option<CopyRows> {
    let width = i16::try_from(cells.len()).ok()?;
    let row = |row: usize, out: &mut BytesMut| {
        if row == 0 {
            out.put_slice(BINARY_START);
        }
        out.put_i16(width);
        let is_put =
            cells.iter().zip(types).all(|(column, type_)| type_.put(column.cell(row), out));
        if row + 1 == rows {
            out.put_slice(BINARY_END);
        }
        is_put
    };
    let (messages, half) = messages(rows, half, room, row)?;
    Some(CopyRows { is_binary: true, messages, half })
}

/// Rows in messages; `None` as soon as a row can't be put. Gives how long the
/// messages of the first `half` rows are.
fn messages(
    rows: usize,
    half: usize,
    room: usize,
    put: impl Fn(usize, &mut BytesMut) -> bool,
) -> Option<(BytesMut, usize)> {
    let mut out = BytesMut::with_capacity(room);
    let (mut row, mut behind_half) = (0, 0);
    while row < rows {
        let is_put = copy_data(&mut out, |out| {
            let full = out.len() + MESSAGE;
            let end = if row < half { half.min(rows) } else { rows };
            while row < end && out.len() < full {
                if !put(row, out) {
                    return false;
                }
                row += 1;
            }
            true
        });
        if !is_put {
            return None;
        }
        if row == half {
            behind_half = out.len();
        }
    }
    Some((out, behind_half))
}

/// Adds a line of `COPY … FROM STDIN` in text format.
pub(super) fn push_line<'a>(out: &mut BytesMut, cells: impl Iterator<Item = Cell<'a>>) {
    for (i, cell) in cells.enumerate() {
        if i > 0 {
            out.put_u8(b'\t');
        }
        push_copy(out, cell);
    }
    out.put_u8(b'\n');
}

fn push_copy(out: &mut BytesMut, cell: Cell<'_>) {
    match cell {
        Cell::Null => out.put_slice(b"\\N"),
        Cell::Text(text) => push_escaped(out, text.as_bytes()),
        Cell::Bytes(_) => {
            out.put_slice(b"\\\\x");
            push_plain(out, cell);
        }
        _ => push_plain(out, cell),
    }
}

fn push_plain(out: &mut BytesMut, cell: Cell<'_>) {
    // Writing to a buffer never fails.
    let _ = write!(out, "{cell}");
}

fn push_escaped(out: &mut BytesMut, mut text: &[u8]) {
    while let Some(at) = text.iter().position(|b| matches!(b, b'\\' | b'\t' | b'\n' | b'\r')) {
        out.put_slice(&text[..at]);
        out.put_slice(match text[at] {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            _ => b"\\\\",
        });
        text = &text[at + 1..];
    }
    out.put_slice(text);
}

/// The columns of a batch as arrays: of the column's own type, if every value
/// can be of it, else of text.
///
/// # Errors
/// For a column that can't be read.
pub(super) fn arrays<'a>(
    batch: &RecordBatch,
    columns: impl Iterator<Item = &'a Column>,
) -> Result<Vec<Parameter>> {
    let cells = CellColumn::of(batch)?;
    let fields = batch.schema_ref().fields().iter();
    let array =
        |((cells, column), field): ((&CellColumn<'_>, &Column), &arrow_schema::FieldRef)| {
            let binary = column.binary.filter(|binary| binary.takes(field.data_type()));
            let typed = binary.and_then(|binary| {
                let put = |row, out: &mut BytesMut| binary.put(cells.cell(row), out);
                array(binary.types(), batch.num_rows(), put)
            });
            typed.unwrap_or_else(|| text_array(batch.num_rows(), |row| text(cells.cell(row))))
        };
    Ok(cells.iter().zip(columns).zip(fields).map(array).collect())
}

/// An array of texts.
pub(super) fn text_array(len: usize, text: impl Fn(usize) -> Option<String>) -> Parameter {
    let put = |i, out: &mut BytesMut| {
        let text = text(i);
        Binary::Text.put(text.as_deref().map_or(Cell::Null, Cell::Text), out)
    };
    let types = || (Type::TEXT, Type::TEXT_ARRAY);
    array(types(), len, put).unwrap_or_else(|| Parameter::new(types().1, Default::default()))
}

/// An array of numbers.
pub(super) fn int_array(numbers: &[u64]) -> Parameter {
    let put = |i: usize, out: &mut BytesMut| Binary::Int8.put(Cell::Int(numbers[i] as i64), out);
    let types = || (Type::INT8, Type::INT8_ARRAY);
    array(types(), numbers.len(), put)
        .unwrap_or_else(|| Parameter::new(types().1, Default::default()))
}

/// The binary format of an array; `None` as soon as a value can't be put.
fn array(
    (element, array): (Type, Type),
    len: usize,
    put: impl Fn(usize, &mut BytesMut) -> bool,
) -> Option<Parameter> {
    let mut out = BytesMut::with_capacity(20 + 16 * len);
    out.put_i32(i32::from(len > 0));
    out.put_i32(1);
    out.put_u32(element.oid());
    if len > 0 {
        out.put_i32(i32::try_from(len).ok()?);
        out.put_i32(1);
    }
    let is_put = (0..len).all(|i| put(i, &mut out));
    is_put.then(|| Parameter::new(array, out.freeze()))
}

/// The columns of a batch as texts.
///
/// # Errors
/// For a column that can't be read.
pub(super) fn texts(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>> {
    let columns = CellColumn::of(batch)?;
    let texts = |c: &CellColumn<'_>| (0..batch.num_rows()).map(|r| text(c.cell(r))).collect();
    Ok(columns.iter().map(texts).collect())
}

/// The value as the text of a parameter; `None` is NULL.
pub(super) fn text(cell: Cell<'_>) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Bytes(_) => Some(format!("\\x{cell}")),
        _ => Some(cell.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_line_or_a_field_early() {
        let mut line = BytesMut::new();
        let cells = [Cell::Text("a\tb\\N\r\n\\."), Cell::Null, Cell::Bytes(&[0, 255])];
        push_line(&mut line, cells.into_iter());
        assert_eq!(&line[..], b"a\\tb\\\\N\\r\\n\\\\.\t\\N\t\\\\x00ff\n");
    }

    #[test]
    fn half_of_the_rows_are_whole_messages() {
        let put = |row, out: &mut BytesMut| {
            out.put_slice(&[row as u8; 1_000]);
            true
        };
        for (rows, half) in [(1, 1), (2, 1), (200, 100), (201, 101), (5, 0), (5, 9)] {
            let (out, behind) = messages(rows, half, 0, put).unwrap();
            let mut rest = &out[..];
            let (mut read, mut seen) = (0, 0);
            while let [b'd', a, b, c, d, more @ ..] = rest {
                seen +=
                    if out.len() - rest.len() == behind { usize::from(read == half) } else { 0 };
                let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
                read += len / 1_000;
                rest = &more[len..];
            }
            assert_eq!((rest.len(), read), (0, rows));
            let at_end = behind == out.len() && half == rows;
            assert!(seen == 1 || at_end || (half > rows && behind == 0), "{rows} {half} {behind}");
        }
        assert!(messages(5, 2, 0, |row, _| row < 3).is_none());
    }
}
