//! One login request. Its answer may be wrapped.

use http::StatusCode;
use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use serde::Deserialize;
use serde::de::IgnoredAny;
use vaultrs::api::sys::requests::UnwrapRequest;
use zeroize::Zeroizing;

use super::{AuthError, Token, body, clean, parse, token_in, wiped};
use crate::fault::{Fault, Kind};
use crate::secret::{SecretBytes, SecretText};
use crate::store::vault::answer;
use crate::store::vault::cooldown::AuthFailure;
use crate::store::vault::server::{Answered, Server, check_path};

/// A `POST` below an auth mount. The bodies of vaultrs' own print with `Debug`, and have no field that may be left out.
struct LoginRequest(String);

impl Endpoint for LoginRequest {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.0.clone()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::POST
    }
}

/// Sends `parts` to `path` below `auth/`; empty ones are left out. `suspects` is what to check after a refusal, beside the
/// mount and the namespace.
pub(super) async fn log_in(
    server: &Server,
    path: &str,
    parts: &[(&'static str, &SecretText)],
    suspects: &str,
) -> Result<Token, AuthError> {
    check_path(path)?;
    let parts: Vec<_> = parts.iter().copied().filter(|(_, part)| !part.is_empty()).collect();
    let request = LoginRequest(format!("auth/{path}"));
    let answered = server.call(&request, server.login_caller(None), body(&parts)?).await?;
    let status = answered.response.status;
    if status == StatusCode::OK {
        return token_in(&unwrapped(server, answered).await?);
    }
    // A role is no secret, and the server's words name it.
    let secrets = parts.iter().filter(|(name, _)| !matches!(*name, "role" | "name"));
    let sent: Vec<_> = secrets.map(|(_, part)| *part).collect();
    let mut error = AuthError::of(&answered, &sent, "");
    let said = &error.fault.message;
    if error.failure == AuthFailure::Refused {
        error.fault.remedy = remedy(status, said, suspects);
    } else if status == StatusCode::INTERNAL_SERVER_ERROR && error.fault.kind == Kind::ServerError {
        // Some methods say so what a client did wrong.
        error.fault.remedy = format!(
            "it is tried again; if it lasts, check {suspects} and authMount, and look into the server's log"
        );
    }
    // Only long secrets are taken out of what the server said, and people choose short passwords.
    // EXPOSE: to see whether the server quotes it.
    if parts.iter().any(|(name, part)| *name == "password" && error.fault.message.contains(part.expose())) {
        error.fault.message =
            format!("{} ({}): what the server said holds the password", answered.place, status.as_u16());
    }
    if error.failure == AuthFailure::Refused {
        error.fault.kind = Kind::Login;
    }
    Err(error)
}

/// What to do about a refusal with `status`, for which the server has given the reasons `said`.
fn remedy(status: StatusCode, said: &str, suspects: &str) -> String {
    match status {
        StatusCode::NOT_FOUND if said.contains("unsupported path") => {
            format!("the method that is mounted there takes no such login: check authMount, and {suspects}")
        }
        StatusCode::NOT_FOUND => {
            "check authMount, namespace and authNamespace: there is no such auth method".to_owned()
        }
        // Nobody may learn what is mounted, so this is also the answer where nothing is.
        StatusCode::FORBIDDEN => format!(
            "check authMount, namespace and authNamespace first: 403 is also the answer where no such method is mounted. \
             Then check {suspects}"
        ),
        _ => format!("check {suspects}; also authMount, namespace and authNamespace"),
    }
}

/// `answered`, or what is wrapped in it. It came just now and from the server itself, so no other process can have put
/// another token there.
async fn unwrapped(server: &Server, answered: Answered) -> Result<Answered, AuthError> {
    #[derive(Deserialize)]
    struct WrappedLogin {
        auth: Option<IgnoredAny>,
        wrap_info: Option<WrapInfo>,
    }
    #[derive(Deserialize)]
    struct WrapInfo {
        #[serde(default, deserialize_with = "wiped")]
        token: Zeroizing<String>,
    }
    let WrappedLogin { auth: None, wrap_info: Some(mut wrap) } = parse(&answered)? else {
        return Ok(answered);
    };
    if wrap.token.is_empty() {
        return Err(answer::bad(&answered, "the answer is wrapped, and holds no wrapping token").into());
    }
    let wrapping =
        clean(std::mem::take(&mut *wrap.token), &format!("{}: the wrapping token", answered.place))?;
    let caller = server.login_caller(Some(&wrapping));
    let opened =
        server.call(&UnwrapRequest { token: None }, caller, SecretBytes::new(b"{}".to_vec())).await?;
    if opened.response.status == StatusCode::OK {
        return Ok(opened);
    }
    let AuthError { failure, fault } =
        AuthError::of(&opened, &[&wrapping], "ask the server's audit log who opened it");
    // The credentials are good.
    let failure = if failure == AuthFailure::Refused { AuthFailure::Malformed } else { failure };
    let message = format!("the login was answered wrapped, and does not open: {}", fault.message);
    Err(AuthError { failure, fault: Fault { message, ..fault } })
}
