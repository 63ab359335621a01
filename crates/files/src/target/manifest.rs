//! The file that says that a result is whole, and what it consists of.

use kiln_core::{Claim, Fault, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::MANIFEST;
use super::part::Part;

/// The layout of the manifest itself.
const VERSION: u32 = 1;

/// The result of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    pub(super) job: String,
    pub(super) run: String,
    tables: Vec<Table>,
}

/// The parts of a table, in the order of their items.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Table {
    step: String,
    table: String,
    rows: u64,
    layout: Value,
    parts: Vec<Shown>,
}

/// A part: its items are `first` to `last` of the step's source.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Shown {
    file: String,
    first: u64,
    last: u64,
    rows: u64,
    bytes: u64,
    sha256: String,
}

impl Manifest {
    /// The result of a run whose parts are these, by step, table and span.
    pub(super) fn of(claim: &Claim, job: &str, parts: &[Part]) -> Result<Self> {
        let mut tables: Vec<Table> = Vec::new();
        for part in parts {
            let same = |t: &&mut Table| t.step == part.step && t.table == part.table;
            let shown = Shown {
                file: part.file.clone(),
                first: part.span.from + 1,
                last: part.span.to,
                rows: part.rows,
                bytes: part.bytes,
                sha256: part.sha256.clone(),
            };
            if let Some(table) = tables.last_mut().filter(same) {
                table.rows += part.rows;
                table.parts.push(shown);
                continue;
            }
            tables.push(Table {
                step: part.step.clone(),
                table: part.table.clone(),
                rows: part.rows,
                layout: serde_json::from_str(&part.layout).map_err(no_json)?,
                parts: vec![shown],
            });
        }
        Ok(Self { version: VERSION, job: job.to_owned(), run: claim.run.0.clone(), tables })
    }

    /// Reads what [`bytes`](Self::bytes) gave.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if it is no such text.
    pub(super) fn read(bytes: &[u8], place: &str) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|e| {
            Fault::config(format!("{place}/{MANIFEST} is no manifest of kiln: {e}"))
                .with_hint("name another folder, or remove the file")
        })
    }

    /// As it is stored.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(no_json)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The names of all its parts.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().flat_map(|t| &t.parts).map(|part| part.file.as_str())
    }
}

fn no_json(error: serde_json::Error) -> Fault {
    Fault::bug(format!("a manifest is no JSON: {error}"))
}
