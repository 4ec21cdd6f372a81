//! Every configuration that the pages and examples show is accepted by `secrets-sync validate`.

use std::fs;

use serde_json::Value;

use crate::certs::Authority;
use crate::daemon::{Finished, Process, Sandbox};
use crate::pages::{Page, files, root, short};

/// Warnings that an example may have: its server is on a private network; the tests may run without root.
const EXPECTED: [&str; 2] = ["warning[plain-http]", "warning[cannot-chown]"];

/// Variables whose content matters; all others are given some text.
const VARIABLES: [(&str, &str); 1] = [("CREDENTIALS_DIRECTORY", "/run/credentials/secrets-sync.service")];

const STORE: &str = "secretStore: { address: 'https://vault.example:8200', token: made-up }\n";
const SECRETS: &str =
    "secrets: [{ name: fragment, key: app, files: [{ path: /secrets/app, field: value }] }]\n";

/// The configuration in a YAML document; one that is a part of a configuration is completed. None where it belongs to
/// another program.
pub(crate) fn configuration(document: &str) -> Option<String> {
    let value: Value = serde_yaml::from_str(document).unwrap();
    let has = |key| value.get(key).is_some();
    if value.get("kind").is_some_and(|kind| kind == "ConfigMap") {
        return value.pointer("/data/config.yaml").map(|text| text.as_str().unwrap().to_owned());
    }
    // Compose, Kubernetes, Prometheus and its rules.
    if ["services", "apiVersion", "scrape_configs", "groups", "rule_files"].into_iter().any(has) {
        return None;
    }
    if has("files") {
        let files = document.replace('\n', "\n    ");
        return Some(format!("{STORE}secrets:\n  - name: fragment\n    key: app\n    {files}"));
    }
    let store = if has("secretStore") || has("secretStores") { "" } else { STORE };
    let secrets = if has("secrets") { "" } else { SECRETS };
    Some(format!("{document}\n{store}{secrets}"))
}

/// Names in `${NAME}`, without those that have a default.
fn variables(text: &str) -> Vec<&str> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split('}').next());
    names.filter(|name| !name.contains(":-")).collect()
}

fn validated(configuration: &str) -> Finished {
    let sandbox = Sandbox::new("");
    Authority::new(&sandbox.path(""), "ca");
    let certificate = sandbox.path("ca.pem");
    let with_certificate = |line: &str| match line.split_once("tlsCACert: ") {
        Some((before, _)) => format!("{before}tlsCACert: {}\n", certificate.display()),
        None => format!("{line}\n"),
    };
    let text: String = configuration.lines().map(with_certificate).collect();
    sandbox.write("config.yaml", &text);
    let mut command = sandbox.command(&["validate"]);
    // As a daemon with hooks or issued credentials has them.
    sandbox.write("state-key", [7; 32]);
    command.env("STATE_DIR", sandbox.path("state")).env("STATE_KEY_FILE", sandbox.path("state-key"));
    for name in variables(&text) {
        let known = VARIABLES.iter().find(|(known, _)| *known == name);
        command.env(name, known.map_or("made-up", |(_, value)| value));
    }
    if !text.contains("address:") && !text.contains("provider: file") {
        command.env("VAULT_ADDR", "https://vault.example:8200");
    }
    Process::start(command).finish()
}

/// What is wrong with a configuration.
fn complaint(configuration: &str) -> Option<String> {
    let finished = validated(configuration);
    let is_unexpected =
        |line: &str| line.contains("warning[") && !EXPECTED.iter().any(|expected| line.contains(expected));
    let is_accepted = finished.code == 0 && !finished.output().lines().any(is_unexpected);
    (!is_accepted).then(|| format!("{}\n{configuration}", finished.output()))
}

/// Every configuration that a page shows, with its place.
pub(crate) fn of_pages() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for page in Page::all() {
        for block in page.blocks().iter().filter(|block| block.language == "yaml") {
            let place = format!("{}:{}", page.path, block.line);
            found.extend(configuration(&block.text).map(|configuration| (place, configuration)));
        }
    }
    assert!(found.len() >= 7, "{} configurations found", found.len());
    found
}

/// Every configuration of an example, with its place.
pub(crate) fn of_examples() -> Vec<(String, String)> {
    let examples = root().join("examples");
    let mut found = Vec::new();
    for path in [files(&examples, "yaml"), files(&examples, "yml")].concat() {
        let text = fs::read_to_string(&path).unwrap();
        // The values that quickstart reads, which is no configuration.
        if path.ends_with("quickstart/secrets.yaml") {
            continue;
        }
        let documents = text.split("\n---\n").filter_map(configuration);
        found.extend(documents.map(|document| (short(&path), document)));
    }
    for path in files(&examples, "hcl") {
        let text = fs::read_to_string(&path).unwrap();
        let templates = text.split("<<EOF\n").skip(1).filter_map(|rest| rest.split("EOF\n").next());
        found.extend(templates.map(|template| (short(&path), template.to_owned())));
    }
    assert!(found.len() >= 8, "{} configurations found", found.len());
    found
}

fn assert_accepted(configurations: &[(String, String)]) {
    let complaints = configurations.iter().filter_map(|(place, text)| Some((place, complaint(text)?)));
    let found: Vec<_> = complaints.map(|(place, complaint)| format!("{place}\n{complaint}")).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_configuration_of_a_page_is_accepted() {
    assert_accepted(&of_pages());
}

#[test]
fn every_configuration_of_an_example_is_accepted() {
    assert_accepted(&of_examples());
}

#[test]
fn parts_are_completed_and_mistakes_are_found() {
    let accepted = |document| complaint(&configuration(document).unwrap()).is_none();
    assert!(accepted("files: [{ path: /secrets/user, field: user }]"));
    assert!(!accepted("files: [{ path: /secrets/user, fields: user }]"));
    assert!(accepted("secretStore: { authMethod: none }"));
    assert!(!accepted("secretStore: { authMethod: nobody }"));
    assert!(!accepted("secretStore: { tlsSkipVerify: true, token: made-up }"), "an unexpected warning");
    assert!(!accepted("anything: 1"));
    assert_eq!(configuration("services: {}"), None);
    assert_eq!(configuration("{ kind: ConfigMap, data: { config.yaml: text } }"), Some("text".to_owned()));
}
