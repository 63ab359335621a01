//! Raw JSON values to typed columns.

use std::borrow::Cow;

use kiln_core::Result;

use super::options::{JsonColumn, Missing};
use super::tree::Place;
use crate::ColumnType;
use crate::builder::{Builder, Misfit};

/// A column while it is read.
#[derive(Debug)]
pub(super) struct JsonValues {
    pub(super) builder: Builder,
    missing: Missing,
    nulls: Vec<String>,
}

impl JsonValues {
    pub(super) fn new(column: &JsonColumn, nulls: &[String]) -> Result<Self> {
        let nulls = [nulls, &column.column.nulls].concat();
        Ok(Self { builder: Builder::new(&column.column)?, missing: column.missing, nulls })
    }

    /// Adds the value that lies at `place` in its record.
    ///
    /// # Errors
    /// [`Kind::Item`](kiln_core::Kind::Item) with the code `missing`, `cast`,
    /// `json` or `nul`. Nothing is added then.
    pub(super) fn push(&mut self, record: &str, place: &Place) -> Result<()> {
        let raw = place.as_ref().and_then(|place| record.get(place.clone()));
        if self.missing == Missing::Tell {
            return self.builder.push_bool(raw.is_some());
        }
        match raw {
            None if self.missing == Missing::Reject => {
                Err(self.builder.refuse("missing", "it is not in the record"))
            }
            None | Some("null") => {
                self.builder.push_null();
                Ok(())
            }
            Some("true") => self.builder.push_bool(true),
            Some("false") => self.builder.push_bool(false),
            Some(raw) => match raw.as_bytes().first() {
                Some(b'"') => self.push_text(raw),
                Some(b'{' | b'[') => self.push_nested(raw),
                _ => self.builder.push_number(raw),
            },
        }
    }

    fn push_text(&mut self, raw: &str) -> Result<()> {
        let text = plain(raw).map_err(|e| self.builder.refuse("json", e))?;
        if text.contains('\0') {
            return Err(self.builder.refuse("nul", "a NUL character is in its text"));
        }
        if self.nulls.iter().any(|n| *n == text) {
            self.builder.push_null();
            return Ok(());
        }
        self.builder.push(&text)
    }

    /// An object or an array is text, as it is written.
    fn push_nested(&mut self, raw: &str) -> Result<()> {
        if self.builder.kind() == ColumnType::Text {
            return self.builder.push(raw);
        }
        Err(self.builder.misfit(raw, Misfit::Text))
    }
}

/// The text that a JSON string means.
fn plain(raw: &str) -> std::result::Result<Cow<'_, str>, serde_json::Error> {
    match raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')) {
        Some(text) if memchr::memchr(b'\\', text.as_bytes()).is_none() => Ok(Cow::Borrowed(text)),
        _ => serde_json::from_str(raw).map(Cow::Owned),
    }
}
