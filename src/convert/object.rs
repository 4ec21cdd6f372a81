//! The objects of Kubernetes manifests: documents, and the items of lists.

use crate::config::diagnostic::Position;
use crate::config::value::{MappingEntry, Node};

/// Most lists inside each other.
const MAX_LISTS: usize = 4;

/// One object.
#[derive(Clone, Copy)]
pub(super) struct Object<'n> {
    /// The file it is in, as a message shows it.
    pub(super) file: &'n str,
    /// All of it.
    pub(super) node: &'n Node,
    /// `apiVersion` without the version: `external-secrets.io`; empty for the core.
    pub(super) group: &'n str,
    /// The version behind it: `v1`.
    pub(super) version: &'n str,
    /// `kind`.
    pub(super) kind: &'n str,
    /// `metadata.name`; empty where there is none.
    pub(super) name: &'n str,
    /// `metadata.namespace`.
    pub(super) namespace: Option<&'n str>,
}

impl<'n> Object<'n> {
    /// The object that `node` is; nothing for a mapping without `kind`.
    fn open(file: &'n str, node: &'n Node) -> Option<Self> {
        let kind = text(node, "kind")?;
        let api = text(node, "apiVersion").unwrap_or_default();
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        let metadata = child(node, "metadata");
        let name = metadata.and_then(|metadata| text(metadata, "name")).unwrap_or_default();
        let namespace = metadata.and_then(|metadata| text(metadata, "namespace"));
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        Some(Self { file, node, group, version, kind, name, namespace })
    }

    /// How messages call it: `ExternalSecret shop/app`.
    pub(super) fn title(&self) -> String {
        match self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None if self.kind.is_empty() => self.name.to_owned(),
            None => format!("{} {}", self.kind, self.name).trim_end().to_owned(),
        }
    }

    /// Where it begins.
    pub(super) fn position(&self) -> Position {
        self.node.position
    }
}

/// The objects of a document, in its order; the document itself where it is no object.
pub(super) fn objects<'n>(file: &'n str, root: &'n Node) -> Result<Vec<Object<'n>>, &'n Node> {
    let mut found = Vec::new();
    collect(file, root, 0, &mut found)?;
    Ok(found)
}

fn collect<'n>(
    file: &'n str,
    node: &'n Node,
    depth: usize,
    found: &mut Vec<Object<'n>>,
) -> Result<(), &'n Node> {
    // `kubectl get -o json` makes a List; a JSON array of objects is as plain.
    let is_list = text(node, "kind").is_some_and(|kind| kind.ends_with("List"));
    let items = node.items().or_else(|| child(node, "items").filter(|_| is_list)?.items());
    match items {
        Some(items) if depth < MAX_LISTS => {
            items.iter().try_for_each(|item| collect(file, item, depth + 1, found))
        }
        _ => {
            found.push(Object::open(file, node).ok_or(node)?);
            Ok(())
        }
    }
}

/// The value of `key`, unless it is absent or null.
pub(super) fn child<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    entry(node.entries()?, key).map(|entry| &entry.node).filter(|node| !node.is_null())
}

/// The text of `key`.
pub(super) fn text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    Some(child(node, key)?.scalar()?.text())
}

/// The entry of `key`.
pub(super) fn entry<'n>(entries: &'n [MappingEntry], key: &str) -> Option<&'n MappingEntry> {
    entries.iter().find(|entry| entry.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn titles(source: &str) -> Vec<String> {
        let roots = yaml::documents(source).unwrap();
        let all = roots.iter().flat_map(|root| objects("a.yaml", root).unwrap_or_default());
        all.map(|object| format!("{} {}/{}", object.title(), object.group, object.version)).collect()
    }

    #[test]
    fn documents_and_items_of_lists_are_objects() {
        let stream = "apiVersion: v1\nkind: List\nitems:\n- {kind: A, apiVersion: x.io/v1, metadata: {name: a, namespace: n}}\n\
                      - {kind: BList, items: [{kind: B, metadata: {name: b}}]}\n---\nkind: C\n";
        assert_eq!(titles(stream), ["A n/a x.io/v1", "B b /", "C /"]);
        assert_eq!(titles("[{\"kind\": \"A\", \"metadata\": {\"name\": \"a\"}}]"), ["A a /"]);
        assert!(titles("a: 1\n").is_empty());
    }

    #[test]
    fn lists_in_lists_end() {
        let deep = format!("{}{{kind: A}}{}", "{kind: List, items: [".repeat(9), "]}".repeat(9));
        assert_eq!(titles(&deep), ["List /"]);
    }
}
