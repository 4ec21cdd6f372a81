//! The files of every login, under the sandbox: they appear only after the start, come through Kubernetes' symlinks, are
//! replaced, and belong to another method after a reload. The trees lie where a rule is for themselves alone.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::bao::Bao;
use crate::daemon::{Process, Sandbox, wait_until};
use crate::fake::{Fake, Reply};

/// A directory of which the one above is never granted.
fn tree() -> TempDir {
    tempfile::tempdir_in("/opt").unwrap()
}

/// Puts `files` into `volume` as Kubernetes does: each name is a symlink to `..data/NAME`, and `..data` one that is swapped.
fn mount(volume: &Path, version: usize, files: &[(&str, &str)]) {
    let (version, next) = (format!("..{version}"), volume.join("..next"));
    fs::create_dir_all(volume.join(&version)).unwrap();
    for (name, content) in files {
        fs::write(volume.join(&version).join(name), content).unwrap();
        drop(symlink(Path::new("..data").join(name), volume.join(name)));
    }
    symlink(&version, &next).unwrap();
    fs::rename(next, volume.join("..data")).unwrap();
}

fn start(sandbox: &Sandbox) -> Process {
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require");
    Process::start(command)
}

/// A server where whatever holds `good-N` logs in for the token `s.good-N`, and only that of the newest number reads: it
/// gets the number. What it got for a parameter, it answers.
fn server(newest: Arc<AtomicUsize>) -> Fake {
    Fake::start(move |_, seen| {
        let good = format!("good-{}", newest.load(Ordering::SeqCst));
        let number =
            |text: &str| text.split("good-").nth(1).map(|rest| rest.chars().take(1).collect::<String>());
        let token = seen.headers.get("x-vault-token").cloned().unwrap_or_default();
        match (seen.target.as_str(), number(&seen.body)) {
            (target, Some(number)) if target.contains("/login") => {
                let auth = json!({ "client_token": format!("s.good-{number}"), "lease_duration": 3600 });
                Reply::json(200, &json!({ "auth": auth }).to_string())
            }
            ("/v1/echo", Some(number)) => {
                Reply::json(200, &json!({ "data": { "password": number } }).to_string())
            }
            ("/v1/secret/data/app", _) if token.ends_with(&good) => {
                Reply::secret(&good.replace("good-", ""), 1)
            }
            _ => Reply::json(403, r#"{"errors":["permission denied"]}"#),
        }
    })
}

#[test]
fn the_files_of_every_login_are_read_whenever_they_come() {
    let tree = tree();
    let newest = Arc::new(AtomicUsize::new(1));
    let fake = server(Arc::clone(&newest));
    let sandbox = Sandbox::new("");
    let mut daemon = None;
    let kv = "key: app";
    let echo = |path: &str| {
        format!("vaultDynamic: {{ path: echo, kind: read, parameters: {{ p: {{ file: '{path}' }} }} }}")
    };
    for (name, login, source) in [
        ("token", "authMethod: token, tokenFile: 'FILE'", kv.to_owned()),
        ("secret-id", "authMethod: approle, roleId: app, secretIdFile: 'FILE'", kv.to_owned()),
        ("jwt", "authMethod: jwt, role: app, jwtFile: 'FILE'", kv.to_owned()),
        ("kubernetes", "authMethod: kubernetes, role: app, jwtFile: 'FILE'", kv.to_owned()),
        ("password", "authMethod: userpass, username: app, passwordFile: 'FILE'", kv.to_owned()),
        ("ldap", "authMethod: ldap, username: app, passwordFile: 'FILE'", kv.to_owned()),
        (
            "parameter",
            "authMethod: token, token: s.good-1",
            echo(&tree.path().join("parameter/parameter").display().to_string()),
        ),
    ] {
        newest.store(1, Ordering::SeqCst);
        let (volume, output) = (tree.path().join(name), format!("out/{name}"));
        let file = volume.join(name);
        let store = format!("address: '{}', mountPath: secret, kvVersion: v2, {login}", fake.address());
        sandbox.write(
            "config.yaml",
            format!(
                "secretStore: {{ {} }}
limits: {{ minRefreshInterval: 100ms }}
secrets: [{{ name: {name}, {source}, refreshInterval: 200ms, files: [{{ path: {output}, field: password }}] }}]",
                store.replace("FILE", &file.display().to_string())
            ),
        );
        // The first one at the start, the others by a reload of the same process.
        if let Some(daemon) = &daemon {
            Process::signal(daemon, Signal::SIGHUP);
        }
        let daemon = daemon.get_or_insert_with(|| start(&sandbox));
        let missing = format!("{}: No such file", file.display());
        wait_until(&format!("{name} is missing: {}", daemon.stderr()), || daemon.stderr().contains(&missing));
        let holds = |number: usize| {
            newest.store(number, Ordering::SeqCst);
            wait_until(&format!("{name} {number} is read: {}", daemon.stderr()), || {
                sandbox.read(&output) == number.to_string()
            });
        };
        mount(&volume, 1, &[(name, "good-1")]);
        holds(1);
        mount(&volume, 2, &[(name, "s.good-2")]);
        holds(2);
        fs::write(volume.join("next"), "s.good-3\n").unwrap();
        fs::rename(volume.join("next"), &file).unwrap();
        holds(3);
        fs::remove_dir_all(volume.join("..2")).unwrap();
        assert!(!daemon.stderr().contains("Permission denied"), "{name}: {}", daemon.stderr());
    }
}

/// The files must be there at the start; what they hold may be wrong.
#[test]
fn a_client_certificate_and_its_ca_are_read_when_they_are_put_right() {
    let (tree, bao) = (tree(), Bao::shared());
    let files = tempfile::tempdir().unwrap();
    bao.issue_ended_client(files.path(), "ended", "sandbox.test");
    bao.issue_client(files.path(), "good", "sandbox.test");
    let text = |name: &str| fs::read_to_string(files.path().join(name)).unwrap();
    let authority = fs::read_to_string(bao.authority()).unwrap();
    bao.must("POST", "", "sys/auth/sandbox-cert", &json!({ "type": "cert" }));
    bao.policy("", "sandbox-cert", r#"path "secret/data/sandbox-cert" { capabilities = ["read"] }"#);
    let role = json!({ "certificate": authority, "allowed_dns_sans": ["sandbox.test"], "token_policies": ["sandbox-cert"] });
    bao.must("POST", "", "auth/sandbox-cert/certs/app", &role);
    bao.put_v2("", "secret", "sandbox-cert", &json!({ "password": "x" }));
    let volume = |version, ca: &str, pair: &str| {
        let pair = [text(&format!("{pair}.pem")), text(&format!("{pair}.key"))];
        mount(tree.path(), version, &[("ca.pem", ca), ("client.pem", &pair[0]), ("client.key", &pair[1])]);
    };
    // A CA that signed nothing here.
    volume(1, &text("good.pem"), "ended");
    let path = tree.path().display();
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ address: '{}', mountPath: secret, kvVersion: v2, authMethod: cert, authMount: sandbox-cert, tlsCACert: \
         '{path}/ca.pem', tlsClientCert: '{path}/client.pem', tlsClientKey: '{path}/client.key' }}
limits: {{ minRefreshInterval: 100ms }}
secrets: [{{ name: one, key: sandbox-cert, refreshInterval: 200ms, files: [{{ path: out, field: password }}] }}]",
        bao.mutual_tls_address()
    ));
    let daemon = start(&sandbox);
    wait_until("it has ended", || daemon.stderr().contains("client.pem ended at 2000-01-01"));
    volume(2, &text("good.pem"), "good");
    wait_until(&format!("the CA is wrong: {}", daemon.stderr()), || daemon.stderr().contains("TLS failed"));
    assert_eq!(sandbox.read("out"), "");
    volume(3, &authority, "good");
    wait_until(&format!("all is right: {}", daemon.stderr()), || sandbox.read("out") == "x");
}

#[test]
fn a_reload_with_a_parameter_beyond_the_sandbox_is_refused_with_a_remedy_that_helps() {
    let tree = tree();
    let parameter = tree.path().join("parameter");
    fs::write(&parameter, "good-1").unwrap();
    let fake = server(Arc::default());
    let config = |source: &str| {
        format!(
            "secretStore: {{ address: '{}', authMethod: token, token: s.good-0 }}
secrets: [{{ name: one, {source}, files: [{{ path: out, field: password }}] }}]",
            fake.address()
        )
    };
    let echo = format!(
        "vaultDynamic: {{ path: echo, kind: read, parameters: {{ p: {{ file: '{}' }} }} }}",
        parameter.display()
    );
    let sandbox = Sandbox::new(&config("key: app"));
    let daemon = start(&sandbox);
    sandbox.wait_until_ready(&daemon);
    sandbox.write("config.yaml", config(&echo));
    daemon.signal(Signal::SIGHUP);
    let refused = "reload failed, keeping the previous configuration";
    wait_until(&format!("it is refused: {}", daemon.stderr()), || daemon.stderr().contains(refused));
    let variable = format!("SANDBOX_READ={}", tree.path().display());
    assert!(daemon.stderr().contains(&variable), "{}", daemon.stderr());
    daemon.stop();

    sandbox.write("config.yaml", config("key: app"));
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require").env("SANDBOX_READ", tree.path());
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    sandbox.write("config.yaml", config(&echo));
    daemon.signal(Signal::SIGHUP);
    wait_until("it is taken up", || sandbox.read("out") == "1");
}
