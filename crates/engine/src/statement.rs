//! A statement of SQL, and what stands for values in it.

use std::ops::Range;

use kiln_core::{Fault, Result};

/// What stands for the last key before a stretch of a table.
const FROM: &str = "from";

/// What stands for the last key of the stretch.
const TO: &str = "to";

/// One statement of the target's own SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    sql: String,
    /// Where `:name` stands, colon included.
    names: Vec<Range<usize>>,
}

impl Statement {
    /// Reads it. `:name` is a name, unless it stands in a text, in quotes or in a
    /// comment, or behind another colon (`::date`).
    pub fn new(sql: impl Into<String>) -> Self {
        let sql = sql.into();
        let names = names(&sql);
        Self { sql, names }
    }

    /// It as it is written.
    pub fn as_str(&self) -> &str {
        &self.sql
    }

    /// The names in it, without their colons, as often as they stand there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|place| &self.sql[place.start + 1..place.end])
    }

    /// Looks whether it says which keys it is for.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if it lacks `:from` or `:to`, or has
    /// other names.
    pub(crate) fn bounds_itself(&self) -> Result<()> {
        let lacking = [FROM, TO].into_iter().find(|name| self.names().all(|n| n != *name));
        let fault = match (lacking, self.names().find(|name| ![FROM, TO].contains(name))) {
            (_, Some(unknown)) => format!("there is no value for :{unknown} in the statement"),
            (Some(lacking), None) => format!("the statement does not say :{lacking}"),
            (None, None) => return Ok(()),
        };
        Err(Fault::config(fault).with_hint("bound it by its key: WHERE id > :from AND id <= :to"))
    }

    /// It for the keys behind `from`, up to `to`: whole numbers in place of `:from`
    /// and `:to`.
    pub fn between(&self, from: i64, to: i64) -> String {
        let mut sql = String::with_capacity(self.sql.len() + 32);
        let mut at = 0;
        for place in &self.names {
            let number = match &self.sql[place.start + 1..place.end] {
                FROM => from,
                TO => to,
                _ => continue,
            };
            sql.push_str(&self.sql[at..place.start]);
            // Behind a minus a negative number would begin a comment.
            sql.push_str(&format!("({number})"));
            at = place.end;
        }
        sql + &self.sql[at..]
    }
}

/// Where names stand.
fn names(sql: &str) -> Vec<Range<usize>> {
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(c) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let length = passage(rest).unwrap_or_else(|| c.len_utf8());
        if c == ':' {
            let name = word(&rest[1..]);
            if name > 0 {
                names.push(at..at + 1 + name);
                at += name;
            } else if rest[1..].starts_with(':') {
                at += 1 + word(&rest[2..]);
            }
        }
        at += length;
    }
    names
}

/// How long the text, the name in quotes or the comment is that begins here.
fn passage(sql: &str) -> Option<usize> {
    let up_to = |begin: usize, end: &str| {
        Some(sql[begin..].find(end).map_or(sql.len(), |n| begin + n + end.len()))
    };
    let first = sql.chars().next()?;
    match first {
        '\'' | '"' | '`' => up_to(1, first.encode_utf8(&mut [0; 4])),
        '-' if sql.starts_with("--") => up_to(2, "\n"),
        '/' if sql.starts_with("/*") => up_to(2, "*/"),
        '$' => {
            let tag = 1 + word(&sql[1..]);
            sql[tag..].starts_with('$').then(|| up_to(tag + 1, &sql[..=tag]))?
        }
        _ => None,
    }
}

/// How long the word is that begins here.
fn word(sql: &str) -> usize {
    sql.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(sql.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_what_looks_like_them() {
        let cases: [(&str, &[&str]); 9] = [
            ("DELETE FROM t WHERE id > :from AND id <= :to", &["from", "to"]),
            ("SELECT ':a', \":b\", `:c`, 'it''s :d' -- :e\n, :f", &["f"]),
            ("SELECT 1 /* :a */ + :b", &["b"]),
            ("SELECT '1'::int, x::text :from", &["from"]),
            ("SELECT $$ :a $$, $t$ :b $$ :c $t$, :d, $1", &["d"]),
            ("SELECT a[1:2], ': :x", &["2"]),
            ("é:ü:", &["ü"]),
            ("SELECT 'open :a", &[]),
            ("", &[]),
        ];
        for (sql, expected) in cases {
            assert_eq!(Statement::new(sql).names().collect::<Vec<_>>(), expected, "{sql}");
        }
    }

    #[test]
    fn numbers_take_the_place_of_names() {
        let statement = Statement::new("UPDATE t SET n = ':to' WHERE id>:from AND id <= :to");
        let expected = "UPDATE t SET n = ':to' WHERE id>(-5) AND id <= (7)";
        assert_eq!(statement.between(-5, 7), expected);
        assert_eq!(Statement::new("SELECT 1").between(1, 2), "SELECT 1");
        assert_eq!(Statement::new("x-:to").between(0, -1), "x-(-1)");
    }
}
