//! The `template` blocks of the Agent and of jobs, with what their texts read.

use zeroize::Zeroizing;

use super::Originals;
use crate::config::value::Node;
use crate::convert::agent::reads;
use crate::convert::object::{child, text};
use crate::convert::options::{ConvertInput, ConvertOptions, TemplateFinder};
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

/// A call of `secret`.
pub struct OriginalRead {
    /// The path, in pieces: a text, or the name of a variable.
    pub path: Vec<Result<String, String>>,
    /// Whether the answer has the shape of KV version 2.
    pub is_v2: bool,
}

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
        let inline = || word("contents").or_else(|| word("data")).map(|text| Zeroizing::new(text.to_owned()));
        let Some(text) = source.or_else(inline) else { return };
        let delimiters = match (word("left_delimiter"), word("right_delimiter")) {
            (None, None) => None,
            (left, right) => Some((left.unwrap_or("{{").to_owned(), right.unwrap_or("}}").to_owned())),
        };
        let signs = delimiters.clone().map(|(left, right)| Delimiters { left, right });
        let Some((reads, variables)) = reads(&text, &signs.unwrap_or_default()) else {
            return self.unread(
                block,
                "the template does not compile, so it is not rendered for comparison",
                found,
            );
        };
        let reads = reads.into_iter().map(|(path, is_v2)| OriginalRead { path, is_v2 }).collect();
        let path = self.options.placed(destination);
        found.templates.push(OriginalTemplate {
            file: self.file.to_owned(),
            line: block.position.line,
            path,
            text,
            delimiters,
            reads,
            variables,
            output_dir: self.options.output_dir.trim_end_matches('/').to_owned(),
        });
    }

    fn source(&self, path: &str) -> Option<Zeroizing<String>> {
        let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let own = self.inputs.iter().find(|input| input.name != self.file && base(&input.name) == base(path));
        let other = || (self.templates)(path, self.file).into_iter().next().map(|found| found.text);
        own.map(|input| input.text.clone()).or_else(other)
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
