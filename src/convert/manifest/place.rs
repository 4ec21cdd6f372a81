//! Where a key of External Secrets lies: its mount, and the path below it.

/// A secret's place in a KV engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct KvPlace {
    /// The mount, where it is not the store's own.
    pub(super) mount: Option<String>,
    /// The path below the mount, without `data/`.
    pub(super) key: String,
}

/// Why a key has no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// `secret`, `secret/`.
    #[error("it names a mount and no secret below it")]
    NoKey,
    /// `a/../b`.
    #[error("\"..\" may lead out of the mount")]
    Dots,
    /// Empty, or only slashes.
    #[error("it is empty")]
    Empty,
}

/// What is known of the mount of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StoreMount<'s> {
    /// `path` of the store, or `--mount-path`.
    Path(&'s str),
    /// The store has no `path`: each key begins with its mount.
    InKey,
    /// The store is not in the input.
    Unknown,
}

impl KvPlace {
    /// The place of `key`, by the rules of External Secrets.
    pub(super) fn of(key: &str, mount: StoreMount<'_>, is_v2: bool) -> Result<Self, PlaceError> {
        let parts: Vec<&str> = key.split('/').filter(|part| !part.is_empty()).collect();
        if parts.iter().any(|part| matches!(*part, "." | "..")) {
            return Err(PlaceError::Dots);
        }
        if parts.is_empty() {
            return Err(PlaceError::Empty);
        }
        match mount {
            StoreMount::Path(path) => Self::below(&parts, &mount_parts(path, is_v2), is_v2),
            // `/data/` inside: the mount is in front of it, whatever the store says.
            StoreMount::InKey | StoreMount::Unknown if is_v2 => {
                let data = parts.iter().skip(1).position(|part| *part == "data").map(|at| at + 1);
                match (data, mount) {
                    (Some(at), _) => Self::split(&parts, at, at + 1),
                    (None, StoreMount::InKey) => Self::split(&parts, 1, 1),
                    (None, _) => Ok(Self { mount: None, key: parts.join("/") }),
                }
            }
            StoreMount::InKey => Self::split(&parts, 1, 1),
            StoreMount::Unknown => Ok(Self { mount: None, key: parts.join("/") }),
        }
    }

    /// The mount may stand in front of the key too; it is cut off then, with the `data/` behind it.
    fn below(parts: &[&str], mount: &[&str], is_v2: bool) -> Result<Self, PlaceError> {
        let mut rest = parts;
        if let Some(cut) = parts.strip_prefix(mount).filter(|_| !mount.is_empty()) {
            rest = match cut.split_first() {
                Some((&"data", behind)) if is_v2 => behind,
                _ => cut,
            };
        }
        if rest.is_empty() {
            return Err(PlaceError::NoKey);
        }
        Ok(Self { mount: None, key: rest.join("/") })
    }

    fn split(parts: &[&str], mount_end: usize, key_start: usize) -> Result<Self, PlaceError> {
        let mount = parts.get(..mount_end).unwrap_or_default();
        let key = parts.get(key_start..).unwrap_or_default();
        if key.is_empty() {
            return Err(PlaceError::NoKey);
        }
        Ok(Self { mount: Some(mount.join("/")), key: key.join("/") })
    }
}

/// `path` of a store as a mount: without outer slashes, and without the `data` that some write behind it.
pub(super) fn mount_of(path: &str, is_v2: bool) -> String {
    mount_parts(path, is_v2).join("/")
}

fn mount_parts(path: &str, is_v2: bool) -> Vec<&str> {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if is_v2 && parts.len() > 1 && parts.last() == Some(&"data") {
        parts.pop();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: &str, mount: StoreMount<'_>, is_v2: bool) -> Result<(Option<String>, String), PlaceError> {
        KvPlace::of(key, mount, is_v2).map(|KvPlace { mount, key }| (mount, key))
    }

    #[test]
    fn a_store_with_a_path_cuts_it_off_the_key() {
        for (key, path, is_v2, expected) in [
            ("app/db", "secret", true, "app/db"),
            ("secret/app/db", "secret", true, "app/db"),
            ("secret/data/app/db", "secret", true, "app/db"),
            ("secret/data/app/db", "secret/data", true, "app/db"),
            ("secret/data/app", "secret", false, "data/app"),
            ("data/app", "secret", true, "data/app"),
            ("/app//db/", "/kv/team/", true, "app/db"),
            ("kv/team/data/app", "kv/team", true, "app"),
            ("secretary/app", "secret", true, "secretary/app"),
        ] {
            let expected = Ok((None, expected.to_owned()));
            assert_eq!(place(key, StoreMount::Path(path), is_v2), expected, "{key} below {path}");
        }
    }

    #[test]
    fn a_store_without_a_path_has_the_mount_in_each_key() {
        for (key, is_v2, mount, rest) in [
            ("secret/app/db", true, "secret", "app/db"),
            ("kv/team/data/app/db", true, "kv/team", "app/db"),
            ("kv1/app/db", false, "kv1", "app/db"),
            ("kv1/data/db", false, "kv1", "data/db"),
        ] {
            let expected = Ok((Some(mount.to_owned()), rest.to_owned()));
            assert_eq!(place(key, StoreMount::InKey, is_v2), expected, "{key}");
        }
    }

    #[test]
    fn without_the_store_only_data_shows_a_mount() {
        assert_eq!(place("app/db", StoreMount::Unknown, true), Ok((None, "app/db".to_owned())));
        let expected = Ok((Some("secret".to_owned()), "app/db".to_owned()));
        assert_eq!(place("secret/data/app/db", StoreMount::Unknown, true), expected);
    }

    #[test]
    fn some_keys_have_no_place() {
        assert_eq!(place("secret", StoreMount::InKey, true), Err(PlaceError::NoKey));
        assert_eq!(place("secret/data", StoreMount::Path("secret"), true), Err(PlaceError::NoKey));
        assert_eq!(place("a/../b", StoreMount::Unknown, true), Err(PlaceError::Dots));
        assert_eq!(place("//", StoreMount::Unknown, true), Err(PlaceError::Empty));
    }
}
