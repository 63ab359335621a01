//! Whether a step is done: a decision on what became of the steps that it needs.

use std::collections::BTreeMap;
use std::fmt;

use kiln_core::{Counts, Fault, Result, Status};

/// A condition, such as `items.failed > 0 and steps.load.status != 'skipped'`.
///
/// ```text
/// any   = all ("or" all)*
/// all   = one ("and" one)*
/// one   = "not" one | "(" any ")" | value ("=" | "!=" | "<" | "<=" | ">" | ">=") value
/// value = a whole number | 'a text' | a name
/// ```
///
/// | name | of |
/// |---|---|
/// | `items.read`, `items.processed`, `items.filtered`, `items.duplicate`, `items.failed` | all steps that are needed, added up |
/// | `status` | all of them: `success`, `partial_success` (items failed in one), `skipped` (all were) |
/// | `steps.NAME.read` … `steps.NAME.failed`, `steps.NAME.status` | one of them |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    text: String,
    any: Expression,
}

/// What became of a step that is needed: how it ended, and what it has counted.
pub(crate) type Outcomes<'a> = BTreeMap<&'a str, (Status, Counts)>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Not(Box<Expression>),
    Compare(Value, Operator, Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(u64),
    Text(String),
    /// A count, of one step or of all.
    Count(Option<String>, Count),
    /// How one step, or all, ended.
    Status(Option<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Read,
    Processed,
    Filtered,
    Duplicate,
    Failed,
}

impl Count {
    const ALL: [(&'static str, Self); 5] = [
        ("read", Self::Read),
        ("processed", Self::Processed),
        ("filtered", Self::Filtered),
        ("duplicate", Self::Duplicate),
        ("failed", Self::Failed),
    ];

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == word).map(|(_, count)| count)
    }

    fn of(self, counts: &Counts) -> u64 {
        match self {
            Self::Read => counts.read,
            Self::Processed => counts.processed,
            Self::Filtered => counts.filtered,
            Self::Duplicate => counts.duplicate,
            Self::Failed => counts.failed,
        }
    }
}

/// The ends that a step can have come to when another one needs it.
const ENDS: [Status; 3] = [Status::Success, Status::PartialSuccess, Status::Skipped];

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) if it is none; the message names
    /// the place as `line 1, column 3`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { text, at: 0 };
        let any = parser.any()?;
        match parser.next()? {
            None => Ok(Self { text: text.to_owned(), any }),
            Some(_) => Err(parser.wrong("something follows the condition")),
        }
    }

    /// The steps that it names.
    pub fn steps(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.any.steps(&mut names);
        names
    }

    /// Whether it holds.
    pub(crate) fn holds(&self, outcomes: &Outcomes<'_>) -> bool {
        self.any.holds(outcomes)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Expression {
    fn holds(&self, outcomes: &Outcomes<'_>) -> bool {
        match self {
            Self::Any(some) => some.iter().any(|one| one.holds(outcomes)),
            Self::All(all) => all.iter().all(|one| one.holds(outcomes)),
            Self::Not(one) => !one.holds(outcomes),
            Self::Compare(left, operator, right) => {
                let (left, right) = (left.number(outcomes), right.number(outcomes));
                match (left, right) {
                    (Some(left), Some(right)) => operator.holds(left, right),
                    _ => false,
                }
            }
        }
    }

    fn steps<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Any(all) | Self::All(all) => all.iter().for_each(|one| one.steps(names)),
            Self::Not(one) => one.steps(names),
            Self::Compare(left, _, right) => {
                names.extend([left, right].iter().filter_map(|v| match v {
                    Value::Count(step, _) | Value::Status(step) => step.as_deref(),
                    _ => None,
                }))
            }
        }
    }
}

impl Operator {
    fn holds(self, left: u64, right: u64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl Value {
    /// Its value; an end is its place among all of them.
    fn number(&self, outcomes: &Outcomes<'_>) -> Option<u64> {
        let of = |name: &Option<String>| -> Vec<(Status, Counts)> {
            let is_meant = |step: &str| name.as_ref().is_none_or(|name| is_of(step, name));
            outcomes
                .iter()
                .filter(|(step, _)| is_meant(step))
                .map(|(_, outcome)| *outcome)
                .collect()
        };
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => place_of_end(text),
            Self::Count(name, count) => {
                Some(of(name).iter().map(|(_, counts)| count.of(counts)).sum())
            }
            Self::Status(name) => {
                let ends: Vec<Status> = of(name).iter().map(|(end, _)| *end).collect();
                let all_skipped = ends.iter().all(|end| *end == Status::Skipped);
                let together = match () {
                    () if all_skipped => Status::Skipped,
                    () if ends.contains(&Status::PartialSuccess) => Status::PartialSuccess,
                    () => Status::Success,
                };
                place_of_end(together.as_str())
            }
        }
    }

    fn is_end(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Status(_))
    }
}

fn place_of_end(text: &str) -> Option<u64> {
    ENDS.iter().position(|end| end.as_str() == text).map(|place| place as u64)
}

/// Whether a step is the one of this name, or one of many that share it:
/// `load[a.csv]` is of `load`.
pub fn is_of(step: &str, name: &str) -> bool {
    step.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
}

/// A word of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word<'a> {
    Open,
    Close,
    Operator(Operator),
    Text(&'a str),
    /// A name, a number, or one of `and`, `or` and `not`.
    Plain(&'a str),
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Expression> {
        let mut some = vec![self.all()?];
        while self.takes("or")? {
            some.push(self.all()?);
        }
        Ok(if some.len() == 1 { some.remove(0) } else { Expression::Any(some) })
    }

    fn all(&mut self) -> Result<Expression> {
        let mut all = vec![self.one()?];
        while self.takes("and")? {
            all.push(self.one()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::All(all) })
    }

    fn one(&mut self) -> Result<Expression> {
        // Deep brackets would need a deep stack.
        if self.text.len() > 1_000 {
            return Err(self.wrong("the condition is too long"));
        }
        if self.takes("not")? {
            return Ok(Expression::Not(Box::new(self.one()?)));
        }
        if self.peek()? == Some(Word::Open) {
            self.next()?;
            let inner = self.any()?;
            return match self.next()? {
                Some(Word::Close) => Ok(inner),
                _ => Err(self.wrong("a bracket is not closed")),
            };
        }
        let left = self.value()?;
        let Some(Word::Operator(operator)) = self.next()? else {
            return Err(self.wrong("a comparison is expected: =, !=, <, <=, > or >="));
        };
        let right = self.value()?;
        self.compare(left, operator, right)
    }

    fn compare(&self, left: Value, operator: Operator, right: Value) -> Result<Expression> {
        let orders = !matches!(operator, Operator::Equal | Operator::Unequal);
        match (left.is_end(), right.is_end()) {
            (true, true) if orders => Err(self.wrong("a status is compared by = or !=")),
            (true, true) | (false, false) => Ok(Expression::Compare(left, operator, right)),
            _ => Err(self.wrong("a status is no number: compare it to a text such as 'skipped'")),
        }
    }

    fn value(&mut self) -> Result<Value> {
        let word = self.next()?;
        match word {
            Some(Word::Text(text)) if place_of_end(text).is_some() => {
                Ok(Value::Text(text.to_owned()))
            }
            Some(Word::Text(text)) => {
                let ends = ENDS.map(Status::as_str).join(", ");
                Err(self.wrong(&format!("'{text}' is no status; they are {ends}")))
            }
            Some(Word::Plain(word)) => self.name(word),
            _ => Err(self.wrong("a value is expected: a number, a text or a name")),
        }
    }

    fn name(&self, word: &str) -> Result<Value> {
        if let Ok(number) = word.parse() {
            return Ok(Value::Number(number));
        }
        let named = match word.rsplit_once('.') {
            None => (word == "status").then_some(Value::Status(None)),
            Some(("items", count)) => Count::parse(count).map(|count| Value::Count(None, count)),
            Some((step, part)) => step.strip_prefix("steps.").and_then(|step| {
                let step = Some(step.to_owned());
                match part {
                    "status" => Some(Value::Status(step)),
                    count => Count::parse(count).map(|count| Value::Count(step, count)),
                }
            }),
        };
        named.ok_or_else(|| {
            let counts = Count::ALL.map(|(name, _)| name).join(", ");
            self.wrong(&format!("there is no {word}")).with_hint(format!(
                "names are status, items.COUNT, steps.STEP.status and steps.STEP.COUNT; COUNT is \
                 one of {counts}"
            ))
        })
    }

    /// Takes the next word, if it is this one.
    fn takes(&mut self, word: &str) -> Result<bool> {
        let is_it = self.peek()? == Some(Word::Plain(word));
        if is_it {
            self.next()?;
        }
        Ok(is_it)
    }

    fn peek(&mut self) -> Result<Option<Word<'a>>> {
        let at = self.at;
        let word = self.next();
        self.at = at;
        word
    }

    fn next(&mut self) -> Result<Option<Word<'a>>> {
        let rest = &self.text[self.at..];
        let blank = rest.len() - rest.trim_start().len();
        self.at += blank;
        let rest = &rest[blank..];
        let Some(first) = rest.chars().next() else { return Ok(None) };
        let (word, length) = match first {
            '(' => (Word::Open, 1),
            ')' => (Word::Close, 1),
            '\'' => match rest[1..].find('\'') {
                Some(end) => (Word::Text(&rest[1..=end]), end + 2),
                None => return Err(self.wrong("a text is not closed")),
            },
            c if is_plain(c) => {
                let length = rest.find(|c| !is_plain(c)).unwrap_or(rest.len());
                (Word::Plain(&rest[..length]), length)
            }
            _ => match operator(rest) {
                Some((operator, length)) => (Word::Operator(operator), length),
                None => return Err(self.wrong(&format!("{first:?} means nothing here"))),
            },
        };
        self.at += length;
        Ok(Some(word))
    }

    fn wrong(&self, why: &str) -> Fault {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()).max(1);
        Fault::config(format!("the condition is wrong at line {line}, column {column}: {why}"))
    }
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "_-.".contains(c)
}

/// The operator that begins here, and its length.
fn operator(text: &str) -> Option<(Operator, usize)> {
    let two = [
        ("!=", Operator::Unequal),
        ("<>", Operator::Unequal),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("==", Operator::Equal),
    ];
    let one = [("=", Operator::Equal), ("<", Operator::Less), (">", Operator::Greater)];
    let begins = |(sign, _): &&(&str, Operator)| text.starts_with(sign);
    let found = two.iter().find(begins).or_else(|| one.iter().find(begins));
    found.map(|(sign, operator)| (*operator, sign.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes() -> Outcomes<'static> {
        let counts =
            |read, failed| Counts { read, processed: read - failed, failed, ..Counts::default() };
        BTreeMap::from([
            ("load[a]", (Status::Success, counts(10, 0))),
            ("load[b]", (Status::PartialSuccess, counts(20, 3))),
            ("fix-it.2", (Status::Skipped, counts(0, 0))),
        ])
    }

    #[test]
    fn conditions_hold_or_not() {
        let cases = [
            ("items.failed > 0", true),
            ("items.failed>=3 and items.read = 30", true),
            ("items.failed = 3 and (items.read < 30 or items.processed != 27)", false),
            ("not items.failed = 0", true),
            ("not (items.read = 30 and status = 'partial_success')", false),
            ("steps.load.failed = 3", true),
            ("steps.load.read == 30 or items.read = 1", true),
            ("steps.load.status = 'partial_success'", true),
            ("steps.fix-it.2.status = 'skipped'", true),
            ("steps.fix-it.2.status <> 'skipped'", false),
            ("status != 'skipped'", true),
            ("0 < items.filtered\n or 1 <= items.duplicate", false),
            ("not not 1 = 1", true),
        ];
        for (text, holds) in cases {
            let condition = Condition::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(condition.holds(&outcomes()), holds, "{text}");
        }
        let named = Condition::parse("steps.a.failed > steps.b-1.read and items.read > 0").unwrap();
        assert_eq!(named.steps(), ["a", "b-1"]);
        let skipped = BTreeMap::from([("a", (Status::Skipped, Counts::default()))]);
        assert!(Condition::parse("status = 'skipped'").unwrap().holds(&skipped));
    }

    #[test]
    fn what_is_no_condition_is_refused_with_its_place() {
        let cases = [
            ("", "a value is expected"),
            ("items.failed", "a comparison is expected"),
            ("items.failed >", "a value is expected"),
            ("items.fialed > 0", "there is no items.fialed"),
            ("failed > 0", "there is no failed"),
            ("status = 'failed'", "'failed' is no status"),
            ("status > 'success'", "compared by = or !="),
            ("status = 3", "a status is no number"),
            ("items.read = 'success'", "a status is no number"),
            ("(items.read = 1", "not closed"),
            ("items.read = 1 items.read = 2", "something follows"),
            ("items.read = 'x", "a text is not closed"),
            ("items.read & 1", "means nothing here"),
            ("items.read = -1", "there is no -1"),
        ];
        for (text, why) in cases {
            let fault = Condition::parse(text).err().unwrap_or_else(|| panic!("{text} is read"));
            assert!(fault.message().contains(why), "{text}: {fault}");
            assert!(fault.message().contains("line 1, column "), "{text}: {fault}");
        }
        assert!(Condition::parse(&"(".repeat(100_000)).is_err());
        assert!(Condition::parse(&"not ".repeat(100_000)).is_err());
    }
}
