//! `command` and `exec`: what was to happen when a file changed. There are no hooks yet, so they become comments; `chmod`
//! and `chown` of the file itself become its mode and its owner.

use super::dropped;
use crate::config::value::Node;
use crate::convert::fields::ObjectFields;
use crate::convert::report::ConversionReport;
use crate::disk::FileMode;

const LATER: &str =
    "a comment: hooks are not built in yet. Let systemd or the application watch the file until then";

/// What was to happen to a file when it changed.
#[derive(Default)]
pub(super) struct FileActions {
    pub(super) mode: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    /// Anything else, as comment lines.
    pub(super) hooks: Vec<String>,
}

/// Reads `command`, `exec` and what belongs to them, of the file at `path`.
pub(super) fn convert(
    fields: &mut ObjectFields<'_>,
    path: &str,
    report: &mut ConversionReport,
) -> FileActions {
    let mut actions = FileActions::default();
    for key in ["command", "exec"] {
        let block = fields.blocks(key, report).pop();
        let node = block.as_ref().map_or_else(|| fields.node(key), |block| block.node("command"));
        let Some(words) = node.map(words).filter(|words| words.iter().any(|word| !word.is_empty())) else {
            dropped::all(fields, key, "it is empty", false, report);
            continue;
        };
        fields.changed(key, of_words(&words, path, &mut actions), report);
        if let Some(mut block) = block {
            block.mapped("command", "as said above", report);
            for entry in block.entries().iter().filter(|entry| entry.key != "command") {
                dropped::all(&mut block, &entry.key, "it belongs to the command", false, report);
            }
            dropped::unknown(block, report);
        }
    }
    actions
}

/// Adds what a command does when the file at `path` changes. Gives what became of it.
pub(super) fn of_words(words: &[String], path: &str, actions: &mut FileActions) -> String {
    own(words, path, actions).unwrap_or_else(|| {
        actions.hooks.push(comment(words, path));
        LATER.to_owned()
    })
}

/// The command: one text that a shell reads, or a list.
pub(super) fn words(node: &Node) -> Vec<String> {
    let text = |node: &Node| node.scalar().map(|scalar| scalar.text().to_owned());
    match node.items() {
        Some(items) => items.iter().filter_map(text).collect(),
        None => text(node).into_iter().collect(),
    }
}

/// The hook as the configuration will have it.
pub(super) fn comment(words: &[String], path: &str) -> String {
    let command = match words {
        [line] if is_plain(line) => line.split_whitespace().map(quoted).collect::<Vec<_>>(),
        [line] => vec!["/bin/sh".to_owned(), "-c".to_owned(), quoted(line)],
        words => words.iter().map(|word| quoted(word)).collect(),
    };
    let path: String = path.chars().filter(|letter| !letter.is_control()).collect();
    format!("hook: {{ on: [changed], command: [{}] }} # when {path} changed", command.join(", "))
}

/// Whether a line means the same without a shell.
fn is_plain(line: &str) -> bool {
    line.chars().all(|letter| letter.is_alphanumeric() || " ./_-=:,@+%".contains(letter))
}

/// A word of a comment: on one line, and as YAML reads it.
fn quoted(word: &str) -> String {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "./_".contains(letter);
    let begins = word.starts_with(|letter: char| letter.is_ascii_alphabetic() || "./_".contains(letter));
    if begins && word.chars().all(|letter| is_word(letter) || letter == '-') {
        word.to_owned()
    } else {
        format!("{word:?}")
    }
}

/// `chmod MODE FILE` and `chown OWNER FILE` of the stanza's own file. Gives what became of it.
fn own(words: &[String], path: &str, actions: &mut FileActions) -> Option<String> {
    let line: Vec<&str> = match words {
        [line] => line.split_whitespace().collect(),
        words => words.iter().map(String::as_str).collect(),
    };
    let [program, value, file] = line.as_slice() else { return None };
    if is_same_file(file, path) {
        match *program {
            "chmod" | "/bin/chmod" | "/usr/bin/chmod" => {
                let mode = FileMode::parse(value).ok()?.to_string();
                actions.mode = Some(mode.clone());
                return Some(format!("mode {mode}: the file has it from the first moment"));
            }
            "chown" | "/bin/chown" | "/usr/bin/chown" => {
                let (owner, group) =
                    value.split_once(':').map_or((*value, ""), |(owner, group)| (owner, group));
                for (text, key) in [(owner, &mut actions.owner), (group, &mut actions.group)] {
                    if !text.is_empty() {
                        *key = Some(text.to_owned());
                    }
                }
                return Some("owner and group: the file has them from the first moment".to_owned());
            }
            _ => {}
        }
    }
    None
}

/// Whether a command names the file that a stanza writes.
fn is_same_file(named: &str, path: &str) -> bool {
    let named = named.trim_matches(['"', '\'']);
    named == path || named.strip_prefix("./").is_some_and(|named| path.ends_with(&format!("/{named}")))
}
