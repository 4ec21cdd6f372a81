//! A walk over the tree along the tables of keys: what a table does not have is an unknown key.

mod choices;
mod values;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::context::CompileContext;
use super::env_fallback::EnvFallback;
use super::local_path::local_path;
use super::suggest;
use super::text::Text;
use crate::config::diagnostic::{self, Code, Diagnostic, Place, Position};
use crate::config::duration;
use crate::config::interpolate::{InterpolateError, interpolate};
use crate::config::keys::{Groups, KeySet, KeySpec, KeyType};
use crate::config::value::{MappingEntry, Node};

/// Of a mapping whose keys are the operator's own, each with a text.
static NO_KEYS: KeySet = KeySet::new("", &[]);

/// One item of a list with its YAML path.
pub(in crate::config) struct Item<'a> {
    pub(in crate::config) node: &'a Node,
    path: String,
    keys: &'static KeySet,
}

impl<'a> Item<'a> {
    /// The mapping the item is; anything else is reported.
    pub(in crate::config) fn open(self, context: &mut CompileContext<'_>) -> Option<Section<'a>> {
        Section::open(self.node, self.path, self.keys, context)
    }
}

/// One mapping.
pub(in crate::config) struct Section<'a> {
    position: Position,
    entries: &'a [MappingEntry],
    path: String,
    keys: &'static KeySet,
    /// The keys that the provider adds.
    of_provider: Groups,
    /// The variables that give what is absent.
    fallback: Option<&'static EnvFallback>,
}

impl<'a> Section<'a> {
    /// The mapping `node` is; anything else is reported.
    pub(in crate::config) fn open(
        node: &'a Node,
        path: String,
        keys: &'static KeySet,
        context: &mut CompileContext<'_>,
    ) -> Option<Self> {
        let Some(entries) = node.entries() else {
            let place = Place { path, position: Some(node.position) };
            context.push(wrong_type(place, "a mapping", node));
            return None;
        };
        Some(Self::new(node.position, entries, path, keys))
    }

    /// A section without a key, for what only the environment describes.
    pub(in crate::config) fn absent(path: &str, position: Position, keys: &'static KeySet) -> Self {
        Self::new(position, &[], path.to_owned(), keys)
    }

    fn new(position: Position, entries: &'a [MappingEntry], path: String, keys: &'static KeySet) -> Self {
        Self { position, entries, path, keys, of_provider: &[], fallback: None }
    }

    /// Adds the keys that the provider of the store has here.
    pub(in crate::config) fn add_keys(&mut self, of_provider: Groups) {
        self.of_provider = of_provider;
    }

    /// Every key that there is here.
    fn keys(&self) -> impl Iterator<Item = &'static KeySpec> {
        self.keys.groups.iter().chain(self.of_provider).copied().flatten()
    }

    /// The table's row of `key`.
    fn row(&self, key: &str) -> Option<&'static KeySpec> {
        let row = self.keys().find(|row| row.name == key);
        debug_assert!(row.is_some(), "the table of {} has no key {key:?}", self.keys.name);
        row
    }

    /// The same, with what is absent taken from the variables of `fallback`.
    pub(in crate::config) fn with_fallback(self, fallback: &'static EnvFallback) -> Self {
        Self { fallback: Some(fallback), ..self }
    }

    /// The variables that give what is absent.
    pub(in crate::config) fn fallback(&self) -> Option<&'static EnvFallback> {
        self.fallback
    }

    pub(in crate::config) fn position(&self) -> Position {
        self.position
    }

    /// The place of the mapping itself.
    pub(in crate::config) fn place(&self) -> Place {
        Place { path: self.path.clone(), position: Some(self.position) }
    }

    /// The place of the value of `key`, or of the mapping when there is none.
    pub(in crate::config) fn place_of(&self, key: &str) -> Place {
        let position = self.entry(key).map_or(self.position, |entry| entry.node.position);
        Place { path: self.path_of(key), position: Some(position) }
    }

    pub(in crate::config) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether `key` is there with something behind it.
    pub(in crate::config) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| !entry.node.is_null())
    }

    /// Whether there is anything for `key`, here or in the environment.
    pub(in crate::config) fn gives(&self, key: &str, context: &CompileContext<'_>) -> bool {
        self.has(key) || self.fallback.is_some_and(|fallback| fallback.gives(key, context.env))
    }

    /// Whether `key` is there and no list: that has been reported.
    pub(in crate::config) fn is_refused(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| !entry.node.is_null() && entry.node.items().is_none())
    }

    /// The value of `key`, unless it is absent or null.
    pub(in crate::config) fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.row(key)?;
        self.entry(key).map(|entry| &entry.node).filter(|node| !node.is_null())
    }

    /// The mapping under `key`.
    pub(in crate::config) fn child(
        &self,
        key: &'static str,
        context: &mut CompileContext<'_>,
    ) -> Option<Section<'a>> {
        let keys = match self.row(key)?.takes {
            KeyType::Section(keys) | KeyType::PathOrSection(keys) | KeyType::Named(keys) => keys,
            _ => &NO_KEYS,
        };
        Section::open(self.node(key)?, self.path_of(key), keys, context)
    }

    /// The items under `key`; none when it is absent or no list.
    pub(in crate::config) fn list(
        &self,
        key: &'static str,
        context: &mut CompileContext<'_>,
    ) -> Vec<Item<'a>> {
        let Some(KeySpec { takes: KeyType::List(keys), .. }) = self.row(key) else { return Vec::new() };
        let path = self.path_of(key);
        let Some(node) = self.node(key) else { return Vec::new() };
        let Some(items) = node.items() else {
            context.push(wrong_type(self.place_of(key), "a list", node));
            return Vec::new();
        };
        items.iter().enumerate().map(|(n, node)| Item { node, path: format!("{path}[{n}]"), keys }).collect()
    }

    /// All entries as mappings with their names, for a mapping whose keys are the operator's own.
    pub(in crate::config) fn children(self, context: &mut CompileContext<'_>) -> Vec<(&'a str, Section<'a>)> {
        let mut children = Vec::new();
        for entry in self.entries {
            if entry.key.is_empty() {
                let place = Place { path: self.path.clone(), position: Some(entry.position) };
                let nameless = Diagnostic::new(Code::BadValue, place, "a name must not be empty");
                context.push(nameless.hint("write a name in front of the colon"));
            } else if let Some(section) =
                Section::open(&entry.node, self.path_of(&entry.key), self.keys, context)
            {
                children.push((entry.key.as_str(), section));
            }
        }
        children
    }

    /// All entries that are texts, which are not interpolated: templates.
    pub(in crate::config) fn templates(
        self,
        context: &mut CompileContext<'_>,
    ) -> Vec<(&'a MappingEntry, Place)> {
        let mut templates = Vec::new();
        for entry in self.entries {
            match entry.node.scalar() {
                Some(_) => templates.push((entry, self.place_of(&entry.key))),
                None => context.push(wrong_type(self.place_of(&entry.key), "a text", &entry.node)),
            }
        }
        templates
    }

    /// The scalar under `key` as it is written, for a template.
    pub(in crate::config) fn template(
        &self,
        key: &'static str,
        context: &mut CompileContext<'_>,
    ) -> Option<&'a Node> {
        let node = self.node(key)?;
        if node.scalar().is_none() {
            context.push(wrong_type(self.place_of(key), "a text", node));
            return None;
        }
        Some(node)
    }

    /// The string under `key`, with what the environment puts into it; what the environment gives for a filled section.
    pub(in crate::config) fn text(
        &self,
        key: &'static str,
        context: &mut CompileContext<'_>,
    ) -> Option<Text<'a>> {
        let Some(node) = self.node(key) else {
            return self.fallback?.text(key, self.place_of(key), context);
        };
        interpolated(node, self.place_of(key), context)
    }

    /// The texts of the list under `key`, none where it is absent; `None` where one is wrong.
    pub(in crate::config) fn texts(
        &self,
        key: &'static str,
        context: &mut CompileContext<'_>,
    ) -> Option<Vec<String>> {
        let Some(node) = self.node(key) else { return Some(Vec::new()) };
        let Some(items) = node.items() else {
            context.push(wrong_type(self.place_of(key), "a list", node));
            return None;
        };
        let path = self.path_of(key);
        let text = |(index, item): (usize, &'a Node)| {
            let place = Place { path: format!("{path}[{index}]"), position: Some(item.position) };
            interpolated(item, place, context).map(|text| text.value.into_owned())
        };
        items.iter().enumerate().map(text).collect()
    }

    /// All entries as texts by their names, for a mapping whose keys are the operator's own; `None` where one is wrong.
    pub(in crate::config) fn named_texts(
        self,
        context: &mut CompileContext<'_>,
    ) -> Option<BTreeMap<String, String>> {
        let text = |entry: &'a MappingEntry| {
            let text = interpolated(&entry.node, self.place_of(&entry.key), context)?;
            Some((entry.key.clone(), text.value.into_owned()))
        };
        self.entries.iter().map(text).collect()
    }

    /// The string under `key` without a report or an origin, which the later regular read gives.
    pub(in crate::config) fn text_quietly(&self, key: &str, context: &CompileContext<'_>) -> Option<String> {
        let scalar = self.entry(key)?.node.scalar().filter(|scalar| !scalar.is_null())?;
        Some(interpolate(scalar.text(), context.env).ok()?.text.into_owned())
    }

    /// The string under `key` as it is in the file: what a message may show.
    pub(in crate::config) fn written_text(&self, key: &str) -> Option<String> {
        Some(self.entry(key)?.node.scalar()?.text().to_owned())
    }

    /// The value of `key`, read by `parse`; `expected` says what it takes ("a duration such as 30s").
    pub(in crate::config) fn parsed<T, E: Display>(
        &self,
        key: &'static str,
        (code, expected): (Code, &str),
        parse: impl FnOnce(&str) -> Result<T, E>,
        context: &mut CompileContext<'_>,
    ) -> Option<T> {
        self.parsed_text(key, (code, expected), |text| parse(&text.value), context)
    }

    /// The same for a `parse` that looks at the text as it is written, too.
    pub(in crate::config) fn parsed_text<T, E: Display>(
        &self,
        key: &'static str,
        (code, expected): (Code, &str),
        parse: impl FnOnce(&Text<'_>) -> Result<T, E>,
        context: &mut CompileContext<'_>,
    ) -> Option<T> {
        let text = self.text(key, context)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(reason) => {
                let message = text.is_not(expected, &reason.to_string());
                context.push(Diagnostic::new(code, self.place_of(key), message));
                None
            }
        }
    }

    /// A duration.
    pub(in crate::config) fn duration(
        &self,
        key: &'static str,
        context: &mut CompileContext<'_>,
    ) -> Option<Duration> {
        self.parsed(key, (Code::BadDuration, "a duration such as 30s, 1h or 1d"), duration::parse, context)
    }

    /// A boolean in the words of YAML 1.1.
    pub(in crate::config) fn boolean(
        &self,
        key: &'static str,
        context: &mut CompileContext<'_>,
    ) -> Option<bool> {
        let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(""),
        };
        self.parsed(key, (Code::BadValue, "true or false"), parse, context)
    }

    /// A path in the local file system, relative to the working directory.
    pub(in crate::config) fn local_path(
        &self,
        key: &'static str,
        context: &mut CompileContext<'_>,
    ) -> Option<PathBuf> {
        let base = context.working_directory;
        let path =
            self.parsed_text(key, (Code::BadPath, "a path"), |text| local_path(text, base), context)?;
        context.reads(self.path_of(key), &path);
        Some(path)
    }

    /// What a message may show for the `path` under `key`: what the environment gave of it is left out.
    pub(in crate::config) fn shown_path(
        &self,
        key: &str,
        path: &Path,
        context: &CompileContext<'_>,
    ) -> String {
        match context.origins.variable_of(&self.path_of(key)) {
            None => path.display().to_string(),
            Some(variable) => self.written_text(key).unwrap_or_else(|| format!("${variable}")),
        }
    }

    /// Reports that `key` is needed.
    pub(in crate::config) fn missing(&self, key: &str, hint: &str, context: &mut CompileContext<'_>) {
        let place = Place { path: self.path_of(key), position: Some(self.position) };
        let missing = Diagnostic::new(Code::MissingKey, place, format!("{key:?} is missing")).hint(hint);
        context.push(match self.fallback {
            Some(fallback) => fallback.blame_empty(missing, key, context.env),
            None => missing,
        });
    }

    /// Warns that `key` has no effect, if it is there.
    pub(in crate::config) fn ignore(
        &self,
        key: &'static str,
        reason: &str,
        context: &mut CompileContext<'_>,
    ) {
        if self.row(key).is_some() && self.has(key) {
            let message = format!("{key:?} has no effect: {reason}");
            context.push(Diagnostic::new(Code::IgnoredKey, self.place_of(key), message));
        }
    }

    /// Reports the keys that there are not.
    pub(in crate::config) fn finish(self, context: &mut CompileContext<'_>) {
        let others = self.keys.of_providers.map(|all| all()).unwrap_or_default();
        for entry in self.entries.iter().filter(|entry| self.keys().all(|row| row.name != entry.key)) {
            let key = entry.key.as_str();
            let shown = diagnostic::shown_key(key);
            let place = Place { path: self.path_of(&shown), position: Some(entry.position) };
            if self.keys.later.contains(&key) {
                let message = format!("{key:?} is known, and not built in yet");
                context.push(Diagnostic::new(Code::NotBuiltIn, place, message));
                continue;
            }
            let has_it =
                |(_, groups): &&(&str, Groups)| groups.iter().copied().flatten().any(|row| row.name == key);
            if let Some((other, _)) = others.iter().find(has_it) {
                let message = format!("{key:?} is a key of \"provider: {other}\"");
                context.push(Diagnostic::new(Code::ForeignKey, place, message));
                continue;
            }
            let (meant, hint) = self.instead_of(key, context);
            let question = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
            let message = format!("unknown key {shown:?}{question}");
            context.push(Diagnostic::new(Code::UnknownKey, place, message).hint(hint));
        }
    }

    /// What is meant by a key that there is not here, and the hint: a word of other tools, a key of another section, a
    /// slip, or else all keys, once for all sections of a kind.
    fn instead_of(&self, key: &str, context: &mut CompileContext<'_>) -> (Option<&'static str>, String) {
        let known: Vec<_> = self.keys().map(|row| row.name).collect();
        let elsewhere = context.tables.sections_with(key);
        let meant = suggest::synonym(key, &known)
            .or_else(|| suggest::nearest(key, known.iter().copied()).filter(|_| elsewhere.is_empty()));
        let hint = if let Some(meant) = meant {
            format!("write {meant:?}")
        } else if !elsewhere.is_empty() {
            format!("it is a key of {}: check the indentation", elsewhere.join(" and "))
        } else if context.listed.insert(self.keys.name) {
            format!("keys here: {}", known.join(", "))
        } else {
            "remove it, or look its name up among the keys above".to_owned()
        };
        (meant, hint)
    }

    fn entry(&self, key: &str) -> Option<&'a MappingEntry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// The text of `node`, with what the environment puts into it.
fn interpolated<'a>(node: &'a Node, place: Place, context: &mut CompileContext<'_>) -> Option<Text<'a>> {
    let Some(scalar) = node.scalar() else {
        context.push(wrong_type(place, "a text", node));
        return None;
    };
    match interpolate(scalar.text(), context.env) {
        Ok(done) => {
            for variable in &done.variables {
                context.origins.push(place.path.clone(), variable);
            }
            let is_private = !done.variables.is_empty();
            Some(Text::new(done.text, scalar.text(), is_private))
        }
        Err(errors) => {
            for error in errors {
                context.push(not_filled_in(&error, place.clone()));
            }
            None
        }
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
