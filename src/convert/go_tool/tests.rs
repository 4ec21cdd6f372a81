//! Configurations of the Go tool, and what is said of them.

use super::*;
use crate::config::yaml;
use crate::convert::report::FieldOutcome;

const CONFIG: &str = "\
secretStore:
  address: ${VAULT_ADDR}
  namespace: team-${TEAM}
  authMethod: approle
  roleId: 7d3c
  secretId: ${VAULT_SECRET_ID}
  retries: 3
  credentials:
    team-b: { authMethod: token, token: '${TEAM_B_TOKEN}' }
secrets:
  - name: db
    key: app//db
    mountPath: secret
    kvVersion: v2
    namespace: ''
    refreshInterval: 30m
    template:
      data:
        username: '{{ .username }}'
        password: '{{ .password }}'
    files:
      - path: /run/app/user
        mode: 0640
        owner: '-1'
      - path: /run/app/pass
        mode: '4600'
";

fn converted(text: &str) -> (String, Vec<String>, usize) {
    let root = yaml::parse(text).unwrap();
    let mut report = ConversionReport::default();
    let mut document = Document::default();
    convert(subject("config.yaml", &root), &mut document, &mut report);
    let written = document.into_text();
    let refusals = report.refusals();
    let warnings = report.lines().iter().filter(|one| one.is_warning);
    let line = |one: &crate::convert::report::ReportLine| {
        let (FieldOutcome::Mapped(text) | FieldOutcome::Dropped(text)) = &one.outcome else {
            return one.path.clone();
        };
        format!("{}: {text}", one.path)
    };
    (written, warnings.map(line).collect(), refusals)
}

#[test]
fn every_file_names_its_content_and_no_credential_is_copied() {
    let (written, ..) = converted(CONFIG);
    assert_eq!(
        written,
        "# yaml-language-server: $schema=secrets-sync.schema.json
# Written by \"secrets-sync convert\".
# from config.yaml
secretStore:
  address: ${VAULT_ADDR}
  namespace: team-${TEAM}
  authMethod: approle
  roleId: ${VAULT_ROLE_ID}
  secretId: ${VAULT_SECRET_ID}
  credentials:
    team-b:
      authMethod: token
      token: ${TEAM_B_TOKEN}
secrets:
  # secrets[0] (config.yaml, line 11)
  - name: db
    key: app/db
    mountPath: secret
    kvVersion: v2
    namespace: ''
    refreshInterval: 30m
    template:
      engine: go
      data:
        username: '{{ .username }}'
        password: '{{ .password }}'
    files:
      - path: /run/app/user
        key: username
        mode: '0640'
      - path: /run/app/pass
        key: password
        mode: '0600'
"
    );
}

#[test]
fn what_behaved_otherwise_is_listed() {
    let (_, warnings, _) = converted(CONFIG);
    for expected in [
        "secretStore.namespace: the variable is filled in",
        "secretStore.roleId: ${VAULT_ROLE_ID}",
        "secretStore.retries: neither the Go tool",
        "secretStore.credentials.team-b.token: the variable is filled in",
        "secrets[0].key: \"app/db\"",
        "secrets[0].namespace: the root namespace",
        "secrets[0].files[0].path: with \"key: username\", the order of the document. The Go tool wrote \"password\"",
        "secrets[0].files[1].path: with \"key: password\"",
        "secrets[0].files[1].mode: 0600",
    ] {
        assert!(warnings.iter().any(|warning| warning.starts_with(expected)), "{expected}\n{warnings:#?}");
    }
    assert_eq!(warnings.len(), 9, "{warnings:#?}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let two = "secrets:\n- {name: a, key: ../x, mountPath: m, kvVersion: v1, template: {data: {x: a, y: b}}, files: [{path: ./p}, {path: p}]}\n";
    assert_eq!(converted(two).2, 2);
    let uneven = "secrets:\n- {name: a, key: x, mountPath: m, kvVersion: v1, template: {data: {x: a, y: b}}, files: [{path: p}]}\n";
    assert_eq!(converted(uneven).2, 1);
}

#[test]
fn a_configuration_in_todays_form_is_none_of_the_go_tool() {
    let is = |text: &str| is_one(&yaml::parse(text).unwrap());
    assert!(is(CONFIG));
    assert!(!is("secrets: [{name: a, template: {data: {x: a}}, files: [{path: p, key: x}]}]"));
    assert!(!is("secrets: [{name: a, directory: {path: p}}]"));
    assert!(!is("kind: X\nsecrets: [{template: {data: {x: a}}, files: [{path: p}]}]"));
}
