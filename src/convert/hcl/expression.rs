//! Expressions of HCL 2. They are found, and what stands around them is read; none is evaluated.

use super::lexer::HclToken;
use super::{HclError, HclParser};
use crate::config::diagnostic::Position;
use crate::config::value::{Node, NodeStyle, Scalar, Value};

/// Most letters of an expression that are shown.
const MAX_SHOWN: usize = 60;

/// One expression in a tree.
#[derive(PartialEq, Eq, Debug)]
pub(in crate::convert) struct HclExpression {
    /// The keys that lead to it.
    pub(in crate::convert) path: String,
    pub(in crate::convert) position: Position,
    /// Its beginning, without texts in quotes, which may be credentials.
    pub(in crate::convert) shown: String,
}

impl HclParser<'_> {
    /// Whether an expression begins with `first`, which was just taken.
    pub(super) fn is_expression(&self, first: &HclToken) -> bool {
        let is_followed_by = |marks: &str| matches!(self.token, HclToken::Mark(mark) if marks.contains(mark));
        match first {
            HclToken::Word(word) if word == "true" || word == "false" => {
                self.is_same_line() && is_followed_by(OPERATORS)
            }
            HclToken::Word(word) => word.contains('.') || self.is_same_line() && is_followed_by("(["),
            HclToken::Text(..) | HclToken::Number(_) => self.is_same_line() && is_followed_by(OPERATORS),
            HclToken::Mark('(' | '!') => true,
            HclToken::Mark('[' | '{') => matches!(&self.token, HclToken::Word(word) if word == "for"),
            HclToken::Mark(_) | HclToken::End => false,
        }
    }

    /// Reads an expression up to the end of its line, or of the list or the block around it.
    pub(super) fn expression(&mut self, first: &HclToken, position: Position) -> Result<Node, HclError> {
        let begin = self.taken.begin;
        let mut open = usize::from(matches!(first, HclToken::Mark('(' | '[' | '{')));
        loop {
            match self.token {
                HclToken::End if open > 0 => {
                    return Err(HclError::new(position, "this expression has no end: a bracket is missing"));
                }
                HclToken::End => break,
                _ if open == 0 && !self.is_same_line() => break,
                HclToken::Mark(',' | ')' | ']' | '}') if open == 0 => break,
                HclToken::Mark('(' | '[' | '{') => open += 1,
                HclToken::Mark(')' | ']' | '}') => open -= 1,
                _ => {}
            }
            self.take()?;
        }
        let shown = shown(self.lexer.slice(begin, self.taken.end));
        Ok(Node { position, value: Value::Scalar(Scalar::new(shown, NodeStyle::Expression)) })
    }

    fn is_same_line(&self) -> bool {
        self.position.line == self.taken.line
    }
}

/// Marks that continue a value.
const OPERATORS: &str = "?!<>+*/%&|";

/// The beginning of an expression as a message may show it.
fn shown(expression: &str) -> String {
    let plain = expression.split(['"', '\n', '\r', '<']).next().unwrap_or_default().trim_end();
    let mut shown: String = plain.chars().take(MAX_SHOWN).collect();
    if shown.len() < expression.len() {
        shown.push('…');
    }
    shown
}

/// All expressions below `node`, in their order. The parser bounds the depth.
pub(in crate::convert) fn expressions(node: &Node, path: &str) -> Vec<HclExpression> {
    let mut found = Vec::new();
    match &node.value {
        Value::Scalar(scalar) if scalar.style() == NodeStyle::Expression => found.push(HclExpression {
            path: path.to_owned(),
            position: node.position,
            shown: scalar.text().to_owned(),
        }),
        Value::Scalar(_) => {}
        Value::Sequence(items) => {
            for (n, item) in items.iter().enumerate() {
                found.extend(expressions(item, &format!("{path}[{n}]")));
            }
        }
        Value::Mapping(entries) => {
            for entry in entries {
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                found.extend(expressions(&entry.node, &path));
            }
        }
    }
    found
}

/// Reads the texts of a tree as HCL 2 does: one with an expression in it becomes that expression, and `$${` and `%%{` become
/// `${` and `%{`. A name that only exists when a task runs, such as `${NOMAD_TASK_DIR}`, stays as it is.
pub(in crate::convert) fn read_as_hcl_2(node: &mut Node) {
    match &mut node.value {
        Value::Scalar(scalar) => {
            let style = scalar.style();
            if !matches!(style, NodeStyle::Quoted | NodeStyle::Literal) {
                return;
            }
            match text_of_hcl_2(scalar.text()) {
                Ok(text) => *scalar = Scalar::new(text, style),
                Err((at, expression)) => {
                    if style == NodeStyle::Literal {
                        node.position = moved(node.position, scalar.text().get(..at).unwrap_or_default());
                    }
                    *scalar = Scalar::new(expression, NodeStyle::Expression);
                }
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(read_as_hcl_2),
        Value::Mapping(entries) => entries.iter_mut().for_each(|entry| read_as_hcl_2(&mut entry.node)),
    }
}

/// The position behind `text`, which begins at `position`.
fn moved(position: Position, text: &str) -> Position {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let last = text.rsplit('\n').next().unwrap_or_default();
    Position {
        line: position.line.saturating_add(count(text.matches('\n').count())),
        column: count(last.chars().count()).saturating_add(1),
    }
}

/// The text without escapes; or its first expression, as it is shown, and the byte at which it begins.
fn text_of_hcl_2(text: &str) -> Result<String, (usize, String)> {
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(['$', '%']) {
        let (before, mark) = rest.split_at(at);
        plain.push_str(before);
        let is_escaped = ["$${", "%%{"].into_iter().find(|escape| mark.starts_with(escape));
        let taken = if let Some(escape) = is_escaped {
            plain.push_str(escape.get(1..).unwrap_or_default());
            escape.len()
        } else {
            let inner = ["${", "%{"].into_iter().find_map(|open| mark.strip_prefix(open));
            if inner.is_some_and(|inner| mark.starts_with('%') || !is_runtime_name(inner)) {
                let first = mark.split_inclusive('}').next().unwrap_or_default();
                return Err((text.len() - mark.len(), shown(first)));
            }
            plain.push_str(mark.get(..1).unwrap_or_default());
            1
        };
        rest = mark.get(taken..).unwrap_or_default();
    }
    plain.push_str(rest);
    Ok(plain)
}

/// Whether what stands behind `${` is a name that Nomad leaves to the task: `NOMAD_TASK_DIR`, `attr.kernel.name`,
/// `env["HOME"]`.
fn is_runtime_name(text: &str) -> bool {
    let Some((name, _)) = text.split_once('}') else { return false };
    let name = match name.split_once("[\"") {
        Some((name, index)) if index.strip_suffix("\"]").is_some_and(|index| !index.contains('"')) => name,
        Some(_) => return false,
        None => name,
    };
    let root = name.split('.').next().unwrap_or_default();
    name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter))
        && !["var", "local", "each", "path"].contains(&root)
}
