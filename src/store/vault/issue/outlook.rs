//! What can be said of an issue before there is one: whether the policy allows it and its end, and whether the token lives
//! long enough. Nothing is issued.

use std::collections::HashMap;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::VaultStore;
use super::super::credentials::CredentialSet;
use super::super::dynamic::{self, PathRequest};
use super::super::server::{AcceptedAnswers, Server};
use super::super::{answer, denied};
use super::parse;
use crate::config::duration;
use crate::config::provider::vault::dynamic::{DynamicKind, DynamicMethod, DynamicRead};
use crate::fault::{Fault, Kind};
use crate::secret::SecretBytes;
use crate::store::issuer::{IssueOutlook, IssueWarning};

/// What is done with leases, and what it means where the policy does not allow it.
const LEASES: [(&str, &str); 3] = [
    ("revoke", "the policy does not allow to revoke leases: old credentials live to their end"),
    (
        "renew",
        "the policy does not allow to renew leases: each credential is replaced before its first lease ends",
    ),
    (
        "lookup",
        "the policy does not allow to look up leases: one that was revoked is noticed at its end only",
    ),
];

#[derive(Deserialize)]
struct AnswerData<T> {
    data: T,
}

#[derive(Deserialize)]
struct TokenTerms {
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    explicit_max_ttl: u64,
    #[serde(default)]
    period: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct RoleTerms {
    #[serde(default)]
    max_ttl: u64,
}

impl VaultStore {
    /// What the server says of `read`.
    pub(super) async fn outlook_of(&self, read: &DynamicRead) -> Result<IssueOutlook, Fault> {
        let (set, server) = self.set(read)?.start();
        let asker = IssueAsker { set, server, read };
        let mut outlook = IssueOutlook::default();
        let Some(capabilities) = asker.capabilities().await? else {
            let message = "the policy does not allow to ask what it allows".to_owned();
            let remedy = asker.line("sys/capabilities-self", "update");
            outlook.warnings.push(IssueWarning { message, remedy });
            return Ok(outlook);
        };
        let may = |path: &str, any_of: &[&str]| {
            let granted = capabilities.get(path).map_or(&[][..], Vec::as_slice);
            granted.iter().any(|one| one == "root" || any_of.contains(&one.as_str()))
        };
        let needed: &[&str] =
            if read.method == DynamicMethod::Get { &["read"] } else { &["update", "create"] };
        if !may(&read.path, needed) {
            let message = format!("the policy does not allow to issue at {}", read.path);
            let capability = needed.first().copied().unwrap_or_default();
            outlook.fault = Some(Fault::new(Kind::Denied, message, asker.line(&read.path, capability)));
        }
        for (what, message) in LEASES.iter().filter(|_| read.kind == DynamicKind::Lease) {
            let (path, is_revocation) = (lease_path(what), *what == "revoke");
            if may(&path, &["update"]) || (is_revocation && !read.terms.retires) {
                continue;
            }
            let way_out = if is_revocation { "; or write \"retire: false\"" } else { "" };
            let remedy = format!("{}{way_out}", asker.line(&path, "update"));
            outlook.warnings.push(IssueWarning { message: (*message).to_owned(), remedy });
        }
        outlook.warnings.extend(asker.short_token().await?);
        Ok(outlook)
    }
}

/// Who asks, and for what.
struct IssueAsker<'s> {
    set: &'s CredentialSet,
    server: &'s Server,
    read: &'s DynamicRead,
}

impl IssueAsker<'_> {
    /// What the token may do at the paths that matter; nothing where it may not even ask.
    async fn capabilities(&self) -> Result<Option<HashMap<String, Vec<String>>>, Fault> {
        let leases = LEASES.iter().map(|(what, _)| lease_path(what));
        let paths: Vec<_> = std::iter::once(self.read.path.clone()).chain(leases).collect();
        let body = serde_json::json!({ "paths": paths });
        let namespace = self.read.namespace.as_deref();
        self.ask::<HashMap<String, Vec<String>>>("sys/capabilities-self", Some(body), namespace).await
    }

    /// A warning where the token ends before a credential of the role would.
    async fn short_token(&self) -> Result<Option<IssueWarning>, Fault> {
        let Some(role_path) = role_of(self.read) else { return Ok(None) };
        let home = self.server.namespace();
        let Some(token) = self.ask::<TokenTerms>("auth/token/lookup-self", None, home).await? else {
            return Ok(None);
        };
        let Some(most) = longest(&token) else { return Ok(None) };
        let namespace = self.read.namespace.as_deref();
        let role = self.ask::<RoleTerms>(&role_path, None, namespace).await?;
        let life = role.map(|role| Duration::from_secs(role.max_ttl)).unwrap_or_default();
        Ok((life > most).then(|| {
            let [life, most] = [life, most].map(duration::format);
            let message = format!(
                "the token lives {most} at the most, and credentials of {role_path} would live {life}: they end with the token"
            );
            let remedy = "give the role of the login a period (token_period)".to_owned();
            IssueWarning { message, remedy }
        }))
    }

    /// `data` of the answer at `path`; nothing where the policy does not allow it or nothing is there.
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<serde_json::Value>,
        namespace: Option<&str>,
    ) -> Result<Option<T>, Fault> {
        let request = PathRequest {
            path: path.to_owned(),
            is_post: body.is_some(),
            query: None,
            body: SecretBytes::new(body.map(|body| body.to_string()).unwrap_or_default().into_bytes()),
            namespace: namespace.map(str::to_owned),
            answers: AcceptedAnswers::Fresh,
            hidden: Vec::new(),
        };
        let asked = dynamic::ask(self.set, self.server, &request).await;
        let (answered, token) = asked.map_err(|unanswered| unanswered.fault)?;
        match answered.response.status {
            StatusCode::OK => parse::<AnswerData<T>>(&answered).map(|answer| Some(answer.data)),
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(None),
            _ => Err(answer::refused(&answered, token.text().as_slice())),
        }
    }

    fn line(&self, path: &str, capability: &str) -> String {
        denied::policy_line(path, self.read.namespace.as_deref(), self.server.namespace(), capability)
    }
}

fn lease_path(what: &str) -> String {
    format!("sys/leases/{what}")
}

/// How long a token lives at the most; nothing where nobody says it, or where it does not end.
fn longest(token: &TokenTerms) -> Option<Duration> {
    let TokenTerms { ttl, explicit_max_ttl, period, renewable } = *token;
    match (period, explicit_max_ttl, renewable) {
        (0, 0, false) => (ttl > 0).then(|| Duration::from_secs(ttl)),
        (0, most, _) if most > 0 => Some(Duration::from_secs(most)),
        _ => None,
    }
}

/// Where the role of a lease is described, in engines that have one.
fn role_of(read: &DynamicRead) -> Option<String> {
    let (mount, role) = read.path.split_once("/creds/")?;
    (read.kind == DynamicKind::Lease).then(|| format!("{mount}/roles/{role}"))
}
