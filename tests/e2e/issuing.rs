//! A real `OpenBao` that issues logins of a real database, and a daemon that publishes them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::daemon::{Process, Sandbox};
use crate::databases::{Database, Kind};
use crate::raft::Raft;

/// What the daemon may do: the path, and revoking what it has issued.
pub(crate) const POLICY: &str = r#"
path "database/*" { capabilities = ["read"] }
path "rabbitmq/*" { capabilities = ["read"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"#;

/// A server, a database whose logins it issues, and a daemon's folder.
pub(crate) struct World {
    pub(crate) bao: Raft,
    pub(crate) mount: &'static str,
    pub(crate) database: Arc<Database>,
    pub(crate) sandbox: Arc<Sandbox>,
}

impl World {
    /// The tokens of the daemon's login are as `role` says.
    pub(crate) fn new(kind: Kind, policy: &str, role: &Value) -> Self {
        let (bao, database) = (Raft::start(), Arc::new(Database::start(kind)));
        let sandbox = Arc::new(Sandbox::new(""));
        let mount = if kind == Kind::Rabbit { "rabbitmq" } else { "database" };
        database.connect(mount, &|method, path, body| drop(bao.call(method, path, body)));
        bao.call("POST", "sys/policies/acl/app", &json!({ "policy": policy }));
        bao.call("POST", "sys/auth/approle", &json!({ "type": "approle" }));
        bao.call("POST", "auth/approle/role/app", role);
        let role_id = bao.call("GET", "auth/approle/role/app/role-id", &Value::Null);
        let secret_id = bao.call("POST", "auth/approle/role/app/secret-id", &json!({}));
        sandbox.write("role-id", role_id["data"]["role_id"].as_str().unwrap());
        sandbox.write("secret-id", secret_id["data"]["secret_id"].as_str().unwrap());
        sandbox.write("state-key", [7; 32]);
        Self { bao, mount, database, sandbox }
    }

    pub(crate) fn role(&self, name: &str, ttl: &str, max: &str) {
        self.database
            .role(self.mount, name, ttl, max, &|method, path, body| drop(self.bao.call(method, path, body)));
    }

    /// The configuration: the store, and what follows it.
    pub(crate) fn configure(&self, rest: &str) {
        let store = format!(
            "secretStore:\n  provider: vault\n  address: http://{}\n  authMethod: approle\n  roleIdFile: ./role-id\n  secretIdFile: ./secret-id\n",
            self.bao.address()
        );
        self.sandbox.write("config.yaml", store + rest);
    }

    /// A daemon that remembers in `state`; with the key to keep values, too.
    pub(crate) fn daemon(&self, has_key: bool) -> Process {
        let mut command = self.sandbox.command(&["run"]);
        command.env("STATE_DIR", self.sandbox.path("state"));
        if has_key {
            command.env("STATE_KEY_FILE", self.sandbox.path("state-key"));
        }
        Process::start(command)
    }

    /// The published login.
    pub(crate) fn login(&self, file: &str) -> Option<Login> {
        login(&self.sandbox, file)
    }

    pub(crate) fn serves(&self, file: &str) -> bool {
        self.login(file).is_some_and(|login| login.serves(&self.database))
    }

    /// Leases of the mount.
    pub(crate) fn leases(&self, role: &str) -> usize {
        let path = format!("sys/leases/lookup/{}/creds/{role}", self.mount);
        let (_, answer) = self.bao.ask("LIST", &path, &Value::Null);
        answer["data"]["keys"].as_array().map_or(0, Vec::len)
    }
}

/// User and password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Login(pub(crate) String, pub(crate) String);

impl Login {
    pub(crate) fn serves(&self, database: &Database) -> bool {
        database.serves(&self.0, &self.1)
    }
}

pub(crate) fn login(sandbox: &Sandbox, file: &str) -> Option<Login> {
    let login: Value = serde_json::from_str(&sandbox.read(file)).ok()?;
    let text = |name: &str| login[name].as_str().map(str::to_owned);
    Some(Login(text("username")?, text("password")?))
}

/// As `wait_until`, for what takes longer.
#[track_caller]
pub(crate) fn within(seconds: u64, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// One secret with the login of `role`, and what its `lease` says.
pub(crate) fn secret(path: &str, lease: &str, rest: &str) -> String {
    format!(
        "- name: {role}\n  vaultDynamic: {{ path: {path}, lease: {{ {lease} }} }}\n  \
         files: [{{ path: out/{role}.json, format: json }}]\n{rest}",
        role = path.rsplit('/').next().unwrap()
    )
}

/// Short times, so that a test sees several lives.
pub(crate) const SHORT: &str = "minInterval: 1s, grace: 2s, confirmTimeout: 2s";

/// How long a test runs that proves more the longer it takes: `E2E_SECONDS` says so for a run by hand.
pub(crate) fn lasting(seconds: u32) -> Duration {
    let wanted = std::env::var("E2E_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(u64::from(wanted.unwrap_or(seconds)))
}
