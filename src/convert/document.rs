//! The configuration that all inputs of one call become.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::notation::{Notation, StoreKey};
use super::print;
use crate::config::EDITOR_LINE;
use crate::config::Limits;
use crate::config::duration;

/// What is printed below the line for editors.
const HEAD: &str = "# Written by \"secrets-sync convert\".\n";

/// One entry with the lines of its comment.
#[derive(Clone, Debug)]
pub(super) struct Commented {
    pub(super) comments: Vec<String>,
    /// A mapping.
    pub(super) value: Notation,
}

/// Stores and secrets, in the order in which they were found.
#[derive(Default)]
pub(super) struct Document {
    stores: Vec<(StoreKey, Commented)>,
    secrets: Vec<Commented>,
    /// The shortest interval of all secrets.
    shortest: Option<Duration>,
}

impl Document {
    /// Adds the store that a manifest calls `key`.
    pub(super) fn add_store(&mut self, key: StoreKey, store: Commented) {
        self.stores.push((key, store));
    }

    /// Adds a store that has no name in its own notation; one that says the same is not added twice.
    pub(super) fn describe_store(&mut self, name: &str, store: Commented) -> StoreKey {
        if let Some((key, _)) = self.stores.iter().find(|(_, known)| known.value == store.value) {
            return key.clone();
        }
        let number = self.stores.len().to_string();
        let key = StoreKey { is_cluster: true, namespace: Some(number), name: name.to_owned() };
        self.stores.push((key.clone(), store));
        key
    }

    /// Adds a secret: a mapping, whose `store` is a [`Notation::Store`].
    pub(super) fn add_secret(&mut self, secret: Commented) {
        self.secrets.push(secret);
    }

    /// Takes note of a refresh interval, for `limits.minRefreshInterval`.
    pub(super) fn add_interval(&mut self, interval: Option<Duration>) {
        self.shortest = [self.shortest, interval].into_iter().flatten().min();
    }

    /// Whether there is nothing to print.
    pub(super) fn is_empty(&self) -> bool {
        self.stores.is_empty() && self.secrets.is_empty()
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
        if !self.secrets.is_empty() {
            text.push_str("secrets:\n");
        }
        for Commented { comments, mut value } in self.secrets {
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
        document.add_secret(Commented {
            comments: vec!["here".to_owned()],
            value: Notation::map([("name", Notation::text("x")), ("store", Notation::Store(first))]),
        });
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
