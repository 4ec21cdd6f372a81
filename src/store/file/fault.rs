//! What can be wrong with a file store, in words. Names of files, keys and fields appear here; contents never do.

use std::io;
use std::path::Path;

use crate::disk::{self, Access};
use crate::fault::{Fault, Kind};

/// Most names a message lists.
const NAMES: usize = 5;

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let sandbox = if denied { disk::sandbox_hint(path, Access::Read) } else { None };
    let path = path.display();
    let remedy = match (error.kind(), sandbox) {
        (_, Some(hint)) => hint,
        (io::ErrorKind::NotFound, None) => format!("create {path}, or correct the store's `path`"),
        (io::ErrorKind::PermissionDenied, None) => {
            let user = nix::unistd::geteuid();
            format!("let user {user}, which secrets-sync runs as, read {path} and search its directories")
        }
        _ => format!("make sure that {path} can be read"),
    };
    Fault::new(Kind::Unreachable, format!("cannot read {path}: {error}"), remedy)
}

/// Of a dotenv file, in which nothing can be searched for.
pub(super) fn one_secret(path: &Path) -> Fault {
    let message =
        format!("{} is a dotenv file, one secret: nothing can be searched for in it", path.display());
    Fault::new(Kind::BadRequest, message, "write an \"extract\" in place of \"find\"")
}

pub(super) fn unstable(path: &Path) -> Fault {
    let message = format!("{} changed each time it was read", path.display());
    Fault::new(
        Kind::Unreachable,
        message,
        "write it beside its place and rename it, so that it changes atomically",
    )
}

pub(super) fn not_a_file(path: &Path) -> Fault {
    let message = format!("{} is neither a regular file nor a directory", path.display());
    Fault::new(Kind::BadAnswer, message, "put a regular file there")
}

pub(super) fn too_large(path: &Path, limit: usize) -> Fault {
    let message = format!("{} holds more than {limit} bytes", path.display());
    Fault::new(Kind::BadAnswer, message, "make it smaller, or raise `limits.maxResponseSize`")
}

pub(super) fn not_text(name: &str) -> Fault {
    let message = format!("{name} is not UTF-8 text");
    Fault::new(Kind::BadAnswer, message, "store it as base64 and give its output `decoding: base64`")
}

pub(super) fn outside(path: &Path, root: &Path) -> Fault {
    let message = format!("{} is a link that leads out of {}", path.display(), root.display());
    Fault::new(Kind::BadAnswer, message, "put the file itself into the directory")
}

pub(super) fn ambiguous(key: &str, places: &[String]) -> Fault {
    let message = format!("key `{key}` has more than one place: {}", places.join(", "));
    Fault::new(Kind::BadAnswer, message, "keep one of them")
}

pub(super) fn bad_key(key: &str) -> Fault {
    let message = format!("key `{key}` cannot name anything in a directory");
    Fault::new(Kind::BadRequest, message, "use names between single slashes, none of which starts with a dot")
}

/// The text at `path` is not what its name promises. `cause` tells no content.
pub(super) fn malformed(path: &Path, line: usize, column: usize, cause: &str) -> Fault {
    let message = format!("{}:{line}:{column}: {cause}", path.display());
    Fault::new(Kind::BadAnswer, message, "correct the line; the last good files stay until then")
}

pub(super) fn no_content(path: &Path, expected: &str) -> Fault {
    let message = format!("{} holds no {expected}", path.display());
    Fault::new(
        Kind::BadAnswer,
        message,
        format!("write at least one {expected}; an empty file is taken for half of one"),
    )
}

/// What stands at `key` cannot be a secret, whose parts have names.
pub(super) fn not_a_mapping(path: &Path, key: &str, found: &str) -> Fault {
    let at = if key.is_empty() { String::new() } else { format!("`{key}` of ") };
    let message = format!("{at}{} is {found}, not a mapping of fields", path.display());
    Fault::new(Kind::BadAnswer, message, "write `field: value` lines there")
}

/// There is no `key`; `near` are the keys that begin like it.
pub(super) fn absent(path: &Path, key: &str, near: &[String]) -> Fault {
    let listed = near.iter().take(NAMES).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = near.len().saturating_sub(NAMES);
    let remedy = match (near.is_empty(), more) {
        (true, _) => "add it, or correct the secret's `key`".to_owned(),
        (false, 0) => format!("add it, or correct the secret's `key`; there are {listed}"),
        (false, more) => format!("add it, or correct the secret's `key`; there are {listed} and {more} more"),
    };
    Fault::new(Kind::Absent, format!("{} has no secret `{key}`", path.display()), remedy)
}
