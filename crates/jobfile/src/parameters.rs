//! The parameters of a job: declared in the job file with their defaults,
//! overridden on the command line.

use std::collections::BTreeMap;
use std::ops::Range;

use kiln_core::Fault;
use kiln_files::ColumnType;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use crate::literal::Kind;
use crate::nearest::suggestion;
use crate::problem::{Problem, Text};
use crate::secrets::hide;

/// A value, and whether it came from outside of the job file: from the command
/// line or the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) outside: bool,
}

/// A parameter as it is declared, and its value.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) kind: Kind,
    /// Whether the type is written out; else it is that of the default.
    is_typed: bool,
    /// None where there is no default, and nobody gave one.
    pub(crate) value: Option<Value>,
}

impl Parameter {
    fn text(value: Value) -> Self {
        Self { kind: Kind::Of(ColumnType::Text), is_typed: false, value: Some(value) }
    }
}

/// The parameters of a job, and the environment behind them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(BTreeMap<String, Parameter>);

impl Parameters {
    /// Takes the table `[params]` out of a job file and puts the given values
    /// over its defaults.
    pub(crate) fn take(
        table: &mut DeTable<'_>,
        given: &[(String, String)],
        text: &Text,
    ) -> Result<Self, Problem> {
        let mut parameters = Self::default();
        if let Some(declared) = table.remove("params") {
            let span = declared.span();
            let DeValue::Table(declared) = declared.into_inner() else {
                return Err(text.problem(span, Fault::config("params is not a table")));
            };
            for (name, value) in &declared {
                let parameter = declared_as(value.get_ref(), value.span(), text)?;
                parameters.0.insert(name.get_ref().to_string(), parameter);
            }
        }
        for (name, value) in given {
            let Some(known) = parameters.0.get_mut(name) else {
                return Err(parameters.unknown(name));
            };
            if known.is_typed {
                let wrong = |fault: Fault| Problem::usage(fault.at(format!("--param {name}")));
                known.kind.check(value).map_err(wrong)?;
            }
            known.value = Some(Value { text: value.clone(), outside: true });
        }
        Ok(parameters)
    }

    /// With one more value of the job file's own, over one of the same name.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, kind: Kind, text: String) -> Self {
        let value = Some(Value { text, outside: false });
        self.0.insert(name.to_owned(), Parameter { kind, is_typed: true, value });
        self
    }

    /// The text with its placeholders filled in; from outside if it begins with
    /// one that is.
    pub(crate) fn fill(
        &self,
        raw: &str,
        span: &Range<usize>,
        text: &Text,
    ) -> Result<Value, Problem> {
        let mut filled = Value { text: String::new(), outside: false };
        for (i, piece) in pieces(raw, span, text)?.into_iter().enumerate() {
            match piece {
                Piece::Plain(plain) => filled.text.push_str(plain),
                Piece::Name(name) => {
                    let (value, _) = self.get(name, span, text)?;
                    filled.outside |= i == 0 && value.outside;
                    filled.text.push_str(&value.text);
                }
            }
        }
        Ok(filled)
    }

    /// The value of a parameter, or else of an environment variable, and what it
    /// is.
    pub(crate) fn get(
        &self,
        name: &str,
        span: &Range<usize>,
        text: &Text,
    ) -> Result<(Value, Kind), Problem> {
        match self.0.get(name) {
            Some(Parameter { value: Some(value), kind, .. }) => return Ok((value.clone(), *kind)),
            Some(Parameter { value: None, .. }) => {
                let fault = Fault::config(format!("the parameter {name} has no value"))
                    .with_hint(format!("give it one: --param {name}=…"));
                return Err(text.problem(find_placeholder(name, span, text), fault));
            }
            None => {}
        }
        if let Ok(value) = std::env::var(name) {
            return Ok((Value { text: value, outside: true }, Kind::Of(ColumnType::Text)));
        }
        let hint = format!(
            "give it a default in [params] and a value with --param {name}=…, or set the \
             environment variable {name}; {}",
            suggestion("parameters of this job", name, &self.names())
        );
        let fault = Fault::config(format!("nothing is known of ${{{name}}}")).with_hint(hint);
        Err(text.problem(find_placeholder(name, span, text), fault))
    }

    fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    fn unknown(&self, name: &str) -> Problem {
        let hint = suggestion("its parameters", name, &self.names());
        Problem::usage(Fault::config(format!("the job has no parameter {name}")).with_hint(hint))
    }

    /// The parameters as JSON, in the order of their names, without these
    /// secrets.
    pub(crate) fn to_json(&self, secrets: &[String]) -> String {
        let entry = |(name, parameter): (&String, &Parameter)| {
            let value = parameter.value.as_ref()?;
            Some((name.clone(), hide(&value.text, secrets).into()))
        };
        serde_json::Value::Object(self.0.iter().filter_map(entry).collect()).to_string()
    }
}

/// A parameter as it is declared: by its default, or as
/// `{ type = "date", default = 2026-01-01 }`.
fn declared_as(value: &DeValue<'_>, span: Range<usize>, text: &Text) -> Result<Parameter, Problem> {
    let DeValue::Table(table) = value else { return by_default(value, span, text) };
    let (mut kind, mut default) = (None, None);
    for (key, value) in table {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("type", DeValue::String(word)) => {
                let known = ColumnType::parse(word);
                kind = Some(Kind::Of(known.map_err(|fault| text.problem(value.span(), fault))?));
            }
            ("default", plain) => default = Some((plain, value.span())),
            (other, _) => {
                let fault = Fault::config(format!("a parameter has no `{other}`"))
                    .with_hint("write { type = \"date\", default = \"2026-01-01\" }");
                return Err(text.problem(key.span(), fault));
            }
        }
    }
    let Some(kind) = kind else {
        let fault = Fault::config("the parameter's `type` is missing");
        return Err(text.problem(span, fault));
    };
    let Some((default, span)) = default else {
        return Ok(Parameter { kind, is_typed: true, value: None });
    };
    let plain = by_default(default, span.clone(), text)?;
    if let Some(value) = &plain.value {
        kind.check(&value.text).map_err(|fault| text.problem(span, fault))?;
    }
    Ok(Parameter { kind, is_typed: true, value: plain.value })
}

/// A default: a plain value, in which the environment can be named. It tells
/// what the parameter is.
fn by_default(value: &DeValue<'_>, span: Range<usize>, text: &Text) -> Result<Parameter, Problem> {
    let (plain, kind) = match value {
        DeValue::String(s) => {
            return Parameters::default().fill(s, &span, text).map(Parameter::text);
        }
        DeValue::Integer(n) => (n.to_string(), Kind::Of(ColumnType::Int)),
        DeValue::Float(x) => (x.to_string(), Kind::Number),
        DeValue::Boolean(b) => (b.to_string(), Kind::Of(ColumnType::Bool)),
        DeValue::Datetime(t) => (t.to_string(), Kind::Of(moment(t))),
        DeValue::Array(_) | DeValue::Table(_) => {
            let fault = Fault::config("a parameter is a text, a number, a date or a boolean");
            return Err(text.problem(span, fault));
        }
    };
    let value = Some(Value { text: plain, outside: false });
    Ok(Parameter { kind, is_typed: false, value })
}

fn moment(t: &Datetime) -> ColumnType {
    match (t.date, t.time, t.offset) {
        (Some(_), None, _) => ColumnType::Date,
        (None, ..) => ColumnType::Time,
        (Some(_), Some(_), None) => ColumnType::Timestamp,
        (Some(_), Some(_), Some(_)) => ColumnType::TimestampTz,
    }
}

/// A part of a text with placeholders.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Stands for itself.
    Plain(&'a str),
    /// `${name}`.
    Name(&'a str),
}

/// Cuts a text at its placeholders. `$${` stands for `${`.
pub(crate) fn pieces<'a>(
    raw: &'a str,
    span: &Range<usize>,
    text: &Text,
) -> Result<Vec<Piece<'a>>, Problem> {
    let mut pieces = Vec::new();
    let mut rest = raw;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            pieces.push(Piece::Plain(&rest[..at - 1]));
            pieces.push(Piece::Plain("${"));
            rest = &rest[at + 2..];
            continue;
        }
        let Some(end) = rest[at..].find('}').map(|i| at + i) else {
            let fault = Fault::config("a `${` has no `}`").with_hint("write $${ for a plain ${");
            return Err(text.problem(span.clone(), fault));
        };
        let name = &rest[at + 2..end];
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) {
            let fault = Fault::config(format!("${{{name}}} is no name of a parameter"))
                .with_hint("write $${ for a plain ${");
            return Err(text.problem(find_placeholder(name, span, text), fault));
        }
        if at > 0 {
            pieces.push(Piece::Plain(&rest[..at]));
        }
        pieces.push(Piece::Name(name));
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Plain(rest));
    }
    Ok(pieces)
}

/// Where in the value at `span` the placeholder stands.
fn find_placeholder(name: &str, span: &Range<usize>, text: &Text) -> Range<usize> {
    let placeholder = format!("${{{name}}}");
    match text.slice(span).find(&placeholder) {
        Some(at) => span.start + at..span.start + at + placeholder.len(),
        None => span.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(raw: &str) -> Vec<Piece<'_>> {
        pieces(raw, &(0..0), &Text::new("job.toml".into(), String::new())).unwrap()
    }

    #[test]
    fn texts_are_cut_at_their_placeholders() {
        use Piece::{Name, Plain};
        assert_eq!(cut("a ${b} c"), [Plain("a "), Name("b"), Plain(" c")]);
        assert_eq!(cut("${b}${c}"), [Name("b"), Name("c")]);
        assert_eq!(cut("x$${b}"), [Plain("x"), Plain("${"), Plain("b}")]);
        assert_eq!(cut("$ {b} $"), [Plain("$ {b} $")]);
        assert_eq!(cut(""), []);
    }

    #[test]
    fn broken_placeholders_are_refused() {
        let text = Text::new("job.toml".into(), "x = \"${a b}\"".into());
        for raw in ["${a", "${}", "${a b}"] {
            assert!(pieces(raw, &(4..12), &text).is_err(), "{raw}");
        }
    }
}
