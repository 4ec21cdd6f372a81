//! docs/troubleshooting.md: each message on the page is what the program says in that situation. What containers
//! do has its tests in `tests/e2e`.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;

use serde_json::json;

use crate::daemon::{Process, Sandbox};
use crate::server::{server, store, store_at, store_with};

/// The first column of the tables above the one about containers, where it stands between backticks.
fn symptoms() -> BTreeSet<String> {
    let page = fs::read_to_string("docs/troubleshooting.md").unwrap();
    let rows = page.split("\n## Containers\n").next().unwrap().lines();
    let cells = rows.filter(|line| line.starts_with("| `")).map(|row| row.split('|').nth(1).unwrap());
    cells.map(|cell| cell.split('`').nth(1).unwrap().to_owned()).collect()
}

/// What `validate --online` says about one secret.
fn validated(store: &str, secret: &str) -> String {
    let sandbox = Sandbox::new(&format!("{store}\nsecrets: [{{ name: a, {secret} }}]"));
    sandbox.run(&["validate", "--online"]).output()
}

fn file(field: &str) -> String {
    format!("files: [{{ path: out/a, field: {field} }}]")
}

/// Every symptom, with what the program says where it should appear.
fn produced() -> Vec<(&'static str, String)> {
    let server = server();
    server.put("symptoms/database", &json!({ "username": "shop" }));
    let secret = format!("key: symptoms/database, {}", file("username"));
    let read = |store: &str| validated(store, &secret);
    let narrow = |policy, path| {
        let token = server.token_for(policy, path);
        store_with(server.address(), &format!("authMethod: token, token: {token}"))
    };
    let absent = format!("key: symptoms/absent, {}", file("username"));
    let prefixed = format!("key: secret/data/symptoms/database, {}", file("username"));
    let version = format!("kvVersion: v1, {secret}");
    let field = format!("key: symptoms/database, {}", file("password"));
    let templated = |text| format!("key: symptoms/database, files: [{{ path: out/a, template: '{text}' }}]");
    let approle = |keys: &str| store_with(server.address(), &format!("authMethod: approle, {keys}"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tls = store().replace("http://", "https://");
    let unknown = store_with(server.address(), "authMethod: token, token: nobody");
    let own = narrow("symptoms", "secret/data/symptoms/*");
    vec![
        ("no such secret", validated(&store(), &absent)),
        ("permission denied (403)", read(&narrow("others", "secret/data/other/*"))),
        ("permission denied (403); the key begins with what is not part of it", validated(&own, &prefixed)),
        ("the mount secret is KV v2, kvVersion says v1", validated(&store(), &version)),
        ("is not defined; the secret has", validated(&store(), &templated("{{ password }}"))),
        ("there is no field", validated(&store(), &field)),
        ("cannot connect: Connection refused", read(&store_at(&nobody.to_string()))),
        ("TLS failed: the server does not speak TLS on this port", read(&tls)),
        (
            "DNS: the name vault.invalid does not exist, or has no address",
            read(&store_at("vault.invalid:8200")),
        ),
        ("invalid role or secret ID", read(&approle("roleId: nobody, secretId: nothing"))),
        (
            "cannot read roleIdFile /approle/role-id",
            read(&approle("roleIdFile: /approle/role-id, secretIdFile: /approle/secret-id")),
        ),
        ("the token is invalid or expired", read(&unknown)),
        ("this is a directory", started_with_a_directory()),
        ("cannot listen on 127.0.0.1:18080: Address already in use", started_at_a_busy_port()),
        ("not ready: no status file at …", Sandbox::new("").run(&["isready"]).output()),
        (
            "the environment variable VAULT_TOKEN is not set",
            read(&store_with(server.address(), "token: '${VAULT_TOKEN}'")),
        ),
        (
            "the text reads like a Go template and is rendered as one",
            validated(&store(), &templated("{{ .password }}")),
        ),
        ("unknown key", read(&store().replace("mountPath", "mountPaths"))),
    ]
}

fn started_with_a_directory() -> String {
    let sandbox = Sandbox::new("");
    fs::create_dir(sandbox.path("directory")).unwrap();
    sandbox.run(&["--config", "directory", "run"]).output()
}

/// With the port of the page in place of the one that is free here.
fn started_at_a_busy_port() -> String {
    let sandbox = Sandbox::new(&format!("{}\nsecrets: [{{ name: a, key: a, {} }}]", store(), file("a")));
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let mut command = sandbox.command(&["run"]);
    command.env("METRICS_PORT", &port);
    Process::start(command).finish().output().replace(&port, "18080")
}

#[test]
fn each_symptom_of_troubleshooting_is_what_the_program_says() {
    let produced = produced();
    let named: BTreeSet<_> = produced.iter().map(|(symptom, _)| (*symptom).to_owned()).collect();
    assert_eq!(symptoms(), named);
    for (symptom, said) in produced {
        let text = symptom.trim_end_matches('…');
        assert!(said.contains(text), "{symptom:?} is not in\n{said}");
    }
}
