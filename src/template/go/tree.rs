//! The tree of a Go template. Every place is a byte in the source.

use std::collections::BTreeMap;

use super::number::GoNumber;

/// A parsed template, with those it defines.
#[derive(Debug)]
pub(crate) struct GoTree {
    pub(crate) body: Vec<GoNode>,
    pub(crate) defined: BTreeMap<String, Vec<GoNode>>,
}

/// One part of a template.
#[derive(Debug)]
pub(crate) enum GoNode {
    /// Text that is written as it is.
    Text(Box<str>),
    /// `{{ pipeline }}`.
    Action(GoPipeline),
    /// `if` or `with`, each `else if` a branch more.
    Branches { is_with: bool, branches: Vec<(GoPipeline, Vec<GoNode>)>, otherwise: Vec<GoNode> },
    /// `range`.
    Range { pipeline: GoPipeline, body: Vec<GoNode>, otherwise: Vec<GoNode> },
    /// `template`, or the use that a `block` makes of itself.
    Template { at: usize, name: String, pipeline: Option<GoPipeline> },
    /// `break`.
    Break,
    /// `continue`.
    Continue,
}

/// Commands joined by `|`.
#[derive(Debug)]
pub(crate) struct GoPipeline {
    pub(crate) at: usize,
    pub(crate) end: usize,
    /// `=` where others have `:=`.
    pub(crate) is_assignment: bool,
    /// With their `$`.
    pub(crate) variables: Vec<String>,
    pub(crate) commands: Vec<GoCommand>,
}

/// An operand, or a function with its arguments.
#[derive(Debug)]
pub(crate) struct GoCommand {
    /// Never empty.
    pub(crate) operands: Vec<GoOperand>,
}

/// One operand.
#[derive(Debug)]
pub(crate) struct GoOperand {
    pub(crate) at: usize,
    pub(crate) end: usize,
    pub(crate) kind: GoOperandKind,
}

/// What an operand is.
#[derive(Debug)]
pub(crate) enum GoOperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number(GoNumber),
    /// A string may hold bytes that are no text.
    Text(Box<[u8]>),
    /// `.a.b`.
    Field(Vec<String>),
    /// `$x.a.b`; the name has its `$`.
    Variable(String, Vec<String>),
    Function(String),
    Pipeline(GoPipeline),
    /// `(pipeline).a.b`.
    Chain(Box<GoOperand>, Vec<String>),
}
