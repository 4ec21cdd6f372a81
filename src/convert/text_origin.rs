//! Where a text stands in a file: a file of its own, a heredoc, a value of a manifest.

use crate::config::diagnostic::Position;
use crate::config::value::{Node, NodeStyle, Scalar, Value};

/// Where a text begins, and whether its lines are lines of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TextOrigin {
    begin: Position,
    has_lines: bool,
}

impl TextOrigin {
    /// A text that is a whole file.
    pub const FILE: Self = Self { begin: Position { line: 1, column: 1 }, has_lines: true };

    /// The text of a scalar.
    pub(super) fn of_node(node: &Node) -> Self {
        let Some(scalar) = node.scalar().filter(|scalar| scalar.style() == NodeStyle::Literal) else {
            return Self::at(node.position);
        };
        // A block begins at its first line that is not blank.
        let blank = scalar.text().bytes().take_while(|byte| *byte == b'\n').count();
        let line = node.position.line.saturating_sub(u32::try_from(blank).unwrap_or(u32::MAX));
        Self { begin: Position { line, ..node.position }, has_lines: true }
    }

    /// A text of which everything stands at one place.
    pub(super) fn at(begin: Position) -> Self {
        Self { begin, has_lines: false }
    }

    /// The place in the file of a place in the text.
    pub(super) fn place(self, within: Position) -> Position {
        if !self.has_lines {
            return self.begin;
        }
        Position {
            line: self.begin.line.saturating_add(within.line.saturating_sub(1)),
            column: self.begin.column.saturating_add(within.column.saturating_sub(1)),
        }
    }

    /// Moves a tree that was made of the text to its place in the file. The parsers bound the depth.
    pub(super) fn move_tree(self, node: &mut Node) {
        node.position = self.place(node.position);
        match &mut node.value {
            Value::Scalar(scalar) if !self.has_lines && scalar.style() == NodeStyle::Literal => {
                *scalar = Scalar::new(scalar.text().to_owned(), NodeStyle::Quoted);
            }
            Value::Scalar(_) => {}
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.move_tree(item)),
            Value::Mapping(entries) => {
                for entry in entries {
                    entry.position = self.place(entry.position);
                    self.move_tree(&mut entry.node);
                }
            }
        }
    }
}
