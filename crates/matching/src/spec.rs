//! What to look up, and what to do if it is not there.

use arrow_schema::Schema;
use kiln_core::{Fault, Result, WriteColumn};

use crate::decision::{AT_LEAST, MARGIN};
use crate::index::Compare;

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
#[derive(Debug, Clone, PartialEq)]
pub struct MatchSpec {
    /// The column that is added to the item: the key of its row.
    pub column: String,
    /// The catalog's table, for messages.
    pub table: String,
    /// The catalog's columns by which a row is found, and the item's columns
    /// that they must equal, as text. They may be left out where rows are found
    /// by likeness and none is created.
    pub on: Vec<WriteColumn>,
    /// Whether values that [`fold`](crate::fold()) makes equal are equal, where
    /// none is as it is written.
    pub folded: bool,
    /// How rows are found by likeness, where none is equal.
    pub fuzzy: Option<Fuzzy>,
    /// What a new row is filled with, `on` among it. Empty if none is created.
    pub create: Vec<WriteColumn>,
    /// What to do if there is no such row.
    pub missing: Missing,
    /// How much memory may be taken for what is known of the catalog, in bytes.
    pub memory: u64,
}

/// How rows are found by likeness.
#[derive(Debug, Clone, PartialEq)]
pub struct Fuzzy {
    /// What is compared.
    pub columns: Vec<FuzzyColumn>,
    /// The least score of a match, above 0 and up to 1.
    pub at_least: f64,
    /// How much less alike the second row must be, so that the first is meant.
    pub margin: f64,
}

impl Fuzzy {
    /// With the usual bounds.
    pub fn new(columns: Vec<FuzzyColumn>) -> Self {
        Self { columns, at_least: AT_LEAST, margin: MARGIN }
    }
}

/// A column of the catalog, and the item's column that it is compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct FuzzyColumn {
    /// The two columns.
    pub column: WriteColumn,
    /// As what they are compared.
    pub compare: Compare,
    /// What it counts beside the others.
    pub weight: f64,
}

impl MatchSpec {
    /// The memory that a catalog may take if nothing else is said: 1 GiB.
    pub const MEMORY: u64 = 1 << 30;

    /// An exact look-up by these columns, creating nothing.
    pub fn exact(column: &str, table: &str, on: Vec<WriteColumn>) -> Self {
        Self {
            column: column.to_owned(),
            table: table.to_owned(),
            on,
            folded: false,
            fuzzy: None,
            create: Vec::new(),
            missing: Missing::Reject,
            memory: Self::MEMORY,
        }
    }

    /// The columns that are compared by likeness.
    pub(crate) fn compared(&self) -> &[FuzzyColumn] {
        self.fuzzy.as_ref().map_or(&[], |fuzzy| &fuzzy.columns)
    }

    /// Whether the parts fit one another.
    pub(crate) fn check(&self, input: &Schema) -> Result<()> {
        if self.on.is_empty() && (self.fuzzy.is_none() || self.missing == Missing::Create) {
            return Err(self.wrong("there is no column to find a row by").with_hint(
                "say which column of the table equals which of the item: on = { code = \"code\" }",
            ));
        }
        if input.column_with_name(&self.column).is_some() {
            return Err(self
                .wrong(format!("the item has a column {} already", self.column))
                .with_hint("give the key another name"));
        }
        if let Some(fuzzy) = &self.fuzzy {
            self.check_fuzzy(fuzzy)?;
        }
        if self.missing == Missing::Create {
            self.check_create()?;
        }
        Ok(())
    }

    fn check_fuzzy(&self, fuzzy: &Fuzzy) -> Result<()> {
        if !fuzzy.columns.iter().any(|c| c.compare == Compare::Text) {
            return Err(self
                .wrong("no text is compared: rows are found by the words they share")
                .with_hint("name a column of texts: fuzzy = { name = \"description\" }"));
        }
        if !(fuzzy.at_least > 0.0 && fuzzy.at_least <= 1.0) {
            return Err(self.wrong("at_least must be above 0 and no more than 1"));
        }
        if !(0.0..1.0).contains(&fuzzy.margin) {
            return Err(self.wrong("margin must be 0 or more and below 1"));
        }
        match fuzzy.columns.iter().find(|c| !(c.weight > 0.0 && c.weight.is_finite())) {
            Some(c) => {
                Err(self.wrong(format!("the weight of {} must be above 0", c.column.column)))
            }
            None => Ok(()),
        }
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
    pub(crate) fn places<'a>(
        &self,
        columns: impl IntoIterator<Item = &'a WriteColumn>,
        input: &Schema,
    ) -> Result<Vec<usize>> {
        let place = |c: &WriteColumn| {
            input.index_of(&c.from).map_err(|_| {
                let names: Vec<&str> = input.fields().iter().map(|f| f.name().as_str()).collect();
                self.wrong(format!("the item has no column {}", c.from))
                    .with_hint(format!("there are: {}", names.join(", ")))
            })
        };
        columns.into_iter().map(place).collect()
    }

    pub(crate) fn wrong(&self, what: impl Into<String>) -> Fault {
        Fault::config(what).at(format_args!("match with {}", self.table))
    }
}
