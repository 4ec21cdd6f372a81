//! One credential set's token: got when first needed, by one login for all who wait, and replaced when it turns out
//! to be bad, when its keeper says so, or when its files change.
//!
//! `flight` is the single flight: who holds it asks the server, the others wait for the outcome. The state has a lock
//! of its own, so that nobody waits for a login that is made ahead of time while the earlier token serves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::lease::{Lease, Origin};
use super::login::{Credentials, LoginFailure, Token};
use super::renew::{self, Denial};
use super::rests::{FRESH, Rests};
use super::server::Server;
use super::unwrap::{self, Opened};
use crate::config::provider::vault::AuthSpec;
use crate::fault::{Fault, Kind};
use crate::name::CredentialsName;
use crate::secret::{Fingerprint, FingerprintKey};
use crate::telemetry::event::{LoggedIn, LoginFailed, NewTokenRefused};

/// Who was refused while the token was being looked up need not ask again.
const VERDICT_HOLDS: Duration = Duration::from_secs(1);

/// A token this near its end may have ended on the way.
const MOMENT: Duration = Duration::from_secs(1);

/// The token of one credential set.
pub(super) struct Session {
    /// What logs and metrics call the set.
    pub(super) name: CredentialsName,
    /// What messages call the set.
    label: String,
    auth: AuthSpec,
    pub(super) namespace: Option<String>,
    key: FingerprintKey,
    /// Counts finished attempts, so that who waited for one can tell that there was one.
    attempts: AtomicU64,
    flight: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// Told when there is another token, or none any more.
    moved: watch::Sender<()>,
    /// Told when other credentials than before have been tried.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    /// When it ends, as far as is known.
    end: Option<Instant>,
    /// When the server last said that the token is good.
    good_at: Option<Instant>,
    /// The server has refused this token right after its login. It is kept until there may be another one: where
    /// tokens may not look themselves up, it is good for all that its policy allows.
    is_doubtful: bool,
    /// Why the last attempt failed, if it did.
    failure: Option<Fault>,
    /// The credentials that were tried last; `None` where they could not be read.
    tried: Option<Fingerprint>,
    rests: Rests,
    opened: Option<Opened>,
    /// The credentials whose wrapped secret id did not open, for good.
    closed: Option<(Fingerprint, Fault)>,
}

/// Why a read was forbidden.
pub(super) enum Verdict {
    /// The token is good: it is a matter of policy.
    TokenIsGood,
    /// The token was bad; here is another.
    Replaced(Arc<Token>),
}

/// What became of credential files that look changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TakenUp {
    /// There is nothing more to do until they change again.
    Done,
    /// They hold what the server does not know (yet): worth another look.
    NotYet,
}

impl Session {
    /// Whether both log in with the same credentials in the same namespace.
    pub(super) fn is_of_the_credentials_of(&self, other: &Self) -> bool {
        self.auth == other.auth && self.namespace == other.namespace
    }

    /// Takes over what `before` knows of credentials by their fingerprints, if both log in at one place: another file with
    /// the same credentials is no reason to try refused ones again, nor to open a wrapping token twice.
    pub(super) fn inherit(&self, before: &Self) {
        if self.namespace == before.namespace && self.auth.mount() == before.auth.mount() {
            let State { rests, opened, closed, .. } = &*before.state();
            let mut state = self.state();
            (state.rests, state.opened, state.closed) = (rests.clone(), opened.clone(), closed.clone());
        }
    }

    pub(super) fn new(
        name: CredentialsName,
        label: String,
        auth: AuthSpec,
        namespace: Option<String>,
        key: FingerprintKey,
    ) -> Self {
        let (moved, changed) = (watch::Sender::new(()), watch::Sender::new(()));
        let (attempts, flight, state) = (AtomicU64::new(0), tokio::sync::Mutex::default(), Mutex::default());
        Self { name, label, auth, namespace, key, attempts, flight, state, moved, changed }
    }

    /// The token; logs in when there is none or its lease is over.
    ///
    /// # Errors
    /// The login failed, just now or within the time that refused credentials must rest.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the login; the next caller starts one.
    pub(super) async fn token(&self, server: &Server) -> Result<Arc<Token>, Fault> {
        if let Some(token) = self.serving() {
            return Ok(token);
        }
        let seen = self.attempts.load(Ordering::Relaxed);
        let _flight = self.flight.lock().await;
        match self.serving() {
            Some(token) => Ok(token),
            None => self.replace(server, seen).await,
        }
    }

    /// Finds out whether `used`, with which a read was forbidden, is to blame, and replaces it if so.
    ///
    /// # Errors
    /// The server did not say, or there is no other token.
    pub(super) async fn recheck(&self, server: &Server, used: &Arc<Token>) -> Result<Verdict, Fault> {
        let seen = self.attempts.load(Ordering::Relaxed);
        let _flight = self.flight.lock().await;
        let (current, is_good, is_doubtful) = {
            let state = self.state();
            let is_good = state.good_at.is_some_and(|at| at.elapsed() < VERDICT_HOLDS);
            (state.token.clone(), is_good, state.is_doubtful)
        };
        match current {
            Some(current) if !Arc::ptr_eq(&current, used) => return Ok(Verdict::Replaced(current)),
            Some(_) if is_good => return Ok(Verdict::TokenIsGood),
            Some(_) if is_doubtful => match self.resting() {
                Some(fault) => return Err(self.unhurried(fault)),
                None => self.discard(used),
            },
            Some(_) if self.is_good(server, used).await? => {
                let mut state = self.state();
                state.good_at = Some(Instant::now());
                state.rests.forgive();
                return Ok(Verdict::TokenIsGood);
            }
            Some(_) => match self.spoil(server, used) {
                Some(fault) => return Err(self.unhurried(fault)),
                None => self.discard(used),
            },
            None => {}
        }
        self.replace(server, seen).await.map(Verdict::Replaced)
    }

    /// The token that is in use and where it comes from, for its keeper.
    pub(super) fn held(&self) -> Option<(Arc<Token>, Origin)> {
        self.state().token.clone().map(|token| (token, self.origin()))
    }

    /// Tells when there is another token, or none any more.
    pub(super) fn moved(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    /// Tells when other credentials than before have been tried.
    pub(super) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The lease of `token` is another one now; false when it is not in use any more.
    pub(super) fn prolong(&self, token: &Arc<Token>, lease: &Lease) -> bool {
        let mut state = self.state();
        let is_current = state.token.as_ref().is_some_and(|current| Arc::ptr_eq(current, token));
        if is_current {
            state.end = lease.end();
            token.note_served();
        }
        is_current
    }

    /// A login ahead of time, while `token` serves on. Nothing is done if somebody else has replaced it.
    ///
    /// # Errors
    /// As for [`Session::token`].
    pub(super) async fn log_in_ahead(&self, server: &Server, token: &Arc<Token>) -> Result<(), Fault> {
        let _flight = self.flight.lock().await;
        let is_current = self.state().token.as_ref().is_some_and(|current| Arc::ptr_eq(current, token));
        if is_current { self.counted(server).await.map(drop) } else { Ok(()) }
    }

    /// Gives up `token`, which was given and is not to be used.
    pub(super) async fn reject(&self, server: &Server, token: &Arc<Token>, fault: Fault) {
        let _flight = self.flight.lock().await;
        let mut state = self.state();
        if !state.token.as_ref().is_some_and(|current| Arc::ptr_eq(current, token)) {
            return;
        }
        (state.token, state.end) = (None, None);
        let print = Credentials::Token(token.text.clone()).fingerprint(&self.key);
        let fault = state.refuse(self.named(fault), print);
        drop(state);
        self.moved.send_replace(());
        self.report_failure(server, &fault);
    }

    /// Takes up credential files that look changed. What is empty, unreadable or half written changes nothing.
    pub(super) async fn take_up(&self, server: &Server) -> TakenUp {
        let _flight = self.flight.lock().await;
        if self.attempts.load(Ordering::Relaxed) == 0 {
            return TakenUp::NotYet;
        }
        let Ok(credentials) = Credentials::load(&self.auth).await else { return TakenUp::Done };
        let print = credentials.fingerprint(&self.key);
        if self.state().tried == Some(print) {
            return TakenUp::Done;
        }
        let serving = self.serving();
        if let (Credentials::Token(new), Some(old)) = (&credentials, serving) {
            let caller = self.namespace.as_deref();
            // Where even the good token may not look itself up, a refusal says nothing about the new one.
            if let Err(Denial::Refused(_)) = renew::look_up(server, caller, new).await
                && renew::look_up(server, caller, &old.text).await.is_ok()
            {
                let (store, credentials) = (server.store.as_str(), self.name.as_str());
                NewTokenRefused { store, credentials }.emit();
                return TakenUp::NotYet;
            }
        }
        // A failure is reported, and the token that was there serves on.
        drop(self.attempt_with(server, credentials, print).await);
        self.attempts.fetch_add(1, Ordering::Relaxed);
        TakenUp::Done
    }

    /// The credential files, which are worth watching.
    pub(super) fn files(&self) -> Vec<std::path::PathBuf> {
        self.auth.files().map(std::path::Path::to_path_buf).collect()
    }

    fn origin(&self) -> Origin {
        match self.auth {
            AuthSpec::None | AuthSpec::Token { .. } => Origin::Given,
            AuthSpec::AppRole { .. } => Origin::Login,
        }
    }

    /// The token that readers use. One that was given is used beyond the end that is known of it: others may have
    /// renewed it, and the server is who knows.
    fn serving(&self) -> Option<Arc<Token>> {
        let state = self.state();
        let is_over = state.end.is_some_and(|end| end <= Instant::now()) && self.origin() == Origin::Login;
        state.token.clone().filter(|_| !is_over)
    }

    async fn is_good(&self, server: &Server, token: &Token) -> Result<bool, Fault> {
        match renew::look_up(server, self.namespace.as_deref(), &token.text).await {
            Ok(_) => Ok(true),
            Err(Denial::Refused(fault)) if fault.kind == Kind::Denied => Ok(false),
            Err(Denial::Refused(fault) | Denial::Other(fault)) => Err(fault),
        }
    }

    /// The fault of the credentials of the token, if they rest.
    fn resting(&self) -> Option<Fault> {
        let mut state = self.state();
        let print = state.tried?;
        state.still_held(print)
    }

    /// Notes that `token` is bad. One that was so right after its login, and was never good for anything, counts as
    /// refused credentials; one that somebody ends again and again only paces the logins, so that neither follow each
    /// other without end. Gives the fault where the credentials must rest.
    fn spoil(&self, server: &Server, token: &Token) -> Option<Fault> {
        token.logged_in.filter(|at| at.elapsed() < FRESH)?;
        let mut state = self.state();
        let print = state.tried?;
        let fault = if token.has_served() {
            state.end.is_none_or(|end| end > Instant::now() + MOMENT).then_some(())?;
            let message =
                format!("{}: tokens end soon after their login, or may not look themselves up", self.label);
            let remedy =
                "allow them `auth/token/lookup-self`; else ask the server's audit log who revokes them";
            state.rests.wear(Fault::new(Kind::Login, message, remedy), print)?
        } else {
            let message = format!("{}: the login succeeds, but its tokens are refused at once", self.label);
            let remedy = "check the role's token_bound_cidrs and its `default` policy (tokens must look themselves \
                          up), and whether standby nodes lag";
            state.rests.spoil(Fault::new(Kind::Login, message, remedy), print)?
        };
        state.is_doubtful = true;
        drop(state);
        let (store, credentials) = (server.store.as_str(), self.name.as_str());
        LoginFailed { store, credentials, fault: &fault, serves: false }.emit();
        Some(fault)
    }

    /// Throws a bad token away. One that was given counts as refused credentials: nobody can make a new one of it.
    fn discard(&self, token: &Arc<Token>) {
        let mut state = self.state();
        (state.token, state.end) = (None, None);
        if self.origin() == Origin::Given {
            let message = format!("{}: the token is not valid (any more)", self.label);
            let remedy = "provide a new token; it also needs the `default` policy, to look itself up";
            let print = Credentials::Token(token.text.clone()).fingerprint(&self.key);
            state.refuse(Fault::new(Kind::Login, message, remedy), print);
        }
        drop(state);
        self.moved.send_replace(());
    }

    /// Logs in. Who waited while an attempt failed (`seen` is older than it) gets its fault and makes none of his own.
    async fn replace(&self, server: &Server, seen: u64) -> Result<Arc<Token>, Fault> {
        if self.attempts.load(Ordering::Relaxed) != seen
            && let Some(fault) = &self.state().failure
        {
            return Err(fault.clone());
        }
        self.counted(server).await
    }

    async fn counted(&self, server: &Server) -> Result<Arc<Token>, Fault> {
        let outcome = match Credentials::load(&self.auth).await {
            Ok(credentials) => {
                let print = credentials.fingerprint(&self.key);
                self.attempt_with(server, credentials, print).await
            }
            Err(fault) => {
                let mut state = self.state();
                state.tried = None;
                Err(state.fail(self.named(fault)))
            }
        };
        self.attempts.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    /// Tries `credentials`; tells those who wait for other ones.
    async fn attempt_with(
        &self,
        server: &Server,
        credentials: Credentials,
        print: Fingerprint,
    ) -> Result<Arc<Token>, Fault> {
        let (held, before) = {
            let mut state = self.state();
            (state.still_held(print), state.tried.replace(print))
        };
        let outcome = match held {
            Some(fault) => {
                self.state().failure = Some(fault.clone());
                Err(self.unhurried(fault))
            }
            None => self.attempt(server, credentials, print).await,
        };
        if before != Some(print) {
            self.changed.send_replace(());
        }
        outcome
    }

    async fn attempt(
        &self,
        server: &Server,
        credentials: Credentials,
        print: Fingerprint,
    ) -> Result<Arc<Token>, Fault> {
        let namespace = self.namespace.as_deref();
        let outcome = match self.open(server, credentials).await {
            Ok(credentials) => credentials.log_in(server, namespace).await,
            Err(failure) => Err(failure),
        };
        let fault = match outcome {
            Ok(token) => return Ok(self.accept(server, token)),
            // The wrapping token is kept from being sent again by its outcome, which is remembered.
            Err(LoginFailure::Refused(fault)) if fault.kind == Kind::Unwrap => {
                let fault = self.named(fault);
                let mut state = self.state();
                state.closed = Some((print, fault.clone()));
                state.fail(fault)
            }
            Err(LoginFailure::Refused(fault)) => self.state().refuse(self.named(fault), print),
            // Nothing was sent.
            Err(LoginFailure::Other(fault)) if fault.kind == Kind::CircuitOpen => {
                let fault = self.state().fail(self.named(fault));
                return Err(self.unhurried(fault));
            }
            Err(LoginFailure::Odd(fault)) => self.state().fall_short(self.named(fault), print, false),
            Err(LoginFailure::Other(fault)) => self.state().fall_short(self.named(fault), print, true),
        };
        self.report_failure(server, &fault);
        Err(self.unhurried(fault))
    }

    /// Opens a wrapped secret id, once.
    async fn open(&self, server: &Server, credentials: Credentials) -> Result<Credentials, LoginFailure> {
        let Credentials::AppRole { mount, role_id, secret_id: Some(wrapping), is_wrapped: true } =
            credentials
        else {
            return Ok(credentials);
        };
        let print = Credentials::Token(wrapping.clone()).fingerprint(&self.key);
        let known =
            self.state().opened.as_ref().filter(|opened| opened.wrapping == print).map(|o| o.outcome.clone());
        let outcome = match known {
            Some(outcome) => outcome,
            None => match unwrap::open(server, self.namespace.as_deref(), &mount, &wrapping).await {
                Ok(secret_id) => Ok(secret_id),
                Err(LoginFailure::Refused(fault)) => Err(fault),
                Err(failure) => return Err(failure),
            },
        };
        self.state().opened = Some(Opened { wrapping: print, outcome: outcome.clone() });
        let secret_id = Some(outcome.map_err(LoginFailure::Refused)?);
        Ok(Credentials::AppRole { mount, role_id, secret_id, is_wrapped: false })
    }

    fn accept(&self, server: &Server, token: Token) -> Arc<Token> {
        let token = Arc::new(token);
        let mut state = self.state();
        (state.token, state.end) = (Some(Arc::clone(&token)), token.lease.end());
        (state.failure, state.good_at, state.is_doubtful) = (None, None, false);
        // A token that was given has proved nothing yet, nor that there is a login.
        if self.origin() == Origin::Login {
            state.rests.accept();
        }
        drop(state);
        self.moved.send_replace(());
        let (store, credentials) = (server.store.as_str(), self.name.as_str());
        LoggedIn { store, credentials, expires: server.wall_time(token.lease.end()) }.emit();
        token
    }

    fn report_failure(&self, server: &Server, fault: &Fault) {
        let (store, credentials) = (server.store.as_str(), self.name.as_str());
        LoginFailed { store, credentials, fault, serves: self.serving().is_some() }.emit();
    }

    /// Nobody need keep away from the server while credentials from a file rest: each try reads the file, and only
    /// other credentials are sent.
    fn unhurried(&self, fault: Fault) -> Fault {
        Fault { retry_after: fault.retry_after.filter(|_| self.files().is_empty()), ..fault }
    }

    fn named(&self, fault: Fault) -> Fault {
        Fault { message: format!("{}: {}", self.label, fault.message), ..fault }
    }

    /// No code runs under this lock that could panic or wait.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fail(&mut self, fault: Fault) -> Fault {
        self.failure = Some(fault.clone());
        fault
    }

    /// Neither a token nor a refusal.
    fn fall_short(&mut self, fault: Fault, print: Fingerprint, is_counted: bool) -> Fault {
        let fault = self.rests.fail(fault, print, is_counted);
        self.fail(fault)
    }

    /// The fault of credentials that must not be tried (again yet).
    fn still_held(&mut self, print: Fingerprint) -> Option<Fault> {
        let closed = self.closed.as_ref().filter(|(closed, _)| *closed == print);
        let closed = closed.map(|(_, fault)| fault.clone());
        closed.or_else(|| self.rests.still_held(print))
    }

    fn refuse(&mut self, fault: Fault, print: Fingerprint) -> Fault {
        let fault = self.rests.refuse(fault, print);
        self.fail(fault)
    }
}
