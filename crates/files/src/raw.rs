//! Records as dead letters keep them, as items again.
//!
//! A dead letter holds the text of its record alone. What the columns of a file
//! were is in the fingerprint of its run, so the file need not be there any more.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_json::ReaderBuilder;
use arrow_schema::SchemaRef;
use kiln_core::{DeadLetter, Fault, Fingerprint, RawReader, Result};
use serde_json::{Map, Value};

/// The part of a fingerprint that holds the names of the columns, …
pub(crate) const COLUMNS: &str = "columns";
/// … and the beginning of those that hold the names of a file that has them in
/// another order.
const COLUMNS_OF: &str = "columns of ";

/// The name of the part for a file of several.
pub(crate) fn columns_of(file: &str) -> String {
    format!("{COLUMNS_OF}{file}")
}

/// The columns of the files that a run has read, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileColumns {
    /// Those of most files.
    pub(crate) usual: Vec<String>,
    /// Those of files that have them in another order, by the file's name.
    pub(crate) others: BTreeMap<String, Vec<String>>,
}

impl FileColumns {
    /// Finds them in what the files looked like.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if it is no fingerprint of files.
    pub fn of(source: &Fingerprint) -> Result<Self> {
        let parse = |text: &String| {
            names(text).ok_or_else(|| Fault::bug(format!("{text:?} is no list of columns")))
        };
        let usual = source.0.get(COLUMNS).ok_or_else(|| {
            Fault::config("the ledger does not tell which columns the run's input had")
        })?;
        let mut columns = Self { usual: parse(usual)?, others: BTreeMap::new() };
        for (part, names) in &source.0 {
            if let Some(file) = part.strip_prefix(COLUMNS_OF) {
                columns.others.insert(file.to_owned(), parse(names)?);
            }
        }
        Ok(columns)
    }

    /// The parts of a fingerprint that hold them.
    pub fn parts(source: &Fingerprint) -> Fingerprint {
        let is_one = |part: &str| part == COLUMNS || part.starts_with(COLUMNS_OF);
        let parts = source.0.iter().filter(|(part, _)| is_one(part));
        Fingerprint(parts.map(|(part, names)| (part.clone(), names.clone())).collect())
    }
}

/// Names in one text: `id, name, "a, b"`.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let plain = |name: &str| !name.contains([',', '"']) && name.trim() == name && !name.is_empty();
    let shown = |name: &'a str| match plain(name) {
        true => name.to_owned(),
        false => Value::from(name).to_string(),
    };
    names.into_iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// The names of such a text; none if it is no such text.
fn names(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let len = if rest.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
            names.push(values.next()?.ok()?);
            values.byte_offset()
        } else {
            let len = rest.find(", ").unwrap_or(rest.len());
            names.push(rest[..len].to_owned());
            len
        };
        rest = &rest[len..];
        rest = if rest.is_empty() { rest } else { rest.strip_prefix(", ")? };
    }
    Some(names)
}

/// Records of sources that have columns of their own, and no text: Parquet, tables.
/// A dead letter holds such a row as [`cells_as_json`](kiln_core::cells_as_json)
/// writes it.
pub struct RawRows {
    schema: SchemaRef,
}

impl RawRows {
    /// Rows with the columns of the source that they were read from.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }

    fn has_all(&self, row: &Map<String, Value>) -> bool {
        let fields = self.schema.fields();
        row.len() == fields.len() && fields.iter().all(|field| row.contains_key(field.name()))
    }
}

impl RawReader for RawRows {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn read(&mut self, letter: &DeadLetter) -> Result<RecordBatch> {
        let raw = &letter.origin.raw;
        let row: Map<String, Value> = serde_json::from_str(raw)
            .map_err(|e| Fault::item(format!("no JSON: {e}")).with_code("json"))?;
        if !self.has_all(&row) {
            let fault = Fault::item("its columns are not those that the source has now");
            return Err(fault.with_code("columns"));
        }
        let misfit = |e: arrow_schema::ArrowError| Fault::item(e.to_string()).with_code("cast");
        let mut decoder = ReaderBuilder::new(self.schema()).build_decoder().map_err(misfit)?;
        decoder.decode(raw.as_bytes()).map_err(misfit)?;
        let batch = decoder.flush().map_err(misfit)?;
        batch.filter(|batch| batch.num_rows() == 1).ok_or_else(|| Fault::item("it is no row"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::{
        Date32Type, Decimal128Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
        TimestampNanosecondType, UInt64Type,
    };
    use arrow_array::{
        ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, PrimitiveArray,
        StringArray,
    };
    use kiln_core::{Failure, Origin, Stage, cells_as_json};
    use proptest::prelude::*;

    use super::*;

    fn letter(raw: String) -> DeadLetter {
        let failure = Failure { ordinal: 1, stage: Stage::Write, fault: Fault::item("bad") };
        DeadLetter::new(&failure, Origin { raw, ..Origin::default() })
    }

    #[test]
    fn a_row_of_any_type_comes_back() {
        let times = vec![None, Some(-1), Some(1_767_323_045_000_001)];
        let decimals = vec![Some(-5), None, Some(10i128.pow(37))];
        let decimals = PrimitiveArray::<Decimal128Type>::from(decimals);
        let columns: [(&str, ArrayRef); 12] = [
            ("bool", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
            ("int", Arc::new(PrimitiveArray::<Int64Type>::from(vec![i64::MIN, 0, i64::MAX]))),
            ("big", Arc::new(PrimitiveArray::<UInt64Type>::from(vec![u64::MAX, 0, 1]))),
            ("float", Arc::new(Float64Array::from(vec![f64::NEG_INFINITY, 0.1, 1e-300]))),
            ("short", Arc::new(Float32Array::from(vec![0.1, f32::MAX, -0.0]))),
            ("decimal", Arc::new(decimals.with_precision_and_scale(38, 2).unwrap())),
            ("text", Arc::new(StringArray::from(vec![Some("é\"\\\n\0"), None, Some("")]))),
            ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\0\xff"[..]), None, Some(b"")]))),
            ("date", Arc::new(PrimitiveArray::<Date32Type>::from(vec![-1, 0, 20_000]))),
            (
                "time",
                Arc::new(PrimitiveArray::<Time64MicrosecondType>::from(vec![0, 1, 86_399_999_999])),
            ),
            ("at", Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from(times.clone()))),
            ("utc", {
                let times = times.into_iter().map(|t: Option<i64>| t.map(|t| t * 1_000));
                let times: PrimitiveArray<TimestampNanosecondType> = times.collect();
                Arc::new(times.with_timezone("+00:00"))
            }),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let mut rows = RawRows::new(batch.schema());
        for row in 0..batch.num_rows() {
            let raw = cells_as_json(&batch, row).unwrap();
            let again = rows.read(&letter(raw.clone())).unwrap_or_else(|e| panic!("{raw}: {e}"));
            assert_eq!(again, batch.slice(row, 1), "{raw}");
        }
        for raw in ["", "{}", "[1]", "{\"bool\":true}"] {
            let fault = rows.read(&letter(raw.to_owned())).unwrap_err();
            assert_eq!(fault.kind(), kiln_core::Kind::Item, "{raw}: {fault}");
        }
    }

    #[test]
    fn names_are_listed_as_people_do() {
        assert_eq!(listed(["id", "unit price"]), "id, unit price");
        assert_eq!(listed(["a,b", "", " c", "\"d\""]), r#""a,b", "", " c", "\"d\"""#);
        assert_eq!(names("a b"), Some(vec!["a b".to_owned()]));
        assert_eq!(names(r#""a"b"#), None);
    }

    proptest! {
        #[test]
        fn any_names_come_back(all in prop::collection::vec(any::<String>(), 0..5)) {
            let text = listed(all.iter().map(String::as_str));
            prop_assert_eq!(names(&text), Some(all));
        }
    }
}
