//! Dead letters on their way into the ledger and out of it.
//!
//! PostgreSQL's text can't hold NUL. A raw record that does is kept with NUL as
//! `\x00` and backslashes doubled, and its row is marked `escaped`; in the other
//! texts NUL becomes `\x00`.

use std::borrow::Cow;

use bytes::BytesMut;
use kiln_core::{Cell, DeadLetter, Fault, LaneKey, Letters, Origin, Result, Stage};
use tokio_postgres::Row;

use super::encode::{CopyRows, push_line};
use super::transaction::{Step, Transaction};
use super::wire::{Parameter, copy_data};

const COPY: &str = "\
COPY kiln.dead_letters (run, step, ordinal, source, line, key, byte_offset, raw, escaped,
     stage, code, constraint_name, column_name, message, tries) FROM STDIN";

/// The columns that [`read`] expects.
pub(super) const COLUMNS: &str = "ordinal, source, line, key, byte_offset, raw, escaped, stage, \
     code, constraint_name, column_name, message, tries, \
     to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";

/// Adds dead letters to the transaction.
pub(super) fn put(
    transaction: &mut Transaction,
    key: &LaneKey,
    dead_letters: &[DeadLetter],
) -> Result<()> {
    let mut messages = BytesMut::new();
    for dead_letter in dead_letters {
        copy_data(&mut messages, |out| push(out, key, dead_letter));
    }
    let rows = CopyRows { is_binary: false, messages, half: 0 };
    transaction.copy(Step::DeadLetters, COPY, &rows, None)
}

const REDRIVEN: &str = "\
INSERT INTO kiln.redriven (run, step, ordinal, by_run)
SELECT $1, $2, ordinal, $4 FROM pg_catalog.unnest($3::text::bigint[]) AS u (ordinal)";

/// Adds to the transaction that this run has settled dead letters of another.
pub(super) fn put_redriven(
    transaction: &mut Transaction,
    key: &LaneKey,
    letters: &Letters,
    ordinals: &[u64],
) -> Result<()> {
    let ordinals: Vec<String> = ordinals.iter().map(u64::to_string).collect();
    let array = format!("{{{}}}", ordinals.join(","));
    let parameters =
        [&letters.run.0, &letters.step, &array, &key.run.0].map(|text| Parameter::text(text));
    transaction.run(Step::Redriven, REDRIVEN, &parameters)
}

fn push(out: &mut BytesMut, key: &LaneKey, dead_letter: &DeadLetter) {
    let DeadLetter { ordinal, origin, stage, code, constraint, column, message, tries, at: _ } =
        dead_letter;
    let raw = escaped(&origin.raw);
    let texts = [&origin.key, code, constraint, column].map(|t| t.as_deref().map(without_nul));
    let [origin_key, code, constraint, column] = &texts;
    let (source, message) = (without_nul(&origin.source), without_nul(message));
    let cells = [
        Cell::Text(&key.run.0),
        Cell::Text(&key.step),
        Cell::UInt(*ordinal),
        Cell::Text(&source),
        number(origin.line),
        text(origin_key),
        number(origin.offset),
        Cell::Text(&raw),
        Cell::Bool(matches!(raw, Cow::Owned(_))),
        Cell::Text(stage.as_str()),
        text(code),
        text(constraint),
        text(column),
        Cell::Text(&message),
        Cell::UInt(u64::from(*tries)),
    ];
    push_line(out, cells.into_iter());
}

fn number(value: Option<u64>) -> Cell<'static> {
    value.map_or(Cell::Null, Cell::UInt)
}

fn text<'a>(value: &'a Option<Cow<'_, str>>) -> Cell<'a> {
    value.as_deref().map_or(Cell::Null, Cell::Text)
}

pub(super) fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\\x00").into() } else { text.into() }
}

fn escaped(raw: &str) -> Cow<'_, str> {
    if raw.contains('\0') {
        raw.replace('\\', "\\\\").replace('\0', "\\x00").into()
    } else {
        raw.into()
    }
}

fn unescaped(raw: &str) -> String {
    let mut plain = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let (meant, len) = if rest.starts_with("\\x00") { ('\0', 4) } else { ('\\', 2) };
        plain.push(meant);
        rest = rest.get(len..).unwrap_or_default();
    }
    plain + rest
}

/// A row of [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<DeadLetter> {
    let number = |i: usize| row.get::<_, Option<i64>>(i).map(i64::unsigned_abs);
    let raw: String = row.get(5);
    let stage: String = row.get(7);
    Ok(DeadLetter {
        ordinal: row.get::<_, i64>(0).unsigned_abs(),
        origin: Origin {
            source: row.get(1),
            line: number(2),
            key: row.get(3),
            offset: number(4),
            raw: if row.get(6) { unescaped(&raw) } else { raw },
        },
        stage: Stage::parse(&stage)
            .ok_or_else(|| Fault::bug(format!("the ledger has an unknown stage {stage:?}")))?,
        code: row.get(8),
        constraint: row.get(9),
        column: row.get(10),
        message: row.get(11),
        tries: row.get::<_, i32>(12).unsigned_abs(),
        at: row.get(13),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_comes_back() {
        for raw in ["a\0b", "\\x00\0", "\\\0\\\\", "\0", "é\\\0"] {
            let kept = escaped(raw);
            assert!(!kept.contains('\0'));
            assert_eq!(unescaped(&kept), raw, "{raw:?}");
        }
        assert!(matches!(escaped("C:\\x00"), Cow::Borrowed(_)));
    }
}
