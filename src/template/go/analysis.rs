//! What a template uses, read from its tree without running it.

use super::tree::{GoCommand, GoNode, GoOperand, GoOperandKind, GoPipeline, GoTree};

/// A use of something, and its first byte in the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GoUse {
    /// The function, the field path (`Data.data.x`) or the variable (`$x`).
    pub(crate) name: String,
    pub(crate) at: usize,
}

/// A call of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GoCall {
    pub(crate) name: String,
    pub(crate) at: usize,
    /// Its end in the source.
    pub(crate) end: usize,
    /// Its arguments: the text of those that are literal texts, nothing for others. What comes by a pipe is the last.
    pub(crate) arguments: Vec<Option<String>>,
}

/// All uses in one template, in the order of the source.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct GoUses {
    /// Every function, with its arguments.
    pub(crate) calls: Vec<GoCall>,
    /// Every path of fields: `.a.b`, `$x.a.b`, `(…).a.b`, without what it starts from.
    pub(crate) fields: Vec<GoUse>,
    /// Every variable that is read.
    pub(crate) variables: Vec<GoUse>,
    /// Every `template` by its name.
    pub(crate) templates: Vec<GoUse>,
    /// Every `.` that stands alone.
    pub(crate) dots: Vec<usize>,
}

impl GoUses {
    /// What `tree` uses.
    pub(crate) fn of(tree: &GoTree) -> Self {
        let mut uses = Self::default();
        uses.nodes(&tree.body);
        for body in tree.defined.values() {
            uses.nodes(body);
        }
        uses
    }

    #[cfg(test)]
    /// The calls of `name`.
    pub(crate) fn calls_of<'u>(&'u self, name: &'u str) -> impl Iterator<Item = &'u GoCall> {
        self.calls.iter().filter(move |call| call.name == name)
    }

    // The parser bounds the depth of a tree.
    fn nodes(&mut self, nodes: &[GoNode]) {
        for node in nodes {
            match node {
                GoNode::Text(_) | GoNode::Break | GoNode::Continue => {}
                GoNode::Action(pipeline) => self.pipeline(pipeline),
                GoNode::Branches { branches, otherwise, .. } => {
                    for (condition, body) in branches {
                        self.pipeline(condition);
                        self.nodes(body);
                    }
                    self.nodes(otherwise);
                }
                GoNode::Range { pipeline, body, otherwise } => {
                    self.pipeline(pipeline);
                    self.nodes(body);
                    self.nodes(otherwise);
                }
                GoNode::Template { at, name, pipeline } => {
                    self.templates.push(GoUse { name: name.clone(), at: *at });
                    if let Some(pipeline) = pipeline {
                        self.pipeline(pipeline);
                    }
                }
            }
        }
    }

    fn pipeline(&mut self, pipeline: &GoPipeline) {
        let mut before = None;
        for command in &pipeline.commands {
            self.command(command, before);
            before = Some(command);
        }
    }

    fn command(&mut self, command: &GoCommand, before: Option<&GoCommand>) {
        let Some((first, arguments)) = command.operands.split_first() else { return };
        if let GoOperandKind::Function(name) = &first.kind {
            let piped = before.map(|before| match before.operands.as_slice() {
                [only] => literal(only),
                _ => None,
            });
            self.calls.push(GoCall {
                name: name.clone(),
                at: first.at,
                end: arguments.last().map_or(first.end, |last| last.end),
                arguments: arguments.iter().map(literal).chain(piped).collect(),
            });
        } else {
            self.operand(first);
        }
        for operand in arguments {
            self.operand(operand);
        }
    }

    fn operand(&mut self, operand: &GoOperand) {
        let at = operand.at;
        let path = |names: &[String]| GoUse { name: names.join("."), at };
        match &operand.kind {
            GoOperandKind::Field(names) => self.fields.push(path(names)),
            GoOperandKind::Variable(name, names) => {
                self.variables.push(GoUse { name: name.clone(), at });
                if !names.is_empty() {
                    self.fields.push(path(names));
                }
            }
            GoOperandKind::Function(name) => {
                self.calls.push(GoCall { name: name.clone(), at, end: operand.end, arguments: Vec::new() });
            }
            GoOperandKind::Pipeline(pipeline) => self.pipeline(pipeline),
            GoOperandKind::Chain(inner, names) => {
                self.operand(inner);
                self.fields.push(path(names));
            }
            GoOperandKind::Dot => self.dots.push(at),
            GoOperandKind::Nil
            | GoOperandKind::Bool(_)
            | GoOperandKind::Number(_)
            | GoOperandKind::Text(_) => {}
        }
    }
}

/// The text of a literal, also in parentheses.
fn literal(operand: &GoOperand) -> Option<String> {
    match &operand.kind {
        GoOperandKind::Text(text) => String::from_utf8(text.to_vec()).ok(),
        GoOperandKind::Pipeline(pipeline) => match pipeline.commands.as_slice() {
            [GoCommand { operands }] if operands.len() == 1 => operands.first().and_then(literal),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::Delimiters;
    use super::super::parser;
    use super::*;

    #[test]
    fn finds_what_a_template_uses() {
        let source = "{{ with secret \"a/b\" (printf \"x=%s\" .y) }}{{ .Data.data.x | f 1 }}{{ end }}{{ define \"t\" }}\
                      {{ $v := (secret `c`).Data.k }}{{ $v.z }}{{ \"d\" | secret }}{{ end }}{{ template \"t\" . }}";
        let uses = GoUses::of(&parser::parse(source, &Delimiters::default()).unwrap());
        let secrets: Vec<_> = uses.calls_of("secret").map(|call| call.arguments.clone()).collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(secrets, [vec![text("a/b"), None], vec![text("c")], vec![text("d")]]);
        let fields: Vec<_> = uses.fields.iter().map(|field| &*field.name).collect();
        assert_eq!(fields, ["y", "Data.data.x", "Data.k", "z"]);
        assert_eq!(uses.templates.len(), 1);
        assert_eq!(uses.dots.len(), 1);
        let call = uses.calls_of("secret").next().unwrap();
        assert_eq!(source.get(call.at..call.end).unwrap(), "secret \"a/b\" (printf \"x=%s\" .y)");
    }
}
