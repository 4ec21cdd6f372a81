//! Tokens: logins, renewals, and what becomes of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::outage::LOGINS;
use crate::clock::rfc3339;
use crate::fault::{Fault, Kind};
use crate::telemetry::metrics::metrics;

/// What a credential set is called among outages.
fn name(store: &str, credentials: &str) -> String {
    format!("{store}/{credentials}")
}

/// A credential set is there. Nothing is logged: its series begin at 0, so that a first failure is an increase.
pub fn credentials_configured(store: &str, credentials: &str) {
    metrics().credentials(store, credentials);
}

/// A credential set has a new token.
pub struct LoggedIn<'a> {
    /// The store.
    pub store: &'a str,
    /// The credential set.
    pub credentials: &'a str,
    /// When the token ends unless it is renewed; `None` where it does not end or nobody said so.
    pub expires: Option<SystemTime>,
}

impl LoggedIn<'_> {
    /// Writes the line and counts the login.
    pub fn emit(&self) {
        let Self { store, credentials, expires } = *self;
        metrics().login(store, credentials, "success");
        metrics().token_expiry(store, credentials, expires);
        super::audit::login(store, credentials, None);
        let name = name(store, credentials);
        LOGINS.succeeded(&name, &name);
        let expires = expires.map(rfc3339);
        tracing::info!(store, credentials, expires = expires.as_deref(), "logged in");
    }
}

/// A credential set uses the token of the configuration, or none. Nothing was sent for it.
pub struct TokenConfigured<'a> {
    /// The store.
    pub store: &'a str,
    /// The credential set.
    pub credentials: &'a str,
}

impl TokenConfigured<'_> {
    /// Writes the line and counts the token as a login brings one.
    pub fn emit(&self) {
        let Self { store, credentials } = *self;
        metrics().login(store, credentials, "success");
        metrics().token_expiry(store, credentials, None);
        super::audit::login(store, credentials, None);
        tracing::debug!(store, credentials, "using the configured token");
    }
}

/// Whether a failed login shows as the failed sync that needs it only.
static IN_SYNC_LINES: AtomicBool = AtomicBool::new(false);

/// From now on a failed login has no line at `error`: the sync that needs it has one with the same cause.
pub fn logins_in_sync_lines() {
    IN_SYNC_LINES.store(true, Ordering::Relaxed);
}

/// A login failed.
pub struct LoginFailed<'a> {
    /// The store.
    pub store: &'a str,
    /// The credential set.
    pub credentials: &'a str,
    /// Cause and remedy.
    pub fault: &'a Fault,
    /// Whether there is a token in use: the login was made ahead of time.
    pub is_serving: bool,
}

impl LoginFailed<'_> {
    /// Writes the line and counts the login.
    pub fn emit(&self) {
        let Self { store, credentials, fault, is_serving } = *self;
        metrics().login(store, credentials, "error");
        super::audit::login(store, credentials, Some(fault.kind));
        let (kind, error, hint) = (fault.kind.as_str(), &*fault.message, &*fault.remedy);
        if !is_serving {
            metrics().token_expiry(store, credentials, None);
        }
        let name = name(store, credentials);
        let is_repeated = !LOGINS.failed(&name, &name, fault.kind, false);
        let is_in_sync_line = IN_SYNC_LINES.load(Ordering::Relaxed) && fault.kind != Kind::Spent;
        if is_repeated || is_in_sync_line {
            tracing::debug!(store, credentials, kind, error, hint, "login still failing");
            return;
        }
        match fault.kind {
            // Whoever opened it has the secret id: serious even while there is a token.
            Kind::Spent => {
                tracing::error!(store, credentials, kind, error, hint, "wrapped secret id not opened");
            }
            _ if is_serving => {
                tracing::warn!(
                    store,
                    credentials,
                    kind,
                    error,
                    hint,
                    "login failed, still using the current token"
                );
            }
            _ => tracing::error!(store, credentials, kind, error, hint, "login failed"),
        }
    }
}

/// The server said when a token that was given ends.
pub struct TokenKnown<'a> {
    /// The store.
    pub store: &'a str,
    /// The credential set.
    pub credentials: &'a str,
    /// When the token ends unless it is renewed; `None` where it does not end.
    pub expires: Option<SystemTime>,
}

impl TokenKnown<'_> {
    /// Writes the line and sets the gauge.
    pub fn emit(&self) {
        let Self { store, credentials, expires } = *self;
        metrics().token_expiry(store, credentials, expires);
        let expires = expires.map(rfc3339);
        tracing::debug!(store, credentials, expires = expires.as_deref(), "token looked up");
    }
}

/// A token lives longer.
pub struct Renewed<'a> {
    /// The store.
    pub store: &'a str,
    /// The credential set.
    pub credentials: &'a str,
    /// When it ends now unless it is renewed again.
    pub expires: Option<SystemTime>,
}

impl Renewed<'_> {
    /// Writes the line, counts the renewal and sets the gauge.
    pub fn emit(&self) {
        let Self { store, credentials, expires } = *self;
        metrics().renewal(store, credentials, "success");
        metrics().token_expiry(store, credentials, expires);
        let expires = expires.map(rfc3339);
        tracing::debug!(store, credentials, expires = expires.as_deref(), "token renewed");
    }
}

/// A token was not renewed; it is used until its end.
pub struct RenewalFailed<'a> {
    /// The store.
    pub store: &'a str,
    /// The credential set.
    pub credentials: &'a str,
    /// Cause and remedy.
    pub fault: &'a Fault,
    /// Whether a line has said so since the last renewal.
    pub is_repeated: bool,
}

impl RenewalFailed<'_> {
    /// Writes the line and counts the renewal.
    pub fn emit(&self) {
        let Self { store, credentials, fault, is_repeated } = *self;
        metrics().renewal(store, credentials, "error");
        let (kind, error, hint) = (fault.kind.as_str(), &*fault.message, &*fault.remedy);
        if is_repeated {
            tracing::debug!(store, credentials, kind, error, hint, "token not renewed");
        } else {
            tracing::warn!(store, credentials, kind, error, hint, "token not renewed");
        }
    }
}

/// A static token will end and is not renewed; written once for each token.
pub struct TokenEnding<'a> {
    /// The store.
    pub store: &'a str,
    /// The credential set.
    pub credentials: &'a str,
    /// When.
    pub expires: Option<SystemTime>,
}

impl TokenEnding<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        let Self { store, credentials, expires } = *self;
        let expires = expires.map(rfc3339);
        let hint = "provide a new token before then, or one with a period, which can always be renewed";
        tracing::warn!(store, credentials, expires = expires.as_deref(), hint, "token will end");
    }
}

/// A token file holds a token that the server does not know, while the current one is good.
pub struct NewTokenRejected<'a> {
    /// The store.
    pub store: &'a str,
    /// The credential set.
    pub credentials: &'a str,
}

impl NewTokenRejected<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        let Self { store, credentials } = *self;
        let hint = "write a valid token into the file; it is looked at again";
        tracing::warn!(store, credentials, hint, "new token rejected, still using the current one");
    }
}
