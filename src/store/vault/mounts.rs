//! What a mount is: its KV version, and the id that another mount at the same path does not have. Asked once per mount
//! and namespace; only an answer is remembered.

use std::collections::{BTreeMap, HashMap};
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
pub(super) struct Mounts(Mutex<HashMap<MountPlace, Cell>>);

/// A namespace and a mount in it.
type MountPlace = (Option<String>, String);

/// Filled by the first who asks; the others wait for it.
type Cell = Arc<OnceCell<KvMount>>;

/// What a server says of a mount.
#[derive(Clone)]
pub(super) struct KvMount {
    pub(super) kv: Kv,
    /// Another mount at the same path has another one.
    pub(super) id: Arc<str>,
    /// When the server was asked.
    pub(super) asked: Instant,
}

impl Mounts {
    /// The mount of `source`, asked for no earlier than `since`.
    pub(super) async fn mount(
        &self,
        server: &Server,
        source: &VaultRead,
        token: &Token,
        since: Option<Instant>,
    ) -> Result<KvMount, Fault> {
        let place = (source.namespace.clone(), source.mount.clone());
        loop {
            let cell = Arc::clone(self.known().entry(place.clone()).or_default());
            let mount = cell.get_or_try_init(|| ask(server, source, token)).await?;
            if since.is_none_or(|since| mount.asked >= since) {
                return Ok(mount.clone());
            }
            // What another read has learnt meanwhile stays.
            let mut known = self.known();
            if known.get(&place).is_some_and(|newest| Arc::ptr_eq(newest, &cell)) {
                known.remove(&place);
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<MountPlace, Cell>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A `GET` that vaultrs does not have: `sys/internal/ui/mounts`, or with a path below a mount behind it.
struct MountsRequest(String);

impl Endpoint for MountsRequest {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        format!("sys/internal/ui/mounts{}", self.0)
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }
}

#[derive(Deserialize)]
struct MountEnvelope {
    data: MountFacts,
}

#[derive(Deserialize)]
struct MountFacts {
    /// Absent in the list of all mounts, where it is the key.
    #[serde(default)]
    path: String,
    uuid: Option<String>,
    accessor: Option<String>,
    #[serde(rename = "type")]
    engine: String,
    options: Option<Options>,
}

#[derive(Deserialize)]
struct Options {
    version: Option<String>,
}

async fn ask(server: &Server, source: &VaultRead, token: &Token) -> Result<KvMount, Fault> {
    check_path(&source.mount)?;
    let below = if source.key.is_empty() { String::new() } else { format!("/{}", source.key) };
    if !source.key.is_empty() {
        check_path(&source.key)?;
    }
    let asked = Instant::now();
    let endpoint = MountsRequest(format!("/{}{below}", source.mount));
    let caller = Caller { token: token.text(), namespace: source.namespace.as_deref() };
    let answered = server.call(&endpoint, caller, SecretBytes::default()).await?;
    if answered.response.status == StatusCode::OK {
        let (kv, id) = mount_in(&answered, source)?;
        return Ok(KvMount { kv, id, asked });
    }
    let fault = answer::refused(&answered, token.text().as_slice());
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

/// The KV version and the id of the mount of `source`.
pub(super) fn mount_in(answered: &Answered, source: &VaultRead) -> Result<(Kv, Arc<str>), Fault> {
    // EXPOSE: a mount's description; it holds no value.
    let MountEnvelope { data: mount } = serde_json::from_slice(answered.response.body.expose())
        .map_err(|error| answer::unreadable(answered, &error))?;
    if !mount.is_kv() {
        let engine = answer::quoted(&mount.engine);
        let message = format!("{}: {} is a mount of type {engine}", answered.place, source.mount);
        return Err(Fault::new(Kind::BadRequest, message, "give a KV mount as mountPath"));
    }
    if !is_mount(&mount.path, source) {
        let path = answer::quoted(&mount.path);
        let message = format!("{}: the mount is {path}, mountPath says otherwise", answered.place);
        return Err(Fault::new(Kind::BadRequest, message, "set mountPath to the whole path of the mount"));
    }
    let Some(kv) = mount.kv() else {
        return Err(answer::bad(answered, "the mount has a KV version that is neither 1 nor 2"));
    };
    Ok((kv, mount.uuid.or(mount.accessor).unwrap_or_default().into()))
}

impl MountFacts {
    fn is_kv(&self) -> bool {
        matches!(self.engine.as_str(), "kv" | "generic")
    }

    fn kv(&self) -> Option<Kv> {
        match self.options.as_ref().and_then(|options| options.version.as_deref()) {
            None | Some("" | "1") => Some(Kv::V1),
            Some("2") => Some(Kv::V2),
            Some(_) => None,
        }
    }
}

/// A KV mount that a token may read something of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct VisibleMount {
    pub(super) path: String,
    pub(super) kv: Kv,
}

#[derive(Deserialize)]
struct AllMounts {
    data: SecretMounts,
}

#[derive(Deserialize)]
struct SecretMounts {
    secret: BTreeMap<String, MountFacts>,
}

/// The KV mounts that `token` may read something of.
pub(super) async fn visible(
    server: &Server,
    namespace: Option<&str>,
    token: &Token,
) -> Result<Vec<VisibleMount>, Fault> {
    let caller = Caller { token: token.text(), namespace };
    let answered = server.call(&MountsRequest(String::new()), caller, SecretBytes::default()).await?;
    if answered.response.status != StatusCode::OK {
        return Err(answer::refused(&answered, token.text().as_slice()));
    }
    // EXPOSE: descriptions of mounts; they hold no value.
    let AllMounts { data } = serde_json::from_slice(answered.response.body.expose())
        .map_err(|error| answer::unreadable(&answered, &error))?;
    let visible = |(path, mount): (String, MountFacts)| {
        let kv = mount.kv().filter(|_| mount.is_kv())?;
        Some(VisibleMount { path: without_namespace(&path, namespace).to_owned(), kv })
    };
    Ok(data.secret.into_iter().filter_map(visible).collect())
}

/// Whether the server's path is the configured mount. Some servers put the namespace in front of it.
fn is_mount(path: &str, source: &VaultRead) -> bool {
    path.trim_matches('/') == source.mount
        || without_namespace(path, source.namespace.as_deref()) == source.mount
}

fn without_namespace<'p>(path: &'p str, namespace: Option<&str>) -> &'p str {
    let path = path.trim_matches('/');
    let namespace = namespace.unwrap_or_default().trim_matches('/');
    path.strip_prefix(namespace).and_then(|path| path.strip_prefix('/')).unwrap_or(path)
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
