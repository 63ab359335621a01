//! What every catalog owes.

use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use kiln_core::{Catalog, CatalogSize, CatalogSpec, Fault, Key, Kind, Result, TableName};

use crate::{Row, TestTarget, notes};

type Target = dyn TestTarget;

/// Rows to be found or created: a code and a name each.
fn rows(goods: &[(&str, Option<&str>)]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("code", DataType::Utf8, true),
        Field::new("name", DataType::Utf8, true),
    ]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(goods.iter().map(|(code, _)| Some(*code)).collect::<StringArray>()),
            Arc::new(goods.iter().map(|(_, name)| *name).collect::<StringArray>()),
        ],
    )
    .unwrap()
}

async fn keys(catalog: &dyn Catalog, goods: &[(&str, Option<&str>)]) -> Vec<Result<Key>> {
    let keys = catalog.find_or_create(&rows(goods)).await.expect("keys");
    assert_eq!(keys.len(), goods.len());
    keys
}

fn all(keys: Vec<Result<Key>>) -> Vec<Key> {
    keys.into_iter().collect::<Result<_>>().expect("no row refused")
}

/// What the catalog says of itself, sorted by code.
async fn loaded(catalog: &dyn Catalog) -> Vec<(String, Key)> {
    let rows = catalog.load().await.expect("a readable catalog");
    let mut all: Vec<(String, Key)> =
        rows.into_iter().map(|(key, mut on)| (on.remove(0).expect("a code"), key)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// The table as plain SQL has it: code and name, sorted.
async fn stored(target: &Target) -> Vec<(Option<String>, Option<String>)> {
    let row = |mut row: Row| (row.remove(1), row.remove(1));
    let mut rows: Vec<_> = target.rows("goods").await.into_iter().map(row).collect();
    rows.sort();
    rows
}

fn good(code: &str, name: &str) -> (Option<String>, Option<String>) {
    (Some(code.to_owned()), Some(name.to_owned()))
}

/// Nothing there, nothing loaded.
pub async fn an_empty_catalog_has_no_rows(target: &Target) {
    assert!(loaded(&*target.catalog(notes::goods())).await.is_empty());
}

/// A catalog that names no columns for new rows is there to be loaded.
pub async fn without_columns_to_create_rows_are_only_found(target: &Target) {
    let made = all(keys(&*target.catalog(notes::goods()), &[("a", Some("apple"))]).await);
    let only_found = target.catalog(CatalogSpec { create: Vec::new(), ..notes::goods() });
    only_found.key_is_integer().await.expect("what its key is");
    assert_eq!(loaded(&*only_found).await, [("a".to_owned(), made[0].clone())]);
}

/// Columns to compare rows by are loaded behind those that rows are found by;
/// where none is created, they are enough.
pub async fn what_is_compared_is_loaded(target: &Target) {
    let made = all(keys(&*target.catalog(notes::goods()), &[("a", Some("apple"))]).await);
    let compare = vec!["name".to_owned()];
    let spec = CatalogSpec { compare: compare.clone(), ..notes::goods() };
    let both = vec![Some("a".to_owned()), Some("apple".to_owned())];
    assert_eq!(target.catalog(spec).load().await.unwrap(), [(made[0].clone(), both)]);
    let spec = CatalogSpec { on: Vec::new(), compare, create: Vec::new(), ..notes::goods() };
    let catalog = target.catalog(spec);
    catalog.key_is_integer().await.expect("what its key is");
    let name = vec![Some("apple".to_owned())];
    assert_eq!(catalog.load().await.unwrap(), [(made[0].clone(), name)]);
}

/// How large it is, is known before it is loaded.
pub async fn its_size_is_known(target: &Target) {
    let catalog = target.catalog(notes::goods());
    assert_eq!(catalog.size().await.unwrap(), CatalogSize::default());
    keys(&*catalog, &[("a", Some("apple")), ("é", Some("bolt"))]).await;
    let spec = CatalogSpec { compare: vec!["name".to_owned()], ..notes::goods() };
    let size = target.catalog(spec).size().await.unwrap();
    assert_eq!(size, CatalogSize { rows: 2, bytes: 1 + 5 + 2 + 4 });
}

/// In order, nothing is created behind a row that is refused.
pub async fn in_order_a_refused_row_is_the_last(target: &Target) {
    let catalog = target.catalog(notes::goods());
    for bad in 0..4 {
        let codes: Vec<String> = (0..4).map(|i| format!("{bad}{i}")).collect();
        let name = |i| (i != bad).then_some("name");
        let goods: Vec<(&str, Option<&str>)> =
            codes.iter().enumerate().map(|(i, code)| (code.as_str(), name(i))).collect();
        let keys = catalog.find_or_create_in_order(&rows(&goods)).await.expect("keys");
        assert_eq!(keys.len(), bad + 1);
        assert!(keys[..bad].iter().all(Result::is_ok));
        assert_eq!(keys[bad].as_ref().map_err(Fault::kind), Err(Kind::Item));
    }
    assert_eq!(stored(target).await.len(), 1 + 2 + 3);
    let good = [("a", Some("apple")), ("b", Some("bolt")), ("a", Some("again"))];
    let made = all(catalog.find_or_create_in_order(&rows(&good)).await.expect("keys"));
    assert_eq!(made[0], made[2]);
    assert_eq!(made, all(keys(&*catalog, &good).await));
}

/// A second call gives the same keys, and so does another process.
pub async fn what_is_created_is_found_again(target: &Target) {
    let catalog = target.catalog(notes::goods());
    let wanted = [("a", Some("apple")), ("b", Some("bolt"))];
    let first = all(keys(&*catalog, &wanted).await);
    assert_ne!(first[0], first[1]);
    assert_eq!(all(keys(&*catalog, &wanted).await), first);
    let other = target.again().await;
    let other = other.catalog(notes::goods());
    assert_eq!(
        all(keys(&*other, &[wanted[1], wanted[0]]).await),
        [first[1].clone(), first[0].clone()]
    );
    let expected = vec![("a".to_owned(), first[0].clone()), ("b".to_owned(), first[1].clone())];
    assert_eq!(loaded(&*other).await, expected);
    assert_eq!(stored(target).await, [good("a", "apple"), good("b", "bolt")]);
}

/// The first values of a row stay.
pub async fn a_row_that_is_there_stays_as_it_is(target: &Target) {
    let catalog = target.catalog(notes::goods());
    let first = all(keys(&*catalog, &[("a", Some("apple"))]).await);
    let second = all(keys(&*catalog, &[("a", Some("another")), ("b", Some("bolt"))]).await);
    assert_eq!(first[0], second[0]);
    assert_eq!(stored(target).await, [good("a", "apple"), good("b", "bolt")]);
}

/// Asked for twice in one call, it is made once.
pub async fn the_same_row_twice_is_one(target: &Target) {
    let catalog = target.catalog(notes::goods());
    let twice = [("a", Some("apple")), ("b", Some("bolt")), ("a", Some("again"))];
    let keys = all(keys(&*catalog, &twice).await);
    assert_eq!(keys[0], keys[2]);
    assert_eq!(stored(target).await, [good("a", "apple"), good("b", "bolt")]);
}

/// What the database refuses for its values keeps no other from being made.
pub async fn a_refused_row_is_alone(target: &Target) {
    let catalog = target.catalog(notes::goods());
    for (round, bad) in [0, 1, 2].into_iter().enumerate() {
        let codes: Vec<String> = (0..3).map(|i| format!("{round}{i}")).collect();
        let wanted: Vec<(&str, Option<&str>)> = codes
            .iter()
            .enumerate()
            .map(|(i, code)| (code.as_str(), (i != bad).then_some("name")))
            .collect();
        for (i, key) in keys(&*catalog, &wanted).await.into_iter().enumerate() {
            match key {
                Ok(_) => assert_ne!(i, bad),
                Err(fault) => {
                    assert_eq!(i, bad, "{fault}");
                    assert_eq!(fault.kind(), Kind::Item, "{fault}");
                }
            }
        }
    }
    assert_eq!(stored(target).await.len(), 6);
}

/// Two processes that create the same rows at once get the same keys.
pub async fn creations_at_once_agree(target: &Target) {
    let codes: Vec<String> = (0..200).map(|i| format!("code {i:03}")).collect();
    let mut tasks = Vec::new();
    for turn in 0..4 {
        let catalog = target.again().await.catalog(notes::goods());
        let mut codes = codes.clone();
        if turn % 2 == 1 {
            codes.reverse();
        }
        tasks.push(tokio::spawn(async move {
            let wanted: Vec<(&str, Option<&str>)> =
                codes.iter().map(|c| (c.as_str(), Some("name"))).collect();
            // A deadlock is the database's way to ask for another try.
            let keys = loop {
                match catalog.find_or_create(&rows(&wanted)).await {
                    Ok(keys) => break all(keys),
                    Err(fault) => assert!(fault.is_transient(), "{fault:?}"),
                }
            };
            let mut pairs: Vec<(String, Key)> = codes.into_iter().zip(keys).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            pairs
        }));
    }
    let expected = tasks.pop().unwrap().await.unwrap();
    for task in tasks {
        assert_eq!(task.await.unwrap(), expected);
    }
    assert_eq!(loaded(&*target.catalog(notes::goods())).await, expected);
    assert_eq!(stored(target).await.len(), codes.len());
}

/// Text is data: quotes, escapes and SQL come back as they went in.
pub async fn odd_text_comes_back_as_it_was(target: &Target) {
    let catalog = target.catalog(notes::goods());
    let codes = ["", " ", "'", "\"", "\\N", "\\", "a\tb", "a\nb", "é€🔥", "'; DROP TABLE goods;--"];
    let wanted: Vec<(&str, Option<&str>)> = codes.iter().map(|c| (*c, Some(*c))).collect();
    let made = all(keys(&*catalog, &wanted).await);
    let mut expected: Vec<(String, Key)> =
        codes.iter().map(|c| (*c).to_owned()).zip(made).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(loaded(&*catalog).await, expected);
    for (code, name) in stored(target).await {
        assert_eq!(code, name);
    }
}

/// An integer key is told as one, and given as one.
pub async fn the_key_is_an_integer(target: &Target) {
    let catalog = target.catalog(notes::goods());
    assert!(catalog.key_is_integer().await.unwrap());
    let key = all(keys(&*catalog, &[("a", Some("apple"))]).await).remove(0);
    assert!(matches!(key, Key::Int(_)), "{key:?}");
}

/// A catalog that can't be is told before anything is written.
pub async fn an_unknown_table_or_column_is_told(target: &Target) {
    let good = notes::goods();
    let other = |name: &str| TableName { schema: None, name: name.to_owned() };
    let wrong = [
        CatalogSpec { table: other("nothing"), ..good.clone() },
        CatalogSpec { key: "nothing".to_owned(), ..good.clone() },
        CatalogSpec { on: vec!["nothing".to_owned()], ..good.clone() },
        // Names are not unique, so a row could be created twice.
        CatalogSpec { on: vec!["name".to_owned()], ..good },
    ];
    for spec in wrong {
        let fault = target.catalog(spec.clone()).key_is_integer().await.expect_err("no catalog");
        assert_eq!(fault.kind(), Kind::Config, "{spec:?}: {fault}");
    }
}
