//! `status`: the running daemon's view of each secret, from the status file only: it works without HTTP too.

mod table;

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::args::{Common, StatusArgs};
use super::output::{self, Reader};
use super::setup::{Setup, runtime};
use crate::blocking::Worker;
use crate::clock::Clock;
use crate::fault::ExitStatus;
use crate::lifecycle::{Signal, Signals};
use crate::printable::{self, Printable};
use crate::status::{self, Snapshot};
use table::TableStyle;

/// Between two looks of `--watch`.
const PERIOD: Duration = Duration::from_secs(2);

/// After this time a reader that reads nothing counts as gone.
const UNREAD: Duration = Duration::from_secs(24 * 3600);

/// Where the text of `--watch` begins.
const HOME: &str = "\x1b[H";

/// Clears what the line before left right of the cursor.
const CLEAR_LINE: &str = "\x1b[K";

/// Clears everything from the cursor on.
const CLEAR_REST: &str = "\x1b[J";

/// Prints the table or the JSON; exit 1 where no daemon lives.
pub(super) fn status(common: &Common, args: &StatusArgs) -> Result<ExitStatus, ExitStatus> {
    let setup = Setup::read(common)?;
    let look =
        TableStyle { colour: output::stdout_is_terminal() && !setup.is_colourless(), width: width(&setup) };
    let path = setup.settings.status_file.to_read();
    if args.watch {
        return watch(&setup, args, look);
    }
    match trusted(path) {
        Ok(snapshot) => {
            output::result(&shown(&snapshot, args, look))?;
            Ok(ExitStatus::Success)
        }
        Err(Absent { reason, remedy }) => {
            output::error(&reason, remedy);
            Ok(ExitStatus::Failed)
        }
    }
}

/// Why there is nothing to show.
struct Absent {
    reason: String,
    remedy: &'static str,
}

/// The snapshot of a daemon that lives.
fn trusted(path: &Path) -> Result<Snapshot, Absent> {
    let place = path.display();
    let snapshot = status::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Absent {
            reason: format!("no daemon is running: there is no status file at {place}"),
            remedy: "start it, or give this command the STATUS_FILE that the daemon has",
        },
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Absent {
            reason: format!("{place} is not a status file of this version"),
            remedy: "use the program of the daemon's own version, or its STATUS_FILE",
        },
        _ => Absent {
            reason: format!("cannot read {place}: {error}"),
            remedy: "run it as a user who may read that file",
        },
    })?;
    let reason = if status::is_owned(path) {
        snapshot.staleness(Clock::system().now())
    } else {
        Some("the daemon has ended without removing its status file".to_owned())
    };
    match reason {
        None => Ok(snapshot),
        Some(reason) => {
            Err(Absent { reason, remedy: "look at the daemon's log; start it again if it has ended" })
        }
    }
}

fn shown(snapshot: &Snapshot, args: &StatusArgs, look: TableStyle) -> String {
    if args.json {
        // Names, numbers and times: nothing in them can fail to be JSON.
        printable::json(&serde_json::to_string(snapshot).unwrap_or_default()).into_owned()
    } else {
        table::table(snapshot, Clock::system().now(), look)
    }
}

/// Shows it again and again until a signal comes or the reader is gone. A daemon that has ended may come back.
fn watch(setup: &Setup, args: &StatusArgs, mut look: TableStyle) -> Result<ExitStatus, ExitStatus> {
    let path = setup.settings.status_file.to_read();
    let in_place = output::stdout_is_terminal() && !setup.is_dumb();
    let (runtime, worker) = (runtime()?, Worker::default());
    let result = runtime.block_on(async {
        let mut signals = Signals::install().map_err(|error| {
            output::error(
                &format!("cannot install signal handlers: {error}"),
                "check the limits of this process",
            );
            ExitStatus::Resource
        })?;
        loop {
            let size = size(setup);
            look.width = size.map(|(columns, _)| columns);
            let (text, note) = match trusted(path) {
                Ok(snapshot) => (shown(&snapshot, args, look), None),
                Err(absent) if args.json => (String::new(), Some(Printable(&absent.reason).to_string())),
                Err(Absent { reason, remedy }) => {
                    (format!("{}\n  hint: {remedy}\n", Printable(&reason)), None)
                }
            };
            let text = if in_place { framed(&text, size) } else { text };
            // Nobody may read it, after Ctrl-S for example: a signal ends it then, too.
            let printing = worker.run("printing", UNREAD, move |_| print(&text, note.as_deref()));
            tokio::select! {
                () = stopped(&mut signals) => return Ok(ExitStatus::Success),
                printed = printing => match printed {
                    Ok(Ok(Reader::There)) => {}
                    Ok(Err(status)) => return Err(status),
                    Ok(Ok(Reader::Gone)) | Err(_) => return Ok(ExitStatus::Success),
                },
            }
            if timeout(PERIOD, stopped(&mut signals)).await.is_ok() {
                return Ok(ExitStatus::Success);
            }
        }
    });
    runtime.shutdown_background();
    result
}

fn print(text: &str, note: Option<&str>) -> Result<Reader, ExitStatus> {
    if let Some(note) = note {
        output::note(note);
    }
    if text.is_empty() { Ok(Reader::There) } else { output::part(text) }
}

fn width(setup: &Setup) -> Option<usize> {
    size(setup).map(|(columns, _)| columns)
}

/// Columns and rows of the terminal; `None` where stdout is none, or nobody knows. A console that does not know its
/// size leaves it to the environment.
fn size(setup: &Setup) -> Option<(usize, usize)> {
    let variable = |name| setup.env.value(name)?.parse().ok().filter(|&number: &usize| number > 0);
    let from_environment = || Some((variable("COLUMNS")?, variable("LINES").unwrap_or(24)));
    output::stdout_size().or_else(|| from_environment().filter(|_| output::stdout_is_terminal()))
}

/// The text with what lets it take the place of the one before; nothing where there is none.
fn framed(text: &str, size: Option<(usize, usize)>) -> String {
    match size {
        _ if text.is_empty() => String::new(),
        Some(size) => redrawn(&top(text, size), size.0),
        None => redrawn(text, usize::MAX),
    }
}

/// `text` over what was there before. Clearing all of it first would flicker, so each line is cleared behind its text.
/// Not behind a text that ends in the last column: the cursor still stands there, and the last character would go.
fn redrawn(text: &str, columns: usize) -> String {
    let mut drawn = HOME.to_owned();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let taken = table::columns(line);
        let ends_in_last_column = taken > 0 && taken.is_multiple_of(columns);
        let clear = if ends_in_last_column { "" } else { CLEAR_LINE };
        if lines.peek().is_none() {
            drawn.push_str(CLEAR_REST);
        }
        drawn.extend([line, clear, "\n"]);
    }
    drawn
}

/// As much from the top as a screen of this size holds, and how much is missing: what scrolls away cannot be replaced.
fn top(text: &str, (columns, rows): (usize, usize)) -> String {
    let height = |line: &str| table::columns(line).div_ceil(columns).max(1);
    let mut left = rows.saturating_sub(1);
    if text.lines().map(height).sum::<usize>() <= left {
        return text.to_owned();
    }
    // The last row says what is missing.
    left = left.saturating_sub(1);
    let mut shown = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next_if(|line| height(line) <= left) {
        left -= height(line);
        shown.extend([line, "\n"]);
    }
    let hidden = lines.count();
    shown + &format!("… {hidden} more {}\n", if hidden == 1 { "line" } else { "lines" })
}

async fn stopped(signals: &mut Signals) {
    while signals.next().await != Signal::Stop {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_shows_the_top_and_says_how_much_is_missing() {
        let text = "12345\n\x1b[31m12345\x1b[0m\n123456\n4\n5\n";
        assert_eq!(top(text, (9, 100)), text);
        assert_eq!(top(text, (9, 5)), "12345\n\x1b[31m12345\x1b[0m\n123456\n… 2 more lines\n");
        assert_eq!(
            top(text, (5, 5)),
            "12345\n\x1b[31m12345\x1b[0m\n… 3 more lines\n",
            "the third line needs two rows"
        );
        assert_eq!(top(text, (5, 1)), "… 5 more lines\n");
    }

    #[test]
    fn each_line_is_cleared_behind_its_text_unless_that_fills_the_row() {
        let drawn = redrawn("12\n\n\x1b[31m12345\x1b[0m\n1234567890\n123\n", 5);
        assert_eq!(drawn, "\x1b[H12\x1b[K\n\x1b[K\n\x1b[31m12345\x1b[0m\n1234567890\n\x1b[J123\x1b[K\n");
    }
}
