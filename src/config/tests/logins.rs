//! Login methods and the keys that each of them takes.

use std::path::Path;

use crate::config::provider::vault::{AuthSpec, VaultSpec};

use super::*;

fn spec(pairs: &[(&str, &str)], keys: &str) -> VaultSpec {
    let text = format!("secretStore: {{address: 'https://v', {keys}}}\n{SECRET}");
    let loaded = parse_in(&text, pairs).unwrap_or_else(|report| panic!("{report}"));
    vault(&loaded.config).clone()
}

fn auth(keys: &str) -> AuthSpec {
    spec(&[], keys).auth.unwrap().auth
}

#[test]
fn each_method_has_its_own_mount_unless_authmount_says_otherwise() {
    for (keys, mount) in [
        ("authMethod: approle, roleId: r", "approle"),
        ("authMethod: jwt, jwtFile: j", "jwt"),
        ("authMethod: kubernetes, role: r", "kubernetes"),
        ("authMethod: userpass, username: u, password: p", "userpass"),
        ("authMethod: ldap, username: u, passwordFile: p", "ldap"),
        ("authMethod: ldap, username: u, passwordFile: p, authMount: auth/corp/ad/", "corp/ad"),
    ] {
        assert_eq!(auth(keys).mount(), Some(mount), "{keys}");
    }
}

#[test]
fn a_kubernetes_login_reads_the_service_account_unless_a_jwt_is_named() {
    let files = |keys: &str| auth(keys).files().map(Path::to_owned).collect::<Vec<_>>();
    let own = Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token").to_owned();
    assert_eq!(files("authMethod: kubernetes, role: r"), [own]);
    assert_eq!(files("authMethod: kubernetes, role: r, jwtFile: j"), [Path::new("/work/j").to_owned()]);
    assert!(files("authMethod: kubernetes, role: r, jwt: a.b.c").is_empty());
    let AuthSpec::Jwt { role, .. } = auth("authMethod: jwt, jwtFile: j") else { panic!("a JWT") };
    assert_eq!(role, None, "the mount has a default one");
}

#[test]
fn a_certificate_login_shows_the_certificate_of_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let [ca, key, _] = &certificates(directory.path());
    let client = format!("tlsClientCert: {ca}, tlsClientKey: {key}");
    let AuthSpec::Cert { mount, role, certificate } =
        auth(&format!("authMethod: cert, certRole: r, {client}"))
    else {
        panic!("a certificate")
    };
    assert_eq!((mount.as_str(), role.as_deref()), ("cert", Some("r")));
    assert_eq!(certificate.certificate, Path::new(ca));
    let by_variable =
        spec(&[("VAULT_CLIENT_CERT", ca.as_str()), ("VAULT_CLIENT_KEY", key.as_str())], "authMethod: cert");
    assert_eq!(by_variable.auth.unwrap().auth.files().count(), 2, "watched like every credential file");
    let set = spec(&[], &format!("{client}, token: t, credentials: {{b: {{authMethod: cert}}}}"));
    assert!(matches!(set.credentials.values().next().unwrap().auth, AuthSpec::Cert { role: None, .. }));

    let plain = format!("secretStore: {{address: 'http://127.0.0.1', authMethod: cert, {client}}}\n{SECRET}");
    assert_eq!(errors(&plain), ["conflicting-keys secretStore.authMethod"]);
    let gone = format!(
        "secretStore: {{address: 'https://v', authMethod: cert, tlsClientCert: /x, tlsClientKey: /y}}\n{SECRET}"
    );
    assert_eq!(
        errors(&gone),
        ["unreadable-file secretStore.tlsClientCert", "unreadable-file secretStore.tlsClientKey"],
        "and not that there is none"
    );
}

#[test]
fn keys_of_other_methods_have_no_effect_and_are_named() {
    let text = |keys: &str| format!("secretStore: {{address: 'https://v', {keys}}}\n{SECRET}");
    assert_eq!(
        warnings(&text("authMethod: userpass, username: u, password: p, role: r, jwtFile: j, secretId: s")),
        [
            "ignored-key secretStore.role",
            "ignored-key secretStore.jwtFile",
            "ignored-key secretStore.secretId"
        ]
    );
    assert_eq!(
        warnings(&text("authMethod: none, authMount: m, authNamespace: n, username: u")),
        [
            "ignored-key secretStore.authMount",
            "ignored-key secretStore.authNamespace",
            "ignored-key secretStore.username"
        ]
    );
    assert_eq!(
        warnings(&text("token: t, authNamespace: n, certRole: c")),
        ["ignored-key secretStore.certRole"]
    );
    assert!(
        warnings(&text("authMethod: jwt, role: r, jwtFile: j, authMount: m, authNamespace: n")).is_empty()
    );
}

#[test]
fn a_jwt_or_a_password_without_a_method_names_the_methods_it_is_for() {
    for (keys, methods) in [
        ("jwtFile: j", "jwtFile is there: write authMethod: jwt or kubernetes"),
        ("role: r", "role is there: write authMethod: jwt or kubernetes"),
        ("username: u, password: p", "username is there: write authMethod: userpass or ldap"),
        ("certRole: c", "certRole is there: write authMethod: cert"),
    ] {
        let text = format!("secretStore: {{address: 'https://v', {keys}}}\n{SECRET}");
        // The variable does not decide against what the file says.
        let report = parse_in(&text, &[("VAULT_TOKEN", "t")]).unwrap_err().to_string();
        assert!(report.contains("\"authMethod\" is missing") && report.contains(methods), "{report}");
    }
}

#[test]
fn a_set_logs_in_in_its_own_namespace_or_that_of_the_store() {
    let spec = spec(
        &[],
        "namespace: reads, authNamespace: logins, token: t, \
         credentials: {a: {token: t}, b: {token: t, authNamespace: own}, c: {token: t, authNamespace: ''}}",
    );
    let login = |name: &str| {
        let set = &spec.credentials[&crate::name::CredentialsName::new(name)];
        set.login_namespace(spec.namespace.as_deref()).map(str::to_owned)
    };
    assert_eq!(spec.auth.as_ref().unwrap().login_namespace(Some("reads")), Some("logins"));
    assert_eq!(
        (login("a").as_deref(), login("b").as_deref(), login("c")),
        (Some("logins"), Some("own"), None)
    );
    let plain = self::spec(&[], "namespace: reads, token: t");
    assert_eq!(plain.auth.unwrap().login_namespace(plain.namespace.as_deref()), Some("reads"));
    let alone = self::spec(&[("VAULT_TOKEN", "t")], "authNamespace: logins");
    assert_eq!(alone.auth.unwrap().namespace.as_deref(), Some("logins"));
}

#[test]
fn a_namespace_of_logins_alone_leaves_logging_in_to_the_sets() {
    let text = format!(
        "secretStore: {{address: 'https://v', authNamespace: n, credentials: {{b: {{token: t}}}}}}\n{}",
        SECRET.replace("name: a", "name: a, credentials: b")
    );
    let config = config(&text);
    let spec = vault(&config);
    assert_eq!(
        (&spec.auth, spec.credentials.values().next().unwrap().namespace.as_deref()),
        (&None, Some("n"))
    );
}

#[test]
fn no_message_about_a_login_shows_a_credential() {
    for keys in [
        "authMethod: userpass, username: u, password: \"hunter2\\n\"",
        "authMethod: jwt, jwt: \"hunter2\\u0000\"",
        "authMethod: jwt, jwt: hunter2, jwtFile: x",
        "password: hunter2",
        "authMethod: token, token: t, password: hunter2, jwt: hunter2",
    ] {
        let text = format!("secretStore: {{address: 'https://v', {keys}}}\n{SECRET}");
        let report = match parse(&text) {
            Ok(loaded) => loaded.warnings,
            Err(report) => report,
        };
        assert!(!report.diagnostics.is_empty() && !report.to_string().contains("hunter2"), "{report}");
    }
}
