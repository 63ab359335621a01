//! Parameters into the texts of a job file.

use std::collections::BTreeSet;
use std::ops::Range;

use kiln_core::Fault;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::each::{Each, Fans, is_number};
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
                let filled = if self.is_sql() {
                    fill_sql(raw, self.parameters, &span, self.text)?
                } else {
                    self.plain(raw, &span)?
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

    /// Whether the text is SQL, into which values go as literals only.
    fn is_sql(&self) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let path = path.strip_prefix(&["step"]).unwrap_or(&path);
        matches!(
            path,
            ["source", "where"]
                | ["map", "sql"]
                | ["require", "rule"]
                | ["write", "columns", _]
                | ["sql"]
                | ["sql", "statement"]
        )
    }
}

/// What SQL is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Code,
    Literal,
    Name,
    /// A name as MySQL writes it.
    Backticks,
    LineComment,
    BlockComment,
    /// Behind a `$` in code: text in dollars may have begun, or not.
    Dollars,
}

/// Fills SQL so that no value can be anything but a value: in code it becomes a
/// quoted literal, inside of quotes its quotes are doubled, and in comments
/// nothing is filled in.
fn fill_sql(
    raw: &str,
    parameters: &Parameters,
    span: &Range<usize>,
    text: &Text,
) -> Result<String, Problem> {
    let mut sql = String::with_capacity(raw.len());
    let mut within = Within::Code;
    for piece in pieces(raw, span, text)? {
        match piece {
            Piece::Plain(plain) => {
                within = follow(within, plain);
                sql.push_str(plain);
            }
            Piece::Name(name) => {
                let value = || parameters.get(name, span, text).map(|v| v.text);
                let escaping = within == Within::Literal && is_escaping(&sql);
                sql.push_str(&match within {
                    _ if escaping => return Err(unquotable(name, span, text)),
                    Within::Dollars => return Err(unquotable(name, span, text)),
                    Within::Code if is_number(name) => format!("({})", value()?),
                    Within::Code => format!("'{}'", value()?.replace('\'', "''")),
                    Within::Literal => value()?.replace('\'', "''"),
                    Within::Name => value()?.replace('"', "\"\""),
                    Within::Backticks => value()?.replace('`', "``"),
                    Within::LineComment | Within::BlockComment => format!("${{{name}}}"),
                });
            }
        }
    }
    Ok(sql)
}

fn unquotable(name: &str, span: &Range<usize>, text: &Text) -> Problem {
    let fault = Fault::config(format!("${{{name}}} can't stand in E'…' or behind a $"))
        .with_hint("write the text in single quotes");
    text.problem(span.clone(), fault)
}

/// Where SQL is behind these characters.
fn follow(mut within: Within, plain: &str) -> Within {
    let mut characters = plain.chars().peekable();
    while let Some(c) = characters.next() {
        within = match (within, c, characters.peek()) {
            (Within::Code, '\'', _) => Within::Literal,
            (Within::Code, '"', _) => Within::Name,
            (Within::Code, '`', _) => Within::Backticks,
            (Within::Code, '$', _) => Within::Dollars,
            (Within::Code, '-', Some('-')) => Within::LineComment,
            (Within::Code, '/', Some('*')) => Within::BlockComment,
            // PostgreSQL reads JSON by `#>` and `#-`; to MySQL it is a comment.
            (Within::Code, '#', Some('>' | '-')) => Within::Code,
            (Within::Code, '#', _) => Within::LineComment,
            // A doubled quote leaves and enters again.
            (Within::Literal, '\'', _) | (Within::Name, '"', _) | (Within::Backticks, '`', _) => {
                Within::Code
            }
            (Within::LineComment, '\n', _) | (Within::BlockComment, '*', Some('/')) => Within::Code,
            _ => continue,
        };
        if matches!(c, '-' | '/' | '*') {
            characters.next();
        }
    }
    within
}

/// Whether the literal that is open at the end has backslash escapes: `E'…`.
fn is_escaping(sql: &str) -> bool {
    sql.rfind('\'').is_some_and(|quote| sql[..quote].ends_with(['E', 'e']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(sql: &str, value: &str) -> Result<String, Problem> {
        let text = Text::new("job.toml".into(), String::new());
        let mut table = DeTable::parse("params.x = ''").unwrap();
        let given = [("x".to_owned(), value.to_owned())];
        let parameters = Parameters::take(table.get_mut(), &given, &text).unwrap();
        fill_sql(sql, &parameters, &(0..0), &text)
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
        for sql in ["c = E'${x}'", "c = $$ ${x} $$", "c = $t$ ${x} $t$"] {
            assert!(filled(sql, "x").is_err(), "{sql}");
        }
    }
}
