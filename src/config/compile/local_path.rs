//! What a path in the local file system may look like.

use std::path::{Path, PathBuf};

use super::text::Text;

/// `text` as a path from `base`.
///
/// # Errors
/// It is empty or holds a NUL byte.
pub(super) fn local_path(text: &Text<'_>, base: &Path) -> Result<PathBuf, &'static str> {
    let value = text.value.as_ref();
    match value {
        "" => Err("it is empty"),
        _ if value.contains('\0') => Err("it holds a NUL byte"),
        // Without the `.` parts that a message would show.
        _ => unexpanded(text).map_or_else(|| Ok(base.join(value).components().collect()), Err),
    }
}

/// Why a path that only a shell would understand is refused.
pub(super) fn unexpanded(text: &Text<'_>) -> Option<&'static str> {
    let is_variable =
        |rest: &str| rest.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    // A dollar sign that is escaped is meant. A default begins a part of the path, as a slash does.
    let unescaped = text.written().replace("$$", "\0").replace(":-", "/");
    if text.value == "~" || text.value.starts_with("~/") {
        Some("\"~\" is a directory of that name here; write ${HOME} for the home directory")
    } else if unescaped.split('/').any(|part| part.strip_prefix('$').is_some_and(is_variable)) {
        Some("\"$NAME\" is not a variable here; write ${NAME}")
    } else if text.value.contains("{{") {
        Some("a path is not a template; write it out, or use ${NAME}")
    } else if text.value.starts_with('%') {
        Some("\"%\" is replaced in systemd's units only; write it out, or use ${NAME}")
    } else if text.value.get(1..3) == Some(":\\") {
        Some("it is a path of Windows")
    } else {
        None
    }
}
