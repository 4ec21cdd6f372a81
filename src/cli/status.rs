//! `status`: the running daemon's view of each secret, from the status file alone: it works without HTTP too.

mod table;

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::args::{Common, StatusArgs};
use super::output::{self, Reader};
use super::setup::{Setup, runtime};
use crate::clock::Clock;
use crate::fault::ExitStatus;
use crate::lifecycle::{Signal, Signals};
use crate::status::{self, Snapshot};
use table::Look;

/// Between two looks of `--watch`.
const PERIOD: Duration = Duration::from_secs(2);

/// Home, and everything below it cleared. Clearing first would flicker.
const REDRAW: (&str, &str, &str) = ("\x1b[H", "\x1b[K\n", "\x1b[J");

/// Prints the table or the JSON; exit 1 where no daemon lives.
pub(super) fn status(common: &Common, args: &StatusArgs) -> Result<ExitStatus, ExitStatus> {
    let setup = Setup::read(common)?;
    let look = Look { colour: output::stdout_is_terminal() && !setup.is_colourless(), width: width() };
    let path = &setup.settings.status_file;
    if args.watch {
        return watch(path, args, look);
    }
    match believed(path) {
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
fn believed(path: &Path) -> Result<Snapshot, Absent> {
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
    match snapshot.distrust(Clock::system().now()) {
        None => Ok(snapshot),
        Some(reason) => Err(Absent {
            reason: format!("{place} is not to be believed: {reason}"),
            remedy: "look at the daemon's log; start it again if it is gone",
        }),
    }
}

fn shown(snapshot: &Snapshot, args: &StatusArgs, look: Look) -> String {
    if args.json {
        // Names, numbers and times: nothing in them can fail to be JSON.
        serde_json::to_string(snapshot).unwrap_or_default()
    } else {
        table::table(snapshot, Clock::system().now(), look)
    }
}

/// Shows it again and again until a signal comes or nobody reads any more. A daemon that is gone may come back.
fn watch(path: &Path, args: &StatusArgs, mut look: Look) -> Result<ExitStatus, ExitStatus> {
    runtime()?.block_on(async {
        let mut signals = Signals::install().map_err(|error| {
            output::error(
                &format!("cannot install signal handlers: {error}"),
                "check the limits of this process",
            );
            ExitStatus::Resource
        })?;
        loop {
            look.width = width();
            let text = match believed(path) {
                Ok(snapshot) => shown(&snapshot, args, look),
                Err(absent) if args.json => {
                    output::note(&absent.reason);
                    String::new()
                }
                Err(Absent { reason, remedy }) => format!("{reason}\n  hint: {remedy}\n"),
            };
            if !text.is_empty() && output::part(&framed(text))? == Reader::Gone {
                return Ok(ExitStatus::Success);
            }
            if stopped_within(&mut signals, PERIOD).await {
                return Ok(ExitStatus::Success);
            }
        }
    })
}

fn width() -> Option<usize> {
    output::stdout_size().map(|(columns, _)| columns)
}

/// On a terminal the text takes the place of the one before.
fn framed(text: String) -> String {
    if !output::stdout_is_terminal() {
        return text;
    }
    let text = output::stdout_size().map_or_else(|| text.clone(), |size| top(&text, size));
    let (home, end_of_line, rest) = REDRAW;
    format!("{home}{}{rest}", text.trim_end().replace('\n', end_of_line))
}

/// As much from the top as a screen of this size holds: what scrolls away cannot be replaced, and the beginning is
/// what matters.
fn top(text: &str, (columns, rows): (usize, usize)) -> String {
    let mut left = rows.saturating_sub(1);
    let mut shown = String::new();
    for line in text.lines() {
        let needed = visible(line).div_ceil(columns).max(1);
        if needed > left {
            break;
        }
        left -= needed;
        shown.extend([line, "\n"]);
    }
    shown
}

/// Characters of a line without those that only colour it.
fn visible(line: &str) -> usize {
    let mut parts = line.split("\x1b[");
    let first = parts.next().map_or(0, |part| part.chars().count());
    let after = |part: &str| part.chars().skip_while(|one| *one != 'm').skip(1).count();
    first + parts.map(after).sum::<usize>()
}

async fn stopped_within(signals: &mut Signals, period: Duration) -> bool {
    let stop = async { while signals.next().await != Signal::Stop {} };
    tokio::time::timeout(period, stop).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_shows_the_top_and_counts_lines_that_wrap() {
        let text = "12345\n\x1b[31m12345\x1b[0m\n123456\n4\n5\n";
        assert_eq!(top(text, (5, 100)), text);
        assert_eq!(top(text, (5, 5)), "12345\n\x1b[31m12345\x1b[0m\n123456\n");
        assert_eq!(top(text, (5, 4)), "12345\n\x1b[31m12345\x1b[0m\n", "the third line needs two rows");
        assert_eq!(top(text, (5, 1)), "");
    }
}
