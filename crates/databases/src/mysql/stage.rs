//! A temporary table for rows that are to be compared with those of a table. Its
//! columns are of the table's own types, so that the server compares as it would
//! in the table, and refuses a value here that the table would refuse.

use std::sync::atomic::{AtomicU32, Ordering};

use arrow_array::RecordBatch;
use kiln_core::{Fault, Refusal, Result};

use super::fault::fault;
use super::insert::{Halfway, Insert};
use super::session::{Session, value};
use super::table::Column;

pub(super) struct Stage {
    pub(super) name: String,
    /// Which columns of the write it has; column `i` is called `c{i}` here. The
    /// number of a row is `o`.
    takes: Vec<usize>,
    insert: Insert,
    clear: String,
}

impl Stage {
    /// Makes one for some columns of a write to a table.
    ///
    /// # Errors
    /// [`Kind::NotPermitted`](kiln_core::Kind::NotPermitted) if the user may not.
    pub(super) async fn make(
        session: &mut Session,
        table: &str,
        columns: &[Column],
        takes: &[usize],
    ) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("kiln_stage_{}", MADE.fetch_add(1, Ordering::Relaxed));
        let kept: Vec<Column> = takes.iter().map(|i| columns[*i].clone()).collect();
        let declare = |(i, c): (&usize, &Column)| format!("c{i} {} NULL", c.declared);
        let declared: Vec<String> = takes.iter().zip(&kept).map(declare).collect();
        let sql = format!(
            "CREATE TEMPORARY TABLE {name} (o BIGINT NOT NULL PRIMARY KEY, {}) ENGINE = InnoDB",
            declared.join(", ")
        );
        session.run(&sql).await.map_err(|e| {
            let fault = fault(&e).at(format_args!("a temporary table for the keys of {table}"));
            match e.code() {
                Some(1044) => fault.with_hint(
                    "GRANT CREATE TEMPORARY TABLES ON the database to the user of the URL",
                ),
                _ => fault,
            }
        })?;
        let names: Vec<String> = takes.iter().map(|i| format!("c{i}")).collect();
        let insert = Insert {
            table: table.to_owned(),
            columns: kept,
            head: format!("INSERT INTO {name} (o, {}) VALUES ", names.join(", ")),
            tail: String::new(),
            numbered: true,
        };
        Ok(Self { clear: format!("DELETE FROM {name}"), name, takes: takes.to_vec(), insert })
    }

    /// Holds these rows and no others, numbered from 0.
    pub(super) async fn fill(
        &self,
        session: &mut Session,
        rows: &RecordBatch,
        items: &[Option<u64>],
    ) -> Result<(), Refusal> {
        session.run(&self.clear).await.map_err(|e| fault(&e))?;
        let kept = rows.project(&self.takes);
        let kept = kept.map_err(|e| Fault::bug(format!("a unit's rows lack columns: {e}")))?;
        self.insert.send(session, &kept, items, &mut Halfway::never()).await.map_err(|refusal| {
            let column = refusal.fault.column().and_then(|c| self.named(c));
            match column {
                Some(column) => Refusal { fault: refusal.fault.with_column(column), ..refusal },
                None => refusal,
            }
        })
    }

    /// The table's name for a column that the server calls by this one's.
    fn named(&self, column: &str) -> Option<String> {
        let number: usize = column.strip_prefix('c')?.parse().ok()?;
        let place = self.takes.iter().position(|i| *i == number)?;
        Some(self.insert.columns[place].name.clone())
    }

    /// The rows that have the key of an earlier one, with the first of them.
    pub(super) async fn repeats(
        &self,
        session: &mut Session,
        keys: &[usize],
    ) -> Result<Vec<(usize, usize)>> {
        let keys: Vec<String> = keys.iter().map(|i| format!("c{i}")).collect();
        let sql = format!(
            "SELECT o, first FROM (SELECT o, MIN(o) OVER (PARTITION BY {}) AS first FROM {}) AS x \
             WHERE o <> first",
            keys.join(", "),
            self.name
        );
        let rows = session.ask(&sql).await.map_err(|e| fault(&e))?;
        let pair = |row: &mysql_async::Row| Ok((value(row, 0)?, value(row, 1)?));
        rows.iter().map(pair).collect::<Result<_, _>>().map_err(|e| fault(&e))
    }

    /// The numbers that a statement gives, rising.
    pub(super) async fn numbers(session: &mut Session, sql: &str) -> Result<Vec<usize>> {
        let rows = session.ask(sql).await.map_err(|e| fault(&e))?;
        let numbers = rows.iter().map(|row| value(row, 0)).collect::<Result<Vec<usize>, _>>();
        let mut numbers = numbers.map_err(|e| fault(&e))?;
        numbers.sort_unstable();
        Ok(numbers)
    }
}
