//! Scripted answers about tokens, and stores that ask for them.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::path::Path;
use std::time::{Duration, Instant};

use crate::fake::{Fake, Reply, Seen};
use crate::vault::{approle, build, source, spec, value};
use secrets_sync::config::provider::vault::{AuthSpec, Credential, VaultRead};
use secrets_sync::store::vault::VaultStore;

pub(crate) const FORBIDDEN: &str = r#"{"errors":["permission denied"]}"#;

pub(crate) fn app() -> VaultRead {
    source("secret", "app")
}

pub(crate) fn login(token: &str, seconds: u64, renewable: bool) -> Reply {
    let auth = format!(r#"{{"client_token":"{token}","lease_duration":{seconds},"renewable":{renewable}}}"#);
    Reply::json(200, &format!(r#"{{"auth":{auth}}}"#))
}

pub(crate) fn with_role(fake: &Fake) -> VaultStore {
    build(&spec(&fake.address(), approle("approle", "role", "id"))).unwrap()
}

pub(crate) fn with_file(fake: &Fake, file: &Path) -> VaultStore {
    build(&spec(&fake.address(), AuthSpec::Token { token: Credential::File(file.to_owned()) })).unwrap()
}

pub(crate) fn count(fake: &Fake, end: &str) -> usize {
    fake.targets().iter().filter(|target| target.ends_with(end)).count()
}

pub(crate) fn token_of(seen: &Seen) -> &str {
    seen.headers.get("x-vault-token").map_or("", String::as_str)
}

pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An `AppRole` login whose secret id is in `file`.
pub(crate) fn with_secret_id(fake: &Fake, file: &Path) -> VaultStore {
    let auth = AuthSpec::AppRole {
        mount: "approle".into(),
        role_id: value("role"),
        secret_id: Some(Credential::File(file.to_owned())),
        is_wrapped: false,
    };
    build(&spec(&fake.address(), auth)).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test writes its own files")]
pub(crate) fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}
