//! HCL 1, the notation of Vault Agent, consul-template, envconsul and Nomad → the tree that YAML becomes too.
//!
//! Libraries for HCL 2 cannot read these files: `${` in a text would be an expression, and `0600` a decimal number. Jobs of
//! Nomad are HCL 2: its expressions are found, but not evaluated.

mod expression;
mod lexer;

use crate::config::diagnostic::Position;
use crate::config::value::{MappingEntry, Node, NodeStyle, Scalar, Value};
pub(super) use expression::{HclExpression, expressions, read_as_hcl_2};
use lexer::{HclLexer, HclToken};

/// Most blocks and lists inside each other; a job of Nomad needs eight.
const MAX_DEPTH: usize = 64;

/// Most names in one block.
const MAX_KEYS: usize = 10_000;

/// Why a text is no HCL. It quotes nothing of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HclError {
    /// Where.
    pub position: Position,
    /// What is wrong, and what is expected.
    pub message: &'static str,
}

impl HclError {
    fn new(position: Position, message: &'static str) -> Self {
        Self { position, message }
    }

    /// A text that is HCL of another tool.
    pub(super) fn unknown() -> Self {
        Self::new(Position { line: 1, column: 1 }, "no key of a known tool is in it")
    }
}

/// Reads a text. Blocks of one name become a list in their order; the labels of a block become mappings around it, so
/// that `method "approle" {}` is `method: { approle: {} }`.
///
/// # Errors
/// The first mistake.
pub(super) fn parse(text: &str) -> Result<Node, HclError> {
    let mut lexer = HclLexer::new(text);
    let (token, position) = lexer.next()?;
    let mut parser = HclParser { lexer, token, position, depth: 0, taken: TakenToken::default() };
    let entries = parser.body(None)?;
    Ok(Node { position: Position { line: 1, column: 1 }, value: Value::Mapping(entries) })
}

struct HclParser<'t> {
    lexer: HclLexer<'t>,
    /// The token that is looked at.
    token: HclToken,
    position: Position,
    depth: usize,
    taken: TakenToken,
}

/// Where the token before the one that is looked at begins and ends, in bytes, and the line of its end.
#[derive(Clone, Copy, Default)]
struct TakenToken {
    begin: usize,
    end: usize,
    line: u32,
}

impl HclParser<'_> {
    /// Takes the token that is looked at.
    fn take(&mut self) -> Result<HclToken, HclError> {
        let ((begin, end), line) = (self.lexer.span(), self.lexer.line());
        self.taken = TakenToken { begin, end, line };
        let (token, position) = self.lexer.next()?;
        self.position = position;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn is_mark(&self, mark: char) -> bool {
        matches!(self.token, HclToken::Mark(found) if found == mark)
    }

    fn error<T>(&self, message: &'static str) -> Result<T, HclError> {
        Err(HclError::new(self.position, message))
    }

    /// The entries up to the brace that closes the block at `open`, or up to the end of the text.
    fn body(&mut self, open: Option<Position>) -> Result<Vec<MappingEntry>, HclError> {
        let mut entries = Vec::new();
        loop {
            match (&self.token, open) {
                (HclToken::End, None) => return Ok(entries),
                (HclToken::End, Some(open)) => {
                    return Err(HclError::new(open, "this block has no end: a \"}\" is missing"));
                }
                (HclToken::Mark('}'), Some(_)) => {
                    self.take()?;
                    return Ok(entries);
                }
                (HclToken::Mark('}'), None) => return self.error("this \"}\" closes no block"),
                _ => {}
            }
            let entry = self.entry()?;
            if entries.len() >= MAX_KEYS {
                return self.error("more than 10000 names in one block");
            }
            add(&mut entries, entry);
            if self.is_mark(',') {
                self.take()?;
            }
        }
    }

    /// `key = value`, `key { … }` or `key "label" { … }`.
    fn entry(&mut self) -> Result<MappingEntry, HclError> {
        let mut names = Vec::new();
        while let HclToken::Word(_) | HclToken::Text(_, NodeStyle::Quoted) = &self.token {
            let position = self.position;
            match self.take()? {
                HclToken::Word(name) => names.push((name, position)),
                HclToken::Text(name, _) => names.push((name.to_string(), position)),
                _ => {}
            }
        }
        let is_assignment = self.is_mark('=');
        let mut inner = match (names.len(), is_assignment) {
            (0, _) => return self.error("the name of a key or of a block is expected"),
            (1, true) => {
                self.take()?;
                self.value()?
            }
            (_, true) => return self.error("a block with labels has no \"=\""),
            _ if self.is_mark('{') => self.block()?,
            _ => return self.error("\"=\" or \"{\" is expected"),
        };
        // Each label is a level of the tree.
        if self.depth + names.len() > MAX_DEPTH {
            return self.error(TOO_DEEP);
        }
        while let Some((key, position)) = names.pop() {
            let entry = MappingEntry { key, position, node: inner };
            if names.is_empty() {
                return Ok(entry);
            }
            inner = Node { position, value: Value::Mapping(vec![entry]) };
        }
        self.error("the name of a key or of a block is expected")
    }

    fn value(&mut self) -> Result<Node, HclError> {
        let position = self.position;
        let token = self.take()?;
        if self.is_expression(&token) {
            return self.expression(&token, position);
        }
        let value = match token {
            HclToken::Text(text, style) => Value::Scalar(Scalar::new(text.to_string(), style)),
            HclToken::Number(digits) => Value::Scalar(Scalar::new(digits, NodeStyle::Plain)),
            HclToken::Word(word) if word == "true" || word == "false" => {
                Value::Scalar(Scalar::new(word, NodeStyle::Plain))
            }
            HclToken::Word(_) => {
                return Err(HclError::new(position, "a value is expected: a text stands in quotes"));
            }
            HclToken::Mark('{') => return self.rest_of_block(position),
            HclToken::Mark('[') => {
                self.nested(position, |parser| Ok(Value::Sequence(parser.list(position)?)))?
            }
            HclToken::Mark(_) | HclToken::End => return Err(HclError::new(position, "a value is expected")),
        };
        Ok(Node { position, value })
    }

    /// A block from its opening brace.
    fn block(&mut self) -> Result<Node, HclError> {
        let position = self.position;
        self.take()?;
        self.rest_of_block(position)
    }

    fn rest_of_block(&mut self, position: Position) -> Result<Node, HclError> {
        let value = self.nested(position, |parser| Ok(Value::Mapping(parser.body(Some(position))?)))?;
        Ok(Node { position, value })
    }

    fn nested(
        &mut self,
        position: Position,
        read: impl FnOnce(&mut Self) -> Result<Value, HclError>,
    ) -> Result<Value, HclError> {
        if self.depth >= MAX_DEPTH {
            return Err(HclError::new(position, TOO_DEEP));
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// The items up to `]`; the last one may have a comma behind it.
    fn list(&mut self, open: Position) -> Result<Vec<Node>, HclError> {
        let mut items = Vec::new();
        loop {
            if self.is_mark(']') {
                self.take()?;
                return Ok(items);
            }
            if matches!(self.token, HclToken::End) {
                return Err(HclError::new(open, "this list has no end: a \"]\" is missing"));
            }
            items.push(self.value()?);
            if self.is_mark(',') {
                self.take()?;
            } else if !self.is_mark(']') {
                return self.error("\",\" or \"]\" is expected");
            }
        }
    }
}

const TOO_DEEP: &str = "nested deeper than 64 levels";

/// Adds an entry; a further one of the same key makes a list.
fn add(entries: &mut Vec<MappingEntry>, entry: MappingEntry) {
    let Some(found) = entries.iter_mut().find(|found| found.key == entry.key) else {
        return entries.push(entry);
    };
    if let Value::Sequence(items) = &mut found.node.value {
        items.push(entry.node);
    } else {
        let position = found.node.position;
        let empty = Node { position, value: Value::Sequence(Vec::new()) };
        let first = std::mem::replace(&mut found.node, empty);
        found.node.value = Value::Sequence(vec![first, entry.node]);
    }
}

#[cfg(test)]
mod tests;
