//! Names of tables and columns as SQL: always quoted, never trusted.

use kiln_core::{Fault, Result, TableName};

/// A name in double quotes, whatever it holds.
///
/// # Errors
/// A [`Kind::Config`](kiln_core::Kind::Config) for an empty name and for one
/// with NUL, at which a database would stop reading.
pub(crate) fn quoted(name: &str) -> Result<String> {
    if name.is_empty() || name.contains('\0') {
        let why = if name.is_empty() { "is empty" } else { "holds a NUL character" };
        return Err(Fault::config(format!("the name {name:?} of a table or column {why}")));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// A table, with its schema where it is given.
pub(crate) fn quoted_table(table: &TableName) -> Result<String> {
    let name = quoted(&table.name)?;
    match &table.schema {
        Some(schema) => Ok(format!("{}.{name}", quoted(schema)?)),
        None => Ok(name),
    }
}

/// Names in quotes, separated by commas.
pub(crate) fn quoted_list<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<String> {
    Ok(names.into_iter().map(quoted).collect::<Result<Vec<_>>>()?.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_leave_its_quotes() {
        assert_eq!(quoted(r#"a"; DROP TABLE x;--"#).unwrap(), r#""a""; DROP TABLE x;--""#);
        let table = TableName { schema: Some("s.t".into()), name: "u".into() };
        assert_eq!(quoted_table(&table).unwrap(), r#""s.t"."u""#);
        assert_eq!(quoted_list(["a", "b c"]).unwrap(), r#""a", "b c""#);
        assert!(quoted("a\0b").is_err());
        assert!(quoted("").is_err());
    }
}
