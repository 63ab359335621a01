//! From the text of a job file to what it says.

use std::path::Path;

use kiln_core::{Fault, Fingerprint};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use crate::definition;
use crate::each::Fans;
use crate::interpolate::{Outside, interpolate};
use crate::nearest::suggestion;
use crate::parameters::Parameters;
use crate::problem::{Problem, Text};
use crate::secrets::secrets_of;
use crate::spec::{FileSpec, Spec};
use crate::steps;

/// What a job file says, parameters filled in.
pub(crate) struct Loaded {
    pub(crate) spec: Spec,
    pub(crate) parameters: Parameters,
    pub(crate) outside: Outside,
    /// The parts of the job as they are written, for its fingerprint.
    pub(crate) definition: Fingerprint,
    pub(crate) warnings: Vec<Problem>,
}

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<Text, Problem> {
    let shown = path.display().to_string();
    let fault = match std::fs::read_to_string(path) {
        Ok(text) => return Ok(Text::new(shown, text)),
        Err(_) if path.is_dir() => Fault::config(format!("{shown} is a directory, not a job file"))
            .with_hint("name the file in it, such as job.toml"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Fault::config(format!("there is no job file {shown}")).with_hint("check the path")
        }
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            Fault::config(format!("{shown} is not UTF-8, so it is no job file"))
        }
        Err(e) => Fault::io(shown, e),
    };
    Err(fault.into())
}

/// Parses it and fills in the parameters. A step that is for several things becomes
/// one for each, where it is known what they are.
pub(crate) fn load(
    text: &Text,
    given: &[(String, String)],
    fans: &Fans,
) -> Result<Loaded, Problem> {
    let mut table = DeTable::parse(text.as_str()).map_err(|e| syntax(&e, text))?;
    let warnings = literal_passwords(table.get_ref(), text);
    let raw = definition::as_written(table.get_ref());
    let parameters = Parameters::take(table.get_mut(), given, text)?;
    let outside = interpolate(table.get_mut(), &parameters, text, fans)?;
    steps::refuse_both(table.get_ref(), text)?;
    let file = FileSpec::deserialize(Deserializer::from(table)).map_err(|e| meaning(&e, text))?;
    let spec = steps::spec(file, text)?;
    refuse_later(&spec, text)?;
    let definition = definition::filled_in(raw, &spec);
    Ok(Loaded { spec, parameters, outside, definition, warnings })
}

/// What TOML itself does not allow.
fn syntax(error: &Error, text: &Text) -> Problem {
    let fault = Fault::config(format!("the job file is no TOML: {}", error.message().trim()));
    text.problem(error.span().unwrap_or(0..0), fault)
}

/// A key or a value that the job file does not have.
fn meaning(error: &Error, text: &Text) -> Problem {
    let span = error.span().unwrap_or(0..0);
    let message = error.message();
    if let Some(key) = message.strip_prefix("unknown field `").and_then(|m| m.split('`').next()) {
        let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
        let fault = Fault::config(format!("unknown key `{key}`")).with_hint(suggestion(
            "keys that are known here",
            key,
            &known,
        ));
        return text.problem(span, fault).label("unknown key");
    }
    if let Some(key) = message.strip_prefix("missing field `").and_then(|m| m.split('`').next()) {
        return text
            .problem(span, Fault::config(format!("the key `{key}` is missing")))
            .label("is missing here");
    }
    text.problem(span, Fault::config(message.trim()))
}

/// Says of what kiln can't do yet that it can't.
fn refuse_later(spec: &Spec, text: &Text) -> Result<(), Problem> {
    let rate = spec.steps.iter().find_map(|s| s.limits.rate.as_ref());
    let later = [(rate, "a limit of the rate", "leave it out")];
    match later.into_iter().find_map(|(value, what, hint)| value.map(|v| (v.span(), what, hint))) {
        Some((span, what, hint)) => Err(not_there_yet(text, span, what, hint)),
        None => Ok(()),
    }
}

/// Something of the job file that kiln understands, but can't do yet.
pub(crate) fn not_there_yet(
    text: &Text,
    span: std::ops::Range<usize>,
    what: &str,
    hint: &str,
) -> Problem {
    text.problem(span, Fault::config(format!("{what} is not there yet")).with_hint(hint))
}

/// The URL in a table of a job or of a step.
fn url<'a, 'i>(table: &'a DeTable<'i>, of: &str) -> Option<&'a Spanned<DeValue<'i>>> {
    table.get(of)?.get_ref().get("url")
}

/// The default of a parameter that is declared with its type.
fn default_of<'a, 'i>(declared: &'a Spanned<DeValue<'i>>) -> Option<&'a Spanned<DeValue<'i>>> {
    declared.get_ref().as_table()?.get("default")
}

/// Warns of passwords that stand in the job file.
fn literal_passwords(table: &DeTable<'_>, text: &Text) -> Vec<Problem> {
    let params = table.get("params").and_then(|p| p.get_ref().as_table());
    let steps = table.get("step").and_then(|s| s.get_ref().as_array());
    let steps = steps.into_iter().flatten().filter_map(|step| step.get_ref().as_table());
    let values = url(table, "target")
        .into_iter()
        .chain(table.get("target").and_then(|target| target.get_ref().get("ledger")))
        .chain(url(table, "source"))
        .chain(steps.filter_map(|step| url(step, "source")))
        .chain(params.into_iter().flat_map(|p| p.values()))
        .chain(params.into_iter().flat_map(|p| p.values()).filter_map(default_of));
    let holds_one = |value: &DeValue<'_>| {
        let secrets = value.as_str().map(secrets_of).unwrap_or_default();
        secrets.iter().any(|s| !s.contains("${"))
    };
    let warn = |span| {
        let fault = Fault::config("a password stands in the job file, where others can read it")
            .with_hint("write url = \"${DATABASE_URL}\" and set it in the environment");
        text.problem(span, fault).warning()
    };
    values.filter(|v| holds_one(v.get_ref())).map(|v| warn(v.span())).collect()
}
