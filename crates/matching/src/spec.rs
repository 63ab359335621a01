//! What to look up, and what to do if it is not there.

use arrow_schema::Schema;
use kiln_core::{Fault, Result, WriteColumn};

/// What becomes of an item whose row is not in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// The row is created from the item.
    #[default]
    Create,
    /// The item fails.
    Reject,
    /// The item goes on with NULL for a key.
    Null,
}

/// A look-up in a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchSpec {
    /// The column that is added to the item: the key of its row.
    pub column: String,
    /// The catalog's table, for messages.
    pub table: String,
    /// The catalog's columns by which a row is found, and the item's columns
    /// that they must equal, as text.
    pub on: Vec<WriteColumn>,
    /// What a new row is filled with, `on` among it. Empty if none is created.
    pub create: Vec<WriteColumn>,
    /// What to do if there is no such row.
    pub missing: Missing,
}

impl MatchSpec {
    /// Whether the parts fit one another.
    pub(crate) fn check(&self, input: &Schema) -> Result<()> {
        if self.on.is_empty() {
            return Err(self.wrong("there is no column to find a row by").with_hint(
                "say which column of the table equals which of the item: on = { code = \"code\" }",
            ));
        }
        if input.column_with_name(&self.column).is_some() {
            return Err(self
                .wrong(format!("the item has a column {} already", self.column))
                .with_hint("give the key another name"));
        }
        if self.missing == Missing::Create {
            self.check_create()?;
        }
        Ok(())
    }

    /// A new row must be found again by the values it was asked for.
    fn check_create(&self) -> Result<()> {
        for on in &self.on {
            if !self.create.contains(on) {
                return Err(self
                    .wrong(format!("a new row would not be found again by {}", on.column))
                    .with_hint(format!(
                        "fill it: create = {{ {} = \"{}\", … }}",
                        on.column, on.from
                    )));
            }
        }
        Ok(())
    }

    /// Where the columns of the item are that some columns are filled from.
    pub(crate) fn places(&self, columns: &[WriteColumn], input: &Schema) -> Result<Vec<usize>> {
        let place = |c: &WriteColumn| {
            input.index_of(&c.from).map_err(|_| {
                let names: Vec<&str> = input.fields().iter().map(|f| f.name().as_str()).collect();
                self.wrong(format!("the item has no column {}", c.from))
                    .with_hint(format!("there are: {}", names.join(", ")))
            })
        };
        columns.iter().map(place).collect()
    }

    fn wrong(&self, what: impl Into<String>) -> Fault {
        Fault::config(what).at(format_args!("match with {}", self.table))
    }
}
