//! `writeToFile`: an action that writes a file besides the one of its stanza. Each becomes a file of the same secret, whose
//! text is the template with nothing but these actions left.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::problem::TextProblem;
use crate::convert::ConvertOptions;
use crate::disk::FileMode;
use crate::template::go::lexer::Delimiters;
use crate::template::go::tree::{GoNode, GoOperand, GoOperandKind, GoPipeline, GoTree};

/// The function.
pub(super) const NAME: &str = "writeToFile";

/// Most files of one template.
const MOST_FILES: usize = 100;

/// A file besides that of the stanza.
#[derive(Clone, Debug)]
pub(super) struct WrittenFile {
    /// Where the first call of it stands.
    pub(super) at: usize,
    /// As the template has it.
    pub(super) path: String,
    pub(super) mode: String,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
    pub(super) text: String,
}

/// All files that a template writes itself, and what is left of it.
#[derive(Default, Debug)]
pub(super) struct WrittenFiles {
    pub(super) files: Vec<WrittenFile>,
    /// The bytes of the actions.
    actions: Vec<Range<usize>>,
    /// Where the calls stand that were read.
    pub(super) calls: Vec<usize>,
    pub(super) problems: Vec<TextProblem>,
}

/// One call.
struct Write<'s> {
    at: usize,
    path: String,
    mode: String,
    owner: String,
    group: String,
    content: &'s str,
    appends: bool,
    ends_line: bool,
}

/// Why a call cannot be read.
type Unreadable = String;

impl WrittenFiles {
    /// Finds them in a template.
    pub(super) fn of(tree: &GoTree, source: &str, delimiters: &Delimiters) -> Self {
        let mut finder = WriteFinder { source, delimiters, found: Self::default(), writes: BTreeMap::new() };
        finder.nodes(&tree.body, false);
        for body in tree.defined.values() {
            finder.nodes(body, true);
        }
        let WriteFinder { mut found, writes, .. } = finder;
        let mut paths = BTreeSet::new();
        for (at, first) in &writes {
            if !paths.insert(&first.path) {
                continue;
            }
            let writer = FileWriter { tree, source, delimiters, path: &first.path, writes: &writes };
            let owner = |name: &str| (!name.is_empty()).then(|| name.to_owned());
            found.files.push(WrittenFile {
                at: *at,
                path: first.path.clone(),
                mode: first.mode.clone(),
                owner: owner(&first.owner),
                group: owner(&first.group),
                text: writer.text(),
            });
        }
        found
    }

    /// The template without the actions. Where something trims white space, an action that writes nothing stays in the
    /// place of each: it ends what the others trim.
    pub(super) fn left_of(&self, source: &str, delimiters: &Delimiters) -> String {
        let (left, right) = (&*delimiters.left, &*delimiters.right);
        let (left_trimming, right_trimming) = (format!("{left}-"), format!("-{right}"));
        let trims = source.contains(&left_trimming) || source.contains(&right_trimming);
        let (mut text, mut from) = (String::with_capacity(source.len()), 0);
        let mut actions = self.actions.clone();
        actions.sort_by_key(|action| action.start);
        for action in actions {
            text.push_str(source.get(from..action.start).unwrap_or_default());
            if trims {
                let inner = source.get(action.clone()).unwrap_or_default();
                let is_blank = |rest: &str| rest.starts_with([' ', '\t', '\r', '\n']);
                let begins = inner.strip_prefix(&left_trimming).is_some_and(is_blank);
                let left = if begins { &left_trimming } else { left };
                let right = if inner.ends_with(&right_trimming) { &right_trimming } else { right };
                text.extend([left, " \"\" ", right]);
            }
            from = action.end;
        }
        text.push_str(source.get(from..).unwrap_or_default());
        text
    }
}

impl WrittenFile {
    /// The mode, which `--mode` overrides.
    pub(super) fn mode(&self, options: &ConvertOptions) -> Result<String, String> {
        match &options.mode {
            Some(mode) => Ok(mode.clone()),
            None => match FileMode::parse(&self.mode) {
                Ok(mode) => Ok(mode.to_string()),
                Err(error) => Err(format!("`{NAME}`: the mode {error}: correct it, or use --mode")),
            },
        }
    }
}

struct WriteFinder<'s> {
    source: &'s str,
    delimiters: &'s Delimiters,
    found: WrittenFiles,
    /// By the byte of the call.
    writes: BTreeMap<usize, Write<'s>>,
}

// The parser bounds the depth of a tree.
impl<'s> WriteFinder<'s> {
    /// `is_repeated`: whether the nodes may run more than once.
    fn nodes(&mut self, nodes: &[GoNode], is_repeated: bool) {
        for node in nodes {
            match node {
                GoNode::Action(pipeline) => self.action(pipeline, is_repeated),
                GoNode::Branches { branches, otherwise, .. } => {
                    for (_, body) in branches {
                        self.nodes(body, is_repeated);
                    }
                    self.nodes(otherwise, is_repeated);
                }
                GoNode::Range { body, otherwise, .. } => {
                    self.nodes(body, true);
                    self.nodes(otherwise, is_repeated);
                }
                GoNode::Text(_) | GoNode::Template { .. } | GoNode::Break | GoNode::Continue => {}
            }
        }
    }

    fn action(&mut self, pipeline: &GoPipeline, is_repeated: bool) {
        let Some(at) = call_at(pipeline) else { return };
        self.found.calls.push(at);
        match write(pipeline, self.source).and_then(|write| self.joined(write, is_repeated)) {
            Ok(write) => {
                self.found.actions.extend(self.span(pipeline));
                self.writes.insert(at, write);
            }
            Err(message) => {
                let message = format!("`{NAME}`: {message}");
                self.found.problems.push(TextProblem { at, message, is_warning: false });
            }
        }
    }

    /// Checks a call against those before it.
    fn joined(&mut self, write: Write<'s>, is_repeated: bool) -> Result<Write<'s>, Unreadable> {
        let first = self.writes.values().find(|first| first.path == write.path);
        if first.is_none() && self.writes.len() >= MOST_FILES {
            return Err(format!("more than {MOST_FILES} files in one template"));
        }
        if !write.appends && (first.is_some() || is_repeated) {
            return Err(
                "it replaces what was written to the same file before: write it once, or with \"append\""
                    .to_owned(),
            );
        }
        if first.is_some_and(|first| {
            (&first.mode, &first.owner, &first.group) != (&write.mode, &write.owner, &write.group)
        }) {
            return Err(
                "the parts of one file have different modes or owners: write the same ones".to_owned()
            );
        }
        if first.is_none() && write.appends {
            let (at, path) = (write.at, &write.path);
            let message = format!(
                "`{NAME}`: {path} holds its parts once, where the Agent appends them at each rendering"
            );
            self.found.problems.push(TextProblem { at, message, is_warning: true });
        }
        Ok(write)
    }

    /// The bytes of an action with its delimiters.
    fn span(&self, pipeline: &GoPipeline) -> Option<Range<usize>> {
        let begin = self.source.get(..pipeline.at)?.rfind(&self.delimiters.left)?;
        let end = pipeline.end + self.source.get(pipeline.end..)?.find(&self.delimiters.right)?;
        Some(begin..end + self.delimiters.right.len())
    }
}

/// Where an action calls the function in a way that can be read.
fn call_at(pipeline: &GoPipeline) -> Option<usize> {
    let first = pipeline.commands.last()?.operands.first()?;
    let is_it = matches!(&first.kind, GoOperandKind::Function(name) if name == NAME);
    (is_it && pipeline.variables.is_empty()).then_some(first.at)
}

/// `CONTENT | writeToFile PATH USER GROUP MODE [FLAGS]`, or with the content behind them.
fn write<'s>(pipeline: &GoPipeline, source: &'s str) -> Result<Write<'s>, Unreadable> {
    let computed =
        "path, user, group, mode and flags must be texts in quotes, because they must be known before"
            .to_owned();
    let (last, before) = pipeline.commands.split_last().ok_or_else(|| computed.clone())?;
    let (function, arguments) = last.operands.split_first().ok_or_else(|| computed.clone())?;
    let (content, arguments) = match before {
        [] => match arguments.split_last() {
            Some((content, arguments)) => (content.at..content.end, arguments),
            None => return Err(computed),
        },
        _ => (
            pipeline.at
                ..before
                    .iter()
                    .flat_map(|command| &command.operands)
                    .map(|operand| operand.end)
                    .max()
                    .unwrap_or(pipeline.at),
            arguments,
        ),
    };
    let texts: Option<Vec<String>> = arguments.iter().map(literal).collect();
    let texts = texts.ok_or_else(|| computed.clone())?;
    let (path, owner, group, mode, flags) = match texts.as_slice() {
        [path, owner, group, mode] => (path, owner, group, mode, ""),
        [path, owner, group, mode, flags] => (path, owner, group, mode, flags.as_str()),
        _ => return Err("it needs path, user, group, mode, perhaps flags, and the content".to_owned()),
    };
    let flags: Vec<_> = flags.split(',').map(str::trim).filter(|flag| !flag.is_empty()).collect();
    if let Some(unknown) = flags.iter().find(|flag| !["append", "newline"].contains(flag)) {
        return Err(format!("the flag {unknown:?} does not exist: \"append\" and \"newline\" do"));
    }
    Ok(Write {
        at: function.at,
        path: path.clone(),
        mode: mode.clone(),
        owner: owner.clone(),
        group: group.clone(),
        content: source.get(content).unwrap_or_default(),
        appends: flags.contains(&"append"),
        ends_line: flags.contains(&"newline"),
    })
}

fn literal(operand: &GoOperand) -> Option<String> {
    match &operand.kind {
        GoOperandKind::Text(text) => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    }
}

/// Writes the text of one file.
struct FileWriter<'s> {
    tree: &'s GoTree,
    source: &'s str,
    delimiters: &'s Delimiters,
    path: &'s str,
    writes: &'s BTreeMap<usize, Write<'s>>,
}

/// A part of the text of a file.
#[derive(Default)]
struct WrittenPart {
    text: String,
    /// Whether something is written in it, or a variable outside of it gets another value.
    is_needed: bool,
}

impl FileWriter<'_> {
    fn text(&self) -> String {
        let mut text = String::new();
        for (name, body) in &self.tree.defined {
            let body = self.nodes(body).text;
            text.extend([self.action(&format!("define {name:?}")), body, self.action("end")]);
        }
        text.push_str(&self.nodes(&self.tree.body).text);
        text
    }

    fn action(&self, inner: &str) -> String {
        let Delimiters { left, right } = self.delimiters;
        format!("{left} {inner} {right}")
    }

    fn slice(&self, pipeline: &GoPipeline) -> &str {
        self.source.get(pipeline.at..pipeline.end).unwrap_or_default()
    }

    fn nodes(&self, nodes: &[GoNode]) -> WrittenPart {
        let mut all = WrittenPart::default();
        for node in nodes {
            let part = self.node(node);
            all.text.push_str(&part.text);
            all.is_needed |= part.is_needed;
        }
        all
    }

    fn node(&self, node: &GoNode) -> WrittenPart {
        let always = |text: String| WrittenPart { text, is_needed: true };
        match node {
            GoNode::Text(_) => WrittenPart::default(),
            GoNode::Action(pipeline) if !pipeline.variables.is_empty() => {
                WrittenPart { text: self.action(self.slice(pipeline)), is_needed: pipeline.is_assignment }
            }
            GoNode::Action(pipeline) => {
                let write = call_at(pipeline).and_then(|at| self.writes.get(&at));
                let write = write.filter(|write| write.path == self.path);
                write.map_or_else(WrittenPart::default, |write| {
                    let end = if write.ends_line { "\n" } else { "" };
                    always(format!("{}{end}", self.action(write.content)))
                })
            }
            GoNode::Branches { is_with, branches, otherwise } => {
                let word = if *is_with { "with" } else { "if" };
                let heads: Vec<_> = branches
                    .iter()
                    .map(|(condition, body)| (self.slice(condition), self.nodes(body)))
                    .collect();
                self.block(word, heads, otherwise)
            }
            GoNode::Range { pipeline, body, otherwise } => {
                self.block("range", vec![(self.slice(pipeline), self.nodes(body))], otherwise)
            }
            GoNode::Template { name, pipeline, .. } => {
                let value = pipeline.as_ref().map(|pipeline| self.slice(pipeline)).unwrap_or_default();
                always(self.action(format!("template {name:?} {value}").trim_end()))
            }
            GoNode::Break => always(self.action("break")),
            GoNode::Continue => always(self.action("continue")),
        }
    }

    /// A block with its branches; nothing where nothing in it is needed.
    fn block(&self, word: &str, branches: Vec<(&str, WrittenPart)>, otherwise: &[GoNode]) -> WrittenPart {
        let (mut text, mut is_needed) = (String::new(), false);
        for (n, (condition, body)) in branches.into_iter().enumerate() {
            let begin = if n == 0 { "" } else { "else " };
            text.push_str(&self.action(&format!("{begin}{word} {condition}")));
            text.push_str(&body.text);
            is_needed |= body.is_needed;
        }
        let otherwise = self.nodes(otherwise);
        if !otherwise.text.is_empty() {
            text.extend([self.action("else"), otherwise.text]);
        }
        text.push_str(&self.action("end"));
        if is_needed || otherwise.is_needed {
            WrittenPart { text, is_needed: true }
        } else {
            WrittenPart::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::go::parser;

    fn found(source: &str) -> WrittenFiles {
        let delimiters = Delimiters::default();
        let tree = parser::parse(source, &delimiters).unwrap_or_else(|error| panic!("{source}: {error}"));
        WrittenFiles::of(&tree, source, &delimiters)
    }

    fn texts(source: &str) -> Vec<(String, String)> {
        found(source).files.into_iter().map(|file| (file.path, file.text)).collect()
    }

    #[test]
    fn each_file_has_the_template_with_its_own_parts() {
        let one = |path: &str, text: &str| vec![(path.to_owned(), text.to_owned())];
        for (source, expected) in [
            (
                "a {{ with secret \"s/a\" }}b {{ .Data.c | toUpper | writeToFile \"/c\" \"u\" \"g\" \"0640\" }} d{{ end }}",
                one("/c", "{{ with secret \"s/a\" }}{{ .Data.c | toUpper }}{{ end }}"),
            ),
            ("{{ writeToFile `/c` `` `` `0600` (print 1 2) }}", one("/c", "{{ (print 1 2) }}")),
            (
                "{{ $x := 1 }}{{ $x = 2 }}{{ if .a }}{{ $y := 3 }}{{ else if .b }}{{ .c }}{{ end }}{{ writeToFile \"c\" \"\" \"\" \"0600\" $x }}",
                one("c", "{{ $x := 1 }}{{ $x = 2 }}{{ $x }}"),
            ),
            (
                "{{ range $k, $v := .a }}{{ if $v }}{{ $k | writeToFile \"c\" \"\" \"\" \"0600\" \"append,newline\" }}{{ else }}x\
                 {{ break }}{{ end }}{{ end }}",
                one(
                    "c",
                    "{{ range $k, $v := .a }}{{ if $v }}{{ $k }}\n{{ else }}{{ break }}{{ end }}{{ end }}",
                ),
            ),
            (
                "{{ define \"t\" }}x{{ . | writeToFile \"c\" \"\" \"\" \"0600\" \"append\" }}{{ end }}{{ template \"t\" .a }}y",
                one("c", "{{ define \"t\" }}{{ . }}{{ end }}{{ template \"t\" .a }}"),
            ),
        ] {
            assert_eq!(texts(source), expected, "{source}");
        }
        let two = texts(
            "{{ with .x }}{{ .k | writeToFile \"k\" \"\" \"\" \"0600\" }}{{ end }}{{ with .y }}{{ .a | writeToFile \"c\" \"\" \"\" \"0600\" \
             \"newline\" }}{{ .b | writeToFile \"c\" \"\" \"\" \"0600\" \"append\" }}{{ end }}",
        );
        let expected =
            [("k", "{{ with .x }}{{ .k }}{{ end }}"), ("c", "{{ with .y }}{{ .a }}\n{{ .b }}{{ end }}")];
        assert_eq!(two, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    }

    #[test]
    fn the_template_keeps_its_text_and_its_trimming() {
        for (source, expected) in [
            ("a {{ 1 | writeToFile \"c\" \"\" \"\" \"0600\" }} b", "a  b"),
            ("a {{ 2 -}}\n{{ 1 | writeToFile \"c\" \"\" \"\" \"0600\" }}\nb", "a {{ 2 -}}\n{{ \"\" }}\nb"),
            ("a {{- 1 | writeToFile \"c\" \"\" \"\" \"0600\" }} b", "a {{- \"\" }} b"),
            ("a {{ 1 | writeToFile \"c\" \"\" \"\" \"0600\"  -}}\nb", "a {{ \"\" -}}\nb"),
        ] {
            assert_eq!(found(source).left_of(source, &Delimiters::default()), expected, "{source}");
        }
    }

    #[test]
    fn what_cannot_become_a_file_is_named() {
        let write =
            |path: &str, flags: &str| format!("{{{{ 1 | writeToFile {path} \"\" \"\" \"0600\" {flags} }}}}");
        for (source, word, is_warning) in [
            (write(".a", ""), "texts in quotes", false),
            (write("\"c\"", "\"append,sync\""), "\"sync\"", false),
            (write("\"c\"", "\"append\" 1 2"), "texts in quotes", false),
            (write("\"c\"", "\"append\""), "holds its parts once", true),
            ([write("\"c\"", ""), write("\"c\"", "")].concat(), "it replaces", false),
            (format!("{{{{ range .a }}}}{}{{{{ end }}}}", write("\"c\"", "")), "it replaces", false),
            (
                [write("\"c\"", ""), "{{ 1 | writeToFile \"c\" \"u\" \"\" \"0600\" \"append\" }}".to_owned()]
                    .concat(),
                "different modes or owners",
                false,
            ),
            ("{{ 1 | writeToFile \"c\" }}".to_owned(), "it needs path", false),
            ((0..101).map(|n| write(&format!("\"{n}\""), "")).collect(), "more than 100 files", false),
        ] {
            let problems = found(&source).problems;
            let is_named =
                |problem: &TextProblem| problem.message.contains(word) && problem.is_warning == is_warning;
            assert!(problems.iter().any(is_named), "{source}: {problems:?}");
        }
    }
}
