//! `ExternalSecret`: which fields it takes from where, and the texts of its template.

use super::Originals;
use crate::config::value::{Node, Scalar};
use crate::convert::object::{Object, child, text};
use crate::convert::options::ConvertOptions;

/// One manifest.
pub struct OriginalSecret {
    /// The file, and the line.
    pub file: String,
    /// See `file`.
    pub line: u32,
    /// The directories that its files may lie in.
    pub directories: Vec<String>,
    /// `dataFrom`, and then `data`.
    pub parts: Vec<OriginalPart>,
    /// The texts of `template.data`, by their keys.
    pub templates: Vec<(String, String)>,
    /// Whether the fields are written beside the texts.
    pub keeps_fields: bool,
}

/// One entry of `data` or `dataFrom`.
pub struct OriginalPart {
    /// Mount and key, joined.
    pub path: String,
    /// `data`: the name, and the property.
    pub one: Option<(String, Option<String>)>,
    /// The line of the entry.
    pub line: u32,
    /// `dataFrom`: what `rewrite` puts before each name; nothing without a rewrite.
    pub prefix: Option<String>,
}

/// Reads all manifests.
pub(super) fn read(objects: &[Object<'_>], options: &ConvertOptions, found: &mut Originals) {
    for object in objects {
        let (file, line) = (object.file.to_owned(), object.position().line);
        match object.kind {
            "ExternalSecret" => match secret(object, objects, options) {
                Ok(secret) => found.secrets.push(secret),
                Err(what) => {
                    found.unread.push((file, line, format!("{what} is not rendered for comparison")));
                }
            },
            "ConfigMap" | "SecretStore" | "ClusterSecretStore" => {}
            kind => found.unread.push((file, line, format!("{kind} is not rendered for comparison"))),
        }
    }
}

/// What of a manifest is not read.
type Unread = String;

fn secret(
    object: &Object<'_>,
    all: &[Object<'_>],
    options: &ConvertOptions,
) -> Result<OriginalSecret, Unread> {
    let spec = child(object.node, "spec").ok_or("an object without spec")?;
    let (target, store) = (child(spec, "target"), child(spec, "secretStoreRef"));
    let mount = Mount::of(store, object.namespace, all, options)?;
    let mut parts = Vec::new();
    for item in list(spec, "dataFrom") {
        only(item, &["extract", "rewrite"])?;
        let extract = child(item, "extract").ok_or("dataFrom without extract")?;
        only(extract, READS)?;
        if text(extract, "property").is_some() {
            return Err("a property of extract".to_owned());
        }
        let (path, line) = (mount.path(extract)?, item.position.line);
        parts.push(OriginalPart { path, one: None, line, prefix: prefix(item)? });
    }
    for item in list(spec, "data") {
        only(item, &["secretKey", "remoteRef"])?;
        let reference = child(item, "remoteRef").ok_or("data without remoteRef")?;
        only(reference, READS)?;
        let name = text(item, "secretKey").ok_or("data without secretKey")?.to_owned();
        let property = text(reference, "property").filter(|text| !text.is_empty()).map(str::to_owned);
        let (path, line) = (mount.path(reference)?, item.position.line);
        parts.push(OriginalPart { path, one: Some((name, property)), line, prefix: None });
    }
    let template = target.and_then(|target| child(target, "template"));
    let templates = template.map(texts).transpose()?.unwrap_or_default();
    let is_merged = template.and_then(|template| text(template, "mergePolicy")) == Some("Merge");
    let name = target.and_then(|target| text(target, "name")).unwrap_or(object.name);
    let below = |directory: String| options.placed(&directory);
    let mut directories = vec![below(name.to_owned())];
    directories.extend(object.namespace.map(|namespace| below(format!("{namespace}/{name}"))));
    Ok(OriginalSecret {
        file: object.file.to_owned(),
        line: object.position().line,
        directories,
        parts,
        keeps_fields: templates.is_empty() || is_merged,
        templates,
    })
}

/// Keys of a read; the last ones at their defaults.
const READS: &[&str] =
    &["key", "property", "conversionStrategy", "decodingStrategy", "metadataPolicy", "nullBytePolicy"];

/// Refuses keys that are not among `known`, and strategies that are not the default.
fn only(node: &Node, known: &[&str]) -> Result<(), Unread> {
    for entry in node.entries().unwrap_or_default() {
        let value = entry.node.scalar().map(Scalar::text).unwrap_or_default();
        let is_default = match entry.key.as_str() {
            "conversionStrategy" => value == "Default",
            "decodingStrategy" | "metadataPolicy" => value == "None",
            "nullBytePolicy" => value == "Ignore",
            key => known.contains(&key),
        };
        if !is_default && !entry.node.is_null() {
            return Err(format!("`{}`", entry.key));
        }
    }
    Ok(())
}

fn list<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    child(node, key).and_then(Node::items).unwrap_or_default()
}

/// The usual rewrite, `(.*)` to `PREFIX$1`.
fn prefix(item: &Node) -> Result<Option<String>, Unread> {
    let [step] = list(item, "rewrite") else {
        return if list(item, "rewrite").is_empty() {
            Ok(None)
        } else {
            Err("`rewrite` of several steps".to_owned())
        };
    };
    let regexp = child(step, "regexp").ok_or("`rewrite` without regexp")?;
    let (source, target) =
        (text(regexp, "source").unwrap_or_default(), text(regexp, "target").unwrap_or_default());
    let prefix = target.strip_suffix("$1").or_else(|| target.strip_suffix("${1}"));
    let is_whole = matches!(source, "(.*)" | "^(.*)$" | "(.+)");
    match prefix.filter(|prefix| is_whole && !prefix.contains('$')) {
        Some(prefix) => Ok(Some(prefix.to_owned())),
        None => Err("`rewrite` that is no prefix".to_owned()),
    }
}

fn texts(template: &Node) -> Result<Vec<(String, String)>, Unread> {
    only(template, &["data", "type", "metadata", "engineVersion", "mergePolicy"])?;
    if text(template, "engineVersion").is_some_and(|version| version != "v2") {
        return Err("a template of engine v1".to_owned());
    }
    let data = child(template, "data").and_then(Node::entries).unwrap_or_default();
    let text = |node: &Node| node.scalar().map(|scalar| scalar.text().to_owned());
    data.iter()
        .map(|entry| Ok((entry.key.clone(), text(&entry.node).ok_or("a text that is none")?)))
        .collect()
}

/// What the store says of its keys.
struct Mount<'o> {
    path: Option<&'o str>,
    is_v2: bool,
    is_known: bool,
}

impl<'o> Mount<'o> {
    fn of(
        reference: Option<&Node>,
        namespace: Option<&str>,
        all: &[Object<'o>],
        options: &'o ConvertOptions,
    ) -> Result<Self, Unread> {
        let reference = reference.ok_or("a secret without secretStoreRef")?;
        let (name, kind) = (text(reference, "name"), text(reference, "kind").unwrap_or("SecretStore"));
        let is_near = |store: &Object<'_>| {
            kind == "ClusterSecretStore" || store.namespace.is_none() || store.namespace == namespace
        };
        let is_meant = |store: &&Object<'_>| store.kind == kind && Some(store.name) == name && is_near(store);
        let mut stores = all.iter().filter(is_meant);
        let own_path = options.mount_path.as_deref();
        let Some(store) = stores.next() else {
            return Ok(Self { path: own_path, is_v2: true, is_known: false });
        };
        if stores.next().is_some() {
            return Err("a store that is there twice".to_owned());
        }
        let provider = child(store.node, "spec").and_then(|spec| child(spec, "provider"));
        let vault =
            provider.and_then(|provider| child(provider, "vault").or_else(|| child(provider, "openBao")));
        let vault = vault.ok_or("a store of another provider")?;
        let is_v2 = text(vault, "version") != Some("v1");
        Ok(Self { path: text(vault, "path").or(own_path), is_v2, is_known: true })
    }

    /// Mount and key as External Secrets puts them together, without the `data` of KV version 2.
    fn path(&self, read: &Node) -> Result<String, Unread> {
        let parts =
            |path: &str| path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let key = parts(text(read, "key").ok_or("a read without key")?);
        let Some(path) = self.path.map(parts) else {
            return Ok(match key.split_once("/data/").filter(|_| self.is_v2) {
                Some((mount, rest)) => format!("{mount}/{rest}"),
                None if self.is_known => key,
                None => format!("secret/{key}"),
            });
        };
        let path = path.strip_suffix("/data").filter(|_| self.is_v2).unwrap_or(&path);
        let rest = key.strip_prefix(path).and_then(|rest| rest.strip_prefix('/'));
        let rest = rest.map(|rest| rest.strip_prefix("data/").filter(|_| self.is_v2).unwrap_or(rest));
        Ok(format!("{path}/{}", rest.unwrap_or(&key)))
    }
}
