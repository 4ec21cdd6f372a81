//! What the fuzz targets reach of the adapter: what is made of a server's answers, without a server. Exists under
//! `cfg(fuzzing)` alone.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::{Duration, Instant};

use super::issue::openssh::SshCertificate;
use super::kv::{self, Kv};
use super::lease::{FailedSteps, Lease, Schedule, TokenSource, TokenStep};
use super::server::Answered;
use super::{answer, auth, issue, mounts};
use crate::clock::{Clock, rfc3339};
use crate::config::provider::vault::dynamic::DynamicKind;
use crate::config::provider::vault::{KvVersion, VaultRead};
use crate::fault::Fault;
use crate::net::Response;
use crate::secret::{FingerprintKey, SecretBytes, SecretText};
use crate::store::Fetched;
use crate::store::issuer::Issued;

/// An answer as the network brought it.
pub struct Raw<'a> {
    /// The status; what is no status is taken for 200.
    pub status: u16,
    /// The value of `Retry-After`, if there is one.
    pub retry_after: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

impl Raw<'_> {
    fn answered(&self) -> Answered {
        let mut headers = HeaderMap::new();
        if let Some(value) = self.retry_after.and_then(|value| value.parse().ok()) {
            headers.insert(http::header::RETRY_AFTER, value);
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let body = SecretBytes::new(self.body.to_vec());
        let response = Response { status, headers, body, redirected_to: None, turn: None };
        let place = "vault.example: GET /v1/secret/data/app".to_owned();
        Answered { place, response, at: Clock::system().now() }
    }
}

/// What the read of a secret with `token` comes to.
///
/// # Errors
/// The fault of the read.
pub fn read(raw: &Raw<'_>, is_v2: bool, token: &SecretText, key: &FingerprintKey) -> Result<Fetched, Fault> {
    let kv = if is_v2 { Kv::V2 } else { Kv::V1 };
    kv::judge(kv, &source(), &raw.answered(), Some(token), None, key)
}

/// The token of a login, and when it ends as the log shows it.
///
/// # Errors
/// The fault of the login.
pub fn login(raw: &Raw<'_>, sent: &SecretText, clock: &Clock) -> Result<(SecretText, Option<String>), Fault> {
    let answered = raw.answered();
    if answered.response.status != StatusCode::OK {
        return Err(answer::refused(&answered, &[sent]));
    }
    let token = auth::token_in(&answered).map_err(|error| error.fault)?;
    let left = token.lease.end().map(|end| end.saturating_duration_since(Instant::now()));
    let ends = left.and_then(|left| clock.now().checked_add(left));
    Ok((token.text().cloned().unwrap_or_default(), ends.map(rfc3339)))
}

/// The secret id in the answer of an unwrapping, after the lookup of its wrapping.
///
/// # Errors
/// The fault of the login.
pub fn unwrap(lookup: &Raw<'_>, opened: &Raw<'_>) -> Result<SecretText, Fault> {
    auth::check_path(&lookup.answered(), Some("team-a"), "approle").map_err(|error| error.fault)?;
    auth::secret_id(&opened.answered()).map_err(|error| error.fault)
}

/// What an answer about a token tells, and what its renewer does then.
pub struct Tended {
    /// After this time it ends.
    pub left: Option<Duration>,
    /// That moment as the log shows it.
    pub ends: Option<String>,
    /// How often it may still be used; 0 is without a limit.
    pub uses: u64,
    /// When its renewer acts if every step fails: how long from now, and whether it is a login.
    pub steps: Vec<(Duration, bool)>,
}

/// What the answer to a lookup of `token` comes to.
///
/// # Errors
/// The fault of the lookup.
pub fn lookup(raw: &Raw<'_>, token: &SecretText, clock: &Clock, seed: u64) -> Result<Tended, Fault> {
    let known = auth::info_in(&raw.answered(), Some(token)).map_err(|error| error.fault)?;
    Ok(Tended { uses: known.uses, ..tended(known.lease, TokenSource::Static, clock, seed) })
}

/// What the answer to a renewal of `token`, which lived for `granted` after its login, comes to.
///
/// # Errors
/// The fault of the renewal.
pub fn renewal(
    raw: &Raw<'_>,
    token: &SecretText,
    granted: Duration,
    clock: &Clock,
    seed: u64,
) -> Result<Tended, Fault> {
    let lease = auth::lease_in(&raw.answered(), Some(token), granted).map_err(|error| error.fault)?;
    Ok(tended(lease, TokenSource::Login, clock, seed))
}

fn tended(lease: Lease, source: TokenSource, clock: &Clock, seed: u64) -> Tended {
    let mut rng = SmallRng::seed_from_u64(seed);
    let begun = Instant::now();
    let left = lease.end().map(|end| end.saturating_duration_since(begun));
    let (mut now, mut steps) = (begun, Vec::new());
    let schedule = Schedule::of(&lease, source, begun, &mut rng);
    let mut failed: Option<FailedSteps> = None;
    for count in 1..=8 {
        let plan = schedule.as_ref().and_then(|schedule| schedule.next(failed, now, &mut rng));
        let Some(plan) = plan else { break };
        now = now.max(plan.at);
        steps.push((now.saturating_duration_since(begun), plan.step == TokenStep::LogIn));
        failed = Some(FailedSteps { count, last: plan.step, is_refused: count % 2 == 0 });
    }
    let ends = left.and_then(|left| clock.now().checked_add(left)).map(rfc3339);
    Tended { left, ends, uses: 0, steps }
}

/// The version of a mount: 1 or 2.
///
/// # Errors
/// The fault of the read that needed it.
pub fn mount(raw: &Raw<'_>) -> Result<u8, Fault> {
    let (version, _) = mounts::mount_in(&raw.answered(), &source())?;
    Ok(if version == Kv::V1 { 1 } else { 2 })
}

/// A credential as its file or its key holds it, without one newline at the end.
///
/// # Errors
/// It is empty or holds a control character.
pub fn credential(text: &str) -> Result<SecretText, Fault> {
    auth::clean(text.to_owned(), "token")
}

/// When a JSON Web Token ends by its own claims.
pub fn jwt_end(token: &str) -> Option<SystemTime> {
    auth::end_of(token)
}

/// A token without a good signature that holds `claims`.
pub fn jwt_of(claims: &str) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

/// The credential in the answer 200 to what was `sent`, and whether the answer brings a lease.
///
/// # Errors
/// The fault of the issue.
pub fn credential_in(raw: &Raw<'_>, kind: DynamicKind, sent: &str) -> (bool, Result<Issued, Fault>) {
    let sent = SecretBytes::new(sent.as_bytes().to_vec());
    let (lease, issued) = issue::issued(kind, &sent, &raw.answered(), None);
    (lease.is_some(), issued)
}

/// When an OpenSSH certificate ends, in seconds after 1970, and whether it is for a public and for a private key.
pub fn ssh_certificate(line: &str, public: &str, private: &str) -> Option<(u64, bool, Option<bool>)> {
    let certificate = SshCertificate::read(line)?;
    Some((certificate.valid_before, certificate.is_of(public), certificate.is_of_private(private)))
}

fn source() -> VaultRead {
    VaultRead {
        credentials: None,
        namespace: Some("team-a".to_owned()),
        mount: "secret".to_owned(),
        key: "app".to_owned(),
        kv_version: KvVersion::Auto,
        version: None,
    }
}
