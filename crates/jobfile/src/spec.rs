//! The job file as it is written, and the job that it means.
//!
//! What kiln does not do yet is read here as well, so that it can be refused by
//! its name instead of being taken for a slip.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use crate::shapes::{Amount, Columns, HeaderSpec, ListOr, Setting, TextOr, Texts, Word};

/// What will be there one day.
pub(crate) type Later = Option<Spanned<IgnoredAny>>;

/// A job: what all its steps share, and its steps in the order in which they
/// run. There is at least one.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: Word,
    pub(crate) target: TargetSpec,
    pub(crate) steps: Vec<StepSpec>,
    /// How many of them run side by side.
    pub(crate) at_once: Option<Spanned<Amount>>,
}

/// A whole job file: either it has steps, or it is one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSpec {
    pub(crate) name: Word,
    pub(crate) source: Option<SourceSpec>,
    pub(crate) map: Option<MapSpec>,
    #[serde(default)]
    pub(crate) explode: Vec<ExplodeSpec>,
    #[serde(default)]
    pub(crate) require: Vec<RequireSpec>,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<MatchSpec>,
    pub(crate) target: TargetSpec,
    #[serde(default)]
    pub(crate) write: Vec<Spanned<WriteSpec>>,
    #[serde(default)]
    pub(crate) chunk: ChunkSpec,
    #[serde(default)]
    pub(crate) limits: LimitsSpec,
    #[serde(default)]
    pub(crate) step: Vec<StepSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepSpec {
    pub(crate) name: Word,
    #[serde(default)]
    pub(crate) needs: Vec<Word>,
    pub(crate) when: Option<Word>,
    pub(crate) each: Option<Spanned<EachSpec>>,
    pub(crate) source: Option<SourceSpec>,
    pub(crate) sql: Option<Spanned<TextOr<SqlSpec>>>,
    pub(crate) exec: Option<Spanned<ExecSpec>>,
    pub(crate) map: Option<MapSpec>,
    #[serde(default)]
    pub(crate) explode: Vec<ExplodeSpec>,
    #[serde(default)]
    pub(crate) require: Vec<RequireSpec>,
    #[serde(default, rename = "match")]
    pub(crate) matches: Vec<MatchSpec>,
    #[serde(default)]
    pub(crate) write: Vec<Spanned<WriteSpec>>,
    #[serde(default)]
    pub(crate) chunk: ChunkSpec,
    #[serde(default)]
    pub(crate) limits: LimitsSpec,
}

/// What a step is there for, once for each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EachSpec {
    pub(crate) file: Option<Spanned<Texts>>,
    pub(crate) values: Option<Spanned<Vec<Word>>>,
    pub(crate) table: Option<Word>,
    pub(crate) url: Option<Word>,
    pub(crate) key: Option<Word>,
    pub(crate) size: Option<Spanned<Amount>>,
}

/// A statement, run by the keys of a table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlSpec {
    pub(crate) statement: Word,
    pub(crate) table: Option<Word>,
    pub(crate) key: Option<Word>,
    pub(crate) size: Option<Spanned<Amount>>,
}

/// A command.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExecSpec {
    pub(crate) command: Spanned<Vec<Word>>,
    pub(crate) time_limit: Option<Word>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, Word>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceSpec {
    pub(crate) dead_letters: Option<Spanned<TextOr<LettersSpec>>>,
    pub(crate) file: Option<Spanned<Texts>>,
    pub(crate) ready: Option<Spanned<TextOr<ReadySpec>>>,
    pub(crate) query: Option<Word>,
    pub(crate) tables: Option<Spanned<BTreeMap<Word, SourceSpec>>>,
    pub(crate) memory: Option<Spanned<Amount>>,
    pub(crate) work: Option<Word>,
    pub(crate) table: Option<Word>,
    pub(crate) url: Option<Word>,
    #[serde(rename = "where")]
    pub(crate) filter: Option<Word>,
    pub(crate) key: Option<Spanned<Vec<Word>>>,
    pub(crate) snapshot: Option<Spanned<bool>>,
    pub(crate) watermark: Option<Word>,
    pub(crate) lag: Option<Word>,
    pub(crate) ranges: Option<Spanned<Amount>>,
    pub(crate) format: Option<Word>,
    pub(crate) compression: Option<Word>,
    pub(crate) encoding: Option<Word>,
    pub(crate) delimiter: Option<Word>,
    pub(crate) quote: Option<Word>,
    pub(crate) escape: Option<Word>,
    pub(crate) header: Option<HeaderSpec>,
    #[serde(default)]
    pub(crate) null: Vec<String>,
    #[serde(default)]
    pub(crate) trim: bool,
    pub(crate) ragged: Option<Word>,
    pub(crate) max_record_bytes: Option<Spanned<i64>>,
    pub(crate) columns: Option<Spanned<ListOr<ColumnTypes>>>,
}

/// Types of columns by their names.
pub(crate) type ColumnTypes = BTreeMap<Word, Spanned<TextOr<ColumnSpec>>>;

impl SourceSpec {
    /// The types of a file's columns.
    pub(crate) fn types(&self) -> Option<&ColumnTypes> {
        match self.columns.as_ref()?.get_ref() {
            ListOr::Table(types) => Some(types),
            ListOr::List(_) => None,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnSpec {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) format: Option<String>,
    #[serde(default)]
    pub(crate) null: Vec<String>,
    pub(crate) path: Option<Texts>,
    pub(crate) missing: Option<Word>,
    pub(crate) at: Option<Spanned<i64>>,
    pub(crate) width: Option<Spanned<i64>>,
}

/// Dead letters that are read again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LettersSpec {
    pub(crate) job: Option<Word>,
    pub(crate) run: Option<Word>,
    pub(crate) step: Option<Word>,
    pub(crate) stage: Option<Word>,
    pub(crate) code: Option<Word>,
}

/// When files are all there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadySpec {
    pub(crate) marker: Option<String>,
    pub(crate) ending: Option<String>,
    pub(crate) age: Option<Word>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MapSpec {
    pub(crate) sql: Word,
}

/// Rows made of the elements of a JSON array.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplodeSpec {
    pub(crate) column: Word,
    #[serde(rename = "as")]
    pub(crate) stream: Option<Word>,
    pub(crate) from: Option<Word>,
    pub(crate) number: Option<Word>,
    pub(crate) columns: Spanned<ColumnTypes>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequireSpec {
    pub(crate) rule: Word,
    pub(crate) name: Option<Word>,
    #[serde(default)]
    pub(crate) message: String,
    pub(crate) severity: Option<Word>,
    pub(crate) from: Option<Word>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatchSpec {
    #[serde(rename = "as")]
    pub(crate) column: Word,
    pub(crate) table: Word,
    pub(crate) key: String,
    pub(crate) from: Option<Word>,
    pub(crate) on: Option<Spanned<BTreeMap<String, Word>>>,
    pub(crate) folded: Option<bool>,
    pub(crate) fuzzy: Option<Spanned<FuzzySpec>>,
    pub(crate) create: Option<Spanned<BTreeMap<String, Word>>>,
    pub(crate) otherwise: Option<Word>,
    pub(crate) remember: Option<Spanned<RememberSpec>>,
    pub(crate) memory: Option<Spanned<Amount>>,
}

/// What is compared, and the bounds, by their names.
pub(crate) type FuzzySpec = BTreeMap<Word, Spanned<Setting<FuzzyColumnSpec>>>;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FuzzyColumnSpec {
    pub(crate) from: Word,
    pub(crate) weight: Option<Spanned<f64>>,
    #[serde(rename = "as")]
    pub(crate) kind: Option<Word>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RememberSpec {
    pub(crate) table: Word,
    pub(crate) text: Word,
    pub(crate) key: Word,
    pub(crate) from: Option<Word>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetSpec {
    pub(crate) url: Option<Word>,
    pub(crate) file: Option<Word>,
    pub(crate) setup: Option<Spanned<TextOr<BTreeMap<String, Word>>>>,
    pub(crate) format: Option<Word>,
    pub(crate) compression: Option<Word>,
    pub(crate) delimiter: Option<Word>,
    pub(crate) header: Option<Spanned<bool>>,
    pub(crate) null: Option<Word>,
    pub(crate) required: Option<Spanned<Vec<Word>>>,
    pub(crate) existing: Option<Word>,
    pub(crate) ledger: Option<Word>,
}

impl TargetSpec {
    /// Where it says what it is.
    pub(crate) fn span(&self) -> Range<usize> {
        self.url.as_ref().or(self.file.as_ref()).map(Spanned::span).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteSpec {
    pub(crate) table: Word,
    pub(crate) from: Option<Word>,
    pub(crate) mode: Option<Word>,
    pub(crate) columns: Option<Spanned<Columns>>,
    pub(crate) key: Option<Spanned<Vec<Word>>>,
    pub(crate) add: Option<Spanned<Vec<Word>>>,
    pub(crate) on_duplicate: Option<Word>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChunkSpec {
    pub(crate) items: Option<Spanned<Amount>>,
    pub(crate) bytes: Option<Spanned<i64>>,
    pub(crate) seconds: Option<Spanned<f64>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsSpec {
    pub(crate) failed: Option<Spanned<Amount>>,
    pub(crate) after: Option<Spanned<i64>>,
    pub(crate) lanes: Option<Spanned<Amount>>,
    pub(crate) steps: Option<Spanned<Amount>>,
    pub(crate) retries: Option<Spanned<i64>>,
    pub(crate) rate: Later,
}
