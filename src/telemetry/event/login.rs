//! Tokens: logins, renewals, and what becomes of them.

use std::time::SystemTime;

use crate::clock::rfc3339;
use crate::fault::Fault;
use crate::telemetry::metrics::metrics;

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
        let expires = expires.map(rfc3339);
        tracing::info!(store, credentials, expires = expires.as_deref(), "logged in");
    }
}

/// A credential set has no token.
pub struct LoginFailed<'a> {
    /// The store.
    pub store: &'a str,
    /// The credential set.
    pub credentials: &'a str,
    /// Cause and remedy.
    pub fault: &'a Fault,
}

impl LoginFailed<'_> {
    /// Writes the line and counts the login.
    pub fn emit(&self) {
        let Self { store, credentials, fault } = *self;
        metrics().login(store, credentials, "error");
        metrics().token_expiry(store, credentials, None);
        super::audit::login(store, credentials, Some(fault.kind));
        let (kind, error, hint) = (fault.kind.as_str(), &*fault.message, &*fault.remedy);
        tracing::error!(store, credentials, kind, error, hint, "login failed");
    }
}
