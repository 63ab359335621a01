//! Set-up scripts: cut into statements as the `mysql` client does.

use kiln_core::{Fault, Kind};

use super::fault::{DbError, fault};
use crate::database::Script;

/// A statement of a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    pub(super) sql: &'a str,
    /// The line on which it begins, counted from 1.
    pub(super) line: usize,
}

/// The statements of a script. They end at a semicolon, or at what a line
/// `DELIMITER //` says.
pub(super) fn statements(script: &str) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    let mut delimiter = ";";
    let mut start = 0;
    let mut at = 0;
    while at < script.len() {
        let rest = &script[at..];
        if script[start..at].trim().is_empty()
            && let Some(line) = delimiter_line(rest)
        {
            delimiter = line.split_whitespace().nth(1).unwrap_or(";");
            at += line.len();
            start = at;
        } else if rest.starts_with(delimiter) {
            push(&mut found, script, start, at);
            at += delimiter.len();
            start = at;
        } else {
            at += token(rest);
        }
    }
    push(&mut found, script, start, script.len());
    found
}

fn push<'a>(found: &mut Vec<Statement<'a>>, script: &'a str, from: usize, to: usize) {
    let text = &script[from..to];
    let from = from + blank(text);
    if from < to {
        let line = 1 + script[..from].bytes().filter(|b| *b == b'\n').count();
        found.push(Statement { sql: script[from..to].trim_end(), line });
    }
}

/// The line `DELIMITER …` that a text begins with.
fn delimiter_line(text: &str) -> Option<&str> {
    let line = text.lines().next()?;
    let word = line.get(..10)?;
    word.eq_ignore_ascii_case("delimiter ").then_some(line)
}

/// How many bytes of blanks and comments a text begins with.
fn blank(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let next = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        at = text.len() - next.len();
        match comment(next) {
            0 => return at,
            n => at += n,
        }
    }
}

/// How many bytes of a comment a text begins with. `/*! … */` is none: it is for
/// the server.
fn comment(text: &str) -> usize {
    let dashes = text.starts_with("--")
        && text[2..].chars().next().is_none_or(|c| c.is_whitespace() || c.is_control());
    if dashes || text.starts_with('#') {
        text.find('\n').map_or(text.len(), |end| end + 1)
    } else if text.starts_with("/*") && !text.starts_with("/*!") && !text.starts_with("/*M!") {
        text.find("*/").map_or(text.len(), |end| end + 2)
    } else {
        0
    }
}

/// How many bytes the first piece of a text has: a comment, something in quotes,
/// or a character.
fn token(text: &str) -> usize {
    match (comment(text), text.chars().next()) {
        (0, Some(quote @ ('\'' | '"' | '`'))) => quoted(text, quote),
        (0, Some(c)) => c.len_utf8(),
        (n, _) => n,
    }
}

/// How many bytes what is in quotes has. A doubled quote is two texts side by
/// side, which comes to the same.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The words of a statement that stand outside of quotes and comments, in
/// capitals; what is in backticks is a word as it is.
pub(super) fn words(sql: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut at = 0;
    while at < sql.len() {
        let rest = &sql[at..];
        let step = token(rest);
        let piece = &rest[..step];
        match piece.chars().next() {
            Some('`') => words.push(piece.trim_matches('`').to_uppercase()),
            Some(c) if step == c.len_utf8() && (c.is_alphanumeric() || c == '_' || c == '$') => {
                if let Some(word) = words.last_mut() {
                    word.extend(c.to_uppercase());
                }
                at += step;
                continue;
            }
            Some('.') => words.push(".".to_owned()),
            _ => {}
        }
        words.push(String::new());
        at += step;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What is wrong with a statement of a script, and where.
pub(super) fn script_fault(script: &Script, statement: &Statement<'_>, error: &DbError) -> Fault {
    let place = format!("{}:{}", script.name, statement.line);
    let fault = fault(error);
    if fault.kind() != Kind::Item && fault.kind() != Kind::Config {
        return fault.at(format_args!("set-up script {place}"));
    }
    // What a script says is no item's data.
    let said = match error {
        DbError::Server { message, .. } => message.as_str(),
        _ => fault.message(),
    };
    Fault::config(format!("set-up script {place}: {said}"))
        .with_code(fault.code().unwrap_or_default())
        .with_hint(fault.hint().unwrap_or("mend the script, then try again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(script: &str) -> Vec<(&str, usize)> {
        statements(script).into_iter().map(|s| (s.sql, s.line)).collect()
    }

    #[test]
    fn statements_end_outside_of_quotes_and_comments() {
        let script = "-- a; b\nCREATE TABLE `a;b` (x TEXT DEFAULT 'it''s; \\';');\n\n\
                      /* ; */ INSERT INTO t VALUES (\";\") # ;\n;;\n--x\n/*!50001 SET x = 1; */";
        assert_eq!(
            cut(script),
            [
                ("CREATE TABLE `a;b` (x TEXT DEFAULT 'it''s; \\';')", 2),
                ("INSERT INTO t VALUES (\";\") # ;", 4),
                ("--x\n/*!50001 SET x = 1", 6),
                ("*/", 7),
            ]
        );
        assert_eq!(cut("SELECT 1"), [("SELECT 1", 1)]);
        assert_eq!(cut(" \n-- nothing\n;"), []);
    }

    #[test]
    fn a_delimiter_keeps_a_body_together() {
        let script = "CREATE TABLE t (a INT);\nDELIMITER //\nCREATE TRIGGER g BEFORE INSERT ON t \
                      FOR EACH ROW BEGIN SET @a = 1; SET @b = 2; END//\ndelimiter ;\nSELECT 1;";
        let found = cut(script);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[1].0.starts_with("CREATE TRIGGER") && found[1].0.ends_with("END"));
        assert_eq!((found[1].1, found[2]), (3, ("SELECT 1", 5)));
    }

    #[test]
    fn words_stand_outside_of_quotes() {
        assert_eq!(
            words("CREATE table `my db`.t1 (a VARCHAR(5) DEFAULT 'use x') -- drop"),
            ["CREATE", "TABLE", "MY DB", ".", "T1", "A", "VARCHAR", "5", "DEFAULT"]
        );
    }
}
