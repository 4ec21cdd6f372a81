//! The server that all tests share, and the store configurations that lead to it.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::bao::{Bao, ROOT};

/// A dev server with KV version 2 at `secret/`, and `AppRole`.
pub(crate) struct Server {
    bao: &'static Bao,
    address: String,
}

/// The one server of this process.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let bao = Bao::shared();
        bao.must("POST", "", "sys/auth/approle", &json!({ "type": "approle" }));
        Server { bao, address: bao.address().replace("http://", "") }
    })
}

impl Server {
    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Writes a new version of a secret.
    pub(crate) fn put(&self, key: &str, fields: &Value) {
        self.bao.put_v2("", "secret", key, fields);
    }

    /// Deletes the newest version of a secret.
    pub(crate) fn delete(&self, key: &str) {
        self.bao.must("DELETE", "", &format!("secret/data/{key}"), &Value::Null);
    }

    pub(crate) fn destroy(&self, key: &str, version: u64) {
        self.bao.must("POST", "", &format!("secret/destroy/{key}"), &json!({ "versions": [version] }));
    }

    /// What operators write down about a secret.
    pub(crate) fn tag(&self, key: &str, tags: &Value) {
        self.bao.must("POST", "", &format!("secret/metadata/{key}"), &json!({ "custom_metadata": tags }));
    }

    /// What the server answers to a GET.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.bao.must("GET", "", path, &Value::Null)
    }

    /// Makes a KV v1 mount.
    pub(crate) fn mount_v1(&self, mount: &str) {
        self.bao.enable_kv("", mount, 1);
    }

    pub(crate) fn put_v1(&self, mount: &str, key: &str, fields: &Value) {
        self.bao.put_v1("", mount, key, fields);
    }

    pub(crate) fn policy(&self, name: &str, rules: &str) {
        self.bao.policy("", name, rules);
    }

    /// A token with one policy besides the default one.
    pub(crate) fn token(&self, policy: &str) -> String {
        self.bao.token("", &[policy], "1h")
    }

    /// A token that may look at itself and at nothing else.
    pub(crate) fn powerless_token(&self) -> String {
        self.bao.token("", &["default"], "1h")
    }

    /// A token that may read what this path of a policy names.
    pub(crate) fn token_for(&self, name: &str, path: &str) -> String {
        self.bao.policy("", name, &format!(r#"path "{path}" {{ capabilities = ["read"] }}"#));
        self.bao.token("", &[name], "1h")
    }

    /// Makes an `AppRole` method at `mount` whose role may read everything; gives its role id and a wrapped secret id.
    pub(crate) fn wrapped_login(&self, mount: &str) -> (String, String) {
        self.bao.policy("", "read-all", r#"path "secret/*" { capabilities = ["read"] }"#);
        let (role_id, _) = self.bao.approle("", mount, &json!({ "token_policies": ["read-all"] }));
        let path = format!("auth/{mount}/role/app/secret-id");
        let answer = self.bao.wrapped("POST", &path, &json!({}));
        (role_id, answer["wrap_info"]["token"].as_str().unwrap().to_owned())
    }

    /// A root token of a given text.
    pub(crate) fn named_token(&self, name: &str) -> String {
        self.bao.must("POST", "", "auth/token/create", &json!({ "id": name }));
        name.to_owned()
    }
}

/// The store of most tests.
pub(crate) fn store() -> String {
    store_at(server().address())
}

/// The same at another address.
pub(crate) fn store_at(address: &str) -> String {
    store_with(address, &format!("authMethod: token, token: {ROOT}"))
}

/// A store with its own way to log in.
pub(crate) fn store_with(address: &str, settings: &str) -> String {
    format!("secretStore: {{ address: 'http://{address}', mountPath: secret, kvVersion: v2, {settings} }}")
}
