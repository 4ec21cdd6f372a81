//! `plan`: what a sync would do to each file.

use super::args::Common;
use super::output;
use super::setup::{Setup, runtime};
use crate::app::survey;
use crate::fault::ExitStatus;
use crate::printable::Printable;
use crate::sink::{Action, Preview};

/// One line a file on stdout; what cannot be planned on stderr.
pub(super) fn plan(common: &Common) -> Result<ExitStatus, ExitStatus> {
    let setup = Setup::read(common)?;
    let (_, loaded) = setup.loaded(common)?;
    let world = setup.world(loaded.config)?;
    let runtime = runtime()?;
    let findings = runtime.block_on(survey(world));
    runtime.shutdown_background();
    let mut text = String::new();
    for finding in &findings {
        for preview in &finding.previews {
            text.push_str(&line(finding.secret.as_str(), preview));
        }
    }
    if !text.is_empty() {
        output::result(&text)?;
    }
    for finding in &findings {
        for fault in &finding.faults {
            output::fault(finding.secret.as_str(), fault);
        }
    }
    let faults = findings.iter().flat_map(|finding| &finding.faults);
    Ok(ExitStatus::of_all(faults.map(|fault| fault.kind.exit_status())))
}

/// Fingerprints are keyed anew in each process: within one plan equal ones mean equal content, and they tell nothing
/// to who reads the output.
fn line(secret: &str, preview: &Preview) -> String {
    let action = match &preview.action {
        Action::Create => "create",
        Action::Change => "change",
        Action::Repair(_) => "repair",
        Action::Unchanged => "unchanged",
        Action::Refused(_) => "refused",
    };
    let path = preview.path.as_path().display().to_string();
    let mut line = format!("{action:<9} {}  secret={}", Printable(&path), Printable(secret));
    let mut add = |text: std::fmt::Arguments<'_>| line.push_str(&text.to_string());
    match preview.old_size {
        Some(old) => add(format_args!("  size={old}→{}", preview.new_size)),
        None => add(format_args!("  size={}", preview.new_size)),
    }
    match preview.old_fingerprint {
        Some(old) => add(format_args!("  fingerprint={old}→{}", preview.new_fingerprint)),
        None => add(format_args!("  fingerprint={}", preview.new_fingerprint)),
    }
    add(format_args!("  mode={:04o}", preview.mode.bits()));
    if let Action::Repair(what) = &preview.action {
        add(format_args!("  repairs={what}"));
    }
    line.push('\n');
    line
}
