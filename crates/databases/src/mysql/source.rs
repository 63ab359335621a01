//! Tables of MySQL and MariaDB as sources.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use kiln_core::{Fault, Result, Source, TableName, TableSpec};

use super::fault::{fault, is_missing_part};
use super::order::{KeyKind, Order, column};
use super::pages::{MysqlPages, SNAPSHOT_TIME, set_to_read};
use super::read_as::{is_instant, selected, type_of};
use super::server::Server;
use super::session::Session;
use super::statement::quoted;
use super::table::{Column, Table, no_table};
use crate::pages::{Described, Statement, TableSource, of_source};
use crate::url::without_user;

/// Opens a table as it will be when the set-up script has run.
pub(super) async fn open(server: Arc<Server>, spec: &TableSpec) -> Result<Box<dyn Source>> {
    let mut session = server.connect().await?;
    let table = find(&server, &mut session, &spec.table).await?;
    check_table(&table, spec)?;
    let columns: Vec<&Column> = match spec.columns.is_empty() {
        true => table.columns.iter().collect(),
        false => spec.columns.iter().map(|c| column(&table, spec, c)).collect::<Result<_>>()?,
    };
    let types: Vec<DataType> = columns
        .iter()
        .map(|c| type_of(c).ok_or_else(|| unreadable(&spec.table, c)))
        .collect::<Result<_>>()?;
    let order = Order::of(&table, spec)?;
    let statement = statement(&table, spec, &columns, &order)?;
    let is_rehearsed = server.rehearsal(&mut session).await?.is_some();
    look_at(&mut session, &table, spec, &statement, is_rehearsed).await?;

    let fields = columns.iter().zip(&types).map(|(c, t)| Field::new(&c.name, t.clone(), true));
    let described = Described {
        database: without_user(server.url()),
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        order: order.columns.iter().map(|c| c.name.clone()).collect(),
        is_number: order.kinds.first() == Some(&KeyKind::Number),
    };
    let pages = MysqlPages::new(server, statement, types, order.kinds, spec.snapshot);
    Ok(Box::new(TableSource::new(spec, described, pages)?))
}

async fn find(server: &Server, session: &mut Session, name: &TableName) -> Result<Table> {
    let found = server.tables(session, &[name]).await?.pop().unwrap_or(Ok(None))?;
    if let Some(table) = found {
        return Ok(table);
    }
    let rehearsal = server.rehearsal(session).await?;
    Err(match rehearsal.as_ref().and_then(|r| r.omitted()) {
        Some(why) => no_table(name).with_hint(format!("the set-up script was not tried: {why}")),
        None => no_table(name),
    })
}

fn check_table(table: &Table, spec: &TableSpec) -> Result<()> {
    let name = &spec.table;
    if !matches!(table.kind.as_str(), "BASE TABLE" | "SYSTEM VERSIONED") {
        return Err(Fault::config(format!("{name} is no table with a key"))
            .with_hint("name the table behind it: rows are read in the order of their key"));
    }
    if spec.snapshot && !table.engine.eq_ignore_ascii_case("InnoDB") {
        let engine = &table.engine;
        return Err(Fault::config(format!(
            "{name} is of the engine {engine}, which has no snapshots"
        ))
        .with_hint(format!("leave snapshot out, or ALTER TABLE {name} ENGINE = InnoDB")));
    }
    if spec.snapshot && spec.ranges > 1 {
        return Err(Fault::config(format!(
            "{name} can't be read in ranges by a snapshot: in MySQL and MariaDB each connection \
             has one of its own"
        ))
        .with_hint("leave ranges or snapshot out"));
    }
    Ok(())
}

fn unreadable(table: &TableName, column: &Column) -> Fault {
    let Column { name, type_name, .. } = column;
    Fault::config(format!("{table}.{name} is {type_name}, which can't be read"))
        .with_column(name)
        .with_hint("name the columns that are to be read: columns = [\"…\"]")
}

/// Has the server look at the statement, and at whether all columns may be read:
/// those that may not are not in its catalogs. What the set-up script is still to
/// make can't be looked at.
async fn look_at(
    session: &mut Session,
    table: &Table,
    spec: &TableSpec,
    statement: &Statement,
    is_rehearsed: bool,
) -> Result<()> {
    if table.is_rehearsed {
        return Ok(());
    }
    set_to_read(session).await.map_err(|e| fault(&e))?;
    let all = format!("SELECT * FROM {} LIMIT 0", table.sql);
    let all = spec.columns.is_empty().then_some(all);
    let page = statement.probe(&vec!["?".to_owned(); statement.keys.len()]);
    for sql in all.into_iter().chain([page]) {
        match session.look_at(&sql).await {
            Err(e) if is_rehearsed && is_missing_part(&e) => {}
            looked => {
                looked.map_err(|e| of_source(fault(&e)).at(format_args!("table {}", spec.table)))?
            }
        }
    }
    Ok(())
}

/// Where rows lie in the order that is asked for, no other index is taken: with
/// one, the server may think that it is quicker to sort them all for each page.
/// A condition may have an index that is quicker.
fn statement(
    table: &Table,
    spec: &TableSpec,
    columns: &[&Column],
    order: &Order<'_>,
) -> Result<Statement> {
    let own = quoted(&spec.table.name)?;
    let named = |c: &&Column| Ok(format!("{own}.{}", quoted(&c.name)?));
    let keys: Vec<String> = order.columns.iter().map(named).collect::<Result<_>>()?;
    let selected = |c: &&Column| Ok(selected(&named(c)?, c));
    let index = match order.index.filter(|_| spec.filter.is_none()) {
        Some(index) => format!(" FORCE INDEX ({})", quoted(index)?),
        None => String::new(),
    };
    let mut conditions: Vec<String> = spec.filter.iter().cloned().collect();
    if let (Some(watermark), Some(name)) = (order.columns.first(), keys.first())
        && spec.watermark.is_some()
    {
        conditions.push(format!("{name} IS NOT NULL"));
        conditions.extend(lag(spec, watermark, name)?);
    }
    Ok(Statement {
        table: format!("{}{index}", table.sql),
        columns: columns.iter().map(selected).collect::<Result<_>>()?,
        keys: order.columns.iter().map(selected).collect::<Result<_>>()?,
        order: keys,
        compares_rows: false,
        conditions,
    })
}

/// Leaves out what is too young. A statement's own time lies before its first
/// look at the table, so what is older has been committed.
fn lag(spec: &TableSpec, watermark: &Column, name: &str) -> Result<Option<String>> {
    if spec.lag.is_zero() {
        return Ok(None);
    }
    if !is_instant(watermark) {
        let Column { name, type_name, .. } = watermark;
        return Err(Fault::config(format!("a lag needs an instant; {name} is {type_name}"))
            .with_column(name)
            .with_hint("leave lag out, or take a watermark of type TIMESTAMP"));
    }
    let now = if spec.snapshot { SNAPSHOT_TIME } else { "NOW(6)" };
    let seconds = spec.lag.as_secs_f64();
    Ok(Some(format!("{name} <= {now} - INTERVAL {seconds} SECOND")))
}
