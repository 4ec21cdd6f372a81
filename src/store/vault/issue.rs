//! What makes something at the server: credentials and their leases.

mod certificate;
pub(super) mod openssh;
mod outlook;
mod ssh;

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use http::StatusCode;
use http::header::AGE;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::Duration;
use vaultrs::api::token::requests::RevokeTokenSelfRequest;

use super::auth::Token;
use super::dynamic::{self, LONGEST_LIFE, PathEnvelope, PathRequest};
use super::lease::TokenSource;
use super::server::{AcceptedAnswers, Answered, Unanswered};
use super::{VaultStore, answer, denied};
use crate::certificate::SKEW;
use crate::config::provider::vault::dynamic::{DynamicKind, DynamicRead};
use crate::fault::{Fault, Kind};
use crate::net::Response;
use crate::secret::{FieldValue, Fields, SecretBytes, SecretText};
use crate::store::issuer::{
    IssueError, IssueOutlook, Issued, Issuer, LeaseId, LeaseVerdict, RenewalError, Renewed, Revoked,
    TokenLife, TokenMemory,
};

/// No credential is larger.
const LARGEST: usize = 256 << 10;

/// What makes an answer a credential of its kind.
struct Examined {
    fields: Fields,
    /// How long it lives by its own dates.
    life: Option<Duration>,
    serial: Option<String>,
}

#[async_trait]
impl Issuer for VaultStore {
    async fn prepare(&self, read: &DynamicRead) -> Result<(), Fault> {
        let (set, server) = self.set(read)?.start();
        set.token(server).await?;
        server.refuse_while_open()
    }

    async fn issue(&self, read: &DynamicRead) -> Result<Issued, IssueError> {
        let (set, server) = self.set(read)?.start();
        let request = dynamic::prepared(read, AcceptedAnswers::Fresh, &self.parameters).await?;
        let (answered, token) = dynamic::ask(set, server, &request).await.map_err(IssueError::from)?;
        if !answered.response.status.is_success() {
            let fault = dynamic::refusal(server, read, &request, &answered, &token);
            return Err(refused(fault));
        }
        if is_from_cache(&answered.response) {
            return Err(IssueError::NotIssued(cached(&answered)));
        }
        let (size, place, life) = (answered.response.body.len(), answered.place.clone(), set.life_of(&token));
        let (kind, question) = (read.kind, request.body.clone());
        let judge = move |answered: Answered| (issued(kind, &question, &answered, life), answered);
        let judged = server.parse(size, &place, answered, judge).await;
        let ((lease, issued), answered) = judged.map_err(IssueError::Unknown)?;
        if lease.as_ref().is_some_and(|lease| !is_of_path(lease, &read.path)) {
            // It is not ours to revoke.
            return Err(IssueError::Unknown(foreign(&answered)));
        }
        match issued {
            Ok(mut issued) => {
                if let Some(memory) = set.memory.get() {
                    memory.keep(&token).await;
                }
                if read.kind == DynamicKind::Lease && issued.life.is_none() {
                    issued.life = self.life_of(read, issued.lease.as_ref()).await;
                }
                Ok(issued)
            }
            Err(fault) => Err(IssueError::Unknown(self.retired(read, lease, fault).await)),
        }
    }

    async fn renew(
        &self,
        read: &DynamicRead,
        lease: &LeaseId,
        increment: Duration,
    ) -> Result<Renewed, RenewalError> {
        #[derive(Deserialize)]
        struct RenewalAnswer {
            lease_id: String,
            lease_duration: f64,
            #[serde(default)]
            renewable: bool,
        }
        let body = serde_json::json!({ "lease_id": lease.as_str(), "increment": increment.as_secs() });
        let (answered, token) = match self.of_lease(read, "renew", &body).await {
            // A look-up will say what that means for the lease.
            Err(Unanswered { fault, .. }) if self.has_lost_token(read, &fault) => {
                return Err(RenewalError::Refused(fault));
            }
            asked => asked?,
        };
        if answered.response.status != StatusCode::OK {
            let fault = answer::refused(&answered, token.text().as_slice());
            return Err(match fault.kind {
                Kind::Denied => {
                    let remedy = self.lease_remedy(read, "renew");
                    RenewalError::Denied(Fault { remedy, ..fault })
                }
                Kind::BadRequest => RenewalError::Refused(fault),
                _ => RenewalError::Unavailable(fault),
            });
        }
        let renewal: RenewalAnswer = parse(&answered)?;
        if renewal.lease_id != lease.as_str() {
            return Err(other_lease(&answered).into());
        }
        let Some(life) = dynamic::life_in(renewal.lease_duration) else {
            // Whether it is dead, only a look-up says.
            return Err(RenewalError::Refused(answer::bad(&answered, "the renewal gives the lease no time")));
        };
        Ok(Renewed { life, is_renewable: renewal.renewable })
    }

    async fn look_up(&self, read: &DynamicRead, lease: &LeaseId) -> Result<LeaseVerdict, Fault> {
        #[derive(Deserialize)]
        struct LeaseAnswer {
            data: LeaseData,
        }
        #[derive(Deserialize)]
        struct LeaseData {
            id: String,
            ttl: f64,
        }
        let body = serde_json::json!({ "lease_id": lease.as_str() });
        let (answered, token) = match self.of_lease(read, "lookup", &body).await {
            // Its leases are revoked with a token.
            Err(Unanswered { fault, .. }) if self.has_lost_token(read, &fault) => {
                return Ok(LeaseVerdict::Gone);
            }
            asked => asked.map_err(|unanswered| unanswered.fault)?,
        };
        if answered.response.status != StatusCode::OK {
            let fault = answer::refused(&answered, token.text().as_slice());
            return match fault.kind {
                Kind::Denied => Ok(LeaseVerdict::Denied),
                Kind::BadRequest if is_unknown_lease(&answered) => Ok(LeaseVerdict::Gone),
                _ => Err(fault),
            };
        }
        let LeaseAnswer { data } = parse(&answered)?;
        if data.id != lease.as_str() {
            return Err(other_lease(&answered));
        }
        let left = Duration::try_from_secs_f64(data.ttl.max(0.0)).unwrap_or(Duration::MAX);
        Ok(LeaseVerdict::Living(left))
    }

    async fn revoke(&self, read: &DynamicRead, lease: &LeaseId) -> Result<Revoked, Fault> {
        let body = serde_json::json!({ "lease_id": lease.as_str(), "sync": true });
        let asked = self.of_lease(read, "revoke", &body).await;
        let (answered, token) = asked.map_err(|unanswered| unanswered.fault)?;
        if is_obeyed(&answered.response) {
            return Ok(Revoked::Done);
        }
        if answered.response.status.is_success() {
            return Err(unproven(&answered));
        }
        let fault = answer::refused(&answered, token.text().as_slice());
        match (fault.kind, answered.response.status) {
            (Kind::Denied, _) => Ok(Revoked::Denied),
            (Kind::BadRequest, StatusCode::NOT_FOUND) => Ok(Revoked::Done),
            (Kind::BadRequest, _) if is_unknown_lease(&answered) => Ok(Revoked::Done),
            (Kind::BadRequest, _) => {
                let remedy = "it is tried again until its end. If the message is the backend's (a role that owns objects cannot be \
                              dropped), see docs/dynamic-secrets.md";
                Err(Fault { remedy: remedy.to_owned(), ..fault })
            }
            _ => Err(fault),
        }
    }

    async fn revoke_token(&self, read: &DynamicRead) -> Result<(), Fault> {
        let (set, server) = self.set(read)?.start();
        let Some(token) = set.current().filter(|token| token.source() == TokenSource::Login) else {
            return Ok(());
        };
        let caller = server.login_caller(token.text());
        let answered = server.call(&RevokeTokenSelfRequest {}, caller, SecretBytes::default()).await?;
        if !is_obeyed(&answered.response) {
            if answered.response.status.is_success() {
                return Err(unproven(&answered));
            }
            let fault = answer::refused(&answered, token.text().as_slice());
            // A token that is denied this is none any more: every policy allows it by way of `default`.
            if fault.kind != Kind::Denied {
                return Err(fault);
            }
        }
        set.drop_token(&token);
        if let Some(memory) = set.memory.get() {
            memory.forget(&token).await;
        }
        Ok(())
    }

    async fn outlook(&self, read: &DynamicRead) -> Result<IssueOutlook, Fault> {
        self.outlook_of(read).await
    }

    fn lease_remedy(&self, read: &DynamicRead, what: &str) -> String {
        let home = self.set(read).ok().map(|set| set.start().1.namespace());
        let (path, namespace) = (format!("sys/leases/{what}"), read.namespace.as_deref());
        denied::policy_line(&path, namespace, home.flatten(), "update")
    }

    fn remember_token(&self, read: &DynamicRead, memory: &Arc<dyn TokenMemory>) {
        if let Ok(set) = self.set(read) {
            set.shared().remember(memory, &self.address);
        }
    }

    fn token_life(&self, read: &DynamicRead) -> watch::Receiver<Option<TokenLife>> {
        match self.set(read) {
            Ok(set) => set.shared().token_life(),
            // `compile` has resolved the names of credential sets.
            Err(_) => watch::Sender::new(None).subscribe(),
        }
    }
}

impl VaultStore {
    /// Asks for `what` to be done with a lease.
    async fn of_lease(
        &self,
        read: &DynamicRead,
        what: &str,
        body: &Value,
    ) -> Result<(Answered, Arc<Token>), Unanswered> {
        let (set, server) = self.set(read)?.start();
        let request = PathRequest {
            path: format!("sys/leases/{what}"),
            is_post: true,
            query: None,
            body: SecretBytes::new(body.to_string().into_bytes()),
            namespace: read.namespace.clone(),
            answers: AcceptedAnswers::Fresh,
            hidden: Vec::new(),
        };
        dynamic::ask(set, server, &request).await
    }

    /// Whether `fault` of a request says that the token of `read` is gone, and no login brings another one.
    fn has_lost_token(&self, read: &DynamicRead, fault: &Fault) -> bool {
        fault.kind == Kind::Login && self.set(read).is_ok_and(|set| set.start().0.is_token_lost())
    }

    /// How long `lease` lives, which the answer to its issue does not say. A server that does not say it now is asked later.
    async fn life_of(&self, read: &DynamicRead, lease: Option<&LeaseId>) -> Option<Duration> {
        match self.look_up(read, lease?).await {
            Ok(LeaseVerdict::Living(left)) => Some(left.min(LONGEST_LIFE)).filter(|left| !left.is_zero()),
            Ok(LeaseVerdict::Gone | LeaseVerdict::Denied) | Err(_) => None,
        }
    }

    /// `fault` of an answer that brought `lease`, which nobody will use: it is revoked, once.
    pub(super) async fn retired(&self, read: &DynamicRead, lease: Option<LeaseId>, fault: Fault) -> Fault {
        let Some(lease) = lease else { return fault };
        let became = match self.revoke(read, &lease).await {
            Ok(Revoked::Done) => "its lease was revoked".to_owned(),
            Ok(Revoked::Denied) => format!("the policy does not allow to revoke its lease {lease}"),
            Err(other) => format!("its lease {lease} is not revoked: {other}"),
        };
        Fault { message: format!("{}; {became}", fault.message), ..fault }
    }
}

impl From<Unanswered> for IssueError {
    fn from(Unanswered { fault, is_unsent }: Unanswered) -> Self {
        if is_unsent { Self::NotIssued(fault) } else { Self::Unknown(fault) }
    }
}

impl From<Unanswered> for RenewalError {
    fn from(unanswered: Unanswered) -> Self {
        Self::Unavailable(unanswered.fault)
    }
}

/// Whether the server has certainly made nothing: only its own words say so. A node that lost its leadership on the way, or
/// whatever stands in between, may have obeyed before it failed.
fn refused(fault: Fault) -> IssueError {
    match fault.kind {
        Kind::Denied | Kind::BadRequest | Kind::RateLimited | Kind::NotServing => {
            IssueError::NotIssued(fault)
        }
        _ => IssueError::Unknown(fault),
    }
}

/// Whether a cache in between gave the answer: `Age` (RFC 9111), or `X-Cache` of Vault Agent and Proxy.
fn is_from_cache(response: &Response) -> bool {
    let header = |name: &str| response.headers.get(name).and_then(|value| value.to_str().ok());
    let age = header(AGE.as_str()).and_then(|age| age.trim().parse::<u64>().ok());
    let hit = header("x-cache").is_some_and(|text| text.to_ascii_lowercase().starts_with("hit"));
    hit || age.is_some_and(|age| age > 0)
}

fn cached(answered: &Answered) -> Fault {
    let message = format!("{}: refused a credential out of a cache: others may have it", answered.place);
    let remedy = "give the address of the server, or switch the cache in between off: each consumer needs a credential of its own";
    Fault::new(Kind::BadRequest, message, remedy)
}

/// Whether the answer to a revocation has the form of the API: 204, or 200 with nothing or an object. What stands in between, such
/// as a portal, answers 200 with a page; 202 promises something for later.
fn is_obeyed(response: &Response) -> bool {
    // EXPOSE: only whether it is an object.
    let body = response.body.expose().trim_ascii();
    let is_object = || serde_json::from_slice::<Map<String, Value>>(body).is_ok();
    match response.status {
        StatusCode::NO_CONTENT => true,
        StatusCode::OK => body.is_empty() || is_object(),
        _ => false,
    }
}

fn unproven(answered: &Answered) -> Fault {
    let status = answered.response.status.as_u16();
    let message = format!("{}: the answer does not prove the revocation ({status})", answered.place);
    let remedy =
        "it is tried again; a proxy, gateway or portal in between may have answered in place of the server";
    Fault::new(Kind::BadAnswer, message, remedy)
}

/// Whether the server says that it does not know the lease. Anything else with status 400 or 404 is about the namespace, the
/// token or the path, or comes from a gateway, and a lease that is taken for dead is replaced.
///
/// The words of a renewal do not count: it says 400 of a backend that is down, too. Look-ups and revocations say this only where
/// the server has no such lease.
fn is_unknown_lease(answered: &Answered) -> bool {
    let said = answer::said(&answered.response, &[]).unwrap_or_default();
    ["invalid lease", "lease not found"].iter().any(|text| said.contains(text))
}

/// Whether a request to `path` made `lease`: Vault and OpenBao name a lease by the path of its request, without the
/// namespace, and an id.
fn is_of_path(lease: &LeaseId, path: &str) -> bool {
    let made_by = lease.as_str().rsplit_once('/').map_or("", |(path, _)| path);
    let path = path.trim_matches('/');
    !made_by.is_empty()
        && path.strip_suffix(made_by).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

fn foreign(answered: &Answered) -> Fault {
    answer::bad(answered, "the lease in the answer is of another path: something in between mixes answers up")
}

fn other_lease(answered: &Answered) -> Fault {
    answer::bad(answered, "the answer is about another lease")
}

fn parse<'a, T: Deserialize<'a>>(answered: &'a Answered) -> Result<T, Fault> {
    // EXPOSE: parsed in place; an answer about a lease holds no value.
    serde_json::from_slice(answered.response.body.expose())
        .map_err(|error| answer::unreadable(answered, &error))
}

/// The credential of `kind` in the answer 2xx to what was `sent`, and its lease, which may be there where no credential is.
pub(super) fn issued(
    kind: DynamicKind,
    sent: &SecretBytes,
    answered: &Answered,
    token: Option<TokenLife>,
) -> (Option<LeaseId>, Result<Issued, Fault>) {
    let envelope = match PathEnvelope::of(answered) {
        Ok(envelope) => envelope,
        Err(fault) => return (None, Err(fault)),
    };
    let lease = envelope.lease();
    let id = lease.as_ref().and_then(|lease| lease.id.clone());
    if lease.is_some() && id.is_none() {
        return (None, Err(answer::bad(answered, "the answer has a lease id that is none")));
    }
    if answered.response.body.len() > LARGEST {
        return (id, Err(answer::bad(answered, "the answer is larger than any credential")));
    }
    if answered.response.status != StatusCode::OK {
        return (id, Err(answer::bad(answered, "an unexpected status")));
    }
    let examined = envelope.fields(answered).and_then(|fields| match kind {
        DynamicKind::Certificate => certificate::examine(fields, answered),
        DynamicKind::Ssh => ssh::examine(fields, sent, answered),
        _ if id.is_none() => Err(no_lease(answered)),
        _ if is_blank(&fields) => Err(blank(answered)),
        _ => Ok(Examined { fields, life: None, serial: None }),
    });
    let issued = examined.map(|Examined { fields, life, serial }| Issued {
        fields: Arc::new(fields),
        lease: id.clone(),
        // A certificate ends by its own dates, whatever its lease does.
        is_renewable: kind == DynamicKind::Lease && lease.as_ref().is_some_and(|lease| lease.is_renewable),
        life: life.or(lease.filter(|_| kind == DynamicKind::Lease).and_then(|lease| lease.life)),
        token,
        serial,
        request_id: envelope.request_id(),
    });
    (id, issued)
}

fn no_lease(answered: &Answered) -> Fault {
    let message = format!("{}: the answer brings no lease", answered.place);
    let remedy =
        "set `kind`: static for a static role, certificate for PKI, ssh for SSH, read for anything else";
    Fault::new(Kind::BadRequest, message, remedy)
}

/// Whether nobody can log in with it: its `password` is empty, or each of its texts is. A single one may be empty: Consul gives
/// `consul_namespace` and `partition` so.
fn is_blank(fields: &Fields) -> bool {
    let texts = || fields.iter().filter_map(|(name, _)| text(fields, name));
    let is_hollow = texts().next().is_some() && texts().all(SecretText::is_empty);
    is_hollow || text(fields, "password").is_some_and(SecretText::is_empty)
}

fn blank(answered: &Answered) -> Fault {
    let message = format!("{}: the credential in the answer is empty", answered.place);
    let remedy = "the files stay as they are; look for the cause in the engine or plugin behind this path";
    Fault::new(Kind::BadAnswer, message, remedy)
}

/// The text of the field `name`.
fn text<'f>(fields: &'f Fields, name: &str) -> Option<&'f SecretText> {
    match fields.value(name) {
        Some(FieldValue::Text(text)) => Some(text),
        _ => None,
    }
}

/// What an answer calls the serial number of a certificate: hexadecimal digits, in pairs or not.
fn serial(fields: &Fields) -> Option<String> {
    // EXPOSE: everybody who sees the certificate sees its number.
    let text = text(fields, "serial_number")?.expose();
    let is_one = !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    is_one.then(|| text.to_owned())
}

/// Whether what is valid from `begin` on is so at `now`, where clocks may differ a little.
fn has_begun(begin: SystemTime, now: SystemTime) -> bool {
    now.checked_add(SKEW).is_none_or(|latest| begin <= latest)
}

/// How long what ends at `end` lives from `now` on; nothing where it has ended.
fn life(end: SystemTime, now: SystemTime) -> Option<Duration> {
    end.duration_since(now).ok().filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_named_by_the_path_of_its_request() {
        let of = |lease: &str, path: &str| is_of_path(&LeaseId::parse(lease).unwrap(), path);
        assert!(
            of("database/creds/x/AbC1", "database/creds/x")
                && of("database/creds/x/AbC1.ns1", "database/creds/x")
        );
        assert!(of("database/creds/x/AbC1.ns1", "team/database/creds/x"), "a namespace in the path");
        for lease in ["database/creds/y/AbC1", "database/creds/x", "base/creds/x/AbC1", "x", "creds/AbC1"] {
            assert!(!of(lease, "database/creds/x"), "{lease}");
        }
    }
}
