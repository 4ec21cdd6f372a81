//! One credential set: its token, as a state machine. One login serves all who wait for it; a token that turns out to
//! be bad is replaced; what fails cools down.
//!
//! `flight` is the single flight: its holder asks the server, the others wait for the outcome. The state has a lock of
//! its own, so that nobody waits for a login that is made ahead of time while the token is good.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::auth::{
    Authenticator, CredentialFiles, Credentials, LoginError, LoginPlace, Token, TokenError, TokenInfo,
    UnwrappedIds, authenticator,
};
use super::cooldown::{AuthFailure, Tried};
use super::lease::{Lease, TokenSource};
use super::server::Server;
use super::token_state::{CurrentToken, DeniedRead, SetState, SharedBudget, TokenState};
use crate::config::provider::vault::{AuthSpec, VaultRead};
use crate::fault::{Fault, Kind};
use crate::name::CredentialsName;
use crate::secret::{FingerprintKey, SecretText};
use crate::telemetry::event;

/// The token of one credential set.
pub(super) struct CredentialSet {
    /// What logs and metrics call the set.
    pub(super) name: CredentialsName,
    spec: AuthSpec,
    pub(super) namespace: Option<String>,
    key: FingerprintKey,
    authenticator: Box<dyn Authenticator>,
    files: CredentialFiles,
    unwrapped: UnwrappedIds,
    /// Counts finished attempts: a task that waited for one can see that there was one.
    attempts: AtomicU64,
    flight: tokio::sync::Mutex<()>,
    state: Mutex<SetState>,
    /// Sent when there is another token, or none any more.
    replaced: watch::Sender<()>,
    /// Sent when other credentials than before have been tried.
    changed: watch::Sender<()>,
}

/// What became of credential files that look changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CredentialReload {
    /// There is nothing more to do until they change again.
    Done,
    /// They hold what the server does not know (yet): worth another look.
    NotYet,
}

impl CredentialSet {
    pub(super) fn new(
        name: CredentialsName,
        spec: AuthSpec,
        namespace: Option<String>,
        key: FingerprintKey,
        budget: SharedBudget,
    ) -> Self {
        Self {
            name,
            namespace,
            key,
            authenticator: authenticator(&spec),
            files: CredentialFiles::new(&spec),
            unwrapped: UnwrappedIds::default(),
            spec,
            attempts: AtomicU64::new(0),
            flight: tokio::sync::Mutex::default(),
            state: Mutex::new(SetState::new(budget)),
            replaced: watch::Sender::new(()),
            changed: watch::Sender::new(()),
        }
    }

    /// Whether both log in with the same credentials in the same namespace.
    pub(super) fn has_the_credentials_of(&self, other: &Self) -> bool {
        self.spec == other.spec && self.namespace == other.namespace
    }

    /// Takes over what `before` knows of credentials by their fingerprints, if both log in at one place: another file
    /// with the same credentials is no reason to try refused ones again, nor to open a wrapping token twice.
    pub(super) fn inherit(&self, before: &Self) {
        let cool_down = {
            let before = before.state();
            (before.cool_down.clone(), Arc::clone(&before.budget))
        };
        let mut state = self.state();
        state.budget = cool_down.1;
        if self.namespace == before.namespace && self.spec.mount() == before.spec.mount() {
            state.cool_down = cool_down.0;
            self.unwrapped.take_over(&before.unwrapped);
        }
    }

    /// The credential files, which are worth watching.
    pub(super) fn files(&self) -> &CredentialFiles {
        &self.files
    }

    /// The token that is in use, for its renewer.
    pub(super) fn current(&self) -> Option<Arc<Token>> {
        self.state().token.current().map(|current| Arc::clone(&current.token))
    }

    /// Changes when there is another token, or none any more.
    pub(super) fn replaced(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    /// Changes when other credentials than before have been tried.
    pub(super) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The token; logs in when there is none or its lease is over.
    ///
    /// # Errors
    /// The login failed, just now or within the cool-down of the credentials.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the login; the next caller starts one.
    pub(super) async fn token(&self, server: &Server) -> Result<Arc<Token>, Fault> {
        if let Some(token) = self.usable() {
            return Ok(token);
        }
        let seen = self.attempts.load(Ordering::Relaxed);
        let _flight = self.flight.lock().await;
        match self.usable() {
            Some(token) => Ok(token),
            None => self.replace(server, seen).await,
        }
    }

    /// Notes that `read` succeeded with `token`, which is proof that the token is good.
    pub(super) fn note_read(&self, token: &Arc<Token>, read: &VaultRead) {
        token.note_read(read);
        let mut state = self.state();
        let Some(current) = state.token.current_mut().filter(|current| Arc::ptr_eq(&current.token, token))
        else {
            return;
        };
        current.served = Some(Instant::now());
        if state.token.is_suspect() {
            state.are_look_ups_denied = true;
            state.trust();
        }
    }

    /// Finds out whether `used`, with which `read` was denied after it had begun at `begun`, is to blame, and replaces
    /// it if so. This is the whole answer to a 403: the look-up is the authenticator's, the waits are the cool-down's.
    ///
    /// # Errors
    /// The server did not say, or there is no other token.
    pub(super) async fn judge_denied(
        &self,
        server: &Server,
        used: &Arc<Token>,
        read: &VaultRead,
        begun: Instant,
    ) -> Result<DeniedRead, Fault> {
        let seen = self.attempts.load(Ordering::Relaxed);
        let _flight = self.flight.lock().await;
        let known = self.state().known_verdict(used, read, begun);
        if let Some(verdict) = known {
            return Ok(verdict);
        }
        let in_doubt = self.state().is_in_doubt();
        let blocked = match in_doubt {
            Ok(false) => match self.look_up(server, used).await {
                Ok(_) => {
                    self.verified(used);
                    self.state().are_look_ups_denied = false;
                    return Ok(DeniedRead::ByPolicy);
                }
                Err(TokenError::Refused(fault)) if fault.kind == Kind::Denied => self.suspect(server, used),
                Err(TokenError::Refused(fault) | TokenError::Other(fault)) => return Err(fault),
            },
            Ok(true) => None,
            Err(blocked) => Some(blocked),
        };
        match blocked {
            // Files may hold other credentials by now.
            Some(fault) if self.files.is_empty() => Err(fault),
            _ => self.replace(server, seen).await.map(DeniedRead::TokenReplaced),
        }
    }

    /// Asks the server about `token`.
    pub(super) async fn look_up(&self, server: &Server, token: &Token) -> Result<TokenInfo, TokenError> {
        self.authenticator.look_up(self.place(server), token).await
    }

    /// Renews `token`.
    pub(super) async fn renew(
        &self,
        server: &Server,
        token: &Token,
        granted: Duration,
    ) -> Result<Lease, TokenError> {
        self.authenticator.renew(self.place(server), token, granted).await
    }

    /// The lease of `token`, which is good, is another one now; false when it is not in use any more.
    pub(super) fn prolong(&self, token: &Arc<Token>, lease: &Lease) -> bool {
        let is_current = self.verified(token);
        if let Some(current) = self.state().token.current_mut().filter(|_| is_current) {
            current.end = lease.end();
        }
        is_current
    }

    /// A login ahead of time, while `token` is good. Nothing is done if another task has replaced it.
    ///
    /// # Errors
    /// As for [`CredentialSet::token`].
    pub(super) async fn log_in_ahead(&self, server: &Server, token: &Arc<Token>) -> Result<(), Fault> {
        let _flight = self.flight.lock().await;
        let is_current = self.current().is_some_and(|current| Arc::ptr_eq(&current, token));
        if is_current { self.log_in(server).await.map(drop) } else { Ok(()) }
    }

    /// Stops using `token`, which is static and must not be used.
    pub(super) async fn reject(&self, server: &Server, token: &Arc<Token>, fault: Fault) {
        let _flight = self.flight.lock().await;
        let fault = {
            let mut state = self.state();
            if !state.token.current().is_some_and(|current| Arc::ptr_eq(&current.token, token)) {
                return;
            }
            state.token = TokenState::None;
            let fault = self.named(fault);
            state.note(AuthFailure::Refused, fault)
        };
        self.replaced.send_replace(());
        self.report_failure(server, &fault);
    }

    /// Takes up credential files that look changed. What is empty, unreadable or half written changes nothing.
    pub(super) async fn reload_credentials(&self, server: &Server) -> CredentialReload {
        let _flight = self.flight.lock().await;
        if self.attempts.load(Ordering::Relaxed) == 0 {
            return CredentialReload::NotYet;
        }
        let Ok(credentials) = self.authenticator.load(&self.files).await else {
            return CredentialReload::Done;
        };
        let tried = self.tried(&credentials);
        if self.state().tried == Some(tried) {
            return CredentialReload::Done;
        }
        if self.is_rejected(server, &credentials).await {
            let (store, credentials) = (server.store.as_str(), self.name.as_str());
            event::new_token_rejected(store, credentials);
            return CredentialReload::NotYet;
        }
        // A failure is reported, and the token that was there stays in use.
        drop(self.log_in_with(server, credentials, tried).await);
        self.attempts.fetch_add(1, Ordering::Relaxed);
        CredentialReload::Done
    }

    /// Whether a static token that is new is refused by a look-up while the old one is not. Where even the good token
    /// may not look itself up, a refusal says nothing about the new one.
    async fn is_rejected(&self, server: &Server, credentials: &Credentials) -> bool {
        let Some(old) = self.usable().filter(|old| old.source() == TokenSource::Static) else {
            return false;
        };
        let new = Credentials(credentials.0.clone());
        let Ok(new) = self.authenticator.login(self.place(server), new, &self.unwrapped).await else {
            return false;
        };
        matches!(self.look_up(server, &new).await, Err(TokenError::Refused(_)))
            && self.look_up(server, &old).await.is_ok()
    }

    fn usable(&self) -> Option<Arc<Token>> {
        self.state().usable()
    }

    /// The server has said that `token` is good; false when it is not in use any more.
    fn verified(&self, token: &Arc<Token>) -> bool {
        let mut state = self.state();
        let Some(current) = state.token.current_mut().filter(|current| Arc::ptr_eq(&current.token, token))
        else {
            return false;
        };
        current.verified = Some(Instant::now());
        state.trust();
        true
    }

    /// Notes that `token` is bad. A login follows, unless its credentials have to cool down, which is given: a login
    /// token that was bad from the start is like a refused login, and one that ends again and again only slows the
    /// logins down.
    fn suspect(&self, server: &Server, token: &Token) -> Option<Fault> {
        let blocked = {
            let mut state = self.state();
            let failure = state.failure_of(token);
            state.token.make_suspect();
            let (failure, fault) = failure?;
            let fault = state.note(failure, self.named(fault));
            state.blocked().map(|_| fault)
        };
        if let Some(fault) = blocked.as_ref().filter(|_| token.source() == TokenSource::Login) {
            let (store, credentials) = (server.store.as_str(), self.name.as_str());
            event::login_failed(store, credentials, fault, false);
        }
        blocked
    }

    /// Logs in. A task that waited while an attempt failed (`seen` is older than it) gets its fault and makes none of
    /// its own.
    async fn replace(&self, server: &Server, seen: u64) -> Result<Arc<Token>, Fault> {
        if self.attempts.load(Ordering::Relaxed) != seen
            && let Some(fault) = &self.state().failure
        {
            return Err(fault.clone());
        }
        self.log_in(server).await
    }

    async fn log_in(&self, server: &Server) -> Result<Arc<Token>, Fault> {
        let outcome = match self.authenticator.load(&self.files).await {
            Ok(credentials) => {
                let tried = self.tried(&credentials);
                self.log_in_with(server, credentials, tried).await
            }
            Err(fault) => {
                let mut state = self.state();
                state.tried = None;
                let fault = self.named(fault);
                state.failure = Some(fault.clone());
                Err(fault)
            }
        };
        self.attempts.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    /// Tries `credentials`, unless they have to cool down; wakes those who wait for other ones.
    async fn log_in_with(
        &self,
        server: &Server,
        credentials: Credentials,
        tried: Tried,
    ) -> Result<Arc<Token>, Fault> {
        let (blocked, before) = {
            let mut state = self.state();
            let before = state.tried.replace(tried);
            (state.blocked(), before)
        };
        let outcome = match blocked {
            Some(fault) => {
                self.state().failure = Some(fault.clone());
                Err(fault)
            }
            None => match self.authenticator.login(self.place(server), credentials, &self.unwrapped).await {
                Ok(token) => Ok(self.accept(server, token)),
                Err(error) => Err(self.login_failed(server, error)),
            },
        };
        if before != Some(tried) {
            self.changed.send_replace(());
        }
        outcome.map_err(|fault| self.clear_retry_after(fault))
    }

    fn login_failed(&self, server: &Server, error: LoginError) -> Fault {
        let fault = self.named(error.fault);
        if fault.kind == Kind::CircuitOpen {
            // Nothing was sent.
            self.state().failure = Some(fault.clone());
            return fault;
        }
        let fault = self.state().note(error.failure, fault);
        self.report_failure(server, &fault);
        fault
    }

    fn accept(&self, server: &Server, token: Token) -> Arc<Token> {
        let token = Arc::new(token);
        let end = token.lease.end();
        {
            let mut state = self.state();
            let current = CurrentToken { token: Arc::clone(&token), end, verified: None, served: None };
            state.token = TokenState::Serving(current);
            state.failure = None;
            // A static token has proved nothing yet, nor that there is a login.
            if token.source() == TokenSource::Login {
                state.cool_down.logged_in();
            }
        }
        self.replaced.send_replace(());
        let (store, credentials) = (server.store.as_str(), self.name.as_str());
        match token.source() {
            TokenSource::Login => event::logged_in(store, credentials, server.wall_time(end)),
            TokenSource::Static => event::token_configured(store, credentials),
        }
        token
    }

    fn report_failure(&self, server: &Server, fault: &Fault) {
        let (store, credentials) = (server.store.as_str(), self.name.as_str());
        event::login_failed(store, credentials, fault, self.usable().is_some());
    }

    fn place<'a>(&'a self, server: &'a Server) -> LoginPlace<'a> {
        LoginPlace { server, namespace: self.namespace.as_deref() }
    }

    fn tried(&self, credentials: &Credentials) -> Tried {
        let whole = self.key.of(&credentials.joined());
        // A static token is its own identity: the server locks nobody for it.
        let identity = match (self.spec.mount(), credentials.0.first()) {
            (Some(mount), Some((_, identity))) => {
                let namespace = self.namespace.clone().unwrap_or_default();
                let place = [namespace, mount.to_owned()].map(|part| ("", SecretText::new(part)));
                let parts = place.into_iter().chain([("", identity.clone())]).collect();
                self.key.of(&Credentials(parts).joined())
            }
            _ => whole,
        };
        Tried { credentials: whole, identity }
    }

    /// Nobody need keep away from the server while credentials from a file cool down: each try reads the file, and only
    /// other credentials are sent.
    fn clear_retry_after(&self, fault: Fault) -> Fault {
        Fault { retry_after: fault.retry_after.filter(|_| self.files.is_empty()), ..fault }
    }

    fn named(&self, fault: Fault) -> Fault {
        if self.name == CredentialsName::main() {
            return fault;
        }
        Fault { message: format!("credentials {}: {}", self.name, fault.message), ..fault }
    }

    /// No code runs under this lock that could panic or wait.
    fn state(&self) -> MutexGuard<'_, SetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
