//! `kvVersion: auto`: which version a mount has. Asked once per mount and namespace; only an answer is remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::answer;
use super::auth::Token;
use super::kv::Kv;
use super::server::{Answered, Caller, Server, check_path};
use crate::config::provider::vault::VaultRead;
use crate::fault::{Fault, Kind};
use crate::secret::SecretBytes;

/// What is known of the mounts.
#[derive(Default)]
pub(super) struct Mounts(Mutex<HashMap<Place, Cell>>);

/// A namespace and a mount in it.
type Place = (Option<String>, String);

/// Filled by whoever asks first; the others wait for it.
type Cell = Arc<OnceCell<(Kv, Instant)>>;

/// The version of a mount, and where it is remembered.
pub(super) struct Known {
    pub(super) kv: Kv,
    /// This call asked the server: nothing newer can be known.
    pub(super) asked_now: bool,
    /// When the server was asked.
    pub(super) at: Instant,
    cell: Cell,
}

impl Mounts {
    /// The version of the mount of `source`.
    pub(super) async fn version(
        &self,
        server: &Server,
        source: &VaultRead,
        token: &Token,
    ) -> Result<Known, Fault> {
        let cell = Arc::clone(self.known().entry(place(source)).or_default());
        let mut asked_now = false;
        let ask = async || {
            asked_now = true;
            let at = Instant::now();
            Ok::<_, Fault>((ask(server, source, token).await?, at))
        };
        let (kv, at) = *cell.get_or_try_init(ask).await?;
        Ok(Known { kv, asked_now, at, cell })
    }

    /// Forgets what an answer contradicted; what somebody else has learnt since stays.
    pub(super) fn forget(&self, source: &VaultRead, wrong: &Known) {
        let mut known = self.known();
        let place = place(source);
        if known.get(&place).is_some_and(|cell| Arc::ptr_eq(cell, &wrong.cell)) {
            known.remove(&place);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Place, Cell>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(source: &VaultRead) -> Place {
    (source.namespace.clone(), source.mount.clone())
}

/// `GET sys/internal/ui/mounts/<mount>/<key>`, which vaultrs does not have.
struct MountOfPath<'a> {
    mount: &'a str,
    key: &'a str,
}

impl Endpoint for MountOfPath<'_> {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        format!("sys/internal/ui/mounts/{}/{}", self.mount, self.key)
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }
}

#[derive(Deserialize)]
struct Envelope {
    data: Mount,
}

#[derive(Deserialize)]
struct Mount {
    path: String,
    #[serde(rename = "type")]
    engine: String,
    options: Option<Options>,
}

#[derive(Deserialize)]
struct Options {
    version: Option<String>,
}

async fn ask(server: &Server, source: &VaultRead, token: &Token) -> Result<Kv, Fault> {
    check_path(&source.mount)?;
    check_path(&source.key)?;
    let endpoint = MountOfPath { mount: &source.mount, key: &source.key };
    let caller = Caller { token: token.text(), namespace: source.namespace.as_deref() };
    let answered = server.call(&endpoint, caller, SecretBytes::default()).await?;
    if answered.response.status == StatusCode::OK {
        return version_in(&answered, source);
    }
    let fault = answer::refused(&answered, token.text().as_slice(), &server.clock);
    let remedy = match (answered.response.status, fault.kind) {
        // Also the answer for a mount that does not exist.
        (_, Kind::Denied) => format!(
            "set kvVersion: v1 or v2; or check mountPath, and allow reading of some path below {}/",
            source.mount
        ),
        (StatusCode::NOT_FOUND, Kind::BadRequest) => {
            "set kvVersion: v1 or v2: this server does not tell it".to_owned()
        }
        _ => return Err(fault),
    };
    Err(Fault { remedy, ..fault })
}

pub(super) fn version_in(answered: &Answered, source: &VaultRead) -> Result<Kv, Fault> {
    // EXPOSE: a mount's description; it holds no value.
    let Envelope { data: mount } = serde_json::from_slice(answered.response.body.expose())
        .map_err(|error| answer::unreadable(answered, &error))?;
    if !matches!(mount.engine.as_str(), "kv" | "generic") {
        let engine = answer::quoted(&mount.engine);
        let message = format!("{}: {} is a mount of type {engine}", answered.place, source.mount);
        return Err(Fault::new(Kind::BadRequest, message, "give a KV mount as mountPath"));
    }
    if !is_mount(&mount.path, source) {
        let path = answer::quoted(&mount.path);
        let message = format!("{}: the mount is {path}, mountPath says otherwise", answered.place);
        return Err(Fault::new(Kind::BadRequest, message, "set mountPath to the whole path of the mount"));
    }
    match mount.options.and_then(|options| options.version).as_deref() {
        None | Some("" | "1") => Ok(Kv::V1),
        Some("2") => Ok(Kv::V2),
        Some(_) => Err(answer::bad(answered, "the mount has a KV version that is neither 1 nor 2")),
    }
}

/// Whether the server's path is the configured mount. Some servers put the namespace in front of it.
fn is_mount(path: &str, source: &VaultRead) -> bool {
    let path = path.trim_matches('/');
    let in_namespace = source
        .namespace
        .as_deref()
        .and_then(|namespace| path.strip_prefix(namespace.trim_matches('/'))?.strip_prefix('/'));
    path == source.mount || in_namespace == Some(source.mount.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::vault_read;

    fn source(namespace: Option<&str>, mount: &str) -> VaultRead {
        VaultRead { namespace: namespace.map(str::to_owned), ..vault_read(mount, "k") }
    }

    #[test]
    fn a_mount_is_known_with_and_without_its_namespace() {
        let table = [
            ("secret/", None, "secret", true),
            ("team/kv/", None, "team/kv", true),
            ("team/kv/", None, "team", false),
            ("team-a/kv/", Some("team-a"), "kv", true),
            ("team-a/kv/", Some("team-a/"), "kv", true),
            ("kv/", Some("team-a"), "kv", true),
            ("kv/kv/", Some("kv"), "kv", true),
            ("team-akv/", Some("team-a"), "kv", false),
        ];
        for (path, namespace, mount, is) in table {
            assert_eq!(is_mount(path, &source(namespace, mount)), is, "{path} {namespace:?} {mount}");
        }
    }
}
