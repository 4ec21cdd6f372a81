//! sprig's functions for paths.

use super::Param::Text;
use super::{GoFunction, text_at};
use crate::template::go::value::GoValue;

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    GoFunction::new("base", &[Text], |_, v| GoValue::text(base(text_at(v, 0)?))),
    GoFunction::new("dir", &[Text], |_, v| GoValue::text(dir(text_at(v, 0)?))),
    GoFunction::new("ext", &[Text], |_, v| GoValue::text(ext(text_at(v, 0)?))),
    GoFunction::new("clean", &[Text], |_, v| GoValue::text(clean(text_at(v, 0)?))),
    GoFunction::new("isAbs", &[Text], |_, v| Ok(GoValue::Bool(text_at(v, 0)?.starts_with('/')))),
];

/// The last part; `.` for an empty path.
fn base(path: &str) -> &str {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match (path, name) {
        ("", _) => ".",
        (_, "") => "/",
        (_, name) => name,
    }
}

/// All but the last part.
fn dir(path: &str) -> String {
    clean(path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or_default())
}

fn ext(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rfind('.').and_then(|at| name.get(at..)).unwrap_or_default()
}

/// The shortest path that means the same.
fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => drop(parts.pop()),
            ("..", None) if is_absolute => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (is_absolute, &*joined) {
        (true, joined) => format!("/{joined}"),
        (false, "") => ".".to_owned(),
        (false, joined) => joined.to_owned(),
    }
}
