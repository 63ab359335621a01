//! Tables that items refer to.

use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use kiln_core::{Catalog, CatalogSize, CatalogSpec, CellColumn, Fault, Key, Kind, Result};
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection};

use super::fault;
use super::plan::Target;
use super::session::{Session, at};
use super::table::Table;
use super::types::{Fit, Takes, fit};
use super::worker::Worker;
use super::write::bind_row;
use crate::fit::misfit;
use crate::names::{quoted, quoted_list, quoted_table};

pub(super) struct SqliteCatalog {
    worker: Arc<Worker>,
    spec: Arc<CatalogSpec>,
}

impl SqliteCatalog {
    pub(super) fn new(worker: Arc<Worker>, spec: CatalogSpec) -> Self {
        Self { worker, spec: Arc::new(spec) }
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn key_is_integer(&self) -> Result<bool> {
        let spec = Arc::clone(&self.spec);
        self.worker
            .run(move |session| {
                session.look_ahead(|connection| {
                    let table = Table::find(connection, &spec.table)?;
                    check(&table, &spec)?;
                    key_is_integer(&table, &spec)
                })
            })
            .await
    }

    async fn size(&self) -> Result<CatalogSize> {
        let spec = Arc::clone(&self.spec);
        self.worker
            .run(move |session| session.look_ahead(|connection| size(connection, &spec)))
            .await
    }

    async fn load(&self) -> Result<Vec<(Key, Vec<Option<String>>)>> {
        let spec = Arc::clone(&self.spec);
        self.worker
            .run(move |session| session.look_ahead(|connection| load(connection, &spec)))
            .await
    }

    async fn find_or_create(&self, rows: &RecordBatch) -> Result<Vec<Result<Key>>> {
        let (spec, rows) = (Arc::clone(&self.spec), rows.clone());
        self.worker.run(move |session| find_or_create(session, &spec, &rows, false)).await
    }

    async fn find_or_create_in_order(&self, rows: &RecordBatch) -> Result<Vec<Result<Key>>> {
        let (spec, rows) = (Arc::clone(&self.spec), rows.clone());
        self.worker.run(move |session| find_or_create(session, &spec, &rows, true)).await
    }
}

/// Looks whether rows can be found and made.
fn check(table: &Table, spec: &CatalogSpec) -> Result<()> {
    for name in spec.on.iter().chain(&spec.compare).chain(&spec.create) {
        let column = table.column(name).ok_or_else(|| table.missing_column(name))?;
        let is_filled = spec.on.contains(name) || spec.create.contains(name);
        if column.generated && is_filled {
            return Err(Fault::config(format!(
                "{}.{name} is computed by the database",
                table.name
            ))
            .with_column(name));
        }
    }
    if spec.on.is_empty() && spec.create.is_empty() {
        return Ok(()); // All rows are looked through.
    }
    if !table.is_unique(spec.on.iter().map(String::as_str)) {
        return Err(table.not_unique(&spec.on));
    }
    if spec.create.is_empty() {
        return Ok(()); // Rows are found, and none is made.
    }
    let created = |name: &str| spec.create.iter().any(|c| c.eq_ignore_ascii_case(name));
    let key = table.column(&spec.key).ok_or_else(|| table.missing_column(&spec.key))?;
    if !created(&spec.key) && !key.is_rowid && !key.has_default {
        let message = format!("{}.{} gets no value by itself", table.name, spec.key);
        return Err(Fault::config(message)
            .with_column(&spec.key)
            .with_hint("declare it INTEGER PRIMARY KEY, or add it to create"));
    }
    match table.columns.iter().find(|c| c.required && !c.generated && !created(&c.name)) {
        None => Ok(()),
        Some(column) => {
            let name = &column.name;
            Err(Fault::config(format!(
                "{}.{name} is NOT NULL, and create leaves it out",
                table.name
            ))
            .with_column(name)
            .with_hint("add it to create, or give it a default"))
        }
    }
}

fn key_is_integer(table: &Table, spec: &CatalogSpec) -> Result<bool> {
    let key = table.column(&spec.key).ok_or_else(|| table.missing_column(&spec.key))?;
    Ok(key.takes == Takes::Integer)
}

fn size(connection: &Connection, spec: &CatalogSpec) -> Result<CatalogSize> {
    let table = Table::find(connection, &spec.table)?;
    let length = |c: &String| Ok(format!("coalesce(length(CAST({} AS BLOB)), 0)", quoted(c)?));
    let lengths = spec.on.iter().chain(&spec.compare).map(length).collect::<Result<Vec<_>>>()?;
    let sql = format!(
        "SELECT count(*), coalesce(sum({}), 0) FROM {}",
        lengths.join(" + "),
        quoted_table(&spec.table)?
    );
    let size = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let (rows, bytes) =
        connection.query_row(&sql, [], size).map_err(at(format!("table {}", table.name)))?;
    Ok(CatalogSize { rows: rows.unsigned_abs(), bytes: bytes.unsigned_abs() })
}

fn load(connection: &Connection, spec: &CatalogSpec) -> Result<Vec<(Key, Vec<Option<String>>)>> {
    let table = Table::find(connection, &spec.table)?;
    let is_integer = key_is_integer(&table, spec)?;
    let (from, key) = (quoted_table(&spec.table)?, quoted(&spec.key)?);
    let values = spec.on.len() + spec.compare.len();
    let columns = [&spec.key].into_iter().chain(&spec.on).chain(&spec.compare);
    let columns = quoted_list(columns.map(String::as_str))?;
    let sql = format!("SELECT {columns} FROM {from} WHERE {key} IS NOT NULL");
    let place = || format!("table {}", table.name);
    let mut statement = connection.prepare(&sql).map_err(at(place()))?;
    let mut rows = statement.query([]).map_err(at(place()))?;
    let mut loaded = Vec::new();
    while let Some(row) = rows.next().map_err(at(place()))? {
        let cell = |index| row.get_ref(index).map_err(at(place()));
        let key = read_key(cell(0)?, is_integer, &table.name)?;
        let values = (1..=values).map(|i| Ok(text(cell(i)?))).collect::<Result<_>>()?;
        loaded.push((key, values));
    }
    Ok(loaded)
}

fn read_key(value: ValueRef<'_>, is_integer: bool, table: &str) -> Result<Key> {
    match (value, is_integer) {
        (ValueRef::Integer(i), true) => Ok(Key::Int(i)),
        (_, true) => Err(Fault::config(format!("{table}: a key is no integer"))
            .with_hint("correct the row, or declare the key TEXT")),
        (other, false) => text(other)
            .map(Key::Text)
            .ok_or_else(|| Fault::config(format!("{table}: a row has no key"))),
    }
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(i) => Some(i.to_string()),
        ValueRef::Real(x) => Some(x.to_string()),
        ValueRef::Text(t) => Some(String::from_utf8_lossy(t).into_owned()),
        ValueRef::Blob(b) => Some(b.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

fn find_or_create(
    session: &mut Session,
    spec: &CatalogSpec,
    rows: &RecordBatch,
    in_order: bool,
) -> Result<Vec<Result<Key>>> {
    let created = session.transact(|transaction| {
        let statements = Statements::new(transaction, spec, rows)?;
        statements.find_or_create(rows, in_order)
    });
    match created {
        // A deferred constraint speaks at COMMIT, and does not say of which row.
        Err(fault) if fault.kind() == Kind::Item && rows.num_rows() > 1 => {
            let mut keys = Vec::with_capacity(rows.num_rows());
            for row in 0..rows.num_rows() {
                keys.extend(find_or_create(session, spec, &rows.slice(row, 1), in_order)?);
                if in_order && keys.last().is_some_and(Result::is_err) {
                    break;
                }
            }
            Ok(keys)
        }
        Err(fault) if fault.kind() == Kind::Item => Ok(vec![Err(fault)]),
        other => other,
    }
}

/// The statements that make a row and find its key.
struct Statements<'a> {
    table: Table,
    targets: Vec<Target>,
    /// Where in `create` the columns of `on` are.
    on: Vec<usize>,
    is_integer: bool,
    create: CachedStatement<'a>,
    find: CachedStatement<'a>,
}

impl<'a> Statements<'a> {
    fn new(connection: &'a Connection, spec: &CatalogSpec, rows: &RecordBatch) -> Result<Self> {
        let table = Table::find(connection, &spec.table)?;
        check(&table, spec)?;
        let targets = targets(&table, spec, rows)?;
        let is_integer = key_is_integer(&table, spec)?;
        let position = |name: &String| {
            spec.create.iter().position(|c| c == name).ok_or_else(|| {
                Fault::config(format!("{}.{name} is looked for, but not created", table.name))
                    .with_hint("add it to create")
            })
        };
        let on = spec.on.iter().map(position).collect::<Result<_>>()?;
        let (create, find) = sql(spec)?;
        let place = || format!("table {}", table.name);
        let create = connection.prepare_cached(&create).map_err(at(place()))?;
        let find = connection.prepare_cached(&find).map_err(at(place()))?;
        Ok(Self { table, targets, on, is_integer, create, find })
    }

    /// All rows; in order, up to the first that is refused.
    fn find_or_create(mut self, rows: &RecordBatch, in_order: bool) -> Result<Vec<Result<Key>>> {
        let columns = CellColumn::of(rows)?;
        let on: Vec<CellColumn<'_>> = self.on.iter().map(|i| columns[*i]).collect();
        let mut keys = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            match self.one(&columns, &on, row) {
                Err(fault) if fault.kind() != Kind::Item => return Err(fault),
                key => keys.push(key),
            }
            if in_order && keys.last().is_some_and(Result::is_err) {
                break;
            }
        }
        Ok(keys)
    }

    /// A refused statement changes nothing, so the rows before it stay.
    fn one(
        &mut self,
        columns: &[CellColumn<'_>],
        on: &[CellColumn<'_>],
        row: usize,
    ) -> Result<Key> {
        let Self { table: Table { name, .. }, targets, create, find, .. } = self;
        let place = || format!("table {name}");
        let mut text = String::new();
        bind_row(create, name, targets, columns, row, &mut text)?;
        create.raw_execute().map_err(at(place()))?;
        let wanted: Vec<Target> = self.on.iter().map(|i| targets[*i].clone()).collect();
        bind_row(find, name, &wanted, on, row, &mut text)?;
        let mut found = find.raw_query();
        match found.next().map_err(at(place()))? {
            Some(row) => read_key(row.get_ref(0).map_err(fault::classify)?, self.is_integer, name),
            None => Err(Fault::item(format!("{name}: the row is not there after it was made"))
                .with_code("dropped")),
        }
    }
}

fn targets(table: &Table, spec: &CatalogSpec, rows: &RecordBatch) -> Result<Vec<Target>> {
    let fields = rows.schema_ref().fields();
    if fields.len() != spec.create.len() {
        return Err(Fault::bug(format!("{}: the rows are not those of create", table.name)));
    }
    spec.create
        .iter()
        .zip(fields)
        .map(|(name, field)| {
            let column = table.column(name).ok_or_else(|| table.missing_column(name))?;
            match fit(field.data_type(), column.takes) {
                Fit::No(why) => {
                    let type_ = field.data_type();
                    let fault = misfit(&table.name, name, &column.declared, field.name(), type_);
                    Err(why.map_or(fault.clone(), |why| fault.with_hint(why)))
                }
                _ => Ok(Target::of(column)),
            }
        })
        .collect()
}

/// How a row is made and how it is found.
fn sql(spec: &CatalogSpec) -> Result<(String, String)> {
    let (table, key) = (quoted_table(&spec.table)?, quoted(&spec.key)?);
    let columns = quoted_list(spec.create.iter().map(String::as_str))?;
    let on = quoted_list(spec.on.iter().map(String::as_str))?;
    let values = vec!["?"; spec.create.len()].join(", ");
    let found =
        spec.on.iter().map(|c| Ok(format!("{} = ?", quoted(c)?))).collect::<Result<Vec<_>>>()?;
    Ok((
        format!(
            "INSERT OR ABORT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT ({on}) DO NOTHING"
        ),
        format!("SELECT {key} FROM {table} WHERE {}", found.join(" AND ")),
    ))
}
