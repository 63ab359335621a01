//! What is said of items that find no row.

use kiln_core::Fault;

use crate::asked::Item;
use crate::index::Near;
use crate::known::{Known, shown};
use crate::spec::MatchSpec;

/// How many rows are named that may be meant.
const NAMED: usize = 5;
/// How much less alike than a match a row may be, to be named as the likest.
const FAR: f64 = 0.5;

/// Faults of a look-up.
pub(crate) struct Faults<'a> {
    pub(crate) spec: &'a MatchSpec,
    pub(crate) known: &'a Known,
}

impl Faults<'_> {
    pub(crate) fn no_key(&self, null: usize) -> Fault {
        let from = &self.spec.on[null].from;
        Fault::item(format!("no row of {} can be looked up: {from} is NULL", self.spec.table))
            .with_code("no_key")
            .with_column(from)
    }

    pub(crate) fn no_match(&self, item: &Item) -> Fault {
        let MatchSpec { table, on, .. } = self.spec;
        let value = |(name, value): (&str, &Option<String>)| {
            value.as_ref().map(|value| format!("{name} = '{value}'"))
        };
        let equal = on.iter().map(|c| c.column.as_str()).zip(&item.on);
        let like = self.spec.compared().iter().map(|c| c.column.column.as_str());
        let equal: Vec<String> = equal.filter_map(value).collect();
        let like: Vec<String> = like.zip(&item.compared).filter_map(value).collect();
        let mut message = format!("{table} has no row");
        if !equal.is_empty() {
            message += &format!(" with {}", equal.join(", "));
        }
        if !like.is_empty() {
            let or = if equal.is_empty() { "" } else { " and none" };
            message += &format!("{or} like {}", like.join(", "));
        }
        if let Some(fuzzy) = &self.spec.fuzzy {
            let near = self.known.near(item.values(), fuzzy.at_least * FAR);
            if let Some(first) = near.first() {
                message += &format!("; the likest is {}", self.row(first));
            }
        }
        let fault = Fault::item(message).with_code("no_match");
        match on.as_slice() {
            [on] => fault.with_column(&on.from),
            _ => fault,
        }
    }

    pub(crate) fn ambiguous(&self, item: &Item, near: &[Near]) -> Fault {
        let named: Vec<String> = near.iter().take(NAMED).map(|near| self.row(near)).collect();
        let others = match near.len() - named.len() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        Fault::item(format!(
            "'{}' may be {} rows of {}: {}{others}",
            shown(item.values()),
            near.len(),
            self.spec.table,
            named.join(", "),
        ))
        .with_code("ambiguous")
    }

    /// A row with its key, what is in it and its score.
    fn row(&self, near: &Near) -> String {
        let key = match self.known.key(near.row) {
            Some(key) => key.cell().to_string(),
            None => "(new)".to_owned(),
        };
        format!("{key} '{}' ({:.2})", self.known.shown(near.row), near.score)
    }
}
