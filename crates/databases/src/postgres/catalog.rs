//! Rows that items refer to, found or created.
//!
//! What is there is looked up first, so that a row that exists takes no number
//! from the key's sequence. What is missing is inserted with `ON CONFLICT DO
//! NOTHING` and looked up again: whoever was faster, both find the same key.

use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use kiln_core::{Catalog, CatalogSize, CatalogSpec, CellColumn, Fault, Key, Kind, Result};
use tokio::sync::Mutex;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

use super::encode::check_value;
use super::encode::texts;
use super::fault::fault;
use super::server::Server;
use super::table::{Column, Table, no_column, no_table};
use super::types::Family;
use crate::answers::Answers;
use crate::names::{quoted, quoted_list};

/// How often a creation that met another one in a deadlock is tried.
const TRIES: u32 = 5;

pub(super) struct PostgresCatalog {
    server: Arc<Server>,
    spec: CatalogSpec,
    open: Mutex<Option<Open>>,
}

/// A connection, and what is to be said on it.
struct Open {
    server: Arc<Server>,
    client: Client,
    plan: Plan,
}

/// The values of the rows, one list a column.
type Values = Vec<Vec<Option<String>>>;

impl PostgresCatalog {
    pub(super) fn new(server: Arc<Server>, spec: CatalogSpec) -> Self {
        Self { server, spec, open: Mutex::new(None) }
    }

    /// The table as it would be after the set-up script, on a connection that
    /// rolls back.
    async fn rehearse(&self) -> Result<Open> {
        let client = self.server.rehearse().await?;
        let plan = Plan::new(&client, &self.spec).await?;
        Ok(Open { server: Arc::clone(&self.server), client, plan })
    }

    async fn connect(&self) -> Result<Open> {
        let client = self.server.connect().await?;
        let plan = Plan::new(&client, &self.spec).await?;
        Ok(Open { server: Arc::clone(&self.server), client, plan })
    }

    /// All rows; in order, up to the first that is refused.
    async fn make(&self, rows: &RecordBatch, in_order: bool) -> Result<Vec<Result<Key>>> {
        let mut slot = self.open.lock().await;
        let open = match slot.take() {
            Some(open) if !open.client.is_closed() => open,
            _ => self.connect().await?,
        };
        let answers = Answers::new(open.plan.check(rows)?, in_order);
        let values = texts(rows)?;
        let made = open.find_or_create(&values, answers.good(), in_order).await?;
        *slot = Some(open);
        Ok(answers.with(made))
    }
}

#[async_trait]
impl Catalog for PostgresCatalog {
    async fn key_is_integer(&self) -> Result<bool> {
        Ok(self.rehearse().await?.plan.key_is_integer)
    }

    async fn size(&self) -> Result<CatalogSize> {
        let Open { client, plan, .. } = self.rehearse().await?;
        let rows = client.query_typed(&plan.size, &[]).await.map_err(|e| plan.fault(&e))?;
        let number = |i| rows.first().map_or(0, |row| row.get::<_, i64>(i).unsigned_abs());
        Ok(CatalogSize { rows: number(0), bytes: number(1) })
    }

    async fn load(&self) -> Result<Vec<(Key, Vec<Option<String>>)>> {
        let Open { client, plan, .. } = self.rehearse().await?;
        let rows = client.query_typed(&plan.load, &[]).await.map_err(|e| plan.fault(&e))?;
        rows.iter()
            .filter_map(|row| row.get::<_, Option<String>>(0).map(|key| (key, row)))
            .map(|(key, row)| {
                let values = (1..row.len()).map(|i| row.get(i)).collect();
                Ok((plan.key(key)?, values))
            })
            .collect()
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
        &self,
        values: &Values,
        rows: &[usize],
        in_order: bool,
    ) -> Result<Vec<Result<Key>>> {
        let mut tries = 1;
        loop {
            match self.all_at_once(values, rows).await {
                Err(fault) if fault.kind() == Kind::Item => {
                    return self.one_by_one(values, rows, in_order).await;
                }
                // Two that create the same rows in different order may meet.
                Err(fault) if fault.kind() == Kind::Busy && tries < TRIES => tries += 1,
                answer => return answer,
            }
        }
    }

    async fn all_at_once(&self, values: &Values, rows: &[usize]) -> Result<Vec<Result<Key>>> {
        self.say(self.server.begin()).await?;
        match self.pass(values, rows).await {
            Ok(keys) => {
                self.say("COMMIT").await?;
                Ok(keys)
            }
            Err(fault) => {
                self.say("ROLLBACK").await?;
                Err(fault)
            }
        }
    }

    async fn one_by_one(
        &self,
        values: &Values,
        rows: &[usize],
        in_order: bool,
    ) -> Result<Vec<Result<Key>>> {
        self.say(self.server.begin()).await?;
        let mut answers = Vec::with_capacity(rows.len());
        for row in rows {
            self.say("SAVEPOINT one").await?;
            match self.pass(values, &[*row]).await {
                Ok(key) => {
                    answers.extend(key);
                    self.say("RELEASE one").await?;
                }
                Err(fault) if fault.kind() == Kind::Item => {
                    answers.push(Err(fault));
                    self.say("ROLLBACK TO one; RELEASE one").await?;
                    if in_order {
                        break;
                    }
                }
                Err(fault) => {
                    self.say("ROLLBACK").await?;
                    return Err(fault);
                }
            }
        }
        self.say("COMMIT").await?;
        Ok(answers)
    }

    /// Finds, creates what is missing, and finds that.
    async fn pass(&self, values: &Values, rows: &[usize]) -> Result<Vec<Result<Key>>> {
        let mut keys = self.find(values, rows).await?;
        let missing: Vec<usize> = (0..rows.len()).filter(|i| keys[*i].is_none()).collect();
        if !missing.is_empty() {
            let wanted: Vec<usize> = missing.iter().map(|i| rows[*i]).collect();
            let all: Vec<usize> = (0..values.len()).collect();
            self.ask(&self.plan.create, &pick(values, &all, &wanted)).await?;
            for (i, key) in missing.iter().zip(self.find(values, &wanted).await?) {
                keys[*i] = key;
            }
        }
        Ok(keys.into_iter().map(|key| key.ok_or_else(|| self.plan.vanished())).collect())
    }

    async fn find(&self, values: &Values, rows: &[usize]) -> Result<Vec<Option<Key>>> {
        let mut keys = vec![None; rows.len()];
        let on = pick(values, &self.plan.on, rows);
        for row in self.ask(&self.plan.find, &on).await? {
            let (n, key): (i64, Option<String>) = (row.get(0), row.get(1));
            let slot = usize::try_from(n - 1).ok().and_then(|i| keys.get_mut(i));
            if let (Some(slot), Some(key)) = (slot, key) {
                *slot = Some(self.plan.key(key)?);
            }
        }
        Ok(keys)
    }

    async fn ask(&self, sql: &str, values: &Values) -> Result<Vec<tokio_postgres::Row>> {
        let values: Vec<(&(dyn ToSql + Sync), Type)> =
            values.iter().map(|v| (v as &(dyn ToSql + Sync), Type::TEXT_ARRAY)).collect();
        self.client.query_typed(sql, &values).await.map_err(|e| self.plan.fault(&e))
    }

    async fn say(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|e| self.plan.fault(&e))
    }
}

/// Some rows of some columns.
fn pick(values: &Values, columns: &[usize], rows: &[usize]) -> Values {
    columns.iter().map(|c| rows.iter().map(|r| values[*c][*r].clone()).collect()).collect()
}

/// The statements for a catalog, and what they are made from.
struct Plan {
    table: String,
    key_is_integer: bool,
    /// The columns `create`.
    columns: Vec<Column>,
    /// Where the columns `on` are among them.
    on: Vec<usize>,
    size: String,
    load: String,
    find: String,
    create: String,
}

impl Plan {
    async fn new(client: &Client, spec: &CatalogSpec) -> Result<Self> {
        let table = Table::find(client, &spec.table).await?.ok_or_else(|| no_table(&spec.table))?;
        let column =
            |name: &String| table.column(name).ok_or_else(|| no_column(&spec.table, &table, name));
        let key = column(&spec.key)?;
        let on = spec.on.iter().map(column).collect::<Result<Vec<_>>>()?;
        let compared = spec.compare.iter().map(column).collect::<Result<Vec<_>>>()?;
        let loaded: Vec<&Column> = on.iter().copied().chain(compared).collect();
        let columns = spec.create.iter().map(column).collect::<Result<Vec<_>>>()?;
        check_spec(spec, &table, key)?;
        let place = |name: &String| spec.create.iter().position(|c| c == name);
        // Without `create` nothing is asked for but all that is there.
        let asked = if spec.create.is_empty() { &[][..] } else { &spec.on };
        let positions = asked.iter().map(place).collect::<Option<Vec<_>>>().ok_or_else(|| {
            Fault::config(format!("match on {}: create must name the columns of on", spec.table))
        })?;
        Ok(Self {
            table: spec.table.to_string(),
            key_is_integer: key.family == Family::Int,
            columns: columns.iter().map(|c| (*c).clone()).collect(),
            on: positions,
            size: size_sql(&table, &loaded)?,
            load: load_sql(&table, key, &loaded)?,
            find: find_sql(&table, key, &on)?,
            create: create_sql(&table, &columns, &on)?,
        })
    }

    /// The rows that can't be stored as they are.
    fn check(&self, rows: &RecordBatch) -> Result<Vec<Option<Result<Key>>>> {
        let cells = CellColumn::of(rows)?;
        if cells.len() != self.columns.len() {
            return Err(Fault::bug(format!("rows for {} have other columns", self.table)));
        }
        let wrong = |row: usize| {
            let mut columns = cells.iter().zip(&self.columns);
            columns.find_map(|(cell, column)| {
                let place = format_args!("{}.{}", self.table, column.name);
                check_value(cell.cell(row), column).err().map(|fault| Err(fault.at(place)))
            })
        };
        Ok((0..rows.num_rows()).map(wrong).collect())
    }

    fn key(&self, text: String) -> Result<Key> {
        if !self.key_is_integer {
            return Ok(Key::Text(text));
        }
        text.parse()
            .map(Key::Int)
            .map_err(|_| Fault::bug(format!("the key {text:?} of {} is no integer", self.table)))
    }

    fn fault(&self, error: &Error) -> Fault {
        fault(error).at(&self.table)
    }

    /// A trigger changed or dropped the row, or somebody deleted it at once.
    fn vanished(&self) -> Fault {
        Fault::item(format!("{}: the row was created but is not found by its values", self.table))
            .with_code("vanished")
    }
}

/// What makes finding certain, and creation possible and idempotent.
fn check_spec(spec: &CatalogSpec, table: &Table, key: &Column) -> Result<()> {
    let CatalogSpec { table: name, on, create, .. } = spec;
    if on.is_empty() && create.is_empty() {
        return Ok(()); // All rows are looked through.
    }
    if !table.is_unique(on) {
        let on = on.join(", ");
        return Err(Fault::config(format!("{name} has no unique constraint over {on}"))
            .with_hint(format!("CREATE UNIQUE INDEX ON {name} ({on})")));
    }
    if create.is_empty() {
        return Ok(()); // Rows are found, and none is made.
    }
    if !create.contains(&key.name) && !key.by_itself {
        let key = &key.name;
        return Err(Fault::config(format!("a new row of {name} would get no {key}"))
            .with_column(key)
            .with_hint(format!(
                "make {key} GENERATED BY DEFAULT AS IDENTITY, or name it in create"
            )));
    }
    let generated = |c: &&Column| create.contains(&c.name) && c.only_by_itself;
    if let Some(column) = table.columns.iter().find(generated) {
        return Err(Fault::config(format!("{name}.{} is generated by the database", column.name))
            .with_hint("leave it out of create"));
    }
    let left_out = |c: &&Column| c.not_null && !c.by_itself && !create.contains(&c.name);
    if let Some(column) = table.columns.iter().find(left_out) {
        let column = &column.name;
        return Err(Fault::config(format!("{name}.{column} is NOT NULL and has no default"))
            .with_column(column)
            .with_hint("name it in create"));
    }
    Ok(())
}

fn size_sql(table: &Table, columns: &[&Column]) -> Result<String> {
    let length = |c: &&Column| Ok(format!("coalesce(octet_length({}::text), 0)", quoted(&c.name)?));
    let lengths = columns.iter().map(length).collect::<Result<Vec<_>>>()?.join(" + ");
    Ok(format!("SELECT count(*), coalesce(sum({lengths}), 0)::bigint FROM {}", table.sql))
}

fn load_sql(table: &Table, key: &Column, columns: &[&Column]) -> Result<String> {
    let columns = std::iter::once(key).chain(columns.iter().copied());
    let texts = columns.map(|c| Ok(format!("{}::text", quoted(&c.name)?)));
    Ok(format!("SELECT {} FROM {}", texts.collect::<Result<Vec<_>>>()?.join(", "), table.sql))
}

fn find_sql(table: &Table, key: &Column, on: &[&Column]) -> Result<String> {
    let equal =
        |(i, c): (usize, &&Column)| Ok(format!("t.{} = u.c{i}::{}", quoted(&c.name)?, c.cast));
    let equal = on.iter().enumerate().map(equal).collect::<Result<Vec<_>>>()?.join(" AND ");
    let (given, names) = unnested(on.len());
    Ok(format!(
        "SELECT u.n, t.{}::text FROM unnest({given}) WITH ORDINALITY AS u ({names}, n) \
         JOIN {} t ON {equal}",
        quoted(&key.name)?,
        table.sql
    ))
}

/// Rows are created in the order of the items that refer to them.
fn create_sql(table: &Table, columns: &[&Column], on: &[&Column]) -> Result<String> {
    let values: Vec<String> =
        columns.iter().enumerate().map(|(i, c)| format!("u.c{i}::{}", c.cast)).collect();
    let (given, names) = unnested(columns.len());
    Ok(format!(
        "INSERT INTO {} ({}) SELECT {} FROM unnest({given}) WITH ORDINALITY AS u ({names}, n) \
         ORDER BY u.n ON CONFLICT ({}) DO NOTHING",
        table.sql,
        quoted_list(columns.iter().map(|c| c.name.as_str()))?,
        values.join(", "),
        quoted_list(on.iter().map(|c| c.name.as_str()))?,
    ))
}

fn unnested(columns: usize) -> (String, String) {
    let list =
        |text: &dyn Fn(usize) -> String| (0..columns).map(text).collect::<Vec<_>>().join(", ");
    (list(&|i| format!("${}", i + 1)), list(&|i| format!("c{i}")))
}
