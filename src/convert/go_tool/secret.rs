//! One entry of `secrets` of the Go tool.

use super::{IGNORED, LEFT_ALONE, SeenOnce, interpolated};
use crate::convert::fields::ObjectFields;
use crate::convert::notation::{Notation, StoreKey};
use crate::convert::report::ConversionReport;
use crate::disk::FileMode;

type Entry = (&'static str, Notation);

pub(super) fn convert(
    mut section: ObjectFields<'_>,
    store_has_namespace: bool,
    store: Option<&StoreKey>,
    seen: &mut SeenOnce,
    report: &mut ConversionReport,
) -> Option<Notation> {
    let refusals = report.refusals();
    let mut entries = Vec::new();
    entries.extend(name(&mut section, seen, report));
    entries.extend(store.map(|key| ("store", Notation::Store(key.clone()))));
    place(&mut section, &mut entries, report);
    if let Some(text) = section.text("namespace", report) {
        namespace(text, store_has_namespace, &mut section, &mut entries, report);
    }
    for key in ["credentials", "refreshInterval"] {
        entries.extend(section.kept_text(key, report).map(|text| (key, Notation::text(text))));
    }
    outputs(&mut section, &mut entries, seen, report);
    section.finish_as(IGNORED, report);
    (report.refusals() == refusals).then(|| Notation::map(entries))
}

fn name(section: &mut ObjectFields<'_>, seen: &mut SeenOnce, report: &mut ConversionReport) -> Option<Entry> {
    let name = section.text("name", report)?;
    let mut own = name.to_owned();
    let mut number = 2_u32;
    while !seen.names.insert(own.clone()) {
        own = format!("{name}-{number}");
        number = number.saturating_add(1);
    }
    if own == name {
        section.kept("name", report);
    } else {
        let to =
            format!("{own}: another secret has that name. The Go tool let one of them replace the other");
        section.changed("name", to, report);
    }
    Some(("name", Notation::Text(own)))
}

/// `key`, `mountPath` and `kvVersion`.
fn place(section: &mut ObjectFields<'_>, entries: &mut Vec<Entry>, report: &mut ConversionReport) {
    let mount = section.text("mountPath", report).map(|mount| mount.trim_matches('/'));
    let is_v2 =
        section.node("kvVersion").and_then(|node| node.scalar()).is_some_and(|text| text.text() == "v2");
    if let Some(key) = section.text("key", report) {
        match clean_key(key, mount.unwrap_or_default(), is_v2) {
            Ok(clean) => {
                if clean == key {
                    section.kept("key", report);
                } else {
                    section.changed("key", format!("{clean:?}, which is the same path"), report);
                }
                entries.push(("key", Notation::Text(clean)));
            }
            Err(path) => {
                let remedy =
                    format!("it led out of the mount, to {path:?}: write mountPath and key of that secret");
                section.refused("key", remedy, report);
            }
        }
    }
    if let Some(mount) = mount {
        section.kept("mountPath", report);
        entries.push(("mountPath", Notation::text(mount)));
    }
    entries.extend(section.kept_text("kvVersion", report).map(|text| ("kvVersion", Notation::text(text))));
}

/// The key without `..` and empty parts, as the Go tool joined it with its mount. The whole path where that left the
/// mount.
fn clean_key(key: &str, mount: &str, is_v2: bool) -> Result<String, String> {
    let below: Vec<&str> =
        mount.split('/').chain(is_v2.then_some("data")).filter(|part| !part.is_empty()).collect();
    let mut parts = below.clone();
    for part in key.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    match parts.strip_prefix(below.as_slice()) {
        Some(rest) if !rest.is_empty() => Ok(rest.join("/")),
        _ => Err(parts.join("/")),
    }
}

fn namespace(
    text: &str,
    store_has_namespace: bool,
    section: &mut ObjectFields<'_>,
    entries: &mut Vec<Entry>,
    report: &mut ConversionReport,
) {
    let (value, was_left) = interpolated(text);
    if text.is_empty() && store_has_namespace {
        let to = "the root namespace, as documented. The Go tool read in the namespace of the store";
        section.changed("namespace", to, report);
    } else if was_left {
        section.changed("namespace", LEFT_ALONE, report);
    } else {
        section.kept("namespace", report);
    }
    entries.push(("namespace", value));
}

/// `template.data` and `files`, which the Go tool paired by the sorted names of the templates.
fn outputs(
    section: &mut ObjectFields<'_>,
    entries: &mut Vec<Entry>,
    seen: &mut SeenOnce,
    report: &mut ConversionReport,
) {
    let mut names = Vec::new();
    let mut data = Vec::new();
    if let Some(mut template) = section.child("template", report) {
        if let Some(mut texts) = template.child("data", report) {
            for entry in texts.entries() {
                let Some(text) = texts.text(&entry.key, report) else { continue };
                let to = "the same, with \"engine: go\". A field that is missing is an error, where the Go tool wrote <no value>";
                texts.mapped(&entry.key, to, report);
                names.push(entry.key.as_str());
                data.push((entry.key.clone().into(), Notation::as_is(text)));
            }
            texts.finish_as(IGNORED, report);
        }
        template.finish_as(IGNORED, report);
    }
    let engine = [("engine", Notation::text("go")), ("data", Notation::Map(data))];
    entries.push(("template", Notation::map(engine)));
    let files = section.children("files", report);
    if files.len() != names.len() {
        let remedy = format!(
            "{} files cannot be paired with {} entries of template.data: say in each file which one it holds, \"key: …\"",
            files.len(),
            names.len()
        );
        section.note(crate::convert::report::FieldOutcome::Refused(remedy), report);
    }
    let mut sorted = names.clone();
    sorted.sort_unstable();
    let pairs = names.iter().zip(&sorted);
    let files =
        files.into_iter().zip(pairs).map(|(fields, (name, before))| file(fields, name, before, seen, report));
    entries.push(("files", Notation::List(files.collect())));
}

fn file(
    mut fields: ObjectFields<'_>,
    name: &str,
    before: &str,
    seen: &mut SeenOnce,
    report: &mut ConversionReport,
) -> Notation {
    let mut entries = Vec::new();
    if let Some(path) = fields.text("path", report) {
        let line = fields.position().line;
        let clean = clean_path(path);
        if let Some(other) = seen.paths.insert(clean, line) {
            fields.refused("path", format!("the file in line {other} has the same path"), report);
        } else if name == before {
            fields.mapped("path", format!("with \"key: {name}\""), report);
        } else {
            let to = format!(
                "with \"key: {name}\", the order of the document. The Go tool wrote {before:?} into this file"
            );
            fields.changed("path", to, report);
        }
        entries.push(("path", Notation::text(path)));
    }
    entries.push(("key", Notation::text(name)));
    if let Some(mode) = fields.text("mode", report) {
        match FileMode::parse(mode) {
            Ok(parsed) if parsed.bits() & 0o444 != 0 => {
                fields.mapped("mode", "mode, whatever the umask", report);
                entries.push(("mode", Notation::text(parsed.to_string())));
            }
            _ => {
                let to =
                    "0600: with that mode nobody could read the file, or it has setuid, setgid or sticky";
                fields.changed("mode", to, report);
                entries.push(("mode", Notation::text("0600")));
            }
        }
    }
    for key in ["owner", "group"] {
        let Some(id) = fields.text(key, report) else { continue };
        if id.starts_with('-') {
            fields.dropped(key, "a negative one means that it stays as it is", report);
        } else {
            fields.kept(key, report);
            entries.push((key, Notation::text(id)));
        }
    }
    fields.finish_as(IGNORED, report);
    Notation::map(entries)
}

/// A path without `.` and `..`, for comparing.
fn clean_path(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_joined_as_the_go_tool_joined_them() {
        for (key, expected) in [
            ("app/db", Ok("app/db")),
            ("app//db/", Ok("app/db")),
            ("app/../web", Ok("web")),
            ("../other/data/x", Err("secret/other/data/x")),
            ("../../kv/data/x", Err("kv/data/x")),
            ("..", Err("secret")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(clean_key(key, "secret", true), expected, "{key}");
        }
    }

    #[test]
    fn paths_are_compared_without_dots() {
        assert_eq!(clean_path("./a/../b"), clean_path("b"));
        assert_ne!(clean_path("/b"), clean_path("b"));
    }
}
