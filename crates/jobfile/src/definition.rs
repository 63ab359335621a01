//! What a job looks like, so that a later start can tell what changed.

use kiln_core::Fingerprint;
use serde_json::Value;
use toml::de::{DeTable, DeValue};
use twox_hash::XxHash3_128;

use crate::kind::statement_of;
use crate::shapes::Columns;
use crate::spec::Spec;

/// The parts that make the job what it is. What it reads is told by the
/// source's own fingerprint.
const PARTS: [&str; 11] = [
    "when", "each", "map", "explode", "require", "match", "write", "sql", "exec", "chunk", "limits",
];

/// The parts as they are written, placeholders included: a value from the
/// environment may be a secret. Those of a step have its name and `: ` before
/// theirs.
pub(crate) fn as_written(table: &DeTable<'_>) -> Fingerprint {
    let mut all = add_parts(Fingerprint::default(), "", table);
    let steps = table.get("step").and_then(|steps| steps.get_ref().as_array());
    for step in steps.into_iter().flatten().filter_map(|step| step.get_ref().as_table()) {
        if let Some(name) = step.get("name").and_then(|name| name.get_ref().as_str()) {
            all = add_parts(all, &format!("{name}: "), step);
        }
    }
    all
}

fn add_parts(all: Fingerprint, prefix: &str, table: &DeTable<'_>) -> Fingerprint {
    let parts = PARTS.iter().filter_map(|name| Some((name, table.get(*name)?.get_ref())));
    parts.fold(all, |all, (name, part)| all.with(format!("{prefix}{name}"), json(part)))
}

/// With a hash of the SQL as it is run, which differs when a value from the
/// environment does.
pub(crate) fn filled_in(written: Fingerprint, spec: &Spec) -> Fingerprint {
    if !written.0.values().any(|part| part.contains("${")) {
        return written;
    }
    let mut sql = String::new();
    let mut add = |text: &str| {
        sql.push_str(text);
        sql.push('\0');
    };
    for step in &spec.steps {
        step.sql.iter().for_each(|sql| add(statement_of(sql).get_ref()));
        step.map.iter().for_each(|m| add(m.sql.get_ref()));
        step.require.iter().for_each(|r| add(r.rule.get_ref()));
        for write in &step.write {
            let columns = write.get_ref().columns.as_ref().map(|c| c.get_ref());
            if let Some(Columns::Table(columns)) = columns {
                columns.values().for_each(|expression| add(expression.get_ref()));
            }
        }
    }
    written.with("values in SQL", hash(&sql))
}

/// A short name for a text.
pub(crate) fn hash(text: &str) -> String {
    format!("{:032x}", XxHash3_128::oneshot(text.as_bytes()))
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(b) => (*b).into(),
        DeValue::Integer(n) => n.to_string().into(),
        DeValue::Float(x) => x.to_string().into(),
        DeValue::Datetime(t) => t.to_string().into(),
        DeValue::Array(values) => values.iter().map(|v| json(v.get_ref())).collect(),
        DeValue::Table(table) => {
            table.iter().map(|(k, v)| (k.get_ref().to_string(), json(v.get_ref()))).collect()
        }
    }
}
