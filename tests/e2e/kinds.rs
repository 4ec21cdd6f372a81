//! Kinds of issued credentials, used with the programs that they are for.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bao::{Bao, ROOT};
use crate::daemon::{Process, Sandbox};
use crate::databases::Kind;
use crate::issuing::{POLICY, World, within};

/// From the rotation to the new file. A read that was too early is followed by another one within two seconds; the rest is
/// for a busy machine. A file that waited for the next `ttl` would be behind for ten seconds.
const LONGEST_LAG: Duration = Duration::from_secs(6);

#[test]
fn the_file_follows_the_rotation_of_a_static_role() {
    let world = World::new(Kind::Maria, POLICY, &json!({ "token_policies": "app" }));
    let call = |method: &str, path: &str, body: &Value| drop(world.bao.call(method, path, body));
    world.database.static_role("database", "app", "10s", &call);
    world.configure(
        "secrets:\n- name: app\n  vaultDynamic: { path: database/static-creds/app, kind: static }\n  refreshInterval: 10m\n  \
         files: [{ path: out/app.json, format: json }]\n",
    );
    let daemon = world.daemon(false);
    world.sandbox.wait_until_ready(&daemon);
    let mut lags = Vec::new();
    while lags.len() < 3 {
        let before = world.login("out/app.json").unwrap();
        assert!(before.serves(&world.database), "{}", daemon.stderr());
        let server = || {
            let answer = world.bao.call("GET", "database/static-creds/app", &Value::Null);
            answer["data"]["password"].as_str().unwrap().to_owned()
        };
        within(20, "the server rotates", || server() != before.1);
        let rotated = Instant::now();
        within(20, "the file follows", || world.login("out/app.json").is_some_and(|it| it.1 == server()));
        lags.push(rotated.elapsed());
        assert!(!before.serves(&world.database), "the password before is another one");
    }
    println!("the file is behind for {lags:?}");
    assert!(lags.iter().all(|lag| *lag < LONGEST_LAG), "{lags:?}:\n{}", daemon.stderr());
    let reads = daemon.stderr().matches("static-creds/app").count();
    assert!(reads < 12, "{reads} reads for three rotations:\n{}", daemon.stderr());
    daemon.stop();
}

/// What a program prints. It must succeed.
#[track_caller]
fn said(sandbox: &Sandbox, program: &str, arguments: &[&str]) -> String {
    let output = sandbox.program(program).env("TZ", "UTC").args(arguments).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    stdout.trim().to_owned()
}

/// Seconds since 1970 of a date in UTC.
fn seconds(sandbox: &Sandbox, date: &str) -> i64 {
    said(sandbox, "date", &["-u", "-d", date, "+%s"]).parse().unwrap()
}

/// An SSH server whose host certificate is signed, and which takes the certificates of users.
struct Ssh {
    sandbox: Sandbox,
    port: String,
}

impl Ssh {
    fn prepare(bao: &Bao) -> Self {
        bao.must("POST", "", "sys/mounts/ssh", &json!({ "type": "ssh" }));
        bao.must(
            "POST",
            "",
            "ssh/config/ca",
            &json!({ "generate_signing_key": true, "key_type": "ed25519" }),
        );
        let user = json!({ "key_type": "ca", "allow_user_certificates": true, "allowed_users": "*", "default_extensions": { "permit-pty": "" } });
        bao.must("POST", "", "ssh/roles/user", &user);
        let host = json!({ "key_type": "ca", "allow_host_certificates": true, "allowed_domains": "*", "allow_bare_domains": true, "allow_subdomains": true });
        bao.must("POST", "", "ssh/roles/host", &host);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let ssh = Self { sandbox: Sandbox::new(""), port: port.to_string() };
        let sandbox = &ssh.sandbox;
        let ca =
            bao.must("GET", "", "ssh/config/ca", &Value::Null)["public_key"].as_str().unwrap().to_owned();
        sandbox.write("ca.pub", &ca);
        sandbox.write("known", format!("@cert-authority * {ca}"));
        said(sandbox, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", "host"]);
        let home = sandbox.path("").display().to_string();
        sandbox.write(
            "sshd",
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nPidFile {home}sshd.pid\nHostKey {home}host\n\
                 HostCertificate {home}out/host-cert.pub\nTrustedUserCAKeys {home}ca.pub\nPermitRootLogin prohibit-password\n\
                 StrictModes no\nUsePAM no\nPasswordAuthentication no\nAuthorizedKeysFile none\n"
            ),
        );
        sandbox.write(
            "config.yaml",
            format!(
                "secretStore: {{ address: '{address}', token: {ROOT} }}
hooks:
  sshd: {{ pidFile: {home}sshd.pid, signal: HUP }}
secrets:
  - name: host
    vaultDynamic:
      path: ssh/sign/host
      kind: ssh
      parameters: {{ cert_type: host, public_key: {{ file: host.pub }}, valid_principals: 127.0.0.1, ttl: 20m }}
      lease: {{ minInterval: 1s }}
    hooks: [sshd]
    files: [{{ path: out/host-cert.pub, field: signed_key, mode: '0644' }}]
  - name: user
    vaultDynamic:
      path: ssh/issue/user
      kind: ssh
      parameters: {{ key_type: ed25519, valid_principals: root, ttl: 20m }}
      lease: {{ minInterval: 1s }}
    files:
      - {{ path: out/user, field: private_key }}
      - {{ path: out/user-cert.pub, field: signed_key }}
",
                address = bao.address()
            ),
        );
        ssh
    }

    /// Logs in with nothing but what the daemon has written; gives what the command on the other side printed.
    fn log_in(&self) -> Option<String> {
        let known = format!("UserKnownHostsFile={}", self.sandbox.path("known").display());
        let mut command = self.sandbox.program("ssh");
        command.args(["-F", "none", "-i", "out/user", "-p", &self.port, "-o", &known]);
        for option in
            ["BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=yes"]
        {
            command.args(["-o", option]);
        }
        command.args(["-o", "GlobalKnownHostsFile=/dev/null", "root@127.0.0.1", "echo in"]);
        let output = command.output().unwrap();
        let is_in = output.status.success();
        if !is_in {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
        is_in.then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// What `ssh-keygen -L` says of a certificate.
    fn shown(&self, file: &str) -> String {
        said(&self.sandbox, "ssh-keygen", &["-L", "-f", file])
    }
}

#[test]
fn a_login_by_ssh_takes_what_was_issued_and_signed() {
    let bao = Bao::start();
    let ssh = Ssh::prepare(&bao);
    let sandbox = &ssh.sandbox;
    let daemon = sandbox.ready_daemon();
    let (user, host) = (ssh.shown("out/user-cert.pub"), ssh.shown("out/host-cert.pub"));
    assert!(user.contains("ssh-ed25519-cert-v01@openssh.com user certificate"), "{user}");
    assert!(host.contains("ssh-ed25519-cert-v01@openssh.com host certificate"), "{host}");
    // The end that the daemon plans with is that in the certificate.
    let leases: Value = serde_json::from_str(&sandbox.run(&["leases", "--json"]).stdout).unwrap();
    let user_lease = leases.as_array().unwrap().iter().find(|it| it["path"] == "ssh/issue/user").unwrap();
    let (_, end) = user.split_once(" to ").unwrap();
    let end = seconds(sandbox, end.lines().next().unwrap());
    let known = seconds(sandbox, user_lease["current"]["end"].as_str().unwrap());
    assert!((end - known).abs() <= 1, "{user}{user_lease}");

    std::fs::create_dir_all("/run/sshd").unwrap();
    let mut command = Command::new("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f"]).arg(sandbox.path("sshd"));
    let server = Process::start(command);
    within(20, "the server lets in", || ssh.log_in().as_deref() == Some("in"));
    for name in ["user", "host"] {
        let rotated = sandbox.run(&["rotate", name]);
        assert_eq!(rotated.code, 0, "{}", rotated.output());
    }
    within(20, "both certificates are other ones", || {
        [("out/user-cert.pub", &user), ("out/host-cert.pub", &host)]
            .iter()
            .all(|(file, before)| Path::new(&sandbox.path(file)).exists() && ssh.shown(file) != **before)
    });
    within(20, "the server has read its new certificate", || server.stderr().contains("SIGHUP"));
    within(20, "the server lets in", || ssh.log_in().as_deref() == Some("in"));
    daemon.stop();
    server.kill();
}

#[test]
fn answers_without_a_lease_are_read_and_serve() {
    let bao = Bao::start();
    bao.must("POST", "", "sys/mounts/transit", &json!({ "type": "transit" }));
    bao.must("POST", "", "transit/keys/app", &json!({}));
    let sealed = bao.must("POST", "", "transit/encrypt/app", &json!({ "plaintext": "b3BlbmVk" }));
    bao.must("POST", "", "sys/mounts/totp", &json!({ "type": "totp" }));
    let key = json!({ "generate": true, "issuer": "test", "account_name": "app", "period": "30s" });
    bao.must("POST", "", "totp/keys/app", &key);
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ address: '{}', token: {ROOT} }}
limits: {{ minRefreshInterval: 1s }}
secrets:
  - name: opened
    vaultDynamic: {{ path: transit/decrypt/app, kind: read, parameters: {{ ciphertext: '{}' }} }}
    files: [{{ path: out/opened, field: plaintext, decoding: base64 }}]
  - name: code
    vaultDynamic: {{ path: totp/code/app, kind: read }}
    refreshInterval: 1s
    files: [{{ path: out/code, field: code }}]
",
        bao.address(),
        sealed["ciphertext"].as_str().unwrap()
    ));
    let daemon = sandbox.ready_daemon();
    assert_eq!(sandbox.read("out/opened"), "opened");
    let first = sandbox.read("out/code");
    let is_valid =
        |code: &str| bao.must("POST", "", "totp/code/app", &json!({ "code": code }))["valid"] == true;
    assert!(is_valid(&first), "{first}");
    within(40, "the next code is there", || sandbox.read("out/code") != first);
    assert!(is_valid(&sandbox.read("out/code")), "{}", daemon.stderr());
    daemon.stop();
}
