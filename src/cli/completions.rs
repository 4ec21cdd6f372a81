//! `completions`: what a shell asks to complete a command line.

use super::args::{self, CompletionsArgs};
use super::output;
use crate::fault::ExitStatus;

/// Prints the script for one shell.
pub(super) fn completions(args: &CompletionsArgs) -> Result<ExitStatus, ExitStatus> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "secrets-sync", &mut script);
    // clap_complete 4.6 takes the hyphen of the name, written "__", for the beginning of a command, and then its script
    // for bash completes no option of a command.
    let script = String::from_utf8_lossy(&script).replace("secrets__subcmd__sync", "secrets__sync");
    output::result(&script)?;
    Ok(ExitStatus::Success)
}
