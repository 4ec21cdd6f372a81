//! Issued credentials: what became of each, and what is kept of them. A lease has a name, which is no secret; values are
//! never here.

use std::time::SystemTime;

use tracing::field;

use super::List;
use crate::clock::rfc3339;
use crate::fault::{Fault, Kind};
use crate::telemetry::audit::{self, AuditedCredential, Record};
use crate::telemetry::metrics::metrics;

/// What an event is about.
pub(crate) struct CredentialEvent {
    pub(crate) store: String,
    pub(crate) path: String,
    /// The secrets that have the source.
    pub(crate) secrets: Vec<String>,
    /// Its number.
    pub(crate) number: u64,
    pub(crate) lease: Option<String>,
    /// The serial number of a certificate.
    pub(crate) serial: Option<String>,
}

impl CredentialEvent {
    /// It was issued.
    pub(crate) fn issued(&self, end: Option<SystemTime>) {
        metrics().credential_issued(&self.secrets);
        audit::record(&Record::Issued(self.audited()));
        let Self { store, path, number, lease, .. } = self;
        let (secrets, end) = (field::debug(List(&self.secrets)), end.map(rfc3339));
        tracing::info!(store, path, secrets, number, lease, end, "issued a credential");
    }

    fn count_retirement(&self, result: &'static str) {
        metrics().credential_retired(&self.secrets, result);
        audit::record(&Record::Retired { credential: self.audited(), result });
    }

    fn audited(&self) -> AuditedCredential<'_> {
        let Self { secrets, store, path, number, lease, serial } = self;
        let (lease, serial) = (lease.as_deref(), serial.as_deref());
        AuditedCredential { secrets, store, path, number: *number, lease, serial }
    }

    /// It was not issued, or nobody knows. That the same is so again is `known`: an outage is one line.
    pub(crate) fn not_issued(
        &self,
        fault: &Fault,
        is_lost: bool,
        next_try: Option<SystemTime>,
        is_known: bool,
    ) {
        metrics().credential_not_issued(&self.secrets);
        let Self { store, path, number, .. } = self;
        let (secrets, next_try) = (field::debug(List(&self.secrets)), next_try.map(rfc3339));
        let (kind, error, hint) = (fault.kind.as_str(), &fault.message, &fault.remedy);
        if is_known {
            tracing::debug!(
                store,
                path,
                secrets,
                number,
                kind,
                error,
                next_try,
                "still issued no credential"
            );
            return;
        }
        let answer = if is_lost { "unclear: there may be a credential that nobody knows" } else { "no" };
        tracing::warn!(
            store,
            path,
            secrets,
            number,
            kind,
            error,
            hint,
            answer,
            next_try,
            "issued no credential"
        );
    }

    /// Answers to earlier requests never came.
    pub(crate) fn answers_lost(&self, count: usize) {
        let Self { store, path, .. } = self;
        let secrets = field::debug(List(&self.secrets));
        let hint = "such a credential lives until its own end; revoke it at the server if that is too long";
        tracing::warn!(
            store,
            path,
            secrets,
            count,
            hint,
            "credentials may have been issued that nobody knows: the process ended before it had the answer"
        );
    }

    /// It was renewed.
    pub(crate) fn renewed(&self, end: Option<SystemTime>) {
        metrics().lease_renewed(&self.secrets, true);
        let Self { store, path, number, lease, .. } = self;
        let (secrets, end) = (field::debug(List(&self.secrets)), end.map(rfc3339));
        tracing::debug!(store, path, secrets, number, lease, end, "renewed a credential");
    }

    /// A renewal did not succeed. Where the one before did not either, that is known.
    pub(crate) fn not_renewed(&self, result: &'static str, fault: &Fault, is_known: bool) {
        metrics().lease_renewed(&self.secrets, false);
        let Self { store, path, number, lease, .. } = self;
        let secrets = field::debug(List(&self.secrets));
        let (kind, error, hint) = (fault.kind.as_str(), &fault.message, &fault.remedy);
        if is_known {
            tracing::debug!(store, path, secrets, number, kind, error, "still did not renew a credential");
            return;
        }
        tracing::warn!(
            store,
            path,
            secrets,
            number,
            lease,
            kind,
            error,
            hint,
            result,
            "a credential was not renewed"
        );
    }

    /// The policy does not allow renewals.
    pub(crate) fn renewal_denied(&self, hint: &str) {
        let Self { store, path, number, .. } = self;
        let secrets = field::debug(List(&self.secrets));
        tracing::warn!(store, path, secrets, number, hint, "the policy does not allow to renew credentials");
    }

    /// It could not be looked up.
    pub(crate) fn not_looked_up(&self, fault: &Fault) {
        let Self { store, path, number, lease, .. } = self;
        let secrets = field::debug(List(&self.secrets));
        let (kind, error) = (fault.kind.as_str(), &fault.message);
        tracing::debug!(store, path, secrets, number, lease, kind, error, "could not look up a credential");
    }

    /// The policy does not allow look-ups.
    pub(crate) fn look_up_denied(&self, hint: &str) {
        let Self { store, path, .. } = self;
        let secrets = field::debug(List(&self.secrets));
        tracing::warn!(store, path, secrets, hint, "the policy does not allow to look up leases");
    }

    /// It is dead, and files hold it.
    pub(crate) fn lost(&self) {
        metrics().credential_retired(&self.secrets, "lost");
        audit::record(&Record::LeaseLost(self.audited()));
        let Self { store, path, number, lease, .. } = self;
        let (secrets, kind) = (field::debug(List(&self.secrets)), Kind::LeaseLost.as_str());
        let hint = "another one is issued now; look for who revoked it, or why it was not renewed";
        tracing::error!(
            store,
            path,
            secrets,
            number,
            lease,
            kind,
            hint,
            "the credential in the files is dead"
        );
    }

    /// The files of `secret` hold it. That the secret was synced has its own line in the log.
    pub(crate) fn published(&self, secret: &str) {
        audit::record(&Record::Published { secret, credential: self.audited() });
    }

    /// All consumers have it.
    pub(crate) fn confirmed(&self) {
        audit::record(&Record::Confirmed(self.audited()));
        let Self { store, path, number, .. } = self;
        let secrets = field::debug(List(&self.secrets));
        tracing::info!(store, path, secrets, number, "all consumers have the new credential");
    }

    /// The consumers of one secret may not have it.
    pub(crate) fn not_confirmed(&self, secret: &str) {
        let Self { store, path, number, .. } = self;
        let kind = Kind::NotConfirmed.as_str();
        let hint = "the hooks of the secret have not succeeded within lease.confirmTimeout; the credential before is retired";
        tracing::warn!(store, path, secret, number, kind, hint, "a new credential was not confirmed in time");
    }

    /// The files of `secret` do not get it, because the secret is held.
    pub(crate) fn withheld(&self, secret: &str) {
        let Self { store, path, number, .. } = self;
        let hint = format!(
            "`secrets-sync release {secret}` publishes it; the credential in the files is renewed until its end"
        );
        tracing::warn!(store, path, secret, number, hint, "a new credential waits for a secret that is held");
    }

    /// No file could be written with it.
    pub(crate) fn withdrawn(&self) {
        let Self { store, path, number, lease, .. } = self;
        let secrets = field::debug(List(&self.secrets));
        let hint =
            "see why the secrets failed; the credential before stays in use, and a new one is issued later";
        tracing::warn!(
            store,
            path,
            secrets,
            number,
            lease,
            hint,
            "gave up a new credential: no file could be written with it"
        );
    }

    /// It is over.
    pub(crate) fn retired(&self, result: &'static str) {
        self.count_retirement(result);
        let Self { store, path, number, lease, .. } = self;
        let secrets = field::debug(List(&self.secrets));
        tracing::info!(store, path, secrets, number, lease, result, "retired a credential");
    }

    /// It could not be revoked, and is tried again.
    pub(crate) fn not_retired(&self, fault: &Fault) {
        let Self { store, path, number, lease, .. } = self;
        let secrets = field::debug(List(&self.secrets));
        let (kind, error, hint) = (fault.kind.as_str(), &fault.message, &fault.remedy);
        tracing::warn!(
            store,
            path,
            secrets,
            number,
            lease,
            kind,
            error,
            hint,
            "a credential was not revoked"
        );
    }

    /// The policy does not allow to revoke it.
    pub(crate) fn revocation_denied(&self, hint: &str) {
        self.count_retirement("denied");
        let Self { store, path, number, lease, .. } = self;
        let secrets = field::debug(List(&self.secrets));
        tracing::warn!(
            store,
            path,
            secrets,
            number,
            lease,
            hint,
            "the policy does not allow to revoke credentials: it lives until its end"
        );
    }
}

/// The token that issues could not be revoked at the stop.
pub(crate) fn token_not_revoked(store: &str, path: &str, fault: &Fault) {
    let (kind, error, hint) = (fault.kind.as_str(), &fault.message, &fault.remedy);
    tracing::warn!(store, path, kind, error, hint, "could not revoke the token that issues credentials");
}

/// The values of issued credentials end with the process.
pub(crate) fn values_not_kept(error: &str, hint: &str) {
    tracing::warn!(error, hint, "issued credentials are not kept: a restart issues new ones");
}

/// The value of a credential is not kept; a restart issues a new one.
pub(crate) fn value_not_sealed(file: &str, error: &str) {
    let hint = "make room in the state directory: until then a restart issues a new credential";
    tracing::warn!(file, error, hint, "could not keep an issued credential");
}

/// The value still is not kept.
pub(crate) fn value_still_not_sealed(file: &str, error: &str) {
    tracing::debug!(file, error, "still could not keep an issued credential");
}

/// The value that could not be kept when it was issued is kept now.
pub(crate) fn value_sealed_after_all(file: &str) {
    tracing::info!(file, "kept an issued credential after all");
}

/// The token of a login is not kept; a restart logs in again.
pub(crate) fn token_not_sealed(file: &str, error: &str) {
    let hint =
        "make room in the state directory: until then a restart logs in again, and issues new credentials";
    tracing::warn!(file, error, hint, "could not keep the token of a login");
}

/// The token that was kept cannot be used: a login follows.
pub(crate) fn sealed_token_unusable(file: &str, error: &str) {
    let hint = "a login follows, and new credentials; if nothing was changed, look who changed the file";
    tracing::warn!(file, error, hint, "cannot use a kept token");
}

/// What was kept cannot be used: a new credential is issued.
pub(crate) fn sealed_value_unusable(file: &str, error: &str) {
    let hint =
        "a new credential is issued; look who changed the file, or whether STATE_KEY_FILE is another one";
    tracing::warn!(file, error, hint, "cannot use a kept credential, and have set it aside");
}

/// The value of a credential that is not used any more is still there.
pub(crate) fn sealed_value_stays(file: &str, error: &str) {
    let hint = "remove the file, or make the state directory writable for this process";
    tracing::warn!(file, error, hint, "could not remove a kept credential");
}

/// Nothing renews the credential any more, and the files hold it: `run --once` has ended, or a reload has taken out the source.
pub(crate) fn credential_left(
    (store, path): (&str, &str),
    secrets: &[String],
    number: u64,
    end: Option<SystemTime>,
    hint: &str,
) {
    let (secrets, end) = (field::debug(List(secrets)), end.map(rfc3339));
    tracing::warn!(
        store,
        path,
        secrets,
        number,
        end,
        hint,
        "an issued credential ends, and nothing renews it"
    );
}
