//! Logging in: credentials from the configuration or their files become a token.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::time::{Duration, Instant, timeout};
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use zeroize::Zeroizing;

use super::lease::{Lease, Prospect};
use super::server::{Answered, Caller, Server, check_path};
use super::{answer, renew};
use crate::config::provider::vault::{AuthSpec, Credential};
use crate::disk::{self, Access};
use crate::fault::{Fault, Kind};
use crate::regular_file::{self, ReadError};
use crate::secret::{Fingerprint, FingerprintKey, SecretBytes, SecretText};

/// More than any credential is long; a file that is longer is the wrong file.
const MAX_FILE: usize = 64 * 1024;

/// How long a credential file may take to read.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// A token, as long as it lives.
pub(super) struct Token {
    pub(super) text: SecretText,
    /// How long it lived when it was got.
    pub(super) lease: Lease,
    /// What a full renewal brings.
    pub(super) granted: Duration,
    /// When the login brought it; `None` for a token that was given.
    pub(super) logged_in: Option<Instant>,
    /// Whether the server has accepted it for anything yet.
    served: AtomicBool,
}

/// What a login needs, read just now.
pub(super) enum Credentials {
    /// A token: there is nothing to send.
    Token(SecretText),
    /// `auth/<mount>/login` of an `AppRole` method.
    AppRole {
        mount: String,
        role_id: SecretText,
        secret_id: Option<SecretText>,
        /// Whether `secret_id` is still a wrapping token.
        is_wrapped: bool,
    },
}

/// Why there is no token.
pub(super) enum LoginFailure {
    /// The server looked at the credentials and said no: the same ones must not be tried again soon.
    Refused(Fault),
    /// An answer that is neither a token nor a refusal, which no circuit breaker counts.
    Odd(Fault),
    /// No answer, or one that speaks of a server in trouble.
    Other(Fault),
}

impl From<Fault> for LoginFailure {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            Kind::Unreachable
            | Kind::Timeout
            | Kind::CircuitOpen
            | Kind::Sealed
            | Kind::RateLimited
            | Kind::ServerError => Self::Other(fault),
            _ => Self::Odd(fault),
        }
    }
}

impl LoginFailure {
    /// Of an answer with `status` that is no refusal.
    pub(super) fn of(status: StatusCode, fault: Fault) -> Self {
        let is_counted = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        if is_counted { Self::Other(fault) } else { Self::Odd(fault) }
    }
}

impl Token {
    /// A token of which nothing is known yet.
    pub(super) fn given(text: SecretText) -> Self {
        let lease = Lease::Unknown { since: Instant::now() };
        Self { text, lease, granted: Duration::ZERO, logged_in: None, served: AtomicBool::new(false) }
    }

    /// The server has accepted it.
    pub(super) fn note_served(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }
}

impl Credentials {
    /// Reads the credentials; files are read anew each time.
    ///
    /// # Errors
    /// A file cannot be read, is empty ("not yet") or holds what no credential does.
    pub(super) async fn load(auth: &AuthSpec) -> Result<Self, Fault> {
        match auth {
            AuthSpec::None => Err(Fault::new(
                Kind::Internal,
                "authMethod: none has nothing to log in with",
                "please report this with the configuration",
            )),
            AuthSpec::Token { token } => Ok(Self::Token(load(token, "token").await?)),
            AuthSpec::AppRole { mount, role_id, secret_id, is_wrapped } => {
                let role_id = load(role_id, "roleId").await?;
                let secret_id = match secret_id {
                    Some(secret_id) => Some(load(secret_id, "secretId").await?),
                    None => None,
                };
                Ok(Self::AppRole { mount: mount.clone(), role_id, secret_id, is_wrapped: *is_wrapped })
            }
        }
    }

    /// Tells whether these are the credentials of an earlier attempt.
    pub(super) fn fingerprint(&self, key: &FingerprintKey) -> Fingerprint {
        let mut joined = Zeroizing::new(Vec::with_capacity(self.parts().map(|part| part.len() + 1).sum()));
        for part in self.parts() {
            // EXPOSE: into a buffer that is fingerprinted and wiped. No part holds a NUL.
            joined.extend_from_slice(part.expose().as_bytes());
            joined.push(0);
        }
        key.of(&joined)
    }

    /// Gets a token for these credentials in `namespace`.
    pub(super) async fn log_in(
        self,
        server: &Server,
        namespace: Option<&str>,
    ) -> Result<Token, LoginFailure> {
        match self {
            Self::Token(text) => Ok(Token::given(text)),
            Self::AppRole { mount, role_id, secret_id, is_wrapped: _ } => {
                approle(server, namespace, mount, &role_id, secret_id.as_ref()).await
            }
        }
    }

    fn parts(&self) -> impl Iterator<Item = &SecretText> {
        let (first, second) = match self {
            Self::Token(token) => (token, None),
            Self::AppRole { role_id, secret_id, .. } => (role_id, secret_id.as_ref()),
        };
        std::iter::once(first).chain(second)
    }
}

async fn approle(
    server: &Server,
    namespace: Option<&str>,
    mount: String,
    role_id: &SecretText,
    secret_id: Option<&SecretText>,
) -> Result<Token, LoginFailure> {
    check_path(&mount)?;
    // vaultrs gives path and method. Its body is not used: the struct prints the secret id with `Debug` and leaves
    // copies that are not wiped, and it cannot leave the secret id out.
    let endpoint = LoginWithApproleRequest { mount, role_id: String::new(), secret_id: String::new() };
    let caller = Caller { token: None, namespace };
    let answered = server.call(&endpoint, caller, approle_body(role_id, secret_id)?).await?;
    if answered.response.status == StatusCode::OK {
        return token_in(&answered);
    }
    let sent: Vec<_> = std::iter::once(role_id).chain(secret_id).collect();
    let fault = answer::refused(&answered, &sent, &server.clock);
    let remedy = match (fault.kind, answered.response.status) {
        (Kind::Denied | Kind::BadRequest, StatusCode::NOT_FOUND) => {
            "check authMount and namespace: there is no such auth method"
        }
        (Kind::Denied | Kind::BadRequest, _) => {
            "check roleId, secretId (used up, expired?), authMount and namespace"
        }
        _ => return Err(LoginFailure::of(answered.response.status, fault)),
    };
    Err(LoginFailure::Refused(Fault { kind: Kind::Login, remedy: remedy.to_owned(), ..fault }))
}

fn approle_body(role_id: &SecretText, secret_id: Option<&SecretText>) -> Result<SecretBytes, Fault> {
    #[derive(Serialize)]
    struct Body<'a> {
        role_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        secret_id: Option<&'a str>,
    }
    // EXPOSE: both go to the server they are for; the buffer is wiped and large enough not to be copied.
    let body = Body { role_id: role_id.expose(), secret_id: secret_id.map(SecretText::expose) };
    let length = role_id.len() + secret_id.map_or(0, SecretText::len);
    let mut json = Zeroizing::new(Vec::with_capacity(64 + 6 * length));
    serde_json::to_writer(&mut *json, &body).map_err(|_| {
        Fault::new(Kind::Internal, "the login request cannot be built", "please report this as a bug")
    })?;
    Ok(SecretBytes::new(std::mem::take(&mut *json)))
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    auth: Option<Auth<'a>>,
}

/// Of `auth` only what is used; the lists around it may be null.
#[derive(Deserialize)]
struct Auth<'a> {
    #[serde(default, deserialize_with = "wiped")]
    client_token: Zeroizing<String>,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    num_uses: u64,
    #[serde(borrow)]
    mfa_requirement: Option<&'a serde_json::value::RawValue>,
}

fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| Zeroizing::new(text.unwrap_or_default()))
}

pub(super) fn token_in(answered: &Answered) -> Result<Token, LoginFailure> {
    // EXPOSE: parsed in place; the token is moved into its carrier.
    let envelope: Envelope<'_> = serde_json::from_slice(answered.response.body.expose())
        .map_err(|error| answer::unreadable(answered, &error))?;
    let place = &answered.place;
    let refused = |cause: &str, remedy| {
        LoginFailure::Refused(Fault::new(Kind::Login, format!("{place}: {cause}"), remedy))
    };
    let Some(auth) = envelope.auth else {
        return Err(answer::bad(answered, "the answer holds no login").into());
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
    let Auth { client_token: mut token, lease_duration, renewable, .. } = auth;
    let text = clean(std::mem::take(&mut *token), &format!("{place}: the token"))?;
    let prospect = if renewable && !renew::is_batch(&text) { Prospect::Full } else { Prospect::Nothing };
    let granted = Duration::from_secs(lease_duration);
    let lease = Lease::lasting(granted, prospect);
    Ok(Token { text, lease, granted, logged_in: Some(Instant::now()), served: AtomicBool::new(false) })
}

async fn load(credential: &Credential, name: &str) -> Result<SecretText, Fault> {
    match credential {
        Credential::Value(value) => {
            // EXPOSE: checked and trimmed into its own carrier.
            clean(value.expose().to_owned(), name)
        }
        Credential::File(path) => load_file(path.clone(), name).await,
    }
}

async fn load_file(path: PathBuf, name: &str) -> Result<SecretText, Fault> {
    let shown = format!("{name}File {}", path.display());
    // A file on a dead network mount must stop neither the clock nor those who wait for the login.
    let reading = tokio::task::spawn_blocking(move || {
        read_file(&path).map_err(|error| {
            let denied = error.io_kind() == Some(io::ErrorKind::PermissionDenied);
            let beyond = if denied { disk::advice(&path, Access::Read) } else { None };
            (error, beyond)
        })
    });
    let content = match timeout(READ_LIMIT, reading).await {
        Ok(Ok(content)) => content,
        Ok(Err(_)) => Err((io::Error::other("the reader died").into(), None)),
        Err(_) => Err((io::Error::from(io::ErrorKind::TimedOut).into(), None)),
    };
    let content = content.map_err(|(error, beyond)| {
        let remedy = beyond.unwrap_or_else(|| format!("make {shown} readable for this process"));
        Fault::new(Kind::NoCredentials, format!("cannot read {shown}: {error}"), remedy)
    })?;
    clean(content, &shown)
}

fn read_file(path: &Path) -> Result<String, ReadError> {
    let mut content = regular_file::read(path, MAX_FILE)?;
    String::from_utf8(std::mem::take(&mut *content))
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8").into())
}

/// One newline at the end is not part of a credential; a control character inside never is. It would end a header.
pub(super) fn clean(text: String, name: &str) -> Result<SecretText, Fault> {
    let mut text = Zeroizing::new(text);
    if text.ends_with('\n') {
        text.pop();
    }
    if text.ends_with('\r') {
        text.pop();
    }
    if text.is_empty() {
        let remedy = "it is tried again: whoever writes it may not be done yet";
        return Err(Fault::new(Kind::NoCredentials, format!("{name} is empty"), remedy));
    }
    if text.chars().any(char::is_control) {
        let message = format!("{name} holds a line break or another control character");
        return Err(Fault::new(Kind::Login, message, "put the credential alone on one line"));
    }
    Ok(SecretText::new(std::mem::take(&mut *text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(secret: &SecretText) -> &str {
        // EXPOSE: compared in a test.
        secret.expose()
    }

    #[test]
    fn one_newline_is_trimmed_and_no_more() {
        assert_eq!(text(&clean("abc\n".into(), "token").unwrap()), "abc");
        assert_eq!(text(&clean("abc\r\n".into(), "token").unwrap()), "abc");
        assert_eq!(text(&clean(" abc ".into(), "token").unwrap()), " abc ");
        assert!(clean("abc\n\n".into(), "token").is_err());
    }

    #[test]
    fn an_empty_credential_is_a_login_fault_that_names_its_place() {
        for empty in ["", "\n", "\r\n"] {
            let fault = clean(empty.into(), "tokenFile /run/t").unwrap_err();
            assert_eq!(
                (fault.kind, fault.message.as_str()),
                (Kind::NoCredentials, "tokenFile /run/t is empty")
            );
        }
    }

    #[test]
    fn a_line_break_inside_is_refused_without_being_shown() {
        let fault = clean("hunter2\nX-Evil: 1".into(), "token").unwrap_err();
        assert!(!format!("{fault:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_id_that_is_not_bound_is_left_out() {
        let (role, id) = (SecretText::new("r\"".into()), SecretText::new("s".into()));
        // EXPOSE: compared in a test.
        assert_eq!(approle_body(&role, None).unwrap().expose(), br#"{"role_id":"r\""}"#);
        let body = approle_body(&role, Some(&id)).unwrap();
        // EXPOSE: compared in a test.
        assert_eq!(body.expose(), br#"{"role_id":"r\"","secret_id":"s"}"#);
    }

    #[test]
    fn fingerprints_tell_credentials_apart() {
        let key = FingerprintKey::random().unwrap();
        let secret = |text: &str| SecretText::new(text.to_owned());
        let approle = |role: &str, id: &str| Credentials::AppRole {
            mount: "approle".into(),
            role_id: secret(role),
            secret_id: Some(secret(id)),
            is_wrapped: false,
        };
        assert_eq!(approle("a", "b").fingerprint(&key), approle("a", "b").fingerprint(&key));
        assert_ne!(approle("a", "b").fingerprint(&key), approle("ab", "").fingerprint(&key));
    }
}
