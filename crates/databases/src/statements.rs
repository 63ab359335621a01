//! Statements that a step runs as they are written: what all databases have in
//! common.

use arrow_array::{Array as _, StringArray};
use kiln_core::{Fault, Kind, Result, Rows};

/// The statements of a unit.
///
/// # Errors
/// [`Kind::Bug`] if the rows are none.
pub(crate) fn texts(rows: &Rows) -> Result<impl Iterator<Item = &str>> {
    let column = rows.batch.columns().first().and_then(|c| c.as_any().downcast_ref());
    let texts: &StringArray = column.ok_or_else(|| Fault::bug("a unit without statements"))?;
    Ok(texts.iter().flatten())
}

/// What a statement met, as the fault of the job: there is no item to blame.
pub(crate) fn no_item(fault: Fault) -> Fault {
    if fault.kind() != Kind::Item {
        return fault;
    }
    let mut blamed = Fault::config(format!("the statement failed: {}", fault.message()))
        .with_hint("nothing of it is done; mend the statement or the data, and run again");
    if let Some(code) = fault.code() {
        blamed = blamed.with_code(code);
    }
    match fault.constraint() {
        Some(constraint) => blamed.with_constraint(constraint),
        None => blamed,
    }
}

/// Which statements may run in a transaction with others.
pub(crate) enum Words {
    /// Those that begin with one of these.
    Only(&'static [&'static str]),
    /// All but those that begin with one of these.
    AllBut(&'static [&'static str]),
}

impl Words {
    /// Looks at the word that a statement begins with.
    ///
    /// # Errors
    /// [`Kind::Config`] if such a statement can't be taken back with its
    /// transaction, or would end it.
    pub(crate) fn check(&self, sql: &str) -> Result<()> {
        let word = first_word(sql).to_ascii_uppercase();
        let (is_fine, known) = match self {
            Self::Only(words) => (words.contains(&word.as_str()), Some(words)),
            Self::AllBut(words) => (!words.contains(&word.as_str()), None),
        };
        if is_fine && !word.is_empty() {
            return Ok(());
        }
        let fault = Fault::config(match word.as_str() {
            "" => "the statement is empty".to_owned(),
            word => format!(
                "a statement that begins with {word} can't be done in one transaction with the \
                 mark of the step"
            ),
        });
        Err(match known {
            Some(words) => fault.with_hint(format!("it may begin with {}", words.join(", "))),
            None => fault.with_hint("leave it out; kiln begins and ends the transaction itself"),
        })
    }
}

/// The first word, behind blanks, brackets and comments.
fn first_word(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(' || c == ';');
        let end = if rest.starts_with("--") || rest.starts_with('#') {
            rest.find('\n')
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|end| end + 2)
        } else {
            let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
            return &rest[..end];
        };
        rest = &rest[end.unwrap_or(rest.len())..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_counts() {
        let cases = [
            ("delete FROM t", "delete"),
            (" \n-- COMMIT\n/* BEGIN */ (WITH x AS (SELECT 1) SELECT 1)", "WITH"),
            ("# x\nUPDATE t", "UPDATE"),
            ("-- only this", ""),
            ("", ""),
        ];
        for (sql, word) in cases {
            assert_eq!(first_word(sql), word, "{sql}");
        }
        let only = Words::Only(&["DELETE"]);
        assert!(only.check("Delete from t").is_ok());
        assert!(only.check("TRUNCATE t").is_err());
        let but = Words::AllBut(&["COMMIT"]);
        assert!(but.check("TRUNCATE t").is_ok());
        assert!(but.check("; commit").is_err() && but.check(" ").is_err());
    }
}
