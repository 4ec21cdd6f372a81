//! `hook`: runs one hook of the configuration now, with an event of type `test`, and shows what was sent and how it ended.
//! It needs no daemon, and changes nothing of what one owes.

use super::args::{Common, HookArgs};
use super::output;
use super::setup::{Setup, runtime};
use crate::app::{self, HookTrial};
use crate::config::hook::HookMoment;
use crate::config::nearest;
use crate::fault::ExitStatus;
use crate::hook::HookOutcome;
use crate::printable::Printable;

/// Exit 11 where it failed.
pub(super) fn hook(common: &Common, args: &HookArgs) -> Result<ExitStatus, ExitStatus> {
    let setup = Setup::read(common)?;
    let loaded = setup.loaded(common)?;
    let hooks = &loaded.config.hooks;
    let Some(hook) = hooks.iter().find(|hook| hook.name.as_str() == args.hook) else {
        let hint = match nearest(&args.hook, hooks.iter().map(|hook| hook.name.as_str())) {
            Some(name) => format!("did you mean {name}?"),
            None => "its name is a key of `hooks` in the configuration".to_owned(),
        };
        output::error(&format!("no hook is called {}", args.hook), &hint);
        return Err(ExitStatus::Usage);
    };
    if hook.moment == HookMoment::Staged {
        let message = format!("{} is a gate: it looks at a generation that is staged", args.hook);
        output::error(&message, "try a hook without `on: [staged]`; a gate runs when its secret changes");
        return Err(ExitStatus::Usage);
    }
    let trial = runtime()?.block_on(app::try_hook(hook)).map_err(|error| output::start_error(&error))?;
    let HookTrial { body, signature, outcome } = trial;
    output::result(&format!("event: {}", Printable(&body)))?;
    if let Some(signature) = signature {
        output::result(&format!("X-Hub-Signature-256: {signature}"))?;
    }
    shown(&args.hook, outcome)
}

fn shown(name: &str, outcome: HookOutcome) -> Result<ExitStatus, ExitStatus> {
    let (reason, printed) = match outcome {
        HookOutcome::Succeeded => {
            output::result(&format!("{name}: ok"))?;
            return Ok(ExitStatus::Success);
        }
        HookOutcome::Skipped { reason } => {
            output::result(&format!("{name}: nothing to do: {}", Printable(&reason)))?;
            return Ok(ExitStatus::Success);
        }
        HookOutcome::Failed { reason, output } => (reason, output),
        HookOutcome::TimedOut { output } => ("it took longer than its timeout".to_owned(), output),
    };
    if let Some(printed) = printed {
        output::note(&format!("{name} printed: {}", Printable(&printed)));
    }
    output::error(&format!("{name}: {reason}"), "correct the hook or its target, and run the command again");
    Ok(ExitStatus::HookFailed)
}
