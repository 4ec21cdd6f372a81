//! The `AppRole` method. A wrapped secret id is looked at before it is opened, and it is opened once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use http::StatusCode;
use serde::Deserialize;
use vaultrs::api::sys::requests::{UnwrapRequest, WrappingLookupRequest};
use zeroize::Zeroizing;

use super::login::log_in;
use super::{AuthError, Authenticator, CredentialFiles, Credentials, Token, body, clean, parse, wiped};
use crate::config::provider::vault::Credential;
use crate::fault::{Disposition, Fault, Kind};
use crate::secret::{SecretBytes, SecretText};
use crate::store::vault::answer;
use crate::store::vault::cooldown::AuthFailure;
use crate::store::vault::server::{self, Answered, Server};

/// `authMethod: approle`.
pub(super) struct AppRole {
    pub(super) mount: String,
    pub(super) role_id: Credential,
    pub(super) secret_id: Option<Credential>,
    /// Whether the secret id is a wrapping token.
    pub(super) is_wrapped: bool,
}

/// The wrapping token that was opened last, and the secret id that was in it, for later logins.
#[derive(Default)]
pub(crate) struct UnwrappedIds(Mutex<Option<(SecretText, SecretText)>>);

impl UnwrappedIds {
    fn lock(&self) -> MutexGuard<'_, Option<(SecretText, SecretText)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what another credential set has opened.
    pub(crate) fn take_over(&self, before: &Self) {
        let opened = before.lock().clone();
        *self.lock() = opened;
    }
}

#[async_trait]
impl Authenticator for AppRole {
    async fn load(&self, files: &CredentialFiles, _: SystemTime) -> Result<Credentials, Fault> {
        let mut parts = vec![("role_id", files.load(&self.role_id, "roleId").await?)];
        if let Some(secret_id) = &self.secret_id {
            parts.push(("secret_id", files.load(secret_id, "secretId").await?));
        }
        Ok(Credentials(parts))
    }

    async fn login(
        &self,
        server: &Server,
        credentials: Credentials,
        unwrapped: &UnwrappedIds,
    ) -> Result<Token, AuthError> {
        server::check_path(&self.mount)?;
        let Credentials(mut parts) = credentials;
        if self.is_wrapped {
            for (_, secret) in parts.iter_mut().filter(|(name, _)| *name == "secret_id") {
                *secret = open(server, &self.mount, secret, unwrapped).await?;
            }
        }
        let sent: Vec<_> = parts.iter().map(|(name, part)| (*name, part)).collect();
        let remedy = "roleId and secretId (used up, expired? A wrapping token needs secretIdWrapped: true)";
        log_in(server, &format!("{}/login", self.mount), &sent, remedy).await
    }
}

/// The secret id in `wrapping`, which is opened unless that has been done. It must have been made by the `secret-id`
/// endpoint of a role at `mount`.
async fn open(
    server: &Server,
    mount: &str,
    wrapping: &SecretText,
    unwrapped: &UnwrappedIds,
) -> Result<SecretText, AuthError> {
    if let Some((known, secret_id)) = &*unwrapped.lock()
        && known == wrapping
    {
        return Ok(secret_id.clone());
    }
    let failed = |answered: &Answered| {
        let error = AuthError::of(answered, &[wrapping], "");
        if error.fault.kind.disposition() == Disposition::Transient {
            return error;
        }
        let message = format!("the wrapped secret id does not open: {}", error.fault.message);
        let remedy = "provide a new wrapped one. If this one had not expired and was one, find out who opened it: someone else may hold \
             the secret id";
        spent(message, remedy)
    };
    // The lookup is anonymous, and has the token in its body.
    let lookup = WrappingLookupRequest { token: String::new() };
    let token = body(&[("token", wrapping)])?;
    let answered = server.call(&lookup, server.login_caller(None), token).await?;
    if answered.response.status != StatusCode::OK {
        return Err(failed(&answered));
    }
    check_path(&answered, server.namespace(), mount)?;
    // Opening wants it as the token of the request, and not in the body too.
    let (caller, nothing) = (server.login_caller(Some(wrapping)), SecretBytes::new(b"{}".to_vec()));
    let answered = server.call(&UnwrapRequest { token: None }, caller, nothing).await?;
    if answered.response.status != StatusCode::OK {
        return Err(failed(&answered));
    }
    let secret_id = secret_id(&answered)?;
    *unwrapped.lock() = Some((wrapping.clone(), secret_id.clone()));
    Ok(secret_id)
}

fn spent(message: String, remedy: &str) -> AuthError {
    AuthError { failure: AuthFailure::Spent, fault: Fault::new(Kind::Spent, message, remedy) }
}

/// A token that wraps something else is an attack or a mistake: it stays closed.
pub(crate) fn check_path(answered: &Answered, namespace: Option<&str>, mount: &str) -> Result<(), AuthError> {
    #[derive(Deserialize)]
    struct WrappingAnswer {
        data: WrappingInfo,
    }
    #[derive(Deserialize)]
    struct WrappingInfo {
        creation_path: String,
    }
    let WrappingAnswer { data } = parse(answered)?;
    if is_of_role(&data.creation_path, namespace, mount) {
        return Ok(());
    }
    let path = answer::quoted(&data.creation_path);
    let message = format!(
        "the wrapping token was made by {path} and not by a secret-id of auth/{mount}: it is not opened"
    );
    let remedy =
        "find out who put it there; provide a secret id wrapped by the role's own secret-id endpoint";
    Err(spent(message, remedy))
}

/// `auth/<mount>/role/<role>/secret-id` or `…/custom-secret-id`, with or without the namespace in front.
fn is_of_role(path: &str, namespace: Option<&str>, mount: &str) -> bool {
    let within = namespace.and_then(|namespace| path.strip_prefix(namespace)?.strip_prefix('/'));
    let role = within.unwrap_or(path).strip_prefix("auth/");
    let role = role.and_then(|path| path.strip_prefix(mount)).and_then(|path| path.strip_prefix("/role/"));
    role.and_then(|path| path.split_once('/'))
        .is_some_and(|(role, end)| !role.is_empty() && matches!(end, "secret-id" | "custom-secret-id"))
}

/// The secret id in the answer to an unwrapping.
pub(crate) fn secret_id(answered: &Answered) -> Result<SecretText, AuthError> {
    #[derive(Deserialize)]
    struct UnwrappedAnswer {
        data: Option<UnwrappedData>,
    }
    #[derive(Deserialize)]
    struct UnwrappedData {
        #[serde(default, deserialize_with = "wiped")]
        secret_id: Zeroizing<String>,
    }
    let nothing = || {
        let message = format!("{}: what was wrapped is no secret id", answered.place);
        spent(message, "provide a new wrapped secret id")
    };
    let UnwrappedAnswer { data } = parse(answered).map_err(|_| nothing())?;
    let mut secret_id = data.ok_or_else(nothing)?.secret_id;
    clean(std::mem::take(&mut *secret_id), "the wrapped secret id").map_err(|_| nothing())
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

    #[test]
    fn a_secret_id_that_is_not_bound_is_left_out() {
        let (role, id) = (SecretText::new("r\"".into()), SecretText::new("s".into()));
        let role_alone = body(&[("role_id", &role)]).unwrap();
        // EXPOSE: compared in a test.
        assert_eq!(role_alone.expose(), br#"{"role_id":"r\""}"#);
        let both = body(&[("role_id", &role), ("secret_id", &id)]).unwrap();
        // EXPOSE: compared in a test.
        assert_eq!(both.expose(), br#"{"role_id":"r\"","secret_id":"s"}"#);
    }
}
