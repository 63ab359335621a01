//! What the command prints: results to standard output, problems to standard
//! error.

use std::io::{self, IsTerminal, Write};

use kiln_core::Fault;
use kiln_jobfile::Problem;
use miette::{GraphicalReportHandler, GraphicalTheme};

/// Prints a result. A reader that has gone away, as `head` does, is no error.
pub(crate) fn result(text: &str) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fault::io("standard output", e).into())
        }
        _ => Ok(()),
    }
}

/// Prints something to know on standard error.
pub(crate) fn notice(text: &str) {
    // Where nobody can read it, nothing can be said.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Shows a problem: with its line and a caret, where it has a place.
pub(crate) fn problem(problem: &Problem) {
    notice(rendered(problem, io::stderr().is_terminal()).trim_end());
}

/// A problem as text; for a terminal in colours, unless the user wants none.
pub(crate) fn rendered(problem: &Problem, terminal: bool) -> String {
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let theme = match (terminal, colours) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, _) => GraphicalTheme::none(),
    };
    let handler = GraphicalReportHandler::new_themed(theme).without_cause_chain();
    let handler = if terminal { handler } else { handler.with_wrap_lines(false) };
    let mut text = String::new();
    match handler.render_report(&mut text, problem) {
        Ok(()) => text,
        Err(_) => problem.to_string(),
    }
}
