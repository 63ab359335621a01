//! Set-up scripts: tried without leaving a trace, run for good once.

use kiln_core::{CatalogSpec, Kind};
use mysql_async::prelude::Queryable;

use super::*;

const SCRIPT: &str = "
-- The tables.
CREATE TABLE IF NOT EXISTS items (id BIGINT AUTO_INCREMENT PRIMARY KEY,
    code VARCHAR(10) NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS sales (item BIGINT NOT NULL REFERENCES items (id), n INT NOT NULL);
DELIMITER //
CREATE OR REPLACE TRIGGER positive BEFORE INSERT ON sales FOR EACH ROW BEGIN
    IF NEW.n < 0 THEN SIGNAL SQLSTATE '45000'; END IF;
END//
DELIMITER ;
";

fn catalog() -> CatalogSpec {
    CatalogSpec {
        table: TableName::parse("items").unwrap(),
        key: "id".into(),
        on: vec!["code".into()],
        compare: Vec::new(),
        create: vec!["code".into()],
    }
}

fn sales() -> ([Write; 1], RecordBatch) {
    ([insert("sales", &["item", "n"])], batch(vec![("item", ints([1])), ("n", ints([1]))]))
}

async fn databases(server: &TestDatabase) -> Vec<kiln_testkit::Row> {
    server
        .query(&format!("SHOW DATABASES LIKE 'kiln\\_rehearsal\\_{}\\_%'", std::process::id()))
        .await
}

#[tokio::test]
async fn a_script_is_tried_without_leaving_a_trace_and_then_run() {
    let (server, database) = shop_with_script(SCRIPT).await;
    let (writes, rows) = sales();
    let checks = database.sink().check(&writes, &rows.schema()).await;
    assert_eq!(failing(&checks).len(), 0, "{checks:?}");
    assert!(checks.iter().any(|c| c.what == "set-up script schema.sql"));
    assert!(database.catalog(catalog()).key_is_integer().await.unwrap());
    assert!(database.catalog(catalog()).load().await.unwrap().is_empty());
    assert!(server.query("SHOW TABLES").await.is_empty());
    let name = server.value("SELECT database()").await;
    let left = databases(&server).await;
    assert!(!left.iter().any(|row| row[0].as_ref() == Some(&name)), "{left:?}");

    database.set_up().await.unwrap();
    database.set_up().await.unwrap();
    assert_eq!(server.query("SHOW TABLES").await.len(), 2);
    let checks = database.sink().check(&writes, &rows.schema()).await;
    assert_eq!(failing(&checks).len(), 0, "{checks:?}");
}

/// What is there is seen as it is, and as the script would change it.
#[tokio::test]
async fn a_rehearsal_sees_the_tables_that_are_there() {
    let (server, database) = shop_with_script(
        "CREATE TABLE IF NOT EXISTS items (wrong INT); ALTER TABLE sales ADD COLUMN n INT;",
    )
    .await;
    server
        .execute(
            "CREATE TABLE items (id BIGINT PRIMARY KEY, code VARCHAR(10) UNIQUE);
             INSERT INTO items VALUES (7, 'a'); CREATE TABLE sales (item BIGINT)",
        )
        .await;
    let (writes, rows) = sales();
    let checks = database.sink().check(&writes, &rows.schema()).await;
    assert_eq!(failing(&checks).len(), 0, "{checks:?}");
    let found = CatalogSpec { create: vec!["id".into(), "code".into()], ..catalog() };
    let known = database.catalog(found).load().await.unwrap();
    assert_eq!(known, [(kiln_core::Key::Int(7), vec![Some("a".to_owned())])]);
    let columns = "SELECT count(*) FROM information_schema.columns \
                   WHERE table_schema = database() AND table_name = 'sales'";
    assert_eq!(server.value(columns).await, "1");
}

/// Whoever ends in the middle of one leaves a database behind.
#[tokio::test]
async fn what_a_broken_off_rehearsal_left_is_dropped_by_the_next() {
    let (server, database) = shop_with_script(SCRIPT).await;
    // A moment that no rehearsal has, and other tests neither.
    let own = server.value("SELECT concat('f', substr(md5(database()), 1, 10))").await;
    let name = |number: u8| format!("kiln_rehearsal_1_{own}_{number}");
    let (left, used, foreign) = (name(1), name(2), format!("kiln_rehearsal_of_{own}_3"));
    server.execute(&format!("CREATE DATABASE {foreign}")).await;
    server.execute(&format!("CREATE DATABASE {left}; CREATE DATABASE {used}")).await;
    let other = mysql_async::Opts::from_url(&server.url).unwrap();
    let mut other = mysql_async::Conn::new(other).await.unwrap();
    other.query_drop(format!("SELECT GET_LOCK('{used}', 0)")).await.unwrap();

    let (writes, rows) = sales();
    let script = Script { name: "schema.sql".into(), sql: SCRIPT.into() };
    let again = connect(&server.url, Some(script)).await.unwrap();
    let check = async |database: Arc<dyn Database>| {
        let checks = database.sink().check(&writes, &rows.schema()).await;
        assert_eq!(failing(&checks).len(), 0, "{checks:?}");
        let found = server.query(&format!("SHOW DATABASES LIKE '%\\_{own}\\_%'")).await;
        found.into_iter().map(|mut row| row.remove(0).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(check(database).await, [used, foreign.clone()]);
    other.disconnect().await.unwrap();
    assert_eq!(check(again).await, std::slice::from_ref(&foreign), "nobody else's");
    server.execute(&format!("DROP DATABASE {foreign}")).await;
}

#[tokio::test]
async fn a_wrong_script_is_told_with_its_line() {
    for (script, place) in [
        ("CREATE TABLE t (a INT);\n\nCREATE TABLE u (a INTT);", "schema.sql:3: "),
        ("CREATE TABLE t (a INT);\nINSERT INTO missing\nVALUES (1);", "schema.sql:2: "),
    ] {
        let (server, database) = shop_with_script(script).await;
        let (writes, rows) = sales();
        let checks = database.sink().check(&writes, &rows.schema()).await;
        let [(what, fault)] = failing(&checks)[..] else { panic!("{checks:?}") };
        assert_eq!((what, fault.kind()), ("set-up script schema.sql", Kind::Config));
        assert!(fault.message().contains(place), "{fault}");
        assert!(server.query("SHOW TABLES").await.is_empty());
        let fault = database.set_up().await.unwrap_err();
        assert!(fault.message().contains(place), "{fault}");
    }
}

/// What can't be tried is said, and nothing of it is done.
#[tokio::test]
async fn what_can_not_be_tried_is_told_and_not_done() {
    let (server, _) = shop("").await;
    let name = server.value("SELECT database()").await;
    let script = Script {
        name: "schema.sql".into(),
        sql: format!("CREATE TABLE {name}.sales (item BIGINT, n INT)"),
    };
    let database = connect(&server.url, Some(script)).await.unwrap();
    let (writes, rows) = sales();
    let checks = database.sink().check(&writes, &rows.schema()).await;
    assert_eq!(failing(&checks).len(), 0, "{checks:?}");
    let note = |what: &str| {
        let check = checks.iter().find(|c| c.what == what).unwrap();
        check.result.as_ref().unwrap().clone().unwrap()
    };
    assert!(note("set-up script schema.sql").contains("was not tried"));
    assert!(note("table sales").contains("not there yet"));
    assert!(server.query("SHOW TABLES").await.is_empty());
}

#[tokio::test]
async fn who_may_not_make_a_database_is_told_so() {
    let (server, _) = shop("").await;
    let name = server.value("SELECT database()").await;
    let user = format!("s_{}", server.value("SELECT md5(database())").await.split_at(20).0);
    server
        .execute(&format!(
            "DROP USER IF EXISTS {user}@'%'; CREATE USER {user}@'%' IDENTIFIED BY 'pw'; \
             GRANT ALL ON {name}.* TO {user}@'%'"
        ))
        .await;
    let (_, place) = server.url.rsplit_once('@').unwrap();
    let script = Script { name: "schema.sql".into(), sql: SCRIPT.into() };
    let url = format!("mysql://{user}:pw@{place}");
    let database = connect(&url, Some(script)).await.unwrap();
    let (writes, rows) = sales();
    let checks = database.sink().check(&writes, &rows.schema()).await;
    assert_eq!(failing(&checks).len(), 0, "{checks:?}");
    let script = checks.iter().find(|c| c.what.starts_with("set-up script")).unwrap();
    assert!(script.result.as_ref().unwrap().as_ref().unwrap().contains("GRANT ALL ON"));
    database.set_up().await.unwrap();
    let checks = database.sink().check(&writes, &rows.schema()).await;
    assert_eq!(failing(&checks).len(), 0, "{checks:?}");
    server.execute(&format!("DROP USER {user}@'%'")).await;
}
