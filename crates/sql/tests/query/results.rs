//! What queries give: joins, groups, windows, orders and types.

use arrow_schema::DataType;
use kiln_core::Source as _;

use crate::common::Files;

fn shop() -> Files {
    Files::new(&[
        ("orders", "id,customer,total\n4,1,0.10\n1,1,10.00\n2,2,0.20\n3,9,5.55\n5,,1.00\n"),
        ("customers", "id,name\n1,Zoë\n2,Ann\n3,Bob\n"),
    ])
}

#[test]
fn tables_are_joined_and_added_up() {
    let joined = "SELECT name, count(o.id) AS orders, sum(total) AS total \
                  FROM customers c LEFT JOIN orders o ON o.customer = c.id \
                  GROUP BY name ORDER BY total DESC NULLS LAST";
    assert_eq!(
        shop().rows(joined),
        [
            r#"{"name":"Zoë","orders":2,"total":"10.10"}"#,
            r#"{"name":"Ann","orders":1,"total":"0.20"}"#,
            r#"{"name":"Bob","orders":0,"total":null}"#,
        ]
    );
}

#[test]
fn windows_with_and_set_operations() {
    let window = "WITH o AS (SELECT * FROM orders WHERE customer IS NOT NULL) \
                  SELECT id, sum(total) OVER (ORDER BY id ROWS 1 PRECEDING) AS two, \
                         row_number() OVER (PARTITION BY customer ORDER BY id) AS nth FROM o ORDER BY id";
    assert_eq!(
        shop().rows(window),
        [
            r#"{"id":1,"two":"10.00","nth":1}"#,
            r#"{"id":2,"two":"10.20","nth":1}"#,
            r#"{"id":3,"two":"5.75","nth":1}"#,
            r#"{"id":4,"two":"5.65","nth":2}"#,
        ]
    );
    let missing = "SELECT id FROM customers EXCEPT SELECT customer FROM orders";
    assert_eq!(shop().rows(missing), [r#"{"id":3}"#]);
    let within = "SELECT name FROM customers c WHERE EXISTS \
                  (SELECT 1 FROM orders o WHERE o.customer = c.id AND o.total > 1)";
    assert_eq!(shop().rows(within), [r#"{"name":"Zoë"}"#]);
}

#[test]
fn functions_are_those_of_a_mapping() {
    let files = Files::new(&[("t", "id,doc\n1,\"{\"\"price\"\": 0.10}\"\n")]);
    let sql = "SELECT doc ->> 'price' AS price, CAST(doc ->> 'price' AS DECIMAL(9,2)) * 3 AS three, \
               upper('ä') AS upper, 0.1 + 0.2 AS sum FROM t";
    assert_eq!(files.rows(sql), [r#"{"price":"0.10","three":"0.30","upper":"Ä","sum":"0.3"}"#]);
}

/// The same rows in any order of the input, also where the query leaves them equal.
#[test]
fn the_order_is_total() {
    let mut lines: Vec<String> = (0..3_000).map(|n| format!("{n},{},{}", n % 5, n % 3)).collect();
    let queries = [
        "SELECT * FROM t",
        "SELECT a FROM t ORDER BY b DESC",
        "SELECT a, b, n FROM t ORDER BY b",
        "SELECT n FROM t ORDER BY a LIMIT 17 OFFSET 3",
        "SELECT n FROM t LIMIT 10",
        "SELECT a, count(*) AS k FROM t GROUP BY a ORDER BY k",
        "SELECT DISTINCT b FROM t",
        "SELECT n AS m FROM t ORDER BY -b LIMIT 5",
        "SELECT n FROM (SELECT n, a FROM t) AS u UNION ALL SELECT b FROM t ORDER BY n",
    ];
    let text = |lines: &[String]| format!("n,a,b\n{}\n", lines.join("\n"));
    let files = Files::new(&[("t", &text(&lines))]);
    let first: Vec<_> = queries.iter().map(|sql| files.rows(sql)).collect();
    lines.reverse();
    lines.rotate_left(1_234);
    files.write("t", &text(&lines));
    for (sql, first) in queries.iter().zip(first) {
        assert!(files.rows(sql) == first, "{sql}");
    }
    let by_b = files.rows("SELECT n, b FROM t ORDER BY b");
    assert_eq!(by_b[..2], [r#"{"n":0,"b":0}"#, r#"{"n":3,"b":0}"#]);
    assert_eq!(files.rows("SELECT n FROM t LIMIT 2"), [r#"{"n":0}"#, r#"{"n":1}"#]);
}

#[test]
fn types_are_exact_and_plain() {
    let source = shop().query(
        "SELECT sum(total) AS sum, count(*) AS count, max(id) AS max, row_number() OVER () AS nth, \
         NULL AS nothing, CAST('2026-01-02' AS DATE) AS day FROM orders GROUP BY customer",
    );
    let schema = source.schema();
    let kinds: Vec<&DataType> = schema.fields().iter().map(|f| f.data_type()).collect();
    assert_eq!(
        kinds,
        [
            &DataType::Decimal128(22, 2),
            &DataType::Int64,
            &DataType::Int64,
            &DataType::UInt64,
            &DataType::Null,
            &DataType::Date32,
        ]
    );
    let rows = shop().rows("SELECT sum(total) AS s, avg(total) AS a FROM orders");
    assert_eq!(rows, [r#"{"s":"16.85","a":"3.370000"}"#]);
}
