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
    let look = Look {
        colour: output::stdout_is_terminal() && !setup.env.is_set("NO_COLOR"),
        width: output::stdout_width(),
    };
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
            look.width = output::stdout_width();
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

/// On a terminal the text takes the place of the one before.
fn framed(text: String) -> String {
    if !output::stdout_is_terminal() {
        return text;
    }
    let (home, end_of_line, rest) = REDRAW;
    format!("{home}{}{rest}", text.replace('\n', end_of_line))
}

async fn stopped_within(signals: &mut Signals, period: Duration) -> bool {
    let stop = async { while signals.next().await != Signal::Stop {} };
    tokio::time::timeout(period, stop).await.is_ok()
}
