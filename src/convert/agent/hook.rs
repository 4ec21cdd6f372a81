//! `command` and `exec`: what happens when a file changes. They become hooks; `chmod` and `chown` of the file itself become
//! its mode and its owner.

mod command;

use std::time::Duration;

use super::dropped;
use crate::config::duration;
use crate::config::value::Node;
use crate::convert::document::ConvertedHook;
use crate::convert::fields::ObjectFields;
use crate::convert::notation::Notation;
use crate::convert::report::ConversionReport;
use crate::disk::FileMode;
use command::{CommandMeaning, ReadCommand};

/// What happens to a file when it changes.
#[derive(Default)]
pub(super) struct FileActions {
    pub(super) mode: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    pub(super) hooks: Vec<ConvertedHook>,
}

/// The longest `timeout` of a hook.
const LONGEST: Duration = Duration::from_secs(600);

const ENVIRONMENT: &str =
    "a program gets PATH, LANG and SECRETS_SYNC_… as its environment, and the event on its standard input";

/// Reads `command`, `exec` and what belongs to them, of the file at `path`.
pub(super) fn convert(
    fields: &mut ObjectFields<'_>,
    path: &str,
    report: &mut ConversionReport,
) -> FileActions {
    let mut actions = FileActions::default();
    let origin = fields.origin().comment();
    let timeout = timeout(fields, "command_timeout", report);
    for key in ["command", "exec"] {
        let mut block = fields.blocks(key, report).pop();
        let node = block.as_ref().map_or_else(|| fields.node(key), |block| block.node("command"));
        let Some(words) = node.map(words).filter(|words| words.iter().any(|word| !word.is_empty())) else {
            dropped::all(fields, key, "it is empty", false, report);
            continue;
        };
        let own = block.as_mut().and_then(|block| self::timeout(block, "timeout", report));
        let command = HookCommand { words: &words, path, origin: &origin, timeout: own.or(timeout) };
        fields.changed(key, command.add_to(&mut actions), report);
        if let Some(mut block) = block {
            block.mapped("command", "as said above", report);
            dropped::all(&mut block, "env", ENVIRONMENT, true, report);
            for entry in block.entries() {
                if !block.is_reported(&entry.key) {
                    dropped::all(&mut block, &entry.key, "it belongs to the command", false, report);
                }
            }
            dropped::unknown(block, report);
        }
    }
    actions
}

/// A timeout; nothing where it is the default of both.
fn timeout(fields: &mut ObjectFields<'_>, key: &str, report: &mut ConversionReport) -> Option<Duration> {
    let text = fields.text(key, report)?;
    match duration::parse(text) {
        Ok(found) if found > LONGEST => {
            fields.changed(key, "timeout: 10m, the longest that a hook may have", report);
            Some(LONGEST)
        }
        Ok(found) if !found.is_zero() => {
            fields.mapped(key, "timeout of the hook", report);
            Some(found)
        }
        Ok(_) => {
            fields.dropped(key, "it means the default", report);
            None
        }
        Err(_) => {
            fields.lost(key, "this is no duration: a hook has 30s", report);
            None
        }
    }
}

/// The command: one text that a shell reads, or a list.
fn words(node: &Node) -> Vec<String> {
    let text = |node: &Node| node.scalar().map(|scalar| scalar.text().to_owned());
    match node.items() {
        Some(items) => items.iter().filter_map(text).collect(),
        None => text(node).into_iter().collect(),
    }
}

/// A command that runs when a file changes.
pub(super) struct HookCommand<'c> {
    /// One line, or a program and its arguments.
    pub(super) words: &'c [String],
    /// The file.
    pub(super) path: &'c str,
    /// Where it comes from.
    pub(super) origin: &'c str,
    pub(super) timeout: Option<Duration>,
}

impl HookCommand<'_> {
    /// Adds what it does. Gives what became of it.
    pub(super) fn add_to(&self, actions: &mut FileActions) -> String {
        let parts: Vec<&str> = match self.words {
            [line] => line.split("&&").map(str::trim).collect(),
            _ => Vec::new(),
        };
        let is_other = |part: &&&str| own(&[(**part).to_owned()], self.path, actions).is_none();
        let others: Vec<&str> = parts.iter().filter(is_other).copied().collect();
        let what = "mode, owner and group: the file has them from the first moment";
        if parts.is_empty() {
            return match own(self.words, self.path, actions) {
                Some(()) => what.to_owned(),
                None => self.add_hook(self.words, actions),
            };
        }
        if others.is_empty() {
            return what.to_owned();
        }
        let rest = if others.len() == parts.len() { self.words.to_vec() } else { vec![others.join(" && ")] };
        let hook = self.add_hook(&rest, actions);
        if others.len() == parts.len() { hook } else { format!("{what}. {hook}") }
    }

    fn add_hook(&self, words: &[String], actions: &mut FileActions) -> String {
        let ReadCommand { meaning, ignores_failure, discards_output } = ReadCommand::of(words);
        let mut hook = hook_of(meaning, self.origin);
        if let Some(timeout) = self.timeout.filter(|timeout| *timeout != Duration::from_secs(30)) {
            hook.entries.push(("timeout", Notation::text(duration::format(timeout))));
        }
        if ignores_failure {
            hook.entries.push(("onFailure", Notation::text("ignore")));
        }
        if discards_output {
            hook.entries.push(("output", Notation::text("discard")));
        }
        let outcome = match &hook.remedy {
            Some(remedy) => format!("a hook that is commented out: {remedy}"),
            None => format!("a hook: {}", what_is_different(&hook)),
        };
        actions.hooks.push(hook);
        outcome
    }
}

/// What an operator should know about a hook that runs.
fn what_is_different(hook: &ConvertedHook) -> &'static str {
    match hook.entries.first().map(|(key, _)| *key) {
        Some("pidFile") => {
            "secrets-sync sends the signal, and needs the right to do so. A process that does not run is no failure"
        }
        Some("unit") => {
            "systemd reloads or restarts the unit if it is active, and never starts it. secrets-sync needs the right to do so"
        }
        _ => ENVIRONMENT,
    }
}

/// The hook of a command.
fn hook_of(meaning: CommandMeaning, origin: &str) -> ConvertedHook {
    const BY_NAME: &str =
        "processes are not looked for by their name: name the pid file of this one, or its unit (`unit: …`)";
    const RELATIVE: &str = "programs are not looked for in PATH: write the absolute path of this one";
    const SHELL: &str = "it needs a shell: write it into a script of your own, and name that here";
    let base = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    let list = |words: Vec<String>| Notation::List(words.into_iter().map(Notation::Text).collect());
    let (name, entries, remedy) = match meaning {
        CommandMeaning::PidFile { path, signal } => {
            let name = base(&path);
            let name = format!("signal-{}", name.strip_suffix(".pid").unwrap_or(&name));
            (name, signal_entries(path, signal), None)
        }
        CommandMeaning::Unit { unit, restarts } => {
            let verb = if restarts { "restart" } else { "reload" };
            let name = format!("{verb}-{}", unit.strip_suffix(".service").unwrap_or(&unit));
            let mut entries = vec![("unit", Notation::Text(unit))];
            entries.extend(restarts.then(|| ("restart", Notation::as_is("true"))));
            (name, entries, None)
        }
        CommandMeaning::Program(argv) => {
            let name = argv.first().map(|program| base(program)).unwrap_or_default();
            (name, vec![("command", list(argv))], None)
        }
        CommandMeaning::Process { name, signal } => {
            let entries = signal_entries(format!("/run/{name}.pid"), signal);
            (format!("signal-{name}"), entries, Some(BY_NAME.to_owned()))
        }
        CommandMeaning::Relative(argv) => {
            let name =
                argv.iter().find(|word| *word != "sudo").map(|program| base(program)).unwrap_or_default();
            (name, vec![("command", list(argv))], Some(RELATIVE.to_owned()))
        }
        CommandMeaning::Shell(line) => {
            let name = line.split_whitespace().next().map(base).unwrap_or_default();
            let argv = ["/bin/sh".to_owned(), "-c".to_owned(), line];
            (name, vec![("command", list(argv.into()))], Some(SHELL.to_owned()))
        }
    };
    ConvertedHook { name: word(&name), entries, remedy, origin: origin.to_owned() }
}

fn signal_entries(path: String, signal: &str) -> Vec<(&'static str, Notation)> {
    let mut entries = vec![("pidFile", Notation::Text(path))];
    entries.extend((signal != "HUP").then(|| ("signal", Notation::text(signal))));
    entries
}

/// A name of a hook: letters, digits and `-`.
fn word(name: &str) -> String {
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let letters: String = name.chars().take(60).map(letter).collect();
    let parts: Vec<_> = letters.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "changed".to_owned() } else { parts.join("-") }
}

/// What a job of Nomad did to its task.
pub(super) fn of_task(
    task: &str,
    mode: &str,
    signal: Option<&str>,
    script: Vec<String>,
    origin: &str,
) -> ConvertedHook {
    const REMEDY: &str =
        "Nomad reaches its tasks, and this program does not know them: name what runs the program now";
    let (verb, entries) = match mode {
        "script" => {
            ("script", vec![("command", Notation::List(script.into_iter().map(Notation::Text).collect()))])
        }
        "signal" => {
            let signal = signal.and_then(command::known).unwrap_or("HUP");
            ("signal", signal_entries(format!("/run/{task}.pid"), signal))
        }
        _ => (
            "restart",
            vec![("unit", Notation::text(format!("{task}.service"))), ("restart", Notation::as_is("true"))],
        ),
    };
    let name = word(&format!("{verb}-{task}"));
    ConvertedHook { name, entries, remedy: Some(REMEDY.to_owned()), origin: origin.to_owned() }
}

/// Takes over `chmod MODE FILE` and `chown OWNER FILE` of the stanza's own file.
fn own(words: &[String], path: &str, actions: &mut FileActions) -> Option<()> {
    let words = match words {
        [line] => command::split(line)?,
        words => words.to_vec(),
    };
    let [program, value, file] = words.as_slice() else { return None };
    if !is_same_file(file, path) {
        return None;
    }
    match program.as_str() {
        "chmod" | "/bin/chmod" | "/usr/bin/chmod" => {
            actions.mode = Some(FileMode::parse(value).ok()?.to_string());
        }
        "chgrp" | "/bin/chgrp" | "/usr/bin/chgrp" => actions.group = Some(value.clone()),
        "chown" | "/bin/chown" | "/usr/bin/chown" => {
            let (owner, group) = value.split_once(':').unwrap_or((value, ""));
            for (text, key) in [(owner, &mut actions.owner), (group, &mut actions.group)] {
                if !text.is_empty() {
                    *key = Some(text.to_owned());
                }
            }
        }
        _ => return None,
    }
    Some(())
}

/// Whether a command names the file that a stanza writes.
fn is_same_file(named: &str, path: &str) -> bool {
    named == path || named.strip_prefix("./").is_some_and(|named| path.ends_with(&format!("/{named}")))
}
