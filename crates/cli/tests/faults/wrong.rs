//! Faults 27, 28 and 31: what is wrong with items, or with the target itself.

use kiln_core::Kind;

use crate::on::On;
use crate::sales::{Fate, Item, Sales};

/// A job of items that are all alike but one.
async fn all_but_one(on: On, items: u64, fate: Fate, odd: u64, other: Fate, more: &str) -> Sales {
    let fate = |ordinal| if ordinal == odd { other } else { fate };
    let items = (1..=items).map(|ordinal| Item::new(ordinal, fate(ordinal))).collect();
    Sales::of(on.fresh().await, on, items, 1_000, more)
}

/// Fault 27: one bad item of many is one dead letter.
#[tokio::test]
async fn one_bad_item_of_ten_thousand() {
    for on in On::ALL {
        let sales = all_but_one(on, 10_000, Fate::Sold, 6_543, Fate::TooMany, "").await;
        let report = sales.work(&sales.database.url).await.unwrap();
        assert_eq!((report.counts.processed, report.counts.failed), (9_999, 1), "{on:?}");
        sales.assert_exact(on.name()).await;
    }
}

/// Fault 28: where every item is bad, the run stops at its limit; with a higher
/// one it goes on.
#[tokio::test]
async fn every_item_bad() {
    for on in On::ALL {
        let more = "[limits]\nfailed = 30\n";
        let sales = all_but_one(on, 400, Fate::TooMany, 0, Fate::Sold, more).await;
        let fault = sales.work(&sales.database.url).await.err().unwrap();
        assert_eq!(fault.kind(), Kind::Limit, "{on:?}: {fault:?}");
        sales.assert_consistent(on.name()).await;
        let letters = format!("SELECT count(*) FROM {}", on.ledger("dead_letters"));
        let letters: u64 = sales.database.value(&letters).await.parse().unwrap();
        assert!(letters <= 30, "{on:?}: {letters}");
        let job = std::fs::read_to_string(sales.path("job.toml")).unwrap();
        std::fs::write(sales.path("job.toml"), job.replace("failed = 30", "failed = 400")).unwrap();
        sales.work(&sales.database.url).await.unwrap();
        sales.assert_exact(on.name()).await;
    }
}

/// Fault 31: a table that changed while a run was stopped is refused before the
/// first write.
#[tokio::test]
async fn a_table_that_changed_meanwhile() {
    for on in On::ALL {
        let sales = Sales::new(on, 200, 20).await;
        let mut first = sales.command(&sales.database.url);
        let child = first.env("KILN_CRASH_AT", "committed:3").spawn().unwrap();
        assert!(crate::sales::ended(child).await.is_killed());
        let settled = sales.settled().await;
        sales.database.execute("ALTER TABLE sales RENAME COLUMN total TO sum").await;
        let said = sales.run().await;
        assert_eq!(said.status.code(), Some(78), "{on:?}: {}", said.stderr);
        assert!(said.stderr.contains("total"), "{on:?}: {}", said.stderr);
        assert_eq!(sales.settled().await, settled, "{on:?}");
        sales.database.execute("ALTER TABLE sales RENAME COLUMN sum TO total").await;
        sales.run().await.expect(0);
        sales.assert_exact(on.name()).await;
    }
}
