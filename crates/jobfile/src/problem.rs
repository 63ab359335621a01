//! What is wrong, and where in the job file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use kiln_core::Fault;
use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};

use crate::secrets::without_secrets_in_place;
use crate::text::{masked_in_place, printable_lines};

/// A fault, with the place in the job file where it comes from, if it comes
/// from there. It can be shown by [`miette`].
pub struct Problem(Box<Inner>);

struct Inner {
    fault: Fault,
    usage: bool,
    severity: Severity,
    place: Option<Place>,
}

struct Place {
    source: NamedSource<String>,
    span: Range<usize>,
    label: Option<String>,
}

impl Problem {
    /// The fault, which says what kind of problem it is.
    pub fn fault(&self) -> &Fault {
        &self.0.fault
    }

    /// Whether the command was wrong, and not the job file.
    pub fn is_usage(&self) -> bool {
        self.0.usage
    }

    /// Where it is: `job.toml:12`.
    pub fn place(&self) -> Option<String> {
        let place = self.0.place.as_ref()?;
        let before = place.source.inner().get(..place.span.start)?;
        Some(format!("{}:{}", place.source.name(), before.matches('\n').count() + 1))
    }

    /// A command that asks for what the job file does not have.
    pub fn usage(fault: Fault) -> Self {
        let mut problem = Self::from(fault);
        problem.0.usage = true;
        problem
    }

    /// Says what stands at the place.
    #[must_use]
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        if let Some(place) = &mut self.0.place {
            place.label = Some(label.into());
        }
        self
    }

    /// The same as something to know, not to mend.
    #[must_use]
    pub(crate) fn warning(mut self) -> Self {
        self.0.severity = Severity::Warning;
        self
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self(Box::new(Inner { fault, usage: false, severity: Severity::Error, place: None }))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable_lines(self.0.fault.message()))
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}", self.0.fault, self.place())
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<Severity> {
        Some(self.0.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let hint = printable_lines(self.0.fault.hint()?);
        Some(Box::new(hint))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.place.as_ref().map(|p| &p.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.0.place.as_ref()?;
        let label = place.label.clone().unwrap_or_else(|| "here".to_owned());
        let span = LabeledSpan::new_with_span(Some(label), place.span.clone());
        Some(Box::new(std::iter::once(span)))
    }
}

/// The text of a job file, to point into.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    name: Arc<str>,
    text: Arc<str>,
}

impl Text {
    pub(crate) fn new(name: String, text: String) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The text in a span; empty if it is none.
    pub(crate) fn slice(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// A fault at a place. Of a value of several lines the first is shown.
    pub(crate) fn problem(&self, span: Range<usize>, fault: Fault) -> Problem {
        let lines = self.slice(&span);
        let first = lines.find('\n').map_or(lines.len(), |n| n.max(1));
        let span = span.start..span.start + first;
        let shown = without_secrets_in_place(&masked_in_place(&self.text));
        let source = NamedSource::new(&*self.name, shown);
        let mut problem = Problem::from(fault);
        problem.0.place = Some(Place { source, span, label: None });
        problem
    }
}
