//! One credential set: its token, as a state machine. One login serves all who wait for it; a token that turns out to
//! be bad is replaced; what fails cools down.
//!
//! `flight` is the single flight: its holder asks the server, the others wait for the outcome. The state has a lock of
//! its own, so that nobody waits for a login that is made ahead of time while the token is good.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;
use tokio::time::{Duration, Instant};
use zeroize::Zeroizing;

use super::auth::{
    AuthError, Authenticator, CredentialFiles, Credentials, Token, TokenInfo, UnwrappedIds, authenticator,
};
use super::cooldown::{AuthFailure, Tried};
use super::lease::{Lease, TokenSource};
use super::login_memory::LoginMemory;
use super::server::Server;
use super::token_state::{CurrentToken, DeniedRead, SetState, SharedBudget, TokenState};
use crate::config::provider::vault::AuthSpec;
use crate::fault::{Fault, Kind};
use crate::net::Address;
use crate::secret::{Fingerprint, FingerprintKey, SecretText};
use crate::store::issuer::{TokenLife, TokenMemory, TokenOrigin};
use crate::telemetry::event;

/// The token of one credential set.
pub(super) struct CredentialSet {
    spec: AuthSpec,
    namespace: Option<String>,
    key: FingerprintKey,
    authenticator: Box<dyn Authenticator>,
    files: CredentialFiles,
    unwrapped: UnwrappedIds,
    flight: tokio::sync::Mutex<()>,
    state: Mutex<SetState>,
    /// Sent when there is another token, or none any more.
    replaced: watch::Sender<()>,
    /// Sent when other credentials than before have been tried.
    changed: watch::Sender<()>,
    /// What is known of the token's life.
    life: watch::Sender<Option<TokenLife>>,
    /// Where its tokens issue something: by this they are known again after a restart.
    pub(super) memory: OnceLock<LoginMemory>,
}

impl CredentialSet {
    pub(super) fn new(
        spec: AuthSpec,
        namespace: Option<String>,
        key: FingerprintKey,
        budget: SharedBudget,
    ) -> Self {
        Self {
            namespace,
            key,
            authenticator: authenticator(&spec),
            files: CredentialFiles::new(&spec),
            unwrapped: UnwrappedIds::default(),
            spec,
            flight: tokio::sync::Mutex::default(),
            state: Mutex::new(SetState { budget, ..SetState::default() }),
            replaced: watch::Sender::new(()),
            changed: watch::Sender::new(()),
            life: watch::Sender::new(None),
            memory: OnceLock::new(),
        }
    }

    /// Whether both log in with the same credentials in the same namespace.
    pub(super) fn has_the_credentials_of(&self, other: &Self) -> bool {
        self.spec == other.spec && self.namespace == other.namespace
    }

    /// Takes over what `before` knows of credentials by their fingerprints, if both log in at one place: another file
    /// with the same credentials is no reason to try refused ones again, nor to open a wrapping token twice.
    pub(super) fn inherit(&self, before: &Self) {
        let cool_down = before.state().cool_down.clone();
        let mut state = self.state();
        state.has_begun = true;
        if self.namespace == before.namespace && self.spec.mount() == before.spec.mount() {
            state.cool_down = cool_down;
            self.unwrapped.take_over(&before.unwrapped);
        }
    }

    /// Counts refused logins in `budget`.
    pub(super) fn count_refusals_in(&self, budget: &SharedBudget) {
        self.state().budget = Arc::clone(budget);
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

    /// What is known of the token's life: changes when there is another one, or none, and when it is prolonged.
    pub(super) fn token_life(&self) -> watch::Receiver<Option<TokenLife>> {
        self.life.subscribe()
    }

    /// What is known of the life of `token`, in use or not any more.
    pub(super) fn life_of(&self, token: &Token) -> Option<TokenLife> {
        let (own, current) = (self.life(token, &token.lease)?, *self.life.borrow());
        Some(current.filter(|current| current.token == own.token).unwrap_or(own))
    }

    /// Its tokens issue something: `tokens` knows them again after a restart. They are sent to `address`.
    pub(super) fn remember(&self, tokens: &Arc<dyn TokenMemory>, address: &Address) {
        if self.memory.set(LoginMemory::new(tokens, address)).is_ok()
            && let Some(text) = self.current().as_deref().and_then(Token::text)
        {
            let token = self.fingerprint(text);
            self.life.send_modify(|life| *life = life.map(|life| TokenLife { token, ..life }));
        }
    }

    fn life(&self, token: &Token, lease: &Lease) -> Option<TokenLife> {
        token.life(lease, |text| self.fingerprint(text))
    }

    fn fingerprint(&self, token: &SecretText) -> Fingerprint {
        match self.memory.get() {
            Some(memory) => memory.fingerprint(token),
            // EXPOSE: a keyed fingerprint is all that leaves.
            None => self.key.of(token.expose().as_bytes()),
        }
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
        let seen = self.state().attempts;
        let _flight = self.flight.lock().await;
        match self.usable() {
            Some(token) => Ok(token),
            None => self.replace(server, seen).await,
        }
    }

    /// Notes that `read` succeeded with `token`, which is proof that the token is good.
    pub(super) fn note_read(&self, token: &Arc<Token>, read: &impl Hash) {
        token.note_read(read);
        let mut state = self.state();
        let Some(current) = state.token.in_use(token) else { return };
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
        read: &impl Hash,
        begun: Instant,
    ) -> Result<DeniedRead, Fault> {
        let seen = self.state().attempts;
        let _flight = self.flight.lock().await;
        if let Some(verdict) = self.state().known_verdict(used, read, begun) {
            return Ok(verdict);
        }
        let in_doubt = self.state().is_in_doubt();
        let blocked = match in_doubt {
            Ok(false) => match self.look_up(server, used).await {
                Ok(info) => {
                    self.prolong(used, &info.lease);
                    self.state().are_look_ups_denied = false;
                    return Ok(DeniedRead::ByPolicy);
                }
                Err(AuthError { failure: AuthFailure::Refused, fault }) if fault.kind == Kind::Denied => {
                    self.suspect(server, used)
                }
                Err(AuthError { fault, .. }) => return Err(fault),
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
    pub(super) async fn look_up(&self, server: &Server, token: &Token) -> Result<TokenInfo, AuthError> {
        self.authenticator.look_up(server, token).await
    }

    /// Renews `token`.
    pub(super) async fn renew(
        &self,
        server: &Server,
        token: &Token,
        granted: Duration,
    ) -> Result<Lease, AuthError> {
        self.authenticator.renew(server, token, granted).await
    }

    /// The server has said that `token` is good, and that its lease is `lease`; false when it is not in use any more.
    pub(super) fn prolong(&self, token: &Arc<Token>, lease: &Lease) -> bool {
        let mut state = self.state();
        let Some(current) = state.token.in_use(token) else { return false };
        current.verified = Some(Instant::now());
        if !matches!(lease, Lease::Unknown { .. }) {
            current.end = lease.end();
            self.publish(self.life(token, lease));
        }
        state.trust();
        true
    }

    /// A login ahead of time, while `token` is good. Nothing is done if another task has replaced it.
    ///
    /// # Errors
    /// As for [`CredentialSet::token`].
    pub(super) async fn log_in_ahead(&self, server: &Server, token: &Arc<Token>) -> Result<(), Fault> {
        let _flight = self.flight.lock().await;
        let is_current = self.state().token.in_use(token).is_some();
        if is_current { self.log_in(server).await.map(drop) } else { Ok(()) }
    }

    /// Stops using `token`, which is static and must not be used.
    pub(super) fn reject(&self, server: &Server, token: &Arc<Token>, fault: Fault) {
        let fault = {
            let mut state = self.state();
            if state.token.in_use(token).is_none() {
                return;
            }
            state.token = TokenState::None;
            state.note(AuthFailure::Refused, server.named(fault))
        };
        self.publish(None);
        self.replaced.send_replace(());
        self.report_failure(server, &fault);
    }

    /// Stops using `token`, which has been revoked.
    pub(super) fn drop_token(&self, token: &Arc<Token>) {
        if self.state().forget(token) {
            self.publish(None);
            self.replaced.send_replace(());
        }
    }

    /// Whether the token is gone, and no login brings another one.
    pub(super) fn is_token_lost(&self) -> bool {
        self.state().is_token_lost()
    }

    /// Says what is known of the token's life, if that is news.
    fn publish(&self, life: Option<TokenLife>) {
        self.life.send_if_modified(|known| std::mem::replace(known, life) != life);
    }

    /// Takes up credential files that look changed; false where another look is worth it although they stay as they are.
    /// What is empty, unreadable or half written changes nothing.
    pub(super) async fn reload_credentials(&self, server: &Server) -> bool {
        let _flight = self.flight.lock().await;
        let (attempts, was_good) = {
            let state = self.state();
            (state.attempts, state.failure.is_none())
        };
        if attempts == 0 {
            return false;
        }
        if was_good && !self.authenticator.takes_up_new_files() {
            return true;
        }
        let Ok(credentials) = self.authenticator.load(&self.files, server.now()).await else {
            return true;
        };
        if self.state().tried == Some(self.tried(&credentials)) {
            return true;
        }
        if self.is_rejected(server, &credentials).await {
            let (store, credentials) = server.labels();
            event::new_token_rejected(store, credentials);
            return false;
        }
        // A failure is reported, and the token that was there stays in use.
        drop(self.attempt(server, Ok(credentials)).await);
        true
    }

    /// Whether a static token that is new is refused by a look-up while the old one is not. Where even the good token
    /// may not look itself up, a refusal says nothing about the new one.
    async fn is_rejected(&self, server: &Server, credentials: &Credentials) -> bool {
        let Some(old) = self.usable().filter(|old| old.source() == TokenSource::Static) else {
            return false;
        };
        let new = Credentials(credentials.0.clone());
        let Ok(new) = self.authenticator.login(server, new, &self.unwrapped).await else { return false };
        let is_refused = |error: AuthError| error.failure == AuthFailure::Refused;
        self.look_up(server, &new).await.is_err_and(is_refused) && self.look_up(server, &old).await.is_ok()
    }

    fn usable(&self) -> Option<Arc<Token>> {
        self.state().usable()
    }

    /// Notes that `token` is bad. A login follows, unless its credentials have to cool down, which is given: a login
    /// token that was bad from the start is like a refused login, and one that ends again and again only slows the
    /// logins down.
    fn suspect(&self, server: &Server, token: &Token) -> Option<Fault> {
        let fault = {
            let mut state = self.state();
            let failure = state.failure_of(token);
            state.suspect();
            let (failure, fault) = failure?;
            let fault = state.note(failure, server.named(fault));
            state.blocked()?;
            fault
        };
        if token.source() == TokenSource::Login {
            let (store, credentials) = server.labels();
            event::login_failed(store, credentials, &fault, false);
        }
        Some(fault)
    }

    /// Logs in. A task that waited while an attempt failed (`seen` is older than it) gets its fault and makes none of
    /// its own.
    async fn replace(&self, server: &Server, seen: u64) -> Result<Arc<Token>, Fault> {
        let (attempts, failure) = {
            let state = self.state();
            (state.attempts, state.failure.clone())
        };
        match failure {
            Some(fault) if attempts != seen => Err(fault),
            _ => self.log_in(server).await,
        }
    }

    async fn log_in(&self, server: &Server) -> Result<Arc<Token>, Fault> {
        let credentials = self.authenticator.load(&self.files, server.now()).await;
        self.attempt(server, credentials).await
    }

    /// Tries the credentials that were read, unless they have to cool down; wakes those who wait for other ones.
    async fn attempt(
        &self,
        server: &Server,
        credentials: Result<Credentials, Fault>,
    ) -> Result<Arc<Token>, Fault> {
        let outcome = match credentials {
            Ok(credentials) => self.log_in_with(server, credentials).await,
            Err(fault) => {
                self.state().tried = None;
                Err(server.named(fault))
            }
        };
        let mut state = self.state();
        state.attempts += 1;
        state.failure = outcome.as_ref().err().cloned();
        outcome
    }

    async fn log_in_with(&self, server: &Server, credentials: Credentials) -> Result<Arc<Token>, Fault> {
        let tried = self.tried(&credentials);
        let (blocked, before) = {
            let mut state = self.state();
            let before = state.tried.replace(tried);
            (state.blocked(), before)
        };
        let outcome = match blocked {
            Some(fault) => Err(fault),
            None => match self.obtain(server, credentials).await {
                Ok(token) => Ok(self.accept(server, token)),
                Err(error) => Err(self.login_failed(server, error)),
            },
        };
        if before != Some(tried) {
            self.changed.send_replace(());
        }
        // Nobody need keep away from the server while credentials from a file cool down: each try reads the file, and
        // only other credentials are sent.
        let is_final = self.files.is_empty();
        outcome.map_err(|fault| Fault { retry_after: fault.retry_after.filter(|_| is_final), ..fault })
    }

    /// The token of an earlier process if it is still good, otherwise that of a login.
    async fn obtain(&self, server: &Server, credentials: Credentials) -> Result<Token, AuthError> {
        let who = (&self.spec, self.namespace.as_deref());
        let origin = self.memory.get().and_then(|memory| memory.origin(server.labels(), who, &credentials));
        if let Some(kept) = self.kept(server, origin).await? {
            return Ok(kept);
        }
        let token = self.authenticator.login(server, credentials, &self.unwrapped).await?;
        Ok(token.of_origin(origin))
    }

    async fn kept(&self, server: &Server, origin: Option<TokenOrigin>) -> Result<Option<Token>, AuthError> {
        let memory = self.memory.get().filter(|_| !self.state().has_begun);
        let Some((memory, origin)) = memory.zip(origin) else { return Ok(None) };
        let Some(token) = memory.token(origin).await else { return Ok(None) };
        match self.look_up(server, &token).await {
            Ok(TokenInfo { lease, granted, uses: 0 }) => Ok(Some(token.with_lease(lease, granted))),
            Err(error) if error.failure == AuthFailure::Unavailable => Err(error),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    fn login_failed(&self, server: &Server, error: AuthError) -> Fault {
        let fault = server.named(error.fault);
        if fault.kind == Kind::CircuitOpen {
            // Nothing was sent.
            return fault;
        }
        let fault = self.state().note(error.failure, fault);
        self.report_failure(server, &fault);
        fault
    }

    fn accept(&self, server: &Server, token: Token) -> Arc<Token> {
        let (end, token) = (token.lease.end(), Arc::new(token));
        let is_kept = token.kept.initialized();
        {
            let mut state = self.state();
            state.has_begun = true;
            let verified = is_kept.then(Instant::now);
            let current = CurrentToken { token: Arc::clone(&token), end, verified, served: None };
            state.token = TokenState::Serving(current);
            // A static token has proved nothing yet, nor that there is a login.
            if token.source() == TokenSource::Login {
                state.cool_down.logged_in();
            }
        }
        self.publish(self.life(&token, &token.lease));
        self.replaced.send_replace(());
        let (store, credentials) = server.labels();
        match token.source() {
            TokenSource::Login if is_kept => event::token_resumed(store, credentials, server.wall_time(end)),
            TokenSource::Login => event::logged_in(store, credentials, server.wall_time(end)),
            TokenSource::Static => event::token_configured(store, credentials),
        }
        token
    }

    fn report_failure(&self, server: &Server, fault: &Fault) {
        let (store, credentials) = server.labels();
        event::login_failed(store, credentials, fault, self.usable().is_some());
    }

    fn tried(&self, credentials: &Credentials) -> Tried {
        // EXPOSE: into buffers that are fingerprinted and wiped. No part holds a NUL.
        let parts: Vec<&str> = credentials.0.iter().map(|(_, part)| part.expose()).collect();
        let fingerprint = |parts: &[&str]| self.key.of(Zeroizing::new(parts.join("\0")).as_bytes());
        let whole = fingerprint(&parts);
        // A static token is its own identity: the server locks nobody for it.
        let identity = match (self.spec.mount(), parts.first()) {
            (Some(mount), Some(identity)) => {
                fingerprint(&[self.namespace.as_deref().unwrap_or_default(), mount, identity])
            }
            _ => whole,
        };
        Tried { credentials: whole, identity }
    }

    /// No code runs under this lock that could panic or wait.
    fn state(&self) -> MutexGuard<'_, SetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
