//! docs/commands.md names every command, every option and every exit code that `--help` names, and no other.

use std::collections::BTreeSet;
use std::fs;

use crate::daemon::Sandbox;
use crate::pages::root;

/// Options that every command has.
const COMMON: [&str; 2] = ["--help", "--version"];

fn help(arguments: &[&str]) -> String {
    let finished = Sandbox::new("").run(arguments);
    assert_eq!(finished.code, 0, "{}", finished.output());
    finished.stdout
}

/// The text between two lines that begin so.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).map_or("", |(_, rest)| rest);
    rest.split_once(to).map_or(rest, |(section, _)| section)
}

/// Long options in a text.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

/// The options that a help describes: those at the beginning of its lines. `run` has all process settings.
fn described(help: &str, command: &str) -> BTreeSet<String> {
    let end = if command == "run" { "Process settings:" } else { "\u{0}" };
    let lines = between(help, "Options:\n", end).lines();
    let beginnings = lines.filter_map(|line| line.trim_start().strip_prefix('-'));
    let names = beginnings.filter_map(|rest| rest.split("  ").next()).map(|name| format!("-{name}"));
    let mut found = options(&names.collect::<Vec<_>>().join("\n"));
    found.retain(|option| !COMMON.contains(&option.as_str()));
    found
}

/// The first cells of the rows of a section.
fn first_cells(section: &str) -> Vec<&str> {
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.contains("| meaning |"));
    rows.filter_map(|row| row.split('|').nth(1)).map(str::trim).collect()
}

#[test]
fn every_command_and_option_is_on_the_page_and_no_other() {
    let page = fs::read_to_string(root().join("docs/commands.md")).unwrap();
    let commands = help(&["--help"]);
    let lines = between(&commands, "Commands (run is the default):\n", "\n\n").lines();
    let commands: BTreeSet<_> = lines.filter_map(|line| line.split_whitespace().next()).collect();
    let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
    let documented: BTreeSet<_> = headings.filter(|heading| *heading != "Exit codes").collect();
    assert_eq!(documented, commands);

    for command in commands.into_iter().filter(|command| *command != "help") {
        let section = between(&page, &format!("\n## {command}\n"), "\n## ");
        let documented = options(&first_cells(section).join("\n"));
        assert_eq!(documented, described(&help(&[command, "--help"]), command), "{command}");
    }
}

#[test]
fn every_exit_code_is_on_the_page_and_no_other() {
    let page = fs::read_to_string(root().join("docs/commands.md")).unwrap();
    let help = help(&["--help"]);
    let codes = between(&help, "Exit codes: ", "Start with").split([',', '\n']);
    let codes: BTreeSet<_> = codes.filter_map(|code| code.split_whitespace().next()).collect();
    let documented: BTreeSet<_> =
        first_cells(between(&page, "\n## Exit codes\n", "\n## ")).into_iter().collect();
    assert_eq!(documented, codes.iter().map(|code| code.trim_end_matches('.')).collect());
    assert!(codes.len() > 10, "{codes:?}");
}
