//! What an input is, by its content. The name decides only between templates and other texts.

use std::fmt;
use std::path::Path;

use super::foreign::{self, ForeignSource};
use super::hcl::{self, HclError};
use super::options::ConvertInput;
use super::{go_tool, object};
use crate::config::diagnostic::{Position, Report};
use crate::config::value::Node;
use crate::config::yaml;
use crate::printable::Printable;

/// One kind of input.
#[derive(Debug)]
pub(super) enum InputKind {
    /// Manifests, or a configuration.
    Yaml(Vec<Node>),
    /// The configuration of an Agent or of consul-template.
    Agent(Node),
    /// The configuration of envconsul.
    Envconsul(Node),
    /// A job of Nomad.
    Nomad(Node),
    /// A template of consul-template.
    Template,
    /// Another tool's source.
    Foreign(ForeignSource),
}

/// A text that is nothing that can be read.
#[derive(Debug)]
pub enum BrokenInput {
    /// It looks like YAML.
    Yaml(Report),
    /// It looks like HCL.
    Hcl(String, HclError),
}

impl fmt::Display for BrokenInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yaml(report) => report.fmt(f),
            Self::Hcl(file, HclError { position: Position { line, column }, message }) => {
                write!(f, "{}:{line}:{column}: error: {NO_CONFIGURATION}: {message}", Printable(file))
            }
        }
    }
}

/// What is said of HCL that cannot be read, or that belongs to another tool.
pub(super) const NO_CONFIGURATION: &str =
    "this is no configuration of the Agent, consul-template, envconsul or Nomad";

/// Endings of the names of templates.
const TEMPLATE_ENDINGS: [&str; 3] = [".ctmpl", ".tpl", ".tmpl"];

/// Keys at the top of a configuration of the Agent or of consul-template.
const AGENT: [&str; 8] = [
    "vault",
    "auto_auth",
    "template",
    "env_template",
    "template_config",
    "listener",
    "exit_after_auth",
    "pid_file",
];

/// Keys at the top of a configuration of envconsul.
const ENVCONSUL: [&str; 5] = ["secret", "prefix", "upcase", "sanitize", "pristine"];

/// Says what `input` is.
pub(super) fn detect(input: &ConvertInput) -> Result<InputKind, BrokenInput> {
    let ConvertInput { name, text, .. } = input;
    if is_template_name(name) {
        // A configuration that another program would have filled in, and that has nothing to fill in.
        let kind = if text.contains("{{") { None } else { of_hcl(text).ok() };
        let is_configuration = matches!(kind, Some(InputKind::Agent(_) | InputKind::Envconsul(_)));
        return Ok(kind.filter(|_| is_configuration).unwrap_or(InputKind::Template));
    }
    let is_hcl =
        Path::new(name).extension().is_some_and(|end| ["hcl", "nomad", "tf"].iter().any(|hcl| end == *hcl));
    let documents = match yaml::documents(text) {
        // Lines such as `pid_file = "x"` are one text to YAML.
        Ok(roots) if !is_hcl && !is_one_text(&roots) || text.trim_start().starts_with('{') => {
            return Ok(of_yaml(text, roots));
        }
        documents => documents,
    };
    of_hcl(text).or_else(|error| match (foreign::recognise_broken(text), documents) {
        (Some(found), _) => Ok(InputKind::Foreign(found)),
        (None, _) if is_hcl || looks_like_hcl(text) => Err(BrokenInput::Hcl(name.clone(), error)),
        (None, _) if text.contains("{{ with secret") || text.contains("{{ secret") => Ok(InputKind::Template),
        (None, Ok(roots)) => Ok(InputKind::Yaml(roots)),
        (None, Err(diagnostics)) => Err(BrokenInput::Yaml(Report { file: name.clone(), diagnostics })),
    })
}

/// Whether a file of that name is a template.
pub(super) fn is_template_name(name: &str) -> bool {
    TEMPLATE_ENDINGS.iter().any(|end| name.ends_with(end))
}

/// The configuration of an Agent that writes files or a token, in HCL or JSON.
pub(super) fn agent(text: &str) -> Result<Node, HclError> {
    let json = text.trim_start().starts_with('{').then(|| yaml::parse(text).ok()).flatten();
    let root = json.map_or_else(|| hcl::parse(text), Ok)?;
    let has = |key: &&str| object::child(&root, key).is_some();
    if ["auto_auth", "template", "env_template"].iter().any(has) {
        Ok(root)
    } else {
        Err(HclError::unknown())
    }
}

fn is_one_text(roots: &[Node]) -> bool {
    matches!(roots, [root] if root.scalar().is_some())
}

fn of_yaml(text: &str, roots: Vec<Node>) -> InputKind {
    if let Some(found) = foreign_documents(text, &roots) {
        return InputKind::Foreign(found);
    }
    let has = |key: &str| roots.iter().any(|root| object::child(root, key).is_some());
    // The JSON form of HCL.
    let is_agent = !has("kind")
        && !has("secrets")
        && ["auto_auth", "template", "env_template"].iter().any(|key| has(key));
    match <[Node; 1]>::try_from(roots) {
        Ok([root]) if is_agent && root.entries().is_some() => InputKind::Agent(root),
        Ok(root) => InputKind::Yaml(Vec::from(root)),
        Err(roots) => InputKind::Yaml(roots),
    }
}

fn of_hcl(text: &str) -> Result<InputKind, HclError> {
    let mut root = hcl::parse(text)?;
    if object::child(&root, "job").is_some() {
        hcl::read_as_hcl_2(&mut root);
        return Ok(InputKind::Nomad(root));
    }
    let has = |key: &str| object::child(&root, key).is_some();
    if !["template", "auto_auth"].iter().any(|key| has(key)) && ENVCONSUL.iter().any(|key| has(key)) {
        return Ok(InputKind::Envconsul(root));
    }
    if !AGENT.iter().any(|key| has(key)) {
        return foreign::recognise(text).map(InputKind::Foreign).ok_or(HclError::unknown());
    }
    Ok(InputKind::Agent(root))
}

/// Whether the first line that is no comment begins a block or a key of HCL.
fn looks_like_hcl(text: &str) -> bool {
    let lines = text.lines().map(str::trim_start);
    let first = lines.into_iter().find(|line| !line.is_empty() && !line.starts_with(['#', '/', '*']));
    first.is_some_and(|line| {
        let word =
            line.trim_start_matches(|letter: char| letter.is_alphanumeric() || "_\"-".contains(letter));
        let rest = word.trim_start();
        word.len() < line.len()
            && (rest.starts_with(['=', '{', '"']) || rest.is_empty() && !line.contains(':'))
    })
}

/// What a text that is YAML is instead of manifests or a configuration.
fn foreign_documents(text: &str, roots: &[Node]) -> Option<ForeignSource> {
    let is_ours = |root: &Node| {
        object::child(root, "kind").is_some()
            || go_tool::is_one(root)
            || object::child(root, "secretStore").is_some()
    };
    if roots.iter().any(is_ours)
        || roots.iter().any(|root| object::objects("", root).is_ok_and(|found| !found.is_empty()))
    {
        return None;
    }
    let services = roots.iter().find_map(|root| object::child(root, "services"));
    let composed = services.filter(|services| services.entries().is_some());
    foreign::recognise(text).or_else(|| foreign::compose(composed?.position.line))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn kind(name: &str, text: &str) -> String {
        let input =
            ConvertInput { name: name.to_owned(), text: Zeroizing::new(text.to_owned()), is_named: true };
        match detect(&input) {
            Ok(InputKind::Yaml(_)) => "yaml".to_owned(),
            Ok(InputKind::Agent(_)) => "agent".to_owned(),
            Ok(InputKind::Envconsul(_)) => "envconsul".to_owned(),
            Ok(InputKind::Nomad(_)) => "nomad".to_owned(),
            Ok(InputKind::Template) => "template".to_owned(),
            Ok(InputKind::Foreign(found)) => found.what.to_owned(),
            Err(broken) => broken.to_string(),
        }
    }

    #[test]
    fn content_says_what_an_input_is() {
        for (name, text, expected) in [
            ("a", "vault {\n  address = \"https://v\"\n}\n", "agent"),
            ("stdin", "pid_file = \"x\"\nauto_auth { }\n", "agent"),
            ("a.json", "{\"template\": [{\"destination\": \"/x\"}]}\n", "agent"),
            ("a.hcl", "{\"auto_auth\": {}}\n", "agent"),
            ("a", "secret {\n path = \"a/b\"\n}\n", "envconsul"),
            ("a.hcl", "upcase = true\nwait = \"2s\"\n", "envconsul"),
            ("env.hcl.tpl", "vault {\n}\nsecret {\n path = \"a/b\"\n}\n", "envconsul"),
            ("a.hcl.tpl", "vault {\n address = \"{{ x }}\"\n}\n", "template"),
            ("a", "job \"x\" {\n}\n", "nomad"),
            ("a.ctmpl", "a: {{ with secret \"x\" }}\n", "template"),
            ("stdin", "a: {{ with secret \"x/y\" }}{{ .Data.data.z }}{{ end }}\n", "template"),
            ("a", "kind: Pod\n", "yaml"),
            ("a", "secrets: []\n", "yaml"),
            ("a", "resource \"x\" \"y\" {\n}\n", "a source of Terraform"),
            ("a.hcl", "template {\n{% raw %}\n}\n", "a source of Jinja"),
        ] {
            assert_eq!(kind(name, text), expected, "{text}");
        }
    }

    #[test]
    fn a_broken_text_is_judged_as_what_it_looks_like() {
        for (name, text, expected) in [
            (
                "a",
                "vault {\n  address = \n}\n",
                "a:3:1: error: this is no configuration of the Agent, consul-template, envconsul or Nomad: a value is expected",
            ),
            (
                "a.hcl",
                "x = 1\n",
                "a.hcl:1:1: error: this is no configuration of the Agent, consul-template, envconsul or Nomad: no key of a known tool",
            ),
            ("a.hcl", "template = [\n", "a.hcl:1:12: error: this is no configuration"),
            ("a", "a: [\n", "error[yaml-syntax]: unclosed"),
            ("a", "a: b: c\n", "a:1:5"),
        ] {
            assert!(kind(name, text).contains(expected), "{text}: {}", kind(name, text));
        }
    }
}
