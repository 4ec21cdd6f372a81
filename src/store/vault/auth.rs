//! How a credential set gets its token, and what the server says about one. Each login method implements
//! [`Authenticator`]; looking tokens up and renewing them is the same for all.

mod approle;
mod cert;
mod credential;
mod jwt;
mod login;
mod password;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use tokio::sync::OnceCell;
use tokio::time::{Duration, Instant};
use vaultrs::api::token::requests::{LookupTokenSelfRequest, RenewTokenSelfRequest};
use zeroize::Zeroizing;

use super::answer;
use super::cooldown::AuthFailure;
use super::lease::{Lease, Renewability, TokenSource};
use super::server::{Answered, Server};
use crate::config::provider::vault::{AuthSpec, Credential};
use crate::fault::{Fault, Kind};
use crate::secret::{Fingerprint, SecretBytes, SecretText};
use crate::store::issuer::{TokenLife, TokenOrigin};
use approle::AppRole;
pub(super) use approle::UnwrappedIds;
#[cfg(fuzzing)]
pub(super) use approle::{check_path, secret_id};
use cert::CertLogin;
pub(super) use credential::{CredentialFiles, clean};
use jwt::JwtLogin;
#[cfg(fuzzing)]
pub(super) use jwt::end_of;
use password::PasswordLogin;

/// How old a token of an earlier process counts as.
const LONG_AGO: Duration = Duration::from_secs(60);

/// A login method of one credential set.
#[async_trait]
pub(super) trait Authenticator: Send + Sync {
    /// The credentials as they are `now`; files are read again each time.
    ///
    /// # Errors
    /// A file cannot be read, is empty ("not yet"), holds what no credential does, or one that has ended.
    async fn load(&self, files: &CredentialFiles, now: SystemTime) -> Result<Credentials, Fault>;

    /// Gets a token for `credentials`.
    ///
    /// # Errors
    /// There is none, and the reason.
    async fn login(
        &self,
        server: &Server,
        credentials: Credentials,
        unwrapped: &UnwrappedIds,
    ) -> Result<Token, AuthError>;

    /// Whether a login follows when the files change while the last one was good.
    fn takes_up_new_files(&self) -> bool {
        true
    }

    /// Prolongs `token`. A lease that is shorter than `granted` is the last one.
    ///
    /// # Errors
    /// The token is gone or cannot be renewed, or there was no answer.
    async fn renew(&self, server: &Server, token: &Token, granted: Duration) -> Result<Lease, AuthError> {
        // Without an increment the server grants what the role or the token's making says.
        let body = SecretBytes::new(b"{}".to_vec());
        let renewal = RenewTokenSelfRequest { increment: None };
        let answered = server.call(&renewal, server.login_caller(token.text()), body).await?;
        lease_in(&answered, token.text(), granted)
    }

    /// Asks the server what it knows of `token`.
    ///
    /// # Errors
    /// The token is bad, may not look itself up, or there was no answer.
    async fn look_up(&self, server: &Server, token: &Token) -> Result<TokenInfo, AuthError> {
        let caller = server.login_caller(token.text());
        let answered = server.call(&LookupTokenSelfRequest {}, caller, SecretBytes::default()).await?;
        info_in(&answered, token.text()).inspect(|_| token.note_read(&LOOK_UP))
    }
}

/// The authenticator of a configured method: a further method is one arm here and one file.
pub(super) fn authenticator(spec: &AuthSpec) -> Box<dyn Authenticator> {
    match spec {
        AuthSpec::None => Box::new(NoToken),
        AuthSpec::Token { token } => Box::new(StaticToken(token.clone())),
        AuthSpec::AppRole { mount, role_id, secret_id, is_wrapped } => Box::new(AppRole {
            mount: mount.clone(),
            role_id: role_id.clone(),
            secret_id: secret_id.clone(),
            is_wrapped: *is_wrapped,
        }),
        AuthSpec::Jwt { mount, role, jwt } => {
            Box::new(JwtLogin { mount: mount.clone(), role: role.clone(), jwt: jwt.clone() })
        }
        AuthSpec::Cert { mount, role, certificate } => {
            let (mount, role) = (mount.clone(), role.clone());
            Box::new(CertLogin { mount, role, certificate: certificate.clone() })
        }
        AuthSpec::Password { mount, username, password } => {
            let (mount, username) = (mount.clone(), username.clone());
            Box::new(PasswordLogin { mount, username, password: password.clone() })
        }
    }
}

/// `authMethod: token`.
struct StaticToken(Credential);

#[async_trait]
impl Authenticator for StaticToken {
    async fn load(&self, files: &CredentialFiles, _: SystemTime) -> Result<Credentials, Fault> {
        Ok(Credentials(vec![("token", files.load(&self.0, "token").await?)]))
    }

    async fn login(
        &self,
        _: &Server,
        credentials: Credentials,
        _: &UnwrappedIds,
    ) -> Result<Token, AuthError> {
        let text = credentials.0.into_iter().map(|(_, text)| text).next();
        Ok(Token::new(text, Lease::Unknown { since: Instant::now() }))
    }
}

/// `authMethod: none`: what is at the address, a Vault agent or proxy, adds the token, so there is nothing to look up
/// or to renew, and a 403 is about the policy of that token.
struct NoToken;

#[async_trait]
impl Authenticator for NoToken {
    async fn load(&self, _: &CredentialFiles, _: SystemTime) -> Result<Credentials, Fault> {
        Ok(Credentials(Vec::new()))
    }

    async fn login(&self, _: &Server, _: Credentials, _: &UnwrappedIds) -> Result<Token, AuthError> {
        Ok(Token::new(None, Lease::Endless))
    }

    async fn look_up(&self, _: &Server, _: &Token) -> Result<TokenInfo, AuthError> {
        Ok(TokenInfo { lease: Lease::Endless, granted: Duration::ZERO, uses: 0 })
    }
}

/// What logs in, read just now; what of it is sent has the names of the body. The first one is the identity that the
/// server locks after refused logins.
pub(super) struct Credentials(pub(super) Vec<(&'static str, SecretText)>);

/// What a look-up counts as among the reads of a token.
const LOOK_UP: &str = "auth/token/lookup-self";

/// A token, as long as it lives.
pub(super) struct Token {
    text: Option<SecretText>,
    /// How long it lived when it came.
    pub(super) lease: Lease,
    /// What a full renewal brings.
    pub(super) granted: Duration,
    /// When the login brought it; `None` for a static one.
    pub(super) logged_in: Option<Instant>,
    /// Where it comes from, if a restart may use it again.
    pub(super) origin: Option<TokenOrigin>,
    /// Whether it is kept for that.
    pub(super) kept: OnceCell<()>,
    /// Hashes of what was read with it.
    reads: Mutex<HashSet<u64>>,
}

impl Token {
    fn new(text: Option<SecretText>, lease: Lease) -> Self {
        Self {
            text,
            lease,
            granted: Duration::ZERO,
            logged_in: None,
            origin: None,
            kept: OnceCell::new(),
            reads: Mutex::default(),
        }
    }

    /// One that an earlier process has kept; the server has yet to say that it is good.
    pub(super) fn kept(text: SecretText, origin: TokenOrigin) -> Self {
        let new = Self::new(Some(text), Lease::Unknown { since: Instant::now() });
        // Each node of the server knows it by now.
        let logged_in = Instant::now().checked_sub(LONG_AGO).unwrap_or_else(Instant::now);
        Self { logged_in: Some(logged_in), origin: Some(origin), kept: OnceCell::new_with(Some(())), ..new }
    }

    /// With where it comes from.
    pub(super) fn of_origin(self, origin: Option<TokenOrigin>) -> Self {
        Self { origin, ..self }
    }

    /// As the server has described it.
    pub(super) fn with_lease(self, lease: Lease, granted: Duration) -> Self {
        Self { lease, granted, ..self }
    }

    /// What is sent; `None` where something in between adds the token.
    pub(super) fn text(&self) -> Option<&SecretText> {
        self.text.as_ref()
    }

    pub(super) fn source(&self) -> TokenSource {
        if self.logged_in.is_some() { TokenSource::Login } else { TokenSource::Static }
    }

    /// What is known of its life, which is `lease` now; `fingerprint` makes what it is known by. `None` where something in
    /// between adds the token.
    pub(super) fn life(
        &self,
        lease: &Lease,
        fingerprint: impl FnOnce(&SecretText) -> Fingerprint,
    ) -> Option<TokenLife> {
        let token = fingerprint(self.text.as_ref()?);
        let is_final = match lease {
            Lease::Unknown { .. } => false,
            Lease::Endless => true,
            Lease::Until { renewability, .. } => *renewability != Renewability::Full,
        };
        Some(TokenLife { token, end: lease.end(), is_final })
    }

    /// Notes that `read` succeeded with it.
    pub(super) fn note_read(&self, read: &impl Hash) {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).insert(hash(read));
    }

    /// Whether it was good for a look-up before.
    pub(super) fn has_been_looked_up(&self) -> bool {
        self.has_read(&LOOK_UP)
    }

    /// Whether `read` has succeeded with it before.
    pub(super) fn has_read(&self, read: &impl Hash) -> bool {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash(read))
    }
}

fn hash(read: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    read.hash(&mut hasher);
    hasher.finish()
}

/// Why there is no token, or no word of the server about one.
pub(super) struct AuthError {
    /// [`AuthFailure::Refused`] is a verdict of the server's; others may pass.
    pub(super) failure: AuthFailure,
    pub(super) fault: Fault,
}

impl AuthError {
    /// Of an answer that is neither a token nor one about it. Only the server's own words are a refusal, whose remedy is
    /// `remedy`; `sent` are secrets of the request.
    fn of(answered: &Answered, sent: &[&SecretText], remedy: &str) -> Self {
        let (status, fault) = (answered.response.status, answer::refused(answered, sent));
        match fault.kind {
            Kind::Denied | Kind::BadRequest => {
                let fault = Fault { remedy: remedy.to_owned(), ..fault };
                Self { failure: AuthFailure::Refused, fault }
            }
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Self { failure: AuthFailure::Unavailable, fault }
            }
            _ => Self { failure: AuthFailure::Malformed, fault },
        }
    }
}

impl From<Fault> for AuthError {
    fn from(fault: Fault) -> Self {
        let failure = match fault.kind {
            Kind::Unreachable
            | Kind::Timeout
            | Kind::CircuitOpen
            | Kind::NotServing
            | Kind::RateLimited
            | Kind::ServerError => AuthFailure::Unavailable,
            _ => AuthFailure::Malformed,
        };
        Self { failure, fault }
    }
}

/// What a look-up brought.
pub(super) struct TokenInfo {
    pub(super) lease: Lease,
    /// What a full renewal brings; zero where the server does not say.
    pub(super) granted: Duration,
    /// How often it may still be used; zero is without a limit.
    pub(super) uses: u64,
}

/// Of the answer to a login or a renewal only what is used; the lists around it may be null.
#[derive(Deserialize)]
struct AuthAnswer<'a> {
    #[serde(borrow)]
    auth: Option<AuthData<'a>>,
}

#[derive(Deserialize)]
struct AuthData<'a> {
    #[serde(default, deserialize_with = "wiped")]
    client_token: Zeroizing<String>,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    num_uses: u64,
    #[serde(borrow)]
    mfa_requirement: Option<&'a RawValue>,
}

/// A text that is wiped; empty where it is null or absent.
fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| Zeroizing::new(text.unwrap_or_default()))
}

/// The token in the answer to a login.
pub(super) fn token_in(answered: &Answered) -> Result<Token, AuthError> {
    let auth = auth_in(answered)?;
    let place = &answered.place;
    let refused = |cause: &str, remedy| {
        let fault = Fault::new(Kind::Login, format!("{place}: {cause}"), remedy);
        AuthError { failure: AuthFailure::Refused, fault }
    };
    if auth.mfa_requirement.is_some() {
        let remedy = "exempt this role from multi-factor authentication: a daemon has no second factor";
        return Err(refused("the login asks for a second factor", remedy));
    }
    if auth.client_token.is_empty() {
        return Err(refused("the login brought no token", "check what answers at the store's address"));
    }
    if auth.num_uses > 0 {
        let cause = format!("the token may be used {} times only", auth.num_uses);
        return Err(refused(&cause, "set token_num_uses=0 on the role: every read is a use"));
    }
    let AuthData { client_token: mut token, lease_duration, renewable, .. } = auth;
    // The token is moved into its carrier.
    let text = clean(std::mem::take(&mut *token), &format!("{place}: the token"))?;
    let renewability = Renewability::of(renewable && !is_batch(&text));
    let granted = Duration::from_secs(lease_duration);
    let lease = Lease::lasting(granted, renewability);
    Ok(Token { granted, logged_in: Some(Instant::now()), ..Token::new(Some(text), lease) })
}

fn auth_in(answered: &Answered) -> Result<AuthData<'_>, Fault> {
    let AuthAnswer { auth } = parse(answered)?;
    auth.ok_or_else(|| answer::bad(answered, "the answer holds no login"))
}

#[derive(Deserialize)]
struct LookUpAnswer {
    data: Option<LookUpData>,
}

/// `data` of a look-up, of which only what is used. Each may be null.
#[derive(Default, Deserialize)]
struct LookUpData {
    ttl: Option<f64>,
    expire_time: Option<String>,
    creation_ttl: Option<u64>,
    period: Option<u64>,
    num_uses: Option<u64>,
    renewable: Option<bool>,
}

/// What the answer to a look-up of `token` says.
pub(super) fn info_in(answered: &Answered, token: Option<&SecretText>) -> Result<TokenInfo, AuthError> {
    if answered.response.status != StatusCode::OK {
        let remedy =
            "allow the token `auth/token/lookup-self` (the `default` policy does), to learn when it ends";
        return Err(AuthError::of(answered, token.as_slice(), remedy));
    }
    // An answer that is not understood still says that the token is good.
    let data = parse::<LookUpAnswer>(answered).ok().and_then(|answer| answer.data).unwrap_or_default();
    let renewability = Renewability::of(data.renewable == Some(true) && !token.is_some_and(is_batch));
    let period = data.period.filter(|period| *period > 0);
    let granted = Duration::from_secs(period.or(data.creation_ttl).unwrap_or_default());
    let lease = match data.left(granted, answered.at) {
        Some(left) => Lease::lasting(left, renewability).begun_earlier(granted),
        None => Lease::Unknown { since: Instant::now() },
    };
    Ok(TokenInfo { lease, granted, uses: data.num_uses.unwrap_or_default() })
}

impl LookUpData {
    /// What is left of its life; zero where it does not end. `None` where the answer contradicts itself: a standby node
    /// that lags says `ttl: 0` of a token that was renewed (openbao#3505).
    fn left(&self, granted: Duration, now: SystemTime) -> Option<Duration> {
        if let Some(left) = self.ttl.filter(|ttl| *ttl > 0.0) {
            return Some(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX));
        }
        let is_zero = self.ttl.is_some_and(|ttl| ttl >= 0.0);
        let Some(end) = &self.expire_time else {
            return (is_zero && granted.is_zero()).then_some(Duration::ZERO);
        };
        let end: SystemTime = humantime::parse_rfc3339_weak(end).ok()?;
        end.duration_since(now).ok().filter(|left| !left.is_zero())
    }
}

/// The lease in the answer to a renewal of `token`.
pub(super) fn lease_in(
    answered: &Answered,
    token: Option<&SecretText>,
    granted: Duration,
) -> Result<Lease, AuthError> {
    if answered.response.status != StatusCode::OK {
        let remedy =
            "allow the token `auth/token/renew-self` (the `default` policy does), or provide a new one";
        return Err(AuthError::of(answered, token.as_slice(), remedy));
    }
    let auth = auth_in(answered)?;
    let left = Duration::from_secs(auth.lease_duration);
    let renewability = match auth.renewable {
        true if left < granted => Renewability::Capped,
        renewable => Renewability::of(renewable),
    };
    if left.is_zero() && !granted.is_zero() {
        // What is left is no whole second.
        let now = Instant::now();
        return Ok(Lease::Until { from: now, end: now, renewability: Renewability::Capped });
    }
    Ok(Lease::lasting(left, renewability))
}

/// Whether `token` is a batch token, which cannot be renewed.
fn is_batch(token: &SecretText) -> bool {
    // EXPOSE: its first letters are no secret.
    let text = token.expose();
    text.starts_with("b.") || text.starts_with("hvb.")
}

fn parse<'a, T: Deserialize<'a>>(answered: &'a Answered) -> Result<T, Fault> {
    // EXPOSE: parsed in place, each caller into a type of its own; a parse error shows only where it is.
    serde_json::from_slice(answered.response.body.expose())
        .map_err(|error| answer::unreadable(answered, &error))
}

/// A JSON object of secrets. vaultrs would have bodies too, which print with `Debug` and leave copies behind.
fn body(parts: &[(&'static str, &SecretText)]) -> Result<SecretBytes, Fault> {
    #[derive(Serialize)]
    struct LoginBody<'a>(#[serde(serialize_with = "as_object")] &'a [(&'static str, &'a SecretText)]);
    fn as_object<S: serde::Serializer>(
        parts: &[(&'static str, &SecretText)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        // EXPOSE: they go to the server they are for.
        serializer.collect_map(parts.iter().map(|(name, part)| (name, part.expose())))
    }
    // Large enough not to be copied; wiped.
    let length: usize = parts.iter().map(|(name, part)| 8 + name.len() + 6 * part.len()).sum();
    let mut json = Zeroizing::new(Vec::with_capacity(8 + length));
    serde_json::to_writer(&mut *json, &LoginBody(parts)).map_err(|_| {
        Fault::new(Kind::Internal, "the login request cannot be built", "please report this as a bug")
    })?;
    Ok(SecretBytes::new(std::mem::take(&mut *json)))
}
