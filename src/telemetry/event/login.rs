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
pub fn logged_in(store: &str, credentials: &str, expires: Option<SystemTime>) {
    metrics().login(store, credentials, "success");
    metrics().token_expiry(store, credentials, expires);
    super::audit::login(store, credentials, None);
    let name = name(store, credentials);
    LOGINS.succeeded(&name, &name);
    let expires = expires.map(rfc3339);
    tracing::info!(store, credentials, expires = expires.as_deref(), "logged in");
}

/// A credential set has the token of the run before; nothing logged in.
pub(crate) fn token_resumed(store: &str, credentials: &str, expires: Option<SystemTime>) {
    metrics().token_expiry(store, credentials, expires);
    let expires = expires.map(rfc3339);
    tracing::info!(store, credentials, expires = expires.as_deref(), "continued with the kept token");
}

/// A credential set uses the token of the configuration, or none. Nothing was sent for it.
pub(crate) fn token_configured(store: &str, credentials: &str) {
    metrics().login(store, credentials, "success");
    metrics().token_expiry(store, credentials, None);
    super::audit::login(store, credentials, None);
    tracing::debug!(store, credentials, "using the configured token");
}

/// Whether a failed login shows as the failed sync that needs it only.
static IN_SYNC_LINES: AtomicBool = AtomicBool::new(false);

/// From now on a failed login has no line at `error`: the sync that needs it has one with the same cause.
pub(crate) fn logins_in_sync_lines() {
    IN_SYNC_LINES.store(true, Ordering::Relaxed);
}

/// A login failed.
pub(crate) fn login_failed(store: &str, credentials: &str, fault: &Fault, is_serving: bool) {
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
        // The one who opened it has the secret id: serious even while there is a token.
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

/// The server said when a token that was given ends.
pub(crate) fn token_looked_up(store: &str, credentials: &str, expires: Option<SystemTime>) {
    metrics().token_expiry(store, credentials, expires);
    let expires = expires.map(rfc3339);
    tracing::debug!(store, credentials, expires = expires.as_deref(), "token looked up");
}

/// A token lives longer.
pub(crate) fn token_renewed(store: &str, credentials: &str, expires: Option<SystemTime>) {
    metrics().renewal(store, credentials, "success");
    metrics().token_expiry(store, credentials, expires);
    let expires = expires.map(rfc3339);
    tracing::debug!(store, credentials, expires = expires.as_deref(), "token renewed");
}

/// A token was not renewed; it is used until its end.
pub(crate) fn renewal_failed(store: &str, credentials: &str, fault: &Fault, is_repeated: bool) {
    metrics().renewal(store, credentials, "error");
    let (kind, error, hint) = (fault.kind.as_str(), &*fault.message, &*fault.remedy);
    if is_repeated {
        tracing::debug!(store, credentials, kind, error, hint, "token not renewed");
    } else {
        tracing::warn!(store, credentials, kind, error, hint, "token not renewed");
    }
}

/// A static token will end and is not renewed; written once for each token.
pub(crate) fn token_ending(store: &str, credentials: &str, expires: Option<SystemTime>) {
    let expires = expires.map(rfc3339);
    let hint = "provide a new token before then, or one with a period, which can always be renewed";
    tracing::warn!(store, credentials, expires = expires.as_deref(), hint, "token will end");
}

/// A token file holds a token that the server does not know, while the current one is good.
pub(crate) fn new_token_rejected(store: &str, credentials: &str) {
    let hint = "write a valid token into the file; it is looked at again";
    tracing::warn!(store, credentials, hint, "new token rejected, still using the current one");
}
