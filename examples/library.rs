//! A job in Rust: structs in, a mapper with a memory, structs out, into SQLite.
//!
//! ```sh
//! cargo run -p kiln-cli --example library -- examples/invoices/online-retail-day.csv sqlite:sales.db
//! ```
//!
//! Kill it and start it again: it goes on behind the last chunk that was
//! committed, and the mapper remembers what it knew there.

use std::path::Path;

use kiln::typed::{self, Outcome, TypedMapper};
use kiln::{Duplicates, Fault, Job, Mode, TableName, Write};
use kiln_databases::Script;
use kiln_files::{Column, ColumnType, CsvOptions, CsvSource};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    invoice_no: String,
    quantity: i64,
}

#[derive(Serialize, Deserialize)]
struct Sale {
    number: i64,
    invoice_no: String,
    quantity: i64,
    sold_so_far: i64,
}

#[derive(Default, Serialize, Deserialize)]
struct Till {
    number: i64,
    sold: i64,
}

impl TypedMapper for Till {
    type In = Line;
    type Out = Sale;

    fn map(&mut self, Line { invoice_no, quantity }: Line) -> Outcome<Sale> {
        if invoice_no.starts_with('C') {
            return Outcome::Filter;
        }
        if quantity <= 0 {
            return Outcome::Fail(format!("{quantity} pieces can't be sold"));
        }
        self.number += 1;
        self.sold += quantity;
        Outcome::Give(Sale { number: self.number, invoice_no, quantity, sold_so_far: self.sold })
    }
}

/// Reads sales from a CSV file and writes them, numbered, to a database.
pub async fn job(file: &Path, url: &str) -> kiln::Result<Job> {
    let columns = vec![Column::new("Quantity", ColumnType::Int)];
    let source = CsvSource::open(file, &CsvOptions { columns, ..CsvOptions::default() })?;
    let sql = "CREATE TABLE IF NOT EXISTS sales (number INTEGER PRIMARY KEY, \
               invoice_no TEXT NOT NULL, quantity INTEGER NOT NULL, sold_so_far INTEGER NOT NULL);";
    let script = Script { name: "sales".into(), sql: sql.into() };
    let database = kiln_databases::connect(url, Some(script)).await?;
    database.set_up().await?;
    let write = Write {
        table: TableName::parse("sales")?,
        mode: Mode::Insert,
        columns: Vec::new(), // all of Sale's
        key: Vec::new(),
        on_duplicate: Duplicates::default(),
    };
    Ok(Job::new("sales", Box::new(source), database.sink(), database.ledger())
        .map(typed::mapper(Till::default())?)
        .write(write))
}

#[tokio::main]
#[allow(clippy::print_stdout)]
async fn main() -> kiln::Result<()> {
    let [file, url] = std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| {
        Fault::config("two arguments are needed").with_hint("the file and the database's URL")
    })?;
    let report = job(Path::new(&file), &url).await?.run().await;
    println!("{}: {:?}", report.status.as_str(), report.counts);
    report.fault.map_or(Ok(()), Err)
}
