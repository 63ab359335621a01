//! The oracle: what must be in the database, told by the input alone and asked
//! by plain SQL.

use std::collections::BTreeMap;

use kiln_testkit::Row;

use crate::sales::{Fate, Item, Sales};

fn row<const N: usize>(values: [String; N]) -> Row {
    values.into_iter().map(Some).collect()
}

fn sold(items: &[Item]) -> impl Iterator<Item = &Item> {
    items.iter().filter(|item| item.fate == Fate::Sold)
}

/// Line, code, amount and total of each sale, by line.
fn sales(items: &[Item]) -> Vec<Row> {
    let sale = |item: &Item| {
        let total = item.amount * item.price;
        row([
            item.line.to_string(),
            format!("A{}", item.code),
            item.amount.to_string(),
            format!("{}.{:02}", total / 100, total % 100),
        ])
    };
    sold(items).map(sale).collect()
}

/// How many were sold of each code.
fn stock(items: &[Item]) -> Vec<Row> {
    let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
    sold(items).for_each(|item| *sums.entry(item.code).or_default() += item.amount);
    sums.into_iter().map(|(code, sum)| row([format!("A{code}"), sum.to_string()])).collect()
}

/// Line and stage of each failed item, by line.
fn dead_letters(items: &[Item]) -> Vec<Row> {
    let stage = |item: &Item| match item.fate {
        Fate::Sold | Fate::Filtered => None,
        Fate::Unreadable => Some("parse"),
        Fate::NoPrice => Some("require"),
        Fate::TooMany => Some("write"),
    };
    let letter = |item: &Item| Some(row([item.line.to_string(), stage(item)?.to_owned()]));
    items.iter().filter_map(letter).collect()
}

/// Read, processed, filtered, duplicate and failed.
fn counts(items: &[Item]) -> Row {
    let [filtered, sold] = [Fate::Filtered, Fate::Sold]
        .map(|fate| items.iter().filter(|item| item.fate == fate).count());
    row([items.len(), sold, filtered, 0, items.len() - sold - filtered].map(|n| n.to_string()))
}

impl Sales {
    /// Makes sure that the run is complete, and that each item came to the one
    /// end it must come to.
    ///
    /// # Panics
    /// With what differs.
    pub(crate) async fn assert_exact(&self, what: &str) {
        let ask = async |sql: &str| self.database.query(sql).await;
        let [runs, marks, letters] =
            ["runs", "marks", "dead_letters"].map(|table| self.on.ledger(table));
        let of_sales = "SELECT line, code, amount, total FROM sales JOIN items ON items.id = item
                        ORDER BY line, code, amount";
        assert_rows(what, "sales", ask(of_sales).await, sales(&self.items));
        let of_stock =
            "SELECT code, amount FROM stock JOIN items ON items.id = item_id ORDER BY code";
        assert_rows(what, "stock", ask(of_stock).await, stock(&self.items));
        let of_letters = format!("SELECT line, stage FROM {letters} ORDER BY line, stage");
        assert_rows(what, "dead letters", ask(&of_letters).await, dead_letters(&self.items));
        let of_counts = format!(
            "SELECT sum(m.read), sum(processed), sum(filtered), sum(duplicate), sum(failed)
             FROM {marks} m"
        );
        assert_rows(what, "counts", ask(&of_counts).await, vec![counts(&self.items)]);
        let of_runs = format!("SELECT state FROM {runs}");
        assert_rows(what, "runs", ask(&of_runs).await, vec![row(["completed".to_owned()])]);
    }

    /// Makes sure, in the middle of a run that was disturbed, that what is
    /// committed fits together: each settled item came to one end, and no other
    /// item to any.
    ///
    /// # Panics
    /// With what differs.
    pub(crate) async fn assert_consistent(&self, what: &str) {
        if !self.has_ledger().await {
            return;
        }
        let [marks, letters] = ["marks", "dead_letters"].map(|table| self.on.ledger(table));
        let sql = format!(
            "SELECT coalesce(sum(m.read), 0) - coalesce(sum(processed + filtered + failed), 0),
                    (SELECT count(*) FROM sales) - coalesce(sum(processed), 0),
                    (SELECT count(DISTINCT line) FROM sales) - coalesce(sum(processed), 0),
                    (SELECT count(*) FROM {letters}) - coalesce(sum(failed), 0),
                    (SELECT coalesce(sum(amount), 0) FROM sales)
                        - (SELECT coalesce(sum(amount), 0) FROM stock)
             FROM {marks} m"
        );
        let differences = self.database.query(&sql).await;
        assert_rows(what, "differences", differences, vec![row(["0"; 5].map(str::to_owned))]);
    }
}

fn assert_rows(what: &str, table: &str, ours: Vec<Row>, expected: Vec<Row>) {
    let differs = ours.iter().zip(&expected).position(|(a, b)| a != b);
    let at = differs.unwrap_or(ours.len().min(expected.len()));
    assert!(
        ours == expected,
        "{what}: {table}: {} rows, expected {}; row {at} is {:?}, expected {:?}",
        ours.len(),
        expected.len(),
        ours.get(at),
        expected.get(at)
    );
}
