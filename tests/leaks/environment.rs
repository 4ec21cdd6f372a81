//! `${SECRET}` in every place of the configuration that takes a string. What it brought is not said, whether it is
//! accepted or refused; names and paths are names all the same, and are told apart below.

use std::collections::BTreeSet;

use crate::daemon::{Process, Sandbox};
use crate::fake::{Fake, Reply};
use crate::marker::{MARKER, keeps_quiet};

/// A configuration with every key, one on a line; `FAKE` is the address of a server.
const EVERYTHING: &str = "
secretStore:
  provider: vault
  address: FAKE
  namespace: team-a
  authMethod: approle
  roleId: role
  secretId: id
  secretIdWrapped: false
  authMount: approle
  mountPath: secret
  kvVersion: v2
  timeout: 10s
  tlsServerName: vault.test
  tlsSkipVerify: false
  tlsCACert: ca.pem
  tlsCAPath: certs
  tlsClientCert: cert.pem
  tlsClientKey: key.pem
  credentials:
    team-b:
      authMethod: token
      token: token
    team-c:
      authMethod: token
      tokenFile: token
    team-d:
      authMethod: approle
      roleIdFile: role
      secretIdFile: id
secretStores:
  lab:
    provider: file
    path: lab.yaml
limits:
  maxSecrets: 100
  maxFileSize: 1MiB
  maxResponseSize: 1MiB
  minRefreshInterval: 30s
  maxConcurrentRequests: 8
secrets:
  - name: one
    key: app
    mountPath: secret
    kvVersion: v2
    version: 3
    namespace: team
    credentials: team-b
    refreshInterval: 30m
    required: true
    deletionPolicy: retain
    maxStaleness: 24h
    template:
      engine: tera
      data:
        a: '{{ password }}'
    files:
      - path: out/a
        mode: '0600'
        owner: '0'
        group: '0'
        key: a
      - path: out/b
        field: password
        decoding: base64
      - path: out/c
        format: dotenv
        inPlace: false
    directory:
      path: out/all
      mode: '0600'
      directoryMode: '0750'
  - name: two
    store: lab
    key: app
    files: [{ path: out/two, field: password }]
";

/// What is told because it is the name of something: without it no message could say what it is about. `validate`, which
/// looks at nothing but the configuration, does not say these either.
const NAMES: [&str; 6] = ["name", "key", "mountPath", "namespace", "path", "field"];

/// The configuration with `${SECRET}` in place of each value in turn, and the key it is the value of.
fn filled_in(everything: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = everything.lines().collect();
    let filled = |(at, line): (usize, &&str)| {
        let (key, value) = line.split_once(": ").filter(|(_, value)| !value.starts_with(['[', '{']))?;
        if value.contains("{{") {
            return None;
        }
        let mut lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
        lines[at] = format!("{key}: '${{SECRET}}'");
        Some((key.trim_start_matches([' ', '-']).to_owned(), lines.join("\n")))
    };
    lines.iter().enumerate().filter_map(filled).collect()
}

#[test]
fn what_the_environment_brought_is_not_said_wherever_it_stands() {
    let fake = Fake::start_without_log(|_, seen| match seen.target.as_str() {
        "/v1/auth/approle/login" => Reply::json(200, r#"{"auth":{"client_token":"t","lease_duration":60}}"#),
        _ => Reply::secret("aGk=", 3),
    });
    let mut told = BTreeSet::new();
    for (key, config) in filled_in(&EVERYTHING.replace("FAKE", &fake.address())) {
        for secret in [MARKER.to_owned(), format!("{MARKER}:?/../\u{1b}")] {
            let sandbox = Sandbox::new(&config);
            sandbox.write("lab.yaml", "{ app: { password: a } }");
            for file in ["ca.pem", "certs/ca.pem", "cert.pem", "key.pem", "token", "role", "id"] {
                sandbox.write(file, "something");
            }
            for line in [&["validate"] as &[&str], &["validate", "--json"], &["plan"], &["run", "--once"]] {
                let mut command = sandbox.command(line);
                command.env("SECRET", &secret).env("LOG_LEVEL", "trace");
                let said = Process::start(command).finish().output();
                if said.contains(MARKER) && line[0] != "validate" && NAMES.contains(&key.as_str()) {
                    told.insert(key.clone());
                } else {
                    keeps_quiet(&format!("{} with {key}", line.join(" ")), &said);
                }
            }
        }
    }
    assert_eq!(told, NAMES.map(str::to_owned).into(), "what is not told any more is no name");
}

#[test]
fn the_userinfo_of_an_address_is_not_said_however_the_address_is_wrong() {
    let credentials = format!("user:{MARKER}");
    for address in [
        format!("https://{credentials}@host"),
        format!("http://{credentials}@[host"),
        format!("http://{credentials}@host:99999"),
        format!("{credentials}@host"),
        format!("//{credentials}@host"),
        format!("http:/{credentials}@host"),
        format!("ftp://{credentials}@host"),
        format!("https://host/?token={MARKER}#{MARKER}"),
        format!("https://{MARKER}%40@host"),
    ] {
        let config = |store: &str| {
            format!(
                "secretStore: {{ {store}token: t }}\nsecrets: [{{ name: a, key: a, files: [{{ path: a, field: a }}] }}]"
            )
        };
        let written = Sandbox::new(&config(&format!("address: '{address}', ")));
        let given = Sandbox::new(&config(""));
        for line in [&["validate"] as &[&str], &["validate", "--json"], &["plan"], &["run", "--once"]] {
            for (sandbox, variable) in [
                (&written, "OTHER"),
                (&given, "VAULT_ADDR"),
                (&given, "BAO_ADDR"),
                (&given, "OTEL_EXPORTER_OTLP_ENDPOINT"),
            ] {
                let mut command = sandbox.command(line);
                command.env(variable, &address).env("ENABLE_TRACING", "true").env("LOG_LEVEL", "trace");
                let finished = Process::start(command).finish();
                assert!(finished.code != 0, "{address}: {finished:?}");
                keeps_quiet(&format!("{} with {address} in {variable}", line.join(" ")), &finished.output());
            }
        }
    }
}
