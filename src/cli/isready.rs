//! `isready`: what a container's health check asks. Reads the status file and nothing else.

use std::io::ErrorKind;
use std::path::Path;

use super::args::{Common, IsreadyArgs};
use super::output;
use super::setup::Setup;
use crate::clock::Clock;
use crate::fault::ExitStatus;
use crate::status::{self, Snapshot};

/// Exit 0 and silence when ready; else one line on stderr that says why not.
pub(super) fn isready(common: &Common, args: &IsreadyArgs) -> Result<ExitStatus, ExitStatus> {
    let setup = Setup::read(common)?;
    let verdict = judge(setup.settings.status_file.to_read());
    if args.json {
        output::json(&json(&verdict))?;
    }
    let Some(reason) = verdict.reason else { return Ok(ExitStatus::Success) };
    output::note(&format!("not ready: {reason}"));
    Ok(ExitStatus::Failed)
}

struct ReadyAnswer {
    reason: Option<String>,
    snapshot: Option<Snapshot>,
}

fn judge(path: &Path) -> ReadyAnswer {
    match status::read(path) {
        Ok(snapshot) => {
            let reason = if status::is_owned(path) {
                snapshot.unready_reason(Clock::system().now())
            } else {
                Some("the daemon has ended without removing its status file".to_owned())
            };
            ReadyAnswer { reason, snapshot: Some(snapshot) }
        }
        Err(error) => {
            let path = path.display();
            let reason = match error.kind() {
                ErrorKind::NotFound => {
                    format!("no status file at {path}; is the daemon running, with the same STATUS_FILE?")
                }
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                    format!("{path} is not a status file of this version")
                }
                _ => format!("cannot read {path}: {error}"),
            };
            ReadyAnswer { reason: Some(reason), snapshot: None }
        }
    }
}

fn json(verdict: &ReadyAnswer) -> serde_json::Value {
    let ReadyAnswer { reason, snapshot } = verdict;
    serde_json::json!({ "ready": reason.is_none(), "reason": reason, "status": snapshot })
}
