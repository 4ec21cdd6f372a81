//! A wrapped secret id: the wrapping token is looked at before it is opened, and it is opened once.

use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use vaultrs::api::sys::requests::{UnwrapRequest, WrappingLookupRequest};
use zeroize::Zeroizing;

use super::answer;
use super::login::{LoginFailure, clean};
use super::server::{Answered, Caller, Server};
use crate::fault::{Disposition, Fault, Kind};
use crate::secret::{Fingerprint, SecretBytes, SecretText};

/// What became of a wrapping token: it opens once, so neither outcome is asked for again.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) wrapping: Fingerprint,
    pub(super) outcome: Result<SecretText, Fault>,
}

const SOMEBODY: &str =
    "find out who opened it: somebody else may hold the secret id; then provide a new wrapped one";

/// Opens `wrapping`, which must have been made by the role's `secret-id` of the auth method at `mount`.
///
/// # Errors
/// `Refused`: the wrapping token is of no use, for good. Anything else: the server did not say.
pub(super) async fn open(
    server: &Server,
    namespace: Option<&str>,
    mount: &str,
    wrapping: &SecretText,
) -> Result<SecretText, LoginFailure> {
    let caller = Caller { token: None, namespace };
    let lookup = WrappingLookupRequest { token: String::new() };
    let answered = server.call(&lookup, caller, body(wrapping)?).await?;
    if answered.response.status != StatusCode::OK {
        return Err(failed(server, &answered, wrapping));
    }
    check_path(&answered, namespace, mount)?;
    // Opening wants it as the token of the request, and not in the body too.
    let caller = Caller { token: Some(wrapping), namespace };
    let nothing = SecretBytes::new(b"{}".to_vec());
    let answered = server.call(&UnwrapRequest { token: None }, caller, nothing).await?;
    if answered.response.status != StatusCode::OK {
        return Err(failed(server, &answered, wrapping));
    }
    secret_id(&answered)
}

/// The lookup asks for nobody in particular, and has the token in its body.
fn body(wrapping: &SecretText) -> Result<SecretBytes, Fault> {
    #[derive(Serialize)]
    struct Body<'a> {
        token: &'a str,
    }
    let mut json = Zeroizing::new(Vec::with_capacity(64 + 6 * wrapping.len()));
    // EXPOSE: it goes to the server that made it; the buffer is wiped and large enough not to be copied.
    serde_json::to_writer(&mut *json, &Body { token: wrapping.expose() }).map_err(|_| {
        Fault::new(Kind::Internal, "the unwrap request cannot be built", "please report this as a bug")
    })?;
    Ok(SecretBytes::new(std::mem::take(&mut *json)))
}

fn failed(server: &Server, answered: &Answered, wrapping: &SecretText) -> LoginFailure {
    let fault = answer::refused(answered, &[wrapping], &server.clock);
    match fault.kind.disposition() {
        Disposition::Transient => LoginFailure::of(answered.response.status, fault),
        Disposition::Standing | Disposition::Refused => {
            let message = format!("the wrapped secret id does not open: {}", fault.message);
            LoginFailure::Refused(Fault::new(Kind::Unwrap, message, SOMEBODY))
        }
    }
}

/// A token that wraps something else was put there by somebody who wants it opened, or by mistake: it stays closed.
pub(super) fn check_path(
    answered: &Answered,
    namespace: Option<&str>,
    mount: &str,
) -> Result<(), LoginFailure> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        creation_path: String,
    }
    // EXPOSE: only the path goes on.
    let envelope: Envelope = serde_json::from_slice(answered.response.body.expose())
        .map_err(|error| answer::unreadable(answered, &error))?;
    let path = envelope.data.creation_path;
    if is_of_role(&path, namespace, mount) {
        return Ok(());
    }
    let path = answer::quoted(&path);
    let message = format!(
        "the wrapping token was made by {path} and not by a secret-id of auth/{mount}: it is not opened"
    );
    let remedy =
        "find out who put it there; provide a secret id wrapped by the role's own secret-id endpoint";
    Err(LoginFailure::Refused(Fault::new(Kind::Unwrap, message, remedy)))
}

/// `auth/<mount>/role/<role>/secret-id` or `…/custom-secret-id`, with or without the namespace in front.
fn is_of_role(path: &str, namespace: Option<&str>, mount: &str) -> bool {
    let within = namespace.and_then(|namespace| path.strip_prefix(namespace)?.strip_prefix('/'));
    let role = within.unwrap_or(path).strip_prefix("auth/");
    let role = role.and_then(|path| path.strip_prefix(mount)).and_then(|path| path.strip_prefix("/role/"));
    role.and_then(|path| path.split_once('/'))
        .is_some_and(|(role, end)| !role.is_empty() && matches!(end, "secret-id" | "custom-secret-id"))
}

pub(super) fn secret_id(answered: &Answered) -> Result<SecretText, LoginFailure> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Option<Data>,
    }
    #[derive(Deserialize)]
    struct Data {
        #[serde(default, deserialize_with = "wiped")]
        secret_id: Zeroizing<String>,
    }
    let nothing = || {
        let message = format!("{}: what was wrapped is no secret id", answered.place);
        LoginFailure::Refused(Fault::new(Kind::Unwrap, message, "provide a new wrapped secret id"))
    };
    // EXPOSE: parsed in place; the secret id is moved into its carrier.
    let envelope: Envelope =
        serde_json::from_slice(answered.response.body.expose()).map_err(|_| nothing())?;
    let mut secret_id = envelope.data.ok_or_else(nothing)?.secret_id;
    clean(std::mem::take(&mut *secret_id), "the wrapped secret id").map_err(|_| nothing())
}

fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_ids_of_the_auth_method_are_opened() {
        let right = ["auth/approle/role/app/secret-id", "auth/approle/role/b/custom-secret-id"];
        for path in right {
            assert!(is_of_role(path, None, "approle") && is_of_role(path, Some("team"), "approle"), "{path}");
        }
        assert!(is_of_role("team/auth/deep/roles/role/app/secret-id", Some("team"), "deep/roles"));
        let wrong = [
            "",
            "auth/approle/login",
            "auth/other/role/app/secret-id",
            "auth/approle/role//secret-id",
            "auth/approle/role/app/secret-id/lookup",
            "auth/approle-2/role/app/secret-id",
            "team/auth/approle/role/app/secret-id",
            "secret/data/auth/approle/role/app/secret-id",
            "sys/wrapping/wrap",
            "auth/token/create",
        ];
        for path in wrong {
            assert!(!is_of_role(path, None, "approle"), "{path}");
        }
    }
}
