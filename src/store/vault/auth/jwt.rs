//! The methods `jwt` and `kubernetes`: a JSON Web Token is exchanged for a token of the server.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::login::log_in;
use super::{AuthError, Authenticator, CredentialFiles, Credentials, Token, UnwrappedIds};
use crate::clock;
use crate::config::provider::vault::Credential;
use crate::fault::{Fault, Kind};
use crate::secret::SecretText;
use crate::store::vault::server::Server;

/// `authMethod: jwt` and `authMethod: kubernetes`.
pub(super) struct JwtLogin {
    pub(super) mount: String,
    /// `None` is the default role of the mount.
    pub(super) role: Option<String>,
    pub(super) jwt: Credential,
}

#[async_trait]
impl Authenticator for JwtLogin {
    async fn load(&self, files: &CredentialFiles, now: SystemTime) -> Result<Credentials, Fault> {
        let jwt = files.load(&self.jwt, "jwt").await?;
        // EXPOSE: its end is read, which is no secret.
        if let Some(end) = end_of(jwt.expose()).filter(|end| *end <= now) {
            let place = match &self.jwt {
                Credential::Value(_) => "jwt".to_owned(),
                Credential::File(path) => format!("jwtFile {}", path.display()),
            };
            let message = format!("the token in {place} ended at {}", clock::for_people(end));
            let remedy = "it is not sent: provide a new one. If it is new, compare the clock of this host with that of its issuer";
            return Err(Fault::new(Kind::NoCredentials, message, remedy));
        }
        let role = SecretText::new(self.role.clone().unwrap_or_default());
        Ok(Credentials(vec![("role", role), ("jwt", jwt)]))
    }

    async fn login(
        &self,
        server: &Server,
        credentials: Credentials,
        _: &UnwrappedIds,
    ) -> Result<Token, AuthError> {
        let sent: Vec<_> = credentials.0.iter().map(|(name, part)| (*name, part)).collect();
        let remedy = "role and what it demands of the JWT (issuer, audience, subject or service account, expiry; the server's log at level debug \
                      may say more)";
        log_in(server, &format!("{}/login", self.mount), &sent, remedy).await
    }

    /// A JWT is needed for a login alone, and a new one comes every few minutes.
    fn takes_up_new_files(&self) -> bool {
        false
    }
}

/// When `jwt` ends by its own `exp`. `None` where it does not say, or not in a way that is understood: then the server
/// judges. The signature is the server's business, too.
pub(in crate::store::vault) fn end_of(jwt: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let mut parts = jwt.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    // It names an identity, and is wiped like the rest of the token.
    let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims).ok()?);
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    // Servers take zero for "not there".
    let since_1970 = Duration::try_from_secs_f64(exp).ok().filter(|since| !since.is_zero())?;
    SystemTime::UNIX_EPOCH.checked_add(since_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn seconds(claims: &str) -> Option<f64> {
        let end = end_of(&jwt(claims))?;
        Some(end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64())
    }

    #[test]
    fn the_end_is_a_number_of_seconds_whole_or_not() {
        assert_eq!(seconds(r#"{"exp":1700000000}"#), Some(1_700_000_000.0));
        assert_eq!(seconds(r#"{"sub":"a","exp":1700000000.5,"aud":["x"]}"#), Some(1_700_000_000.5));
        assert_eq!(seconds(r#"{"exp":1.7e9}"#), Some(1_700_000_000.0));
    }

    #[test]
    fn what_is_no_end_is_left_to_the_server() {
        for claims in [
            "{}",
            "[]",
            "null",
            "1",
            "{",
            r#"{"exp":"1700000000"}"#,
            r#"{"exp":null}"#,
            r#"{"exp":-1}"#,
            r#"{"exp":0}"#,
            r#"{"exp":1e308}"#,
            r#"{"exp":1e999}"#,
            r#"{"exp":99999999999999999999999999}"#,
            r#"{"exp":true}"#,
            r#"{"exp":1,"exp":2}"#,
            r#"{"other":{"exp":1}}"#,
        ] {
            assert_eq!(end_of(&jwt(claims)), None, "{claims}");
        }
        let ended = jwt(r#"{"exp":1}"#);
        for odd in [
            String::new(),
            ".".into(),
            "..".into(),
            "a.b".into(),
            "a.!.c".into(),
            "a.\0.c".into(),
            format!("{ended}.x"),
            format!("{ended}.x.y"),
            ended.replacen('.', "", 1),
            format!("e30.{}=.c2ln", URL_SAFE_NO_PAD.encode(r#"{"exp":1}"#)),
        ] {
            assert_eq!(end_of(&odd), None, "{odd:?}");
        }
        assert!(end_of(&ended).is_some());
        let deep = jwt(&format!(r#"{{"a":{}{},"exp":1}}"#, "[".repeat(20_000), "]".repeat(20_000)));
        assert!(end_of(&deep).is_some(), "what is not used is skipped without recursion");
    }
}
