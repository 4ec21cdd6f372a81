//! What `convert` makes of an Agent's configuration that reads certificates and leases writes what that Agent writes: the
//! same files, but for what is another one at each issue.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::bao::{Bao, ROOT};
use crate::daemon::{Process, Sandbox};

const WEB: &str = "\"pki/issue/web\" \"common_name=web.example\" \"ttl=1h\"";

/// An engine for each kind. Gives what transit has encrypted.
fn fill(bao: &Bao) -> String {
    for mount in ["pki-root", "pki"] {
        let body = json!({ "type": "pki", "config": { "max_lease_ttl": "8760h" } });
        bao.must("POST", "", &format!("sys/mounts/{mount}"), &body);
    }
    let root = json!({ "common_name": "Root", "ttl": "8000h" });
    bao.must("POST", "", "pki-root/root/generate/internal", &root);
    let asked =
        bao.must("POST", "", "pki/intermediate/generate/internal", &json!({ "common_name": "Middle" }));
    let sign = json!({ "csr": asked["csr"], "common_name": "Middle", "ttl": "4000h" });
    let signed = bao.must("POST", "", "pki-root/root/sign-intermediate", &sign);
    bao.must("POST", "", "pki/intermediate/set-signed", &json!({ "certificate": signed["certificate"] }));
    let role = json!({ "allow_any_name": true, "max_ttl": "24h", "key_type": "ec", "key_bits": 256 });
    bao.must("POST", "", "pki/roles/web", &role);
    for (mount, engine) in [("database", "kv"), ("transit", "transit")] {
        bao.must("POST", "", &format!("sys/mounts/{mount}"), &json!({ "type": engine }));
    }
    let login = json!({ "username": "v-app", "password": "p<w>&1", "ttl": "1h" });
    bao.must("POST", "", "database/creds/app", &login);
    bao.must("POST", "", "transit/keys/app", &json!({}));
    let plain = json!({ "plaintext": "aGVsbG8=" });
    let encrypted = bao.must("POST", "", "transit/encrypt/app", &plain);
    encrypted["ciphertext"].as_str().unwrap().to_owned()
}

/// Names of files, and the templates of their stanzas.
fn templates(ciphertext: &str) -> Vec<(&'static str, String)> {
    let other = WEB.replace("web.example", "other.example");
    vec![
        ("web.crt", format!("{{{{ with secret {WEB} }}}}{{{{ .Data.certificate }}}}\n{{{{ range .Data.ca_chain }}}}{{{{ . }}}}\n{{{{ end }}}}{{{{ end }}}}")),
        ("web.key", format!("{{{{ with secret {WEB} }}}}{{{{ .Data.private_key }}}}{{{{ end }}}}\n")),
        ("web.ca", format!("{{{{- with secret {WEB} -}}}}\n{{{{ .Data.issuing_ca }}}} {{{{ .Data.private_key_type }}}}\n{{{{- end -}}}}\n")),
        ("pair.pem", format!("{{{{ with pkiCert {other} }}}}{{{{ .Data.Key }}}}{{{{ .Cert }}}}{{{{ .CA }}}}{{{{ end }}}}")),
        (
            "login.env",
            "{{ with secret \"database/creds/app\" }}USER={{ .Data.username }}\nPASS={{ .Data.password | toJSON }}\n{{ .LeaseDuration }} {{ .Renewable }} {{ len .LeaseID }}\n{{ end }}"
                .to_owned(),
        ),
        ("opened", format!("{{{{ with secret \"transit/decrypt/app\" \"ciphertext={ciphertext}\" }}}}{{{{ .Data.plaintext | base64Decode }}}}{{{{ end }}}}")),
    ]
}

/// The same without what stands in certificates and keys, which are others at each issue.
fn comparable(text: &str) -> String {
    let (mut kept, mut is_inside) = (String::new(), false);
    for line in text.split_inclusive('\n') {
        is_inside &= !line.starts_with("-----END");
        if !is_inside {
            kept.push_str(line);
        }
        is_inside |= line.starts_with("-----BEGIN");
    }
    kept
}

fn certificates(bao: &Bao) -> usize {
    let (_, answer) = bao.request("LIST", "", "pki/certs", &Value::Null);
    answer["data"]["keys"].as_array().map_or(0, Vec::len)
}

#[test]
fn certificates_and_leases_are_written_as_the_agent_writes_them() {
    let bao = Bao::start_leasing();
    let ciphertext = fill(&bao);
    let sandbox = Sandbox::new("");
    sandbox.write("token", ROOT);
    let mut agent = format!(
        "exit_after_auth = true\nvault {{ address = {} }}\nauto_auth {{ method \"token_file\" {{ config {{ token_file_path = {} }} }} }}\n",
        json!(bao.address()),
        json!(sandbox.path("token"))
    );
    let templates = templates(&ciphertext);
    for (name, text) in &templates {
        let path = json!(sandbox.path(&format!("agent/{name}")));
        writeln!(agent, "template {{\n destination = {path}\n contents = {}\n}}", json!(text)).unwrap();
    }
    sandbox.write("agent.hcl", &agent);
    let mut command = sandbox.program(Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/bao"));
    command.env("HOME", sandbox.path("")).args(["agent", "-config=agent.hcl"]);
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, 0, "{}", finished.output());

    let ours =
        agent.replace(sandbox.path("agent/").to_str().unwrap(), sandbox.path("out/").to_str().unwrap());
    sandbox.write("agent.hcl", ours);
    let converted = sandbox.run(&["convert", "agent.hcl", "--verify", "--output", "config.yaml"]);
    assert_eq!(converted.code, 12, "{}", converted.output());
    let warnings: Vec<_> = converted.stderr.lines().filter(|line| line.contains(": warning:")).collect();
    assert!(warnings.iter().all(|line| line.contains("as at the issue")), "{}", converted.output());
    let validated = sandbox.run(&["validate"]);
    assert_eq!(validated.code, 0, "{}\n{}", validated.output(), sandbox.read("config.yaml"));

    let before = certificates(&bao);
    let mut command = sandbox.command(&["run", "--once"]);
    command.env("STATE_DIR", sandbox.path("state"));
    let once = Process::start(command).finish();
    assert_eq!(once.code, 0, "{}\n{}", once.output(), sandbox.read("config.yaml"));
    assert_eq!(certificates(&bao), before + 2, "one certificate for each distinct call");
    for (name, _) in &templates {
        let (ours, theirs) = (sandbox.read(&format!("out/{name}")), sandbox.read(&format!("agent/{name}")));
        assert!(!theirs.is_empty(), "{name}");
        assert_eq!(comparable(&ours), comparable(&theirs), "{name}\n{ours}\n{theirs}");
        assert_eq!(sandbox.mode(&format!("out/{name}")), sandbox.mode(&format!("agent/{name}")), "{name}");
    }
    let is_shared =
        |name: &str| sandbox.read(&format!("out/{name}")) == sandbox.read(&format!("agent/{name}"));
    assert!(is_shared("web.ca") && is_shared("opened") && !is_shared("web.key"));
}

#[test]
fn generators_of_external_secrets_become_sources_that_issue() {
    let bao = Bao::start_leasing();
    fill(&bao);
    let generator = |name: &str, spec: &str| {
        format!(
            "apiVersion: generators.external-secrets.io/v1alpha1\nkind: VaultDynamicSecret\nmetadata: {{ name: {name} }}\nspec:\n  \
             {spec}\n  provider: {{ server: '{}', auth: {{ tokenSecretRef: {{ name: t, key: t }} }} }}\n---\n",
            bao.address()
        )
    };
    let sandbox = Sandbox::new("");
    let manifests = [
        generator(
            "web",
            "path: pki/issue/web\n  method: POST\n  parameters: { common_name: web.example, ttl: 3600 }",
        ),
        generator("login", "path: /database/creds/app"),
        "apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: { name: app }
spec:
  dataFrom:
    - sourceRef: { generatorRef: { kind: VaultDynamicSecret, name: web } }
    - sourceRef: { generatorRef: { kind: VaultDynamicSecret, name: login } }
      rewrite: [{ regexp: { source: '(.*)', target: 'DB_$1' } }]
"
        .to_owned(),
    ];
    sandbox.write("manifests.yaml", manifests.concat());
    let arguments = ["convert", "manifests.yaml", "--output-dir", "out", "--output", "config.yaml"];
    let converted = sandbox.run(&arguments);
    assert_eq!(converted.code, 0, "{}", converted.output());
    let before = certificates(&bao);
    let mut command = sandbox.command(&["run", "--once"]);
    command.env("VAULT_TOKEN", ROOT).env("STATE_DIR", sandbox.path("state"));
    let once = Process::start(command).finish();
    assert_eq!(once.code, 0, "{}\n{}", once.output(), sandbox.read("config.yaml"));
    assert_eq!(certificates(&bao), before + 1, "one certificate for all files");
    assert_eq!(
        (sandbox.read("out/app/DB_username"), sandbox.read("out/app/DB_password")),
        ("v-app".into(), "p<w>&1".into())
    );
    assert!(sandbox.read("out/app/private_key").starts_with("-----BEGIN EC PRIVATE KEY-----"));
    let chain: Value = serde_json::from_str(&sandbox.read("out/app/ca_chain")).unwrap();
    assert_eq!(chain[0].as_str(), Some(sandbox.read("out/app/issuing_ca").as_str()));
}
