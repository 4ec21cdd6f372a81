//! A walk over the tree that remembers which keys were asked for, so that the rest can be named as unknown.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::text::Text;
use super::{filling, spelling};
use crate::config::diagnostic::{Code, Diagnostic, Place, Position, Report};
use crate::config::env::{Env, Origins};
use crate::config::interpolate::{InterpolateError, interpolate};
use crate::config::value::{Entry, Node};
use crate::disk::TargetPath;

/// What one run of the compiler carries along.
pub(in crate::config) struct Pass<'e> {
    pub(in crate::config) env: &'e Env,
    /// Where relative paths start.
    pub(in crate::config) working_directory: &'e Path,
    pub(in crate::config) report: Report,
    pub(in crate::config) origins: Origins,
    /// What is read besides the stores, and how messages call it: no output may be put there.
    pub(in crate::config) inputs: Vec<(String, TargetPath)>,
}

impl Pass<'_> {
    pub(in crate::config) fn push(&mut self, diagnostic: Diagnostic) {
        self.report.push(diagnostic);
    }

    /// Remembers that `path` is read, as the file of `name`.
    pub(in crate::config) fn reads(&mut self, name: impl Into<String>, path: &Path) {
        // What cannot be a target cannot be the path of an output either.
        let path = TargetPath::parse_directory(&path.to_string_lossy(), self.working_directory);
        self.inputs.extend(path.map(|path| (name.into(), path)));
    }
}

/// One item of a list with its YAML path.
pub(super) struct Item<'a> {
    pub(super) node: &'a Node,
    pub(super) path: String,
}

/// One mapping.
pub(in crate::config) struct Section<'a> {
    position: Position,
    entries: &'a [Entry],
    path: String,
    /// Keys that were asked for: those there are.
    asked: Vec<&'static str>,
    /// Keys of another kind of section, reported when they are met.
    foreign: Vec<&'static str>,
    /// Whether the environment fills what is absent.
    is_filled: bool,
}

impl<'a> Section<'a> {
    /// The mapping `node` is; anything else is reported.
    pub(super) fn open(node: &'a Node, path: String, pass: &mut Pass<'_>) -> Option<Self> {
        let Some(entries) = node.entries() else {
            let place = Place { path, position: Some(node.position) };
            pass.push(wrong_type(place, "a mapping", node));
            return None;
        };
        Some(Self::new(node.position, entries, path))
    }

    /// A section without a key, for what the environment alone describes.
    pub(super) fn absent(path: &str, position: Position) -> Self {
        Self::new(position, &[], path.to_owned())
    }

    fn new(position: Position, entries: &'a [Entry], path: String) -> Self {
        Self { position, entries, path, asked: Vec::new(), foreign: Vec::new(), is_filled: false }
    }

    /// The same, with what is absent filled from the environment.
    pub(super) fn filled(self) -> Self {
        Self { is_filled: true, ..self }
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The place of the mapping itself.
    pub(super) fn place(&self) -> Place {
        Place { path: self.path.clone(), position: Some(self.position) }
    }

    /// The place of the value of `key`, or of the mapping when there is none.
    pub(in crate::config) fn place_of(&self, key: &str) -> Place {
        let position = self.entry(key).map_or(self.position, |entry| entry.node.position);
        Place { path: self.path_of(key), position: Some(position) }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether `key` is there with something behind it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| !entry.node.is_null())
    }

    /// Whether there is anything for `key`, here or in the environment.
    pub(super) fn gives(&self, key: &str, pass: &Pass<'_>) -> bool {
        self.has(key) || (self.is_filled && filling::gives(key, pass))
    }

    /// Whether `key` is there and no list: that has been reported.
    pub(super) fn is_refused(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| !entry.node.is_null() && entry.node.items().is_none())
    }

    /// The value of `key`, unless it is absent or null.
    pub(super) fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        self.entry(key).map(|entry| &entry.node).filter(|node| !node.is_null())
    }

    /// The mapping under `key`.
    pub(in crate::config) fn child(&mut self, key: &'static str, pass: &mut Pass<'_>) -> Option<Section<'a>> {
        let path = self.path_of(key);
        Section::open(self.node(key)?, path, pass)
    }

    /// The items under `key`; none when it is absent or no list.
    pub(super) fn list(&mut self, key: &'static str, pass: &mut Pass<'_>) -> Vec<Item<'a>> {
        let path = self.path_of(key);
        let Some(node) = self.node(key) else { return Vec::new() };
        let Some(items) = node.items() else {
            pass.push(wrong_type(self.place_of(key), "a list", node));
            return Vec::new();
        };
        items.iter().enumerate().map(|(n, node)| Item { node, path: format!("{path}[{n}]") }).collect()
    }

    /// All entries as mappings with their names, for a mapping whose keys are the operator's own.
    pub(in crate::config) fn children(self, pass: &mut Pass<'_>) -> Vec<(&'a str, Section<'a>)> {
        let mut children = Vec::new();
        for entry in self.entries {
            if entry.key.is_empty() {
                let place = Place { path: self.path.clone(), position: Some(entry.position) };
                let nameless = Diagnostic::new(Code::BadValue, place, "a name must not be empty");
                pass.push(nameless.hint("write a name in front of the colon"));
            } else if let Some(section) = Section::open(&entry.node, self.path_of(&entry.key), pass) {
                children.push((entry.key.as_str(), section));
            }
        }
        children
    }

    /// All entries that are texts, which are not interpolated: templates.
    pub(super) fn templates(self, pass: &mut Pass<'_>) -> Vec<(&'a Entry, Place)> {
        let mut templates = Vec::new();
        for entry in self.entries {
            match entry.node.scalar() {
                Some(_) => templates.push((entry, self.place_of(&entry.key))),
                None => pass.push(wrong_type(self.place_of(&entry.key), "a text", &entry.node)),
            }
        }
        templates
    }

    /// The scalar under `key` as it is written, for a template.
    pub(super) fn template(&mut self, key: &'static str, pass: &mut Pass<'_>) -> Option<&'a Node> {
        let node = self.node(key)?;
        if node.scalar().is_none() {
            pass.push(wrong_type(self.place_of(key), "a text", node));
            return None;
        }
        Some(node)
    }

    /// The string under `key`, with what the environment puts into it; what the environment gives for a filled section.
    pub(super) fn text(&mut self, key: &'static str, pass: &mut Pass<'_>) -> Option<Text<'a>> {
        let Some(node) = self.node(key) else {
            return self.is_filled.then(|| filling::text(key, self.place_of(key), pass))?;
        };
        let Some(scalar) = node.scalar() else {
            pass.push(wrong_type(self.place_of(key), "a text", node));
            return None;
        };
        match interpolate(scalar.text(), pass.env) {
            Ok(done) => {
                for variable in &done.variables {
                    pass.origins.push(self.path_of(key), variable);
                }
                let is_private = !done.variables.is_empty();
                Some(Text::new(done.text, scalar.text(), is_private))
            }
            Err(errors) => {
                let place = self.place_of(key);
                for error in errors {
                    pass.push(not_filled_in(&error, place.clone()));
                }
                None
            }
        }
    }

    /// The string under `key` without a report or a trace: whoever asks for it later gives those.
    pub(super) fn peek_text(&self, key: &str, pass: &Pass<'_>) -> Option<String> {
        let scalar = self.entry(key)?.node.scalar().filter(|scalar| !scalar.is_null())?;
        Some(interpolate(scalar.text(), pass.env).ok()?.text.into_owned())
    }

    /// The string under `key` as it is in the file: what a message may show.
    pub(super) fn written_text(&self, key: &str) -> Option<String> {
        Some(self.entry(key)?.node.scalar()?.text().to_owned())
    }

    /// The value of `key`, read by `parse`; `expected` says what it takes ("a duration such as 30s").
    pub(in crate::config) fn parsed<T, E: Display>(
        &mut self,
        key: &'static str,
        (code, expected): (Code, &str),
        parse: impl FnOnce(&str) -> Result<T, E>,
        pass: &mut Pass<'_>,
    ) -> Option<T> {
        let text = self.text(key, pass)?;
        match parse(&text.value) {
            Ok(value) => Some(value),
            Err(reason) => {
                let message = text.is_not(expected, &reason.to_string());
                pass.push(Diagnostic::new(code, self.place_of(key), message));
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        pass: &mut Pass<'_>,
    ) -> Option<T> {
        let text = self.text(key, pass)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let message = text.is_not(&format!("one of {}", known.join(", ")), "");
        let hint = match spelling::nearest(&text.value, known.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write {}", known.join(" or ")),
        };
        pass.push(Diagnostic::new(Code::BadValue, self.place_of(key), message).hint(hint));
        None
    }

    /// A boolean in the words of YAML 1.1.
    pub(super) fn boolean(&mut self, key: &'static str, pass: &mut Pass<'_>) -> Option<bool> {
        let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(""),
        };
        self.parsed(key, (Code::BadValue, "true or false"), parse, pass)
    }

    /// A path in the local file system, relative to the working directory.
    pub(super) fn local_path(&mut self, key: &'static str, pass: &mut Pass<'_>) -> Option<PathBuf> {
        let base = pass.working_directory;
        let path = self.parsed(key, (Code::BadPath, "a path"), |text| local_path(text, base), pass)?;
        pass.reads(self.path_of(key), &path);
        Some(path)
    }

    /// What a message may show for the `path` under `key`: what the environment gave of it is left out.
    pub(super) fn shown_path(&self, key: &str, path: &Path, pass: &Pass<'_>) -> String {
        match pass.origins.variable_of(&self.path_of(key)) {
            None => path.display().to_string(),
            Some(variable) => self.written_text(key).unwrap_or_else(|| format!("${variable}")),
        }
    }

    /// Reports that `key` is needed.
    pub(super) fn missing(&self, key: &str, hint: &str, pass: &mut Pass<'_>) {
        let place = Place { path: self.path_of(key), position: Some(self.position) };
        let missing = Diagnostic::new(Code::MissingKey, place, format!("{key:?} is missing")).hint(hint);
        let missing = if self.is_filled { filling::blame_empty(missing, key, pass) } else { missing };
        pass.push(missing);
    }

    /// Reports each of `keys` that is there: it belongs to another kind of section.
    pub(super) fn refuse(&mut self, keys: &[&'static str], message: &str, pass: &mut Pass<'_>) {
        self.foreign.extend(keys);
        for entry in self.entries.iter().filter(|entry| keys.contains(&entry.key.as_str())) {
            let place = Place { path: self.path_of(&entry.key), position: Some(entry.position) };
            pass.push(Diagnostic::new(Code::ForeignKey, place, format!("{:?} {message}", entry.key)));
        }
    }

    /// Makes `key` one of the keys there are, whatever is under it.
    pub(super) fn know(&mut self, key: &'static str) {
        self.asked.push(key);
    }

    /// Warns that `key` has no effect, if it is there.
    pub(super) fn ignore(&mut self, key: &'static str, reason: &str, pass: &mut Pass<'_>) {
        self.know(key);
        if self.has(key) {
            let message = format!("{key:?} has no effect: {reason}");
            pass.push(Diagnostic::new(Code::IgnoredKey, self.place_of(key), message));
        }
    }

    /// Reports the keys nobody asked for.
    pub(in crate::config) fn finish(mut self, pass: &mut Pass<'_>) {
        let is_known = |key: &str| self.asked.contains(&key) || self.foreign.contains(&key);
        let unknown: Vec<_> = self.entries.iter().filter(|entry| !is_known(&entry.key)).collect();
        if unknown.is_empty() {
            return;
        }
        self.asked.sort_unstable();
        self.asked.dedup();
        for entry in unknown {
            let place = Place { path: self.path_of(&entry.key), position: Some(entry.position) };
            let message = match spelling::nearest(&entry.key, self.asked.iter().copied()) {
                Some(near) => format!("unknown key {:?}; did you mean {near:?}?", entry.key),
                None => format!("unknown key {:?}", entry.key),
            };
            let hint = format!("keys here: {}", self.asked.join(", "));
            pass.push(Diagnostic::new(Code::UnknownKey, place, message).hint(hint));
        }
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// `text` as a path from `base`.
///
/// # Errors
/// It is empty or holds a NUL byte.
pub(super) fn local_path(text: &str, base: &Path) -> Result<PathBuf, &'static str> {
    match text {
        "" => Err("it is empty"),
        _ if text.contains('\0') => Err("it holds a NUL byte"),
        _ => Ok(base.join(text)),
    }
}

fn wrong_type(place: Place, expected: &str, node: &Node) -> Diagnostic {
    Diagnostic::new(
        Code::WrongType,
        place,
        format!("{expected} is expected here, and this is {}", node.type_name()),
    )
}

fn not_filled_in(error: &InterpolateError, place: Place) -> Diagnostic {
    let (code, hint) = match error {
        InterpolateError::Unset(name) => {
            (Code::EnvUnset, format!("set it, or write \"${{{name}:-default}}\"; \"$$\" is a dollar sign"))
        }
        InterpolateError::NotText(_) => (Code::BadVariable, "set it to UTF-8 text".to_owned()),
        _ => {
            let forms =
                "write \"${NAME}\" or \"${NAME:-default}\"; for a text that holds \"${\" write \"$${\"";
            (Code::BadInterpolation, forms.to_owned())
        }
    };
    Diagnostic::new(code, place, error.to_string()).hint(hint)
}
