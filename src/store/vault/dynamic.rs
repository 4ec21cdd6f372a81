//! A path that is no KV mount: its request, what its answer is wrapped in, and the kinds that are read (`static`, `read`).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use rand::Rng;
use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::auth::Token;
use super::credentials::CredentialSet;
use super::server::{self, AcceptedAnswers, Answered, Caller, Server, Unanswered, check_path};
use super::token_state::DeniedRead;
use super::{STANDBY_LAG, VaultStore, answer, denied};
use crate::blocking::Worker;
use crate::config::provider::vault::dynamic::{DynamicKind, DynamicMethod, DynamicRead, ParameterValue};
use crate::disk::{self, Access};
use crate::fault::{Fault, Kind};
use crate::net::{NetError, Response};
use crate::regular_file;
use crate::secret::{Fields, FingerprintKey, SecretBytes, SecretText, json};
use crate::store::breaker::RequestOutcome;
use crate::store::issuer::LeaseId;
use crate::store::{Fetched, Life, RequestId, Revision};

/// No lease and no password of a static role lives longer: 136 years. A later moment may have no date.
pub(super) const LONGEST_LIFE: Duration = Duration::from_secs(u32::MAX as u64);

/// How long the file of a parameter may take to read.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// After its rotation a server needs a moment.
const ROTATION_LAG: Duration = Duration::from_secs(1);

/// A server that looks every five seconds for what it has to rotate is late by up to that: until then the wait does not grow,
/// because meanwhile the password in the files is the old one.
const OVERDUE_BY_DESIGN: u32 = 5;

/// A read that brought a lease is sent again after this: each one makes another user.
const LEASED_AGAIN: Duration = Duration::from_secs(3600);

/// The longest wait for a rotation that is overdue.
const LONGEST_OVERDUE: Duration = Duration::from_secs(60);

/// Parameters whose values a server may quote: they stand in certificates, where everybody reads them.
const PUBLIC: [&str; 9] = [
    "common_name",
    "alt_names",
    "ip_sans",
    "uri_sans",
    "valid_principals",
    "cert_type",
    "key_type",
    "format",
    "ttl",
];

/// One request below `v1/`, with its parameters as they are now.
pub(super) struct PathRequest {
    pub(super) path: String,
    pub(super) is_post: bool,
    pub(super) query: Option<String>,
    pub(super) body: SecretBytes,
    pub(super) namespace: Option<String>,
    pub(super) answers: AcceptedAnswers,
    /// What an error may not quote.
    pub(super) hidden: Vec<SecretText>,
}

impl Endpoint for PathRequest {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn query(&self) -> Result<Option<String>, rustify::errors::ClientError> {
        Ok(self.query.clone())
    }

    fn method(&self) -> RequestMethod {
        if self.is_post { RequestMethod::POST } else { RequestMethod::GET }
    }
}

/// What an answer is wrapped in; unknown members are ignored.
#[derive(Deserialize)]
pub(super) struct PathEnvelope<'a> {
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow)]
    lease_id: Option<&'a RawValue>,
    #[serde(borrow)]
    renewable: Option<&'a RawValue>,
    #[serde(borrow)]
    lease_duration: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    wrap_info: Option<&'a RawValue>,
}

/// The lease in an answer.
pub(super) struct AnsweredLease {
    /// `None`: it has a name that no lease has.
    pub(super) id: Option<LeaseId>,
    pub(super) is_renewable: bool,
    /// `None` where the answer does not say it.
    pub(super) life: Option<Duration>,
}

impl<'a> PathEnvelope<'a> {
    pub(super) fn of(answered: &'a Answered) -> Result<Self, Fault> {
        // EXPOSE: parsed in place; the fields are carriers of their own.
        serde_json::from_slice(answered.response.body.expose())
            .map_err(|error| answer::unreadable(answered, &error))
    }

    pub(super) fn lease(&self) -> Option<AnsweredLease> {
        let id: Cow<'_, str> = parsed(self.lease_id)?;
        (!id.is_empty()).then(|| AnsweredLease {
            id: LeaseId::parse(&id),
            is_renewable: parsed(self.renewable).unwrap_or_default(),
            life: parsed(self.lease_duration).and_then(life_in),
        })
    }

    pub(super) fn request_id(&self) -> Option<RequestId> {
        RequestId::parse(&parsed::<Cow<'_, str>>(self.request_id)?)
    }

    /// `data`, an object.
    pub(super) fn data(&self, answered: &Answered) -> Result<&'a RawValue, Fault> {
        let cause = if self.wrap_info.is_some() {
            "the answer is wrapped, which nobody has asked for"
        } else {
            "the answer holds no `data`"
        };
        self.data.ok_or_else(|| answer::bad(answered, cause))
    }

    pub(super) fn fields(&self, answered: &Answered) -> Result<Fields, Fault> {
        json::fields(self.data(answered)?).map_err(|not| {
            let fault = answer::bad(answered, not.cause());
            Fault { remedy: not.remedy().map_or(fault.remedy, Into::into), ..fault }
        })
    }
}

/// A life of whole `seconds`, which a proxy may have written as `20.0`; `None` where it is no life.
pub(super) fn life_in(seconds: f64) -> Option<Duration> {
    let life = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(LONGEST_LIFE).min(LONGEST_LIFE);
    Some(Duration::from_secs(life.as_secs())).filter(|life| !life.is_zero())
}

/// `raw` as a `T`; `None` where it is absent or something else.
fn parsed<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// How often in a row the rotation of a static role was overdue.
#[derive(Default)]
pub(super) struct Overdue {
    counts: Mutex<HashMap<u64, u32>>,
    hasher: RandomState,
}

impl Overdue {
    /// When `read` is read again: after the `ttl` that the server gives, and a moment later. While there is none left, after
    /// 1 s a few times, then after 2 s, 4 s and so on.
    fn next(&self, read: &DynamicRead, ttl: Duration, rng: &mut impl Rng) -> Duration {
        let jitter = Duration::from_secs(1).mul_f64(rng.random());
        let key = self.hasher.hash_one(read);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if !ttl.is_zero() {
            counts.remove(&key);
            return ttl + ROTATION_LAG + jitter;
        }
        let count = counts.entry(key).or_default();
        let doublings = (count.saturating_add(1)).saturating_sub(OVERDUE_BY_DESIGN);
        let wait = ROTATION_LAG.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_OVERDUE);
        *count = count.saturating_add(1);
        wait + jitter
    }
}

/// What the answer to a read is.
enum ReadAnswer {
    Fetched(Fetched, Option<Duration>),
    /// It brings a lease.
    Leased(Option<LeaseId>),
}

impl VaultStore {
    /// Reads `read`, which is of one of the kinds that issue nothing.
    pub(super) async fn fetch_dynamic(
        &self,
        read: &DynamicRead,
        known: Option<Revision>,
    ) -> Result<Fetched, Fault> {
        if read.kind.is_issued() {
            let message = format!("{} issues credentials, which are not read", read.path);
            return Err(Fault::new(Kind::Internal, message, "please report this as a bug"));
        }
        let (set, server) = self.set(read)?.start();
        let request = prepared(read, AcceptedAnswers::MayRepeat, &self.parameters).await?;
        let asked = ask(set, server, &request).await;
        let (answered, token) = asked.map_err(|unanswered| unanswered.fault)?;
        if answered.response.status != StatusCode::OK {
            return Err(refusal(server, read, &request, &answered, &token));
        }
        let (size, place) = (answered.response.body.len(), answered.place.clone());
        let (kind, key) = (read.kind, self.key.clone());
        let judge = move |answered: Answered| judge(kind, answered, known, &key);
        match server.parse(size, &place, answered, judge).await?? {
            ReadAnswer::Fetched(fetched, None) => Ok(fetched),
            ReadAnswer::Fetched(fetched, Some(ttl)) => {
                let wait = self.overdue.next(read, ttl, &mut rand::rng());
                let next = Instant::now().checked_add(wait);
                Ok(Fetched { life: next.map_or(Life::Open, Life::Next), ..fetched })
            }
            ReadAnswer::Leased(lease) => {
                let message = format!("{place}: this path issues credentials: the answer brings a lease");
                let fault = Fault::new(Kind::BadRequest, message, "set kind: lease");
                let fault = Fault { retry_after: Some(LEASED_AGAIN), ..fault };
                Err(self.retired(read, lease, fault).await)
            }
        }
    }
}

/// What the answer 200 to a read of `kind` means; the `ttl` of a static role is given beside.
fn judge(
    kind: DynamicKind,
    answered: Answered,
    known: Option<Revision>,
    key: &FingerprintKey,
) -> Result<ReadAnswer, Fault> {
    let envelope = PathEnvelope::of(&answered)?;
    if let Some(lease) = envelope.lease() {
        return Ok(ReadAnswer::Leased(lease.id));
    }
    let data = envelope.data(&answered)?;
    let (revision, ttl) = match kind {
        DynamicKind::Static => {
            let (revision, ttl) = rotation(data, key).ok_or_else(|| no_ttl(&answered))?;
            (revision, Some(ttl))
        }
        _ => (Revision::Content(key.of(data.get().as_bytes())), None),
    };
    let fields = match known {
        Some(known) if known == revision => None,
        _ => Some(Arc::new(envelope.fields(&answered)?)),
    };
    let (request_id, life) = (envelope.request_id(), Life::Open);
    let turn = answered.response.turn.map(Arc::new);
    let fetched = Fetched { fields, metadata: None, created: None, revision, life, request_id, turn };
    Ok(ReadAnswer::Fetched(fetched, ttl))
}

/// The revision of a static role's answer and its `ttl`, which counts down and is no part of the revision.
fn rotation(data: &RawValue, key: &FingerprintKey) -> Option<(Revision, Duration)> {
    let mut members: std::collections::BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(data.get()).ok()?;
    let ttl: f64 = serde_json::from_str(members.remove("ttl")?.get()).ok()?;
    let pieces = members.iter().flat_map(|(name, value)| [name.as_bytes(), value.get().as_bytes()]);
    let revision = Revision::Content(key.of_pieces(pieces));
    let ttl = Duration::try_from_secs_f64(ttl.max(0.0)).map_or(LONGEST_LIFE, |ttl| ttl.min(LONGEST_LIFE));
    Some((revision, ttl))
}

fn no_ttl(answered: &Answered) -> Fault {
    let message = format!("{}: the answer has no `ttl`, as that of a static role has", answered.place);
    Fault::new(Kind::BadRequest, message, "check path; for other answers set kind: read")
}

/// Sends `request`, and once more if that was denied because of the token. The answer is of any status, and comes with the
/// token that it was asked with.
pub(super) async fn ask(
    set: &CredentialSet,
    server: &Server,
    request: &PathRequest,
) -> Result<(Answered, Arc<Token>), Unanswered> {
    check_path(&request.path)?;
    let token = set.token(server).await?;
    let begun = Instant::now();
    let answered = settled(set, server, request, &token).await?;
    if !is_denied(&answered) {
        return Ok((answered, token));
    }
    match set.judge_denied(server, &token, &request.path, begun).await? {
        DeniedRead::ByPolicy => Ok((answered, token)),
        DeniedRead::TokenReplaced(token) => Ok((settled(set, server, request, &token).await?, token)),
    }
}

/// Sends `request`, and once more after a moment if it was denied by a node that may not know a token this fresh.
async fn settled(
    set: &CredentialSet,
    server: &Server,
    request: &PathRequest,
    token: &Arc<Token>,
) -> Result<Answered, Unanswered> {
    let caller = Caller { token: token.text(), namespace: request.namespace.as_deref() };
    let call = || server.call_unshown(request, caller, request.body.clone(), request.answers, judged);
    let mut answered = call().await?;
    let wait = Duration::from_millis(rand::rng().random_range(250..500));
    if is_denied(&answered) && token.logged_in.is_some_and(|at| Instant::now() + wait < at + STANDBY_LAG) {
        tokio::time::sleep(wait).await;
        answered = call().await?;
    }
    if answered.response.status.is_success() {
        set.note_read(token, &request.path);
    }
    Ok(answered)
}

/// What the breaker makes of the answer of an engine. A 500 in the server's own words is about what is behind that engine, a
/// database that is down: other engines work, and their leases must be renewed.
fn judged(sent: &Result<Response, NetError>) -> RequestOutcome {
    let is_said = |response: &Response| answer::said(response, &[]).is_some_and(|said| !said.is_empty());
    match sent {
        Ok(response) if response.status == StatusCode::INTERNAL_SERVER_ERROR && is_said(response) => {
            RequestOutcome::Answered
        }
        _ => server::judged(sent),
    }
}

fn is_denied(answered: &Answered) -> bool {
    matches!(answered.response.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        && answer::refused(answered, &[]).kind == Kind::Denied
}

/// The fault of an answer to `request` that is no success.
pub(super) fn refusal(
    server: &Server,
    read: &DynamicRead,
    request: &PathRequest,
    answered: &Answered,
    token: &Token,
) -> Fault {
    let sent: Vec<_> = request.hidden.iter().chain(token.text()).collect();
    let fault = answer::refused(answered, &sent);
    match (fault.kind, answered.response.status) {
        (Kind::Denied, _) => {
            let capability = if request.is_post { "update" } else { "read" };
            let (namespace, home) = (request.namespace.as_deref(), server.namespace());
            let line = denied::policy_line(&request.path, namespace, home, capability);
            Fault { remedy: format!("check path and namespace; if they are right, {line}"), ..fault }
        }
        (Kind::BadRequest, StatusCode::METHOD_NOT_ALLOWED) => {
            let method = if request.is_post { "POST" } else { "GET" };
            let message = format!("{}: this path does not take {method} (405)", answered.place);
            Fault::new(Kind::BadRequest, message, "set the other `method`: GET or POST")
        }
        (Kind::BadRequest, _) => {
            let remedy =
                format!("check the path {}, its method and parameters, and the namespace", read.path);
            Fault { remedy, ..fault }
        }
        _ => fault,
    }
}

/// The request of `read`, with files read just now.
pub(super) async fn prepared(
    read: &DynamicRead,
    answers: AcceptedAnswers,
    files: &Worker,
) -> Result<PathRequest, Fault> {
    let mut hidden = Vec::new();
    let mut parameters: Vec<(&str, SecretText)> = Vec::new();
    for (name, value) in &read.parameters {
        let json = match value {
            ParameterValue::Json(json) => json.clone(),
            ParameterValue::File(path) => json_text(&file_text(name, path, files).await?)?,
        };
        let public = PUBLIC.contains(&name.as_str()) && matches!(value, ParameterValue::Json(_));
        if !public {
            hidden.extend(json::leaves(&json));
        }
        parameters.push((name, json));
    }
    // What stands within another one must not be gone before that is looked for.
    hidden.sort_by_key(|secret| Reverse(secret.len()));
    let is_post = read.method == DynamicMethod::Post;
    let (query, body) =
        if is_post { (None, object(&parameters)?) } else { (query(&parameters), SecretBytes::default()) };
    let (path, namespace) = (read.path.clone(), read.namespace.clone());
    Ok(PathRequest { path, is_post, query, body, namespace, answers, hidden })
}

/// The text in `json`, where it is a text.
fn plain(json: &SecretText) -> Option<SecretText> {
    // EXPOSE: into a carrier of its own.
    serde_json::from_str(json.expose()).ok().map(SecretText::new)
}

fn query(parameters: &[(&str, SecretText)]) -> Option<String> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, json) in parameters {
        let text = plain(json);
        // EXPOSE: it goes to the server; no message shows a query.
        query.append_pair(name, text.as_ref().unwrap_or(json).expose());
    }
    Some(query.finish()).filter(|query| !query.is_empty())
}

/// A JSON object of JSON values.
fn object(parameters: &[(&str, SecretText)]) -> Result<SecretBytes, Fault> {
    // Large enough not to be copied; wiped.
    let length: usize = parameters.iter().map(|(name, json)| 6 * name.len() + json.len() + 4).sum();
    let mut object = Zeroizing::new(String::with_capacity(length + 2));
    object.push('{');
    for (index, (name, json)) in parameters.iter().enumerate() {
        if index > 0 {
            object.push(',');
        }
        object.push_str(&serde_json::to_string(name).map_err(|_| unbuildable())?);
        object.push(':');
        // EXPOSE: it goes to the server it is for.
        object.push_str(json.expose());
    }
    object.push('}');
    Ok(SecretBytes::new(std::mem::take(&mut *object).into_bytes()))
}

fn unbuildable() -> Fault {
    Fault::new(Kind::Internal, "the request cannot be built", "please report this as a bug")
}

fn json_text(text: &SecretText) -> Result<SecretText, Fault> {
    // EXPOSE: written as JSON into a carrier of its own.
    serde_json::to_string(text.expose()).map(SecretText::new).map_err(|_| unbuildable())
}

/// The content of the file of a parameter, without white space at its ends.
async fn file_text(name: &str, path: &Path, files: &Worker) -> Result<SecretText, Fault> {
    let shown = format!("the parameter {name} from {}", path.display());
    let fault = |cause: String, remedy: String| {
        Fault::new(Kind::BadRequest, format!("cannot read {shown}: {cause}"), remedy)
    };
    let owned = path.to_owned();
    let read = files.run(format!("reading {}", path.display()), READ_LIMIT, move |_| {
        regular_file::read(&owned, regular_file::MOST_OF_A_VALUE).map_err(|error| {
            let is_denied = error.io_kind() == Some(std::io::ErrorKind::PermissionDenied);
            let hint = if is_denied { disk::sandbox_hint(&owned, Access::Read) } else { None };
            (error, hint)
        })
    });
    let content = match read.await {
        Ok(Ok(content)) => content,
        Ok(Err((error, hint))) => {
            let remedy = hint.unwrap_or_else(|| error.remedy(&path.display().to_string()));
            return Err(fault(error.to_string(), remedy));
        }
        Err(error) => return Err(fault(error.to_string(), error.remedy().to_owned())),
    };
    let text = std::str::from_utf8(&content).map(str::trim).unwrap_or_default();
    if text.is_empty() {
        return Err(fault("it is empty, or no UTF-8 text".to_owned(), "check the file".to_owned()));
    }
    Ok(SecretText::new(text.to_owned()))
}
