//! `[[explode]]`: an order and its lines, written together or not at all.

use kiln_testkit::{Row, TestDatabase};
use serde_json::json;

use crate::place::{On, on_every_database};

const JOB: &str = r#"name = "orders"

[params]
url = "sqlite:out.db"

[source]
file = "orders.jsonl"

[source.columns]
id = "int"
customer = "text"
lines = "text"
tags = "text"

[[explode]]
column = "lines"
number = "line_no"

[explode.columns]
sku    = "text"
qty    = "int"
price  = "decimal(10,2)"
parts  = "text"

[[explode]]
column = "tags"
as = "labels"

[explode.columns]
label = { path = [] }

[[explode]]
column = "parts"
from = "lines"

[explode.columns]
serial = { type = "text", missing = "reject" }

[[require]]
rule = "customer <> 'nobody'"
message = "no customer"

[[require]]
from = "lines"
rule = "qty > 0"
message = "no quantity"

[[require]]
from = "lines"
name = "dear"
rule = "price < 100"
severity = "warn"

[[match]]
as = "customer_id"
table = "customers"
key = "id"
on = { name = "customer" }
create = { name = "customer" }

[[match]]
from = "lines"
as = "product_id"
table = "products"
key = "id"
on = { sku = "sku" }
create = { sku = "sku" }

[target]
url = "${url}"
setup = { sqlite = "schema.sqlite.sql", postgres = "schema.postgres.sql", mysql = "schema.mysql.sql" }

[chunk]
items = 4

[limits]
lanes = 2

[[write]]
table = "orders"
columns = ["id", "customer_id"]

[[write]]
table = "order_lines"
from = "lines"
columns = { order_id = "id", line_no = "line_no", product_id = "product_id", customer_id = "customer_id", qty = "qty", total = "qty * price" }

[[write]]
table = "stock"
from = "lines"
mode = "increment"
key = ["sku"]
add = ["qty"]

[[write]]
table = "parts"
from = "parts"
columns = { order_id = "id", line_no = "line_no", serial = "upper(serial)" }

[[write]]
table = "labels"
from = "labels"
"#;

const LABELS: &str = "columns = [\"id\", \"label\"]\n";

const ORDERS: &str = r#"{"id": 1, "customer": "Ann", "lines": [{"sku": "a", "qty": 2, "price": 1.10}, {"sku": "b", "qty": 1, "price": 0.05, "parts": [{"serial": "x1"}, {"serial": "x2"}]}], "tags": ["new", "gift"]}
{"id": 2, "customer": "Bob", "lines": []}
{"id": 3, "customer": "Ann", "lines": [{"sku": "a", "qty": 5, "price": 250.00}]}
{"id": 4, "customer": "Cy", "lines": [{"sku": "a", "qty": 1, "price": 1.10}, {"sku": "c", "qty": "many", "price": 1}]}
{"id": 5, "customer": "Cy", "lines": [{"sku": "a", "qty": 1, "price": 1.10}, {"sku": "c", "qty": 0, "price": 1}]}
{"id": 6, "customer": "Bob", "lines": [{"sku": "b", "qty": 3, "price": 2.00}, {"sku": "a", "qty": 5000, "price": 300}, {"sku": "d", "qty": 1, "price": 1}]}
{"id": 7, "customer": "nobody", "lines": [{"sku": "a", "qty": 1, "price": 1}]}
{"id": 8, "customer": "Dee", "lines": {"sku": "a"}}
{"id": 9, "customer": "Ann", "lines": null, "tags": ["gift"]}
{"id": 9, "customer": "Ann", "lines": [{"sku": "d", "qty": 7, "price": 1}]}
{"id": 10, "customer": "Dee", "lines": [{"sku": "e", "qty": 4, "price": 9.99, "parts": []}, {"sku": "e", "qty": 6, "price": 9.99, "parts": [{"serial": "y"}]}]}
{"id": 11, "customer": "Dee", "lines": [{"sku": "e", "qty": 1, "price": 1, "parts": [{}]}]}
{"id": 12, "customer": "Eve", "lines": [{"sku": "a", "qty": 1, "price": 1.25}]}
"#;

fn schema(identity: &str, text: &str, money: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS customers (id {identity}, name {text} NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS products (id {identity}, sku {text} NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS orders (id BIGINT PRIMARY KEY, customer_id BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS order_lines (order_id BIGINT NOT NULL, line_no BIGINT NOT NULL,
    product_id BIGINT NOT NULL, customer_id BIGINT NOT NULL, qty BIGINT NOT NULL CHECK (qty < 1000),
    total {money} NOT NULL, PRIMARY KEY (order_id, line_no),
    FOREIGN KEY (order_id) REFERENCES orders (id));
CREATE TABLE IF NOT EXISTS stock (sku {text} PRIMARY KEY, qty BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS parts (order_id BIGINT NOT NULL, line_no BIGINT NOT NULL,
    serial {text} PRIMARY KEY);
CREATE TABLE IF NOT EXISTS labels (id BIGINT NOT NULL, label {text} NOT NULL);
"
    )
}

/// What is there, by names: keys depend on who was first.
const QUERIES: [&str; 6] = [
    "SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer_id ORDER BY o.id",
    "SELECT l.order_id, l.line_no, p.sku, c.name, l.qty, l.total FROM order_lines l
     JOIN products p ON p.id = l.product_id JOIN customers c ON c.id = l.customer_id
     ORDER BY l.order_id, l.line_no",
    "SELECT sku, qty FROM stock ORDER BY sku",
    "SELECT order_id, line_no, serial FROM parts ORDER BY serial",
    "SELECT id, label FROM labels ORDER BY id, label",
    "SELECT count(*) FROM customers WHERE name = 'nobody'",
];

fn expected() -> Vec<String> {
    "1 Ann|2 Bob|3 Ann|9 Ann|10 Dee|12 Eve|\
     1 1 a Ann 2 2.20|1 2 b Ann 1 0.05|3 1 a Ann 5 1250.00|10 1 e Dee 4 39.96|\
     10 2 e Dee 6 59.94|12 1 a Eve 1 1.25|\
     a 8|b 1|e 10|\
     1 2 X1|1 2 X2|10 2 Y|\
     1 gift|1 new|9 gift|\
     0"
    .split('|')
    .map(str::to_owned)
    .collect()
}

fn plain(rows: Vec<Row>) -> Vec<String> {
    let text = |cell: Option<String>| cell.unwrap_or_else(|| "NULL".to_owned());
    rows.into_iter().map(|row| row.into_iter().map(text).collect::<Vec<_>>().join(" ")).collect()
}

fn place(database: TestDatabase) -> On {
    let files = [
        ("job.toml", format!("{JOB}{LABELS}")),
        ("orders.jsonl", ORDERS.to_owned()),
        ("schema.sqlite.sql", schema("INTEGER PRIMARY KEY", "TEXT", "TEXT")),
        (
            "schema.postgres.sql",
            schema("bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "text", "numeric(12,2)"),
        ),
        (
            "schema.mysql.sql",
            schema(
                "BIGINT AUTO_INCREMENT PRIMARY KEY",
                "VARCHAR(100) COLLATE utf8mb4_bin",
                "DECIMAL(12,2)",
            ),
        ),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
    On::new(database, &files)
}

/// Counts are those of items, however many rows each of them has.
fn assert_counts(report: &serde_json::Value, what: &str) {
    let counts = ["items_read", "items_processed", "items_failed", "items_filtered"];
    assert_eq!(counts.map(|key| report[key].as_u64().unwrap()), [13, 6, 7, 0], "{what}");
    let rule = |rule: &str, failed: u32, warned: u32| json!({ "step": "main", "rule": rule, "items_failed": failed, "items_warned": warned });
    let rules = [rule("dear", 0, 1), rule("no customer", 1, 0), rule("no quantity", 1, 0)];
    assert_eq!(report["rules"], json!(rules), "{what}");
}

async fn lines_are_written_with_their_order(database: impl AsyncFn() -> TestDatabase) {
    let on = place(database().await);
    on.kiln(&["validate"], None).exits(0);
    let shown = on.kiln(&["preview", "-n", "2"], None).exits(0).stdout;
    assert!(shown.contains("X2") && !shown.contains("250"), "{shown}");
    let report = on.run();
    assert_counts(&report, "");
    assert_eq!(plain(on.rows(&QUERIES).await), expected());
    let failed = |field: &str| -> Vec<String> {
        let items = report["failed_items"].as_array().unwrap();
        items.iter().map(|item| item[field].to_string().replace('"', "")).collect()
    };
    assert_eq!(failed("line"), ["4", "5", "6", "7", "8", "10", "12"]);
    assert_eq!(failed("stage"), ["map", "require", "write", "require", "map", "write", "map"]);
    assert_eq!(failed("code")[0], "cast");
    assert!(failed("error")[0].starts_with("lines[1]: column qty: "), "{:?}", failed("error"));
    assert!(failed("error")[4].contains("an array should be there"), "{:?}", failed("error"));
    assert!(failed("error")[6].starts_with("parts[0]: column serial"), "{:?}", failed("error"));
    // One dead letter with the whole order.
    let letters = on.ledger("dead_letters");
    let raw = on.database.value(&format!("SELECT raw FROM {letters} WHERE ordinal = 6")).await;
    assert_eq!(raw, ORDERS.lines().nth(5).unwrap());
}

/// B32: killed anywhere, orders and lines are there once and together.
async fn killed_and_resumed(database: impl AsyncFn() -> TestDatabase) {
    let points = ["write", "mark", "commit", "committed"];
    for (point, nth) in points.into_iter().flat_map(|point| [1, 2, 4].map(|nth| (point, nth))) {
        let on = place(database().await);
        let what = format!("killed at {point}:{nth}");
        on.crash(&format!("{point}:{nth}"));
        let torn = on
            .rows(&[
                "SELECT count(*) FROM order_lines WHERE order_id NOT IN (SELECT id FROM orders)",
            ])
            .await;
        assert_eq!(plain(torn), ["0"], "{what}");
        let again = on.kiln(&["run"], Some(&format!("{point}:1")));
        assert!(matches!(again.code, None | Some(0)), "{what}: {again:?}");
        let report = on.run();
        assert_counts(&report, &what);
        assert_eq!(plain(on.rows(&QUERIES).await), expected(), "{what}");
    }
}

/// A known order is a duplicate with all its lines; a second run adds nothing.
async fn known_orders_are_duplicates(database: impl AsyncFn() -> TestDatabase) {
    let on = place(database().await);
    let job = format!("{JOB}{LABELS}")
        .replace("table = \"orders\"\n", "table = \"orders\"\nmode = \"ignore\"\nkey = [\"id\"]\n")
        .replace("from = \"lines\"\ncolumns = { order_id", "from = \"lines\"\nmode = \"ignore\"\nkey = [\"order_id\", \"line_no\"]\ncolumns = { order_id");
    let (front, _) = job.split_once("[[write]]\ntable = \"parts\"").unwrap();
    on.place.write("job.toml", front);
    let report = on.run();
    let counts = ["items_processed", "items_duplicate", "items_failed"];
    assert_eq!(counts.map(|key| report[key].as_u64().unwrap()), [7, 0, 6]);
    let stock = plain(on.rows(&QUERIES[2..3]).await);
    assert_eq!(stock, ["a 8", "b 1", "d 7", "e 10"], "the second order 9 has a line of its own");
    let again = on.kiln(&["run", "--again", "--report", "-"], None).exits(0);
    let report: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(counts.map(|key| report[key].as_u64().unwrap()), [0, 7, 6]);
    assert_eq!(plain(on.rows(&QUERIES[2..3]).await), stock);
}

on_every_database! {
    lines_are_written_with_their_order killed_and_resumed known_orders_are_duplicates
}

#[test]
fn what_makes_no_sense_is_told() {
    for (old, new, said) in [
        (
            "from = \"lines\"\nmode",
            "from = \"line\"\nmode",
            "no [[explode]] makes rows called \"line\"",
        ),
        ("column = \"tags\"", "column = \"tag\"", "the item has no column tag"),
        ("as = \"labels\"", "as = \"lines\"", "two [[explode]] make rows called lines"),
        ("rule = \"customer <> 'nobody'\"", "rule = \"qty > 0\"", "there is no column \"qty\""),
        (
            "columns = [\"id\", \"customer_id\"]",
            "columns = [\"id\", \"sku\"]",
            "the item has no column sku",
        ),
        ("label = { path = [] }", "label = { width = 3 }", "`width` means nothing"),
        ("label = { path = [] }", "sku = { path = [] }", "column \"sku\" is described twice"),
        ("column = \"tags\"", "column = \"id\"", "column id is of type Int64, not text"),
    ] {
        let on = place(kiln_testkit::sqlite());
        let job = format!("{JOB}{LABELS}");
        assert!(job.contains(old), "{old}");
        on.place.write("job.toml", &job.replacen(old, new, 1));
        let ended = on.kiln(&["validate"], None);
        let text = format!("{}{}", ended.stdout, ended.stderr);
        assert!(ended.code == Some(78) && text.contains(said), "{new}: {text}");
    }
}
