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
    #[error("it holds a slash")]
    Slash,
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

/// The user of a login, which becomes one part of its path.
pub(in crate::config) fn user(text: &str) -> Result<String, KeyPathError> {
    check(text)?;
    if text.contains('/') { Err(KeyPathError::Slash) } else { Ok(text.to_owned()) }
}

/// The role of a login, which is sent in its body.
pub(in crate::config) fn role(text: &str) -> Result<String, KeyPathError> {
    match text {
        "" => Err(KeyPathError::Empty),
        role if role.contains(char::is_control) => Err(KeyPathError::Control),
        role => Ok(role.to_owned()),
    }
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
    fn a_user_is_one_part_of_a_path_and_a_role_is_none() {
        for name in ["alice", "DOMAIN\\alice", "a@b.example", "ü %2e", "a?b#c", "..."] {
            assert_eq!(user(name), Ok(name.to_owned()));
        }
        for (text, error) in [
            ("", KeyPathError::Empty),
            ("a/b", KeyPathError::Slash),
            ("../../sys/seal", KeyPathError::Part),
            ("..", KeyPathError::Part),
            ("a\0b", KeyPathError::Control),
        ] {
            assert_eq!(user(text), Err(error), "{text:?}");
        }
        assert_eq!(role("team/../app"), Ok("team/../app".to_owned()));
        assert_eq!((role(""), role("a\n")), (Err(KeyPathError::Empty), Err(KeyPathError::Control)));
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
