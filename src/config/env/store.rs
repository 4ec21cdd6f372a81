//! The variables of the official clients, which fill what `secretStore` leaves out.
//!
//! `BAO_X` comes before `VAULT_X`: if it exists, even empty, `VAULT_X` is not looked at, as the `bao` client does it.

use std::fmt;
use std::io;
use std::path::Path;

use super::{Env, Origins};
use crate::regular_file::{self, ReadError};

/// Key of `secretStore` and the variable that fills it, without `BAO_` or `VAULT_`.
const FILLED: [(&str, &str); 11] = [
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
];

/// Variables of the official clients that this program does not read, and what to do about each.
const UNUSED: [(&str, &str); 14] = [
    ("AGENT_ADDR", "set secretStore.address to the agent's address"),
    ("CACERT_BYTES", "put the certificate into a file and name it in secretStore.tlsCACert"),
    ("CLIENT_CERT_BYTES", "put the certificate into a file and name it in secretStore.tlsClientCert"),
    ("CLIENT_KEY_BYTES", "put the key into a file and name it in secretStore.tlsClientKey"),
    ("CLIENT_TIMEOUT", "set secretStore.timeout"),
    ("MAX_RETRIES", "set INITIAL_BACKOFF and MAX_BACKOFF"),
    ("RATE_LIMIT", "set limits.maxConcurrentRequests"),
    ("SRV_LOOKUP", "write host and port into secretStore.address"),
    ("HTTP_PROXY", "this program connects to the store directly"),
    ("PROXY_ADDR", "this program connects to the store directly"),
    ("DISABLE_REDIRECTS", "this program follows one redirect and never to another scheme"),
    ("WRAP_TTL", "it is for the command line client"),
    ("HEADERS", "this program sends no other headers"),
    ("TOKEN_PATH", "set secretStore.tokenFile"),
];

/// Those of [`FILLED`] whose value is a path.
const PATHS: [&str; 4] = ["CACERT", "CAPATH", "CLIENT_CERT", "CLIENT_KEY"];

const PREFIXES: [&str; 2] = ["BAO_", "VAULT_"];
const FILE_SUFFIX: &str = "_FILE";

/// Most bytes of a file that a `…_FILE` variable names.
const MAX_FILE: usize = 64 << 10;

/// What the environment gives for one key.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::config) enum Filler<'e> {
    /// `BAO_X` or `VAULT_X`.
    Value { variable: String, value: &'e str },
    /// `BAO_X_FILE` or `VAULT_X_FILE`: the path of a file that holds the value.
    File { variable: String, path: &'e str },
    /// The variable is set and not UTF-8.
    NotText { variable: String },
}

/// Why a variable that is set has no effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::config) enum Reason {
    /// The file has this key.
    InFile(&'static str),
    /// This variable comes first.
    Behind(String),
    /// This variable comes first, and is empty.
    BehindEmpty(String),
    /// Nothing asked for this key.
    NotNeeded(&'static str),
    /// No part of this program reads it; what to do about it.
    NotRead(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFile(key) => write!(f, "the file gives secretStore.{key}"),
            Self::Behind(variable) => write!(f, "{variable} comes first"),
            Self::BehindEmpty(variable) => write!(f, "{variable} comes first, and is empty"),
            Self::NotNeeded(key) => write!(f, "secretStore.{key} is not needed"),
            Self::NotRead(advice) => write!(f, "this program does not read it: {advice}"),
        }
    }
}

/// A look at one environment with a store's eyes.
#[derive(Clone, Copy)]
pub(in crate::config) struct StoreVariables<'e>(pub(in crate::config) &'e Env);

impl<'e> StoreVariables<'e> {
    /// What fills `key` of `secretStore`; an empty variable fills nothing.
    pub(in crate::config) fn given(self, key: &str) -> Option<Filler<'e>> {
        let variable = self.first(key)?;
        if self.0.is_not_text(&variable) {
            return Some(Filler::NotText { variable });
        }
        let value = self.0.value(&variable).filter(|value| !value.is_empty())?;
        Some(if variable.ends_with(FILE_SUFFIX) {
            Filler::File { variable, path: value }
        } else {
            Filler::Value { variable, value }
        })
    }

    /// The variable that would fill `key` and is set to nothing, which hides those that come after it.
    pub(in crate::config) fn empty(self, key: &str) -> Option<String> {
        self.first(key).filter(|variable| self.0.value(variable) == Some(""))
    }

    /// Variables that are set and have no effect, each with the reason. `origins` tells which had one.
    pub(in crate::config) fn ignored(
        self,
        origins: &Origins,
        file_has: impl Fn(&str) -> bool,
    ) -> Vec<(String, Reason)> {
        let mut ignored = Vec::new();
        for (key, name) in FILLED {
            let used = candidates(name).find(|variable| origins.names(variable));
            let set = candidates(name).filter(|variable| self.has_something(variable));
            for variable in set.filter(|variable| !origins.names(variable)) {
                let reason = match (&used, self.empty(key)) {
                    _ if file_has(key) => Reason::InFile(key),
                    (Some(used), _) => Reason::Behind(used.clone()),
                    (None, Some(empty)) => Reason::BehindEmpty(empty),
                    (None, None) => Reason::NotNeeded(key),
                };
                ignored.push((variable, reason));
            }
        }
        let unused = UNUSED.iter().flat_map(|(name, advice)| PREFIXES.map(|prefix| (prefix, *name, *advice)));
        for (prefix, name, advice) in unused {
            let variable = format!("{prefix}{name}");
            if self.has_something(&variable) && !origins.names(&variable) {
                ignored.push((variable, Reason::NotRead(advice)));
            }
        }
        ignored
    }

    /// The paths in the variables that fill a store: of files that hold a value, and of TLS files.
    pub(in crate::config) fn files(self) -> Vec<&'e str> {
        let of = |name| candidates(name).filter(move |variable| names_a_file(name, variable));
        let variables = FILLED.iter().flat_map(|(_, name)| of(*name));
        variables.filter_map(|variable| self.0.value(&variable)).collect()
    }

    /// The first variable for `key` that is set.
    fn first(self, key: &str) -> Option<String> {
        let (_, name) = FILLED.iter().find(|(known, _)| *known == key)?;
        candidates(name).find(|variable| self.0.is_set(variable))
    }

    fn has_something(self, variable: &str) -> bool {
        self.0.is_not_text(variable) || self.0.value(variable).is_some_and(|value| !value.is_empty())
    }
}

fn names_a_file(name: &str, variable: &str) -> bool {
    variable.ends_with(FILE_SUFFIX) || PATHS.contains(&name)
}

/// The content of the file that a `…_FILE` variable names, without one newline at its end.
///
/// # Errors
/// The file cannot be read, is larger than 64 KiB, or is not UTF-8.
pub(in crate::config) fn read_value(path: &Path) -> Result<String, ReadError> {
    let mut bytes = regular_file::read(path, MAX_FILE)?;
    let mut text = String::from_utf8(std::mem::take(&mut *bytes))
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The variables that can fill one key, first come, first served.
fn candidates(name: &str) -> impl Iterator<Item = String> {
    PREFIXES
        .into_iter()
        .flat_map(move |prefix| [format!("{prefix}{name}"), format!("{prefix}{name}{FILE_SUFFIX}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)], key: &str) -> Option<(String, String)> {
        let env = Env::from_pairs(pairs.iter().copied());
        match StoreVariables(&env).given(key)? {
            Filler::Value { variable, value } => Some((variable, value.to_owned())),
            Filler::File { variable, path } => Some((variable, format!("@{path}"))),
            Filler::NotText { variable } => Some((variable, String::new())),
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
    fn names_what_is_ignored_and_why() {
        let env = Env::from_pairs([
            ("VAULT_ADDR", "v"),
            ("BAO_ADDR", "b"),
            ("VAULT_NAMESPACE", "n"),
            ("VAULT_AGENT_ADDR", "a"),
            ("VAULT_CACERT", ""),
            ("VAULT_SERVICE_HOST", "kubernetes sets this one"),
        ]);
        let mut origins = Origins::default();
        origins.push("secretStore.address".into(), "BAO_ADDR");
        let ignored = StoreVariables(&env).ignored(&origins, |key| key == "namespace");
        let shown: Vec<_> = ignored.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        assert_eq!(
            shown,
            [
                "VAULT_ADDR: BAO_ADDR comes first",
                "VAULT_NAMESPACE: the file gives secretStore.namespace",
                "VAULT_AGENT_ADDR: this program does not read it: set secretStore.address to the agent's address",
            ]
        );
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
        let mut files = StoreVariables(&env).files();
        files.sort_unstable();
        assert_eq!(files, ["/addr", "/ca.pem", "/token"]);
    }
}
