//! Pages of a table's rows. Each is a transaction of its own, which only reads;
//! with a snapshot one transaction holds them all.

use std::pin::pin;
use std::sync::Arc;

use arrow_schema::DataType;
use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use kiln_core::{Cell, Fault, Result};
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Error, Row, RowStream};

use super::fault::fault;
use super::server::Server;
use crate::pages::{
    KeyValue, Misfit, Page, Pages, Statement, Window, date, decimal, lost_snapshot, of_source,
    time, timestamp,
};

/// Begins a transaction that reads, in which the text of a value is the one that
/// gives the same value back.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; \
     SET LOCAL idle_in_transaction_session_timeout = '60s'";
/// The same for as long as a run takes.
const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL idle_in_transaction_session_timeout = 0";
const EXACT_TEXT: &str = "\
     SET LOCAL TimeZone = 'UTC'; \
     SET LOCAL DateStyle = 'ISO, YMD'; \
     SET LOCAL IntervalStyle = 'postgres'; \
     SET LOCAL bytea_output = 'hex'; \
     SET LOCAL extra_float_digits = 3";

/// The rows of a table, on a connection of its own.
pub(super) struct PostgresPages {
    server: Arc<Server>,
    /// With a snapshot: in the transaction that sees it.
    client: Option<Client>,
    statement: Statement,
    /// The type of each of the key's columns, and its collation.
    casts: Vec<Cast>,
    types: Vec<DataType>,
    snapshot: bool,
}

impl PostgresPages {
    pub(super) fn new(
        server: Arc<Server>,
        statement: Statement,
        casts: Vec<Cast>,
        types: Vec<DataType>,
        snapshot: bool,
    ) -> Self {
        Self { server, client: None, statement, casts, types, snapshot }
    }

    /// A connection that is in a transaction, or will be by what is still to be
    /// said on it.
    async fn client(&mut self) -> Result<(Client, Option<&'static str>)> {
        match (self.client.take(), self.snapshot) {
            (Some(client), true) => Ok((client, None)),
            (Some(client), false) if !client.is_closed() => Ok((client, Some(BEGIN))),
            (_, false) => Ok((self.server.connect().await?, Some(BEGIN))),
            (None, true) => Ok((self.server.connect().await?, Some(BEGIN_SNAPSHOT))),
        }
    }

    /// Begins a transaction that sees what another one sees, or else this moment.
    async fn begin_as(&mut self, other: Option<&str>) -> Result<&Client> {
        let client = self.server.connect().await?;
        let same = match other {
            Some(snapshot) => format!("; SET TRANSACTION SNAPSHOT '{snapshot}'"),
            None => String::new(),
        };
        let begin = format!("{BEGIN_SNAPSHOT}{same}; {EXACT_TEXT}");
        client.batch_execute(&begin).await.map_err(|e| fault(&e))?;
        Ok(self.client.insert(client))
    }

    /// Begins, and asks for the rows, in one message.
    async fn ask(
        &self,
        client: &Client,
        begin: Option<&str>,
        window: &Window,
    ) -> Result<RowStream> {
        let mut key: Vec<&str> = Vec::new();
        for value in window.behind.iter().chain(&window.upto).flatten() {
            match value {
                KeyValue::Text(text) => key.push(text),
                other => return Err(Fault::config(format!("{other:?} is no key of a row"))),
            }
        }
        let mut number = 0;
        let sql = self.statement.sql(window, |column, _| {
            number += 1;
            let cast = self.casts.get(column);
            cast.map(|cast| cast.of(number)).ok_or_else(|| Fault::bug("a key without a type"))
        })?;
        let begin = async {
            match begin {
                Some(begin) => client.batch_execute(&format!("{begin}; {EXACT_TEXT}")).await,
                None => Ok(()),
            }
        };
        let values = key.iter().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT));
        let rows = client.query_typed_raw(&sql, values);
        let ((), rows) = tokio::try_join!(begin, rows).map_err(|e| fault(&e))?;
        Ok(rows)
    }

    async fn fill(&self, rows: RowStream, mut page: Page) -> Result<Page> {
        let mut rows = pin!(rows);
        while let Some(row) = rows.try_next().await.map_err(|e| fault(&e))? {
            let cells: Vec<_> =
                self.types.iter().enumerate().map(|(i, type_)| cell(&row, i, type_)).collect();
            page.push(key(&row, self.types.len())?, &cells)?;
            if page.is_full() {
                break;
            }
        }
        Ok(page)
    }
}

#[async_trait]
impl Pages for PostgresPages {
    async fn read(&mut self, window: &Window, page: Page) -> Result<Page> {
        let (client, begin) = self.client().await?;
        let read = async {
            let rows = self.ask(&client, begin, window).await?;
            let page = self.fill(rows, page).await?;
            if !self.snapshot {
                client.batch_execute("COMMIT").await.map_err(|e| fault(&e))?;
            }
            Ok(page)
        };
        match read.await {
            Ok(page) => {
                self.client = Some(client);
                Ok(page)
            }
            Err(fault) if begin.is_none() => Err(lost_snapshot(of_source(fault))),
            Err(fault) => Err(of_source(fault)),
        }
    }

    fn another(&self) -> Self {
        let (server, statement) = (Arc::clone(&self.server), self.statement.clone());
        Self::new(server, statement, self.casts.clone(), self.types.clone(), self.snapshot)
    }

    fn of_keys(&self) -> Self {
        let (server, statement) = (Arc::clone(&self.server), self.statement.of_keys());
        Self::new(server, statement, self.casts.clone(), Vec::new(), false)
    }

    /// The first one's snapshot is everybody's.
    async fn agree(readers: &mut [Self]) -> Result<()> {
        let Some((first, others)) = readers.split_first_mut().filter(|(first, _)| first.snapshot)
        else {
            return Ok(());
        };
        let client = first.begin_as(None).await?;
        let export = "SELECT pg_catalog.pg_export_snapshot()";
        let row = client.query_one(export, &[]).await.map_err(|e| fault(&e))?;
        let snapshot: String = row.try_get(0).map_err(|e| fault(&e))?;
        for other in others {
            other.begin_as(Some(&snapshot)).await?;
        }
        Ok(())
    }
}

/// How a text becomes a value of a key's column, comparing as it does.
#[derive(Debug, Clone)]
pub(super) struct Cast {
    pub(super) type_: String,
    /// ` COLLATE …`, or nothing.
    pub(super) collation: String,
}

impl Cast {
    /// The value of the parameter with this number.
    pub(super) fn of(&self, parameter: usize) -> String {
        format!("CAST(${parameter} AS {}){}", self.type_, self.collation)
    }
}

/// The key behind the row's columns.
fn key(row: &Row, columns: usize) -> Result<Vec<KeyValue>> {
    let value = |i| match row.try_get(i) {
        Ok(Some(text)) => Ok(KeyValue::Text(text)),
        Ok(None) => Err(Fault::config("a row has a NULL in its key")),
        Err(error) => Err(fault(&error)),
    };
    (columns..row.len()).map(value).collect()
}

/// What was read in a column.
fn cell<'a>(row: &'a Row, i: usize, type_: &DataType) -> Result<Cell<'a>, Misfit> {
    match type_ {
        DataType::Boolean => native(row, i, Cell::Bool),
        DataType::Int16 => native(row, i, |v: i16| Cell::Int(v.into())),
        DataType::Int32 => native(row, i, |v: i32| Cell::Int(v.into())),
        DataType::Int64 => native(row, i, Cell::Int),
        DataType::Float32 => native(row, i, |v: f32| Cell::Float(v.into())),
        DataType::Float64 => native(row, i, Cell::Float),
        DataType::Binary => native(row, i, Cell::Bytes),
        DataType::Utf8 => native(row, i, Cell::Text),
        DataType::Decimal128(p, s) => read(row, i, "is no number with so many digits", |text| {
            decimal(text, *p, *s).map(|digits| Cell::Decimal(digits, *s))
        }),
        DataType::Date32 => {
            read(row, i, "is no date of the years from 1 on", |t| date(t).map(Cell::Date))
        }
        DataType::Time64(_) => read(row, i, "is no time of day", |t| time(t).map(Cell::Time)),
        DataType::Timestamp(_, zone) => {
            let utc = zone.is_some();
            read(row, i, "is no timestamp of the years from 1 on", |text| {
                timestamp(text, utc).map(|us| Cell::Timestamp(us, utc))
            })
        }
        other => Err(Misfit { raw: String::new(), why: format!("can't be read as {other}") }),
    }
}

fn native<'a, T: FromSql<'a>>(
    row: &'a Row,
    i: usize,
    cell: impl FnOnce(T) -> Cell<'a>,
) -> Result<Cell<'a>, Misfit> {
    row.try_get::<_, Option<T>>(i).map(|v| v.map_or(Cell::Null, cell)).map_err(|e| unreadable(&e))
}

fn read<'a>(
    row: &'a Row,
    i: usize,
    why: &str,
    cell: impl FnOnce(&'a str) -> Option<Cell<'a>>,
) -> Result<Cell<'a>, Misfit> {
    match row.try_get::<_, Option<&str>>(i) {
        Ok(None) => Ok(Cell::Null),
        Ok(Some(text)) => {
            cell(text).ok_or_else(|| Misfit { raw: text.to_owned(), why: why.to_owned() })
        }
        Err(error) => Err(unreadable(&error)),
    }
}

/// A value that is not what its type says, such as text in another encoding.
fn unreadable(error: &Error) -> Misfit {
    Misfit { raw: String::new(), why: format!("can't be read: {error}") }
}
