//! `explain`: what a diagnostic code means, with an example that has it and one that does not.

use super::args::ExplainArgs;
use super::output;
use crate::config::diagnostic::Code;
use crate::config::nearest;
use crate::fault::ExitStatus;

/// A section for each code: a paragraph, an example that is wrong, one that is right.
const PAGE: &str = include_str!("explain.md");

/// Explains one code, or lists all.
pub(super) fn explain(args: &ExplainArgs) -> Result<ExitStatus, ExitStatus> {
    let Some(wanted) = &args.code else {
        output::result(&list())?;
        return Ok(ExitStatus::Success);
    };
    // As it stands in a report: "error[unknown-key]".
    let wanted = wanted.split(['[', ']']).nth(1).unwrap_or(wanted);
    if let Some(text) = explanation(wanted) {
        output::result(&text)?;
        return Ok(ExitStatus::Success);
    }
    let hint = match nearest(wanted, Code::ALL.iter().map(|code| code.as_str())) {
        Some(near) => format!("did you mean \"secrets-sync explain {near}\"?"),
        None => "\"secrets-sync explain\" lists them".to_owned(),
    };
    output::error("there is no such diagnostic code", &hint);
    Err(ExitStatus::Usage)
}

fn list() -> String {
    let width = Code::ALL.iter().map(|code| code.as_str().len()).max().unwrap_or_default();
    let line = |code: &Code| {
        let severity = code.severity().to_string();
        format!("{:width$}  {severity:7}  {}\n", code.as_str(), code.meaning())
    };
    Code::ALL.iter().map(line).collect()
}

/// The text for people: the section of the page without its fences.
fn explanation(code: &str) -> Option<String> {
    let code = Code::ALL.iter().find(|known| known.as_str() == code)?;
    let mut text = format!("{code} ({}): {}\n", code.severity(), code.meaning());
    let mut is_example = false;
    for line in section(code.as_str())?.lines() {
        match line.strip_prefix("```") {
            Some("") => is_example = false,
            Some(kind) => {
                is_example = true;
                text.push_str(if kind.ends_with(" wrong") { "Wrong:\n\n" } else { "Right:\n\n" });
            }
            None if is_example => text.extend(["    ", line, "\n"]),
            None => text.extend([line, "\n"]),
        }
    }
    Some(format!("{}\n", text.trim_end()))
}

fn section(code: &str) -> Option<&'static str> {
    let (_, rest) = PAGE.split_once(&format!("\n## {code}\n"))?;
    Some(rest.split_once("\n## ").map_or(rest, |(section, _)| section))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::config::env::Env;

    /// Codes whose examples are commands: another user, a mount, or a file that is no text is what makes them.
    const OF_THE_SURROUNDINGS: [Code; 9] = [
        Code::NoConfiguration,
        Code::FileTooLarge,
        Code::NotUtf8,
        Code::CannotChown,
        Code::SameFile,
        Code::MountedFile,
        Code::HookWithoutState,
        Code::IssuedWithoutState,
        Code::IssuedWithoutKey,
    ];

    const STORE: &str = "secretStore: { address: 'https://vault.example:8200', token: made-up }\n";
    const SECRETS: &str = "secrets: [{ name: rest, key: app, files: [{ path: /run/rest, field: value }] }]\n";

    /// The examples of a section, by the words behind their fence.
    fn examples(code: Code) -> Vec<(String, String)> {
        let mut blocks =
            section(code.as_str()).unwrap_or_else(|| panic!("{code} has no section")).split("```");
        let paragraph = blocks.next().unwrap();
        assert!(paragraph.trim().len() > 40 && paragraph.trim().ends_with('.'), "{code}: {paragraph}");
        let blocks = blocks.step_by(2).map(|block| block.split_once('\n').unwrap());
        blocks.map(|(kind, text)| (kind.to_owned(), text.to_owned())).collect()
    }

    /// The codes that an example is reported with, once what it leaves out is there.
    fn reported(example: &str) -> Vec<String> {
        let variables =
            example.lines().filter_map(|line| line.strip_prefix("# environment: ")?.split_once('='));
        let env = Env::from_pairs(variables);
        let has = |key: &str| example.lines().any(|line| line.starts_with(key));
        let store = if has("secretStore:") { "" } else { STORE };
        let secrets = if has("secrets:") { "" } else { SECRETS };
        let text = format!("{example}{store}{secrets}");
        let report = match Config::parse(&text, "config.yaml", &env, Path::new("/work")) {
            Ok(loaded) => loaded.warnings,
            Err(report) => report,
        };
        report.diagnostics.iter().map(|one| one.code.to_string()).collect()
    }

    #[test]
    fn every_code_has_an_example_that_is_wrong_and_one_that_is_right() {
        for code in Code::ALL {
            let examples = examples(*code);
            let kinds: Vec<_> = examples.iter().map(|(kind, _)| kind.as_str()).collect();
            if OF_THE_SURROUNDINGS.contains(code) {
                assert_eq!(kinds, ["text wrong", "text right"], "{code}");
                continue;
            }
            assert_eq!(kinds, ["yaml wrong", "yaml"], "{code}");
            let [wrong, right] = [0, 1].map(|n| reported(&examples[n].1));
            assert!(
                !wrong.is_empty() && wrong.iter().all(|found| *found == code.as_str()),
                "{code}: {wrong:?}"
            );
            assert!(right.is_empty(), "{code}: {right:?}");
        }
    }

    #[test]
    fn every_section_is_about_a_code_in_their_order() {
        let headings: Vec<_> = PAGE.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(headings, codes);
    }

    #[test]
    fn an_explanation_is_plain_text() {
        let text = explanation("bad-size").unwrap();
        let start = "bad-size (error): Not a size.\n\nSizes are whole numbers";
        assert!(text.starts_with(start) && !text.contains("```"), "{text}");
        assert!(
            text.contains("\nWrong:\n\n    limits: { maxFileSize: 1Mi }\n\nRight:\n\n    limits: "),
            "{text}"
        );
        assert_eq!(explanation("bad-siz"), None);
        assert!(list().lines().count() == Code::ALL.len() && list().contains("bad-size "), "{}", list());
    }
}
