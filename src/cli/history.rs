//! `history`: what the journal says, from its files only: it works without a daemon too.

mod credentials;

use serde_json::{Value, json};

use super::args::{Common, HistoryArgs};
use super::output::{self, Reader};
use super::setup::Setup;
use crate::clock::for_people;
use crate::fault::{ExitStatus, Fault};
use crate::journal::{
    self, ChainBreak, ChangeRecord, Dropped, HookRun, JournalEntry, Line, LineHash, ReadLine, Refusal,
};
use crate::name::HookName;
use crate::printable::one_line;
use credentials::CredentialUsers;

/// Lines that are shown where nobody says how many.
const SHOWN: usize = 50;

const HEADINGS: [&str; 5] = ["TIME", "EVENT", "SECRET", "CHANGE", "DETAILS"];

/// A file of the journal: its name and its text.
type JournalText<'t> = (&'t str, &'t [u8]);

/// A line of the journal, and the secrets that it is about.
struct ShownLine<'t> {
    bytes: &'t [u8],
    line: Line,
    secrets: Vec<String>,
}

/// Prints the lines of the journal, or whether its chain holds.
pub(super) fn history(common: &Common, args: &HistoryArgs) -> Result<ExitStatus, ExitStatus> {
    let setup = Setup::read(common)?;
    let refused = |message: &str, remedy: &str| {
        output::error(message, remedy);
        ExitStatus::Failed
    };
    let remedy =
        "give this command the STATE_DIR that the daemon has, and run it as the daemon's user or root";
    let directory = setup.settings.state_dir.directory();
    let directory = directory.ok_or_else(|| refused("there is no state directory", remedy))?;
    let texts = journal::texts(&directory).map_err(|Fault { message, .. }| refused(&message, remedy))?;
    if texts.is_empty() {
        return Err(refused(&format!("there is no journal in {}", directory.display()), remedy));
    }
    let texts: Vec<JournalText<'_>> = texts.iter().map(|(name, text)| (*name, text.as_slice())).collect();
    if args.verify {
        return verify(&texts, args.json);
    }
    let lines = lines(&texts, args);
    if args.json {
        let all = lines.iter().filter_map(|shown| serde_json::from_slice(shown.bytes).ok()).collect();
        output::json(&Value::Array(all))?;
    } else {
        table(&lines)?;
    }
    Ok(ExitStatus::Success)
}

/// The last lines that are asked for, the oldest first.
fn lines<'t>(texts: &[JournalText<'t>], args: &HistoryArgs) -> Vec<ShownLine<'t>> {
    let all = texts.iter().flat_map(|(_, text)| journal::lines(text));
    let read = all.filter_map(|ReadLine { bytes, line }| Some((bytes, line?)));
    let mut users = CredentialUsers::default();
    let named =
        read.map(|(bytes, line)| ShownLine { secrets: secrets(&line.entry, &mut users), bytes, line });
    let is_asked_for =
        |line: &ShownLine<'_>| args.secret.as_ref().is_none_or(|name| line.secrets.contains(name));
    let mut lines: Vec<_> = named.filter(is_asked_for).collect();
    lines.drain(..lines.len().saturating_sub(args.limit.unwrap_or(SHOWN)));
    lines
}

fn verify(texts: &[JournalText<'_>], is_json: bool) -> Result<ExitStatus, ExitStatus> {
    match journal::verify(texts.iter().copied()) {
        Ok(lines) => {
            let last = texts.iter().rev().find_map(|(_, text)| journal::lines(text).last());
            let head = last.map_or_else(String::new, |last| LineHash::of(last.bytes).to_string());
            if is_json {
                output::json(&json!({ "verified": true, "lines": lines, "head": head }))?;
            } else {
                output::result(&format!("the chain holds: {lines} lines, head {head}"))?;
            }
            Ok(ExitStatus::Success)
        }
        Err(ChainBreak { file, line, cause }) => {
            if is_json {
                output::json(&json!({ "verified": false, "file": file, "line": line, "cause": cause }))?;
            }
            output::error(
                &format!("the chain breaks at line {line} of {file}: it {cause}"),
                "lines before it can be trusted; compare `head` of the log, kept elsewhere, with what is there",
            );
            Err(ExitStatus::Failed)
        }
    }
}

fn table(lines: &[ShownLine<'_>]) -> Result<(), ExitStatus> {
    let rows: Vec<[String; 5]> =
        [HEADINGS.map(str::to_owned)].into_iter().chain(lines.iter().map(row)).collect();
    let widths: [usize; 5] = std::array::from_fn(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        if output::part(cells.collect::<Vec<_>>().join("  ").trim_end())? == Reader::Gone {
            break;
        }
    }
    Ok(())
}

fn row(ShownLine { line: Line { ts, entry, .. }, secrets, .. }: &ShownLine<'_>) -> [String; 5] {
    let change = change(entry).map_or_else(String::new, |change| change.to_string());
    [for_people(*ts), word(entry), one_line(&secrets.join(" ")), change, one_line(&details(entry))]
}

/// The word of the event, as it is in its line.
fn word(entry: &JournalEntry) -> String {
    let event = serde_json::to_value(entry).unwrap_or_default();
    event.get("event").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn secrets(entry: &JournalEntry, users: &mut CredentialUsers) -> Vec<String> {
    let secret = match entry {
        JournalEntry::Intent(record) | JournalEntry::Published(record) => &record.secret,
        JournalEntry::Hook(HookRun { secret, .. })
        | JournalEntry::Confirmed { secret, .. }
        | JournalEntry::RolledBack { secret, .. }
        | JournalEntry::Refused(Refusal { secret, .. })
        | JournalEntry::Approved { secret, .. }
        | JournalEntry::Held { secret, .. }
        | JournalEntry::Released { secret, .. }
        | JournalEntry::Dropped(Dropped { secret: Some(secret), .. }) => secret,
        JournalEntry::Dropped(_)
        | JournalEntry::Snapshot { .. }
        | JournalEntry::Issuing(_)
        | JournalEntry::Issued(_)
        | JournalEntry::Renewed { .. }
        | JournalEntry::Lost { .. }
        | JournalEntry::Retired(_)
        | JournalEntry::Gap { .. }
        | JournalEntry::Unknown => return users.of(entry),
    };
    vec![secret.to_string()]
}

fn change(entry: &JournalEntry) -> Option<u64> {
    let change = match entry {
        JournalEntry::Intent(record) | JournalEntry::Published(record) => record.change,
        JournalEntry::Hook(HookRun { change, .. })
        | JournalEntry::Confirmed { change, .. }
        | JournalEntry::RolledBack { change, .. }
        | JournalEntry::Held { change, .. }
        | JournalEntry::Dropped(Dropped { change: Some(change), .. }) => *change,
        _ => return None,
    };
    Some(change.get())
}

fn details(entry: &JournalEntry) -> String {
    let by = |user: &u32| format!("by user {user}");
    match entry {
        JournalEntry::Intent(record) | JournalEntry::Published(record) => of_change(record),
        JournalEntry::Hook(HookRun { hook, result, reason, duration_ms, .. }) => {
            let took = duration_ms.map(|took| format!("{took} ms"));
            joined([Some(format!("{hook} {}", plain(result))), took, reason.clone()])
        }
        JournalEntry::Confirmed { hook, .. } => hook.to_string(),
        JournalEntry::RolledBack { reason, by: user, .. } => {
            joined([Some(reason.clone()), user.as_ref().map(by)])
        }
        JournalEntry::Refused(Refusal { reason, version, .. }) => {
            joined([version.map(|version| format!("version {version}")), Some(reason.clone())])
        }
        JournalEntry::Approved { by: user, .. }
        | JournalEntry::Held { by: user, .. }
        | JournalEntry::Released { by: user, .. } => by(user),
        JournalEntry::Dropped(Dropped { hook, reason, .. }) => {
            joined([hook.as_ref().map(ToString::to_string), Some(reason.clone())])
        }
        JournalEntry::Issuing(_)
        | JournalEntry::Issued(_)
        | JournalEntry::Renewed { .. }
        | JournalEntry::Lost { .. }
        | JournalEntry::Retired(_) => joined(credentials::details(entry)),
        JournalEntry::Gap { reason, lines } => {
            joined([Some(plain(reason)), lines.map(|lines| format!("lines: {lines}"))])
        }
        JournalEntry::Snapshot { state } => format!("secrets: {}", state.secrets.len()),
        JournalEntry::Unknown => "of a later version of this program".to_owned(),
    }
}

fn of_change(record: &ChangeRecord) -> String {
    let hooks: Vec<&str> = record.hooks.iter().map(HookName::as_str).collect();
    joined([
        Some(plain(&record.reason)),
        record.version.map(|version| format!("version {version}")),
        record.revision.as_ref().map(|revision| format!("versions {revision}")),
        (!record.files.is_empty()).then(|| record.files.join(" ")),
        (!hooks.is_empty()).then(|| format!("hooks {}", hooks.join(" "))),
        record.by.map(|user| format!("by user {user}")),
    ])
}

/// The word of a value, as it is in its line.
fn plain(word: &impl serde::Serialize) -> String {
    serde_json::to_value(word).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn joined(parts: impl IntoIterator<Item = Option<String>>) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
