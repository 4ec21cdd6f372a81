//! Fields out of sources: the tables of External Secrets' rules.

use std::path::Path;

use super::*;
use crate::config::Config;
use crate::config::env::Env;
use crate::secret::SecretBytes;

/// The sources of a secret with these keys.
fn sources(keys: &str) -> Sources {
    let text = format!(
        "secretStore: {{ provider: vault, address: 'https://v:8200', token: t }}\nsecrets:\n  - name: s\n    files: [{{ path: /out/f, field: f }}]\n{keys}"
    );
    let loaded = Config::parse(&text, "c.yaml", &Env::default(), Path::new("/"));
    loaded.unwrap_or_else(|report| panic!("{report}")).config.secrets.remove(0).sources
}

fn fields(json: &str) -> Arc<Fields> {
    Arc::new(json::object_in(&SecretText::new(json.to_owned())).unwrap())
}

/// The fields as JSON; numbers, texts and objects stay apart.
fn merged(keys: &str, answers: &[&str]) -> Result<String, String> {
    let answers: Vec<_> = answers.iter().map(|json| fields(json)).collect();
    match merge(&sources(keys), &answers) {
        Ok(fields) => Ok(json::text_of(&fields).expose().to_owned()), // EXPOSE: test
        Err(fault) => {
            assert_eq!(fault.kind, Kind::Template);
            Err(format!("{}; {}", fault.message, fault.remedy))
        }
    }
}

fn check(keys: &str, answers: &[&str], expected: &str) {
    assert_eq!(merged(keys, answers).as_deref(), Ok(expected), "{keys}");
}

fn check_fault(keys: &str, answers: &[&str], words: &[&str]) {
    let fault = merged(keys, answers).unwrap_err();
    for word in words {
        assert!(fault.contains(word), "{fault:?} without {word:?}");
    }
}

/// An entry of `data` with these further keys of `remoteRef`.
fn data(keys: &str) -> String {
    format!("    data: [{{ secretKey: x, remoteRef: {{ key: a, {keys} }} }}]")
}

fn extract(keys: &str) -> String {
    format!("    dataFrom: [{{ extract: {{ key: a, {keys} }} }}]")
}

fn rewrite(steps: &str) -> String {
    format!("    dataFrom: [{{ extract: {{ key: a }}, rewrite: [{steps}] }}]")
}

#[test]
fn the_last_entry_of_data_from_wins_and_data_wins_over_it() {
    let keys = "    data: [{ secretKey: c, remoteRef: { key: one, property: a } }]
    dataFrom: [{ extract: { key: one } }, { extract: { key: two } }]";
    check(keys, &[r#"{"a":"1","b":"1","c":"1"}"#, r#"{"b":"2","c":"2"}"#], r#"{"a":"1","b":"2","c":"1"}"#);
    let turned = "    dataFrom: [{ extract: { key: two } }, { extract: { key: one } }]";
    check(turned, &[r#"{"b":"2"}"#, r#"{"a":"1","b":"1"}"#], r#"{"a":"1","b":"1"}"#);
}

#[test]
fn a_source_with_as_is_one_field_and_collides_with_none() {
    let keys = "    dataFrom: [{ as: db, extract: { key: one } }, { extract: { key: two } }]";
    check(keys, &[r#"{"a":1.10}"#, r#"{"b":"2"}"#], r#"{"b":"2","db":{"a":1.10}}"#);
    check_fault(keys, &["{}", r#"{"db":"2"}"#], &["as: db", "choose another name"]);
}

#[test]
fn a_property_is_a_field_of_that_name_or_a_path() {
    let secret = r#"{"a.b":"literal","a":{"b":"path","c":[{"x":1.50},{"y":0},{"x":true}],"0":"zero"},"n":null,"t":"{\"in\":1}"}"#;
    for (property, expected) in [
        ("a.b", r#""literal""#),
        ("a.c.0.x", "1.50"),
        ("a.c.#", "3"),
        ("a.c.#.x", r#""[1.50,true]""#),
        ("a.0", r#""zero""#),
        ("a.c.1", r#""{\"y\":0}""#),
        ("n", "null"),
        ("t", r#""{\"in\":1}""#),
    ] {
        check(&data(&format!("property: '{property}'")), &[secret], &format!(r#"{{"x":{expected}}}"#));
    }
    for property in ["b", "a.b.c", "a.c.3", "a.c.x", "a.#", "t.in", "a.c.-1", "A.b"] {
        let names =
            ["secret/a: there is no property", property, "the secret has a, a.b, n, t", "correct `property`"];
        check_fault(&data(&format!("property: '{property}'")), &[secret], &names);
    }
}

#[test]
fn without_a_property_the_value_is_the_whole_secret_as_go_writes_it() {
    let expected = r#"{"x":"{\"a\":\"\\u003cb\\u003e\\u0026\",\"n\":9007199254740993,\"z\":[1.10,null]}"}"#;
    check(&data(""), &[r#"{"z":[1.10,null],"n":9007199254740993,"a":"<b>&"}"#], expected);
}

#[test]
fn the_fields_of_an_object_that_is_a_property_become_those_of_the_secret() {
    for keys in [extract("property: p"), "    key: a\n    property: p".to_owned()] {
        check(&keys, &[r#"{"p":{"a":1,"b":"2"},"q":"no"}"#], r#"{"a":1,"b":"2"}"#);
        check(&keys, &[r#"{"p":"{\"a\":1.0}"}"#], r#"{"a":1.0}"#);
        check_fault(&keys, &[r#"{"p":"[1]"}"#], &["secret/a", "property \"p\" is no JSON object"]);
        check_fault(&keys, &["{}"], &["there is no property \"p\"; the secret has no fields"]);
    }
}

#[test]
fn names_are_converted_unless_they_are_rewritten() {
    let secret = r#"{"a b/c":"1","ok-._9":"2","é":"3"}"#;
    check(&extract(""), &[secret], r#"{"a_b_c":"1","ok-._9":"2","é":"3"}"#);
    check(
        &extract("conversionStrategy: Unicode"),
        &[secret],
        r#"{"a_U0020_b_U002f_c":"1","ok-._9":"2","é":"3"}"#,
    );
    check("    key: a\n    property: p", &[r#"{"p":{"a b":1}}"#], r#"{"a b":1}"#);
    check_fault(
        &extract(""),
        &[r#"{"a b":"1","a_b":"2"}"#],
        &["secret/a", "two fields would be called \"a_b\""],
    );
    check(&rewrite("{ regexp: { source: 'z', target: '' } }"), &[r#"{"a b":"1"}"#], r#"{"a b":"1"}"#);
}

#[test]
fn rewriting_replaces_in_every_name_and_in_order() {
    let both = "{ regexp: { source: '^app-', target: '' } }, { regexp: { source: '(.*)', target: 'X_$1' } }";
    check(&rewrite(both), &[r#"{"app-a":"1","b":"2"}"#], r#"{"X_a":"1","X_b":"2"}"#);
    check(&rewrite("{ regexp: { source: '-', target: '_' } }"), &[r#"{"a-b-c":"1"}"#], r#"{"a_b_c":"1"}"#);
    check(&rewrite("{ regexp: { source: '^a$', target: '' } }"), &[r#"{"a":"1","b":"2"}"#], r#"{"b":"2"}"#);
    let one = rewrite("{ regexp: { source: '[12]', target: '' } }");
    check_fault(
        &one,
        &[r#"{"a1":"1","a2":"2"}"#],
        &["two fields would be called \"a\", one of them is \"a2\""],
    );
}

#[test]
fn a_template_makes_each_name() {
    let upper = "{ transform: { template: 'X_{{ .value | upper }}' } }";
    check(&rewrite(upper), &[r#"{"a":"1","b-c":"2"}"#], r#"{"X_A":"1","X_B-C":"2"}"#);
    let same = rewrite("{ transform: { template: 'x' } }");
    check_fault(&same, &[r#"{"a":"1","b":"2"}"#], &["two fields would be called \"x\""]);
    let failing = rewrite("{ transform: { template: '{{ fail \"no\" }}' } }");
    check_fault(&failing, &[r#"{"a":"1"}"#], &["secret/a: the name \"a\" cannot be transformed"]);
}

#[test]
fn merging_hoists_fields_or_keeps_them_together() {
    let secret = r#"{"b":{"x":"b","k":1.0},"a":"{\"x\":\"a\"}"}"#;
    let merge = |keys: &str| rewrite(&format!("{{ merge: {{ {keys} }} }}"));
    check_fault(&merge(""), &[secret], &["\"x\" is in \"b\"", "conflictPolicy: Ignore"]);
    check(&merge("conflictPolicy: Ignore"), &[secret], r#"{"k":1.0,"x":"b"}"#);
    check(&merge("conflictPolicy: Ignore, priority: [a]"), &[secret], r#"{"k":1.0,"x":"a"}"#);
    check(&merge("conflictPolicy: Ignore, priority: [b, a]"), &[secret], r#"{"k":1.0,"x":"a"}"#);
    check_fault(
        &merge("conflictPolicy: Ignore, priority: [z]"),
        &[secret],
        &["no field \"z\"", "IgnoreNotFound"],
    );
    let lenient = "conflictPolicy: Ignore, priority: [z], priorityPolicy: IgnoreNotFound";
    check(&merge(lenient), &[secret], r#"{"k":1.0,"x":"b"}"#);
    let together = merge("strategy: JSON, into: all");
    check(&together, &[r#"{"a":{"x":1}}"#], r#"{"a":{"x":1},"all":"{\"x\":1}"}"#);
    check_fault(&together, &[r#"{"a":{"x":1},"all":{}}"#], &["there is a field \"all\" already"]);
    check_fault(&merge(""), &[r#"{"a":"1"}"#], &["field \"a\" is no JSON object"]);
}

#[test]
fn values_are_decoded_as_go_decodes_them() {
    for (strategy, value, expected) in [
        ("None", "aGk=", "aGk="),
        ("Base64", "aGk=", "hi"),
        ("Base64", "aG\\nk=", "hi"),
        ("Base64", "aGl=", "hi"),
        ("Base64URL", "Pz8_", "???"),
        ("Auto", "Pz8/", "???"),
        ("Auto", "Pz8_", "???"),
        ("Auto", "not base64", "not base64"),
        ("Auto", "aGk", "aGk"),
    ] {
        let secret = format!(r#"{{"f":"{value}"}}"#);
        check(
            &extract(&format!("decodingStrategy: {strategy}")),
            &[&secret],
            &format!(r#"{{"f":"{expected}"}}"#),
        );
    }
    for (strategy, value) in
        [("Base64", "aGk"), ("Base64", "Pz8_"), ("Base64URL", "Pz8/"), ("Base64", "a b=")]
    {
        let secret = format!(r#"{{"f":"{value}"}}"#);
        let words = ["secret/a: field \"f\" is not base64", "decodingStrategy"];
        check_fault(&extract(&format!("decodingStrategy: {strategy}")), &[&secret], &words);
        let message =
            merged(&data(&format!("property: f, decodingStrategy: {strategy}")), &[&secret]).unwrap_err();
        assert!(message.contains("property \"f\" is not base64") && !message.contains(value), "{message}");
    }
}

#[test]
fn what_is_decoded_may_be_no_text() {
    let sources = sources(&data("property: f, decodingStrategy: Base64"));
    let answers = [fields(r#"{"f":"//8="}"#)];
    let merged = merge(&sources, &answers).unwrap();
    assert_eq!(merged.value("x"), Some(&FieldValue::Bytes(SecretBytes::new(vec![0xff, 0xff]))));
}

#[test]
fn a_null_byte_is_refused_where_that_is_asked_for() {
    let secret = r#"{"f":"YQBi"}"#;
    check(&extract("decodingStrategy: Base64"), &[secret], r#"{"f":"a\u0000b"}"#);
    let strict = extract("decodingStrategy: Base64, nullBytePolicy: Fail");
    check_fault(&strict, &[secret], &["field \"f\" holds a NUL byte"]);
    check(&strict, &[r#"{"f":"YWI="}"#], r#"{"f":"ab"}"#);
}

#[test]
fn what_a_search_finds_are_fields_of_json() {
    let find =
        |rest: &str| format!("    dataFrom: [{{ find: {{ path: dev, name: {{ regexp: . }} }}{rest} }}]");
    let found = r#"{"dev/a":{"x":1.0},"dev/b/c":{"y":"<"}}"#;
    check(&find(""), &[found], r#"{"dev_a":"{\"x\":1.0}","dev_b_c":"{\"y\":\"\\u003c\"}"}"#);
    let rewritten = find(", rewrite: [{ regexp: { source: '.*/', target: '' } }]");
    check(&rewritten, &[found], r#"{"a":"{\"x\":1.0}","c":"{\"y\":\"\\u003c\"}"}"#);
    check(&find(", rewrite: [{ merge: {} }]"), &[found], r#"{"x":1.0,"y":"\u003c"}"#);
    check(&find(", as: all"), &[r#"{"dev/a":{}}"#], r#"{"all":{"dev_a":"{}"}}"#);
}
