//! What `convert` makes of manifests writes what External Secrets would have written.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;

use crate::bao::{Bao, ROOT};
use crate::daemon::{Finished, Process, Sandbox};

/// Fields with every type of value.
fn fill(bao: &Bao) {
    let all = json!({
        "username": "app", "password": "p@ss <w>&/", "port": 5432, "flag": true,
        "nested": { "b": { "c": "deep" }, "a": [1, 2] }, "a.b": "literal", "b64": "aGVsbG8=",
    });
    bao.put_v2("", "secret", "converted/db", &all);
    bao.put_v2("", "secret", "converted/api", &json!({ "key": "k-1", "username": "robot" }));
}

fn store() -> String {
    format!(
        "apiVersion: external-secrets.io/v1\nkind: ClusterSecretStore\nmetadata: {{ name: vault }}\nspec:\n  provider:\n    vault:\n      \
         server: {}\n      path: secret\n      auth: {{ tokenSecretRef: {{ name: t, key: t }} }}\n",
        Bao::shared().address()
    )
}

fn external(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {{ name: {name} }}\nspec:\n  secretStoreRef: {{ kind: \
         ClusterSecretStore, name: vault }}\n{spec}"
    )
}

/// Runs a configuration once with the root token.
fn once(sandbox: &Sandbox) -> Finished {
    let mut command = sandbox.command(&["run", "--once"]);
    command.env("VAULT_TOKEN", ROOT).env("VAULT_ADDR", Bao::shared().address());
    Process::start(command).finish()
}

/// The files below a directory, by their path in it.
fn files(sandbox: &Sandbox, directory: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![sandbox.path(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// Keys of a Secret, and their values.
type Keys = &'static [(&'static str, &'static str)];

/// Name, `spec` behind the store, and the keys of the Secret that External Secrets would have written.
const CASES: &[(&str, &str, Keys)] = &[
    (
        "properties",
        "  data:
    - { secretKey: user, remoteRef: { key: converted/db, property: username } }
    - { secretKey: port, remoteRef: { key: secret/data/converted/db, property: port } }
    - { secretKey: flag, remoteRef: { key: converted/db, property: flag } }
    - { secretKey: literal, remoteRef: { key: converted/db, property: a.b } }
    - { secretKey: deep, remoteRef: { key: converted/db, property: nested.b.c } }
    - { secretKey: nested, remoteRef: { key: converted/db, property: nested } }
    - { secretKey: decoded, remoteRef: { key: converted/db, property: b64, decodingStrategy: Base64 } }
    - { secretKey: whole, remoteRef: { key: converted/api } }
",
        &[
            ("user", "app"),
            ("port", "5432"),
            ("flag", "true"),
            ("literal", "literal"),
            ("deep", "deep"),
            ("nested", r#"{"a":[1,2],"b":{"c":"deep"}}"#),
            ("decoded", "hello"),
            ("whole", r#"{"key":"k-1","username":"robot"}"#),
        ],
    ),
    (
        "later-ones-win",
        "  dataFrom:
    - extract: { key: converted/db }
    - extract: { key: converted/api }
  data:
    - { secretKey: key, remoteRef: { key: converted/db, property: password } }
",
        &[
            ("username", "robot"),
            ("password", "p@ss <w>&/"),
            ("port", "5432"),
            ("flag", "true"),
            ("nested", r#"{"a":[1,2],"b":{"c":"deep"}}"#),
            ("a.b", "literal"),
            ("b64", "aGVsbG8="),
            ("key", "p@ss <w>&/"),
        ],
    ),
    (
        "rewritten",
        "  dataFrom:
    - extract: { key: converted/api }
      rewrite:
        - regexp: { source: '(.*)', target: 'API_$1' }
        - transform: { template: 'X_{{ .value }}' }
",
        &[("X_API_key", "k-1"), ("X_API_username", "robot")],
    ),
    (
        "found",
        "  dataFrom:
    - find: { path: converted, name: { regexp: 'api$' } }
",
        &[("converted_api", r#"{"key":"k-1","username":"robot"}"#)],
    ),
];

#[test]
fn converted_manifests_write_what_external_secrets_would_have_written() {
    fill(Bao::shared());
    for (name, spec, expected) in CASES {
        let sandbox = Sandbox::new("");
        sandbox.write("manifests.yaml", format!("{}{}", store(), external(name, spec)));
        let converted =
            sandbox.run(&["convert", "manifests.yaml", "--output-dir", "out", "--output", "config.yaml"]);
        assert!([0, 12].contains(&converted.code), "{name}: {}", converted.output());
        let finished = once(&sandbox);
        assert_eq!(finished.code, 0, "{name}: {}\n{}", finished.output(), sandbox.read("config.yaml"));
        let expected: BTreeMap<_, _> =
            expected.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        assert_eq!(files(&sandbox, "out"), expected, "{name}");
    }
}

/// Recorded configurations of the Agent: their templates alone, with paths of their own.
fn recorded(case: &str) -> (String, String) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert/agent").join(case);
    let agent = fs::read_to_string(folder.join("agent.hcl")).unwrap();
    let (_, template) = agent.split_once("\ntemplate {").unwrap();
    let template = format!("template {{{template}");
    let template = template.replace("secret/data/", "secret/data/recorded/").replace("\"/run/app/", "\"");
    let expected = fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    (template, expected["files"][0]["want"].as_str().unwrap().to_owned())
}

#[test]
fn converted_configurations_of_the_agent_write_what_it_would_have_written() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert");
    let data: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("data.json")).unwrap()).unwrap();
    for path in ["app/db", "app/api", "env"] {
        let answer = &data[format!("secret/data/{path}")]["data"]["data"];
        Bao::shared().put_v2("", "secret", &format!("recorded/{path}"), answer);
    }
    for case in ["01-approle-inline", "27-two-secrets-nested", "29-range-env", "36-delimiters"] {
        let (template, expected) = recorded(case);
        let sandbox = Sandbox::new("");
        sandbox.write("agent.hcl", template);
        let arguments =
            ["convert", "agent.hcl", "--verify", "--output-dir", "out", "--output", "config.yaml"];
        let converted = sandbox.run(&arguments);
        assert_eq!(converted.code, 0, "{case}: {}", converted.output());
        let finished = once(&sandbox);
        assert_eq!(finished.code, 0, "{case}: {}\n{}", finished.output(), sandbox.read("config.yaml"));
        assert_eq!(files(&sandbox, "out"), BTreeMap::from([("out".to_owned(), expected)]), "{case}");
    }
}
