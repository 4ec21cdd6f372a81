//! Names and directories: what each converted secret and store is called, so that no two meet.

use std::collections::{BTreeMap, BTreeSet};

use super::secret::ConvertedSecret;
use crate::convert::document::numbered;

/// The name of a secret, and the directory of its files below the output directory.
pub(super) struct SecretPlace {
    pub(super) name: String,
    pub(super) directory: String,
    /// What could not stay as it was, for a warning.
    pub(super) renamed: Option<String>,
}

/// The place of each secret, in their order.
pub(super) fn places(secrets: &[ConvertedSecret]) -> Vec<SecretPlace> {
    let mut namespaces: BTreeMap<&str, BTreeSet<Option<&str>>> = BTreeMap::new();
    for secret in secrets {
        namespaces.entry(&secret.target).or_default().insert(secret.namespace.as_deref());
    }
    let (mut names, mut directories) = (BTreeSet::new(), BTreeMap::new());
    let mut placed = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let name = qualified(secret.namespace.as_deref(), &secret.name);
        let is_shared = namespaces.get(secret.target.as_str()).is_some_and(|spaces| spaces.len() > 1);
        let directory = match &secret.namespace {
            Some(namespace) if is_shared => format!("{namespace}/{}", secret.target),
            _ => secret.target.clone(),
        };
        let own_name = numbered(&name, |name| !names.contains(name));
        let own_directory = numbered(&directory, |path| {
            directories.get(path).is_none_or(|taken: &TakenNames| taken.leaves_room_for(secret))
        });
        let renamed = match (own_name != name, own_directory != directory) {
            (false, false) => None,
            (true, false) => Some(format!("there is another secret {name}: this one is {own_name}")),
            (_, true) => Some(format!(
                "another secret writes into {directory}: the files of this one, {own_name}, lie in {own_directory}"
            )),
        };
        names.insert(own_name.clone());
        directories.entry(own_directory.clone()).or_default().add(secret);
        placed.push(SecretPlace { name: own_name, directory: own_directory, renamed });
    }
    placed
}

/// What secrets before have in a directory.
#[derive(Default)]
struct TakenNames {
    all: bool,
    files: BTreeSet<String>,
}

impl TakenNames {
    fn add(&mut self, secret: &ConvertedSecret) {
        self.all |= secret.has_directory;
        self.files.extend(file_names(secret).map(str::to_owned));
    }

    fn leaves_room_for(&self, secret: &ConvertedSecret) -> bool {
        !self.all && !secret.has_directory && file_names(secret).all(|name| !self.files.contains(name))
    }
}

fn file_names(secret: &ConvertedSecret) -> impl Iterator<Item = &str> {
    let templated = secret.templates.iter().map(|(key, _)| key);
    templated.chain(&secret.fields).chain(&secret.dotenv).map(String::as_str)
}

fn qualified(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diagnostic::Position;
    use crate::convert::origin::Origin;

    fn secret(namespace: Option<&str>, name: &str, target: &str, keys: &[&str]) -> ConvertedSecret {
        ConvertedSecret {
            origin: Origin {
                file: String::new(),
                title: String::new(),
                position: Position { line: 1, column: 1 },
            },
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            target: target.to_owned(),
            store: None,
            refresh: None,
            interval: None,
            deletes: false,
            data: Vec::new(),
            data_from: Vec::new(),
            templates: Vec::new(),
            fields: keys.iter().map(|key| (*key).to_owned()).collect(),
            dotenv: None,
            has_directory: keys.is_empty(),
        }
    }

    fn placed(secrets: &[ConvertedSecret]) -> Vec<(String, String, bool)> {
        let one = |place: SecretPlace| (place.name, place.directory, place.renamed.is_some());
        places(secrets).into_iter().map(one).collect()
    }

    fn expect(name: &str, directory: &str, is_renamed: bool) -> (String, String, bool) {
        (name.to_owned(), directory.to_owned(), is_renamed)
    }

    #[test]
    fn namespaces_part_targets_of_one_name() {
        let secrets = [
            secret(Some("a"), "app", "app", &["x"]),
            secret(Some("b"), "app", "app", &["x"]),
            secret(None, "other", "other", &[]),
        ];
        let expected = [
            expect("a/app", "a/app", false),
            expect("b/app", "b/app", false),
            expect("other", "other", false),
        ];
        assert_eq!(placed(&secrets), expected);
    }

    #[test]
    fn secrets_share_a_directory_only_without_a_conflict() {
        let secrets = [
            secret(None, "a", "app", &["x"]),
            secret(None, "b", "app", &["y"]),
            secret(None, "c", "app", &["x"]),
            secret(None, "c", "app", &[]),
        ];
        let expected = [
            expect("a", "app", false),
            expect("b", "app", false),
            expect("c", "app-2", true),
            expect("c-2", "app-3", true),
        ];
        assert_eq!(placed(&secrets), expected);
    }
}
