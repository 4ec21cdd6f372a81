//! Printing. Results go to stdout, everything else to stderr; a pipe whose reader has gone is not an error.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::app::StartError;
use crate::config::Loaded;
use crate::config::diagnostic::{Position, Report};
use crate::config::env::Env;
use crate::fault::{ExitStatus, Fault};
use crate::name::SecretName;
use crate::printable::{self, Printable};
use crate::telemetry::log;

/// Whether stderr is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether stdout is a terminal.
pub(super) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns and rows of the terminal that stdout is; `None` where it is none or does not say.
pub(super) fn stdout_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some((usize::from(size.ws_col), usize::from(size.ws_row)))
        .filter(|(columns, rows)| columns.min(rows) > &0)
}

/// Who reads what is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reader {
    /// Nothing shows that it has gone.
    There,
    /// The pipe is closed.
    Gone,
}

/// Prints the result, with a final newline.
///
/// # Errors
/// It could not be written (a full disk behind `>`); that has been said. A reader that has gone away is none.
pub(super) fn result(text: &str) -> Result<(), ExitStatus> {
    part(text).map(|_| ())
}

/// Prints a part of the result, with a final newline, and tells whether there is a point in printing more.
///
/// # Errors
/// As of [`result`].
pub(super) fn part(text: &str) -> Result<Reader, ExitStatus> {
    match print(io::stdout().lock(), text) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => {
            self::error(&format!("cannot write the result: {error}"), "look at where stdout leads to");
            Err(ExitStatus::Failed)
        }
    }
}

/// Prints a result for programs: JSON on one line that gives no orders to a terminal.
///
/// # Errors
/// As of [`result`].
pub(super) fn json(document: &Value) -> Result<(), ExitStatus> {
    result(&printable::json(&document.to_string()))
}

/// Prints a word to the person at the terminal, with a final newline.
pub(super) fn note(text: &str) {
    let line = format!("{}\n", text.strip_suffix('\n').unwrap_or(text));
    if !log::print(&line) {
        // If stderr cannot be written, nobody reads it.
        drop(print(io::stderr().lock(), &line));
    }
}

/// Prints what is wrong with a configuration; on a terminal with colours.
pub(super) fn report(report: &Report) {
    let text = report.to_string();
    let has_colours = is_terminal() && !is_colourless(&Env::process());
    note(&if has_colours { coloured(&text) } else { text });
}

/// What begins a line is ours: text of others is escaped, and comes behind it.
fn coloured(report: &str) -> String {
    const COLOURS: [(&str, &str); 3] =
        [("error[", "\x1b[1;31m"), ("warning[", "\x1b[1;33m"), ("  hint:", "\x1b[1m")];
    let mut text = String::with_capacity(report.len() + 64);
    for line in report.lines() {
        let colour = COLOURS.iter().find(|(start, _)| line.starts_with(start));
        match colour.and_then(|(_, colour)| Some((colour, line.split_once(':')?))) {
            Some((colour, (word, rest))) => text.extend([colour, word, ":\x1b[0m", rest, "\n"]),
            None => text.extend([line, "\n"]),
        }
    }
    text
}

/// `NO_COLOR` is set, and not to nothing (no-color.org).
pub(super) fn is_colourless(env: &Env) -> bool {
    let refused = env.is_set("NO_COLOR") && env.value("NO_COLOR") != Some("");
    refused || is_dumb(env)
}

/// Whether the terminal obeys no escapes.
pub(super) fn is_dumb(env: &Env) -> bool {
    env.value("TERM") == Some("dumb")
}

/// Prints an error and, on the last line, what to do about it.
pub(super) fn error(message: &str, remedy: &str) {
    note(&format!("error: {}\n  hint: {}", Printable(message), Printable(remedy)));
}

/// Prints why a command could not start; returns its exit code.
pub(super) fn start_error(error: &StartError) -> ExitStatus {
    match error {
        StartError::Configuration(report) => self::report(report),
        StartError::Failure { message, remedy, status: _ } => self::error(message, remedy),
    }
    error.status()
}

/// What messages say about the secrets of a configuration: where they are described, and which are optional.
#[derive(Default)]
pub(super) struct SecretPlaces {
    file: String,
    positions: BTreeMap<String, Position>,
    optional: BTreeSet<SecretName>,
}

impl SecretPlaces {
    pub(super) fn of(loaded: &Loaded) -> Self {
        Self {
            file: loaded.warnings.file.clone(),
            positions: loaded.positions.clone(),
            optional: loaded.config.optional_secrets(),
        }
    }

    pub(super) fn is_optional(&self, secret: &SecretName) -> bool {
        self.optional.contains(secret)
    }

    pub(super) fn position(&self, secret: &SecretName) -> Option<Position> {
        self.positions.get(secret.as_str()).copied()
    }

    /// Prints the fault of one secret, as the configuration's own errors are printed; one of an optional secret is a
    /// note.
    pub(super) fn print(&self, secret: &SecretName, fault: &Fault) {
        let place =
            self.position(secret).map(|Position { line, column }| format!("{}:{line}:{column}", self.file));
        let place = place.map(|place| format!("\n  --> {}", Printable(&place))).unwrap_or_default();
        let text = format!("{}: {}", secret.as_str(), fault.message);
        if self.is_optional(secret) {
            note(&format!("note: {} (it is not required){place}", Printable(&text)));
        } else {
            let hint = Printable(&fault.remedy);
            note(&format!("error: {}{place}\n  hint: {hint}", Printable(&text)));
        }
    }
}

fn print(mut stream: impl Write, text: &str) -> io::Result<()> {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    write!(stream, "{text}{newline}")?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_words_have_colours() {
        let report =
            "error[bad-mode]: \"0\" is none: of them\n  --> a.yaml:1:2\n1 | error[x]: y\n  hint: write\n";
        let expected = "\x1b[1;31merror[bad-mode]:\x1b[0m \"0\" is none: of them\n  --> a.yaml:1:2\n1 | error[x]: y\n\
                        \x1b[1m  hint:\x1b[0m write\n";
        assert_eq!(coloured(report), expected);
    }
}
