//! The configuration that all inputs of one call become.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::notation::{Notation, StoreKey};
use super::origin::Origin;
use super::print;
use crate::config::Config;
use crate::config::EDITOR_LINE;
use crate::config::Limits;
use crate::config::diagnostic::{Code, Diagnostic, Severity};
use crate::config::duration;
use crate::config::env::Env;

/// What is printed below the line for editors.
const HEAD: &str = "# Written by \"secrets-sync convert\".\n";

/// One entry with the lines of its comment.
#[derive(Clone, Debug)]
pub(super) struct Commented {
    pub(super) comments: Vec<String>,
    /// A mapping.
    pub(super) value: Notation,
}

/// A hook of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ConvertedHook {
    /// The name it would like to have.
    pub(super) name: String,
    pub(super) entries: Vec<(&'static str, Notation)>,
    /// Why it cannot run as it is, and what to do: it is commented out then.
    pub(super) remedy: Option<String>,
    /// Where it comes from.
    pub(super) origin: String,
}

/// Stores, hooks and secrets, in the order in which they were found.
#[derive(Clone, Default)]
pub(super) struct Document {
    /// Hooks with their own names, and where each comes from.
    hooks: Vec<(ConvertedHook, Vec<String>)>,
    stores: Vec<(StoreKey, Commented)>,
    /// Secrets, and where each of their files comes from; the first has the rest, too.
    secrets: Vec<(Commented, Vec<Origin>)>,
    /// The shortest interval of all secrets.
    shortest: Option<Duration>,
}

impl Document {
    /// Adds the store that a manifest calls `key`.
    pub(super) fn add_store(&mut self, key: StoreKey, store: Commented) {
        self.stores.push((key, store));
    }

    /// Adds a store that has no name in its own notation; one that says the same gets its comments.
    pub(super) fn describe_store(&mut self, name: &str, store: Commented) -> StoreKey {
        if let Some((key, known)) = self.stores.iter_mut().find(|(_, known)| known.value == store.value) {
            for comment in store.comments {
                if !known.comments.contains(&comment) {
                    known.comments.push(comment);
                }
            }
            return key.clone();
        }
        let number = self.stores.len().to_string();
        let key = StoreKey { is_cluster: true, namespace: Some(number), name: name.to_owned() };
        self.stores.push((key.clone(), store));
        key
    }

    /// Adds a hook, and gives its name: that of one that does the same, if there is one.
    pub(super) fn add_hook(&mut self, mut hook: ConvertedHook) -> String {
        let origin = format!("from {}", hook.origin);
        let does_same = |(known, _): &&mut (ConvertedHook, _)| {
            known.entries == hook.entries && known.remedy == hook.remedy
        };
        if let Some((known, origins)) = self.hooks.iter_mut().find(does_same) {
            origins.push(origin);
            return known.name.clone();
        }
        hook.name = numbered(&hook.name, |name| self.hooks.iter().all(|(known, _)| known.name != name));
        let name = hook.name.clone();
        self.hooks.push((hook, vec![origin]));
        name
    }

    /// Adds a secret: a mapping, whose `store` is a [`Notation::Store`]. `origins` has the places of its files in their
    /// order, or the one that all come from.
    pub(super) fn add_secret(&mut self, secret: Commented, origins: Vec<Origin>) {
        self.secrets.push((secret, origins));
    }

    /// Takes note of a refresh interval, for `limits.minRefreshInterval`.
    pub(super) fn add_interval(&mut self, interval: Option<Duration>) {
        self.shortest = [self.shortest, interval].into_iter().flatten().min();
    }

    /// Whether there is nothing to print.
    pub(super) fn is_empty(&self) -> bool {
        self.stores.is_empty() && self.secrets.is_empty()
    }

    /// Takes out the secrets with which the configuration would not load, and gives the place of each with the reason:
    /// what is printed loads. Stores are not judged, because their variables and files are not there yet.
    pub(super) fn take_unusable(&mut self) -> Vec<(Origin, String)> {
        let text = self.clone().into_text();
        let names = text.split("${").skip(1).filter_map(|rest| rest.split([':', '}']).next());
        let env = Env::from_pairs(names.map(|name| (name, "placeholder")));
        let Err(report) = Config::parse(&text, "", &env, Path::new("/")) else { return Vec::new() };
        // Owners are those of the machine that will run the configuration.
        let is_error =
            |one: &Diagnostic| one.code.severity() == Severity::Error && one.code != Code::BadOwner;
        let errors = report.diagnostics.into_iter().filter(is_error);
        let mut unusable = BTreeMap::new();
        for error in errors {
            let path = &error.place.path;
            let Some((index, rest)) = indexed(path, "secrets") else { continue };
            let Some((_, origins)) = self.secrets.get(index) else { continue };
            let file = indexed(rest.trim_start_matches('.'), "files").map_or(0, |(file, _)| file);
            if let Some(origin) = origins.get(file).or(origins.first()) {
                let reason = || format!("{path}: {}; {}", error.message, error.hint);
                unusable.entry(index).or_insert_with(|| (origin.clone(), reason()));
            }
        }
        let mut index = 0..;
        self.secrets.retain(|_| index.next().is_some_and(|index| !unusable.contains_key(&index)));
        unusable.into_values().collect()
    }

    /// The text of the configuration. A single store is `secretStore`, and its secrets need not name it.
    pub(super) fn into_text(self) -> String {
        let mut text = format!("{EDITOR_LINE}\n{HEAD}");
        let names = if self.stores.len() > 1 { self.store_names() } else { BTreeMap::new() };
        if !names.is_empty() {
            text.push_str("secretStores:\n");
        }
        for (key, Commented { comments, value }) in self.stores {
            let name = names.get(&key);
            let prefix = name.map_or_else(|| "VAULT_".to_owned(), |name| variable_prefix(name));
            let indent = if name.is_some() { 2 } else { 0 };
            print::comment(&comments, indent, &mut text);
            let name = name.map_or(Cow::Borrowed("secretStore"), |name| Cow::Owned(name.clone()));
            let store = Notation::Map(vec![(name, value.with_variables(&prefix))]);
            print::mapping(&store, indent, &names, &mut text);
        }
        if let Some(shortest) =
            self.shortest.filter(|shortest| *shortest < Limits::default().min_refresh_interval)
        {
            let limit = Notation::map([("minRefreshInterval", Notation::text(duration::format(shortest)))]);
            print::mapping(&Notation::map([("limits", limit)]), 0, &names, &mut text);
        }
        write_hooks(self.hooks, &mut text);
        if !self.secrets.is_empty() {
            text.push_str("secrets:\n");
        }
        for (Commented { comments, mut value }, _) in self.secrets {
            if let (Notation::Map(entries), true) = (&mut value, names.is_empty()) {
                entries.retain(|(_, value)| !matches!(value, Notation::Store(_)));
            }
            print::comment(&comments, 2, &mut text);
            print::item(&value, 2, &names, &mut text);
        }
        text
    }

    /// The names of the stores by what other notations call them.
    fn store_names(&self) -> BTreeMap<StoreKey, String> {
        let mut names = BTreeMap::new();
        let mut taken = BTreeSet::from(["default".to_owned()]);
        for (key, _) in &self.stores {
            let name = numbered(&key.name, |name| !taken.contains(name));
            taken.insert(name.clone());
            names.insert(key.clone(), name);
        }
        names
    }
}

/// Writes the hooks; those that cannot run as they are stand in comments.
fn write_hooks(hooks: Vec<(ConvertedHook, Vec<String>)>, text: &mut String) {
    let has_active = hooks.iter().any(|(hook, _)| hook.remedy.is_none());
    if !hooks.is_empty() {
        text.push_str(if has_active { "hooks:\n" } else { "# hooks:\n" });
    }
    for (hook, mut comments) in hooks {
        comments.extend(hook.remedy.clone());
        let value = Notation::Map(vec![(Cow::Owned(hook.name), Notation::map(hook.entries))]);
        let mut written = String::new();
        print::mapping(&value, 2, &BTreeMap::new(), &mut written);
        if hook.remedy.is_some() {
            comments.extend(written.lines().map(str::to_owned));
            print::comment(&comments, if has_active { 2 } else { 0 }, text);
        } else {
            print::comment(&comments, 2, text);
            text.push_str(&written);
        }
    }
}

/// The index behind `name` in a path such as `secrets[3].files[0].path`, and the rest of the path.
fn indexed<'p>(path: &'p str, name: &str) -> Option<(usize, &'p str)> {
    let (index, rest) = path.strip_prefix(name)?.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, rest))
}

/// `name`, or the first of `name-2`, `name-3` … that is free.
pub(super) fn numbered(name: &str, is_free: impl Fn(&str) -> bool) -> String {
    if is_free(name) {
        return name.to_owned();
    }
    let mut number = 2_u64;
    loop {
        let next = format!("{name}-{number}");
        if is_free(&next) {
            return next;
        }
        number += 1;
    }
}

/// What the variables of a store or of a credential set begin with.
pub(super) fn variable_prefix(name: &str) -> String {
    let letters: String = name
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' })
        .collect();
    let start = if letters.starts_with(|letter: char| letter.is_ascii_digit()) { "STORE_" } else { "" };
    format!("{start}{letters}_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_begin_with_the_name_of_the_store() {
        assert_eq!(variable_prefix("vault-backend"), "VAULT_BACKEND_");
        assert_eq!(variable_prefix("1password"), "STORE_1PASSWORD_");
    }

    #[test]
    fn a_store_that_says_the_same_is_there_once() {
        let store = |address: &str| Commented {
            comments: Vec::new(),
            value: Notation::map([
                ("address", Notation::text(address)),
                ("token", Notation::Variable("TOKEN")),
            ]),
        };
        let mut document = Document::default();
        let first = document.describe_store("vault", store("https://a"));
        assert_eq!(document.describe_store("vault", store("https://a")), first);
        assert_ne!(document.describe_store("vault", store("https://b")), first);
        document.add_secret(
            Commented {
                comments: vec!["here".to_owned()],
                value: Notation::map([("name", Notation::text("x")), ("store", Notation::Store(first))]),
            },
            Vec::new(),
        );
        document.add_interval(Some(Duration::from_secs(5)));
        let text = document.into_text();
        let (_, text) = text.split_once("convert\".\n").unwrap();
        assert_eq!(
            text,
            "secretStores:\n  vault:\n    address: https://a\n    token: ${VAULT_TOKEN}\n  vault-2:\n    \
             address: https://b\n    token: ${VAULT_2_TOKEN}\nlimits:\n  minRefreshInterval: 5s\nsecrets:\n  # here\n  \
             - name: x\n    store: vault\n"
        );
    }
}
