//! `plan`: what a sync would do to each file.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::args::Common;
use super::output::{self, SecretPlaces};
use super::setup::{Setup, runtime};
use crate::app::{Finding, Issuers, kept_credentials, survey};
use crate::clock::for_people;
use crate::disk::TargetPath;
use crate::fault::{ExitStatus, Fault, Kind};
use crate::issue::KeptCredential;
use crate::journal;
use crate::name::{ChangeNumber, HookName, SecretName};
use crate::printable::Printable;
use crate::sink::{PlannedAction, Preview, Removal};

/// One line a file on stdout; what cannot be planned on stderr.
pub(super) fn plan(common: &Common) -> Result<ExitStatus, ExitStatus> {
    let setup = Setup::read(common)?;
    let loaded = setup.loaded(common)?;
    let places = SecretPlaces::of(&loaded);
    let hooks: Vec<_> = loaded.config.hooks.iter().map(|hook| hook.name.clone()).collect();
    let holds = holds(&setup);
    let composition = setup.composition(loaded)?;
    let runtime = runtime()?;
    let kept = Issuers::Kept(kept_credentials(&setup.settings));
    let mut findings = runtime.block_on(survey(composition, kept));
    runtime.shutdown_background();
    for finding in findings.iter_mut().filter(|finding| holds.contains_key(&finding.secret)) {
        (finding.previews, finding.removals, finding.hooks) = (Vec::new(), Vec::new(), Vec::new());
    }
    let colour = output::stdout_is_terminal() && !setup.is_colourless();
    output::result(&table(&findings, &hooks, &holds, colour))?;
    for Finding { secret, faults, .. } in &findings {
        for fault in faults {
            places.print(secret, fault);
        }
    }
    let required = findings.iter().filter(|finding| !places.is_optional(&finding.secret));
    let faults = required.flat_map(|finding| &finding.faults);
    Ok(ExitStatus::of_all(faults.map(|fault| fault.kind.exit_status())))
}

/// Secrets that are held, and the change of each, as the journal of the daemon says. A directory that nobody named and
/// that cannot be read is none.
fn holds(setup: &Setup) -> BTreeMap<SecretName, ChangeNumber> {
    let state_dir = &setup.settings.state_dir;
    let directory = state_dir.directory().filter(|directory| directory.exists());
    let known = match directory.map(|directory| journal::known(&directory)) {
        Some(Ok(known)) => Some(known),
        Some(Err(Fault { message, remedy, .. })) if state_dir.is_configured() => {
            output::error(&format!("whether a secret is held is not known: {message}"), &remedy);
            None
        }
        Some(Err(_)) | None => None,
    };
    let secrets = known.into_iter().flat_map(|state| state.secrets);
    secrets.filter_map(|(name, history)| Some((name, history.held?.change))).collect()
}

/// A line for each file, for each secret that is held and for each hook that would run, and one that counts them.
fn table(
    findings: &[Finding],
    hooks: &[HookName],
    holds: &BTreeMap<SecretName, ChangeNumber>,
    colour: bool,
) -> String {
    let mut counts = [0_usize; ACTIONS.len()];
    let mut text = String::new();
    for finding in findings {
        let secret = finding.secret.as_str();
        let previews = finding.previews.iter().map(|preview| (action(preview), line(secret, preview)));
        // A daemon takes it for a deletion only on evidence; `deleted` and `destroyed` are certain.
        let is_certain = finding.faults.iter().all(|fault| fault.kind != Kind::Absent);
        let removal = |removal| ("remove", removal_line(secret, removal, is_certain));
        let removals = finding.removals.iter().map(removal);
        let issues = finding.issues.iter().map(|path| (ISSUE, issue_line(secret, path)));
        let kept = finding.kept.iter().map(|(path, kept)| (KEPT, kept_line(secret, path, *kept)));
        for (action, line) in issues.chain(kept).chain(previews).chain(removals) {
            for (count, _) in counts.iter_mut().zip(ACTIONS).filter(|(_, (name, ..))| *name == action) {
                *count += 1;
            }
            text.push_str(&if colour { coloured(action, &line) } else { line });
        }
    }
    let held = findings.iter().filter_map(|finding| holds.get_key_value(&finding.secret));
    let held: Vec<_> = held.map(|(secret, change)| held_line(secret, *change)).collect();
    text.push_str(&held.concat());
    let counted = counts.iter().zip(ACTIONS).filter(|(count, _)| **count > 0);
    let counted = counted.map(|(count, (_, summary, _))| format!("{count} {summary}"));
    let counted: Vec<_> = counted.chain((!held.is_empty()).then(|| format!("{} held", held.len()))).collect();
    let summary = if counted.is_empty() { "no files".to_owned() } else { counted.join(", ") };
    let lines: Vec<_> = hooks.iter().filter_map(|hook| hook_line(hook, findings)).collect();
    let runs = match lines.len() {
        0 => String::new(),
        1 => ", 1 hook to run".to_owned(),
        count => format!(", {count} hooks to run"),
    };
    format!("{text}{}plan: {summary}{runs}\n", lines.concat())
}

/// The line of a secret that is held.
fn held_line(secret: &SecretName, change: ChangeNumber) -> String {
    format!("{:<9} change {}  secret={}\n", "held", change.get(), Printable(secret.as_str()))
}

/// The line of a hook that would run, with the secrets it would run for.
fn hook_line(hook: &HookName, findings: &[Finding]) -> Option<String> {
    let concerned = findings.iter().filter(|finding| finding.hooks.contains(hook));
    let secrets: Vec<_> = concerned.map(|finding| Printable(finding.secret.as_str()).to_string()).collect();
    let head = format!("{:<9} {}", "run", Printable(hook.as_str()));
    (!secrets.is_empty()).then(|| format!("{head}  secrets={}\n", secrets.join(",")))
}

/// What happens to a credential that a sync would issue.
const ISSUE: &str = "would issue";

/// What happens to a credential that was issued before.
const KEPT: &str = "unchanged";

/// What can happen to a file or a credential: in its line, in the summary, and its colour on a terminal.
const ACTIONS: [(&str, &str, &str); 7] = [
    (ISSUE, "to issue", "\x1b[33m"),
    ("create", "to create", "\x1b[32m"),
    ("change", "to change", "\x1b[33m"),
    ("repair", "to repair", "\x1b[33m"),
    ("remove", "to remove", "\x1b[31m"),
    ("refused", "refused", "\x1b[31m"),
    ("unchanged", "unchanged", "\x1b[2m"),
];

fn coloured(action: &str, line: &str) -> String {
    let colour = ACTIONS.iter().find(|(name, ..)| *name == action).map_or("", |(.., colour)| colour);
    line.replacen(action, &format!("{colour}{action}\x1b[0m"), 1)
}

fn action(preview: &Preview) -> &'static str {
    match preview.action {
        PlannedAction::Create => "create",
        PlannedAction::Change => "change",
        PlannedAction::Repair(_) => "repair",
        PlannedAction::Unchanged => "unchanged",
        PlannedAction::Refused(_) => "refused",
    }
}

/// Fingerprints have another key in each process: within one plan equal ones mean equal content, and they say nothing
/// to who reads the output.
fn line(secret: &str, preview: &Preview) -> String {
    let Preview { path, old_size, new_size, old_fingerprint, new_fingerprint, drift, mode, owner, .. } =
        preview;
    // A fingerprint says whether two contents differ, and here they do not.
    let is_same = *old_fingerprint == Some(*new_fingerprint);
    let octal = |bits: u32| format!("{bits:04o}");
    let parts = [
        Some(head(action(preview), path, secret)),
        Some(arrow("size", old_size.filter(|_| !is_same), new_size)),
        (!is_same).then(|| arrow("fingerprint", *old_fingerprint, new_fingerprint)),
        Some(arrow("mode", drift.mode.map(octal), octal(mode.bits()))),
        // Where the configuration does not say, nobody is made the owner.
        owner.user.map(|user| arrow("owner", drift.user, user)),
        owner.group.map(|group| arrow("group", drift.group, group)),
        Some("\n".to_owned()),
    ];
    parts.into_iter().flatten().collect()
}

fn removal_line(secret: &str, Removal { path, size }: &Removal, is_certain: bool) -> String {
    let condition = if is_certain { "" } else { "  (only if the absence is confirmed)" };
    format!("{}  size={size}{condition}\n", head("remove", path, secret))
}

/// Of a credential; the files that it goes into cannot be compared.
fn issue_line(secret: &str, path: &str) -> String {
    format!("{ISSUE} {}  secret={}\n", Printable(path), Printable(secret))
}

/// Of a credential that a start would use.
fn kept_line(secret: &str, path: &str, kept: KeptCredential) -> String {
    let until = kept.end.map(|end| format!(" until {}", for_people(end))).unwrap_or_default();
    format!("{KEPT:<9} {}  secret={}  current{until}\n", Printable(path), Printable(secret))
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
    use crate::name::SecretName;
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
        assert_eq!(removal_line("app", &removal, true), format!("{}  size=7\n", start("remove")));

        let preview = Preview { old_fingerprint: Some(fingerprint), ..preview };
        let same = line("app", &preview);
        assert_eq!(same, format!("{}  size=1  mode=0644→0600  owner=0→1000  group=50\n", start("repair")));
        let found = |previews, removals| Finding {
            secret: SecretName::new("app"),
            previews,
            removals,
            issues: Vec::new(),
            kept: Vec::new(),
            warnings: Vec::new(),
            hooks: vec![HookName::new("web")],
            faults: Vec::new(),
        };
        let (hooks, none) = (["idle", "web"].map(HookName::new), BTreeMap::new());
        let findings = [found(vec![preview], vec![removal]), found(Vec::new(), Vec::new())];
        let removed = format!("{}  size=7\n", start("remove"));
        let run = "run       web  secrets=app,app\n";
        let summary = "plan: 1 to repair, 1 to remove, 1 hook to run\n";
        assert_eq!(table(&findings, &hooks, &none, false), format!("{same}{removed}{run}{summary}"));
        assert!(
            table(&findings, &hooks, &none, true)
                .starts_with("\x1b[33mrepair\x1b[0m    /out/file  secret=app  size")
        );
        assert_eq!(table(&[], &hooks, &none, true), "plan: no files\n");
        let holds = BTreeMap::from([(SecretName::new("app"), ChangeNumber::new(3))]);
        let held = Finding { hooks: Vec::new(), ..found(Vec::new(), Vec::new()) };
        let expected = "held      change 3  secret=app\nplan: 1 held\n";
        assert_eq!(table(&[held], &hooks, &holds, false), expected);
        let issued =
            Finding { issues: vec!["database/creds/app".to_owned()], ..found(Vec::new(), Vec::new()) };
        let expected = "would issue database/creds/app  secret=app\nplan: 1 to issue\n";
        assert_eq!(table(&[issued], &[], &none, false), expected);
        let end = std::time::SystemTime::UNIX_EPOCH;
        let kept = [Some(end), None].map(|end| ("pki/issue/web".to_owned(), KeptCredential { end }));
        let kept = Finding { kept: kept.to_vec(), hooks: Vec::new(), ..found(Vec::new(), Vec::new()) };
        let line = "unchanged pki/issue/web  secret=app  current";
        let expected = format!("{line} until 1970-01-01 00:00:00 UTC\n{line}\nplan: 2 unchanged\n");
        assert_eq!(table(&[kept], &[], &none, false), expected);
    }
}
