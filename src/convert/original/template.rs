//! The `template` blocks of the Agent and of jobs, with what their texts read.

use zeroize::Zeroizing;

use super::Originals;
use crate::config::diagnostic::Position;
use crate::config::value::Node;
use crate::convert::agent::{ReadCall, TextReads, UsedField, reads};
use crate::convert::object::{child, text};
use crate::convert::options::{ConvertInput, ConvertOptions, TemplateFinder};
use crate::convert::text_origin::TextOrigin;
use crate::template::go::lexer::Delimiters;

/// One template, and the file it is rendered to.
pub struct OriginalTemplate {
    /// The file that names it, and the line.
    pub file: String,
    /// See `file`.
    pub line: u32,
    /// The file it is rendered to.
    pub path: String,
    /// The text.
    pub text: Zeroizing<String>,
    /// What opens and closes an action, where that is not `{{` and `}}`.
    pub delimiters: Option<(String, String)>,
    /// What it reads.
    pub reads: Vec<OriginalRead>,
    /// The fields that it takes from them.
    pub fields: Vec<OriginalField>,
    /// Variables of the environment.
    pub variables: Vec<String>,
    /// What relative paths in it start at.
    output_dir: String,
}

impl OriginalTemplate {
    /// Where a path in the template leads.
    pub(crate) fn placed(&self, path: &str) -> String {
        if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.output_dir) }
    }
}

/// A field of an answer.
pub struct OriginalField {
    /// The number of the read.
    pub read: usize,
    /// Its name.
    pub name: String,
    /// The file and the line where it stands.
    pub place: (String, u32),
}

/// A call of `secret` or `pkiCert`. Texts are in pieces: a text, or the name of a variable.
pub struct OriginalRead {
    /// The path.
    pub path: Vec<Result<String, String>>,
    /// What is given behind the path.
    pub arguments: Vec<Vec<Result<String, String>>>,
    /// Whether the answer has the shape of KV version 2.
    pub is_v2: bool,
    /// Whether it is `pkiCert`.
    pub is_certificate: bool,
}

/// A text, its file, and where it stands there.
type PlacedText = (Zeroizing<String>, String, TextOrigin);

/// One file that is read.
pub(super) struct Reading<'r> {
    pub(super) file: &'r str,
    pub(super) inputs: &'r [ConvertInput],
    pub(super) options: &'r ConvertOptions,
    pub(super) templates: &'r TemplateFinder<'r>,
}

impl Reading<'_> {
    pub(super) fn agent(&self, root: &Node, found: &mut Originals) {
        for block in blocks(root, "template") {
            self.template(block, found);
        }
        for block in blocks(root, "env_template") {
            self.unread(
                block,
                "env_template blocks are joined to one file, which is not rendered for comparison",
                found,
            );
        }
    }

    /// Jobs: `template` blocks at any depth, which the parser bounds.
    pub(super) fn nomad(&self, node: &Node, found: &mut Originals) {
        for entry in node.entries().unwrap_or_default() {
            for block in items(&entry.node) {
                if entry.key == "template"
                    && block.entries().is_some_and(|_| child(block, "destination").is_some())
                {
                    self.template(block, found);
                } else {
                    self.nomad(block, found);
                }
            }
        }
    }

    fn template(&self, block: &Node, found: &mut Originals) {
        let word = |key: &str| text(block, key).filter(|text| !text.is_empty());
        let Some(destination) = word("destination") else { return };
        let source = word("source").and_then(|path| self.source(path));
        let Some((text, file, origin)) = source.or_else(|| self.inline(block)) else { return };
        let delimiters = match (word("left_delimiter"), word("right_delimiter")) {
            (None, None) => None,
            (left, right) => Some((left.unwrap_or("{{").to_owned(), right.unwrap_or("}}").to_owned())),
        };
        let signs = delimiters.clone().map(|(left, right)| Delimiters { left, right });
        let Some(TextReads { calls, fields, variables }) = reads(&text, &signs.unwrap_or_default()) else {
            return self.unread(
                block,
                "the template does not compile, so it is not rendered for comparison",
                found,
            );
        };
        let read = |ReadCall { path, arguments, is_v2, is_certificate }| OriginalRead {
            path,
            arguments,
            is_v2,
            is_certificate,
        };
        let reads = calls.into_iter().map(read).collect();
        let field = |UsedField { call, name, at }| {
            let before = text.get(..at).unwrap_or_default().matches('\n').count();
            let line = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
            let place = (file.clone(), origin.place(Position { line, column: 1 }).line);
            OriginalField { read: call, name, place }
        };
        let fields = fields.into_iter().map(field).collect();
        let path = self.options.placed(destination);
        found.templates.push(OriginalTemplate {
            file: self.file.to_owned(),
            line: block.position.line,
            path,
            text,
            delimiters,
            reads,
            fields,
            variables,
            output_dir: self.options.output_dir.trim_end_matches('/').to_owned(),
        });
    }

    fn source(&self, path: &str) -> Option<PlacedText> {
        let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let own = self.inputs.iter().find(|input| input.name != self.file && base(&input.name) == base(path));
        let other = || {
            let found = (self.templates)(path, self.file).into_iter().next()?;
            Some((found.text, found.name, found.origin))
        };
        own.map(|input| (input.text.clone(), input.name.clone(), TextOrigin::FILE)).or_else(other)
    }

    fn inline(&self, block: &Node) -> Option<PlacedText> {
        let node = child(block, "contents").or_else(|| child(block, "data"))?;
        let text = Zeroizing::new(node.scalar()?.text().to_owned());
        Some((text, self.file.to_owned(), TextOrigin::of_node(node)))
    }

    fn unread(&self, block: &Node, reason: &str, found: &mut Originals) {
        found.unread.push((self.file.to_owned(), block.position.line, reason.to_owned()));
    }
}

/// The blocks of a name.
fn blocks<'n>(node: &'n Node, key: &str) -> Vec<&'n Node> {
    child(node, key).map(items).unwrap_or_default()
}

/// A block, or several of one name.
fn items(node: &Node) -> Vec<&Node> {
    node.items().map_or_else(|| vec![node], |items| items.iter().collect())
}
