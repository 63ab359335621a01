//! What the parser, the planner and the kernels say, as plain sentences.

use arrow_schema::ArrowError;
use datafusion_common::DataFusionError;
use datafusion_sql::sqlparser::parser::ParserError;
use datafusion_sql::sqlparser::tokenizer::Location;
use kiln_core::Fault;

use crate::json::NotAsAsked;

/// A place in the SQL text, as people count.
pub(crate) fn place(at: Location) -> String {
    if at.line == 0 { String::new() } else { format!("line {}, column {}: ", at.line, at.column) }
}

/// Text that is no SQL.
pub(crate) fn syntax(error: ParserError) -> Fault {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
    };
    // The parser puts the place behind: "… at Line: 1, Column: 8".
    let text = match text.rsplit_once(" at Line: ") {
        Some((what, at)) => format!("line {}: {what}", at.replace(", Column: ", ", column ")),
        None => text,
    };
    let text = text
        .replace("Expected: ", "expected ")
        .replace("found: EOF", "but the SQL ends")
        .replace("found: ", "found ");
    Fault::config(text)
}

/// SQL that can't be planned: a type that does not fit, an unknown function.
pub(crate) fn planning(error: &DataFusionError) -> Fault {
    let text = plain(error);
    // A list of all signatures helps nobody; the sentence before it does.
    let text = text.split("Candidate functions:").next().unwrap_or(&text);
    let text = text.split("You might need to add explicit type casts").next().unwrap_or(text);
    let fault = Fault::config(text.trim());
    if text.contains("coerc") || text.contains("argument types") {
        fault.with_hint(
            "write the type out: CAST(… AS …), or TRY_CAST for NULL where it does not fit",
        )
    } else {
        fault
    }
}

/// A value on which an expression fails.
pub(crate) fn value(error: &DataFusionError) -> Fault {
    let text = plain(error);
    let code = code(error, &text);
    Fault::item(text).with_code(code)
}

fn code(error: &DataFusionError, text: &str) -> &'static str {
    if matches!(root(error), DataFusionError::External(e) if e.is::<NotAsAsked>()) {
        return "json";
    }
    match arrow(error) {
        Some(ArrowError::CastError(_) | ArrowError::ParseError(_)) => "cast",
        Some(ArrowError::DivideByZero) => "division",
        Some(ArrowError::ArithmeticOverflow(_)) => "overflow",
        _ if is_overflow(text) => "overflow",
        _ => "expression",
    }
}

fn is_overflow(text: &str) -> bool {
    [
        "overflow",
        "Overflow",
        "too large to store",
        "too small to store",
        "exceeds the representable",
    ]
    .iter()
    .any(|word| text.contains(word))
}

/// The message without the names of the layers it came through.
fn plain(error: &DataFusionError) -> String {
    let text = match arrow(error) {
        Some(error) => plain_arrow(error),
        None => root(error).message().into_owned(),
    };
    let text = text.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn plain_arrow(error: &ArrowError) -> String {
    match error {
        ArrowError::DivideByZero => "division by zero".to_owned(),
        ArrowError::CastError(text)
        | ArrowError::ParseError(text)
        | ArrowError::ComputeError(text)
        | ArrowError::InvalidArgumentError(text)
        | ArrowError::ArithmeticOverflow(text)
        | ArrowError::NotYetImplemented(text) => text.clone(),
        other => other.to_string(),
    }
}

fn arrow(error: &DataFusionError) -> Option<&ArrowError> {
    match root(error) {
        DataFusionError::ArrowError(error, _) => Some(error),
        _ => None,
    }
}

pub(crate) fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(all) => all.first().map_or(error, root),
        other => other,
    }
}
