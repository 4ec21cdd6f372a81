//! What a path in a store may look like: mounts, keys, namespaces. All of them become parts of a URL or of a header.

use super::context::CompileContext;
use super::section::Section;
use crate::config::diagnostic::{Code, Diagnostic};

/// Why a path is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(in crate::config) enum KeyPathError {
    #[error("it is empty")]
    Empty,
    #[error("it has a slash at its beginning or end")]
    OuterSlash,
    #[error("it has an empty part, \".\" or \"..\"")]
    Part,
    #[error("it holds a control character")]
    Control,
}

/// A mount; slashes at its ends do not matter.
pub(in crate::config) fn mount(text: &str) -> Result<String, KeyPathError> {
    let inner = text.trim_matches('/');
    check(inner)?;
    Ok(inner.to_owned())
}

/// The mount of an auth method; `auth/` in front of it does not matter either.
pub(in crate::config) fn auth_mount(text: &str) -> Result<String, KeyPathError> {
    let inner = text.trim_matches('/');
    mount(inner.strip_prefix("auth/").unwrap_or(inner))
}

/// `key` of a secret.
pub(in crate::config) fn of_secret(
    section: &mut Section<'_>,
    context: &mut CompileContext<'_>,
) -> Option<String> {
    if !section.has("key") {
        section.missing("key", "the path of the secret below its mount", context);
    }
    let key = section.parsed("key", (Code::BadKey, "the path of a secret"), key, context)?;
    if let Some(mark) = ["#", "?"].into_iter().find(|mark| key.contains(mark)) {
        let message = format!("the key holds {mark:?}, which is taken as a part of the secret's path");
        context.push(Diagnostic::new(Code::FieldInKey, section.place_of("key"), message));
    }
    Some(key)
}

/// A secret's path below its mount.
pub(in crate::config) fn key(text: &str) -> Result<String, KeyPathError> {
    if text.len() > 1 && (text.starts_with('/') || text.ends_with('/')) {
        return Err(KeyPathError::OuterSlash);
    }
    check(text)?;
    Ok(text.to_owned())
}

/// A folder below a mount; slashes at its ends do not matter, and the whole mount is an empty text.
pub(in crate::config) fn folder(text: &str) -> Result<String, KeyPathError> {
    match text.trim_matches('/') {
        "" => Ok(String::new()),
        inner => check(inner).map(|()| inner.to_owned()),
    }
}

/// A namespace; `None` is the root namespace, which is written as an empty text or `/`.
pub(in crate::config) fn namespace(text: &str) -> Result<Option<String>, KeyPathError> {
    match text.trim_matches('/') {
        "" => Ok(None),
        inner => check(inner).map(|()| Some(inner.to_owned())),
    }
}

fn check(path: &str) -> Result<(), KeyPathError> {
    if path.is_empty() {
        return Err(KeyPathError::Empty);
    }
    if path.contains(char::is_control) {
        return Err(KeyPathError::Control);
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(KeyPathError::Part);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_below_their_mount() {
        assert_eq!(key("common/tls/my site"), Ok("common/tls/my site".to_owned()));
        for (text, error) in [
            ("", KeyPathError::Empty),
            ("/a", KeyPathError::OuterSlash),
            ("a/", KeyPathError::OuterSlash),
            ("/", KeyPathError::Part),
            ("a//b", KeyPathError::Part),
            ("a/../b", KeyPathError::Part),
            (".", KeyPathError::Part),
            ("a\nb", KeyPathError::Control),
        ] {
            assert_eq!(key(text), Err(error), "{text:?}");
        }
        assert!(key("a/..b/...").is_ok());
    }

    #[test]
    fn outer_slashes_of_mounts_and_namespaces_do_not_matter() {
        assert_eq!(mount("/kv/team/"), Ok("kv/team".to_owned()));
        assert_eq!(auth_mount("auth/approle/"), Ok("approle".to_owned()));
        assert_eq!(mount("/"), Err(KeyPathError::Empty));
        assert_eq!(namespace("team-a/"), Ok(Some("team-a".to_owned())));
        assert_eq!(namespace(""), Ok(None));
        assert_eq!(namespace("/"), Ok(None));
        assert_eq!(namespace("a/../b"), Err(KeyPathError::Part));
    }
}
