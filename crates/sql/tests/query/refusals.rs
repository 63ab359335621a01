//! What a query can't be, and what it fails on.

use kiln_core::Kind;

use crate::common::Files;

fn files() -> Files {
    Files::new(&[("orders", "id,Name,total\n1,a,1.00\n2,b,2.00\n"), ("Upper", "id\n1\n")])
}

#[test]
fn wrong_sql_is_told_with_its_place() {
    for (sql, said, hint) in [
        ("SELECT nme FROM orders", "line 1, column 8: there is no column \"nme\"", "\"Name\""),
        ("SELECT Name FROM orders", "there is no column \"name\"", "\"Name\""),
        ("SELECT o.totl FROM orders o", "no column \"totl\"; there are: Name, id, total", "total"),
        ("SELECT x.id FROM orders o", "there is no table \"x\"", ""),
        ("SELECT id FROM ordres", "line 1, column 16: there is no table \"ordres\"", "orders"),
        ("SELECT id FROM upper", "there is no table \"upper\"", "\"Upper\""),
        ("SELECT id FROM nowhere", "there is no table \"nowhere\"", "[source.tables.nowhere]"),
        ("SELECT id FROM s.orders", "there is no table", ""),
        ("SELECT id + 1 FROM orders", "id + 1 has no name", "AS name"),
        ("SELECT id, total AS id FROM orders", "two columns are named \"id\"", ""),
        ("SELECT now() AS n FROM orders", "now() can't be used", ""),
        ("SELECT id FROM orders ORDER BY random()", "random() can't be used", ""),
        ("SELECT sum(id) AS s, total FROM orders", "GROUP BY", ""),
        ("SELECT frobnicate(id) AS f FROM orders", "frobnicate", ""),
        ("SELECT array_agg(id) AS ids FROM orders", "can't be items", "string_agg"),
        ("SELECT id FROM orders WHERE id = $1", "no value for $1", "${name}"),
        ("SELECT id FROM orders FOR UPDATE", "what follows the SELECT", ""),
        ("INSERT INTO orders VALUES (1)", "INSERT is not a SELECT", ""),
        ("SELECT id FROM orders; SELECT 1", "there are 2 statements", ""),
        ("", "there is no SQL", "[source.tables]"),
        ("SELECT id FROM", "the SQL ends", ""),
        ("SELECT CAST('x' AS INT) AS n FROM orders", "'x'", ""),
    ] {
        let fault = files().plan(sql).err().unwrap_or_else(|| panic!("{sql} is planned"));
        assert_eq!(fault.kind(), Kind::Config, "{sql}: {fault}");
        assert!(fault.message().contains(said), "{sql}: {fault}");
        assert!(fault.hint().unwrap_or_default().contains(hint), "{sql}: {:?}", fault.hint());
    }
    assert!(files().left().is_empty());
}

/// A bad record is no dead letter: a sum without it would be wrong.
#[test]
fn a_bad_record_ends_the_query_and_is_named() {
    let files = Files::new(&[("t", "id,total\n1,1.00\n2,x\n3,3.00\n")]);
    let fault = files.fails("SELECT sum(total) AS sum FROM t");
    assert_eq!(fault.kind(), Kind::InputInvalid);
    assert!(fault.message().contains("table t: t.csv:3: "), "{fault}");
    assert!(fault.hint().unwrap().contains("TRY_CAST"));
    // Also where the column is not asked for.
    files.fails("SELECT count(*) AS n FROM t");
    assert!(files.left().is_empty());
}

#[test]
fn what_fails_on_a_value_ends_the_query() {
    let files = Files::new(&[("t", "id,big,b,name\n1,9223372036854775807,0,x\n")]);
    for (sql, said, code) in [
        ("SELECT big + 1 AS n FROM t", "verflow", "overflow"),
        ("SELECT big * 2 AS n FROM t", "verflow", "overflow"),
        ("SELECT -big - 2 AS n FROM t", "verflow", "overflow"),
        ("SELECT id / b AS n FROM t", "division by zero", "division"),
        ("SELECT CAST(name AS BIGINT) AS n FROM t", "x", "cast"),
    ] {
        let fault = files.fails(sql);
        assert_eq!(fault.kind(), Kind::InputInvalid, "{sql}");
        assert!(fault.message().contains(said), "{sql}: {fault}");
        assert_eq!(fault.code(), Some(code), "{sql}: {fault}");
    }
    let files = Files::new(&[("t", "id,big\n1,9223372036854775807\n2,1\n")]);
    for sql in [
        "SELECT sum(big) AS n FROM t",
        "SELECT id FROM t GROUP BY id, big HAVING sum(big) + sum(big) > 0",
        "SELECT sum(big) OVER (ORDER BY id) AS n FROM t",
        "SELECT sum(DISTINCT big) + 0 AS n FROM t",
        "SELECT (SELECT sum(u.big) FROM t u WHERE u.id < 3) AS n FROM t",
    ] {
        assert_eq!(files.fails(sql).kind(), Kind::InputInvalid, "{sql}");
    }
    assert_eq!(
        files.rows("SELECT sum(big) AS n, sum(sum(id)) OVER () AS m FROM t GROUP BY big > 1"),
        [r#"{"n":1,"m":3}"#, r#"{"n":9223372036854775807,"m":3}"#]
    );
    let files = Files::new(&[("t", "id,b,name\n1,0,x\n")]);
    assert_eq!(files.rows("SELECT id / NULLIF(b, 0) AS n FROM t"), [r#"{"n":null}"#]);
    assert_eq!(files.rows("SELECT TRY_CAST(name AS BIGINT) AS n FROM t"), [r#"{"n":null}"#]);
}
