//! Several sources in one secret, against a real server.

use serde_json::{Value, json};

use crate::daemon::{Sandbox, wait_until};
use crate::server::{server, store, store_with};

/// A configuration of one secret, which is read every second.
fn secret(store: &str, sources: &str, outputs: &str) -> String {
    format!(
        "{store}\nlimits: {{ minRefreshInterval: 100ms }}
secrets:\n  - name: subject\n    refreshInterval: 1s\n{sources}\n    {outputs}\n"
    )
}

/// What `status --json` says of the secret.
fn status(sandbox: &Sandbox) -> Value {
    let finished = sandbox.run(&["status", "--json"]);
    let snapshot: Value = serde_json::from_str(&finished.stdout).unwrap();
    snapshot["secrets"][0].clone()
}

const TWO: &str = "    dataFrom: [{ as: db, extract: { key: SPACE/db } }, { extract: { key: SPACE/common } }]
    data: [{ secretKey: pass, remoteRef: { key: SPACE/db, property: nested.list.1.pass } }]";

#[test]
fn two_sources_become_one_file_and_each_has_its_version() {
    let bao = server();
    let nested = json!({ "user": "u", "port": 5432, "nested": { "list": [{}, { "pass": "p" }] } });
    bao.put("sources/db", &nested);
    bao.put("sources/common", &json!({ "region": "x" }));
    bao.put("sources/common", &json!({ "region": "eu" }));
    let template = "template: '{{ db.user }} {{ db.port }} {{ region }} {{ pass }}'";
    let sources = TWO.replace("SPACE", "sources");
    let sandbox =
        Sandbox::new(&secret(&store(), &sources, &format!("files: [{{ path: out/f, {template} }}]")));
    let plan = sandbox.run(&["plan"]);
    assert!(plan.code == 0 && plan.stdout.contains("1 to create"), "{}", plan.output());
    let daemon = sandbox.ready_daemon();
    assert_eq!(sandbox.read("out/f"), "u 5432 eu p");
    let shown = status(&sandbox);
    assert_eq!(
        (&shown["path"], &shown["version"]),
        (&json!("secret/sources/db, secret/sources/common"), &Value::Null)
    );
    let of = |path: &str, version| json!({ "store": "default", "path": path, "version": version });
    assert_eq!(shown["sources"], json!([of("secret/sources/db", 1), of("secret/sources/common", 2)]));
    bao.put("sources/common", &json!({ "region": "us" }));
    wait_until("the change of one source arrives", || sandbox.read("out/f") == "u 5432 us p");
    wait_until("its version is shown", || status(&sandbox)["sources"][1]["version"] == 3);
    assert!(daemon.stderr().contains("\"store\":\"default\""), "{}", daemon.stderr());
}

#[test]
fn a_template_sees_the_metadata_of_kv2_as_the_agent_shows_it() {
    let bao = server();
    bao.put("metadata/db", &json!({ "user": "u" }));
    bao.tag("metadata/db", &json!({ "owner": "team-a" }));
    let template = "{{ with secret \"secret/data/metadata/db\" }}{{ with .Data.metadata }}{{ .version }} \
        {{ .created_time }} {{ .custom_metadata.owner }} [{{ .deletion_time }}] {{ .destroyed }} {{ len . }}\
        {{ end }}{{ end }}";
    let template = format!(
        "template: {{ engine: consul-template }}\n    files: [{{ path: out/f, template: '{template}' }}]"
    );
    let sandbox = Sandbox::new(&secret(&store(), "    key: metadata/db", &template));
    let daemon = sandbox.ready_daemon();
    let metadata = &bao.get("secret/data/metadata/db")["metadata"];
    let shown = |owner: &str| format!("1 {} {owner} [] false 5", metadata["created_time"].as_str().unwrap());
    assert_eq!(sandbox.read("out/f"), shown("team-a"));
    bao.tag("metadata/db", &json!({ "owner": "team-b" }));
    wait_until("a change of the metadata alone arrives", || sandbox.read("out/f") == shown("team-b"));
    assert!(!daemon.stderr().contains("team-a"), "it may be confidential: {}", daemon.stderr());
}

#[test]
fn one_source_that_is_gone_fails_the_secret_and_all_of_them_remove_the_files() {
    let bao = server();
    for key in ["leaving/db", "leaving/common"] {
        bao.put(key, &json!({ "nested": { "list": [0, { "pass": "p" }] } }));
    }
    let sources = format!("    deletionPolicy: delete\n{}", TWO.replace("SPACE", "leaving"));
    let sandbox = Sandbox::new(&secret(&store(), &sources, "files: [{ path: out/f, field: pass }]"));
    let daemon = sandbox.ready_daemon();
    bao.delete("leaving/db");
    wait_until("the failure names the source", || daemon.stderr().contains("source secret/leaving/db: "));
    wait_until("a later pass fails, too", || status(&sandbox)["failures"].as_u64() > Some(1));
    assert_eq!(sandbox.read("out/f"), "p", "another source is there");
    let error = status(&sandbox)["last_error"].clone();
    assert_eq!(error["kind"], "deleted");
    assert!(error["message"].as_str().unwrap().contains("so its files stay"), "{error}");
    bao.delete("leaving/common");
    wait_until("the files are removed", || sandbox.list("out").is_empty());
    wait_until("that is the state", || status(&sandbox)["state"] == "deleted");
    bao.put("leaving/db", &json!({ "nested": { "list": [0, { "pass": "new" }] } }));
    bao.put("leaving/common", &json!({ "a": 1 }));
    wait_until("the files are there again", || sandbox.list("out") == ["f"]);
    assert_eq!(sandbox.read("out/f"), "new");
}

#[test]
fn a_search_needs_list_and_nothing_more_than_what_it_finds() {
    let bao = server();
    bao.put("search/dev/a", &json!({ "x": 1.5 }));
    bao.put("search/dev/deep/b", &json!({ "y": "<" }));
    bao.put("search/dev/gone", &json!({ "z": 1 }));
    bao.delete("search/dev/gone");
    bao.put("search/prod", &json!({ "secret": "no" }));
    bao.policy(
        "search",
        r#"path "secret/data/search/dev/*" { capabilities = ["read"] }
           path "secret/metadata/search/dev/*" { capabilities = ["list"] }"#,
    );
    let store = store_with(bao.address(), &format!("authMethod: token, token: {}", bao.token("search")));
    let find = |find: &str| {
        secret(&store, &format!("    dataFrom: [{{ find: {{ {find} }} }}]"), "directory: { path: out }")
    };
    let sandbox = Sandbox::new(&find("path: search/dev, name: { regexp: 'dev/' }"));
    let once = sandbox.run(&["run", "--once"]);
    assert_eq!(once.code, 0, "{}", once.stderr);
    assert_eq!(sandbox.list("out"), ["search_dev_a", "search_dev_deep_b"]);
    assert_eq!(sandbox.read("out/search_dev_a"), r#"{"x":1.5}"#);
    assert_eq!(sandbox.read("out/search_dev_deep_b"), "{\"y\":\"\\u003c\"}");

    let none = Sandbox::new(&find("path: search/dev, name: { regexp: nothing }")).run(&["run", "--once"]);
    assert_eq!(none.code, 6, "{}", none.stderr);
    assert!(none.stderr.contains("no secret below secret/search/dev/ fits the search"), "{}", none.stderr);

    let denied = Sandbox::new(&find("path: search, name: { regexp: . }")).run(&["run", "--once"]);
    assert_eq!(denied.code, 4, "{}", denied.stderr);
    let line = r#"path \"secret/metadata/search/*\" { capabilities = [\"list\"] }"#;
    assert!(denied.stderr.contains(line), "{}", denied.stderr);

    let denied = Sandbox::new(&find("path: search/dev, tags: { a: b }")).run(&["run", "--once"]);
    assert_eq!(denied.code, 4, "{}", denied.stderr);
    assert!(denied.stderr.contains(r#"capabilities = [\"read\"]"#), "{}", denied.stderr);
}

#[test]
fn a_search_finds_by_tags_and_in_a_whole_mount_whatever_its_version() {
    let bao = server();
    for (key, team) in [("tags/a", "x"), ("tags/b", "y")] {
        bao.put(key, &json!({ "value": key }));
        bao.tag(key, &json!({ "team": team, "env": "prod" }));
    }
    let find = |find: &str| {
        secret(&store(), &format!("    dataFrom: [{{ find: {{ {find} }} }}]"), "directory: { path: out }")
    };
    let sandbox = Sandbox::new(&find("path: tags, tags: { team: y, env: prod }"));
    assert_eq!(sandbox.run(&["run", "--once"]).code, 0);
    assert_eq!(sandbox.list("out"), ["tags_b"]);

    bao.mount_v1("kv-search");
    bao.put_v1("kv-search", "a", &json!({ "value": "1" }));
    bao.put_v1("kv-search", "b/c", &json!({ "value": "2" }));
    for version in ["v1", "auto"] {
        let keys = format!("mountPath: kv-search, kvVersion: {version}, name: {{ regexp: . }}");
        let sandbox = Sandbox::new(&find(&keys));
        let once = sandbox.run(&["run", "--once"]);
        assert_eq!(once.code, 0, "{}", once.stderr);
        assert_eq!(sandbox.list("out"), ["a", "b_c"]);
    }
    let wrong = Sandbox::new(&find("mountPath: kv-search, kvVersion: v2, name: { regexp: . }"));
    let wrong = wrong.run(&["run", "--once"]);
    assert!(wrong.code == 6 && wrong.stderr.contains("set kvVersion: v1"), "{}", wrong.stderr);
}

#[test]
fn sources_of_two_stores_are_read_together() {
    let bao = server();
    bao.put("both/a", &json!({ "a": "vault" }));
    let text = secret(
        &format!("{}\nsecretStores: {{ lab: {{ provider: file, path: lab.yaml }} }}", store()),
        "    dataFrom: [{ extract: { key: both/a } }, { extract: { key: app }, sourceRef: { storeRef: { name: lab } } }]",
        "files: [{ path: out/f, template: '{{ a }} {{ b }}' }]",
    );
    let sandbox = Sandbox::new(&text);
    sandbox.write("lab.yaml", "app: { b: file }");
    let once = sandbox.run(&["run", "--once"]);
    assert_eq!((once.code, sandbox.read("out/f").as_str()), (0, "vault file"), "{}", once.stderr);
    sandbox.write("lab.yaml", "other: { b: file }");
    let online = sandbox.run(&["validate", "--online"]);
    assert!(online.code == 6 && online.output().contains("source app: "), "{}", online.output());
}
