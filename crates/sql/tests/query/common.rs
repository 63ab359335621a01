//! What these tests share: files in a folder, and queries over them.

use std::path::PathBuf;

use kiln_core::{ChunkLimits, Fault, Result, Source, cells_as_json};
use kiln_files::{Column, ColumnType, CsvOptions, CsvSource};
use kiln_sql::{QueryOptions, QuerySource, QueryTable};
use tempfile::TempDir;

/// Columns that are whole numbers, by their name; `total` and `price` are decimals.
const NUMBERS: [&str; 6] = ["id", "customer", "n", "big", "a", "b"];
const DECIMALS: [&str; 2] = ["total", "price"];

/// Comma-separated files, each a table.
pub(crate) struct Files {
    folder: TempDir,
    names: Vec<String>,
}

impl Files {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let this = Self {
            folder: tempfile::tempdir().unwrap(),
            names: files.iter().map(|(name, _)| (*name).to_owned()).collect(),
        };
        files.iter().for_each(|(name, content)| this.write(name, content));
        this
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.csv"))
    }

    /// Where queries work.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// All files below that folder, without the locks.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.work()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.ends_with("lock") => {}
                    false => files.push(path),
                }
            }
        }
        files
    }

    pub(crate) fn tables(&self) -> Vec<QueryTable> {
        let table = |name: &String| {
            let path = self.path(name);
            let open = move || -> Result<Box<dyn Source>> {
                let header = std::fs::read_to_string(&path).unwrap_or_default();
                let header = header.lines().next().unwrap_or_default().to_owned();
                let columns = header.split(',').filter_map(|name| {
                    let kind = match name {
                        name if NUMBERS.contains(&name) => ColumnType::Int,
                        name if DECIMALS.contains(&name) => {
                            ColumnType::Decimal { precision: 12, scale: 2 }
                        }
                        _ => return None,
                    };
                    Some(Column::new(name, kind))
                });
                let columns = columns.collect();
                let nulls = vec![String::new()];
                let options = CsvOptions { columns, nulls, ..CsvOptions::default() };
                Ok(Box::new(CsvSource::open(&path, &options)?))
            };
            QueryTable::new(name, Box::new(open)).unwrap()
        };
        self.names.iter().map(table).collect()
    }

    pub(crate) fn options(&self) -> QueryOptions {
        QueryOptions {
            folder: self.work(),
            owner: "test".to_owned(),
            described: String::new(),
            memory: QueryOptions::DEFAULT_MEMORY,
        }
    }

    pub(crate) fn plan(&self, sql: &str) -> Result<QuerySource> {
        QuerySource::new(sql, self.tables(), self.options())
    }

    pub(crate) fn query(&self, sql: &str) -> QuerySource {
        self.plan(sql).unwrap_or_else(|fault| panic!("{sql}: {fault}"))
    }

    /// All rows, each as JSON.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        rows(&mut self.query(sql)).unwrap_or_else(|fault| panic!("{sql}: {fault}"))
    }

    /// What is wrong when it is run.
    pub(crate) fn fails(&self, sql: &str) -> Fault {
        rows(&mut self.query(sql)).expect_err(sql)
    }
}

pub(crate) fn rows(source: &mut QuerySource) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    while let Some(chunk) = block_on(source.next(&ChunkLimits::default()))? {
        let batch = chunk.items.batch;
        rows.extend((0..batch.num_rows()).map(|row| cells_as_json(&batch, row).unwrap()));
    }
    Ok(rows)
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(future)
}
