//! `secrets-sync schema` and the loader agree: what one accepts the other does, and each finds the same mistakes.

use std::process::Command;

use serde_json::{Map, Value, json};

use crate::configurations::{of_examples, of_pages};
use crate::daemon::Sandbox;
use crate::pages::root;

fn schema() -> Value {
    let finished = Sandbox::new("").run(&["schema"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    serde_json::from_str(&finished.stdout).unwrap()
}

/// What a validator of others says of each document: nothing, or what is wrong.
fn judged(schema: &Value, documents: &[Value]) -> Vec<Option<String>> {
    const PROGRAM: &str = "\
import json, sys, fastjsonschema
schema, documents = (json.load(open(path)) for path in sys.argv[1:])
validate = fastjsonschema.compile(schema, use_default=False)
def judge(document):
    try:
        validate(document)
    except fastjsonschema.JsonSchemaValueException as error:
        return error.message
print(json.dumps([judge(document) for document in documents]))
";
    let validator = root().join(".tools/fastjsonschema");
    assert!(validator.exists(), "fastjsonschema is missing at {}: run\n    make tools", validator.display());
    let sandbox = Sandbox::new("");
    sandbox.write("schema.json", schema.to_string());
    sandbox.write("documents.json", json!(documents).to_string());
    let mut python = Command::new("python3");
    python.args(["-c", PROGRAM]).args(["schema.json", "documents.json"].map(|name| sandbox.path(name)));
    let output = python.env("PYTHONPATH", validator).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn json_of(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

/// A configuration that has only what is needed.
fn smallest() -> Value {
    json!({
        "secretStore": { "address": "https://vault.example:8200", "token": "made-up" },
        "secrets": [{ "name": "app", "key": "app", "files": [{ "path": "/secrets/app", "field": "user" }] }],
    })
}

/// One step on the way to a key.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    /// The first item of a list.
    First,
}

/// A key of the schema: the way to it, its own schema, and what must be beside it.
struct Found {
    way: Vec<Step>,
    schema: Value,
    beside: Map<String, Value>,
    is_needed: bool,
}

impl Found {
    /// As messages call it.
    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.way {
            match step {
                Step::Key(key) if path.is_empty() => path.push_str(key),
                Step::Key(key) => path.extend([".", key]),
                Step::First => path.push_str("[0]"),
            }
        }
        path
    }

    /// The smallest configuration with `value` here.
    fn document(&self, value: Value) -> Value {
        let (last, parents) = self.way.split_last().unwrap();
        let mut document = smallest();
        let mut node = &mut document;
        // Only these items need anything that is no text.
        let is_data = |step: &Step| matches!(step, Step::Key(key) if key == "data");
        let item = if parents.iter().any(is_data) {
            json!({ "secretKey": "made-up", "remoteRef": { "key": "made-up" } })
        } else {
            json!({})
        };
        for step in parents {
            node = match step {
                Step::Key(key) => {
                    if ["data", "dataFrom", "vaultDynamic"].contains(&key.as_str())
                        && node.get("files").is_some()
                    {
                        // They exclude each other.
                        node.as_object_mut().unwrap().remove("key");
                    }
                    let next = node.as_object_mut().unwrap().entry(key.clone()).or_insert(Value::Null);
                    if next.is_null() {
                        let needs_path = key == "vaultDynamic";
                        *next = if needs_path { json!({ "path": "made-up" }) } else { json!({}) };
                    }
                    next
                }
                Step::First => {
                    if !node.is_array() {
                        *node = json!([item.clone()]);
                    }
                    &mut node[0]
                }
            };
        }
        let node = node.as_object_mut().unwrap();
        if self.beside.get("provider").is_some_and(|provider| provider == "file") {
            // Instead of the keys of another provider.
            node.clear();
        }
        for (key, value) in &self.beside {
            node.entry(key.clone()).or_insert(value.clone());
        }
        let key = if let Step::Key(key) = last { Some(key) } else { None };
        let key = key.unwrap();
        if ["field", "key", "template", "format"].contains(&key.as_str()) && node.contains_key("path") {
            node.remove("field");
        }
        node.insert(key.clone(), value);
        document
    }

    fn is_collection(&self) -> bool {
        let takes_text =
            |schema: &Value| schema["type"].as_array().is_some_and(|types| types.contains(&json!("string")));
        let is_one = |schema: &Value| schema.get("properties").is_some() || schema.get("items").is_some();
        self.schema.get("additionalProperties").is_some()
            || is_one(&self.schema)
            || self.schema["anyOf"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(is_one) && !kinds.iter().any(takes_text))
    }
}

/// Every key below `schema`, which stands at `way`.
fn keys(schema: &Value, way: &[Step]) -> Vec<Found> {
    let mut found = Vec::new();
    for kind in schema["anyOf"].as_array().into_iter().flatten() {
        found.extend(keys(kind, way));
    }
    if let Some(items) = schema.get("items") {
        found.extend(keys(items, &[way, &[Step::First]].concat()));
    }
    if let Some(named) = schema.get("additionalProperties").filter(|named| named.is_object()) {
        found.extend(keys(named, &[way, &[Step::Key("made-up".to_owned())]].concat()));
    }
    // What decides which kind of store it is, and what is needed.
    let provider = schema.pointer("/properties/provider/anyOf/0/enum/0");
    let mut beside: Map<_, _> =
        provider.map(|word| ("provider".to_owned(), word.clone())).into_iter().collect();
    for needed in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let types = schema["properties"][needed]["type"].as_array().into_iter().flatten();
        if types.clone().any(|one| one == "string") {
            beside.entry(needed.to_owned()).or_insert(json!("/secrets/made-up"));
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let way = [way, &[Step::Key(name.clone())]].concat();
        let is_needed = schema["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
        found.extend(keys(property, &way));
        found.push(Found { way, schema: property.clone(), beside: beside.clone(), is_needed });
    }
    found
}

/// What the loader says.
fn reported(document: &Value) -> String {
    let sandbox = Sandbox::new(&document.to_string());
    sandbox.run(&["validate"]).output()
}

#[test]
fn every_example_and_every_configuration_of_a_page_is_accepted() {
    let starter = Sandbox::new("").run(&["init"]).stdout;
    let texts = [of_pages(), of_examples(), vec![("init".to_owned(), starter)]].concat();
    let documents: Vec<_> = texts.iter().map(|(_, text)| json_of(text)).collect();
    let judged = judged(&schema(), &documents);
    let wrong = texts.iter().zip(judged).filter_map(|((place, text), found)| Some((place, text, found?)));
    let wrong: Vec<_> = wrong.map(|(place, text, found)| format!("{place}: {found}\n{text}")).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// A value of another type, for each key: so each key of the tables is one that the loader reads.
/// What `convert` makes of each recorded file, by its path.
fn of_conversions() -> Vec<(String, Value)> {
    let folder = root().join("tests/convert");
    let entries = |name: &str| -> Vec<_> {
        std::fs::read_dir(folder.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let mut files: Vec<_> = entries("agent").into_iter().map(|case| case.join("agent.hcl")).collect();
    files.extend(
        entries("manifests").into_iter().filter(|path| path.extension().is_some_and(|end| end == "yaml")),
    );
    files.extend(entries("inputs"));
    files.sort();
    let sandbox = Sandbox::new("");
    let convert = |path: std::path::PathBuf| {
        let (file, directory) = (path.display().to_string(), path.parent().unwrap().display().to_string());
        let finished = sandbox.run(&["convert", &file, "--partial", "--template-dir", &directory]);
        assert!([0, 3, 12, 13].contains(&finished.code), "{file}: {finished:?}");
        (!finished.stdout.is_empty()).then(|| (file, json_of(&finished.stdout)))
    };
    files.into_iter().filter_map(convert).collect()
}

#[test]
fn every_converted_configuration_is_accepted() {
    let (paths, documents): (Vec<_>, Vec<_>) = of_conversions().into_iter().unzip();
    assert!(paths.len() >= 70, "{}", paths.len());
    let judged = judged(&schema(), &documents);
    let wrong: Vec<_> =
        paths.iter().zip(judged).filter_map(|(path, wrong)| Some(format!("{path}: {}", wrong?))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_type_and_an_unknown_key_are_found_by_both() {
    let schema = schema();
    let found = keys(&schema, &[]);
    assert!(found.len() > 80, "{} keys found", found.len());
    let mut cases = Vec::new();
    for key in &found {
        let wrong = if key.is_collection() { json!("a text") } else { json!([1]) };
        cases.push(("wrong-type", key.path(), key.document(wrong)));
        let mut way = key.way.clone();
        way.pop();
        way.push(Step::Key("noSuchKeyAtAll".to_owned()));
        let unknown = Found { way, schema: Value::Null, beside: key.beside.clone(), is_needed: false };
        cases.push(("unknown-key", unknown.path(), unknown.document(json!(1))));
    }
    let documents: Vec<_> = cases.iter().map(|(.., document)| document.clone()).collect();
    for ((code, path, document), judged) in cases.iter().zip(judged(&schema, &documents)) {
        assert!(judged.is_some(), "the schema accepts {path}: {document}");
        let reported = reported(document);
        let place = format!(" ({path})\n");
        let of_it =
            reported.split("\n\n").any(|one| one.contains(&format!("[{code}]")) && one.contains(&place));
        assert!(of_it, "no {code} at {path}: {document}\n{reported}");
    }
}

#[test]
fn keys_without_a_value_and_variables_are_accepted_by_both() {
    let schema = schema();
    let found = keys(&schema, &[]);
    let mut documents = Vec::new();
    for key in &found {
        if !key.is_needed {
            documents.push((key.path(), key.document(Value::Null)));
        }
        if !key.is_collection() {
            documents.push((key.path(), key.document(json!("${MADE_UP}"))));
        }
    }
    let all: Vec<_> = documents.iter().map(|(_, document)| document.clone()).collect();
    for ((path, document), judged) in documents.iter().zip(judged(&schema, &all)) {
        assert_eq!(judged, None, "{path}: {document}");
        if document.to_string().contains(":null") {
            let reported = reported(document);
            assert!(
                !reported.contains(&format!(" ({path})\n")) || reported.contains("[missing-key]"),
                "{reported}"
            );
        }
    }
}

/// Texts that are right and texts that are wrong, by the key that takes them; `_` stands for one of them.
const VALUES: &[(&str, &[&str], &[&str])] = &[
    (
        "secrets: [{ name: a, key: a, files: [{ path: /secrets/app, field: user, mode: _ }] }]",
        &["600", "'0640'", "0400", "0o600"],
        &["rw", "'0689'"],
    ),
    (
        "secrets: [{ name: a, key: a, files: [{ path: /secrets/app, field: user, inPlace: _ }] }]",
        &["yes", "Off", "true", "'FALSE'"],
        &["maybe", "1"],
    ),
    (
        "secrets: [{ name: a, key: a, files: [{ path: /secrets/app, format: _ }] }]",
        &["json", "dotenv-raw"],
        &["toml", "1"],
    ),
    (
        "secrets: [{ name: a, key: a, files: [{ path: /secrets/app, field: _ }] }]",
        &["1", "true", "user", "1.50"],
        &["[]"],
    ),
    (
        "secrets: [{ name: a, key: a, files: [{ path: /secrets/app, _ }] }]",
        &["field: a", "field: a, key: "],
        &["field: a, format: json", "field: a, template: b"],
    ),
    (
        "secrets: [{ name: a, key: a, kvVersion: _, files: [{ path: /secrets/app, field: user }] }]",
        &["v1", "2", "auto"],
        &["3", "v3"],
    ),
    (
        "secrets: [{ name: a, key: a, refreshInterval: _, files: [{ path: /secrets/app, field: user }] }]",
        &["30s", "1h30m", "1.5h", "0", "'0'", "1d"],
        &["100", "50 s", "1y", "-5s"],
    ),
    (
        "secrets: [{ name: a, vaultDynamic: { path: a/b, lease: { renewAt: _ } }, files: [{ path: /secrets/app, field: user }] }]",
        &["0.5", "'.75'", "1e-1"],
        &["0", "1", "half"],
    ),
    (
        "secrets: [{ name: a, vaultDynamic: { path: a/b, parameters: _ }, files: [{ path: /secrets/app, field: user }] }]",
        &["{ ttl: 1h, names: [a], more: { n: 1 } }", "{ key: { file: /k } }", ""],
        &["[]", "1h"],
    ),
    (
        "secrets: [{ name: a, _, files: [{ path: /secrets/app, field: user }] }]",
        &["vaultDynamic: { path: a/b, method: get }", "dataFrom: [{ vaultDynamic: { path: a/b } }]"],
        &["vaultDynamic: { path: a/b }, key: a", "vaultDynamic: { method: GET }", "vaultDynamic: a/b"],
    ),
    (
        "limits: { maxFileSize: _ }\nsecrets: [{ name: a, key: a, files: [{ path: /secrets/app, field: user }] }]",
        &["1MiB", "64kB", "512"],
        &["1Mi", "1.5MiB", "-1"],
    ),
    (
        "logLevel: _\nsecrets: [{ name: a, key: a, files: [{ path: /secrets/app, field: user }] }]",
        &["warn"],
        &["loud", "1"],
    ),
];

#[test]
fn values_are_judged_alike() {
    let store = "secretStore: { address: 'https://vault.example:8200', token: made-up }";
    let mut cases = Vec::new();
    for (text, right, wrong) in VALUES {
        let case = |value: &str, is_right| (format!("{store}\n{}\n", text.replacen('_', value, 1)), is_right);
        cases.extend(right.iter().map(|value| case(value, true)));
        cases.extend(wrong.iter().map(|value| case(value, false)));
    }
    let documents: Vec<_> = cases.iter().map(|(text, _)| json_of(text)).collect();
    for ((text, is_right), judged) in cases.iter().zip(judged(&schema(), &documents)) {
        let loaded = Sandbox::new(text).run(&["validate"]);
        let verdicts = (judged.is_none(), loaded.code == 0);
        assert_eq!(verdicts, (*is_right, *is_right), "{text}\n{judged:?}\n{}", loaded.output());
    }
}
