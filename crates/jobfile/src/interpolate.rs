//! Parameters into the texts of a job file.

use std::collections::BTreeSet;
use std::ops::Range;

use kiln_core::Fault;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::each::{Each, Fans};
use crate::literal::Sql;
use crate::parameters::{Parameters, Piece, pieces};
use crate::problem::{Problem, Text};

/// The key of what a step is for.
const EACH: &str = "each";

/// Texts that begin with a value from outside of the job file, by where they
/// stand in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outside(BTreeSet<usize>);

impl Outside {
    /// Whether the value at this place is one.
    pub(crate) fn contains(&self, span: &Range<usize>) -> bool {
        self.0.contains(&span.start)
    }
}

/// Fills the placeholders in all texts of a job file. Of a step that is for several
/// things there is one for each then.
pub(crate) fn interpolate(
    table: &mut DeTable<'_>,
    parameters: &Parameters,
    text: &Text,
    fans: &Fans,
) -> Result<Outside, Problem> {
    let outside = Outside::default();
    let mut walk = Walk { parameters, text, fans, outside, path: Vec::new() };
    walk.table(table)?;
    Ok(walk.outside)
}

struct Walk<'a> {
    parameters: &'a Parameters,
    text: &'a Text,
    fans: &'a Fans,
    outside: Outside,
    /// The keys down to where we are, those of arrays left out.
    path: Vec<String>,
}

impl Walk<'_> {
    fn table(&mut self, table: &mut DeTable<'_>) -> Result<(), Problem> {
        for (key, value) in table.iter_mut() {
            self.path.push(key.get_ref().to_string());
            self.value(value)?;
            self.path.pop();
        }
        Ok(())
    }

    fn value(&mut self, value: &mut Spanned<DeValue<'_>>) -> Result<(), Problem> {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(raw) if raw.contains("${") => {
                let filled = match self.sql() {
                    Some(sql) => fill_sql(raw, sql, self.parameters, &span, self.text)?,
                    None => self.plain(raw, &span)?,
                };
                *raw = filled.into();
            }
            DeValue::Table(table) => self.table(table)?,
            DeValue::Array(steps) if self.path == ["step"] => self.steps(steps)?,
            DeValue::Array(values) => values.iter_mut().try_for_each(|v| self.value(v))?,
            _ => {}
        }
        Ok(())
    }

    /// Each step, once for each thing that it is for.
    fn steps(&mut self, steps: &mut DeArray<'_>) -> Result<(), Problem> {
        let written = std::mem::replace(steps, DeArray::new());
        for mut step in written {
            let is_fan = step.get_ref().as_table().is_some_and(|table| table.contains_key(EACH));
            if !is_fan {
                self.value(&mut step)?;
                steps.push(step);
                continue;
            }
            let mut whole = step.clone();
            self.step_for(&mut whole, &Each::unknown())?;
            let name = whole.get_ref().get("name").and_then(|name| name.get_ref().as_str());
            let Some(all) = name.and_then(|name| self.fans.get(name)) else {
                steps.push(whole);
                continue;
            };
            for each in all {
                let mut one = step.clone();
                self.step_for(&mut one, each)?;
                let renamed = format!("{}[{}]", name.unwrap_or_default(), each.label);
                if let DeValue::Table(table) = one.get_mut()
                    && let Some(name) = table.get_mut("name")
                {
                    *name.get_mut() = DeValue::String(renamed.into());
                    table.remove(EACH);
                }
                steps.push(one);
            }
        }
        Ok(())
    }

    /// A step for one thing: `${each}` stands for that.
    fn step_for(&mut self, step: &mut Spanned<DeValue<'_>>, each: &Each) -> Result<(), Problem> {
        let parameters = each.among(self.parameters);
        let (outside, path) = (std::mem::take(&mut self.outside), self.path.clone());
        let mut walk = Walk { parameters: &parameters, outside, path, ..*self };
        let walked = walk.value(step);
        self.outside = walk.outside;
        walked
    }

    fn plain(&mut self, raw: &str, span: &Range<usize>) -> Result<String, Problem> {
        let filled = self.parameters.fill(raw, span, self.text)?;
        // The path in `sqlite:${file}` begins behind the colon.
        let path = raw.strip_prefix("sqlite:").map(|p| p.strip_prefix("//").unwrap_or(p));
        let outside = match path {
            Some(path) => self.parameters.fill(path, span, self.text)?.outside,
            None => filled.outside,
        };
        if outside {
            self.outside.0.insert(span.start);
        }
        Ok(filled.text)
    }

    /// Whose SQL the text is, into which values go as literals only; none if it
    /// is no SQL.
    fn sql(&self) -> Option<Sql> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        match path.strip_prefix(&["step"]).unwrap_or(&path) {
            ["source", "where"] | ["sql"] | ["sql", "statement"] => Some(Sql::Database),
            ["source", "query"]
            | ["map", "sql"]
            | ["require", "rule"]
            | ["write", "columns", _] => Some(Sql::Items),
            _ => None,
        }
    }
}

/// What SQL is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Code,
    Literal,
    /// `E'…'`, in which a backslash escapes, or `U&'…'`, in which it names a
    /// character.
    Escapes,
    Name,
    /// A name as MySQL writes it.
    Backticks,
    LineComment,
    /// So many that are open: PostgreSQL nests them.
    BlockComment(usize),
    /// Behind a `$` in code: text in dollars may have begun, or not.
    Dollars,
}

/// Fills SQL so that no value can be anything but a value: in code it becomes a
/// literal of the parameter's type, inside of quotes its quotes are doubled, and
/// in comments nothing is filled in.
fn fill_sql(
    raw: &str,
    whose: Sql,
    parameters: &Parameters,
    span: &Range<usize>,
    text: &Text,
) -> Result<String, Problem> {
    let mut sql = String::with_capacity(raw.len());
    let mut within = Within::Code;
    let mut behind_value = false;
    for piece in pieces(raw, span, text)? {
        match piece {
            Piece::Plain(plain) => {
                if behind_value && plain.starts_with(touches) {
                    sql.push(' ');
                }
                within = follow(within, &sql, plain);
                sql.push_str(plain);
                behind_value = false;
            }
            Piece::Name(name) => {
                let value = || parameters.get(name, span, text).map(|(value, _)| value.text);
                let filled = match within {
                    Within::Dollars | Within::Escapes => {
                        return Err(unquotable(name, span, text));
                    }
                    Within::Code => {
                        if sql.ends_with(touches) {
                            sql.push(' ');
                        }
                        let (value, kind) = parameters.get(name, span, text)?;
                        let literal = kind.literal(&value.text, whose);
                        literal.map_err(|fault| {
                            text.problem(span.clone(), fault.at(format!("${{{name}}}")))
                        })?
                    }
                    Within::Literal => value()?.replace('\'', "''"),
                    Within::Name => value()?.replace('"', "\"\""),
                    Within::Backticks => value()?.replace('`', "``"),
                    Within::LineComment | Within::BlockComment(_) => format!("${{{name}}}"),
                };
                behind_value = within == Within::Code;
                sql.push_str(&filled);
            }
        }
    }
    Ok(sql)
}

/// Whether a literal beside this character would become one with what is there.
fn touches(c: char) -> bool {
    c.is_alphanumeric() || "'\"`_.$\\&@#".contains(c)
}

fn unquotable(name: &str, span: &Range<usize>, text: &Text) -> Problem {
    let fault = Fault::config(format!("${{{name}}} can't stand in E'…', in U&'…' or behind a $"))
        .with_hint("write the text in single quotes");
    text.problem(span.clone(), fault)
}

/// Where SQL is behind these characters, which follow `before`.
fn follow(mut within: Within, before: &str, plain: &str) -> Within {
    let mut characters = plain.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        // And whether the next one belongs to it.
        let (behind, both) = match (within, c, next) {
            (Within::Code, '\'', _) => (opened(before, &plain[..at]), false),
            (Within::Code, '"', _) => (Within::Name, false),
            (Within::Code, '`', _) => (Within::Backticks, false),
            (Within::Code, '$', _) => (Within::Dollars, false),
            (Within::Code, '-', Some('-')) => (Within::LineComment, true),
            (Within::Code, '/', Some('*')) => (Within::BlockComment(1), true),
            // PostgreSQL reads JSON by `#>` and `#-`; to MySQL it is a comment.
            (Within::Code, '#', Some('>' | '-')) => (Within::Code, false),
            (Within::Code, '#', _) => (Within::LineComment, false),
            (Within::Escapes, '\\', Some(_)) | (Within::Escapes, '\'', Some('\'')) => {
                (Within::Escapes, true)
            }
            // A doubled quote leaves and enters again.
            (Within::Literal | Within::Escapes, '\'', _)
            | (Within::Name, '"', _)
            | (Within::Backticks, '`', _)
            | (Within::LineComment, '\n', _)
            | (Within::BlockComment(1), '*', Some('/')) => {
                (Within::Code, matches!(within, Within::BlockComment(_)))
            }
            (Within::BlockComment(open), '/', Some('*')) => (Within::BlockComment(open + 1), true),
            (Within::BlockComment(open), '*', Some('/')) => (Within::BlockComment(open - 1), true),
            _ => (within, false),
        };
        within = behind;
        if both {
            characters.next();
        }
    }
    within
}

/// What a single quote opens behind these texts.
fn opened(before: &str, plain: &str) -> Within {
    let mut backwards = plain.chars().rev().chain(before.chars().rev());
    let prefix = match backwards.next() {
        Some('&') => backwards.next().is_some_and(|c| matches!(c, 'u' | 'U')),
        Some('e' | 'E') => true,
        _ => false,
    };
    let is_word = backwards.next().is_some_and(|c| c.is_alphanumeric() || "_$".contains(c));
    if prefix && !is_word { Within::Escapes } else { Within::Literal }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, StringArray};
    use kiln_core::{CellColumn, Items, Mapper as _, NoOrigins};
    use kiln_sql::SqlMapper;
    use proptest::prelude::*;

    use super::*;

    fn filled(sql: &str, value: &str) -> Result<String, Problem> {
        let text = Text::new("job.toml".into(), String::new());
        let mut table = DeTable::parse("params.x = ''").unwrap();
        let given = [("x".to_owned(), value.to_owned())];
        let parameters = Parameters::take(table.get_mut(), &given, &text).unwrap();
        fill_sql(sql, Sql::Items, &parameters, &(0..0), &text)
    }

    /// With a parameter that is declared like this.
    fn typed(declared: &str, given: Option<&str>, sql: &str) -> Result<String, Problem> {
        let text = Text::new("job.toml".into(), String::new());
        let declared = format!("params.x = {declared}");
        let mut table = DeTable::parse(&declared).unwrap();
        let given: Vec<_> = given.iter().map(|v| ("x".to_owned(), (*v).to_owned())).collect();
        let parameters = Parameters::take(table.get_mut(), &given, &text)?;
        fill_sql(sql, Sql::Items, &parameters, &(0..0), &text)
    }

    #[test]
    fn a_value_in_sql_stays_a_value() {
        let evil = "a' OR ''='";
        let cases = [
            ("c = ${x}", "c = 'a'' OR ''''='''"),
            ("c = '${x}'", "c = 'a'' OR ''''='''"),
            (
                "c = 'it''s ${x}' AND d = ${x}",
                "c = 'it''s a'' OR ''''=''' AND d = 'a'' OR ''''='''",
            ),
            (r#"c = "my ${x}""#, r#"c = "my a' OR ''='""#),
            ("c -- ${x}\n= ${x}", "c -- ${x}\n= 'a'' OR ''''='''"),
            ("c /* ' ${x} */ = ${x}", "c /* ' ${x} */ = 'a'' OR ''''='''"),
            ("`it's` = ${x}", "`it's` = 'a'' OR ''''='''"),
            ("c # it's ${x}\n= ${x}", "c # it's ${x}\n= 'a'' OR ''''='''"),
            ("c #>> '{d}' = ${x}", "c #>> '{d}' = 'a'' OR ''''='''"),
            ("c #- '{d}' = ${x}", "c #- '{d}' = 'a'' OR ''''='''"),
        ];
        for (sql, expected) in cases {
            assert_eq!(filled(sql, evil).unwrap(), expected, "{sql}");
        }
        assert_eq!(filled(r#"c = "${x}""#, "a\"b").unwrap(), r#"c = "a""b""#);
        assert_eq!(filled("`${x}` = 1", "a`b").unwrap(), "`a``b` = 1");
        assert_eq!(filled("c ~ '^a$' AND d = ${x}", "b").unwrap(), "c ~ '^a$' AND d = 'b'");
        assert_eq!(filled("a LIKE'${x}'", "b").unwrap(), "a LIKE'b'");
        assert_eq!(filled("/* /* */ ${x} */ ${x}", "b").unwrap(), "/* /* */ ${x} */ 'b'");
        assert_eq!(filled("'${x}'${x}'${x}'", "b").unwrap(), "'b' 'b' 'b'");
        assert_eq!(filled("a${x}b", "c").unwrap(), "a 'c' b");
        for sql in [
            "c = E'${x}'",
            "c = e'it''s ${x}'",
            r"c = E'it\'s ${x}'",
            "c = U&'${x}'",
            "c = u&'a''${x}'",
            "c = $$ ${x} $$",
            "c = $t$ ${x} $t$",
        ] {
            assert!(filled(sql, "x").is_err(), "{sql}");
        }
    }

    #[test]
    fn a_value_is_of_its_parameters_type() {
        for (declared, given, expected) in [
            ("5", None, "n > 5"),
            ("5", Some("-7"), "n > (-7)"),
            ("0.19", None, "n > 0.19"),
            ("true", Some("no"), "n > FALSE"),
            ("2026-01-02", None, "n > arrow_cast('2026-01-02', 'Date32')"),
            ("{ type = \"int\" }", Some("3"), "n > 3"),
            ("{ type = \"text\", default = 3 }", None, "n > '3'"),
            ("{ type = \"decimal(5,2)\" }", Some("1.5"), "n > CAST('1.5' AS DECIMAL(5,2))"),
        ] {
            assert_eq!(typed(declared, given, "n > ${x}").unwrap(), expected, "{declared}");
        }
        for (declared, given, said) in [
            ("5", Some("1 OR 1"), "${x}: \"1 OR 1\" is not of type int"),
            ("{ type = \"int\" }", Some("x"), "--param x: \"x\" is not of type int"),
            ("{ type = \"int\" }", None, "the parameter x has no value"),
            ("{ type = \"int\", default = \"x\" }", None, "\"x\" is not of type int"),
            ("{ type = \"intt\" }", None, "intt"),
            ("{ default = 5 }", None, "`type` is missing"),
            ("{ type = \"int\", defalt = 5 }", None, "a parameter has no `defalt`"),
            ("[1]", None, "a parameter is a text"),
        ] {
            let problem = typed(declared, given, "n > ${x}").unwrap_err();
            let message = problem.fault().message();
            assert!(message.contains(said), "{declared}: {message}");
        }
        // Outside of SQL it is the text that was given.
        assert_eq!(typed("5", Some("5%"), "'${x}'").unwrap(), "'5%'");
    }

    /// The one item's values behind `sql`, with a parameter of this value and a
    /// column of that name.
    fn mapped(sql: &str, value: &str) -> Vec<String> {
        let sql = filled(sql, value).unwrap();
        let column: ArrayRef = Arc::new(StringArray::from(vec!["kept"]));
        let batch = RecordBatch::try_from_iter([(value, column)]).unwrap();
        let mut mapper =
            SqlMapper::new(&sql, batch.schema()).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let items = Items { batch, ordinals: vec![1], origins: Arc::new(NoOrigins) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let batch = runtime.block_on(mapper.map(items)).unwrap().items.batch;
        let columns = CellColumn::of(&batch).unwrap();
        columns.iter().map(|column| column.cell(0).to_string()).collect()
    }

    fn any_text() -> impl Strategy<Value = String> {
        const SHARP: [&str; 15] =
            ["'", "\"", "`", "-", "--", ";", "/*", "*/", "\\", "$", "${x}", "\n", "é", "a", " "];
        let sharp = proptest::collection::vec(proptest::sample::select(&SHARP[..]), 1..12);
        prop_oneof![any::<String>(), sharp.prop_map(|parts| parts.concat())]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn any_text_comes_out_as_that_text(value in any_text()) {
            let sql = "SELECT ${x} AS a, '<${x}>${x}' AS b, /* ' ${x} */ ${x} || 'e''${x}' AS c -- ${x}\n\
                       FROM item WHERE 'a' <> ${x} || 'b'";
            let expected = [value.clone(), format!("<{value}>{value}"), format!("{value}e'{value}")];
            prop_assert_eq!(mapped(sql, &value), expected);
            if !value.is_empty() {
                prop_assert_eq!(mapped("SELECT \"${x}\" AS a FROM item", &value), ["kept"]);
            }
        }
    }
}
