//! The statement that reads a page.

use kiln_core::Result;

use super::place::{Key, KeyValue};
use super::window::Window;

/// What a page is read by, in the database's own SQL.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// The table, with its schema.
    pub(crate) table: String,
    /// The columns that are read.
    pub(crate) columns: Vec<String>,
    /// The key, as it is read behind them.
    pub(crate) keys: Vec<String>,
    /// What rows are ordered by, each with the table's name before it: a bare
    /// name would mean what is selected under it.
    pub(crate) order: Vec<String>,
    /// Whether the database finds `(a, b) > (x, y)` by an index; else the
    /// comparison is written out.
    pub(crate) compares_rows: bool,
    /// Which rows are items.
    pub(crate) conditions: Vec<String>,
}

impl Statement {
    /// The same, of the keys alone.
    pub(crate) fn of_keys(&self) -> Self {
        Self { columns: Vec::new(), ..self.clone() }
    }

    /// The statement for a window. `value` writes a value of the key's n-th
    /// column as the type of that column, or a placeholder of it; it is asked
    /// for them in the order in which they stand in the statement.
    pub(crate) fn sql(
        &self,
        window: &Window,
        mut value: impl FnMut(usize, &KeyValue) -> Result<String>,
    ) -> Result<String> {
        let mut values = |key: &Option<Key>| -> Result<Option<Vec<String>>> {
            let Some(key) = key else { return Ok(None) };
            key.iter().enumerate().map(|(i, v)| value(i, v)).collect::<Result<_>>().map(Some)
        };
        let (behind, upto) = (values(&window.behind)?, values(&window.upto)?);
        Ok(self.text(behind.as_deref(), upto.as_deref(), window))
    }

    /// A statement that only says whether such statements can be: for one row
    /// behind a key of these placeholders.
    pub(crate) fn probe(&self, behind: &[String]) -> String {
        self.text(Some(behind), None, &Window { most: 1, ..Window::default() })
    }

    fn text(&self, behind: Option<&[String]>, upto: Option<&[String]>, window: &Window) -> String {
        let mut conditions = self.conditions.clone();
        conditions.extend(behind.map(|key| self.compared(">", key)));
        conditions.extend(upto.map(|key| self.compared("<=", key)));
        // A comment at the end of a condition ends with its line.
        let conditions: Vec<String> = conditions.iter().map(|c| format!("({c}\n)")).collect();
        let conditions = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let columns: Vec<&str> =
            self.columns.iter().chain(&self.keys).map(String::as_str).collect();
        let order = match window.is_backwards {
            true => self.order.iter().map(|part| format!("{part} DESC")).collect(),
            false => self.order.clone(),
        };
        let skipped = match window.skip {
            0 => String::new(),
            skip => format!(" OFFSET {skip}"),
        };
        format!(
            "SELECT {} FROM {}{conditions} ORDER BY {} LIMIT {}{skipped}",
            columns.join(", "),
            self.table,
            order.join(", "),
            window.most
        )
    }

    fn compared(&self, how: &str, key: &[String]) -> String {
        match self.compares_rows {
            true => format!("{} {how} {}", row(&self.order), row(key)),
            false => written_out(&self.order, how, key),
        }
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
fn written_out(order: &[String], how: &str, key: &[String]) -> String {
    match (order, key) {
        ([a, order @ ..], [x, key @ ..]) if !order.is_empty() => {
            let beyond = how.trim_end_matches('=');
            let rest = written_out(order, how, key);
            format!("{a} {beyond}= {x} AND ({a} {beyond} {x} OR ({a} = {x} AND {rest}))")
        }
        _ => format!("{} {how} {}", row(order), row(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).to_owned()).collect()
    }

    fn key(values: &[i64]) -> Option<Key> {
        Some(values.iter().map(|v| KeyValue::Int(*v)).collect())
    }

    fn sql(statement: &Statement, window: &Window) -> String {
        let mut n = 0;
        let value = |column, _: &KeyValue| {
            n += 1;
            Ok(format!("?{n}:{column}"))
        };
        statement.sql(window, value).unwrap()
    }

    #[test]
    fn a_page_is_what_stands_behind_a_key() {
        let mut statement = Statement {
            table: "s.t".into(),
            columns: texts(&["t.c"]),
            keys: texts(&["t.a", "t.b"]),
            order: texts(&["t.a", "t.b"]),
            compares_rows: true,
            conditions: texts(&["c > 1 -- open"]),
        };
        assert_eq!(
            sql(&statement, &Window::behind(key(&[1, 2]), 9)),
            "SELECT t.c, t.a, t.b FROM s.t WHERE (c > 1 -- open\n) AND \
             ((t.a, t.b) > (?1:0, ?2:1)\n) ORDER BY t.a, t.b LIMIT 9"
        );
        statement.conditions.clear();
        statement.order.pop();
        let first = sql(&statement.of_keys(), &Window::behind(None, 9));
        assert_eq!(first, "SELECT t.a, t.b FROM s.t ORDER BY t.a LIMIT 9");
        assert!(statement.probe(&texts(&["?"])).contains("(t.a > ?\n)"));
    }

    #[test]
    fn a_window_has_two_ends() {
        let statement = Statement {
            table: "t".into(),
            columns: Vec::new(),
            keys: texts(&["a", "b"]),
            order: texts(&["a", "b"]),
            compares_rows: true,
            conditions: Vec::new(),
        };
        let window = Window { upto: key(&[3, 4]), skip: 7, ..Window::behind(key(&[1, 2]), 1) };
        assert_eq!(
            sql(&statement, &window),
            "SELECT a, b FROM t WHERE ((a, b) > (?1:0, ?2:1)\n) AND ((a, b) <= (?3:0, ?4:1)\n) \
             ORDER BY a, b LIMIT 1 OFFSET 7"
        );
        let last = Window { is_backwards: true, most: 1, ..Window::default() };
        assert_eq!(sql(&statement, &last), "SELECT a, b FROM t ORDER BY a DESC, b DESC LIMIT 1");
    }

    #[test]
    fn a_comparison_is_written_out() {
        let mut statement = Statement {
            table: "t".into(),
            columns: Vec::new(),
            keys: texts(&["c"]),
            order: texts(&["a", "b", "c"]),
            compares_rows: false,
            conditions: Vec::new(),
        };
        assert_eq!(
            statement.probe(&texts(&["1", "2", "3"])),
            "SELECT c FROM t WHERE (a >= 1 AND (a > 1 OR (a = 1 AND \
             b >= 2 AND (b > 2 OR (b = 2 AND c > 3))))\n) ORDER BY a, b, c LIMIT 1"
        );
        statement.order.remove(0);
        let window = Window { upto: key(&[1, 2]), ..Window::behind(None, 9) };
        assert_eq!(
            sql(&statement, &window),
            "SELECT c FROM t WHERE (b <= ?1:0 AND (b < ?1:0 OR (b = ?1:0 AND c <= ?2:1))\n) \
             ORDER BY b, c LIMIT 9"
        );
    }
}
