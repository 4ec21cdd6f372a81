//! One call of the server: a vaultrs request becomes an HTTP request with our headers and goes through `net`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::header::{AGE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use rustify::endpoint::Endpoint;
use tokio::time::Instant;

use super::mixup::{self, AnswerLog, AnswerOwner};
use crate::blocking::{BlockingError, Worker};
use crate::clock::Clock;
use crate::fault::{Fault, Kind};
use crate::name::{CredentialsName, StoreName};
use crate::net::{Client, HttpRequest, NetError, NetErrorKind, Response};
use crate::secret::{SecretBytes, SecretText};
use crate::store::RequestId;
use crate::store::breaker::{CircuitBreaker, Pause, RequestOutcome};
use crate::store::limit::paused;
use crate::telemetry::event;
use crate::telemetry::trace;

/// rustify joins paths to this; only path and query of the result are used. Its root path keeps the leading slash
/// that some vaultrs paths have from becoming an empty segment.
const BASE: &str = "http://vault/";

/// Answers about tokens and mounts are a few kilobytes. They are parsed on the runtime's thread.
const LARGEST_OTHER: usize = 1 << 20;

/// Larger answers are parsed on a thread of their own: parsing takes long enough to delay other tasks.
const PARSED_HERE: usize = 256 << 10;

/// How long parsing one answer may take, the wait for the one before it included.
const PARSE_LIMIT: Duration = Duration::from_secs(60);

/// The server as one credential set sees it.
pub(super) struct Server {
    /// The store's name.
    pub(super) store: StoreName,
    credentials: CredentialsName,
    http: Client,
    breaker: CircuitBreaker,
    answers: Arc<AnswerLog>,
    clock: Clock,
    /// Parses large answers.
    parser: Worker,
    namespaces: Namespaces,
    /// The other host that answered last.
    elsewhere: Mutex<Option<String>>,
}

/// Where one credential set logs in, and what messages say of the store's namespace.
#[derive(Clone)]
pub(super) struct Namespaces {
    pub(super) of_login: Option<String>,
    pub(super) of_store: Option<String>,
    /// The environment variable that gave that of the store, if one did.
    pub(super) variable: Option<String>,
}

/// In whose name a call is made. Both travel with the request, never with the client.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) token: Option<&'a SecretText>,
    pub(super) namespace: Option<&'a str>,
}

/// An answer, the words that name the call in messages, and the wall time when it came.
pub(super) struct Answered {
    pub(super) place: String,
    pub(super) response: Response,
    pub(super) at: SystemTime,
}

/// Which answers a call takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AcceptedAnswers {
    /// One that came before will do.
    MayRepeat,
    /// Only a new one: it makes or changes something, or says how something is now.
    Fresh,
}

/// Why there is no answer.
pub(super) struct Unanswered {
    pub(super) fault: Fault,
    /// Whether the request certainly did not reach the server; otherwise it may have been obeyed.
    pub(super) is_unsent: bool,
}

impl Unanswered {
    pub(super) fn lost(fault: Fault) -> Self {
        Self { fault, is_unsent: false }
    }
}

/// Of a request that was not sent.
impl From<Fault> for Unanswered {
    fn from(fault: Fault) -> Self {
        Self { fault, is_unsent: true }
    }
}

impl Server {
    pub(super) fn new(
        store: StoreName,
        credentials: CredentialsName,
        http: Client,
        breaker: CircuitBreaker,
        answers: Arc<AnswerLog>,
        clock: Clock,
        namespaces: Namespaces,
    ) -> Self {
        let (parser, elsewhere) = (Worker::default(), Mutex::default());
        Self { store, credentials, http, breaker, answers, clock, parser, namespaces, elsewhere }
    }

    /// What logs and metrics call the store and the credential set.
    pub(super) fn labels(&self) -> (&str, &str) {
        (self.store.as_str(), self.credentials.as_str())
    }

    /// `fault`, with the name of the credential set where it has one of its own.
    pub(super) fn named(&self, fault: Fault) -> Fault {
        let credentials = &self.credentials;
        if *credentials == CredentialsName::main() {
            return fault;
        }
        Fault { message: format!("credentials {credentials}: {}", fault.message), ..fault }
    }

    /// The namespace of logins.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespaces.of_login.as_deref()
    }

    /// Who logs in, or asks about `token`.
    pub(super) fn login_caller<'a>(&'a self, token: Option<&'a SecretText>) -> Caller<'a> {
        Caller { token, namespace: self.namespace() }
    }

    /// Looks at the TLS files again for the next request.
    pub(super) fn expect_new_tls_files(&self) {
        self.http.expect_new_tls_files();
    }

    /// What the clock shows.
    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// What the clock will show at `end`, for people.
    pub(super) fn wall_time(&self, end: Option<Instant>) -> Option<SystemTime> {
        let left = end?.saturating_duration_since(Instant::now());
        self.clock.now().checked_add(left)
    }

    /// Makes one call, which may arrive twice if it is a `GET`. Whatever the status, an answer is `Ok`.
    pub(super) async fn call(
        &self,
        endpoint: &impl Endpoint,
        caller: Caller<'_>,
        body: SecretBytes,
    ) -> Result<Answered, Fault> {
        let (method, target) = target(endpoint)?;
        let place = self.place(&method, &target, caller.namespace);
        let is_repeatable = method == Method::GET;
        let request = HttpRequest { method, target, headers: headers(caller)?, body, is_repeatable };
        let answers = AcceptedAnswers::MayRepeat;
        let asked = self.exchange(request, place, caller, answers, judged).await;
        asked.map_err(|unanswered| unanswered.fault)
    }

    /// The same of a request whose query may hold a secret: no message shows it. With [`AcceptedAnswers::Fresh`] it is sent once.
    /// `judge` says what the breaker makes of the answer.
    pub(super) async fn call_unshown(
        &self,
        endpoint: &impl Endpoint,
        caller: Caller<'_>,
        body: SecretBytes,
        answers: AcceptedAnswers,
        judge: Judge,
    ) -> Result<Answered, Unanswered> {
        let (method, target) = target(endpoint)?;
        let path = target.split_once('?').map_or(target.as_str(), |(path, _)| path);
        let place = self.place(&method, path, caller.namespace);
        let is_repeatable = method == Method::GET && answers == AcceptedAnswers::MayRepeat;
        let request = HttpRequest { method, target, headers: headers(caller)?, body, is_repeatable };
        self.exchange(request, place, caller, answers, judge).await
    }

    async fn exchange(
        &self,
        request: HttpRequest,
        place: String,
        caller: Caller<'_>,
        answers: AcceptedAnswers,
        judge: Judge,
    ) -> Result<Answered, Unanswered> {
        let is_read = !(request.target.starts_with("/v1/auth/") || request.target.starts_with("/v1/sys/"));
        let begun = Instant::now();
        let sent = if keeps_alive(&request.target) {
            self.http.send(&request).await
        } else {
            let permit = self.breaker.permit(&place).map_err(|pause| self.paused(pause))?;
            let sent = self.http.send(&request).await;
            permit.end(judge(&sent), is_read);
            sent
        };
        let sent = sent.map_err(|error| Unanswered { is_unsent: error.is_unsent(), fault: error.into() });
        let code = match &sent {
            Ok(response) => {
                trace::http_status(response.status.as_u16());
                response.status.as_str()
            }
            Err(unanswered) => unanswered.fault.kind.as_str(),
        };
        event::requested(self.store.as_str(), &place, code, begun.elapsed());
        let sent = sent?;
        if !is_read && sent.body.len() > LARGEST_OTHER {
            let message = format!("{place}: the answer is larger than 1 MiB");
            let remedy = "check that the address is that of the Vault or OpenBao API";
            return Err(Unanswered::lost(Fault::new(Kind::BadAnswer, message, remedy)));
        }
        let (response, id) = self.identified(sent, &place).await.map_err(Unanswered::lost)?;
        // EXPOSE: hashed with a key of this process, to see whether the same was asked before.
        let content = request.body.expose();
        let question = (request.method, request.target, caller.namespace, self.credentials.as_str(), content);
        match self.answers.note(id, question) {
            AnswerOwner::Foreign => return Err(Unanswered::lost(self.mixed_up(&place))),
            AnswerOwner::Repeated if answers == AcceptedAnswers::Fresh => {
                return Err(Unanswered::lost(self.came_before(&place)));
            }
            // If no cache says that it was one, the next answer of this connection may belong to this request.
            AnswerOwner::Repeated if !is_cached(&response) => self.http.drop_connections(),
            AnswerOwner::Repeated | AnswerOwner::Fresh => {}
        }
        if let Some(host) = &response.redirected_to {
            self.tell_of(host);
        }
        Ok(Answered { place, response, at: self.clock.now() })
    }

    /// `answer`, and its id. A server writes the id first; if it does not stand there, the answer is parsed to find it.
    async fn identified(
        &self,
        answer: Response,
        place: &str,
    ) -> Result<(Response, Option<RequestId>), Fault> {
        if let Some(id) = mixup::id_at_the_start(&answer.body) {
            return Ok((answer, Some(id)));
        }
        let search = |answer: Response| {
            let id = mixup::id_anywhere(&answer.body);
            (answer, id)
        };
        self.parse(answer.body.len(), place, answer, search).await
    }

    /// `work` with an answer of `size` bytes; on a thread if that takes long enough to delay other tasks.
    pub(super) async fn parse<A: Send + 'static, R: Send + 'static>(
        &self,
        size: usize,
        place: &str,
        answer: A,
        work: impl FnOnce(A) -> R + Send + 'static,
    ) -> Result<R, Fault> {
        if size <= PARSED_HERE {
            return Ok(work(answer));
        }
        let step = format!("parsing the answer to {place}");
        self.parser.run(step, PARSE_LIMIT, move |_| work(answer)).await.map_err(|error| {
            let (kind, remedy) = match error {
                BlockingError::Panicked { .. } => (Kind::Internal, error.remedy()),
                _ => (Kind::Timeout, "split the secret, or give the daemon more processor time"),
            };
            Fault::new(kind, error.to_string(), remedy)
        })
    }

    /// Says why nothing is sent now, before what is noted ahead of a request is noted in vain.
    ///
    /// # Errors
    /// The breaker is open, and it is no time for a probe.
    pub(super) fn refuse_while_open(&self) -> Result<(), Fault> {
        self.breaker.pause().map_or(Ok(()), |pause| Err(self.paused(pause)))
    }

    /// The fault of a request that the breaker holds back.
    fn paused(&self, Pause { left, cause }: Pause) -> Fault {
        let until = left.and_then(|left| self.clock.now().checked_add(left));
        let message = paused(&self.http.host(), until, &cause);
        let remedy = "requests are paused while the circuit breaker is open; check the server";
        Fault { retry_after: left, ..Fault::new(Kind::CircuitOpen, message, remedy) }
    }

    /// Refuses an answer that has been given before, where each must be new.
    fn came_before(&self, place: &str) -> Fault {
        self.http.drop_connections();
        let message = format!("{place}: refused an answer that came before: what it holds is in use already");
        let remedy = "something between secrets-sync and the server keeps or repeats answers: switch its cache off for this path";
        Fault::new(Kind::BadAnswer, message, remedy)
    }

    /// What messages call a request.
    fn place(&self, method: &Method, target: &str, namespace: Option<&str>) -> String {
        let (host, path) = (self.http.host(), self.http.full_path(target));
        let Some(namespace) = namespace else { return format!("{method} {host}{path}") };
        let Namespaces { of_store, variable, .. } = &self.namespaces;
        let from = match variable {
            Some(variable) if of_store.as_deref() == Some(namespace) => format!(" from {variable}"),
            _ => String::new(),
        };
        format!("{method} {host}{path} (namespace {namespace}{from})")
    }

    /// Refuses the answer to another request. What other connections bring is as doubtful.
    fn mixed_up(&self, place: &str) -> Fault {
        self.http.drop_connections();
        let message = format!("{place}: refused an answer that belongs to another request");
        let remedy =
            "something between secrets-sync and the server mixes up answers: look for a broken proxy";
        if self.answers.note_mixup() {
            event::answers_mixed_up(self.store.as_str(), place, remedy);
        }
        Fault::new(Kind::BadAnswer, message, remedy)
    }

    /// A token does not go to another host without a word; one is enough as long as it is the same host.
    fn tell_of(&self, host: &str) {
        let mut elsewhere = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        if elsewhere.as_deref() != Some(host) {
            *elsewhere = Some(host.to_owned());
            drop(elsewhere);
            event::redirected(self.store.as_str(), host);
        }
    }
}

/// Whether a cache in between says that it has answered: `Age` (RFC 9111), or `X-Cache` of Vault Agent and Proxy.
pub(super) fn is_cached(response: &Response) -> bool {
    response.headers.contains_key(AGE) || response.headers.contains_key("x-cache")
}

/// Whether it keeps a lease or a token alive, or ends a lease. Who asks for that has waits of its own, which end before the lease
/// does; those of the breaker, which other requests cause, do not.
fn keeps_alive(target: &str) -> bool {
    target.starts_with("/v1/sys/leases/") || target == "/v1/auth/token/renew-self"
}

/// What the breaker makes of an answer.
pub(super) type Judge = fn(&Result<Response, NetError>) -> RequestOutcome;

/// What the breaker makes of it: only what speaks of a server in trouble counts against it.
pub(super) fn judged(sent: &Result<Response, NetError>) -> RequestOutcome {
    use NetErrorKind::{Broken, Connect, Timeout, Tls};
    match sent {
        Ok(Response { status, .. })
            if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS =>
        {
            let meaning =
                if *status == StatusCode::SERVICE_UNAVAILABLE { ", as a sealed one does" } else { "" };
            RequestOutcome::Failed(format!("the server answered {}{meaning}", status.as_u16()))
        }
        Err(error) if matches!(error.kind, Broken | Connect | Timeout | Tls) => {
            RequestOutcome::Unanswered(error.cause().to_owned())
        }
        Ok(_) | Err(_) => RequestOutcome::Answered,
    }
}

/// Refuses a path that would arrive as another one: rustify drops `.`, `..`, tabs and line breaks without a word, and
/// the server answers an empty segment with a redirect.
pub(super) fn check_path(path: &str) -> Result<(), Fault> {
    let odd_segment = path.split('/').any(|segment| matches!(segment, "" | "." | ".."));
    if !odd_segment && !path.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("{path:?} has an empty, `.` or `..` segment, or a control character");
    Err(Fault::new(Kind::BadRequest, message, "correct the path in the configuration"))
}

/// Method, and path and query below the address, percent-encoded. The body that vaultrs would send is not used.
fn target(endpoint: &impl Endpoint) -> Result<(Method, String), Fault> {
    // The error is dropped: it belongs to another crate and may quote what it was given.
    let request = endpoint.request(BASE).map_err(|_| {
        Fault::new(Kind::BadRequest, "the request cannot be built", "correct the path in the configuration")
    })?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = path.strip_suffix('?').unwrap_or(path);
    Ok((request.method().clone(), format!("/v1{path}")))
}

fn headers(caller: Caller<'_>) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    // Agents and proxies in between refuse requests without it.
    headers.insert(HeaderName::from_static("x-vault-request"), HeaderValue::from_static("true"));
    if let Some(parent) = trace::traceparent().and_then(|parent| HeaderValue::try_from(parent).ok()) {
        headers.insert(HeaderName::from_static("traceparent"), parent);
    }
    if let Some(namespace) = caller.namespace {
        let value = HeaderValue::from_str(namespace).map_err(|_| {
            let message = format!("the namespace {namespace:?} cannot be sent");
            Fault::new(Kind::BadRequest, message, "correct `namespace`")
        })?;
        headers.insert(HeaderName::from_static("x-vault-namespace"), value);
    }
    if let Some(token) = caller.token {
        // EXPOSE: the token goes to the server that issued it.
        let mut value = HeaderValue::from_str(token.expose()).map_err(|_| {
            Fault::new(Kind::Login, "the token holds a character that no token has", "correct the token")
        })?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static("x-vault-token"), value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;
    use vaultrs::api::kv1::requests::GetSecretRequest;
    use vaultrs::api::kv2::requests::ReadSecretRequest;
    use vaultrs::api::token::requests::LookupTokenSelfRequest;

    use super::*;
    use crate::config::settings::BreakerSettings;
    use crate::net::{Address, ClientSettings, Redirects, TlsSettings};

    fn v2(path: &str, version: Option<u64>) -> String {
        let request = ReadSecretRequest { mount: "secret".into(), path: path.into(), version };
        target(&request).unwrap().1
    }

    #[test]
    fn targets_have_no_trailing_question_mark_and_no_empty_segment() {
        assert_eq!(v2("app/db", None), "/v1/secret/data/app/db");
        assert_eq!(v2("app/db", Some(3)), "/v1/secret/data/app/db?version=3");
        assert_eq!(v2("what?", None), "/v1/secret/data/what%3F");
        let lookup = target(&LookupTokenSelfRequest {}).unwrap();
        assert_eq!(lookup, (Method::GET, "/v1/auth/token/lookup-self".to_owned()));
    }

    #[test]
    fn a_path_that_would_arrive_as_another_is_refused() {
        for path in ["", "/a", "a/", "a//b", "a/../b", "./a", "a\tb", "a\n"] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
        for path in ["a", "a/b.c", "...", "a b/%2e%2e/ü"] {
            assert!(check_path(path).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn the_token_is_sensitive_and_the_namespace_is_not() {
        let token = SecretText::new("s.hunter2".into());
        let headers = headers(Caller { token: Some(&token), namespace: Some("team-a/b") }).unwrap();
        assert_eq!(headers["x-vault-namespace"], "team-a/b");
        assert!(headers["x-vault-token"].is_sensitive() && !format!("{headers:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn large_answers_are_parsed_on_a_thread_of_their_own() {
        let http = Client::build(ClientSettings {
            address: Address::Unix("/nowhere".into()),
            tls: TlsSettings::default(),
            proxy: None,
            timeout: Duration::from_secs(1),
            max_body: 1,
            max_connections: 1,
            redirects: Redirects::OnTheSameHost,
        });
        let (store, set) = (StoreName::main(), CredentialsName::main());
        let breaker = CircuitBreaker::new(store.clone(), set.clone(), BreakerSettings::default());
        let namespaces = Namespaces { of_login: None, of_store: None, variable: None };
        let server =
            Server::new(store, set, http.unwrap(), breaker, Arc::default(), Clock::system(), namespaces);
        let here = std::thread::current().id();
        let thread_of =
            async |size| server.parse(size, "GET /a", (), |()| std::thread::current().id()).await.unwrap();
        assert_eq!(thread_of(PARSED_HERE).await, here);
        assert_ne!(thread_of(PARSED_HERE + 1).await, here);
    }

    proptest! {
        #[test]
        fn every_path_that_is_accepted_arrives_as_it_was_written(path in r"[^/\pC]{1,8}(/[^/\pC]{1,8}){0,3}") {
            prop_assume!(check_path(&path).is_ok());
            let request = GetSecretRequest { mount: "kv".into(), path: path.clone() };
            let target = target(&request).unwrap().1;
            let sent: Vec<_> = target.split('/').skip(3).map(|s| percent_decode_str(s).decode_utf8().unwrap()).collect();
            prop_assert_eq!(sent.join("/"), path);
        }
    }
}
