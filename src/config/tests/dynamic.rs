//! `vaultDynamic` as configured.

use std::time::Duration;

use super::*;
use crate::config::provider::SecretRead;
use crate::config::provider::vault::dynamic::{
    Confirmation, DynamicKind, DynamicMethod, DynamicRead, LeaseTerms, OnStop, ParameterValue, Share,
};

/// A configuration with one secret that has these keys.
fn text(keys: &str) -> String {
    format!("{STORE}secrets:\n  - name: s\n    files: [{{path: /run/s, field: f}}]\n{keys}\n")
}

/// What the first secret asks.
fn reads(text: &str, pairs: &[(&str, &str)]) -> Vec<DynamicRead> {
    let loaded = parse_in(text, pairs).unwrap_or_else(|report| panic!("{report}"));
    let read = |read: &SecretRead| match read {
        SecretRead::VaultDynamic(read) => (**read).clone(),
        other => panic!("{other:?}"),
    };
    loaded.config.secrets[0].sources.all().map(|source| read(&source.read)).collect()
}

fn read(keys: &str) -> DynamicRead {
    reads(&text(keys), &[]).remove(0)
}

/// The parameter `name` as it is sent.
fn json<'r>(read: &'r DynamicRead, name: &str) -> &'r str {
    match &read.parameters[name] {
        ParameterValue::Json(json) => json.expose(),
        ParameterValue::File(path) => panic!("{path:?}"),
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let read = read("    vaultDynamic: { path: database/creds/app }");
    assert_eq!(
        (read.path.as_str(), read.method, read.kind),
        ("database/creds/app", DynamicMethod::Get, DynamicKind::Lease)
    );
    assert_eq!(
        (read.terms, read.parameters.len(), read.namespace, read.credentials),
        (LeaseTerms::default(), 0, None, None)
    );
}

#[test]
fn the_method_follows_the_parameters_unless_it_is_stated_in_any_case() {
    for (keys, method) in [
        ("parameters: {ttl: 1h}", DynamicMethod::Post),
        ("parameters: {}", DynamicMethod::Get),
        ("parameters: {ttl: 1h}, method: Get", DynamicMethod::Get),
        ("method: post", DynamicMethod::Post),
        ("method: POST", DynamicMethod::Post),
    ] {
        assert_eq!(read(&format!("    vaultDynamic: {{ path: a/b, {keys} }}")).method, method, "{keys}");
    }
}

#[test]
fn what_cannot_be_the_file_of_a_parameter_is_warned_of_and_one_that_comes_later_is_not() {
    let home = tempfile::tempdir().unwrap();
    let (large, right) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    large.as_file().set_len(64 * 1024 + 1).unwrap();
    right.as_file().set_len(64 * 1024).unwrap();
    let noted = |path: &Path| {
        let parameters = format!("parameters: {{ key: {{ file: {} }} }}", path.display());
        warnings(&text(&format!("    vaultDynamic: {{ path: ssh/sign/a, kind: read, {parameters} }}")))
    };
    for path in [home.path(), large.path(), Path::new("/dev/null")] {
        let place = "not-a-file secrets[0].vaultDynamic.parameters.key.file";
        assert_eq!(noted(path), [place], "{}", path.display());
    }
    assert_eq!([noted(right.path()), noted(&home.path().join("later"))], [[""; 0], [""; 0]]);
}

#[test]
fn parameters_are_json_with_what_the_environment_holds() {
    let keys = "    vaultDynamic:
      path: pki/issue/web
      kind: certificate
      parameters:
        common_name: \"${NAME}.example\"
        alt_names: [a, '1', 2, true, null]
        object: { n: 1.50, text: 'say \"hi\"' }
        absent:
        public_key: { file: /etc/key.pub }";
    let read = reads(&text(keys), &[("NAME", "we\"b")]).remove(0);
    assert_eq!(json(&read, "common_name"), r#""we\"b.example""#);
    assert_eq!(json(&read, "alt_names"), r#"["a","1",2,true,null]"#);
    assert_eq!(json(&read, "object"), r#"{"n":1.50,"text":"say \"hi\""}"#);
    assert_eq!(read.parameters["public_key"], ParameterValue::File("/etc/key.pub".into()));
    assert_eq!(read.files().collect::<Vec<_>>(), [Path::new("/etc/key.pub")]);
    assert_eq!(
        (read.parameters.len(), read.kind, read.method),
        (4, DynamicKind::Certificate, DynamicMethod::Post)
    );
}

#[test]
fn a_lease_has_the_terms_that_are_stated() {
    let read = read(
        "    vaultDynamic: { path: a/b, lease: { renewAt: 0.5, reissueAt: .75, maxAge: 1h, minInterval: 1s, grace: \"0\",
      confirm: published, confirmTimeout: 1m, retire: no, onStop: revoke } }",
    );
    let expected = LeaseTerms {
        renew_at: Share::new(0.5).unwrap(),
        reissue_at: Share::new(0.75).unwrap(),
        max_age: Some(Duration::from_secs(3600)),
        min_interval: Duration::from_secs(1),
        grace: Duration::ZERO,
        confirm: Confirmation::Published,
        confirm_timeout: Duration::from_secs(60),
        retires: false,
        on_stop: OnStop::Revoke,
    };
    assert_eq!(read.terms, expected);
}

#[test]
fn namespace_and_credentials_are_the_secrets_unless_it_has_its_own() {
    let store = "secretStore: {address: 'https://v', namespace: of-store, token: t, credentials: {a: {token: t}, b: {token: t}}}\n";
    let secret = |beside: &str, within: &str| {
        let text = format!(
            "{store}secrets: [{{name: s, files: [{{path: /f, field: f}}], {beside} vaultDynamic: {{path: x/y, {within}}}}}]"
        );
        let read = reads(&text, &[]).remove(0);
        (
            read.namespace.unwrap_or_default(),
            read.credentials.map(|name| name.to_string()).unwrap_or_default(),
        )
    };
    let is = |namespace: &str, credentials: &str| (namespace.to_owned(), credentials.to_owned());
    assert_eq!(secret("", ""), is("of-store", ""));
    assert_eq!(secret("namespace: n, credentials: a,", ""), is("n", "a"));
    assert_eq!(secret("namespace: n, credentials: a,", "credentials: b, namespace: ''"), is("", "b"));
}

#[test]
fn entries_of_data_from_that_ask_the_same_are_one_source() {
    let keys = "    dataFrom:
      - { as: db, vaultDynamic: { path: database/creds/app } }
      - { vaultDynamic: { path: database/creds/app, method: get }, rewrite: [{ regexp: { source: a, target: b } }] }
      - { vaultDynamic: { path: rabbitmq/creds/app }, sourceRef: { storeRef: { name: default } } }";
    let text = text(keys)
        .replace("secretStore:", "secretStores: {lab: {provider: file, path: /s.yaml}}\nsecretStore:");
    let paths: Vec<_> = reads(&text, &[]).into_iter().map(|read| read.path).collect();
    assert_eq!(paths, ["database/creds/app", "rabbitmq/creds/app"]);
}

#[test]
fn what_is_wrong_is_reported_at_its_place() {
    let base = "secrets[0]";
    for (keys, expected) in [
        ("vaultDynamic: {}", "missing-key .vaultDynamic.path"),
        ("vaultDynamic: { path: v1/database/creds/app }", "bad-key .vaultDynamic.path"),
        ("vaultDynamic: { path: a//b }", "bad-key .vaultDynamic.path"),
        ("vaultDynamic: { path: a/b, method: PUT }", "bad-value .vaultDynamic.method"),
        ("vaultDynamic: { path: a/b, kind: dynamic }", "bad-value .vaultDynamic.kind"),
        ("vaultDynamic: { path: a/b, parameters: [a] }", "wrong-type .vaultDynamic.parameters"),
        ("vaultDynamic: { path: a/b, parameters: { '': a } }", "bad-value .vaultDynamic.parameters"),
        (
            "vaultDynamic: { path: a/b, method: GET, parameters: { n: [1] } }",
            "bad-value .vaultDynamic.parameters.n",
        ),
        (
            "vaultDynamic: { path: a/b, parameters: { n: { file: '' } } }",
            "bad-path .vaultDynamic.parameters.n.file",
        ),
        (
            "vaultDynamic: { path: a/b, parameters: { n: [{ m: '${NONE}' }] } }",
            "env-unset .vaultDynamic.parameters.n[0].m",
        ),
        ("vaultDynamic: { path: a/b, lease: { renewAt: 1 } }", "out-of-range .vaultDynamic.lease.renewAt"),
        (
            "vaultDynamic: { path: a/b, lease: { reissueAt: 0 } }",
            "out-of-range .vaultDynamic.lease.reissueAt",
        ),
        (
            "vaultDynamic: { path: a/b, lease: { reissueAt: two thirds } }",
            "bad-value .vaultDynamic.lease.reissueAt",
        ),
        ("vaultDynamic: { path: a/b, lease: { maxAge: 9s } }", "out-of-range .vaultDynamic.lease.maxAge"),
        (
            "vaultDynamic: { path: a/b, lease: { minInterval: 10ms } }",
            "out-of-range .vaultDynamic.lease.minInterval",
        ),
        ("vaultDynamic: { path: a/b, lease: { grace: 31d } }", "out-of-range .vaultDynamic.lease.grace"),
        (
            "vaultDynamic: { path: a/b, lease: { confirmTimeout: \"0\" } }",
            "out-of-range .vaultDynamic.lease.confirmTimeout",
        ),
        ("vaultDynamic: { path: a/b }, key: a", "conflicting-keys .key"),
        ("vaultDynamic: { path: a/b }, property: a", "conflicting-keys .property"),
        ("vaultDynamic: { path: a/b }, version: 3", "conflicting-keys .version"),
        ("vaultDynamic: { path: a/b }, mountPath: kv", "conflicting-keys .mountPath"),
        (
            "vaultDynamic: { path: a/b }, dataFrom: [{ extract: { key: a } }]",
            "conflicting-keys .vaultDynamic",
        ),
        ("dataFrom: [{ vaultDynamic: { path: a/b }, extract: { key: a } }]", "conflicting-keys .dataFrom[0]"),
        ("vaultDynamic: { path: a/b }, store: lab", "not-supported .vaultDynamic"),
    ] {
        let text = format!(
            "{STORE}secretStores: {{lab: {{provider: file, path: /s.yaml}}}}\nsecrets: [{{name: s, files: [{{path: /run/s, field: f}}], {keys}}}]"
        );
        let expected = expected.replacen(" .", &format!(" {base}."), 1);
        assert_eq!(errors(&text), [expected], "{keys}");
    }
}

#[test]
fn what_has_no_effect_is_noted() {
    for (keys, expected) in [
        ("vaultDynamic: { path: secret/data/app }", "data-prefix .vaultDynamic.path"),
        ("vaultDynamic: { path: 'pki/issue/web?ttl=1h' }", "field-in-key .vaultDynamic.path"),
        (
            "vaultDynamic: { path: a/b, kind: static, lease: { grace: 1m } }",
            "ignored-key .vaultDynamic.lease",
        ),
        ("vaultDynamic: { path: a/b, kind: read, lease: { grace: 1m } }", "ignored-key .vaultDynamic.lease"),
        (
            "vaultDynamic: { path: a/b, kind: ssh, lease: { renewAt: 0.5 } }",
            "ignored-key .vaultDynamic.lease.renewAt",
        ),
        ("vaultDynamic: { path: a/b, lease: { confirm: hooks } }", "ignored-key .vaultDynamic.lease.confirm"),
        (
            "dataFrom: [{ vaultDynamic: { path: a/b, lease: { confirm: hooks } } }]",
            "ignored-key .dataFrom[0].vaultDynamic.lease.confirm",
        ),
        ("vaultDynamic: { path: a/b }, deletionPolicy: delete", "ignored-key .deletionPolicy"),
    ] {
        let text = format!("{STORE}secrets: [{{name: s, files: [{{path: /run/s, field: f}}], {keys}}}]");
        assert_eq!(warnings(&text), [expected.replacen(" .", " secrets[0].", 1)], "{keys}");
    }
    let with_hook = format!(
        "{STORE}hooks: {{h: {{unit: a.service}}}}\nsecrets: [{{name: s, files: [{{path: /run/s, field: f}}], hooks: [h], vaultDynamic: {{path: a/b, lease: {{confirm: hooks}}}}}}]"
    );
    assert_eq!(warnings(&with_hook), [""; 0]);
    let read = format!(
        "{STORE}secrets: [{{name: s, files: [{{path: /run/s, field: f}}], deletionPolicy: delete, vaultDynamic: {{path: a/b, kind: read}}}}]"
    );
    assert_eq!(warnings(&read), [""; 0]);
}

#[test]
fn one_credential_has_one_lease() {
    let two = |first: &str, second: &str| {
        format!(
            "{STORE}secrets:
  - {{name: a, files: [{{path: /run/a, field: f}}], vaultDynamic: {{path: a/b{first}}}}}
  - {{name: b, files: [{{path: /run/b, field: f}}], vaultDynamic: {{path: a/b{second}}}}}"
        )
    };
    let errors = |first, second| errors(&two(first, second));
    assert_eq!(errors("", ", lease: {grace: 5m}"), [""; 0]);
    assert_eq!(errors("", ", lease: {grace: 4m}"), ["lease-conflict secrets[1].vaultDynamic.lease"]);
    assert_eq!(
        errors(", kind: ssh", ", lease: {grace: 4m}"),
        ["lease-conflict secrets[1].vaultDynamic.kind"]
    );
    assert_eq!(errors("", ", parameters: {ttl: 1h}, lease: {grace: 4m}"), [""; 0]);
}

#[test]
fn no_message_shows_a_parameter() {
    let keys =
        "    vaultDynamic: { path: a/b, method: GET, parameters: { one: { two: hunter2 }, three: hunter3 } }";
    let report = parse(&text(keys)).err().unwrap().to_string();
    assert!(report.contains("parameters.one") && !report.contains("hunter"), "{report}");
}

#[test]
fn an_output_replaces_no_parameter_file() {
    let keys =
        "    vaultDynamic: { path: ssh/sign/host, kind: ssh, parameters: { public_key: { file: /run/s } } }";
    assert_eq!(errors(&text(keys)), ["path-conflict secrets[0].files[0].path"]);
}
