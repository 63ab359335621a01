//! Rows that items refer to, found or created.
//!
//! What is there is looked up first, so that a row that exists takes no number
//! from the key's counter. What is missing is inserted and looked up again; who
//! meets a row that somebody else made in the meantime begins anew, and finds
//! it.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use async_trait::async_trait;
use kiln_core::{Catalog, CatalogSize, CatalogSpec, CellColumn, Fault, Key, Kind, Refusal, Result};
use mysql_async::Row;
use tokio::sync::Mutex;

use super::encode::check_value;
use super::fault::{DbError, fault};
use super::insert::{Halfway, Insert};
use super::server::Server;
use super::session::{Session, value};
use super::stage::Stage;
use super::statement::{Shape, quoted};
use super::table::{Column, Table, no_column, no_table, same_name};
use super::types::Family;
use crate::answers::Answers;

/// How often a creation that met another one is tried.
const TRIES: u32 = 10;

pub(super) struct MysqlCatalog {
    server: Arc<Server>,
    spec: CatalogSpec,
    open: Mutex<Option<Open>>,
}

/// A connection, and what is to be said on it.
struct Open {
    session: Session,
    plan: Plan,
    stage: Stage,
}

impl MysqlCatalog {
    pub(super) fn new(server: Arc<Server>, spec: CatalogSpec) -> Self {
        Self { server, spec, open: Mutex::new(None) }
    }

    /// The table as it would be after the set-up script.
    async fn look(&self) -> Result<(Session, Table, Plan)> {
        let mut session = self.server.connect().await?;
        let mut tables = self.server.tables(&mut session, &[&self.spec.table]).await?;
        let table = tables.pop().unwrap_or(Ok(None))?;
        let table = table.ok_or_else(|| no_table(&self.spec.table))?;
        let plan = Plan::new(&table, &self.spec)?;
        Ok((session, table, plan))
    }

    async fn connect(&self) -> Result<Open> {
        let mut session = self.server.connect().await?;
        let table = Table::find(&mut session, &self.spec.table).await?;
        let plan = Plan::new(&table.ok_or_else(|| no_table(&self.spec.table))?, &self.spec)?;
        let all: Vec<usize> = (0..plan.insert.columns.len()).collect();
        let stage =
            Stage::make(&mut session, &plan.insert.table, &plan.insert.columns, &all).await?;
        Ok(Open { session, plan, stage })
    }

    /// All rows; in order, up to the first that is refused.
    async fn make(&self, rows: &RecordBatch, in_order: bool) -> Result<Vec<Result<Key>>> {
        let mut slot = self.open.lock().await;
        let mut open = match slot.take() {
            Some(open) if !open.session.is_lost() => open,
            _ => self.connect().await?,
        };
        let answers = Answers::new(open.plan.check(rows)?, in_order);
        let made = open.find_or_create(rows, answers.good(), in_order).await?;
        *slot = Some(open);
        Ok(answers.with(made))
    }
}

#[async_trait]
impl Catalog for MysqlCatalog {
    async fn key_is_integer(&self) -> Result<bool> {
        Ok(self.look().await?.2.key_is_integer)
    }

    async fn size(&self) -> Result<CatalogSize> {
        let (mut session, table, plan) = self.look().await?;
        if table.is_rehearsed {
            return Ok(CatalogSize::default());
        }
        let rows = session.ask(&plan.size).await.map_err(|e| plan.fault(&e))?;
        let Some(row) = rows.first() else { return Ok(CatalogSize::default()) };
        let number = |i| value::<u64>(row, i).map_err(|e| plan.fault(&e));
        Ok(CatalogSize { rows: number(0)?, bytes: number(1)? })
    }

    async fn load(&self) -> Result<Vec<(Key, Vec<Option<String>>)>> {
        let (mut session, table, plan) = self.look().await?;
        if table.is_rehearsed {
            return Ok(Vec::new());
        }
        let rows = session.ask(&plan.load).await.map_err(|e| plan.fault(&e))?;
        let read = |row: &Row| -> Result<Option<_>, DbError> {
            let values = (1..row.len()).map(|i| value(row, i)).collect::<Result<_, _>>()?;
            Ok(value::<Option<String>>(row, 0)?.map(|key| (key, values)))
        };
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some((key, on)) = read(row).map_err(|e| plan.fault(&e))? {
                found.push((plan.key(key)?, on));
            }
        }
        Ok(found)
    }

    async fn find_or_create(&self, rows: &RecordBatch) -> Result<Vec<Result<Key>>> {
        self.make(rows, false).await
    }

    async fn find_or_create_in_order(&self, rows: &RecordBatch) -> Result<Vec<Result<Key>>> {
        self.make(rows, true).await
    }
}

impl Open {
    /// All rows in one transaction; if one of them is refused, each behind a
    /// savepoint of its own.
    async fn find_or_create(
        &mut self,
        rows: &RecordBatch,
        good: &[usize],
        in_order: bool,
    ) -> Result<Vec<Result<Key>>> {
        let mut tries = 1;
        let mut one_by_one = false;
        loop {
            self.say("START TRANSACTION").await?;
            let answer = match one_by_one {
                true => self.one_by_one(rows, good, in_order).await,
                false => self.pass(rows, good).await,
            };
            let fault = match answer {
                Ok(keys) => {
                    self.say("COMMIT").await?;
                    return Ok(keys);
                }
                Err(fault) => fault,
            };
            self.say("ROLLBACK").await?;
            match fault.kind() {
                Kind::Item if !one_by_one => one_by_one = true,
                Kind::Busy if tries < TRIES => tries += 1,
                _ => return Err(fault),
            }
        }
    }

    async fn one_by_one(
        &mut self,
        rows: &RecordBatch,
        good: &[usize],
        in_order: bool,
    ) -> Result<Vec<Result<Key>>> {
        let mut answers = Vec::with_capacity(good.len());
        for row in good {
            self.say("SAVEPOINT one").await?;
            match self.pass(rows, &[*row]).await {
                Ok(key) => answers.extend(key),
                Err(fault) if fault.kind() == Kind::Item => {
                    answers.push(Err(fault));
                    self.say("ROLLBACK TO SAVEPOINT one").await?;
                    if in_order {
                        break;
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(answers)
    }

    /// Finds, creates what is missing, and finds that.
    async fn pass(&mut self, rows: &RecordBatch, good: &[usize]) -> Result<Vec<Result<Key>>> {
        let rows = taken(rows, good)?;
        let nobody = vec![None; good.len()];
        let plain = |refusal: Refusal| refusal.fault;
        self.stage.fill(&mut self.session, &rows, &nobody).await.map_err(plain)?;
        let mut keys = self.find(good.len()).await?;
        let repeats = self.stage.repeats(&mut self.session, &self.plan.on).await?;
        let is_repeat = |row: &usize| repeats.iter().any(|(repeat, _)| repeat == row);
        let missing: Vec<usize> =
            (0..good.len()).filter(|i| keys[*i].is_none() && !is_repeat(i)).collect();
        if !missing.is_empty() {
            let new = taken(&rows, &missing)?;
            let insert = &self.plan.insert;
            let made = insert.send(&mut self.session, &new, &[], &mut Halfway::never()).await;
            made.map_err(|refusal| self.plan.met(refusal.fault))?;
            keys = self.find(good.len()).await?;
        }
        Ok(keys.into_iter().map(|key| key.ok_or_else(|| self.plan.vanished())).collect())
    }

    /// The keys of the staged rows that are there.
    async fn find(&mut self, rows: usize) -> Result<Vec<Option<Key>>> {
        let sql = self.plan.find(&self.stage.name);
        let found = self.session.ask(&sql).await.map_err(|e| self.plan.fault(&e))?;
        let mut keys = vec![None; rows];
        for row in &found {
            let number: usize = value(row, 0).map_err(|e| self.plan.fault(&e))?;
            let key: Option<String> = value(row, 1).map_err(|e| self.plan.fault(&e))?;
            if let (Some(slot), Some(key)) = (keys.get_mut(number), key) {
                *slot = Some(self.plan.key(key)?);
            }
        }
        Ok(keys)
    }

    async fn say(&mut self, sql: &str) -> Result<()> {
        self.session.run(sql).await.map(drop).map_err(|e| self.plan.fault(&e))
    }
}

fn taken(batch: &RecordBatch, rows: &[usize]) -> Result<RecordBatch> {
    let rows = UInt64Array::from_iter_values(rows.iter().map(|row| *row as u64));
    arrow_select::take::take_record_batch(batch, &rows)
        .map_err(|e| Fault::bug(format!("rows can't be taken out of a batch: {e}")))
}

/// The statements for a catalog, and what they are made from.
struct Plan {
    key_is_integer: bool,
    /// Makes rows of the columns `create`.
    insert: Insert,
    /// Where the columns `on` are among them.
    on: Vec<usize>,
    /// The unique index over them.
    index: String,
    size: String,
    load: String,
    /// What is looked for among the staged rows, and where.
    key: String,
    joined: String,
}

impl Plan {
    fn new(table: &Table, spec: &CatalogSpec) -> Result<Self> {
        let column =
            |name: &String| table.column(name).ok_or_else(|| no_column(&spec.table, table, name));
        let key = column(&spec.key)?;
        let on = spec.on.iter().map(column).collect::<Result<Vec<_>>>()?;
        let compared = spec.compare.iter().map(column).collect::<Result<Vec<_>>>()?;
        let created = spec.create.iter().map(column).collect::<Result<Vec<_>>>()?;
        let index = check_spec(spec, table, key)?;
        let place = |name: &String| spec.create.iter().position(|c| same_name(c, name));
        // Without `create` nothing is asked for but all that is there.
        let asked = if spec.create.is_empty() { &[][..] } else { &spec.on };
        let positions = asked.iter().map(place).collect::<Option<Vec<_>>>().ok_or_else(|| {
            Fault::config(format!("match on {}: create must name the columns of on", spec.table))
        })?;
        let columns: Vec<Column> = created.into_iter().cloned().collect();
        let shape = Shape { table: &table.sql, columns: &columns, keys: &[], row_alias: false };
        let texts = std::iter::once(key).chain(on.iter().copied()).chain(compared);
        let texts = texts.map(|c| Ok(format!("CAST({} AS CHAR)", quoted(&c.name)?)));
        let texts = texts.collect::<Result<Vec<_>>>()?;
        let length = |text: &String| format!("COALESCE(LENGTH({text}), 0)");
        let lengths: Vec<String> = texts[1..].iter().map(length).collect();
        let equal = |(i, c): (&usize, &&Column)| Ok(format!("t.{} = s.c{i}", quoted(&c.name)?));
        let equal = positions.iter().zip(&on).map(equal).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            key_is_integer: key.family == Family::Int,
            on: positions,
            index,
            size: format!(
                "SELECT COUNT(*), CAST(COALESCE(SUM({}), 0) AS UNSIGNED) FROM {}",
                lengths.join(" + "),
                table.sql
            ),
            load: format!("SELECT {} FROM {}", texts.join(", "), table.sql),
            key: format!("CAST(t.{} AS CHAR)", quoted(&key.name)?),
            joined: format!("STRAIGHT_JOIN {} AS t ON {}", table.sql, equal.join(" AND ")),
            insert: Insert {
                table: spec.table.to_string(),
                head: shape.insert()?,
                tail: String::new(),
                numbered: false,
                columns,
            },
        })
    }

    fn find(&self, stage: &str) -> String {
        format!("SELECT s.o, {} FROM {stage} AS s {}", self.key, self.joined)
    }

    /// The rows that can't be stored as they are.
    fn check(&self, rows: &RecordBatch) -> Result<Vec<Option<Result<Key>>>> {
        let cells = CellColumn::of(rows)?;
        if cells.len() != self.insert.columns.len() {
            return Err(Fault::bug(format!("rows for {} have other columns", self.insert.table)));
        }
        let wrong = |row: usize| {
            let mut columns = cells.iter().zip(&self.insert.columns);
            columns.find_map(|(cell, column)| {
                let place = format_args!("{}.{}", self.insert.table, column.name);
                check_value(cell.cell(row), column).err().map(|fault| Err(fault.at(place)))
            })
        };
        Ok((0..rows.num_rows()).map(wrong).collect())
    }

    fn key(&self, text: String) -> Result<Key> {
        if !self.key_is_integer {
            return Ok(Key::Text(text));
        }
        text.parse().map(Key::Int).map_err(|_| {
            Fault::config(format!("the key {text} of {} is too large", self.insert.table))
        })
    }

    fn fault(&self, error: &DbError) -> Fault {
        fault(error).at(&self.insert.table)
    }

    /// A row that is there already, though it was not just now, was made by
    /// somebody else: looked for again, it is found.
    fn met(&self, fault: Fault) -> Fault {
        if fault.constraint() != Some(self.index.as_str()) {
            return fault;
        }
        Fault::new(Kind::Busy, format!("{}: others make the same rows", self.insert.table))
    }

    /// A trigger changed or dropped the row, or somebody deleted it at once.
    fn vanished(&self) -> Fault {
        let table = &self.insert.table;
        Fault::item(format!("{table}: the row was created but is not found by its values"))
            .with_code("vanished")
    }
}

/// What makes creation possible, and idempotent; gives the unique index.
fn check_spec(spec: &CatalogSpec, table: &Table, key: &Column) -> Result<String> {
    let CatalogSpec { table: name, on, create, .. } = spec;
    if on.is_empty() && create.is_empty() {
        return Ok(String::new()); // All rows are looked through.
    }
    let Some(unique) = table.unique_over(on) else {
        let on = on.join(", ");
        return Err(Fault::config(format!("{name} has no unique constraint over {on}"))
            .with_hint(format!("ALTER TABLE {name} ADD UNIQUE ({on})")));
    };
    let is_created = |c: &Column| create.iter().any(|name| same_name(name, &c.name));
    if matches!(key.family, Family::Bytes(_)) {
        return Err(Fault::config(format!("{name}.{} is binary: no item can hold it", key.name))
            .with_column(&key.name)
            .with_hint("use a key of numbers or text"));
    }
    if create.is_empty() {
        return Ok(unique.index.clone()); // Rows are found, and none is made.
    }
    if !is_created(key) && !key.by_itself {
        let key = &key.name;
        return Err(Fault::config(format!("a new row of {name} would get no {key}"))
            .with_column(key)
            .with_hint(format!("make {key} AUTO_INCREMENT, or name it in create")));
    }
    if let Some(column) = table.columns.iter().find(|c| is_created(c) && c.only_by_itself) {
        return Err(Fault::config(format!("{name}.{} is generated by the database", column.name))
            .with_hint("leave it out of create"));
    }
    let left_out = |c: &&Column| c.not_null && !c.by_itself && !is_created(c);
    if let Some(column) = table.columns.iter().find(left_out) {
        let column = &column.name;
        return Err(Fault::config(format!("{name}.{column} is NOT NULL and has no default"))
            .with_column(column)
            .with_hint("name it in create"));
    }
    Ok(unique.index.clone())
}
