//! Items for tests, and mappers driven to their answer.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use arrow_array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use kiln_core::{CellColumn, Items, Mapped, Mapper, Origin, Origins};

/// The columns of the items: invoice lines.
pub(crate) fn input() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("StockCode", DataType::Utf8, true),
        Field::new("Quantity", DataType::Int64, true),
        Field::new("UnitPrice", DataType::Decimal128(12, 3), true),
        Field::new("note", DataType::Utf8, true),
    ]))
}

/// One item: stock code, quantity, price in thousandths, note.
pub(crate) type Line<'a> = (Option<&'a str>, Option<i64>, Option<i128>, Option<&'a str>);

/// Items with the ordinals 1, 2, 3, …
pub(crate) fn items(lines: &[Line<'_>]) -> Items {
    let price = Decimal128Array::from_iter(lines.iter().map(|l| l.2));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter(lines.iter().map(|l| l.0))),
        Arc::new(Int64Array::from_iter(lines.iter().map(|l| l.1))),
        Arc::new(price.with_precision_and_scale(12, 3).unwrap()),
        Arc::new(StringArray::from_iter(lines.iter().map(|l| l.3))),
    ];
    let batch = RecordBatch::try_new(input(), columns).unwrap();
    Items { batch, ordinals: (1..=lines.len() as u64).collect(), origins: Arc::new(File) }
}

/// A file whose first line is a header.
#[derive(Debug)]
pub(crate) struct File;

impl Origins for File {
    fn source(&self, _: u64) -> &str {
        "lines.csv"
    }
    fn line(&self, ordinal: u64) -> Option<u64> {
        (!ordinal.is_multiple_of(7)).then_some(ordinal + 1)
    }
    fn origin(&self, ordinal: u64) -> Origin {
        Origin { source: "lines.csv".into(), line: self.line(ordinal), ..Origin::default() }
    }
}

/// Runs a future that never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

pub(crate) fn map(mapper: &mut impl Mapper, items: Items) -> Mapped {
    let ordinals = items.ordinals.clone();
    let mapped = now(mapper.map(items)).unwrap();
    check_accounting(&ordinals, &mapped);
    assert_eq!(mapped.items.batch.schema(), mapper.schema());
    mapped
}

/// Every ordinal comes out in one place, in order.
fn check_accounting(ordinals: &[u64], mapped: &Mapped) {
    let mut seen: Vec<u64> = mapped.items.ordinals.clone();
    assert_eq!(mapped.items.batch.num_rows(), seen.len());
    assert!(seen.is_sorted() && mapped.filtered.is_sorted());
    assert!(mapped.failures.is_sorted_by_key(|f| f.ordinal));
    seen.dedup();
    seen.extend(&mapped.filtered);
    seen.extend(mapped.failures.iter().map(|f| f.ordinal));
    seen.sort_unstable();
    let mut expected = ordinals.to_vec();
    expected.dedup();
    assert_eq!(seen, expected);
}

/// The values of a batch as text, a row each, columns parted by `|`.
pub(crate) fn text(batch: &RecordBatch) -> Vec<String> {
    let columns = CellColumn::of(batch).unwrap();
    let row = |i| columns.iter().map(|c| c.cell(i).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}
