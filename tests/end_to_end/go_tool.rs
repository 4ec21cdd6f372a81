//! A configuration of the Go tool, loaded as it is: every key that its documentation has, and every construct of its
//! templates, with the content that its documentation promises.

use serde_json::json;

use crate::bao::ROOT;
use crate::daemon::{Sandbox, wait_until};
use crate::server::server;

/// What the Go tool wants written out: kvVersion and mountPath of each secret, one template for each file, in order.
const CONFIG: &str = r#"
secretStore:
  address: "ADDRESS"
  namespace: ""
  authMethod: token
  token: ${GO_TOOL_TOKEN}
  tlsSkipVerify: false
  credentials:
    second:
      authMethod: token
      token: ${GO_TOOL_TOKEN}
secrets:
  - name: database
    key: go-tool/db
    mountPath: secret
    kvVersion: v2
    refreshInterval: 30s
    template:
      data:
        username: '{{ .username }}'
        password: '{{ .password }}'
        settings: |
          {{- /* all constructs that it has */ -}}
          {{ $host := .host -}}
          url=postgres://{{ .username }}@{{ $host }}:{{ .port }}/{{ index . "db-name" }}
          {{- if and .tls (eq .host "db.internal") }}
          tls=on
          {{- else }}
          tls=off
          {{- end }}
          {{- range $i, $name := .replicas }}
          replica.{{ $i }}={{ printf "%q" $name }}
          {{- end }}
          {{- with .nested }}
          deep={{ .a.b }}
          {{- end }}
          length={{ len .password }} query={{ urlquery .password }}
    files:
      - path: out/username
        mode: 0640
      - path: out/password
        mode: "0600"
      - path: out/settings
  - name: legacy
    key: app
    mountPath: go-tool-v1
    kvVersion: v1
    refreshInterval: 1h30m
    credentials: second
    template:
      data:
        all: 'user={{ .user }}'
    files:
      - path: out/legacy
        mode: 0444
"#;

#[test]
fn a_configuration_of_the_go_tool_loads_unchanged_and_writes_what_it_documents() {
    let bao = server();
    let fields = |password: &str| {
        json!({ "username": "dbuser", "password": password, "host": "db.internal", "port": 5432, "db-name": "orders",
            "tls": true, "replicas": ["r1", "r2"], "nested": { "a": { "b": "deep" } } })
    };
    bao.put("go-tool/db", &fields("p@ss word"));
    bao.mount_v1("go-tool-v1");
    bao.put_v1("go-tool-v1", "app", &json!({ "user": "legacy" }));
    let config =
        CONFIG.replace("ADDRESS", &format!("http://{}", bao.address())).replace("${GO_TOOL_TOKEN}", ROOT);
    let sandbox = Sandbox::new(&config);
    let validated = sandbox.run(&["validate"]);
    assert_eq!(validated.code, 0, "{}", validated.output());
    let daemon = sandbox.ready_daemon();
    assert_eq!((sandbox.read("out/username"), sandbox.mode("out/username")), ("dbuser".to_owned(), 0o640));
    assert_eq!((sandbox.read("out/password"), sandbox.mode("out/password")), ("p@ss word".to_owned(), 0o600));
    let settings = "url=postgres://dbuser@db.internal:5432/orders\ntls=on\nreplica.0=\"r1\"\nreplica.1=\"r2\"\n\
        deep=deep\nlength=9 query=p%40ss+word\n";
    assert_eq!(sandbox.read("out/settings"), settings);
    assert_eq!((sandbox.read("out/legacy"), sandbox.mode("out/legacy")), ("user=legacy".to_owned(), 0o444));
    bao.put("go-tool/db", &fields("changed"));
    let refreshed = sandbox.run(&["refresh", "database"]);
    assert_eq!(refreshed.code, 0, "{}", refreshed.output());
    wait_until("the change arrives", || sandbox.read("out/password") == "changed");
    drop(daemon);
}
