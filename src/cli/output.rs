//! Printing. Results go to stdout, everything else to stderr; a pipe whose reader has gone is not an error.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::app::StartError;
use crate::config::Loaded;
use crate::config::diagnostic::Position;
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

/// Prints an error and, on the last line, what to do about it.
pub(super) fn error(message: &str, remedy: &str) {
    note(&format!("error: {}\n  hint: {}", Printable(message), Printable(remedy)));
}

/// Prints why a command could not start; returns its exit code.
pub(super) fn start_error(error: &StartError) -> ExitStatus {
    match error {
        StartError::Configuration(report) => note(&report.to_string()),
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
            self.position(secret).map(|Position { line, column }| format!("{}:{line}:{column}: ", self.file));
        let (place, name) = (place.unwrap_or_default(), secret.as_str());
        let text = format!("{name}: {}", fault.message);
        if self.is_optional(secret) {
            note(&format!("{}note: {} (it is not required)", Printable(&place), Printable(&text)));
        } else {
            let hint = Printable(&fault.remedy);
            note(&format!("{}error: {}\n  hint: {hint}", Printable(&place), Printable(&text)));
        }
    }
}

fn print(mut stream: impl Write, text: &str) -> io::Result<()> {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    write!(stream, "{text}{newline}")?;
    stream.flush()
}
