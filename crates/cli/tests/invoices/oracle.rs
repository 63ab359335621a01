//! The whole file, and every number that must come out.

use std::path::Path;

use crate::books::Books;
use crate::input;
use crate::shop::{On, Shop};

/// The thousandths of a price.
fn thousandths(text: &str) -> i64 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    assert!(part.len() <= 3, "{text} has more digits than were read");
    let part: i64 = format!("{part:0<3}").parse().unwrap();
    let whole_part: i64 = whole.parse().unwrap();
    if whole.starts_with('-') { whole_part * 1000 - part } else { whole_part * 1000 + part }
}

async fn assert_result(shop: &Shop) {
    let value = async |sql: &str| shop.database.value(sql).await;
    assert_eq!(value("SELECT count(*) FROM items").await, "3817");
    assert_eq!(value("SELECT count(DISTINCT code) FROM items").await, "3817");
    assert_eq!(value("SELECT count(*) FROM transactions").await, "536493");
    assert_eq!(value("SELECT count(DISTINCT source_line) FROM transactions").await, "536493");
    assert_eq!(value("SELECT sum(quantity) FROM transactions").await, "5305103");
    assert_eq!(value("SELECT sum(quantity) FROM inventory").await, "5305103");
    let unlike = "SELECT count(*) FROM inventory JOIN
        (SELECT item_id, sum(quantity) AS sold FROM transactions GROUP BY item_id) AS sums
        ON sums.item_id = inventory.item_id WHERE sold <> quantity";
    assert_eq!(value(unlike).await, "0", "inventory and transactions differ");
    assert_eq!(value("SELECT count(*) FROM inventory").await, "3817");
    let not_merchandise = "SELECT count(*) FROM items WHERE code IN ('POST', 'DOT', 'M', 'D', 'C2',
        'S', 'B', 'BANK CHARGES', 'AMAZONFEE', 'CRUK', 'PADS') OR code <> upper(trim(code))
        OR name <> trim(name)";
    assert_eq!(value(not_merchandise).await, "0");

    // Prices are summed here, digit by digit: SQLite has no decimals.
    let prices = "SELECT unit_cost, sum(quantity) FROM transactions GROUP BY unit_cost";
    let total: i64 = shop
        .database
        .query(prices)
        .await
        .iter()
        .map(|row| {
            let [Some(price), Some(quantity)] = &row[..] else { panic!("{row:?}") };
            assert!(thousandths(price) > 0, "{price}");
            thousandths(price) * quantity.parse::<i64>().unwrap()
        })
        .sum();
    assert_eq!(total, 9_793_394_690, "thousandths");

    let letters = shop.ledger("dead_letters");
    let why = format!("SELECT stage, message, count(*) FROM {letters} GROUP BY stage, message");
    let expected = ["require", "no price", "2500"].map(|text| Some(text.to_owned()));
    assert_eq!(shop.database.query(&why).await, [expected.to_vec()]);
    let both = format!("SELECT count(*) FROM {letters} JOIN transactions ON line = source_line");
    assert_eq!(value(&both).await, "0", "an item is both a row and a dead letter");
    let without_raw = format!("SELECT count(*) FROM {letters} WHERE raw NOT LIKE '%,%,%,%,%,%,%'");
    assert_eq!(value(&without_raw).await, "0");
    let counts = format!(
        "SELECT m.read, filtered, failed, processed, duplicate FROM {} m",
        shop.ledger("marks")
    );
    let expected = ["541909", "2916", "2500", "536493", "0"].map(|n| Some(n.to_owned()));
    assert_eq!(shop.database.query(&counts).await, [expected.to_vec()]);

    // The first line of the file, to the letter.
    let text = if shop.on == On::Mysql { "char" } else { "text" };
    let first = format!(
        "SELECT invoice_no, code, name, quantity, unit_cost, substr(CAST(sold_at AS {text}), 1, 19)
        FROM transactions JOIN items ON items.id = item_id WHERE source_line = 2"
    );
    let expected = [
        "536365",
        "85123A",
        "WHITE HANGING HEART T-LIGHT HOLDER",
        "6",
        "2.550",
        "2010-12-01 08:26:00",
    ];
    let expected = expected.map(|text| Some(text.to_owned()));
    assert_eq!(shop.database.query(&first).await, [expected.to_vec()]);
}

async fn whole_file(on: On) {
    let Some(file) = input::whole() else { return };
    let shop = Shop::new(on, &file, None).await;
    let report = shop.run(&[]).expect(0);
    let expected = [
        ("items_read", 541_909),
        ("items_filtered", 2_916),
        ("items_failed", 2_500),
        ("items_processed", 536_493),
        ("exit_code", 0),
        ("retries", 0),
    ];
    for (key, number) in expected {
        assert_eq!(report[key], number, "{key}");
    }
    assert_eq!(report["status"], "partial_success");
    assert_eq!(report["failed_items"].as_array().unwrap().len(), 100);
    assert_eq!(report["failed_items"][0]["error"], "no price");
    assert!(report["resume"].is_null());
    assert_result(&shop).await;

    // B7: complete is complete.
    let again = shop.run(&[]).expect(0);
    assert_eq!(again["run"], report["run"]);
    assert_eq!((&again["chunks"], &again["exit_code"]), (&0.into(), &0.into()));
    assert_result(&shop).await;
}

#[tokio::test]
async fn the_whole_file_on_sqlite() {
    whole_file(On::Sqlite).await;
}

#[tokio::test]
async fn the_whole_file_on_postgres() {
    whole_file(On::Postgres).await;
}

#[tokio::test]
async fn the_whole_file_on_mysql() {
    whole_file(On::Mysql).await;
}

/// `--again` does the whole job once more: every row and every sum is there
/// twice, every item once.
async fn again(on: On) {
    let Some(file) = input::part() else { return };
    let shop = Shop::new(on, file, None).await;
    let sums = "SELECT (SELECT count(*) FROM transactions), (SELECT sum(quantity) FROM inventory)";
    let numbers = async || -> Vec<i64> {
        let row = shop.database.query(sums).await.remove(0);
        row.into_iter().map(|v| v.unwrap().parse().unwrap()).collect()
    };
    let first = shop.run(&[]).expect(0);
    let (books, once) = (Books::of(&shop).await, numbers().await);
    let items = shop.database.query("SELECT * FROM items ORDER BY id").await;

    let complete = shop.run(&[]).expect(0);
    assert_eq!(complete["run"], first["run"]);
    Books::of(&shop).await.assert_same(&books, "a complete run, started again");

    let second = shop.run(&["--again"]).expect(0);
    assert_ne!(second["run"], first["run"]);
    for key in ["items_read", "items_processed", "items_filtered", "items_failed", "status"] {
        assert_eq!(second[key], first[key], "{key}");
    }
    assert_eq!(numbers().await, once.iter().map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(shop.database.query("SELECT * FROM items ORDER BY id").await, items);
    let runs = format!("SELECT count(*) FROM {} WHERE state = 'completed'", shop.ledger("runs"));
    assert_eq!(shop.database.value(&runs).await, "2");
}

#[tokio::test]
async fn again_is_a_run_of_its_own_on_sqlite() {
    again(On::Sqlite).await;
}

#[tokio::test]
async fn again_is_a_run_of_its_own_on_postgres() {
    again(On::Postgres).await;
}

#[tokio::test]
async fn again_is_a_run_of_its_own_on_mysql() {
    again(On::Mysql).await;
}

/// How items are cut into chunks, and how their file is packed, changes nothing.
#[tokio::test]
async fn the_size_of_a_chunk_changes_no_result() {
    let Some(file) = input::part() else { return };
    let mut results: Vec<Books> = Vec::new();
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("part.csv.zst");
    let text = std::fs::read(file).unwrap();
    std::fs::write(&packed, zstd::encode_all(&text[..], 1).unwrap()).unwrap();
    let cases: [(&Path, Option<u32>); 4] =
        [(file, None), (file, Some(777)), (file, Some(50_000)), (&packed, Some(1000))];
    for (file, chunk) in cases {
        let shop = Shop::new(On::Sqlite, file, chunk).await;
        shop.run(&[]).expect(0);
        results.push(Books::of(&shop).await);
    }
    let (first, others) = results.split_first().unwrap();
    for other in others {
        other.assert_same(first, "another chunk");
    }
}
