//! `[map] sql`: what comes of JSON, of parameters and of the run's own time.

use kiln_testkit::TestDatabase;

use crate::place::{On, on_every_database};

const JOB: &str = r#"name = "events"

[params]
url = "sqlite:out.db"
vat = 0.19
least = { type = "decimal(10,2)", default = "0.50" }
since = { type = "date", default = 2026-01-02 }
note = "it's"

[source]
file = "events.jsonl"

[source.columns]
id = "int"
doc = "text"
day = "date"

[map]
sql = """
SELECT id, doc ->> 'name' AS name, json_get_decimal(doc, 'price') AS price,
       round(json_get_decimal(doc, 'price') * (1 + ${vat}), 2) AS gross,
       _ingested_at AS seen_at, '${note} ' || ${note} AS note
FROM item
WHERE day >= ${since} AND json_get_decimal(doc, 'price') >= ${least}
"""

[target]
url = "${url}"
setup = "schema.sql"

[chunk]
items = 2

[[write]]
table = "events"
"#;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS events (id BIGINT PRIMARY KEY, name VARCHAR(50),
    price DECIMAL(12,2) NOT NULL, gross DECIMAL(12,2) NOT NULL, seen_at TIMESTAMP NOT NULL,
    note VARCHAR(50) NOT NULL);";

const EVENTS: &str = r#"{"id": 1, "day": "2026-01-02", "doc": {"name": "a \"b\"", "price": 10.10}}
{"id": 2, "day": "2026-01-01", "doc": {"name": "early", "price": 10.10}}
{"id": 3, "day": "2026-01-03", "doc": {"name": "cheap", "price": 0.49}}
{"id": 4, "day": "2026-01-03", "doc": "{'no': json}"}
{"id": 5, "day": "2026-01-03", "doc": {"price": "ten"}}
{"id": 6, "day": "2026-01-03", "doc": {"price": 999999999.99}}
{"id": 7, "day": "2026-01-03", "doc": {"name": "last", "price": 0.5}}
{"id": 8, "day": "2026-01-03", "doc": {"name": "fine", "price": 1.005}}
"#;

fn place(database: TestDatabase) -> On {
    // SQLite has no exact decimals but text.
    let schema = match database.url.starts_with("sqlite") {
        true => SCHEMA.replace("DECIMAL(12,2)", "TEXT").replace("TIMESTAMP", "TEXT"),
        false if database.url.starts_with("mysql") => SCHEMA.replace("TIMESTAMP", "DATETIME(6)"),
        false => SCHEMA.replace("TIMESTAMP", "timestamptz"),
    };
    On::new(database, &[("job.toml", JOB), ("schema.sql", &schema), ("events.jsonl", EVENTS)])
}

async fn documents_become_rows(database: impl AsyncFn() -> TestDatabase) {
    let on = place(database().await);
    on.kiln(&["validate"], None).exits(0);
    on.crash("committed:2");
    // A run goes on with the time at which it began.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let report = on.run();
    let counts = ["items_processed", "items_filtered", "items_failed"];
    let is_sqlite = on.database.url.starts_with("sqlite");
    let fine = usize::from(is_sqlite);
    let counts = counts.map(|key| report[key].as_u64().unwrap() as usize);
    assert_eq!(counts, [3 + fine, 2, 3 - fine], "{report:#}");
    let rows = on.database.query("SELECT id, name, note FROM events ORDER BY id LIMIT 3").await;
    let rows: Vec<String> = rows
        .into_iter()
        .map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(rows, ["1|a \"b\"|it's it's", "6||it's it's", "7|last|it's it's"]);
    let price = "SELECT CAST(price AS CHAR(20)) FROM events WHERE id = 1";
    let gross = "SELECT CAST(gross AS CHAR(20)) FROM events WHERE id = 6";
    let plain = |text: String| text.trim().trim_end_matches('0').to_owned();
    assert_eq!(plain(on.database.value(price).await), "10.1");
    assert_eq!(plain(on.database.value(gross).await), "1189999999.99");
    let distinct = "SELECT count(DISTINCT seen_at) FROM events";
    assert_eq!(on.database.value(distinct).await, "1");
    if !is_sqlite {
        let (runs, started) = (on.ledger("runs"), "started_at");
        let same = format!("SELECT count(*) FROM events JOIN {runs} ON seen_at = {started}");
        assert_eq!(on.database.value(&same).await, "3");
    }
}

on_every_database! { documents_become_rows }

#[test]
fn a_parameter_is_of_its_type() {
    let on = place(kiln_testkit::sqlite());
    for (param, code, said) in [
        ("least=0.505", 64, "--param least: \"0.505\" is not of type decimal(10,2)"),
        ("least=0); DROP TABLE events; --", 64, "is not of type decimal(10,2)"),
        ("vat=0 OR 1=1", 78, "${vat}: \"0 OR 1=1\" is not of type number"),
        ("since=yesterday", 64, "is not of type date"),
    ] {
        on.kiln(&["validate", "--param", param], None).exits(code).says(said);
    }
    on.kiln(&["run", "--param", "note='; DROP TABLE events; --"], None).exits(0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let note = runtime.block_on(on.database.value("SELECT note FROM events WHERE id = 1"));
    assert_eq!(note, "'; DROP TABLE events; -- '; DROP TABLE events; --");
}
