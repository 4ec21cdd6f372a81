//! YAML, and so JSON, from a text to a tree, within bounds.

mod parts;

mod syntax;

use std::collections::{HashMap, HashSet};

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use super::diagnostic::{Code, Diagnostic, Place, Position, shown_key};
use super::value::{MappingEntry, Node, NodeStyle, Scalar, Value};

pub(super) use parts::{Part, PartKind, parts};
pub use syntax::{SyntaxMistake, check_syntax};

/// Most collections inside each other; a configuration needs six.
const MAX_DEPTH: usize = 64;

/// What is said of more.
const TOO_DEEP: &str = "nested deeper than 64 levels";

/// Most weight of a document, aliases expanded: a node weighs 1, and 1 more for each [`TEXT_UNIT`] bytes of text. A
/// configuration of 10 000 ordinary secrets weighs about 150 000; the tree of a full budget is below 100 MiB.
const BUDGET: usize = 500_000;

/// Bytes of text that weigh as much as a node.
const TEXT_UNIT: usize = 64;

/// The same of a text with tags: compiled, a template takes many times the memory of its text.
const TEMPLATE_UNIT: usize = 8;

const SAME_COLUMN: &str = "let the keys of one mapping begin in the same column";

/// Reading cannot go on; the diagnostic says why.
struct Stop(Box<Diagnostic>);

#[derive(Default)]
struct TreeReader {
    frames: Vec<Frame>,
    root: Option<Node>,
    /// Complete nodes by anchor; one that is still open is missing here, so that an alias cannot hold itself.
    anchors: HashMap<usize, Node>,
    problems: Vec<Diagnostic>,
    budget: usize,
    documents: usize,
    /// Whether several documents may follow each other; the roots of those before the last one.
    stream: Option<Vec<Node>>,
}

/// A collection that is still open.
struct Frame {
    position: Position,
    anchor: usize,
    content: OpenNode,
}

enum OpenNode {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<MappingEntry>, merges: Vec<Node>, key: Key },
}

/// What the next value of a mapping belongs to.
enum Key {
    /// The next node is a key.
    Awaited,
    Named(String, Position),
    Merge,
    /// A key that is not a text; its value is dropped.
    Refused,
}

/// Reads one document.
///
/// # Errors
/// Everything that is wrong with the document: a syntax error, or all duplicate keys. No text of a scalar is quoted.
pub fn parse(text: &str) -> Result<Node, Vec<Diagnostic>> {
    match read(text) {
        (Some(root), problems) if problems.is_empty() => Ok(root),
        (_, problems) => Err(problems),
    }
}

/// Reads one document, going on after a mistake that leaves the tree usable: of two equal keys the first counts.
/// Without a root there is at least one problem.
pub(super) fn read(text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    let mut reader = TreeReader { budget: BUDGET, ..TreeReader::default() };
    if let Err(Stop(diagnostic)) = reader.read(text) {
        reader.problems.push(*diagnostic);
        return (None, reader.problems);
    }
    let nothing = Node {
        position: Position { line: 1, column: 1 },
        value: Value::Scalar(Scalar::new(String::new(), NodeStyle::Plain)),
    };
    (Some(reader.root.unwrap_or(nothing)), reader.problems)
}

/// Reads all documents of a stream, without those that hold nothing.
///
/// # Errors
/// Everything that is wrong up to the first syntax error, or all duplicate keys.
pub fn documents(text: &str) -> Result<Vec<Node>, Vec<Diagnostic>> {
    let mut reader = TreeReader { budget: BUDGET, stream: Some(Vec::new()), ..TreeReader::default() };
    if let Err(Stop(diagnostic)) = reader.read(text) {
        reader.problems.push(*diagnostic);
    }
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    let roots = reader.stream.into_iter().flatten().chain(reader.root);
    Ok(roots.filter(|root| !root.is_null()).collect())
}

/// The columns where the key of this line begins and that of the line above it, if the first is further to the right
/// though it cannot be: the parser only knows that a colon came as a surprise.
fn misplaced_key(text: &str, line: u32) -> Option<(u32, u32)> {
    let own = key_column(text, line)?;
    let before = text.lines().take(usize::try_from(line).ok()?.checked_sub(1)?);
    let above = before.filter(|line| !line.trim_start().is_empty()).last()?;
    // Below a key that has no value yet it can.
    let above = key_column_in(above).filter(|_| !above.trim_end().ends_with(':'))?;
    (own > above).then_some((own, above))
}

fn key_column(text: &str, line: u32) -> Option<u32> {
    key_column_in(text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?)
}

/// Where the key of `line` begins, if it has one.
fn key_column_in(line: &str) -> Option<u32> {
    let content = line.trim_start_matches([' ', '-']);
    let is_key = content.split_once(':').is_some_and(|(key, _)| key.chars().all(char::is_alphanumeric));
    is_key.then(|| u32::try_from(line.len() - content.len() + 1).ok()).flatten()
}

impl TreeReader {
    fn read(&mut self, text: &str) -> Result<(), Stop> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let options = granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
        for next in Parser::new_from_str_with_options(text, options) {
            let event = next.map_err(|error| self.syntax_error(&error, text))?;
            self.event(event)?;
        }
        Ok(())
    }

    fn event(&mut self, (event, span): (Event<'_>, Span)) -> Result<(), Stop> {
        let position = position_of(&span.start);
        match event {
            Event::DocumentStart(..) => self.document(position),
            Event::Scalar(text, style, anchor, tag) => {
                let style = self.style(style, tag.as_deref(), &span)?;
                let scalar = Scalar::new(text.into_owned(), style);
                self.charge(text_weight(scalar.text()), position)?;
                self.complete(Node { position, value: Value::Scalar(scalar) }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(position, anchor, tag.as_deref(), OpenNode::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                let content =
                    OpenNode::Mapping { entries: Vec::new(), merges: Vec::new(), key: Key::Awaited };
                self.open(position, anchor, tag.as_deref(), content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, position),
            _ => Ok(()),
        }
    }

    fn document(&mut self, position: Position) -> Result<(), Stop> {
        self.documents += 1;
        if let Some(roots) = &mut self.stream {
            roots.extend(self.root.take());
            self.budget = BUDGET;
            self.anchors.clear();
        } else if self.documents > 1 {
            let diagnostic = self.problem(Code::YamlSyntax, position, "a second document starts here");
            return Err(Stop(Box::new(diagnostic.hint("one file holds one document: remove the \"---\""))));
        }
        Ok(())
    }

    fn open(
        &mut self,
        position: Position,
        anchor: usize,
        tag: Option<&Tag>,
        content: OpenNode,
    ) -> Result<(), Stop> {
        self.check_tag(tag, position)?;
        self.charge(1, position)?;
        if self.frames.len() >= MAX_DEPTH {
            return Err(self.stop(Code::YamlLimit, position, TOO_DEEP));
        }
        self.frames.push(Frame { position, anchor, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(Frame { position, anchor, content }) = self.frames.pop() else { return Ok(()) };
        let value = match content {
            OpenNode::Sequence(items) => Value::Sequence(items),
            OpenNode::Mapping { entries, merges, .. } => {
                let mut entries = self.without_duplicates(entries);
                for node in merges {
                    self.merge(&mut entries, node);
                }
                Value::Mapping(entries)
            }
        };
        self.complete(Node { position, value }, anchor)
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            // What an alias may copy is paid for here already: anchors inside anchors are copies of copies.
            self.charge(weight(&node), node.position)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, position: Position) -> Result<(), Stop> {
        let Some(target) = self.anchors.get(&anchor) else {
            return Err(self.stop(Code::YamlSyntax, position, "this alias is part of what it stands for"));
        };
        self.charge(weight(target), position)?;
        // Looked up again because `charge` needs the whole reader.
        let copy = self.anchors.get(&anchor).cloned();
        if let Some(node) = copy {
            self.place(Node { position, ..node });
        }
        Ok(())
    }

    /// Puts a complete node where it belongs: the root, an item, a key or a value.
    fn place(&mut self, node: Node) {
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut frame.content {
            OpenNode::Sequence(items) => items.push(node),
            OpenNode::Mapping { entries, merges, key } => match std::mem::replace(key, Key::Awaited) {
                Key::Named(name, position) => entries.push(MappingEntry { key: name, position, node }),
                Key::Merge => merges.push(node),
                Key::Refused => {}
                Key::Awaited => self.key(&node),
            },
        }
    }

    fn key(&mut self, node: &Node) {
        let next = match &node.value {
            Value::Scalar(scalar) if scalar.text() == "<<" && scalar.style() == NodeStyle::Plain => {
                Key::Merge
            }
            Value::Scalar(scalar) => Key::Named(scalar.text().to_owned(), node.position),
            _ => {
                let problem = self.problem(Code::YamlSyntax, node.position, "a key must be a text");
                self.problems.push(problem.hint("a value that begins with { needs quotes: '{{ name }}'"));
                Key::Refused
            }
        };
        if let Some(Frame { content: OpenNode::Mapping { key, .. }, .. }) = self.frames.last_mut() {
            *key = next;
        }
    }

    /// Keeps the first of equal keys and reports the others.
    fn without_duplicates(&mut self, mut entries: Vec<MappingEntry>) -> Vec<MappingEntry> {
        if !has_duplicates(&entries) {
            return entries;
        }
        let mut first: HashMap<&str, Position> = HashMap::with_capacity(entries.len());
        let mut duplicates = Vec::new();
        for entry in &entries {
            match first.get(entry.key.as_str()) {
                Some(position) => duplicates.push((entry.key.clone(), entry.position, *position)),
                None => drop(first.insert(&entry.key, entry.position)),
            }
        }
        for (key, second, Position { line, column }) in &duplicates {
            let key = shown_key(key);
            let message = format!("{key:?} is there already, in line {line}, column {column}");
            let place = Place { path: join(&self.path(), &key), position: Some(*second) };
            self.problems.push(Diagnostic::new(Code::DuplicateKey, place, message));
        }
        let refused: HashSet<_> =
            duplicates.iter().map(|(_, second, _)| (second.line, second.column)).collect();
        entries.retain(|entry| !refused.contains(&(entry.position.line, entry.position.column)));
        entries
    }

    fn merge(&mut self, entries: &mut Vec<MappingEntry>, node: Node) {
        match node.value {
            Value::Mapping(more) => {
                let known: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
                entries.extend(more.into_iter().filter(|entry| !known.contains(&entry.key)));
            }
            Value::Sequence(items) if items.iter().all(|item| item.entries().is_some()) => {
                for item in items {
                    self.merge(entries, item);
                }
            }
            _ => {
                let problem =
                    self.problem(Code::YamlSyntax, node.position, "\"<<\" takes a mapping or a list of them");
                self.problems.push(problem);
            }
        }
    }

    fn style(&self, style: ScalarStyle, tag: Option<&Tag>, span: &Span) -> Result<NodeStyle, Stop> {
        self.check_tag(tag, position_of(&span.start))?;
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
        Ok(match style {
            ScalarStyle::Plain if !is_text => NodeStyle::Plain,
            ScalarStyle::Literal => NodeStyle::Literal,
            ScalarStyle::Folded => NodeStyle::Folded,
            _ => NodeStyle::Quoted,
        })
    }

    fn check_tag(&self, tag: Option<&Tag>, position: Position) -> Result<(), Stop> {
        const CORE: [&str; 7] = ["str", "int", "bool", "float", "null", "map", "seq"];
        match tag {
            Some(tag) if !CORE.iter().any(|name| tag.is_yaml_core_schema_tag(name)) => {
                let problem = self.problem(Code::YamlSyntax, position, "this tag has no meaning here");
                Err(Stop(Box::new(problem.hint("a text that begins with ! needs quotes"))))
            }
            _ => Ok(()),
        }
    }

    fn charge(&mut self, weight: usize, position: Position) -> Result<(), Stop> {
        match self.budget.checked_sub(weight) {
            Some(rest) => {
                self.budget = rest;
                Ok(())
            }
            None => Err(self.stop(Code::YamlLimit, position, "the document is too large")),
        }
    }

    fn syntax_error(&self, error: &ScanError, text: &str) -> Stop {
        let position = position_of(error.marker());
        if let (ErrorKind::MappingValueNotAllowed, Some((column, above))) =
            (error.kind(), misplaced_key(text, position.line))
        {
            let message = format!("this key begins in column {column}, and the one above in column {above}");
            let diagnostic = self.problem(Code::YamlSyntax, Position { column, ..position }, &message);
            return Stop(Box::new(diagnostic.hint(SAME_COLUMN)));
        }
        if *error.kind() == ErrorKind::ExpectedBlockMappingKey
            && key_column(text, position.line) == Some(position.column)
        {
            let message =
                format!("this key begins in column {}, where no mapping above it begins", position.column);
            return Stop(Box::new(self.problem(Code::YamlSyntax, position, &message).hint(SAME_COLUMN)));
        }
        let hint = match error.kind() {
            ErrorKind::RecursionLimitExceeded => {
                return self.stop(Code::YamlLimit, position, TOO_DEEP);
            }
            ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation => "indent with spaces",
            ErrorKind::UnknownAnchor => "a text that begins with * needs quotes",
            ErrorKind::UnexpectedCharacter { .. } => "a text that begins with this character needs quotes",
            ErrorKind::MappingValueNotAllowed => {
                "a text that holds \": \" needs quotes; check the indentation too"
            }
            _ => "check indentation, brackets and quotes here and in the lines above",
        };
        let diagnostic = self.problem(Code::YamlSyntax, position, &error.kind().to_string());
        Stop(Box::new(diagnostic.hint(hint)))
    }

    fn stop(&self, code: Code, position: Position, message: &str) -> Stop {
        Stop(Box::new(self.problem(code, position, message)))
    }

    fn problem(&self, code: Code, position: Position, message: &str) -> Diagnostic {
        Diagnostic::new(code, Place { path: self.path(), position: Some(position) }, message)
    }

    /// YAML path of the node that is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.frames {
            match &frame.content {
                OpenNode::Sequence(items) => path = format!("{path}[{}]", items.len()),
                OpenNode::Mapping { key: Key::Named(name, _), .. } => path = join(&path, &shown_key(name)),
                OpenNode::Mapping { .. } => {}
            }
        }
        path
    }
}

/// Short mappings, which are most, are compared without a table.
fn has_duplicates(entries: &[MappingEntry]) -> bool {
    if entries.len() > 16 {
        let mut keys = HashSet::with_capacity(entries.len());
        return !entries.iter().all(|entry| keys.insert(entry.key.as_str()));
    }
    entries.iter().enumerate().any(|(n, entry)| entries.iter().take(n).any(|other| other.key == entry.key))
}

/// What a tree costs, its aliases expanded.
fn weight(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(scalar) => text_weight(scalar.text()),
        Value::Sequence(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Mapping(entries) => 1 + entries.iter().map(|entry| weight(&entry.node)).sum::<usize>(),
    }
}

fn text_weight(text: &str) -> usize {
    let has_tags = text.contains("{{") || text.contains("{%");
    1 + text.len() / if has_tags { TEMPLATE_UNIT } else { TEXT_UNIT }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn position_of(marker: &Marker) -> Position {
    Position { line: count(marker.line()), column: count(marker.col() + 1) }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
