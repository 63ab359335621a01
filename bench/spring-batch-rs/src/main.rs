//! The file of invoice lines into PostgreSQL with spring-batch-rs, by its own
//! reader and its own writer: FILE URL CHUNK.
//!
//! Its writer knows whole numbers, floats and texts only, and one statement may
//! not bind a column as two types. So the price goes as a float, and the date
//! and the customer as text, which the database casts on assignment.

use std::env;
use std::error::Error;

use serde::{Deserialize, Serialize};
use spring_batch_rs::core::job::{Job, JobBuilder};
use spring_batch_rs::core::step::StepBuilder;
use spring_batch_rs::item::csv::csv_reader::CsvItemReaderBuilder;
use spring_batch_rs::item::rdbc::RdbcItemWriterBuilder;
use sqlx::postgres::PgPoolOptions;

#[derive(Clone, Deserialize, Serialize)]
struct Line {
    line_id: i64,
    invoice_no: String,
    stock_code: String,
    description: String,
    quantity: i32,
    unit_price: f64,
    sold_at: String,
    customer_id: Option<String>,
    country: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(file), Some(url), Some(chunk)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: bench-spring-batch-rs FILE URL CHUNK".into());
    };
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await?;
    let reader = CsvItemReaderBuilder::<Line>::new().has_headers(true).from_path(&file);
    let writer = RdbcItemWriterBuilder::<Line>::new()
        .postgres(&pool)
        .table("line")
        .column("line_id", |l: &Line| l.line_id.into())
        .column("invoice_no", |l: &Line| l.invoice_no.as_str().into())
        .column("stock_code", |l: &Line| l.stock_code.as_str().into())
        .column("description", |l: &Line| l.description.as_str().into())
        .column("quantity", |l: &Line| l.quantity.into())
        .column("unit_price", |l: &Line| l.unit_price.into())
        .column("sold_at", |l: &Line| l.sold_at.as_str().into())
        .column("customer_id", |l: &Line| l.customer_id.clone().into())
        .column("country", |l: &Line| l.country.as_str().into())
        .build_postgres();
    let step = StepBuilder::new("lines")
        .chunk::<Line, Line>(chunk.parse()?)
        .reader(&reader)
        .writer(&writer)
        .build();
    JobBuilder::new().start(&step).build().run()?;
    Ok(())
}
