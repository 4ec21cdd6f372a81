//! What lies below a folder of a KV mount, and what operators have written down about a secret there.

use std::collections::BTreeMap;

use http::StatusCode;
use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use serde::Deserialize;
use tokio::time::Instant;

use super::auth::Token;
use super::kv::{self, Kv};
use super::server::{Answered, Caller, Server, check_path};
use super::token_state::DeniedRead;
use super::{VaultStore, answer, denied};
use crate::config::provider::vault::{KvVersion, VaultRead};
use crate::fault::{Fault, Kind};
use crate::secret::SecretBytes;

/// A `GET` below a KV mount, of the names there or of the metadata of one secret. vaultrs lists with a method of Vault's
/// own, which a connection that the server has closed does not repeat.
struct MetadataRequest {
    path: String,
    lists: bool,
}

impl Endpoint for MetadataRequest {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn query(&self) -> Result<Option<String>, rustify::errors::ClientError> {
        Ok(self.lists.then(|| "list=true".to_owned()))
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }
}

#[derive(Deserialize)]
struct ListEnvelope {
    data: Listed,
}

#[derive(Deserialize)]
struct Listed {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct MetadataEnvelope {
    data: OwnMetadata,
}

#[derive(Deserialize)]
struct OwnMetadata {
    custom_metadata: Option<BTreeMap<String, String>>,
}

impl VaultStore {
    /// The names directly below `folder`.
    pub(super) async fn names_below(&self, folder: &VaultRead) -> Result<Vec<String>, Fault> {
        let (set, server) = self.credentials(folder)?.start();
        let (token, begun) = (set.token(server).await?, Instant::now());
        let denied = match self.names(server, folder, &token).await {
            Err(fault) if fault.kind == Kind::Denied => fault,
            outcome => return outcome,
        };
        match set.judge_denied(server, &token, folder, begun).await? {
            DeniedRead::ByPolicy => Err(not_allowed(server, folder, "/*", "list", denied)),
            DeniedRead::TokenReplaced(token) => self.names(server, folder, &token).await,
        }
    }

    /// The custom metadata of `secret`.
    pub(super) async fn tags_of(&self, secret: &VaultRead) -> Result<BTreeMap<String, String>, Fault> {
        let (set, server) = self.credentials(secret)?.start();
        let (token, begun) = (set.token(server).await?, Instant::now());
        let denied = match self.custom_metadata(server, secret, &token).await {
            Err(fault) if fault.kind == Kind::Denied => fault,
            outcome => return outcome,
        };
        match set.judge_denied(server, &token, secret, begun).await? {
            DeniedRead::ByPolicy => Err(not_allowed(server, secret, "", "read", denied)),
            DeniedRead::TokenReplaced(token) => self.custom_metadata(server, secret, &token).await,
        }
    }

    async fn names(&self, server: &Server, folder: &VaultRead, token: &Token) -> Result<Vec<String>, Fault> {
        let (begun, kv) = (Instant::now(), self.kv(server, folder, token).await?);
        if let Some(names) = names(kv, server, folder, token).await? {
            return Ok(names);
        }
        // To a path of KV v2 a mount of v1 answers as if there were nothing.
        match self.mounts.mount(server, folder, token, Some(begun)).await {
            Ok(mount) if mount.kv != kv => Err(kv::wrong_version(mount.kv, folder)),
            _ => Ok(Vec::new()),
        }
    }

    async fn custom_metadata(
        &self,
        server: &Server,
        secret: &VaultRead,
        token: &Token,
    ) -> Result<BTreeMap<String, String>, Fault> {
        custom_metadata(self.kv(server, secret, token).await?, server, secret, token).await
    }

    async fn kv(&self, server: &Server, read: &VaultRead, token: &Token) -> Result<Kv, Fault> {
        match read.kv_version {
            KvVersion::V1 => Ok(Kv::V1),
            KvVersion::V2 => Ok(Kv::V2),
            KvVersion::Auto => Ok(self.mounts.mount(server, read, token, None).await?.kv),
        }
    }
}

/// `denied`, with the line of the policy that is missing.
fn not_allowed(server: &Server, read: &VaultRead, below: &str, capability: &str, denied: Fault) -> Fault {
    let kv = if read.kv_version == KvVersion::V1 { Kv::V1 } else { Kv::V2 };
    let path = format!("{}{below}", path(kv, read));
    let line = denied::policy_line(&path, read.namespace.as_deref(), server.namespace(), capability);
    Fault { remedy: format!("check mountPath and find.path; if they are right, {line}"), ..denied }
}

/// The names directly below `folder`; `None` where the server has no such folder.
async fn names(
    kv: Kv,
    server: &Server,
    folder: &VaultRead,
    token: &Token,
) -> Result<Option<Vec<String>>, Fault> {
    let answered = ask(kv, server, folder, token, true).await?;
    match answered.response.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND if is_nothing(&answered) => return Ok(None),
        _ => return Err(answer::refused(&answered, token.text().as_slice())),
    }
    // EXPOSE: names of secrets; the answer holds no value.
    let ListEnvelope { data } = serde_json::from_slice(answered.response.body.expose())
        .map_err(|error| answer::unreadable(&answered, &error))?;
    // A name that cannot be a part of a path would arrive as another one.
    let is_one = |name: &String| check_path(name.strip_suffix('/').unwrap_or(name)).is_ok();
    Ok(Some(data.keys.into_iter().filter(is_one).collect()))
}

/// The custom metadata of `secret`.
async fn custom_metadata(
    kv: Kv,
    server: &Server,
    secret: &VaultRead,
    token: &Token,
) -> Result<BTreeMap<String, String>, Fault> {
    if kv == Kv::V1 {
        let message = format!("{} is a KV v1 mount, which keeps no custom metadata", secret.mount);
        return Err(Fault::new(Kind::WrongForm, message, "find by name, or upgrade the mount to KV v2"));
    }
    let answered = ask(kv, server, secret, token, false).await?;
    match answered.response.status {
        StatusCode::OK => {}
        // It was there a moment ago, in the list.
        StatusCode::NOT_FOUND if is_nothing(&answered) => return Ok(BTreeMap::new()),
        _ => return Err(answer::refused(&answered, token.text().as_slice())),
    }
    // EXPOSE: metadata; the answer holds no value.
    let MetadataEnvelope { data } = serde_json::from_slice(answered.response.body.expose())
        .map_err(|error| answer::unreadable(&answered, &error))?;
    Ok(data.custom_metadata.unwrap_or_default())
}

async fn ask(
    kv: Kv,
    server: &Server,
    read: &VaultRead,
    token: &Token,
    lists: bool,
) -> Result<Answered, Fault> {
    check_path(&read.mount)?;
    if !read.key.is_empty() {
        check_path(&read.key)?;
    }
    let endpoint = MetadataRequest { path: path(kv, read), lists };
    let caller = Caller { token: token.text(), namespace: read.namespace.as_deref() };
    server.call(&endpoint, caller, SecretBytes::default()).await
}

/// An error answer without an error: there is nothing at that path.
fn is_nothing(answered: &Answered) -> bool {
    answer::said(&answered.response, &[]).is_some_and(|said| said.is_empty())
}

/// Where the server keeps names and metadata.
fn path(kv: Kv, read: &VaultRead) -> String {
    let between = if kv == Kv::V2 { "/metadata" } else { "" };
    let slash = if read.key.is_empty() { "" } else { "/" };
    format!("{}{between}{slash}{}", read.mount, read.key)
}
