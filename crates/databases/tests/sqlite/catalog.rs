//! Tables that items refer to.

use arrow_array::RecordBatch;
use kiln_core::{Catalog, CatalogSpec, Key, Kind, TableName};
use std::sync::Arc;

use crate::support::*;

const SCHEMA: &str = "
CREATE TABLE items (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE,
    name TEXT CHECK (length(name) < 10), label TEXT UNIQUE);
CREATE TABLE named (key TEXT PRIMARY KEY DEFAULT (hex(randomblob(8))), code TEXT UNIQUE);
CREATE TABLE plain (id INTEGER, code TEXT UNIQUE, other TEXT NOT NULL);";

fn spec(table: &str, key: &str, on: &[&str], create: &[&str]) -> CatalogSpec {
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    CatalogSpec {
        table: TableName::parse(table).unwrap(),
        key: key.to_owned(),
        on: names(on),
        compare: Vec::new(),
        create: names(create),
    }
}

fn items_spec() -> CatalogSpec {
    spec("items", "id", &["code"], &["code", "name"])
}

fn rows(rows: &[(&str, &str)]) -> RecordBatch {
    batch(vec![("a", texts(rows.iter().map(|r| r.0))), ("b", texts(rows.iter().map(|r| r.1)))])
}

async fn keys(catalog: &Arc<dyn Catalog>, rows: &RecordBatch) -> Vec<Option<i64>> {
    let key = |key: kiln_core::Result<Key>| match key {
        Ok(Key::Int(i)) => Some(i),
        Ok(Key::Text(t)) => panic!("{t}"),
        Err(fault) => {
            assert_eq!(fault.kind(), Kind::Item, "{fault:?}");
            None
        }
    };
    catalog.find_or_create(rows).await.unwrap().into_iter().map(key).collect()
}

#[tokio::test]
async fn a_row_is_made_once_and_found_ever_after() {
    let shop = Shop::new(SCHEMA).await;
    let catalog = shop.database.catalog(items_spec());
    assert!(catalog.key_is_integer().await.unwrap());
    let made = keys(&catalog, &rows(&[("a", "one"), ("b", "two"), ("a", "other")])).await;
    assert_eq!(made, [Some(1), Some(2), Some(1)]);
    assert_eq!(keys(&catalog, &rows(&[("b", "new"), ("c", "three")])).await, [Some(2), Some(3)]);
    assert_eq!(
        shop.rows("SELECT id, code, name FROM items ORDER BY id"),
        ["1|'a'|'one'", "2|'b'|'two'", "3|'c'|'three'"]
    );
    let mut loaded = catalog.load().await.unwrap();
    loaded.sort_by_key(|(_, on)| on.clone());
    let row = |id, code: &str| (Key::Int(id), vec![Some(code.to_owned())]);
    assert_eq!(loaded, [row(1, "a"), row(2, "b"), row(3, "c")]);
}

#[tokio::test]
async fn a_refused_row_falls_alone() {
    let shop = Shop::new(SCHEMA).await;
    let catalog = shop.database.catalog(items_spec());
    let some = rows(&[("a", "one"), ("b", "much too long a name"), ("c", "three")]);
    assert_eq!(keys(&catalog, &some).await, [Some(1), None, Some(2)]);
    // Another unique constraint than the one it is found by.
    let labelled = shop.database.catalog(spec("items", "id", &["code"], &["code", "label"]));
    let some = rows(&[("x", "L"), ("y", "L"), ("z", "M")]);
    assert_eq!(keys(&labelled, &some).await, [Some(3), None, Some(4)]);
}

#[tokio::test]
async fn a_row_refused_at_commit_falls_alone() {
    let shop = Shop::new(
        "CREATE TABLE groups (name TEXT PRIMARY KEY); INSERT INTO groups VALUES ('g');
         CREATE TABLE items (id INTEGER PRIMARY KEY, code TEXT UNIQUE,
             name TEXT REFERENCES groups DEFERRABLE INITIALLY DEFERRED);",
    )
    .await;
    let catalog = shop.database.catalog(items_spec());
    let some = rows(&[("a", "g"), ("b", "nowhere"), ("c", "g")]);
    let made = keys(&catalog, &some).await;
    assert_eq!(made.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(shop.rows("SELECT code FROM items ORDER BY 1"), ["'a'", "'c'"]);
}

#[tokio::test]
async fn two_who_make_the_same_row_get_the_same_key() {
    let shop = Shop::new(SCHEMA).await;
    let codes: Vec<String> = (0..200).map(|n| format!("code {}", n % 50)).collect();
    let pairs: Vec<(&str, &str)> = codes.iter().map(|c| (c.as_str(), "name")).collect();
    let batch = rows(&pairs);
    let mut makers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (catalog, batch) = (shop.again().await.catalog(items_spec()), batch.clone());
        makers.spawn(async move { keys(&catalog, &batch).await });
    }
    let made = makers.join_all().await;
    assert!(made.iter().all(|keys| *keys == made[0] && keys.iter().all(Option::is_some)));
    assert_eq!(shop.rows("SELECT count(*) FROM items"), ["50"]);
}

#[tokio::test]
async fn a_key_may_be_text() {
    let shop = Shop::new(SCHEMA).await;
    let catalog = shop.database.catalog(spec("named", "key", &["code"], &["code"]));
    assert!(!catalog.key_is_integer().await.unwrap());
    let made = catalog.find_or_create(&batch(vec![("a", texts(["x"]))])).await.unwrap();
    let [Ok(Key::Text(key))] = made.as_slice() else { panic!("{made:?}") };
    assert_eq!(shop.rows("SELECT key FROM named"), [format!("'{key}'")]);
    let loaded = catalog.load().await.unwrap();
    assert_eq!(loaded, [(Key::Text(key.clone()), vec![Some("x".to_owned())])]);
}

#[tokio::test]
async fn a_catalog_answers_as_if_the_script_had_run() {
    let shop = Shop::untouched(&format!("{SCHEMA} INSERT INTO items (code) VALUES ('a');")).await;
    let catalog = shop.database.catalog(items_spec());
    assert!(catalog.key_is_integer().await.unwrap());
    assert_eq!(catalog.load().await.unwrap().len(), 1);
    assert!(!shop.path().exists());
}

#[tokio::test]
async fn what_can_not_be_a_catalog_is_refused() {
    let shop = Shop::new(SCHEMA).await;
    let cases = [
        (spec("missing", "id", &["code"], &["code"]), "there is no table missing"),
        (spec("items", "nr", &["code"], &["code"]), "items has no column nr"),
        (spec("items", "id", &["cod"], &["code"]), "items has no column cod"),
        (spec("items", "id", &["name"], &["code", "name"]), "no unique constraint over (name)"),
        (spec("items", "id", &["label"], &["label"]), "items.code is NOT NULL"),
        (spec("plain", "id", &["code"], &["code", "other"]), "plain.id gets no value by itself"),
    ];
    for (spec, expected) in cases {
        let fault = shop.database.catalog(spec).key_is_integer().await.unwrap_err();
        assert_eq!(fault.kind(), Kind::Config);
        assert!(fault.message().contains(expected), "{fault}");
    }
}
