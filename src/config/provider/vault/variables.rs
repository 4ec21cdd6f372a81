//! The variables of the official clients, which give what `secretStore` leaves out.

use crate::config::compile::env_fallback::EnvFallback;

/// `BAO_X` comes before `VAULT_X`: if it exists, even empty, `VAULT_X` is not looked at, as the `bao` client does it.
pub(in crate::config) static VARIABLES: EnvFallback = EnvFallback {
    prefixes: &["BAO_", "VAULT_"],
    keys: &[
        ("address", "ADDR"),
        ("token", "TOKEN"),
        ("roleId", "ROLE_ID"),
        ("secretId", "SECRET_ID"),
        ("namespace", "NAMESPACE"),
        ("tlsCACert", "CACERT"),
        ("tlsCAPath", "CAPATH"),
        ("tlsClientCert", "CLIENT_CERT"),
        ("tlsClientKey", "CLIENT_KEY"),
        ("tlsSkipVerify", "SKIP_VERIFY"),
        ("tlsServerName", "TLS_SERVER_NAME"),
    ],
    paths: &["CACERT", "CAPATH", "CLIENT_CERT", "CLIENT_KEY"],
    unused: &[
        ("AGENT_ADDR", "set secretStore.address to the agent's address"),
        ("CACERT_BYTES", "put the certificate into a file and name it in secretStore.tlsCACert"),
        ("CLIENT_CERT_BYTES", "put the certificate into a file and name it in secretStore.tlsClientCert"),
        ("CLIENT_KEY_BYTES", "put the key into a file and name it in secretStore.tlsClientKey"),
        ("CLIENT_TIMEOUT", "set secretStore.timeout"),
        ("MAX_RETRIES", "set INITIAL_BACKOFF and MAX_BACKOFF"),
        ("RATE_LIMIT", "set limits.maxConcurrentRequests"),
        ("SRV_LOOKUP", "write host and port into secretStore.address"),
        ("HTTP_PROXY", "set HTTPS_PROXY, or \"proxy\" in secretStore"),
        ("PROXY_ADDR", "set HTTPS_PROXY, or \"proxy\" in secretStore"),
        ("DISABLE_REDIRECTS", "this program follows one redirect and never to another scheme"),
        ("WRAP_TTL", "it is for the command line client"),
        ("HEADERS", "this program sends no other headers"),
        ("TOKEN_PATH", "set secretStore.tokenFile"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compile::env_fallback::EnvValue;
    use crate::config::env::Env;

    fn given(pairs: &[(&str, &str)], key: &str) -> Option<(String, String)> {
        let env = Env::from_pairs(pairs.iter().copied());
        match VARIABLES.given(key, &env)? {
            EnvValue::Value { variable, value } => Some((variable, value.to_owned())),
            EnvValue::File { variable, path } => Some((variable, format!("@{path}"))),
            EnvValue::NotText { variable } => Some((variable, String::new())),
        }
    }

    #[test]
    fn bao_comes_before_vault_even_when_it_is_empty() {
        let found = |variable: &str, value: &str| Some((variable.to_owned(), value.to_owned()));
        assert_eq!(given(&[("VAULT_ADDR", "v"), ("BAO_ADDR", "b")], "address"), found("BAO_ADDR", "b"));
        assert_eq!(given(&[("VAULT_ADDR", "v")], "address"), found("VAULT_ADDR", "v"));
        assert_eq!(given(&[("VAULT_ADDR", "v"), ("BAO_ADDR", "")], "address"), None);
        assert_eq!(
            given(&[("VAULT_TOKEN", "v"), ("BAO_TOKEN_FILE", "/t")], "token"),
            found("BAO_TOKEN_FILE", "@/t")
        );
        assert_eq!(given(&[("VAULT_MOUNT", "v")], "mountPath"), None);
    }

    #[test]
    fn every_file_that_a_variable_names_is_known_whoever_comes_first() {
        let pairs = [
            ("BAO_ADDR", "https://vault"),
            ("VAULT_ADDR_FILE", "/addr"),
            ("BAO_TOKEN_FILE", "/token"),
            ("VAULT_CACERT", "/ca.pem"),
            ("BAO_NAMESPACE", "team"),
            ("BAO_TOKEN", "t"),
        ];
        let env = Env::from_pairs(pairs);
        let mut files = VARIABLES.files(&env);
        files.sort_unstable();
        assert_eq!(files, ["/addr", "/ca.pem", "/token"]);
    }
}
