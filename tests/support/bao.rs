//! A real `OpenBao` for tests: plain HTTP, TLS, mutual TLS and a unix socket, seeded over HTTP.
//!
//! The server is a dev server (in memory, unsealed, root token `root`, KV v2 at `secret/`). A small shell stands
//! between it and the test: it kills the server when the test process ends, however it ends, because its standard
//! input closes then. So [`Bao::shared`] may live in a static.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::certs::{Authority, Pair};

/// The root token of every server here.
pub const ROOT: &str = "root";

/// The only name in the certificate of [`Bao::tls_address`].
pub const TLS_NAME: &str = "vault.test";

/// A running server. Dropping it kills the server.
pub struct Bao {
    port: u16,
    folder: tempfile::TempDir,
    authority: Authority,
    client: Pair,
    keeper: Child,
}

impl Bao {
    /// One server for all tests of a binary. Each test works in mounts and paths of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Bao> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server of its own, for a test that stops, seals or overloads it.
    pub fn start() -> Self {
        Self::start_with(&[], "secret/config")
    }

    /// A server of its own whose KV mounts are of version 1 and give each answer a lease, which can be renewed.
    pub fn start_leasing() -> Self {
        Self::start_with(&["-dev-leased-kv"], "sys/mounts/secret")
    }

    /// `probe` answers when `secret/` is there.
    fn start_with(flags: &[&str], probe: &str) -> Self {
        // Somebody else may take a port between the look and the start.
        let start = |_| Self::try_start(flags, probe);
        (0..5).find_map(start).expect("OpenBao did not start five times: see its log above")
    }

    /// `http://127.0.0.1:…`
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// TLS; the certificate is for [`TLS_NAME`] alone.
    pub fn tls_address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port + 2)
    }

    /// TLS that demands a client certificate of [`Bao::authority`]; the server's is for `localhost` and 127.0.0.1.
    pub fn mutual_tls_address(&self) -> String {
        format!("https://localhost:{}", self.port + 3)
    }

    /// HTTP on a unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("bao.sock")
    }

    /// The PEM file of the CA that signed all certificates here.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A client certificate and its key.
    pub fn client_certificate(&self) -> (&Path, &Path) {
        (&self.client.certificate, &self.client.key)
    }

    /// A further client certificate for `name`, written to `<file>.pem` and `<file>.key` in `folder`.
    pub fn issue_client(&self, folder: &Path, file: &str, name: &str) -> Pair {
        self.authority.issue(folder, file, &[name])
    }

    /// The same, and it has ended.
    pub fn issue_ended_client(&self, folder: &Path, file: &str, name: &str) -> Pair {
        self.authority.issue_until(folder, file, &[name], 2000)
    }

    /// One request with the root token; gives status and body (`null` for none).
    pub fn request(&self, method: &str, namespace: &str, path: &str, body: &Value) -> (u16, Value) {
        self.request_as(ROOT, method, namespace, path, body)
    }

    /// One request with any token.
    pub fn request_as(
        &self,
        token: &str,
        method: &str,
        namespace: &str,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = format!("X-Vault-Token: {token}\r\nX-Vault-Namespace: {namespace}\r\n");
        exchange(self.port, method, path, &headers, &body).expect("OpenBao answers")
    }

    /// A request with the root token whose answer is wrapped for a minute; gives the whole answer.
    pub fn wrapped(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = format!("X-Vault-Token: {ROOT}\r\nX-Vault-Wrap-TTL: 60\r\n");
        let (status, answer) =
            exchange(self.port, method, path, &headers, &body.to_string()).expect("OpenBao answers");
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    /// A request that must succeed; gives the body's `data`.
    pub fn must(&self, method: &str, namespace: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.request(method, namespace, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer.get("data").cloned().unwrap_or(Value::Null)
    }

    /// Writes `data` as one more version (KV v2) or as the secret (KV v1: pass the path without `data/`).
    pub fn put_v2(&self, namespace: &str, mount: &str, key: &str, data: &Value) {
        let path = format!("{mount}/data/{key}");
        // A mount that was just made upgrades itself first and refuses writes for a moment.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let (status, answer) = self.request("POST", namespace, &path, &json!({ "data": data }));
            if status == 200 {
                return;
            }
            assert!(Instant::now() < deadline, "{path}: {status} {answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes a KV v1 secret.
    pub fn put_v1(&self, namespace: &str, mount: &str, key: &str, data: &Value) {
        self.must("POST", namespace, &format!("{mount}/{key}"), data);
    }

    /// Makes a KV mount of `version` 1 or 2.
    pub fn enable_kv(&self, namespace: &str, mount: &str, version: u8) {
        let body = json!({ "type": "kv", "options": { "version": version.to_string() } });
        self.must("POST", namespace, &format!("sys/mounts/{mount}"), &body);
    }

    /// Makes a namespace at the top.
    pub fn namespace(&self, name: &str) {
        self.must("POST", "", &format!("sys/namespaces/{name}"), &json!({}));
    }

    /// Writes a policy.
    pub fn policy(&self, namespace: &str, name: &str, rules: &str) {
        self.must("PUT", namespace, &format!("sys/policies/acl/{name}"), &json!({ "policy": rules }));
    }

    /// A token with the given policies and `default`.
    pub fn token(&self, namespace: &str, policies: &[&str], ttl: &str) -> String {
        let body = json!({ "policies": policies, "ttl": ttl });
        let (status, answer) = self.request("POST", namespace, "auth/token/create", &body);
        assert_eq!(status, 200, "{answer}");
        answer["auth"]["client_token"].as_str().expect("a token").to_owned()
    }

    /// Revokes a token.
    pub fn revoke(&self, token: &str) {
        self.must("POST", "", "auth/token/revoke", &json!({ "token": token }));
    }

    /// Makes an `AppRole` method at `mount` with one role; gives role id and secret id.
    pub fn approle(&self, namespace: &str, mount: &str, role: &Value) -> (String, String) {
        self.must("POST", namespace, &format!("sys/auth/{mount}"), &json!({ "type": "approle" }));
        let base = format!("auth/{mount}/role/app");
        self.must("POST", namespace, &base, role);
        let role_id = self.must("GET", namespace, &format!("{base}/role-id"), &Value::Null);
        let secret_id = match role.get("bind_secret_id") {
            Some(Value::Bool(false)) => Value::Null,
            _ => self.must("POST", namespace, &format!("{base}/secret-id"), &json!({})),
        };
        let text = |data: &Value, name: &str| data[name].as_str().unwrap_or_default().to_owned();
        (text(&role_id, "role_id"), text(&secret_id, "secret_id"))
    }

    fn try_start(flags: &[&str], probe: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_ports()?;
        let authority = Authority::new(folder.path(), "ca");
        let tls = authority.issue(folder.path(), "server", &[TLS_NAME]);
        let mutual = authority.issue(folder.path(), "mutual", &["localhost", "127.0.0.1"]);
        let client = authority.issue(folder.path(), "client", &["secrets-sync"]);
        let configuration = configuration(folder.path(), port, &tls, &mutual);
        std::fs::write(folder.path().join("bao.hcl"), configuration).expect("the configuration is written");
        let keeper = launch(folder.path(), port, flags);
        let mut bao = Self { port, folder, authority, client, keeper };
        bao.wait_until_ready(probe).then_some(bao)
    }

    fn wait_until_ready(&mut self, probe: &str) -> bool {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline && matches!(self.keeper.try_wait(), Ok(None)) {
            // The dev server mounts `secret/` last: healthy is not yet ready.
            let answer = exchange(self.port, "GET", probe, &format!("X-Vault-Token: {ROOT}\r\n"), "");
            if answer.is_ok_and(|(status, _)| status == 200) && self.socket().exists() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("{}", std::fs::read_to_string(self.folder.path().join("bao.log")).unwrap_or_default());
        false
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        // Closing the input is what kills the server.
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

fn launch(folder: &Path, port: u16, flags: &[&str]) -> Child {
    let bao = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/bao");
    assert!(bao.exists(), "OpenBao is missing at {}: run\n    make tools", bao.display());
    let log = std::fs::File::create(folder.join("bao.log")).expect("a log file");
    Command::new("sh")
        .args([
            "-c",
            r#""$@" & pid=$!; exec 3<&0; (cat <&3; kill -9 $pid) >/dev/null 2>&1 & wait $pid"#,
            "sh",
        ])
        .arg(bao)
        .args(["server", "-dev", "-dev-no-store-token", "-log-level=warn"])
        .args(flags)
        .arg(format!("-dev-root-token-id={ROOT}"))
        .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
        .arg(format!("-config={}", folder.join("bao.hcl").display()))
        .env("HOME", folder)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("the log file"))
        .stderr(log)
        .spawn()
        .expect("sh starts")
}

fn configuration(folder: &Path, port: u16, tls: &Pair, mutual: &Pair) -> String {
    let listener = |port: u16, pair: &Pair, more: &str| {
        format!(
            "listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n{more}}}\n",
            pair.certificate.display(),
            pair.key.display()
        )
    };
    let (ca, socket) = (folder.join("ca.pem"), folder.join("bao.sock"));
    let demand =
        format!("  tls_require_and_verify_client_cert = true\n  tls_client_ca_file = \"{}\"\n", ca.display());
    let unix = format!("listener \"unix\" {{\n  address = \"{}\"\n}}\n", socket.display());
    // So that a test can ask for the server's own audit log, an independent witness of what it was asked.
    let audit = "unsafe_allow_api_audit_creation = true\nallow_audit_log_prefixing = true\n".to_owned();
    [audit, listener(port + 2, tls, ""), listener(port + 3, mutual, &demand), unix].concat()
}

/// Four ports in a row: HTTP, the dev server's cluster port, TLS, mutual TLS.
pub fn free_ports() -> Option<u16> {
    (0..50).find_map(|_| {
        let first = TcpListener::bind(("127.0.0.1", 0)).ok()?;
        let port = first.local_addr().ok()?.port();
        let next: Vec<u16> = (1..4).map(|n| port.checked_add(n)).collect::<Option<_>>()?;
        next.into_iter().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()).then_some(port)
    })
}

/// One HTTP/1.0 exchange: no keep-alive, no chunks, so that reading to the end is enough.
pub fn exchange(
    port: u16,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length = body.len();
    write!(
        stream,
        "{method} /v1/{path} HTTP/1.0\r\nHost: bao\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("no HTTP answer"))?;
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}
