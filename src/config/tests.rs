//! The configuration as a whole: text in, types or diagnostics out.

mod defaults;
mod dynamic;
mod errors;
mod excerpts;
mod hooks;
mod logins;
mod outputs;
mod slips;
mod sources;
mod stores;

use std::path::Path;

use super::diagnostic::{Code, Report, Severity};
use super::env::Env;
use super::provider::StoreSpec;
use super::provider::vault::{AuthSpec, CredentialSpec, KvVersion, VaultSpec};
use super::secret::{Content, DeletionPolicy, Refresh};
use super::{Config, Limits, Loaded, Loader};

/// A store that needs nothing else.
const STORE: &str = "secretStore: {address: 'https://vault:8200', token: t}\n";

/// One secret that needs nothing else.
const SECRET: &str = "secrets:\n  - {name: a, key: app/db, files: [{path: /run/a, field: user}]}\n";

fn parse_in(text: &str, pairs: &[(&str, &str)]) -> Result<Loaded, Report> {
    Config::parse(text, "config.yaml", &Env::from_pairs(pairs.iter().copied()), Path::new("/work"))
}

fn parse(text: &str) -> Result<Loaded, Report> {
    parse_in(text, &[])
}

fn config(text: &str) -> Config {
    parse(text).unwrap_or_else(|report| panic!("{report}")).config
}

/// `code path` of each diagnostic of one severity. Every diagnostic of these tests comes by here: each has a hint.
fn found(result: &Result<Loaded, Report>, severity: Severity) -> Vec<String> {
    let report = match result {
        Ok(loaded) => &loaded.warnings,
        Err(report) => report,
    };
    for one in &report.diagnostics {
        assert!(!one.hint.is_empty() && one.hint != one.message, "{one:?}");
    }
    let of = report.diagnostics.iter().filter(|one| one.code.severity() == severity);
    of.map(|one| format!("{} {}", one.code, one.place.path)).collect()
}

fn errors(text: &str) -> Vec<String> {
    found(&parse(text), Severity::Error)
}

fn warnings(text: &str) -> Vec<String> {
    let result = parse(text);
    assert!(result.is_ok(), "{}", result.unwrap_err());
    found(&result, Severity::Warning)
}

/// A certificate, its key, and a file that is neither.
fn certificates(directory: &Path) -> [String; 3] {
    let made = rcgen::generate_simple_self_signed(["v".to_owned()]).unwrap();
    let files =
        [("ca.pem", made.cert.pem()), ("ca.key", made.signing_key.serialize_pem()), ("other", String::new())];
    files.map(|(name, text)| {
        let path = directory.join(name);
        std::fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .unwrap();
        path.to_str().unwrap().to_owned()
    })
}

fn vault(config: &Config) -> &VaultSpec {
    match config.stores.values().next() {
        Some(StoreSpec::Vault(spec)) => spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_starter_text_is_a_configuration_without_a_warning() {
    let text = include_str!("../cli/init.yaml");
    let vault = [("VAULT_TOKEN", "t"), ("VAULT_ADDR", "https://vault:8200")];
    for pairs in [&vault[..1], &vault, &[("BAO_TOKEN", "t")]] {
        let loaded = parse_in(text, pairs).unwrap_or_else(|report| panic!("{report}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        assert!(matches!(
            self::vault(&loaded.config).auth,
            Some(CredentialSpec { auth: AuthSpec::Token { .. }, namespace: None })
        ));
        assert!(!loaded.config.secrets.is_empty());
    }
}

#[test]
fn the_file_store_of_the_starter_text_is_a_configuration_too() {
    let text = include_str!("../cli/init.yaml");
    let (_, rest) = text.split_once("secretStore:\n").unwrap();
    let secrets = rest.split_once("\nsecrets:\n").unwrap().1;
    let alternative =
        text.lines().skip_while(|line| *line != "# secretStore:").take_while(|line| line.starts_with("# "));
    let alternative: Vec<_> = alternative.filter_map(|line| line.strip_prefix("# ")).collect();
    let alternative = alternative.join("\n");
    let loaded =
        parse(&format!("{alternative}\nsecrets:\n{secrets}")).unwrap_or_else(|report| panic!("{report}"));
    assert!(matches!(loaded.config.stores.values().next(), Some(StoreSpec::File(_))));
}

#[test]
fn a_minimal_file_has_the_defaults_of_the_contract() {
    let config = config(&format!("{STORE}{SECRET}"));
    assert_eq!(config.limits, Limits::default());
    let secret = &config.secrets[0];
    assert_eq!((secret.name.as_str(), &*secret.sources.store_names()), ("a", "default"));
    let read = secret.sources.first().read.vault().unwrap();
    assert_eq!((read.mount.as_str(), read.kv_version), ("secret", KvVersion::V2));
    assert_eq!((&read.namespace, read.version), (&None, None));
    assert_eq!(secret.refresh, Refresh::Every(std::time::Duration::from_secs(3600)));
    assert!(secret.required && secret.max_staleness.is_none());
    assert_eq!(secret.deletion_policy, DeletionPolicy::Retain);
    assert_eq!((secret.files[0].placement.mode.bits(), secret.files[0].placement.in_place), (0o600, false));
    assert_eq!(secret.files[0].content, Content::Field("user".into()));
    assert_eq!(vault(&config).timeout, std::time::Duration::from_secs(10));
}

#[test]
fn everything_the_contract_shows_is_understood() {
    let loaded = parse_in(EVERYTHING, &[("VAULT_TOKEN", "t")]).unwrap_or_else(|report| panic!("{report}"));
    // Who may not change owners is warned of the owners.
    let mut warnings = loaded.warnings.diagnostics.iter();
    assert!(warnings.all(|one| one.code == Code::CannotChown), "{}", loaded.warnings);
    let Config { stores, limits, log_level: _, hooks: _, secrets } = loaded.config;
    assert_eq!(stores.len(), 2);
    assert_eq!((limits.max_file_size, limits.max_concurrent_requests), (1 << 16, 4));
    let source = secrets[0].sources.first().read.vault().unwrap();
    assert_eq!(
        (source.namespace.as_deref(), source.version, source.key.as_str()),
        (None, Some(3), "common/tls/site")
    );
    assert_eq!(source.credentials.as_ref().unwrap().as_str(), "team-b");
    assert_eq!(secrets[0].files.len(), 5);
    assert_eq!(secrets[0].files[1].placement.owner.group, Some(1000));
    assert_eq!(secrets[1].sources.first().read.namespace(), Some("team-a"));
    let directory = secrets[1].directory.as_ref().unwrap();
    assert_eq!((directory.mode.bits(), directory.directory_mode.bits()), (0o400, 0o750));
    assert_eq!((secrets[2].sources.first().read.credential_set(), secrets[2].refresh), (None, Refresh::Once));
}

#[test]
fn json_with_a_byte_order_mark_and_crlf_is_a_configuration() {
    let json = "\u{feff}{\"secretStore\": {\"address\": \"https://v\", \"token\": \"t\"},\r\n\"secrets\": [{\"name\": \
                \"a\", \"key\": \"k\", \"files\": [{\"path\": \"/a\", \"field\": \"f\", \"mode\": 600}]}]}\r\n";
    assert_eq!(config(json).secrets.len(), 1);
}

#[test]
fn equal_files_give_equal_configurations() {
    assert_eq!(config(&format!("{STORE}{SECRET}")), config(&format!("{STORE}# a comment\n{SECRET}")));
    let other = SECRET.replace("app/db", "app/other");
    assert_ne!(config(&format!("{STORE}{SECRET}")), config(&format!("{STORE}{other}")));
}

#[test]
fn a_thousand_secrets_compile() {
    let one = |n: usize| {
        format!(
            "  - name: s{n}\n    key: app/{n}\n    refreshInterval: 5m\n    template:\n      data:\n        env: |\n          \
             USER={{{{ user }}}}\n          PASS={{{{ password }}}}\n    files:\n      - {{path: /run/{n}/env, mode: \
             0640, key: env}}\n      - {{path: /run/{n}/user, field: user}}\n"
        )
    };
    let text = format!("{STORE}secrets:\n{}", (0..1000).map(one).collect::<String>());
    assert_eq!(config(&text).secrets.len(), 1000);
}

const EVERYTHING: &str = r#"
secretStore:
  provider: vault
  address: https://vault.example:8200
  namespace: team-a
  authMethod: token
  token: ${VAULT_TOKEN}
  mountPath: secret
  kvVersion: v2
  timeout: 10s
  tlsServerName: vault.internal
  tlsSkipVerify: false
  credentials:
    team-b: { authMethod: token, tokenFile: /run/secrets/team-b }
    ci: { authMethod: approle, roleId: role, secretIdFile: /run/secrets/id, authMount: ci/approle }
secretStores:
  lab: { provider: file, path: ./lab-secrets.yaml }
limits:
  maxSecrets: 10
  maxFileSize: 64KiB
  maxResponseSize: 1MiB
  minRefreshInterval: 100ms
  maxConcurrentRequests: 4
secrets:
  - name: tls-cert
    key: common/tls/site
    mountPath: secret
    kvVersion: v2
    version: 3
    namespace: ""
    credentials: team-b
    refreshInterval: 30m
    required: true
    deletionPolicy: retain
    maxStaleness: 24h
    template:
      data:
        tls.crt: '{{ tlsCrt }}'
        app.env: |
          DB_USER={{ username }}
          DB_PASS={{ data["db-password"] }}
    files:
      - { path: /secrets/tls.crt, mode: "0644", key: tls.crt }
      - { path: /secrets/user, owner: root, group: "1000", field: username }
      - { path: /secrets/url, template: 'postgres://{{ username }}@db' }
      - { path: /secrets/app.tpl, mode: 0640, owner: 1000, key: app.env, inPlace: true }
      - { path: /secrets/keystore.p12, field: keystore, decoding: base64 }
  - name: app
    key: app
    refreshInterval: 100ms
    files:
      - { path: /secrets/app.env, format: dotenv }
    directory: { path: /run/app, mode: "0400", directoryMode: "0750" }
  - name: lab
    store: lab
    key: app
    required: no
    refreshInterval: "0"
    deletionPolicy: delete
    files: [{ path: ./lab, format: json }]
"#;
