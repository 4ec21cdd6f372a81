//! `plan`: what a sync would do to each file.

use std::fmt::Display;

use super::args::Common;
use super::output;
use super::setup::{Setup, runtime};
use crate::app::survey;
use crate::disk::TargetPath;
use crate::fault::ExitStatus;
use crate::printable::Printable;
use crate::sink::{PlannedAction, Preview, Removal};

/// One line a file on stdout; what cannot be planned on stderr.
pub(super) fn plan(common: &Common) -> Result<ExitStatus, ExitStatus> {
    let setup = Setup::read(common)?;
    let loaded = setup.loaded(common)?;
    let optional = loaded.config.optional_secrets();
    let composition = setup.composition(loaded)?;
    let runtime = runtime()?;
    let findings = runtime.block_on(survey(composition));
    runtime.shutdown_background();
    let mut text = String::new();
    for finding in &findings {
        for preview in &finding.previews {
            text.push_str(&line(finding.secret.as_str(), preview));
        }
        for removal in &finding.removals {
            text.push_str(&removal_line(finding.secret.as_str(), removal));
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
    let required = findings.iter().filter(|finding| !optional.contains(&finding.secret));
    let faults = required.flat_map(|finding| &finding.faults);
    Ok(ExitStatus::of_all(faults.map(|fault| fault.kind.exit_status())))
}

/// Fingerprints have a new key in each process: within one plan equal ones mean equal content, and they reveal nothing
/// to who reads the output.
fn line(secret: &str, preview: &Preview) -> String {
    let action = match &preview.action {
        PlannedAction::Create => "create",
        PlannedAction::Change => "change",
        PlannedAction::Repair(_) => "repair",
        PlannedAction::Unchanged => "unchanged",
        PlannedAction::Refused(_) => "refused",
    };
    let Preview { old_size, new_size, old_fingerprint, new_fingerprint, drift, mode, owner, .. } = preview;
    let octal = |bits: u32| format!("{bits:04o}");
    let parts = [
        Some(head(action, &preview.path, secret)),
        Some(arrow("size", *old_size, new_size)),
        Some(arrow("fingerprint", *old_fingerprint, new_fingerprint)),
        Some(arrow("mode", drift.mode.map(octal), octal(mode.bits()))),
        // Where the configuration does not say, nobody is made the owner.
        owner.user.map(|user| arrow("owner", drift.user, user)),
        owner.group.map(|group| arrow("group", drift.group, group)),
        Some("\n".to_owned()),
    ];
    parts.into_iter().flatten().collect()
}

fn removal_line(secret: &str, Removal { path, size }: &Removal) -> String {
    format!("{}  size={size}\n", head("remove", path, secret))
}

fn head(action: &str, path: &TargetPath, secret: &str) -> String {
    let path = path.as_path().display().to_string();
    format!("{action:<9} {}  secret={}", Printable(&path), Printable(secret))
}

/// `  name=old→new`; `  name=new` where nothing is there, or nothing would change.
fn arrow(name: &str, old: Option<impl Display>, new: impl Display) -> String {
    match old {
        Some(old) => format!("  {name}={old}→{new}"),
        None => format!("  {name}={new}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::{Drift, FileMode, Owner};
    use crate::secret::FingerprintKey;

    fn target(name: &str) -> TargetPath {
        TargetPath::parse(name, Path::new("/out")).unwrap()
    }

    #[test]
    fn a_line_shows_owner_and_mode_and_what_they_would_change_from() {
        let fingerprint = FingerprintKey::random().unwrap().of(b"x");
        let preview = Preview {
            path: target("file"),
            action: PlannedAction::Create,
            old_size: None,
            new_size: 1,
            old_fingerprint: None,
            new_fingerprint: fingerprint,
            drift: Drift::default(),
            mode: FileMode::PRIVATE,
            owner: Owner::default(),
        };
        let start = |action: &str| format!("{action:<9} /out/file  secret=app");
        let print = format!("fingerprint={fingerprint}");
        assert_eq!(line("app", &preview), format!("{}  size=1  {print}  mode=0600\n", start("create")));
        let drift = Drift { mode: Some(0o644), user: Some(0), group: None };
        let owner = Owner { user: Some(1000), group: Some(50) };
        let (action, old_size) = (PlannedAction::Repair(drift), Some(1));
        let preview = Preview { action, old_size, drift, owner, ..preview };
        let expected =
            format!("{}  size=1→1  {print}  mode=0644→0600  owner=0→1000  group=50\n", start("repair"));
        assert_eq!(line("app", &preview), expected);
        let removal = Removal { path: target("file"), size: 7 };
        assert_eq!(removal_line("app", &removal), format!("{}  size=7\n", start("remove")));
    }
}
