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
    /// A key's values as the type of their column, or placeholders of them.
    pub(crate) behind: Vec<String>,
    /// Whether the database finds `(a, b) > (x, y)` by an index; else the
    /// comparison is written out.
    pub(crate) compares_rows: bool,
    /// The number of rows, or its placeholder.
    pub(crate) limit: String,
    /// Which rows are items.
    pub(crate) conditions: Vec<String>,
}

impl Statement {
    /// The statement for the page behind a key, or for the first page.
    pub(crate) fn sql(&self, is_behind: bool) -> String {
        let mut conditions = self.conditions.clone();
        if is_behind {
            conditions.push(match self.compares_rows {
                true => format!("{} > {}", row(&self.order), row(&self.behind)),
                false => written_out(&self.order, &self.behind),
            });
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

/// The same comparison column by column. What stands before the first `AND`
/// follows from the rest, and is what an index is looked for by.
fn written_out(order: &[String], behind: &[String]) -> String {
    match (order, behind) {
        ([a, order @ ..], [x, behind @ ..]) if !order.is_empty() => {
            let rest = written_out(order, behind);
            format!("{a} >= {x} AND ({a} > {x} OR ({a} = {x} AND {rest}))")
        }
        _ => format!("{} > {}", row(order), row(behind)),
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
            compares_rows: true,
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
    #[test]
    fn a_comparison_is_written_out() {
        let mut statement = Statement {
            table: "t".into(),
            select: texts(&["c"]),
            order: texts(&["a", "b", "c"]),
            behind: texts(&["1", "2", "3"]),
            compares_rows: false,
            limit: "9".into(),
            conditions: Vec::new(),
        };
        assert_eq!(
            statement.sql(true),
            "SELECT c FROM t WHERE (a >= 1 AND (a > 1 OR (a = 1 AND \
             b >= 2 AND (b > 2 OR (b = 2 AND c > 3))))\n) ORDER BY a, b, c LIMIT 9"
        );
        statement.order.truncate(1);
        statement.behind.truncate(1);
        assert_eq!(statement.sql(true), "SELECT c FROM t WHERE (a > 1\n) ORDER BY a LIMIT 9");
    }
}
