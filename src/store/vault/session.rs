//! One credential set's token: got when first needed, by one login for all who wait, and replaced when it turns out
//! to be bad.
//!
//! The state's lock is the single flight itself: who holds it asks the server, the others wait for the outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};
use vaultrs::api::token::requests::LookupTokenSelfRequest;

use super::answer;
use super::login::{Credentials, LoginFailure, Token};
use super::server::{Caller, Server};
use crate::config::store::{AuthSpec, Credential};
use crate::fault::{Fault, Kind};
use crate::name::CredentialsName;
use crate::secret::{Fingerprint, FingerprintKey, SecretBytes};
use crate::telemetry::event::{LoggedIn, LoginFailed};

/// Who was refused while the token was being looked up need not ask again.
const VERDICT_HOLDS: Duration = Duration::from_secs(1);

/// The first wait after refused credentials; each further one is four times as long.
const FIRST_REST: Duration = Duration::from_secs(10);

/// The longest wait. 10 + 40 + 160 + 400 + 400 s is more than 15 min: never six attempts in that time, which would
/// lock the role out (Vault and `OpenBao` lock after five).
const LONGEST_REST: Duration = Duration::from_secs(400);

/// The token of one credential set.
pub(super) struct Session {
    /// What logs and metrics call the set.
    name: CredentialsName,
    /// What messages call the set.
    label: String,
    auth: AuthSpec,
    namespace: Option<String>,
    key: FingerprintKey,
    /// Counts finished attempts, so that who waited for one can tell that there was one.
    attempts: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    /// When the server last said that the token is good.
    good_at: Option<Instant>,
    /// Why the last attempt failed, if it did.
    failure: Option<Fault>,
    held: Option<Held>,
    /// Refusals in a row.
    refusals: u32,
}

/// Refused credentials, which are not tried again for a while.
struct Held {
    print: Fingerprint,
    until: Instant,
    fault: Fault,
}

/// Why a read was forbidden.
pub(super) enum Verdict {
    /// The token is good: it is a matter of policy.
    TokenIsGood,
    /// The token was bad; here is another.
    Replaced(Arc<Token>),
}

impl Session {
    pub(super) fn new(
        name: CredentialsName,
        label: String,
        auth: AuthSpec,
        namespace: Option<String>,
        key: FingerprintKey,
    ) -> Self {
        Self { name, label, auth, namespace, key, attempts: AtomicU64::new(0), state: Mutex::default() }
    }

    /// The token; logs in when there is none or its lease is over.
    ///
    /// # Errors
    /// The login failed, just now or within the time that refused credentials must rest.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the login; the next caller starts one.
    pub(super) async fn token(&self, server: &Server) -> Result<Arc<Token>, Fault> {
        let seen = self.attempts.load(Ordering::Relaxed);
        let mut state = self.state.lock().await;
        match &state.token {
            Some(token) if token.expires.is_none_or(|end| Instant::now() < end) => Ok(Arc::clone(token)),
            _ => self.replace(&mut state, server, seen).await,
        }
    }

    /// Finds out whether `used`, with which a read was forbidden, is to blame, and replaces it if so.
    ///
    /// # Errors
    /// The server did not say, or there is no other token.
    pub(super) async fn recheck(&self, server: &Server, used: &Arc<Token>) -> Result<Verdict, Fault> {
        let seen = self.attempts.load(Ordering::Relaxed);
        let mut state = self.state.lock().await;
        match &state.token {
            Some(current) if !Arc::ptr_eq(current, used) => {
                return Ok(Verdict::Replaced(Arc::clone(current)));
            }
            Some(_) if state.good_at.is_some_and(|at| at.elapsed() < VERDICT_HOLDS) => {
                return Ok(Verdict::TokenIsGood);
            }
            Some(_) if self.is_good(server, used).await? => {
                state.good_at = Some(Instant::now());
                state.refusals = 0;
                return Ok(Verdict::TokenIsGood);
            }
            Some(_) => self.discard(&mut state),
            None => {}
        }
        self.replace(&mut state, server, seen).await.map(Verdict::Replaced)
    }

    async fn is_good(&self, server: &Server, token: &Token) -> Result<bool, Fault> {
        let caller = Caller { token: Some(&token.text), namespace: self.namespace.as_deref() };
        let answered = server.call(&LookupTokenSelfRequest {}, caller, SecretBytes::default()).await?;
        match answered.response.status {
            StatusCode::OK => Ok(true),
            StatusCode::FORBIDDEN => Ok(false),
            _ => Err(answer::refused(&answered, &[&token.text], &server.clock)),
        }
    }

    /// Throws a bad token away. One that was given counts as refused credentials: nobody can make a new one of it.
    fn discard(&self, state: &mut State) {
        let Some(token) = state.token.take() else { return };
        if matches!(self.auth, AuthSpec::Token { .. }) {
            let message = format!("{}: the token is not valid (any more)", self.label);
            let remedy = "provide a new token; it also needs the `default` policy, to look itself up";
            let print = Credentials::Token(token.text.clone()).fingerprint(&self.key);
            state.refuse(Fault::new(Kind::Login, message, remedy), print);
        }
    }

    /// Logs in. Who waited while an attempt failed (`seen` is older than it) gets its fault and makes none of his own.
    async fn replace(&self, state: &mut State, server: &Server, seen: u64) -> Result<Arc<Token>, Fault> {
        if self.attempts.load(Ordering::Relaxed) != seen
            && let Some(fault) = &state.failure
        {
            return Err(fault.clone());
        }
        let outcome = self.attempt(state, server).await;
        self.attempts.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    async fn attempt(&self, state: &mut State, server: &Server) -> Result<Arc<Token>, Fault> {
        state.token = None;
        let credentials = match Credentials::load(&self.auth).await {
            Ok(credentials) => credentials,
            Err(fault) => return Err(state.fail(self.named(fault))),
        };
        let print = credentials.fingerprint(&self.key);
        if let Some(fault) = state.still_held(print) {
            return Err(self.unhurried(fault));
        }
        match credentials.log_in(server, self.namespace.as_deref()).await {
            Ok(token) => {
                self.report(server, &token);
                Ok(state.accept(token, &self.auth))
            }
            Err(LoginFailure::Refused(fault)) => {
                let fault = self.reported(server, self.named(fault));
                Err(self.unhurried(state.refuse(fault, print)))
            }
            Err(LoginFailure::Other(fault)) => Err(state.fail(self.reported(server, self.named(fault)))),
        }
    }

    fn report(&self, server: &Server, token: &Token) {
        let left = token.expires.map(|end| end.saturating_duration_since(Instant::now()));
        let expires = left.map(|left| server.clock.now() + left);
        LoggedIn { store: server.store.as_str(), credentials: self.name.as_str(), expires }.emit();
    }

    fn reported(&self, server: &Server, fault: Fault) -> Fault {
        let (store, credentials) = (server.store.as_str(), self.name.as_str());
        LoginFailed { store, credentials, fault: &fault }.emit();
        fault
    }

    /// Nobody need keep away from the server while credentials from a file rest: each try reads the file, and only
    /// other credentials are sent.
    fn unhurried(&self, fault: Fault) -> Fault {
        Fault { retry_after: fault.retry_after.filter(|_| !reads_files(&self.auth)), ..fault }
    }

    fn named(&self, fault: Fault) -> Fault {
        Fault { message: format!("{}: {}", self.label, fault.message), ..fault }
    }
}

impl State {
    fn accept(&mut self, token: Token, auth: &AuthSpec) -> Arc<Token> {
        let token = Arc::new(token);
        self.token = Some(Arc::clone(&token));
        self.failure = None;
        self.held = None;
        self.good_at = None;
        // A token that was given has proved nothing yet.
        if matches!(auth, AuthSpec::AppRole { .. }) {
            self.refusals = 0;
        }
        token
    }

    fn fail(&mut self, fault: Fault) -> Fault {
        self.failure = Some(fault.clone());
        fault
    }

    fn refuse(&mut self, fault: Fault, print: Fingerprint) -> Fault {
        let rest = rest(self.refusals);
        self.refusals = self.refusals.saturating_add(1);
        let fault = Fault { retry_after: Some(rest), ..fault };
        self.held = Some(Held { print, until: Instant::now() + rest, fault: fault.clone() });
        self.fail(fault)
    }

    /// The fault of credentials that were refused and must still rest. Other credentials may be tried at once.
    fn still_held(&mut self, print: Fingerprint) -> Option<Fault> {
        let held = self.held.as_ref()?;
        if held.print != print {
            self.refusals = 0;
            return None;
        }
        let left = held.until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| Fault { retry_after: Some(left), ..held.fault.clone() })
    }
}

fn reads_files(auth: &AuthSpec) -> bool {
    let is_file = |credential: &Credential| matches!(credential, Credential::File(_));
    match auth {
        AuthSpec::Token { token } => is_file(token),
        AuthSpec::AppRole { mount: _, role_id, secret_id } => {
            is_file(role_id) || secret_id.as_ref().is_some_and(is_file)
        }
    }
}

/// How long credentials rest after `refusals` earlier ones and one more.
fn rest(refusals: u32) -> Duration {
    FIRST_REST.saturating_mul(4_u32.saturating_pow(refusals)).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_credentials_are_never_tried_six_times_in_fifteen_minutes() {
        let rests: Vec<Duration> = (0..20).map(rest).collect();
        for five in rests.windows(5) {
            assert!(five.iter().sum::<Duration>() > Duration::from_secs(900), "{five:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_rest_and_others_are_tried_at_once() {
        let key = FingerprintKey::random().unwrap();
        let (old, new) = (key.of(b"old"), key.of(b"new"));
        let mut state = State::default();
        state.refuse(Fault::new(Kind::Login, "m", "r"), old);
        assert_eq!(state.still_held(old).unwrap().retry_after, Some(FIRST_REST));
        tokio::time::advance(FIRST_REST).await;
        assert_eq!(state.still_held(old), None);
        state.refuse(Fault::new(Kind::Login, "m", "r"), old);
        assert_eq!(state.still_held(old).unwrap().retry_after, Some(FIRST_REST * 4));
        assert_eq!(state.still_held(new), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_does_not_end_the_rest_of_refused_credentials() {
        let key = FingerprintKey::random().unwrap();
        let print = key.of(b"old");
        let mut state = State::default();
        state.refuse(Fault::new(Kind::Login, "m", "r"), print);
        state.fail(Fault::new(Kind::Unreachable, "m", "r"));
        assert!(state.still_held(print).is_some());
    }
}
