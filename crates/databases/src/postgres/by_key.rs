//! Writes of rows that are found by a key, one statement for all rows of a unit
//! that have different keys.

use kiln_core::{Duplicates, Fault, Mode, Refusal, Result, Rows, Write, crash_point};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::fault::fault;
use super::statement::Shape;
use super::write::{Halfway, Writer, parameters};
use crate::same_keys::{KeyedTable, SameKeys, Turn, not_found, null_keys, repeated, resolve};

/// The statements of a write, and what decides about its rows.
pub(super) struct ByKey {
    mode: Mode,
    on_duplicate: Duplicates,
    /// Which of the columns are the key.
    keys: Vec<usize>,
    keyed: KeyedTable,
    statement: Statement,
    /// Which rows have the same key; where the mode must know.
    repeats: Option<Statement>,
}

impl ByKey {
    pub(super) async fn prepare(client: &Client, write: &Write, shape: &Shape<'_>) -> Result<Self> {
        let sql = match write.mode {
            Mode::Ignore => shape.ignore()?,
            Mode::Update => shape.update()?,
            Mode::Delete => shape.delete()?,
            _ => shape.upsert()?,
        };
        let prepare = async |sql: &str, columns: usize| {
            let types = vec![Type::TEXT_ARRAY; columns];
            client.prepare_typed(sql, &types).await.map_err(|e| fault(&e).at(&write.table))
        };
        let repeats = match write.mode.has_duplicates() {
            true => Some(prepare(&shape.repeats(), shape.keys.len()).await?),
            false => None,
        };
        Ok(Self {
            mode: write.mode,
            on_duplicate: write.on_duplicate,
            keys: shape.keys.to_vec(),
            keyed: KeyedTable::of(write),
            statement: prepare(&sql, shape.columns.len()).await?,
            repeats,
        })
    }
}

impl Writer {
    /// Refuses the items that no statement is needed for: those whose key is
    /// NULL, and those whose key is not the first one where that is an error.
    pub(super) async fn refuse_keys(
        &self,
        client: &Client,
        write: &ByKey,
        rows: &Rows,
    ) -> Result<(), Refusal> {
        Refusal::unless_none(null_keys(&write.keyed, rows, &write.keys)?)?;
        if write.on_duplicate != Duplicates::Reject {
            return Ok(());
        }
        self.check_rows(rows)?;
        let repeats = self.same_keys(client, write, rows).await?.repeats();
        Refusal::unless_none(repeated(&write.keyed, rows, &repeats))
    }

    /// Writes the rows; gives the numbers of those that were passed over.
    pub(super) async fn write_by_key(
        &self,
        client: &Client,
        write: &ByKey,
        rows: &Rows,
        halfway: &mut Halfway,
    ) -> Result<Vec<usize>, Refusal> {
        let passed = match write.mode {
            Mode::Ignore => self.ignore(client, write, rows).await?,
            Mode::Delete => {
                self.run(client, &write.statement, &parameters(&rows.batch)?, rows).await?;
                Vec::new()
            }
            _ => {
                let same = self.same_keys(client, write, rows).await?;
                let (turns, passed) = resolve(rows, &same, write.on_duplicate, &write.keys)?;
                self.take_turns(client, write, rows, &turns).await?;
                passed
            }
        };
        if halfway.passed_by(rows.len()) {
            crash_point("write");
        }
        Ok(passed)
    }

    async fn take_turns(
        &self,
        client: &Client,
        write: &ByKey,
        rows: &Rows,
        turns: &[Turn],
    ) -> Result<(), Refusal> {
        let mut missing = Vec::new();
        for turn in turns {
            let values = parameters(&turn.batch)?;
            let unfound = self.run(client, &write.statement, &values, rows).await?;
            let items = unfound.iter().filter_map(|row| turn.items.get(numbered(row.get(0))));
            missing.extend(items.flatten().copied());
        }
        Refusal::unless_none(not_found(&write.keyed, missing))
    }

    async fn ignore(
        &self,
        client: &Client,
        write: &ByKey,
        rows: &Rows,
    ) -> Result<Vec<usize>, Refusal> {
        let answer = self.run(client, &write.statement, &parameters(&rows.batch)?, rows).await?;
        let Some(row) = answer.first() else { return Ok(Vec::new()) };
        let (made, passed): (i64, Vec<i64>) = (row.get(0), row.get(1));
        if made.unsigned_abs() as usize + passed.len() == rows.len() {
            return Ok(passed.into_iter().map(numbered).collect());
        }
        // A trigger, or digits that the column does not keep.
        Err(Fault::item("the table changes the key of a new row, so it can't be told from others")
            .with_code("key_changed")
            .at(write.keyed.table())
            .into())
    }

    async fn same_keys(
        &self,
        client: &Client,
        write: &ByKey,
        rows: &Rows,
    ) -> Result<SameKeys, Refusal> {
        let (Some(repeats), 2..) = (&write.repeats, rows.len()) else {
            return Ok(SameKeys::new(rows.len(), []));
        };
        let keys = rows.batch.project(&write.keys);
        let keys = keys.map_err(|e| Fault::bug(format!("a unit's rows have no key: {e}")))?;
        let found = self.run(client, repeats, &parameters(&keys)?, rows).await?;
        let pair = |row: &Row| (numbered(row.get(0)), numbered(row.get(1)));
        Ok(SameKeys::new(rows.len(), found.iter().map(pair)))
    }

    async fn run(
        &self,
        client: &Client,
        statement: &Statement,
        values: &[Vec<Option<String>>],
        rows: &Rows,
    ) -> Result<Vec<Row>, Refusal> {
        let values: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|v| v as &(dyn ToSql + Sync)).collect();
        client.query(statement, &values).await.map_err(|e| self.refusal(&e, rows))
    }
}

/// The keyed of a row that the server counts from 1.
fn numbered(number: i64) -> usize {
    usize::try_from(number - 1).unwrap_or(usize::MAX)
}
