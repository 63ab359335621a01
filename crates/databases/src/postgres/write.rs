//! One write of a step: `COPY` for new rows, one statement for all rows of a
//! unit in the other modes.

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use kiln_core::{CellColumn, Check, Fault, Kind, Mode, Refusal, Rejection, Result, Rows, Write};
use tokio_postgres::Client;

use super::by_key::ByKey;
use super::check::check_write;
use super::encode::{CopyRows, arrays, check_value};
use super::fault::of_server;
use super::statement::Shape;
use super::table::{Column, Table, no_table};
use super::transaction::{Step, Transaction};
use super::wire::ServerError;
use crate::same_keys::{KeyedTable, null_keys};
use crate::statements::{no_item, texts};
use crate::sums::sum_by_key;

/// A write, as a lane does it again and again.
pub(super) struct Writer {
    /// Which of the unit's writes it is.
    number: usize,
    /// As people write it.
    pub(super) table: String,
    /// In quotes.
    pub(super) sql: String,
    /// The table's name alone, as the server says it in the context of an
    /// error.
    relation: String,
    pub(super) columns: Vec<Column>,
    pub(super) how: How,
}

pub(super) enum How {
    Copy { binary: String, text: String },
    Add { statement: String, keys: usize, keyed: KeyedTable },
    ByKey(ByKey),
    Statements,
}

impl Writer {
    /// Runs rows, which are statements.
    pub(super) fn of_statements() -> Self {
        let name = "statement".to_owned();
        let (sql, relation, columns) = (String::new(), String::new(), Vec::new());
        Self { number: 0, table: name, sql, relation, columns, how: How::Statements }
    }

    /// Looks the table up.
    ///
    /// # Errors
    /// The first thing that [`check_write`] finds wrong.
    pub(super) async fn new(
        client: &Client,
        number: usize,
        write: &Write,
        items: &Schema,
    ) -> Result<Self> {
        let table = Table::find(client, &write.table).await?;
        let wrong = |check: Check| check.result.err();
        if let Some(fault) = check_write(table.as_ref(), write, items).into_iter().find_map(wrong) {
            return Err(fault);
        }
        let table = table.ok_or_else(|| no_table(&write.table))?;
        let columns: Vec<Column> =
            write.columns.iter().filter_map(|c| table.column(&c.column).cloned()).collect();
        let keys: Vec<usize> = write
            .key
            .iter()
            .filter_map(|key| columns.iter().position(|c| c.name == *key))
            .collect();
        let shape = Shape { table: &table.sql, columns: &columns, keys: &keys };
        let how = How::new(write, &shape)?;
        let (name, relation) = (write.table.to_string(), write.table.name.clone());
        Ok(Self { number, table: name, sql: table.sql, relation, columns, how })
    }

    /// A statement that is looked at before the first row comes.
    pub(super) fn statement(&self) -> &str {
        match &self.how {
            How::Copy { binary, .. } => binary,
            How::Add { statement, .. } => statement,
            How::ByKey(write) => &write.statement,
            How::Statements => "",
        }
    }

    /// The items that are at fault whatever is in the table.
    pub(super) fn refuse_early(&self, rows: &Rows) -> Result<Vec<Rejection>> {
        if matches!(self.how, How::Statements) {
            return Ok(Vec::new());
        }
        self.same_columns(&rows.batch)?;
        let mut rejections = self.misfits(rows)?;
        match &self.how {
            How::Copy { .. } | How::Statements => {}
            How::Add { keyed, .. } => rejections.extend(null_keys(keyed, rows, &self.keys())?),
            How::ByKey(write) => rejections.extend(write.refuse(rows)?),
        }
        Ok(rejections)
    }

    /// Whether the server has to be asked while the rows are written: else they
    /// can be sent with all that follows.
    pub(super) fn asks(&self) -> bool {
        self.mode() == Mode::Ignore
    }

    /// Adds the rows to the transaction; gives the numbers of those that are
    /// passed over.
    pub(super) fn put(
        &self,
        rows: &Rows,
        transaction: &mut Transaction,
        halfway: &mut Halfway,
    ) -> Result<Vec<usize>, Refusal> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        match &self.how {
            How::Copy { binary, text } => {
                let half = halfway.passed_within(rows.len());
                let copied = CopyRows::of(&rows.batch, &self.columns, half.unwrap_or_default())?;
                let sql = if copied.is_binary { binary } else { text };
                transaction.copy(self.step(), sql, &copied, half.map(|_| "write"))?;
                return Ok(Vec::new());
            }
            How::Add { statement, keys, .. } => {
                // What the item takes for two keys may be one for the database
                // (`'a'` and `'A'` in a citext), so it adds up again.
                let sums = sum_by_key(rows, *keys)?;
                transaction.run(self.step(), statement, &arrays(&sums, self.columns.iter())?)?;
            }
            How::ByKey(write) => {
                let passed = self.put_by_key(write, rows, transaction)?;
                halfway.pass(rows.len(), transaction);
                return Ok(passed);
            }
            How::Statements => {
                for sql in texts(rows)? {
                    transaction.run(self.step(), sql, &[])?;
                }
            }
        }
        halfway.pass(rows.len(), transaction);
        Ok(Vec::new())
    }

    pub(super) fn mode(&self) -> Mode {
        match &self.how {
            How::Copy { .. } | How::Statements => Mode::Insert,
            How::Add { .. } => Mode::Increment,
            How::ByKey(write) => write.mode,
        }
    }

    /// Which of the columns are the key.
    pub(super) fn keys(&self) -> Vec<usize> {
        match &self.how {
            How::Copy { .. } | How::Statements => Vec::new(),
            How::Add { keys, .. } => (0..*keys).collect(),
            How::ByKey(write) => write.keys.clone(),
        }
    }

    pub(super) fn step(&self) -> Step {
        Step::Write(self.number)
    }

    fn same_columns(&self, batch: &RecordBatch) -> Result<()> {
        let theirs = batch.schema_ref().fields().iter().map(|f| f.name());
        if theirs.eq(self.columns.iter().map(|c| &c.name)) {
            return Ok(());
        }
        Err(Fault::bug(format!(
            "a unit's rows for {} have other columns than its write",
            self.table
        )))
    }

    /// The items with a value that its column would not keep.
    pub(super) fn misfits(&self, rows: &Rows) -> Result<Vec<Rejection>> {
        let mut rejections = Vec::new();
        for (array, column) in rows.batch.columns().iter().zip(&self.columns) {
            if !column.may_misfit(array.data_type()) {
                continue;
            }
            let cells = CellColumn::new(array.as_ref())?;
            for (row, ordinal) in rows.ordinals.iter().enumerate() {
                if let Err(fault) = check_value(cells.cell(row), column) {
                    let fault = fault.at(format_args!("{}.{}", self.table, column.name));
                    rejections.push(Rejection { ordinal: *ordinal, fault });
                }
            }
        }
        Ok(rejections)
    }

    /// The fault of a failed statement, with the item and the column where the
    /// server names them.
    pub(super) fn refusal(&self, error: &ServerError, rows: &Rows) -> Refusal {
        let mut fault = of_server(error);
        if matches!(self.how, How::Statements) {
            return no_item(fault).into();
        }
        if fault.kind() == Kind::Unreachable {
            return fault.into();
        }
        let context = error.context.as_deref();
        let place = context.and_then(|c| place_in(c, &self.relation, &self.columns));
        let column = fault.column().map(str::to_owned).or(place.and_then(|p| p.column.cloned()));
        fault = match column {
            Some(column) => fault.at(format_args!("{}.{column}", self.table)).with_column(column),
            None => fault.at(&self.table),
        };
        let row = place.and_then(|p| p.line.checked_sub(1));
        Refusal::of(row.and_then(|row| rows.ordinals.get(row).copied()), fault)
    }
}

impl How {
    fn new(write: &Write, shape: &Shape<'_>) -> Result<Self> {
        Ok(match write.mode {
            Mode::Insert => {
                let text = shape.copy()?;
                Self::Copy { binary: format!("{text} (FORMAT binary)"), text }
            }
            Mode::Increment => Self::Add {
                statement: shape.add()?,
                keys: shape.keys.len(),
                keyed: KeyedTable::of(write),
            },
            _ => Self::ByKey(ByKey::new(write, shape)?),
        })
    }
}

/// Where in a COPY an error happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'a> {
    /// Counted from 1.
    line: usize,
    column: Option<&'a String>,
}

/// Reads the context of an error, `COPY table, line 3, column price: "1.2.3"`,
/// in whatever language. The value in it is data and goes no further.
fn place_in<'a>(context: &str, table: &str, columns: &'a [Column]) -> Option<Place<'a>> {
    let start = format!("COPY {table}, ");
    let rest = context.lines().find_map(|line| line.strip_prefix(&start))?;
    let rest = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let line = rest[..end].parse().ok()?;
    let named = rest[end..].strip_prefix(", ").and_then(|r| r.split_once(' ')).map(|(_, r)| r);
    let is_named = |name: &str| {
        named.and_then(|r| r.strip_prefix(name)).is_some_and(|r| r.is_empty() || r.starts_with(':'))
    };
    Some(Place { line, column: columns.iter().map(|c| &c.name).find(|name| is_named(name)) })
}

/// Knows when half of a unit's rows are written.
pub(super) struct Halfway {
    left: Option<usize>,
}

impl Halfway {
    /// Of so many rows.
    pub(super) fn of(rows: usize) -> Self {
        Self { left: Some(rows.div_ceil(2)) }
    }

    /// So many more rows are written: tells once behind how many of them half
    /// of all are.
    pub(super) fn passed_within(&mut self, rows: usize) -> Option<usize> {
        let left = self.left?;
        self.left = left.checked_sub(rows).filter(|left| *left > 0);
        self.left.is_none().then_some(left)
    }

    /// So many more rows are written at once.
    pub(super) fn pass(&mut self, rows: usize, transaction: &mut Transaction) {
        if self.passed_within(rows).is_some() {
            transaction.point("write");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::Family;
    use super::*;

    #[test]
    fn the_context_of_an_error_names_the_place() {
        let columns = ["a", "a: b"].map(|name| Column::plain(name, Family::Int));
        let (a, ab) = (Some(&columns[0].name), Some(&columns[1].name));
        let cases = [
            ("COPY t, line 3, column a: \"x\"", Some(Place { line: 3, column: a })),
            ("COPY t, line 12: \"1\\t2\"", Some(Place { line: 12, column: None })),
            ("COPY t, line 1, column a: b: null input", Some(Place { line: 1, column: a })),
            ("COPY t, Zeile 7, Spalte a: »x«", Some(Place { line: 7, column: a })),
            ("PL/pgSQL function f() line 3\nCOPY t, line 9", Some(Place { line: 9, column: None })),
            ("COPY other, line 3", None),
            ("", None),
        ];
        for (context, place) in cases {
            assert_eq!(place_in(context, "t", &columns), place, "{context}");
        }
        assert_eq!(place_in("COPY x, line 9, line 2", "x, line 9", &columns).unwrap().line, 2);
        let longer = [Column::plain("a: b", Family::Int)];
        let found = place_in("COPY t, line 1, column a: b: \"x\"", "t", &longer).unwrap();
        assert_eq!(found.column, ab);
    }

    #[test]
    fn half_is_passed_once() {
        let mut halfway = Halfway::of(5);
        let passed = [1; 6].map(|n| halfway.passed_within(n));
        assert_eq!(passed, [None, None, Some(1), None, None, None]);
        assert_eq!(Halfway::of(4).passed_within(9), Some(2));
        assert_eq!(Halfway::of(0).passed_within(0), Some(0));
    }
}
