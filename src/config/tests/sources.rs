//! `data`, `dataFrom` and `property` as configured.

use super::*;

/// The report of a secret with these keys, and what it reads if that is right.
fn compiled(keys: &str) -> Result<Vec<String>, String> {
    let text = format!(
        "secretStore: {{ provider: vault, address: 'https://v:8200', token: t, mountPath: kv }}
secretStores: {{ lab: {{ provider: file, path: /s.yaml }} }}
secrets:
  - name: s
    files: [{{ path: /out/f, field: f }}]
{keys}"
    );
    let loaded = Config::parse(&text, "c.yaml", &Env::default(), Path::new("/"));
    let paths = |loaded: Loaded| {
        let sources = &loaded.config.secrets[0].sources;
        sources.all().map(|source| format!("{}:{}", source.store, source.path())).collect()
    };
    loaded.map(paths).map_err(|report| report.to_string())
}

fn refused(keys: &str, words: &[&str]) {
    let report = compiled(keys).expect_err(keys);
    for word in words {
        assert!(report.contains(word), "{report}\nhas no {word:?}");
    }
    assert!(report.matches("error").count() >= 1 && report.matches("\n  hint").count() <= 3, "{report}");
}

#[test]
fn each_distinct_read_is_one_source() {
    let keys = "    data:
      - { secretKey: a, remoteRef: { key: app/db, property: user } }
      - { secretKey: b, remoteRef: { key: app/db, property: password } }
      - { secretKey: c, remoteRef: { key: app/db, version: 3 } }
    dataFrom:
      - extract: { key: app/db }
      - { as: l, extract: { key: app }, sourceRef: { storeRef: { name: lab, kind: ClusterSecretStore } } }
      - find: { path: dev/, name: { regexp: '^dev/[${]*' } }";
    let expected = ["default:kv/app/db", "lab:app", "default:kv/dev/*", "default:kv/app/db"];
    assert_eq!(compiled(keys).unwrap(), expected);
}

#[test]
fn an_entry_of_external_secrets_with_its_defaults_loads() {
    let keys = "    data:
      - secretKey: tls.crt
        remoteRef: { key: a, property: tls.crt, conversionStrategy: Default, decodingStrategy: None, metadataPolicy: None, nullBytePolicy: Ignore }
    dataFrom:
      - extract: { key: a, conversionStrategy: Unicode, decodingStrategy: Auto, metadataPolicy: None }
        rewrite: [{ regexp: { source: '(.*)', target: 'X_$1' } }, { merge: { strategy: JSON, into: all, priority: [b], priorityPolicy: Strict, conflictPolicy: Ignore } }]
      - find: { tags: { env: prod }, conversionStrategy: Default, decodingStrategy: Base64 }";
    assert_eq!(compiled(keys).unwrap(), ["default:kv/a", "default:kv/*"]);
}

#[test]
fn the_main_store_is_needed_only_where_it_is_read() {
    let text = |entry: &str| {
        format!(
            "secretStores: {{ lab: {{ provider: file, path: /s.yaml }} }}
secrets: [{{ name: s, files: [{{ path: /f, field: f }}], dataFrom: [{{ extract: {{ key: a }}{entry} }}] }}]"
        )
    };
    let parse = |text: &str| Config::parse(text, "c.yaml", &Env::default(), Path::new("/"));
    assert!(parse(&text(", sourceRef: { storeRef: { name: lab } }")).is_ok());
    let report = parse(&text("")).err().unwrap().to_string();
    assert!(report.contains("there is no secretStore"), "{report}");
}

#[test]
fn what_one_read_says_cannot_stand_beside_several() {
    let data = "    data: [{ secretKey: a, remoteRef: { key: a } }]\n";
    for (key, value) in
        [("key", "a"), ("property", "a"), ("version", "1"), ("mountPath", "kv"), ("namespace", "x")]
    {
        refused(&format!("{data}    {key}: {value}"), &["conflicting-keys", key, "cannot stand beside"]);
    }
    refused("    data: []", &["the secret reads nothing"]);
    refused("", &["\"key\" is missing", "data or dataFrom"]);
}

#[test]
fn names_of_fields_are_checked() {
    let two = |first: &str, second: &str| {
        format!("    dataFrom: [{{ {first} extract: {{ key: a }} }}]\n    data: [{second}]")
    };
    let field = |name: &str| format!("{{ secretKey: {name}, remoteRef: {{ key: a }} }}");
    refused(&two("as: db,", &field("db")), &["duplicate-name", "has this name in \"as\""]);
    refused(&two("", &[field("x"), field("x")].join(", ")), &["duplicate-name", "another entry"]);
    refused(&two("as: data,", &field("x")), &["reserved-name", "choose another name"]);
    refused(&two("as: vars,", &field("x")), &["reserved-name"]);
    refused(&two("as: 1a,", &field("x")), &["bad-value", "a name for templates"]);
    refused(&two("as: a-b,", &field("x")), &["bad-value"]);
    refused(
        "    dataFrom: [{ as: a, extract: { key: a } }, { as: a, extract: { key: b } }]",
        &["duplicate-name"],
    );
    refused("    data: [{ remoteRef: { key: a } }]", &["\"secretKey\" is missing"]);
    refused("    data: [{ secretKey: a }]", &["\"remoteRef\" is missing"]);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let data = |rest: &str| format!("    data: [{{ secretKey: a, remoteRef: {{ key: a{rest} }} }}]");
    refused(&data(", metadataPolicy: Fetch"), &["not-supported", "metadataPolicy: Fetch"]);
    refused(&data(", property: 'a.#(b==1).c'"), &["bad-value", "a query"]);
    refused(&data(", property: 'a.*'"), &["a wildcard"]);
    refused(&data(", property: ''"), &["bad-value"]);
    refused(&data(", proprety: a"), &["unknown-key", "property"]);
    refused(
        "    dataFrom: [{ sourceRef: { generatorRef: { kind: Password, name: x } } }]",
        &["not-supported", "generatorRef", "write the value into the store"],
    );
    refused(
        "    dataFrom: [{ extract: { key: a }, sourceRef: { storeRef: { name: lap } } }]",
        &["unknown-store", "did you mean \"lab\""],
    );
    refused("    dataFrom: [{ extract: { key: a }, sourceRef: {} }]", &["\"storeRef\" is missing"]);
    refused(
        "    dataFrom: [{ find: { tags: { a: b } }, sourceRef: { storeRef: { name: lab } } }]",
        &["conflicting-keys", "files have none"],
    );
}

#[test]
fn a_search_says_what_it_looks_for() {
    let find = |keys: &str| format!("    dataFrom: [{{ find: {{ {keys} }} }}]");
    refused(&find("path: a"), &["\"name\" is missing"]);
    refused(&find("name: {}"), &["\"regexp\" is missing"]);
    refused(&find("name: { regexp: '(' }"), &["bad-value", "regular expression"]);
    refused(&find("name: { regexp: '\\Qa\\E' }"), &["\\Q"]);
    refused(&find("tags: { a: b }, kvVersion: v1"), &["conflicting-keys", "KV v1 keeps no custom metadata"]);
    refused(&find("name: { regexp: a }, version: 3"), &["unknown-key", "version"]);
    refused(&find("name: { regexp: a }, path: a/../b"), &["bad-key"]);
    refused(
        "    dataFrom: [{ find: { name: { regexp: a } }, extract: { key: a } }]",
        &["exclude each other"],
    );
    refused("    dataFrom: [{ as: x }]", &["\"extract\" is missing"]);
    assert_eq!(compiled(&find("name: { regexp: a }, mountPath: other")).unwrap(), ["default:other/*"]);
}

#[test]
fn a_group_that_the_expression_does_not_have_is_refused() {
    let step = |step: &str| format!("    dataFrom: [{{ extract: {{ key: a }}, rewrite: [{step}] }}]");
    let trap = step("{ regexp: { source: '(.*)', target: '$1_x' } }");
    refused(&trap, &["bad-value", "\"1_x\"", "write \"${1}_x\""]);
    assert!(compiled(&step("{ regexp: { source: '(.*)', target: '${1}_x' } }")).is_ok());
    refused(&step("{ regexp: { source: a, target: $2 } }"), &["\"2\""]);
    refused(&step("{ regexp: { source: a } }"), &["\"target\" is missing"]);
    refused(&step("{ regexp: { source: a, target: b }, merge: {} }"), &["conflicting-keys"]);
    refused(&step("{}"), &["a step is one of"]);
    assert!(compiled(&step("{ transform: { template: '{{ .value | upper }}' } }")).is_ok());
    refused(&step("{ transform: { template: '{{ .value | nothing }}' } }"), &["template-syntax", "nothing"]);
    refused(&step("{ transform: {} }"), &["\"template\" is missing"]);
    refused(&step("{ merge: { strategy: JSON } }"), &["\"into\" is missing"]);
    refused(&step("{ merge: { strategy: Xml } }"), &["bad-value", "Extract or JSON"]);
}
