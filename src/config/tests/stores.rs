//! Stores, credentials, TLS, and what the environment fills.

use crate::config::provider::StoreSpec;
use crate::config::provider::vault::{AuthSpec, Credential, CredentialSpec};
use crate::net::Address;
use crate::secret::SecretText;

use super::*;

fn store(pairs: &[(&str, &str)], keys: &str) -> Result<Loaded, Report> {
    parse_in(&format!("secretStore: {{{keys}}}\n{SECRET}"), pairs)
}

fn auth(pairs: &[(&str, &str)], keys: &str) -> AuthSpec {
    let loaded =
        store(pairs, &format!("address: 'https://v', {keys}")).unwrap_or_else(|report| panic!("{report}"));
    vault(&loaded.config).auth.clone().unwrap().auth
}

fn token(text: &str) -> AuthSpec {
    AuthSpec::Token { token: Credential::Value(SecretText::new(text.into())) }
}

fn set(auth: AuthSpec) -> CredentialSpec {
    CredentialSpec { auth, namespace: None }
}

fn refused(pairs: &[(&str, &str)], keys: &str) -> Vec<String> {
    found(&store(pairs, keys), Severity::Error)
}

#[test]
fn the_auth_method_is_inferred_from_the_file_and_then_from_the_environment() {
    let role = |auth: &AuthSpec| matches!(auth, AuthSpec::AppRole { mount, .. } if mount == "approle");
    assert_eq!(auth(&[], "token: a"), token("a"));
    assert_eq!(auth(&[], "tokenFile: t"), AuthSpec::Token { token: Credential::File("/work/t".into()) });
    assert!(role(&auth(&[], "roleId: r, secretId: s")));
    assert!(role(&auth(&[("VAULT_TOKEN", "t")], "roleId: r")));
    assert_eq!(auth(&[("VAULT_TOKEN", "t"), ("VAULT_ROLE_ID", "r")], ""), token("t"));
    assert!(role(&auth(&[("VAULT_TOKEN", "t"), ("VAULT_ROLE_ID", "r")], "authMethod: approle")));
}

#[test]
fn a_secret_id_is_a_wrapping_token_only_where_it_says_so() {
    let wrapped = |auth: AuthSpec| matches!(auth, AuthSpec::AppRole { is_wrapped: true, .. });
    assert!(!wrapped(auth(&[], "roleId: r, secretId: s")));
    assert!(wrapped(auth(&[], "roleId: r, secretIdFile: s, secretIdWrapped: true")));
    assert!(wrapped(auth(&[("VAULT_SECRET_ID_FILE", "/run/id")], "roleId: r, secretIdWrapped: true")));
    let loaded = store(&[], "address: 'https://v', token: t, secretIdWrapped: true").unwrap();
    assert_eq!(found(&Ok(loaded), Severity::Warning), ["ignored-key secretStore.secretIdWrapped"]);
}

#[test]
fn the_environment_fills_every_gap_of_the_default_store_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let [ca, key, _] = &certificates(directory.path());
    let ca_path = directory.path().to_str().unwrap();
    let pairs = [
        ("BAO_ADDR", "https://bao:8200"),
        ("VAULT_ADDR", "https://vault:8200"),
        ("VAULT_ROLE_ID", "role"),
        ("VAULT_SECRET_ID_FILE", "/run/id"),
        ("VAULT_NAMESPACE", "team-a"),
        ("VAULT_CACERT", ca),
        ("VAULT_CAPATH", ca_path),
        ("VAULT_CLIENT_CERT", ca),
        ("VAULT_CLIENT_KEY", key),
        ("VAULT_SKIP_VERIFY", "T"),
        ("VAULT_TLS_SERVER_NAME", "vault.internal"),
    ];
    let loaded = parse_in(SECRET, &pairs).unwrap_or_else(|report| panic!("{report}"));
    let spec = vault(&loaded.config);
    assert!(matches!(&spec.address, Address::Http(url) if url.host_str() == Some("bao")));
    assert_eq!(spec.namespace.as_deref(), Some("team-a"));
    assert_eq!(loaded.config.secrets[0].sources.first().read.namespace(), Some("team-a"));
    let Some(AuthSpec::AppRole { role_id, secret_id, .. }) = spec.auth.as_ref().map(|set| &set.auth) else {
        panic!("{spec:?}")
    };
    assert_eq!(*role_id, Credential::Value(SecretText::new("role".into())));
    assert_eq!(*secret_id, Some(Credential::File("/run/id".into())));
    let tls = &spec.tls;
    assert!(tls.ca_cert.is_some() && tls.ca_path.is_some() && tls.client.is_some() && tls.skip_verify);
    assert_eq!(tls.server_name.as_deref(), Some("vault.internal"));
    let shown: Vec<_> = loaded.origins.iter().map(ToString::to_string).collect();
    assert!(shown.contains(&"secretStore.address ← BAO_ADDR".to_owned()), "{shown:?}");
    assert_eq!(shown.len(), 10);
    assert_eq!(
        found(&Ok(loaded), Severity::Warning),
        ["ignored-variable VAULT_ADDR", "skip-verify secretStore.tlsSkipVerify"]
    );

    let other =
        format!("secretStores: {{b: {{token: t}}}}\n{}", SECRET.replace("name: a", "name: a, store: b"));
    assert_eq!(found(&parse_in(&other, &pairs), Severity::Error), ["missing-key secretStores.b.address"]);
}

#[test]
fn a_value_of_the_file_wins_and_the_variable_is_named_as_ignored() {
    let pairs = [("VAULT_ADDR", "https://other"), ("VAULT_TOKEN", "other"), ("VAULT_CLIENT_TIMEOUT", "5s")];
    let loaded = store(&pairs, "address: 'https://mine', token: mine").unwrap();
    let spec = vault(&loaded.config);
    assert!(matches!(&spec.address, Address::Http(url) if url.host_str() == Some("mine")));
    assert_eq!(spec.auth, Some(set(token("mine"))));
    assert_eq!(
        found(&Ok(loaded), Severity::Warning),
        [
            "ignored-variable VAULT_ADDR",
            "ignored-variable VAULT_TOKEN",
            "ignored-variable VAULT_CLIENT_TIMEOUT"
        ]
    );
}

#[test]
fn each_ignored_variable_says_why() {
    let pairs = [
        ("VAULT_ADDR", "https://v"),
        ("BAO_ADDR", "https://b"),
        ("VAULT_NAMESPACE", "n"),
        ("VAULT_AGENT_ADDR", "a"),
        ("VAULT_CACERT", ""),
        ("VAULT_SERVICE_HOST", "kubernetes sets this one"),
        ("VAULT_ROLE_ID", "r"),
    ];
    let loaded = store(&pairs, "namespace: mine, token: t").unwrap();
    let shown: Vec<_> = loaded.warnings.diagnostics.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        shown,
        [
            "VAULT_ADDR is ignored: BAO_ADDR takes precedence",
            "VAULT_ROLE_ID is ignored: nothing needs roleId",
            "VAULT_NAMESPACE is ignored: namespace is set in the file",
            "VAULT_AGENT_ADDR is ignored: this program does not read it: set secretStore.address to the agent's address",
        ]
    );
}

#[test]
fn a_variable_that_an_interpolation_uses_is_not_ignored() {
    let loaded = store(&[("VAULT_TOKEN", "t")], "address: 'https://v', token: '${VAULT_TOKEN}'").unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert!(loaded.origins.names("VAULT_TOKEN"));
}

#[test]
fn a_file_variable_gives_the_content_of_its_file_without_one_newline() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file.as_file(), b"https://filed:8200\n").unwrap();
    let path = file.path().to_str().unwrap();
    let loaded = store(&[("VAULT_ADDR_FILE", path)], "token: t").unwrap();
    assert!(matches!(&vault(&loaded.config).address, Address::Http(url) if url.host_str() == Some("filed")));
    let result = store(&[("VAULT_ADDR_FILE", "/nowhere/hunter2")], "token: t");
    assert_eq!(found(&result, Severity::Error), ["bad-variable secretStore.address"]);
    assert_eq!(found(&result, Severity::Warning).len(), 0, "not ignored: it was tried");
    let shown = result.unwrap_err().to_string();
    assert!(shown.contains("VAULT_ADDR_FILE") && shown.contains("No such file or directory"), "{shown}");
    assert!(!shown.contains("hunter2"));
}

#[test]
fn an_empty_bao_addr_is_named_as_the_reason_of_a_missing_address() {
    let pairs = [("VAULT_ADDR", "https://v"), ("BAO_ADDR", ""), ("BAO_TOKEN", "root")];
    for (result, expected) in [
        (parse_in(SECRET, &pairs), "there is no secretStore; BAO_ADDR is set, and empty"),
        (store(&pairs, "namespace: n"), "\"address\" is missing; BAO_ADDR is set, and empty"),
    ] {
        assert_eq!(found(&result, Severity::Warning), ["ignored-variable VAULT_ADDR"]);
        let shown = result.unwrap_err().to_string();
        assert!(
            shown.contains(expected) && shown.contains("BAO_ADDR takes precedence, and is empty"),
            "{shown}"
        );
    }
}

#[test]
fn an_empty_bao_variable_hides_the_one_of_vault() {
    let pairs = [("BAO_NAMESPACE", ""), ("VAULT_NAMESPACE", "n")];
    let loaded = store(&pairs, "address: 'https://v', token: t").unwrap();
    assert_eq!(vault(&loaded.config).namespace, None);
    assert_eq!(found(&Ok(loaded), Severity::Warning), ["ignored-variable VAULT_NAMESPACE"]);
}

#[test]
fn skip_verify_takes_the_words_of_go_alone() {
    let address = "address: 'https://v', token: t";
    assert_eq!(refused(&[("VAULT_SKIP_VERIFY", "yes")], address), ["bad-variable secretStore.tlsSkipVerify"]);
    assert!(store(&[("VAULT_SKIP_VERIFY", "0")], address).unwrap().warnings.is_empty());
}

#[test]
fn credentials_that_are_missing_or_doubled_are_errors() {
    let address = "address: 'https://v'";
    for (keys, expected) in [
        ("", &["missing-key secretStore.authMethod"][..]),
        ("authMethod: token", &["missing-key secretStore.token"]),
        ("authMethod: approle", &["missing-key secretStore.roleId"]),
        ("authMethod: aws", &["bad-value secretStore.authMethod"]),
        ("authMethod: jwt", &["missing-key secretStore.jwt"]),
        ("authMethod: kubernetes", &["missing-key secretStore.role"]),
        ("authMethod: kubernetes, role: ''", &["bad-value secretStore.role"]),
        ("authMethod: userpass", &["missing-key secretStore.username", "missing-key secretStore.password"]),
        ("authMethod: ldap, username: a/b, password: p", &["bad-value secretStore.username"]),
        ("authMethod: ldap, username: .., password: p", &["bad-value secretStore.username"]),
        (
            "authMethod: userpass, username: a, password: p, passwordFile: f",
            &["conflicting-keys secretStore.passwordFile"],
        ),
        ("authMethod: cert", &["conflicting-keys secretStore.authMethod"]),
        ("jwtFile: j", &["missing-key secretStore.authMethod"]),
        ("authMethod: token, token: t, authNamespace: a//b", &["bad-key secretStore.authNamespace"]),
        ("roleId: r, secretId: s, secretIdWrapped: maybe", &["bad-value secretStore.secretIdWrapped"]),
        ("roleId: r, secretIdWrapped: true", &["missing-key secretStore.secretId"]),
        ("token: a, tokenFile: b", &["conflicting-keys secretStore.tokenFile"]),
        ("token: ''", &["bad-value secretStore.token"]),
        ("token: \"a\\n\"", &["bad-value secretStore.token"]),
        ("roleId: r, secretId: \"\\e[0m\"", &["bad-value secretStore.secretId"]),
        (
            "token: t, credentials: {b: {tokn: t}}",
            &[
                "missing-key secretStore.credentials.b.authMethod",
                "unknown-key secretStore.credentials.b.tokn",
            ],
        ),
    ] {
        assert_eq!(refused(&[], &format!("{address}, {keys}")), expected, "{keys}");
    }
    let loaded = store(&[], &format!("{address}, authMethod: approle, roleId: r, token: t")).unwrap();
    assert_eq!(found(&Ok(loaded), Severity::Warning), ["ignored-key secretStore.token"]);
}

#[test]
fn named_credentials_are_filled_in_from_the_environment_too() {
    let loaded =
        store(&[("T", "hunter2")], "address: 'https://v', token: t, credentials: {b: {token: '${T}'}}")
            .unwrap();
    assert_eq!(vault(&loaded.config).credentials.values().next(), Some(&set(token("hunter2"))));
}

#[test]
fn a_store_may_have_named_credentials_alone_if_every_secret_names_one() {
    let text = |keys: &str| {
        format!(
            "secretStore: {{address: 'https://v', credentials: {{b: {{token: t}}}}}}\n{}",
            SECRET.replace("name: a", &format!("name: a{keys}"))
        )
    };
    assert_eq!(vault(&config(&text(", credentials: b"))).auth, None);
    assert_eq!(errors(&text("")), ["missing-key secrets[0].credentials"]);
    let filled = parse_in(&text(""), &[("VAULT_TOKEN", "t")]).unwrap();
    assert_eq!(vault(&filled.config).auth, Some(set(token("t"))));
    let half = text(", credentials: b").replace("credentials: {", "authMethod: token, credentials: {");
    assert_eq!(errors(&half), ["missing-key secretStore.token"]);
}

#[test]
fn an_address_never_shows_its_password() {
    let result = store(&[], "address: 'https://me:hunter2@v', token: t");
    assert_eq!(found(&result, Severity::Error), ["bad-address secretStore.address"]);
    assert!(!result.unwrap_err().to_string().contains("hunter2"));
    assert_eq!(refused(&[], "token: t"), ["missing-key secretStore.address"]);
}

#[test]
fn tls_files_must_be_there_and_in_pairs() {
    let base = "address: 'https://v', token: t";
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    for (keys, expected) in [
        ("tlsCACert: /nowhere".to_owned(), "unreadable-file secretStore.tlsCACert"),
        ("tlsCACert: /tmp".to_owned(), "unreadable-file secretStore.tlsCACert"),
        (format!("tlsCAPath: {path}"), "unreadable-file secretStore.tlsCAPath"),
        (format!("tlsCAPath: {path}/below"), "unreadable-file secretStore.tlsCAPath"),
        (format!("tlsClientCert: {path}"), "missing-key secretStore.tlsClientKey"),
        (format!("tlsClientKey: {path}"), "missing-key secretStore.tlsClientCert"),
        ("tlsServerName: 'https://x'".to_owned(), "bad-value secretStore.tlsServerName"),
    ] {
        assert_eq!(refused(&[], &format!("{base}, {keys}")), [expected], "{keys}");
    }
    let directory = store(&[], &format!("{base}, tlsCACert: /tmp")).unwrap_err().to_string();
    assert!(directory.contains("hint: name the file in it"), "{directory}");
}

/// A certificate, its key, and a file that holds neither.

#[test]
fn tls_files_that_cannot_be_used_are_errors_in_their_places() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [ca, key, other] = certificates(folders[0].path());
    let [another, ..] = certificates(folders[1].path());
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().display();
    for (keys, expected) in [
        (format!("tlsCACert: {ca}, tlsClientCert: {ca}, tlsClientKey: {key}"), None),
        (format!("tlsCACert: {other}"), Some("tlsCACert")),
        (format!("tlsCACert: {key}"), Some("tlsCACert")),
        (format!("tlsCAPath: {empty}"), Some("tlsCAPath")),
        (format!("tlsClientCert: {other}, tlsClientKey: {key}"), Some("tlsClientCert")),
        (format!("tlsClientCert: {ca}, tlsClientKey: {other}"), Some("tlsClientKey")),
        (format!("tlsClientCert: {another}, tlsClientKey: {key}"), Some("tlsClientKey")),
    ] {
        let found = refused(&[], &format!("address: 'https://v', token: t, {keys}"));
        let expected = expected.map(|key| format!("bad-tls secretStore.{key}"));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{keys}");
        assert!(refused(&[], &format!("address: 'http://v', token: t, {keys}")).is_empty(), "{keys}");
    }
    let skipped = format!("address: 'https://v', token: t, tlsCACert: {other}, tlsSkipVerify: true");
    assert!(refused(&[], &skipped).is_empty());
}

#[test]
fn a_tls_file_that_a_variable_names_is_shown_by_the_variable() {
    let directory = tempfile::tempdir().unwrap();
    let [_, _, other] = certificates(directory.path());
    for (path, cause) in [(other.as_str(), "holds no CA"), ("/nowhere/hunter2", "No such file or directory")]
    {
        let report = store(&[("VAULT_CACERT", path)], "address: 'https://v', token: t").unwrap_err();
        let shown = report.to_string();
        assert!(shown.contains("$VAULT_CACERT") && shown.contains(cause) && !shown.contains(path), "{shown}");
        let report = store(&[], &format!("address: 'https://v', token: t, tlsCACert: {path}")).unwrap_err();
        assert!(report.to_string().contains(path), "{report}");
    }
}

#[test]
fn what_is_not_safe_is_a_warning() {
    let loaded = store(&[], "address: 'http://v', token: t, tlsSkipVerify: true").unwrap();
    let expected = ["plain-http secretStore.address", "skip-verify secretStore.tlsSkipVerify"];
    assert_eq!(found(&Ok(loaded), Severity::Warning), expected);
    assert!(store(&[], "address: 'http://127.0.0.1', token: t").unwrap().warnings.is_empty());
}

#[test]
fn each_provider_has_its_own_keys() {
    assert_eq!(refused(&[], "provider: file"), ["missing-key secretStore.path"]);
    assert_eq!(refused(&[], "provider: aws, region: x"), ["bad-value secretStore.provider"]);
    assert_eq!(
        refused(&[], "provider: file, path: x, token: t, kvVersion: v2"),
        ["foreign-key secretStore.token", "foreign-key secretStore.kvVersion"]
    );
    assert_eq!(refused(&[], "address: 'https://v', token: t, path: x"), ["foreign-key secretStore.path"]);
    let loaded = store(&[], "provider: file, path: x.yaml").unwrap();
    let Some(StoreSpec::File(spec)) = loaded.config.stores.values().next() else { panic!() };
    assert_eq!(spec.path, Path::new("/work/x.yaml"));
}

#[test]
fn secrets_of_a_file_store_know_neither_versions_nor_credentials() {
    let text = |keys: &str| {
        format!(
            "secretStore: {{provider: file, path: x}}\n{}",
            SECRET.replace("name: a", &format!("name: a, {keys}"))
        )
    };
    assert_eq!(warnings(&text("kvVersion: v1, mountPath: m")).len(), 2);
    assert_eq!(
        errors(&text("version: 3, credentials: b")),
        ["foreign-key secrets[0].version", "foreign-key secrets[0].credentials"]
    );
}

#[test]
fn without_any_store_there_is_one_error() {
    assert_eq!(errors(SECRET), ["missing-key secretStore"]);
    assert_eq!(
        errors(&format!("secretStores: {{default: {{}}}}\n{STORE}{SECRET}")),
        ["reserved-name secretStores.default"]
    );
}

#[test]
fn the_environment_makes_no_store_that_nobody_reads() {
    let text = format!(
        "secretStores: {{lab: {{provider: file, path: x}}}}\n{}",
        SECRET.replace("name: a", "name: a, store: lab")
    );
    let loaded = parse_in(&text, &[("VAULT_ADDR", "https://v")]).unwrap();
    assert_eq!(loaded.config.stores.len(), 1);
    assert_eq!(found(&Ok(loaded), Severity::Warning), ["ignored-variable VAULT_ADDR"]);
}
