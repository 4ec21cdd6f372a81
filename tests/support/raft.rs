//! A real `OpenBao` with raft storage and a key share of its own: it can be killed and started again, sealed and
//! unsealed, and it remembers. Its TLS certificate can be replaced while it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::bao::{exchange, free_ports};
use super::certs::Authority;

/// A root token that every storage here has.
pub(crate) const STEADY: &str = "steady";

/// One node. Dropping it kills it.
pub(crate) struct Raft {
    folder: TempDir,
    port: u16,
    authority: Authority,
    process: Option<Child>,
    unseal_key: String,
    root: String,
}

impl Raft {
    /// A node that is initialised and unsealed, with KV version 2 at `secret/`.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_ports().unwrap();
        let authority = Authority::new(folder.path(), "ca");
        let mut raft =
            Self { folder, port, authority, process: None, unseal_key: String::new(), root: String::new() };
        raft.new_certificate();
        fs::write(raft.path("bao.hcl"), raft.configuration()).unwrap();
        raft.start_empty();
        raft
    }

    /// Starts it with empty storage, as [`Raft::start`] leaves it.
    fn start_empty(&mut self) {
        fs::create_dir(self.path("raft")).unwrap();
        self.launch();
        let keys = self.call("PUT", "sys/init", &json!({ "secret_shares": 1, "secret_threshold": 1 }));
        self.unseal_key = keys["keys"][0].as_str().unwrap().into();
        self.root = keys["root_token"].as_str().unwrap().into();
        self.unseal();
        self.call("POST", "sys/mounts/secret", &json!({ "type": "kv", "options": { "version": "2" } }));
        // One that is the same after the storage was lost.
        self.call("POST", "auth/token/create", &json!({ "id": STEADY, "policies": ["root"] }));
    }

    /// Kills it and starts it with empty storage.
    pub(crate) fn lose_storage(&mut self) {
        self.kill();
        fs::remove_dir_all(self.path("raft")).unwrap();
        self.start_empty();
    }

    /// Copies its storage while it does not run.
    pub(crate) fn back_up(&mut self) {
        self.kill();
        copy_folder(&self.path("raft"), &self.path("backup"));
        self.launch();
        self.unseal();
    }

    /// Starts it again with the storage of the backup.
    pub(crate) fn restore(&mut self) {
        self.kill();
        fs::remove_dir_all(self.path("raft")).unwrap();
        copy_folder(&self.path("backup"), &self.path("raft"));
        self.launch();
        self.unseal();
    }

    /// `host:port` of plain HTTP.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` of TLS; the certificate is for `localhost`.
    pub(crate) fn tls_address(&self) -> String {
        format!("localhost:{}", self.port + 2)
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The CA that signed the first certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.authority.certificate.clone()
    }

    /// SIGKILL, as a machine that loses its power.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Starts it again; it is sealed.
    pub(crate) fn launch(&mut self) {
        let bao = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/bao");
        assert!(bao.exists(), "OpenBao is missing at {}: run\n    make tools", bao.display());
        let log = fs::File::create(self.path("bao.log")).unwrap();
        let mut command = Command::new(bao);
        command.arg("server").arg(format!("-config={}", self.path("bao.hcl").display()));
        command.env("HOME", self.folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        self.wait_until("it answers", || self.health().is_some());
    }

    pub(crate) fn seal(&self) {
        self.call("PUT", "sys/seal", &Value::Null);
    }

    /// Unseals it and waits until it is the active node.
    pub(crate) fn unseal(&self) {
        self.call("PUT", "sys/unseal", &json!({ "key": self.unseal_key }));
        self.wait_until("it is active", || self.health() == Some(200));
    }

    /// Replaces the TLS certificate by one of the CA that [`Raft::ca`] is.
    pub(crate) fn new_certificate(&self) {
        self.authority.issue(self.folder.path(), "server", &["localhost"]);
        self.reread();
    }

    /// Replaces the TLS certificate by one of another CA, whose certificate it returns.
    pub(crate) fn foreign_certificate(&self) -> PathBuf {
        let other = Authority::new(self.folder.path(), "other");
        other.issue(self.folder.path(), "server", &["localhost"]);
        self.reread();
        other.certificate
    }

    /// Writes a version of a secret, as soon as the mount takes it.
    pub(crate) fn put(&self, key: &str, fields: &Value) {
        let (path, body) = (format!("secret/data/{key}"), json!({ "data": fields }));
        self.wait_until("the secret is written", || self.ask("POST", &path, &body).0 == 200);
    }

    /// A request that must succeed; gives the body.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// A request; gives status and body, and 0 where there is no answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let headers = format!("X-Vault-Token: {}\r\n", self.root);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        exchange(self.port, method, path, &headers, &body).unwrap_or((0, Value::Null))
    }

    fn health(&self) -> Option<u16> {
        exchange(self.port, "GET", "sys/health", "", "").ok().map(|(status, _)| status)
    }

    /// SIGHUP: the listener reads its certificate again.
    fn reread(&self) {
        if let Some(process) = &self.process {
            kill(Pid::from_raw(process.id().try_into().unwrap()), Signal::SIGHUP).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self) -> String {
        let (folder, port) = (self.folder.path().display(), self.port);
        format!(
            r#"disable_mlock = true
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster}"
storage "raft" {{
  path = "{folder}/raft"
  node_id = "one"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster}"
  tls_disable = true
}}
listener "tcp" {{
  address = "127.0.0.1:{tls}"
  tls_cert_file = "{folder}/server.pem"
  tls_key_file = "{folder}/server.key"
}}
"#,
            cluster = port + 1,
            tls = port + 2
        )
    }

    #[track_caller]
    fn wait_until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition() {
            let log = fs::read_to_string(self.path("bao.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "waited in vain until {what}:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

impl Drop for Raft {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}
