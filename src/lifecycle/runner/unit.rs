//! A unit of systemd, through systemctl: it is never started, only reloaded or restarted where it is active.

use std::path::Path;
use std::time::Instant;

use super::command;
use super::guard::{CommandEnd, GuardJob, GuardReport};
use super::guards::GuardedRun;
use super::message::RunnerOutcome;

const SYSTEMCTL: [&str; 3] = ["/usr/bin/systemctl", "/bin/systemctl", "/run/current-system/sw/bin/systemctl"];

/// What systemctl says where polkit says no. It prints English: `LANG` is `C.UTF-8`.
const DENIALS: [&str; 3] = ["Access denied", "nteractive authentication required", "Permission denied"];

/// Reloads `unit`, or restarts it where it cannot reload or `restart` asks for it. `job` has everything but the command.
pub(super) fn run(unit: &str, restart: bool, mut job: GuardJob, run: &GuardedRun) -> RunnerOutcome {
    let Some(systemctl) = SYSTEMCTL.into_iter().find(|path| Path::new(path).exists()) else {
        return RunnerOutcome::failed("there is no systemctl here: `unit` needs systemd");
    };
    let argv = |words: &[&str]| {
        let words = words.iter().copied().chain(["--", unit]);
        [systemctl, "--no-ask-password", "--no-pager"].into_iter().chain(words).map(str::to_owned).collect()
    };
    let began = Instant::now();
    job.argv = argv(&["show", "--property=ActiveState", "--value"]);
    match command::ended(&job, run) {
        Ok(GuardReport { end: CommandEnd::Exited(0), output }) => {
            let state = String::from_utf8_lossy(&output.0).trim().to_owned();
            if ["inactive", "failed", "deactivating"].contains(&state.as_str()) {
                return RunnerOutcome::Skipped { reason: format!("{unit} is {state}") };
            }
        }
        // The verb itself says what is wrong.
        Ok(_) => {}
        Err(reason) => return RunnerOutcome::failed(reason),
    }
    let verb = if restart { "try-restart" } else { "reload-or-try-restart" };
    job.argv = argv(&[verb]);
    job.timeout = job.timeout.saturating_sub(began.elapsed());
    match command::run(&job, run) {
        RunnerOutcome::Failed { reason, output } if is_denied(&output.0) => RunnerOutcome::Failed {
            reason: format!(
                "{reason}: this user may not do that; allow the verb \"{verb}\" of {unit} with a polkit rule \
                 (docs/hooks.md#units)"
            ),
            output,
        },
        outcome => outcome,
    }
}

fn is_denied(output: &[u8]) -> bool {
    let text = String::from_utf8_lossy(output);
    DENIALS.iter().any(|denial| text.contains(denial))
}
