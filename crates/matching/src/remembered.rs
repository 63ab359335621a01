//! Decisions that are remembered.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use kiln_core::{Catalog, Fault, Key, Result};

/// What is remembered: the key of the row that a text means.
pub(crate) type Remembered = HashMap<String, Key>;

/// A table of texts and the keys of the rows that they mean.
///
/// It is asked before anything else; what likeness finds is added to it, and
/// committed before the item goes on. So a decision stays, and a person who
/// changes a line of the table has the last word.
pub struct Remember {
    /// The table as a catalog: its rows are found by the text alone, created of
    /// text and key, and its key is the key of the row that is meant.
    pub catalog: Arc<dyn Catalog>,
    /// Its name, for messages.
    pub table: String,
    /// The item's column with the text.
    pub from: String,
    /// The table's column with the text.
    pub text: String,
    /// The table's column with the key.
    pub key: String,
}

impl fmt::Debug for Remember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remember").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Remember {
    pub(crate) async fn load(&self) -> Result<Remembered> {
        let line = |(key, mut text): (Key, Vec<Option<String>>)| Some((text.pop()??, key));
        Ok(self.catalog.load().await?.into_iter().filter_map(line).collect())
    }

    /// Adds lines; gives the key that each text has then.
    pub(crate) async fn add(&self, lines: &[(&str, &Key)]) -> Result<Vec<Result<Key>>> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let place = |fault: Fault| fault.at(format_args!("remembering in {}", self.table));
        let keys = self.catalog.find_or_create(&self.rows(lines)?).await.map_err(place)?;
        Ok(keys.into_iter().map(|key| key.map_err(place)).collect())
    }

    fn rows(&self, lines: &[(&str, &Key)]) -> Result<RecordBatch> {
        let texts: StringArray = lines.iter().map(|(text, _)| Some(*text)).collect();
        let integers: Option<Int64Array> = lines
            .iter()
            .map(|(_, key)| match key {
                Key::Int(key) => Some(Some(*key)),
                Key::Text(_) => None,
            })
            .collect();
        let (kind, keys): (DataType, ArrayRef) = match integers {
            Some(keys) => (DataType::Int64, Arc::new(keys)),
            None => {
                let text = lines.iter().map(|(_, key)| Some(key.cell().to_string()));
                (DataType::Utf8, Arc::new(text.collect::<StringArray>()))
            }
        };
        let schema = Schema::new(vec![
            Field::new(&self.text, DataType::Utf8, false),
            Field::new(&self.key, kind, false),
        ]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(texts), keys])
            .map_err(|e| Fault::bug(format!("lines of {}: {e}", self.table)))
    }
}
