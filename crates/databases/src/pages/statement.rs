//! The statement that reads a page.

/// What a page is read by, in the database's own SQL.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// The table, with its schema.
    pub(crate) table: String,
    /// What is selected: the columns, then the key.
    pub(crate) select: Vec<String>,
    /// What rows are ordered by, each with the table's name before it: a bare
    /// name would mean what is selected under it.
    pub(crate) order: Vec<String>,
    /// The placeholders of a key's values, as the type of their column.
    pub(crate) behind: Vec<String>,
    /// The placeholder of the number of rows.
    pub(crate) limit: String,
    /// Which rows are items.
    pub(crate) conditions: Vec<String>,
}

impl Statement {
    /// The statement for the page behind a key, or for the first page.
    pub(crate) fn sql(&self, is_behind: bool) -> String {
        let mut conditions = self.conditions.clone();
        if is_behind {
            conditions.push(format!("{} > {}", row(&self.order), row(&self.behind)));
        }
        // A comment at the end of a condition ends with its line.
        let conditions: Vec<String> = conditions.iter().map(|c| format!("({c}\n)")).collect();
        let conditions = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        };
        format!(
            "SELECT {} FROM {}{conditions} ORDER BY {} LIMIT {}",
            self.select.join(", "),
            self.table,
            self.order.join(", "),
            self.limit
        )
    }
}

/// Values as one that is compared from left to right.
fn row(values: &[String]) -> String {
    match values {
        [one] => one.clone(),
        several => format!("({})", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).to_owned()).collect()
    }

    #[test]
    fn a_page_is_what_stands_behind_a_key() {
        let mut statement = Statement {
            table: "s.t".into(),
            select: texts(&["t.c", "t.a"]),
            order: texts(&["t.a", "t.b"]),
            behind: texts(&["?1", "?2"]),
            limit: "?3".into(),
            conditions: texts(&["c > 1 -- open"]),
        };
        assert_eq!(
            statement.sql(true),
            "SELECT t.c, t.a FROM s.t WHERE (c > 1 -- open\n) AND ((t.a, t.b) > (?1, ?2)\n) \
             ORDER BY t.a, t.b LIMIT ?3"
        );
        statement.conditions.clear();
        statement.order.pop();
        statement.behind.pop();
        assert_eq!(statement.sql(false), "SELECT t.c, t.a FROM s.t ORDER BY t.a LIMIT ?3");
        assert!(statement.sql(true).contains("(t.a > ?1\n)"));
    }
}
