//! All that a shop holds, by plain SQL.

use kiln_testkit::Row;

use crate::shop::{On, Shop};

/// Everything that a run leaves behind, keys that the database makes left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Books {
    items: Vec<Row>,
    transactions: Vec<Row>,
    inventory: Vec<Row>,
    dead_letters: Vec<Row>,
    counts: Vec<Row>,
}

impl Books {
    pub(crate) async fn of(shop: &Shop) -> Self {
        let query = async |sql: &str| shop.database.query(sql).await;
        let (letters, marks) = (shop.ledger("dead_letters"), shop.ledger("marks"));
        // MariaDB's messages name the database, which is another each time.
        let message = match shop.on {
            On::Mysql => "replace(message, database(), 'shop')",
            _ => "message",
        };
        Self {
            items: query("SELECT code, name FROM items ORDER BY code").await,
            transactions: query(
                "SELECT source_line, invoice_no, code, quantity, unit_cost, sold_at
                 FROM transactions JOIN items ON items.id = item_id
                 ORDER BY source_line, invoice_no, code, quantity",
            )
            .await,
            inventory: query(
                "SELECT code, quantity FROM inventory JOIN items ON items.id = item_id
                 ORDER BY code",
            )
            .await,
            dead_letters: query(&format!(
                "SELECT ordinal, line, byte_offset, stage, code, column_name, constraint_name,
                        {message}, raw
                 FROM {letters} ORDER BY ordinal, line"
            ))
            .await,
            counts: query(&format!(
                "SELECT sum(done), sum(m.read), sum(processed), sum(filtered), sum(duplicate),
                        sum(failed) FROM {marks} m"
            ))
            .await,
        }
    }

    /// # Panics
    /// With the first difference, if there is one.
    pub(crate) fn assert_same(&self, expected: &Self, what: &str) {
        let tables = [
            ("counts", &self.counts, &expected.counts),
            ("dead letters", &self.dead_letters, &expected.dead_letters),
            ("transactions", &self.transactions, &expected.transactions),
            ("inventory", &self.inventory, &expected.inventory),
            ("items", &self.items, &expected.items),
        ];
        for (name, ours, theirs) in tables {
            let differs = ours.iter().zip(theirs).position(|(a, b)| a != b);
            let at = differs.unwrap_or(ours.len().min(theirs.len()));
            assert!(
                ours == theirs,
                "{what}: {name}: {} rows, expected {}; row {at} is {:?}, expected {:?}",
                ours.len(),
                theirs.len(),
                ours.get(at),
                theirs.get(at)
            );
        }
    }

    /// Line, invoice, code, quantity, price and time of each.
    pub(crate) fn transactions(&self) -> &[Row] {
        &self.transactions
    }

    /// How many items are in each place: transactions and dead letters.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.transactions.len(), self.dead_letters.len())
    }
}

/// That what is committed so far fits together, whatever happened to the
/// process: each settled item has exactly one end.
pub(crate) async fn assert_consistent(shop: &Shop, what: &str) {
    if shop.done().await == 0 {
        return;
    }
    let (letters, marks) = (shop.ledger("dead_letters"), shop.ledger("marks"));
    let sql = format!(
        "SELECT sum(done), sum(m.read), sum(processed) + sum(filtered) + sum(failed),
                sum(processed), sum(failed),
                (SELECT count(*) FROM transactions), (SELECT count(*) FROM {letters}),
                (SELECT count(DISTINCT source_line) FROM transactions),
                coalesce((SELECT max(source_line) - 1 FROM transactions), 0),
                coalesce((SELECT sum(quantity) FROM transactions), 0),
                coalesce((SELECT sum(quantity) FROM inventory), 0)
         FROM {marks} m"
    );
    let row = shop.database.query(&sql).await.remove(0);
    let value: Vec<i64> = row.iter().map(|v| v.as_deref().unwrap().parse().unwrap()).collect();
    let [done, read, ends, processed, failed, rows, dead, lines, last, sold, stock] = value[..]
    else {
        panic!("{value:?}");
    };
    assert_eq!((read, ends), (done, done), "{what}: {row:?}");
    assert_eq!((rows, lines, dead), (processed, processed, failed), "{what}: {row:?}");
    assert!(last <= done, "{what}: a row behind the mark: {row:?}");
    assert_eq!(sold, stock, "{what}: {row:?}");
}
