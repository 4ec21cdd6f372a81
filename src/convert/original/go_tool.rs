//! Configurations of the Go tool: which secret each entry reads, and the texts of its files.

use super::Originals;
use crate::config::value::Node;
use crate::convert::object::{child, text};

/// One entry of `secrets`.
pub struct OriginalEntry {
    /// The file, and the line.
    pub file: String,
    /// See `file`.
    pub line: u32,
    /// Mount and key, joined.
    pub path: String,
    /// The paths of its files, each with its template.
    pub files: Vec<(String, String)>,
}

/// Reads all entries. A file has the template at its own place, as the documentation of the Go tool says.
pub(super) fn read(file: &str, root: &Node, found: &mut Originals) {
    for node in child(root, "secrets").and_then(Node::items).unwrap_or_default() {
        let line = node.position.line;
        match entry(node) {
            Ok((path, files)) => {
                found.entries.push(OriginalEntry { file: file.to_owned(), line, path, files });
            }
            Err(what) => {
                found.unread.push((file.to_owned(), line, format!("{what} is not rendered for comparison")));
            }
        }
    }
}

fn entry(node: &Node) -> Result<(String, Vec<(String, String)>), String> {
    let (mount, key) = text(node, "mountPath").zip(text(node, "key")).ok_or("a secret without its path")?;
    if key.split('/').any(|part| matches!(part, "." | "..")) {
        return Err("a key with dots".to_owned());
    }
    let texts = child(node, "template").and_then(|template| child(template, "data")).and_then(Node::entries);
    let files = child(node, "files").and_then(Node::items).unwrap_or_default();
    let pairs = files.iter().zip(texts.unwrap_or_default()).filter_map(|(file, entry)| {
        let content = entry.node.scalar()?.text().to_owned();
        Some((text(file, "path")?.to_owned(), content))
    });
    let pairs: Vec<_> = pairs.collect();
    if pairs.len() == files.len() {
        Ok((format!("{mount}/{key}"), pairs))
    } else {
        Err("a file without a template".to_owned())
    }
}
