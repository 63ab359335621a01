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
use kiln::{Fault, Job, Write};
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
}

#[derive(Default, Serialize, Deserialize)]
struct Numbering(i64);

impl TypedMapper for Numbering {
    type In = Line;
    type Out = Sale;

    fn map(&mut self, Line { invoice_no, quantity }: Line) -> Outcome<Sale> {
        if quantity <= 0 {
            return Outcome::Fail(format!("{quantity} pieces can't be sold"));
        }
        self.0 += 1;
        Outcome::Give(Sale { number: self.0, invoice_no, quantity })
    }
}

/// Numbers the sales in a CSV file and writes them to the table `sales`.
pub async fn job(file: &Path, url: &str) -> kiln::Result<Job> {
    let columns = vec![Column::new("Quantity", ColumnType::Int)];
    let source = CsvSource::open(file, &CsvOptions { columns, ..CsvOptions::default() })?;
    let database = kiln_databases::connect(url, Some(TABLES.into())).await?;
    database.set_up().await?;
    Ok(Job::new("sales", Box::new(source), database.sink(), database.ledger())
        .map(typed::mapper(Numbering::default())?)
        .write(Write::insert("sales")?))
}

const TABLES: &str = "CREATE TABLE IF NOT EXISTS sales \
                      (number INTEGER PRIMARY KEY, invoice_no TEXT NOT NULL, quantity INTEGER);";

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
