//! What a path in a store may look like: mounts, keys, namespaces. All of them become parts of a URL or of a header.

/// Why a path is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum PathError {
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
pub(super) fn mount(text: &str) -> Result<String, PathError> {
    let inner = text.trim_matches('/');
    check(inner)?;
    Ok(inner.to_owned())
}

/// The mount of an auth method; `auth/` in front of it does not matter either.
pub(super) fn auth_mount(text: &str) -> Result<String, PathError> {
    let inner = text.trim_matches('/');
    mount(inner.strip_prefix("auth/").unwrap_or(inner))
}

/// A secret's path below its mount.
pub(super) fn key(text: &str) -> Result<String, PathError> {
    if text.len() > 1 && (text.starts_with('/') || text.ends_with('/')) {
        return Err(PathError::OuterSlash);
    }
    check(text)?;
    Ok(text.to_owned())
}

/// A namespace; `None` is the root namespace, which is written as an empty text or `/`.
pub(super) fn namespace(text: &str) -> Result<Option<String>, PathError> {
    match text.trim_matches('/') {
        "" => Ok(None),
        inner => check(inner).map(|()| Some(inner.to_owned())),
    }
}

fn check(path: &str) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.contains(char::is_control) {
        return Err(PathError::Control);
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(PathError::Part);
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
            ("", PathError::Empty),
            ("/a", PathError::OuterSlash),
            ("a/", PathError::OuterSlash),
            ("/", PathError::Part),
            ("a//b", PathError::Part),
            ("a/../b", PathError::Part),
            (".", PathError::Part),
            ("a\nb", PathError::Control),
        ] {
            assert_eq!(key(text), Err(error), "{text:?}");
        }
        assert!(key("a/..b/...").is_ok());
    }

    #[test]
    fn outer_slashes_of_mounts_and_namespaces_do_not_matter() {
        assert_eq!(mount("/kv/team/"), Ok("kv/team".to_owned()));
        assert_eq!(auth_mount("auth/approle/"), Ok("approle".to_owned()));
        assert_eq!(mount("/"), Err(PathError::Empty));
        assert_eq!(namespace("team-a/"), Ok(Some("team-a".to_owned())));
        assert_eq!(namespace(""), Ok(None));
        assert_eq!(namespace("/"), Ok(None));
        assert_eq!(namespace("a/../b"), Err(PathError::Part));
    }
}
