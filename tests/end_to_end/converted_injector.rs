//! What `convert` makes of the injector's annotations writes what its Agent writes, byte for byte.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::bao::{Bao, ROOT};
use crate::daemon::{Process, Sandbox};

/// The end of annotations, and the template; the injector's own where there is none.
const FILES: [(&str, Option<&str>); 5] = [
    ("plain", None),
    (
        "env",
        Some(
            "{{- with secret \"secret/data/injected/db\" -}}\nexport USER=\"{{ .Data.data.username }}\"\n{{- end }}\n",
        ),
    ),
    (
        "loop",
        Some(
            "{{ with secret \"secret/data/injected/db\" }}{{ range $k, $v := .Data.data }}{{ $k }}={{ $v }}\n{{ end }}{{ end }}",
        ),
    ),
    (
        "two",
        Some(
            "{{ with secret \"secret/injected/db\" }}{{ .Data.data.port }}{{ end }}-{{ with secret \"secret/data/injected/api\" }}{{ .Data.data.key | toJSON }}{{ end }}",
        ),
    ),
    ("json", Some("{{ with secret \"secret/data/injected/db\" }}{{ .Data.data | toJSONPretty }}{{ end }}")),
];

/// What the injector puts into the Agent's configuration for a file without a template.
const OWN: &str = "{{ with secret \"secret/data/injected/db\" }}{{ range $k, $v := .Data }}{{ $k }}: {{ $v }}\n{{ end }}{{ end }}";

fn pod() -> String {
    let mut pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    vault.hashicorp.com/agent-inject: 'true'\n    \
                   vault.hashicorp.com/role: p\n"
        .to_owned();
    for (name, template) in FILES {
        let prefix = "    vault.hashicorp.com/agent-inject-";
        writeln!(pod, "{prefix}secret-{name}: secret/data/injected/db").unwrap();
        if let Some(template) = template {
            writeln!(pod, "{prefix}template-{name}: {}", json!(template)).unwrap();
        }
    }
    pod
}

fn agent(sandbox: &Sandbox) -> String {
    let mut agent = format!(
        "exit_after_auth = true\nvault {{ address = {} }}\nauto_auth {{ method \"token_file\" {{ config {{ token_file_path = {} }} }} }}\n",
        json!(Bao::shared().address()),
        json!(sandbox.path("token"))
    );
    for (name, template) in FILES {
        let (path, text) = (sandbox.path(&format!("agent/{name}")), template.unwrap_or(OWN));
        let (path, text) = (json!(path), json!(text));
        writeln!(agent, "template {{\n destination = {path}\n contents = {text}\n}}").unwrap();
    }
    agent
}

#[test]
fn annotations_of_the_injector_write_what_its_agent_writes() {
    let bao = Bao::shared();
    let all = json!({ "username": "app <&>", "port": 5432, "flag": true, "list": [1, "b"], "nested": { "x": { "y": 1.50 } } });
    bao.put_v2("", "secret", "injected/db", &all);
    bao.put_v2("", "secret", "injected/api", &json!({ "key": "k\"1" }));
    let sandbox = Sandbox::new("");
    sandbox.write("token", ROOT);
    sandbox.write("agent.hcl", agent(&sandbox));
    let mut command = sandbox.program(Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/bao"));
    command.env("HOME", sandbox.path("")).args(["agent", "-config=agent.hcl"]);
    let agent = Process::start(command).finish();
    assert_eq!(agent.code, 0, "{}", agent.output());
    sandbox.write("pod.yaml", pod());
    let converted = sandbox.run(&["convert", "pod.yaml", "--output-dir", "out", "--output", "config.yaml"]);
    assert_eq!(converted.code, 12, "{}", converted.output());
    // The login is the operator's to replace.
    let login = "authMethod: approle\n  roleId: ${VAULT_ROLE_ID}\n  secretId: ${VAULT_SECRET_ID}\n";
    let configuration = sandbox.read("config.yaml");
    assert!(configuration.contains(login), "{configuration}");
    sandbox.write("config.yaml", configuration.replace(login, "token: ${VAULT_TOKEN}\n"));
    let mut command = sandbox.command(&["run", "--once"]);
    command.env("VAULT_TOKEN", ROOT).env("VAULT_ADDR", bao.address());
    let once = Process::start(command).finish();
    assert_eq!(once.code, 0, "{}\n{}", once.output(), sandbox.read("config.yaml"));
    for (name, _) in FILES {
        let (ours, theirs) = (sandbox.read(&format!("out/p/{name}")), sandbox.read(&format!("agent/{name}")));
        assert!(!theirs.is_empty(), "{name}");
        assert_eq!(ours, theirs, "{name}");
        assert_eq!(sandbox.mode(&format!("out/p/{name}")), sandbox.mode(&format!("agent/{name}")), "{name}");
    }
}
