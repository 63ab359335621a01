//! Decisions that are remembered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use kiln_core::{Catalog, CatalogSize, Cell, CellColumn, Fault, Key, Mapper, Result};
use kiln_matching::{MatchMapper, Missing, Remember};

use crate::common::{Table, failed, items, keys, map};
use crate::fuzzy;

/// A table `aliases(alias unique, item_id)` in memory, which takes no text of
/// more than 30 bytes.
#[derive(Debug, Default)]
struct Aliases(Mutex<BTreeMap<String, i64>>);

impl Aliases {
    fn lines(&self) -> Vec<(String, i64)> {
        self.0.lock().unwrap().iter().map(|(text, key)| (text.clone(), *key)).collect()
    }
}

#[async_trait]
impl Catalog for Aliases {
    async fn key_is_integer(&self) -> Result<bool> {
        Ok(true)
    }

    async fn size(&self) -> Result<CatalogSize> {
        Ok(CatalogSize::default())
    }

    async fn load(&self) -> Result<Vec<(Key, Vec<Option<String>>)>> {
        let line = |(text, key): (String, i64)| (Key::Int(key), vec![Some(text)]);
        Ok(self.lines().into_iter().map(line).collect())
    }

    async fn find_or_create(&self, rows: &RecordBatch) -> Result<Vec<Result<Key>>> {
        let columns = CellColumn::of(rows).unwrap();
        let mut lines = self.0.lock().unwrap();
        let mut add = |row| match (columns[0].cell(row), columns[1].cell(row)) {
            (Cell::Text(text), _) if text.len() > 30 => Err(Fault::item("too long")),
            (Cell::Text(text), Cell::Int(key)) => {
                Ok(Key::Int(*lines.entry(text.to_owned()).or_insert(key)))
            }
            other => panic!("{other:?}"),
        };
        Ok((0..rows.num_rows()).map(&mut add).collect())
    }
}

fn mapper(table: &Arc<Table>, aliases: &Arc<Aliases>) -> MatchMapper {
    let remember = Remember {
        catalog: Arc::clone(aliases) as Arc<dyn Catalog>,
        table: "aliases".into(),
        from: "description".into(),
        text: "alias".into(),
        key: "item_id".into(),
    };
    fuzzy::mapper(table, Missing::Reject).remember(remember).unwrap()
}

const GOODS: [(&str, &str); 2] = [("A", "Red wooden chair"), ("B", "Blue enamel teapot")];

#[tokio::test]
async fn what_likeness_finds_is_remembered() {
    let (table, aliases) = (fuzzy::table(&GOODS), Arc::default());
    let lines = [
        (Some("A"), Some("found by its code")),
        (Some("X"), Some("chair red wooden")),
        (Some("X"), Some("chair red wooden")),
        (Some("X"), Some("no such thing")),
    ];
    let mapped = map(&mut mapper(&table, &aliases), items(&lines)).await;
    assert_eq!(keys(&mapped), [(1, Some(1)), (2, Some(1)), (3, Some(1))]);
    assert_eq!(aliases.lines(), [("chair red wooden".to_owned(), 1)]);
}

#[tokio::test]
async fn a_person_has_the_last_word() {
    let (table, aliases) = (fuzzy::table(&GOODS), Arc::<Aliases>::default());
    let lines = [(Some("A"), Some("chair red wooden")), (Some("X"), Some("no such thing"))];
    aliases.0.lock().unwrap().insert("chair red wooden".into(), 2);
    aliases.0.lock().unwrap().insert("no such thing".into(), 1);
    let mapped = map(&mut mapper(&table, &aliases), items(&lines)).await;
    assert_eq!(keys(&mapped), [(1, Some(2)), (2, Some(1))], "even before the code");
    assert_eq!(aliases.lines().len(), 2);
}

/// Somebody added a line while the run was going on.
#[tokio::test]
async fn a_line_that_came_meanwhile_counts() {
    let (table, aliases) = (fuzzy::table(&GOODS), Arc::<Aliases>::default());
    let mut mapper = mapper(&table, &aliases);
    map(&mut mapper, items(&[(Some("A"), None)])).await;
    aliases.0.lock().unwrap().insert("chair red wooden".into(), 2);
    let lines = [(Some("X"), Some("chair red wooden")); 2];
    assert_eq!(keys(&map(&mut mapper, items(&lines)).await), [(1, Some(2)), (2, Some(2))]);
    assert_eq!(keys(&map(&mut mapper, items(&lines)).await), [(1, Some(2)), (2, Some(2))]);
}

#[tokio::test]
async fn a_text_that_can_not_be_remembered_fails_its_items() {
    let (table, aliases) = (fuzzy::table(&GOODS), Arc::<Aliases>::default());
    let long = "chair                   red wooden";
    let lines = [(Some("X"), Some(long)), (Some("B"), None), (Some("X"), Some(long))];
    let mapped = map(&mut mapper(&table, &aliases), items(&lines)).await;
    assert_eq!(keys(&mapped), [(2, Some(2))]);
    assert_eq!(failed(&mapped).len(), 2);
    assert_eq!(mapped.failures[0].fault.message(), "remembering in aliases: too long");
}

#[tokio::test]
async fn a_look_is_not_remembered() {
    let (table, aliases) = (fuzzy::table(&GOODS), Arc::<Aliases>::default());
    let mut mapper = mapper(&table, &aliases).read_only();
    let mapped = map(&mut mapper, items(&[(Some("X"), Some("chair red wooden"))])).await;
    assert_eq!(keys(&mapped), [(1, Some(1))]);
    assert!(aliases.lines().is_empty());
    assert!(mapper.save().is_none());
}
