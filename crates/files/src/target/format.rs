//! What the files of a target are.

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema};
use kiln_core::{CellColumn, Fault, Result};
use serde_json::{Value, json};

use super::pack::Packing;
use super::{csv, json as json_lines};

/// A kind of file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFormat {
    /// Delimited text.
    Csv {
        /// Stands between fields.
        delimiter: u8,
        /// Whether the first line of each part has the names of the columns.
        header: bool,
        /// Stands for NULL, never quoted.
        null: String,
    },
    /// An object a line.
    JsonLines,
    /// Columns with their types.
    #[cfg(feature = "parquet")]
    Parquet,
}

/// What the files of a target are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetOptions {
    /// Their kind.
    pub format: FileFormat,
    /// How they are packed.
    pub packing: Packing,
    /// Columns, of any table, that may not be NULL: an item without a value is a
    /// dead letter.
    pub required: Vec<String>,
}

impl TargetOptions {
    /// Files of this kind, packed as is usual for it, with no required column.
    pub fn new(format: FileFormat) -> Self {
        let packing = match format {
            #[cfg(feature = "parquet")]
            FileFormat::Parquet => Packing::Zstd,
            _ => Packing::None,
        };
        Self { format, packing, required: Vec::new() }
    }

    /// The ending of a part's name, without the first dot.
    pub(super) fn ending(&self) -> String {
        match &self.format {
            FileFormat::Csv { delimiter: b'\t', .. } => format!("tsv{}", self.packing.ending()),
            FileFormat::Csv { .. } => format!("csv{}", self.packing.ending()),
            FileFormat::JsonLines => format!("jsonl{}", self.packing.ending()),
            #[cfg(feature = "parquet")]
            FileFormat::Parquet => "parquet".to_owned(),
        }
    }

    /// What a reader must know of a table's parts, and what must be the same in
    /// all of them.
    pub(super) fn layout(&self, columns: &Schema) -> Value {
        let column = |field: &Field| {
            json!({
                "name": field.name(),
                "type": field.data_type().to_string(),
                "required": self.is_required(field.name()),
            })
        };
        let columns: Vec<Value> = columns.fields().iter().map(|f| column(f)).collect();
        let packing = self.packing.to_string();
        match &self.format {
            FileFormat::Csv { delimiter, header, null: none } => json!({
                "format": "csv",
                "compression": packing,
                "delimiter": char::from(*delimiter).to_string(),
                "header": header,
                "null": none,
                "columns": columns,
            }),
            FileFormat::JsonLines => {
                json!({ "format": "jsonl", "compression": packing, "columns": columns })
            }
            #[cfg(feature = "parquet")]
            FileFormat::Parquet => {
                json!({ "format": "parquet", "compression": packing, "columns": columns })
            }
        }
    }

    pub(super) fn is_required(&self, column: &str) -> bool {
        self.required.iter().any(|name| name == column)
    }

    /// Looks whether columns of these types can be written.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config), naming the column.
    pub(super) fn check(&self, columns: &Schema) -> Result<()> {
        let empty = RecordBatch::new_empty(columns.clone().into());
        CellColumn::of(&empty)?;
        let odd = |f: &&std::sync::Arc<Field>| matches!(f.data_type(), DataType::Decimal128(_, s) if *s < 0);
        if let Some(field) = columns.fields().iter().find(odd) {
            let what = format!("column {}: {} can't be written", field.name(), field.data_type());
            return Err(Fault::config(what).with_hint("cast it in [map] sql"));
        }
        self.encode(&empty).map(drop)
    }

    /// The bytes of a part.
    ///
    /// # Errors
    /// If the columns can't be written at all.
    pub(super) fn encode(&self, rows: &RecordBatch) -> Result<Vec<u8>> {
        let text = match &self.format {
            FileFormat::Csv { delimiter, header, null } => {
                csv::encode(rows, *delimiter, *header, null)?
            }
            FileFormat::JsonLines => json_lines::encode(rows)?,
            #[cfg(feature = "parquet")]
            FileFormat::Parquet => return super::parquet::encode(rows, self),
        };
        self.packing.pack(text).map_err(|e| Fault::io("packing a part", e))
    }
}
