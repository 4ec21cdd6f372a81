//! What the server says about a token: `lookup-self`, and `renew-self`, which prolongs it.

use http::StatusCode;
use serde::{Deserialize, Deserializer};
use tokio::time::{Duration, Instant};
use vaultrs::api::token::requests::{LookupTokenSelfRequest, RenewTokenSelfRequest};

use super::answer;
use super::lease::{Lease, Prospect};
use super::server::{Answered, Caller, Server};
use crate::clock::Clock;
use crate::fault::{Fault, Kind};
use crate::secret::{SecretBytes, SecretText};

/// What a lookup told.
pub(super) struct Known {
    pub(super) lease: Lease,
    /// What a full renewal brings; zero where nobody can say.
    pub(super) granted: Duration,
    /// How often it may still be used; zero is without a limit.
    pub(super) uses: u64,
}

/// Why a token was not renewed or looked up.
pub(super) enum Denial {
    /// The server looked at the token and said no.
    Refused(Fault),
    /// Anything else, which may pass.
    Other(Fault),
}

impl From<Fault> for Denial {
    fn from(fault: Fault) -> Self {
        Self::Other(fault)
    }
}

/// `data` of a lookup, of which only what is used.
#[derive(Default, Deserialize)]
struct Data {
    #[serde(default, deserialize_with = "or_zero")]
    ttl: u64,
    #[serde(default, deserialize_with = "or_zero")]
    creation_ttl: u64,
    #[serde(default, deserialize_with = "or_zero")]
    period: u64,
    #[serde(default, deserialize_with = "or_zero")]
    num_uses: u64,
    #[serde(default)]
    renewable: Option<bool>,
}

/// `auth` of a renewal.
#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

/// A number; zero where it is null, absent or no whole number.
fn or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let raw: Option<&serde_json::value::RawValue> = Option::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| raw.get().parse().ok()).unwrap_or(0))
}

/// Whether `token` is a batch token, which nobody can renew.
pub(super) fn is_batch(token: &SecretText) -> bool {
    // EXPOSE: its first letters are no secret.
    let text = token.expose();
    text.starts_with("b.") || text.starts_with("hvb.")
}

/// Asks for all that matters about `token`.
///
/// # Errors
/// The token is bad, may not look itself up, or there was no answer.
pub(super) async fn look_up(
    server: &Server,
    namespace: Option<&str>,
    token: &SecretText,
) -> Result<Known, Denial> {
    let caller = Caller { token: Some(token), namespace };
    let answered = server.call(&LookupTokenSelfRequest {}, caller, SecretBytes::default()).await?;
    known_in(&answered, token, &server.clock)
}

/// What the answer to a lookup of `token` tells.
pub(super) fn known_in(answered: &Answered, token: &SecretText, clock: &Clock) -> Result<Known, Denial> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Option<Data>,
    }
    if answered.response.status != StatusCode::OK {
        let remedy =
            "give the token the `default` policy: how long it lives cannot be told, nor can it be renewed";
        return Err(denial(answered, token, clock, remedy));
    }
    // An answer that is not understood still says that the token is good.
    let data = parse::<Envelope>(answered).ok().and_then(|envelope| envelope.data).unwrap_or_default();
    let prospect = match data.renewable {
        Some(true) if !is_batch(token) => Prospect::Full,
        _ => Prospect::Nothing,
    };
    let granted = Duration::from_secs(if data.period > 0 { data.period } else { data.creation_ttl });
    let lease = Lease::lasting(Duration::from_secs(data.ttl), prospect).begun_earlier(granted);
    Ok(Known { lease, granted, uses: data.num_uses })
}

/// Prolongs `token`. A lease that is shorter than `granted` is the last that can be had.
///
/// # Errors
/// The token is gone or cannot be renewed, or there was no answer.
pub(super) async fn renew(
    server: &Server,
    namespace: Option<&str>,
    token: &SecretText,
    granted: Duration,
) -> Result<Lease, Denial> {
    let caller = Caller { token: Some(token), namespace };
    // Without an increment the server grants what the role or the token's making says.
    let body = SecretBytes::new(b"{}".to_vec());
    let answered = server.call(&RenewTokenSelfRequest { increment: None }, caller, body).await?;
    lease_in(&answered, token, granted, &server.clock)
}

/// The lease in the answer to a renewal of `token`.
pub(super) fn lease_in(
    answered: &Answered,
    token: &SecretText,
    granted: Duration,
    clock: &Clock,
) -> Result<Lease, Denial> {
    #[derive(Deserialize)]
    struct Envelope {
        auth: Auth,
    }
    if answered.response.status != StatusCode::OK {
        let remedy = "the token is gone, not renewable, or lacks the `default` policy";
        return Err(denial(answered, token, clock, remedy));
    }
    let Envelope { auth } = parse(answered)?;
    let left = Duration::from_secs(auth.lease_duration);
    let prospect = match auth.renewable {
        false => Prospect::Nothing,
        true if left < granted => Prospect::Capped,
        true => Prospect::Full,
    };
    if left.is_zero() && !granted.is_zero() {
        // What is left is no whole second.
        let now = Instant::now();
        return Ok(Lease::Until { from: now, end: now, prospect: Prospect::Capped });
    }
    Ok(Lease::lasting(left, prospect))
}

fn parse<'a, T: Deserialize<'a>>(answered: &'a Answered) -> Result<T, Fault> {
    // EXPOSE: numbers and flags are read; nothing else of the answer goes on.
    serde_json::from_slice(answered.response.body.expose())
        .map_err(|error| answer::unreadable(answered, &error))
}

fn denial(answered: &Answered, token: &SecretText, clock: &Clock, remedy: &str) -> Denial {
    let fault = answer::refused(answered, &[token], clock);
    match fault.kind {
        Kind::Denied | Kind::BadRequest => Denial::Refused(Fault { remedy: remedy.to_owned(), ..fault }),
        _ => Denial::Other(fault),
    }
}
