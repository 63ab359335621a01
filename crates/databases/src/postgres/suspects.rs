//! Which items of a refused unit are likely to be bad, by why it was refused.
//!
//! Items that are suspected are tried one by one, all others at once. A suspicion
//! is a guess: one that is wrong costs time and nothing else.

use std::collections::{BTreeSet, HashMap};

use kiln_core::{Cell, CellColumn, Fault, Refusal, Result, Rows, Unit};

use super::ask::Failure;
use super::doubt::is_doubtful;
use super::encode::arrays;
use super::session::Beginning;
use super::statement::Shape;
use super::table::Column;
use super::transaction::Step;
use super::wire::{Connection, Parameter, Row};
use super::write::Writer;
use crate::names::quoted;

const NOT_NULL: &str = "23502";
const FOREIGN_KEY: &str = "23503";
pub(super) const UNIQUE: &str = "23505";
const CHECK: &str = "23514";

/// Why a unit was refused.
#[derive(Debug)]
pub(super) struct Why {
    write: usize,
    fault: Fault,
}

impl Why {
    /// If it was for a row.
    pub(super) fn of(step: Step, refusal: &Refusal) -> Option<Self> {
        let Step::Write(write) = step else { return None };
        Some(Self { write, fault: refusal.fault.clone() })
    }
}

/// What to ask the server about constraints that were broken before: it is found
/// out once.
#[derive(Debug, Default)]
pub(super) struct Questions(HashMap<(usize, String), Option<Question>>);

/// Which rows break a constraint.
#[derive(Debug, Clone)]
struct Question {
    sql: String,
    /// Of which columns of the write it takes the values.
    columns: Vec<usize>,
}

/// The items that are suspected, rising: none, if there is nothing to go by.
///
/// # Errors
/// If the session is over.
pub(super) async fn suspects(
    connection: &mut Connection,
    beginning: Beginning,
    writers: &[Writer],
    unit: &Unit,
    why: &Why,
    questions: &mut Questions,
) -> Result<Vec<u64>, Failure> {
    let (Some(writer), Some(rows)) = (writers.get(why.write), unit.writes.get(why.write)) else {
        return Ok(Vec::new());
    };
    let code = why.fault.code().unwrap_or_default();
    let suspected: BTreeSet<u64> = match (code, why.fault.constraint(), why.fault.column()) {
        (UNIQUE | FOREIGN_KEY | CHECK, Some(constraint), _) => {
            let mut asking = Asking { connection, beginning, writer, rows };
            let known = (why.write, constraint.to_owned());
            if !questions.0.contains_key(&known) {
                let question = asking.question(code, constraint).await?;
                questions.0.insert(known.clone(), question);
            }
            match questions.0.get(&known) {
                Some(Some(question)) => asking.answer(question).await?.into_iter().collect(),
                _ => BTreeSet::new(),
            }
        }
        (NOT_NULL, _, Some(column)) => by_value(writer, rows, column, |cell, _| cell.is_null())?,
        (_, _, Some(column)) if code.starts_with("22") => {
            by_value(writer, rows, column, is_doubtful)?
        }
        _ => BTreeSet::new(),
    };
    Ok(suspected.into_iter().collect())
}

fn by_value(
    writer: &Writer,
    rows: &Rows,
    name: &str,
    is_suspect: impl Fn(Cell<'_>, &Column) -> bool,
) -> Result<BTreeSet<u64>> {
    let Some(at) = writer.columns.iter().position(|c| c.name == name) else {
        return Ok(BTreeSet::new());
    };
    let cells = CellColumn::new(rows.batch.column(at).as_ref())?;
    let suspect = |row: &usize| is_suspect(cells.cell(*row), &writer.columns[at]);
    Ok((0..rows.len()).filter(suspect).map(|row| rows.ordinals[row]).collect())
}

/// The columns of a unique index, of the table's ($1) or of one of its
/// partitions'.
const OF_INDEX: &str = "\
SELECT a.attname::text FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, place) ON place <= x.indnkeyatts
JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
WHERE i.relname = $2 AND x.indexprs IS NULL AND x.indpred IS NULL AND x.indrelid IN (
    SELECT $1::pg_catalog.regclass UNION SELECT relid FROM pg_catalog.pg_partition_tree($1::pg_catalog.regclass))
ORDER BY k.place";

/// The columns of a constraint of the table's ($1), and for a foreign key the
/// table and the columns that it names, for a check what it checks.
const OF_CONSTRAINT: &str = "\
SELECT a.attname::text, b.attname::text,
       (SELECT pg_catalog.format('%I.%I', n.nspname, r.relname) FROM pg_catalog.pg_class r
        JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace WHERE r.oid = c.confrelid),
       pg_catalog.pg_get_expr(c.conbin, c.conrelid)
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.unnest(c.conkey) WITH ORDINALITY AS k (attnum, place) ON true
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
LEFT JOIN pg_catalog.pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[k.place]
WHERE c.conrelid = $1::pg_catalog.regclass AND c.conname = $2 AND c.contype IN ('f', 'c')
ORDER BY k.place";

/// What the server says of the rows of a write.
struct Asking<'a> {
    connection: &'a mut Connection,
    beginning: Beginning,
    writer: &'a Writer,
    rows: &'a Rows,
}

impl Asking<'_> {
    /// How to ask which rows break a constraint, alone or by a row before them.
    async fn question(&mut self, code: &str, name: &str) -> Result<Option<Question>, Failure> {
        let names = [Parameter::text(&self.writer.sql), Parameter::text(name)];
        let sql = if code == UNIQUE { OF_INDEX } else { OF_CONSTRAINT };
        let known = self.ask(sql, &names).await?;
        let place = |name: &str| self.writer.columns.iter().position(|c| c.name == name);
        let columns = known.iter().map(|row| place(text(row, 0)?)).collect::<Option<Vec<_>>>();
        // A column that is not written has the same value in all rows, or nobody
        // knows which.
        let (Some(columns), Some(first)) = (columns, known.first()) else { return Ok(None) };
        let (table, all) = (&self.writer.sql, &self.writer.columns);
        let shape = Shape { table, columns: all, keys: &columns };
        let sql = match (code, text(first, 2), text(first, 3)) {
            (UNIQUE, ..) => shape.taken()?,
            (FOREIGN_KEY, Some(other), _) => {
                let theirs = known.iter().filter_map(|row| text(row, 1));
                shape.without_parent(other, &theirs.map(quoted).collect::<Result<Vec<_>>>()?)
            }
            (CHECK, _, Some(expression)) => shape.failing(expression)?,
            _ => return Ok(None),
        };
        Ok(Some(Question { sql, columns }))
    }

    /// The items that the server names.
    async fn answer(&mut self, question: &Question) -> Result<Vec<u64>, Failure> {
        let Question { sql, columns } = question;
        let given = self.rows.batch.project(columns);
        let given = given.map_err(|e| Fault::bug(format!("a unit's rows lack columns: {e}")))?;
        let given = arrays(&given, columns.iter().map(|c| &self.writer.columns[*c]))?;
        let found = self.ask(sql, &given).await?;
        let ordinal = |row: &Row| {
            let number: usize = text(row, 0)?.parse().ok()?;
            self.rows.ordinals.get(number.checked_sub(1)?).copied()
        };
        Ok(found.iter().filter_map(ordinal).collect())
    }

    /// The rows of an answer; none where the server refuses the question.
    async fn ask(&mut self, sql: &str, parameters: &[Parameter]) -> Result<Vec<Row>, Failure> {
        let mut transaction = self.beginning.transaction()?;
        transaction.run(Step::Begin, sql, parameters)?;
        transaction.run(Step::Commit, "ROLLBACK", &[])?;
        let over = Failure::Over;
        self.connection.send(transaction.end().0).await.map_err(over)?;
        let mut answers = self.connection.answers().await.map_err(over)?;
        if answers.error.is_some() {
            super::lane::roll_back(self.connection).await.map_err(over)?;
            return Ok(Vec::new());
        }
        answers.done.pop();
        Ok(answers.done.pop().map(|answer| answer.rows).unwrap_or_default())
    }
}

fn text(row: &Row, column: usize) -> Option<&str> {
    std::str::from_utf8(row.get(column)?.as_deref()?).ok()
}
