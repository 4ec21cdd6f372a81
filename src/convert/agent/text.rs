//! What a template of the Agent asks for: the secrets it reads, the variables of the environment, and what is in the way.

use std::collections::{BTreeMap, BTreeSet};

use super::folded::{self, FoldedPiece, FoldedText};
use super::functions;
use super::problem::TextProblem;
use super::written::{self, WrittenFiles};
use crate::template::CompileError;
use crate::template::go::lexer::Delimiters;
use crate::template::go::parser;
use crate::template::go::tree::{GoCommand, GoNode, GoOperand, GoOperandKind, GoPipeline, GoTree};

/// Most uses of `template` that are followed.
const MOST_USES: usize = 1_000;

/// What a text asks for.
#[derive(Default, Debug)]
pub(super) struct TextUses {
    /// Each call of `secret` and `pkiCert`.
    pub(super) calls: Vec<SecretCall>,
    /// Variables of the environment, and their defaults; one without must be set.
    pub(super) variables: BTreeMap<String, Option<String>>,
    pub(super) problems: Vec<TextProblem>,
    /// The files that the text writes itself.
    pub(super) written: WrittenFiles,
    /// The fields it takes from the answer of each call, by its number, and where.
    fields: Vec<UsedField>,
}

/// A field that a text takes out of an answer.
#[derive(Debug)]
pub(in crate::convert) struct UsedField {
    /// The number of the call.
    pub(in crate::convert) call: usize,
    pub(in crate::convert) name: String,
    /// Byte in the text.
    pub(in crate::convert) at: usize,
}

/// What a text reads: see [`reads`].
pub(in crate::convert) struct TextReads {
    pub(in crate::convert) calls: Vec<ReadCall>,
    pub(in crate::convert) fields: Vec<UsedField>,
    /// Variables of the environment.
    pub(in crate::convert) variables: Vec<String>,
}

/// A call of `secret` or `pkiCert`, and what is done with its answer.
#[derive(Debug)]
pub(super) struct SecretCall {
    /// Byte in the text.
    pub(super) at: usize,
    /// Whether it is `pkiCert`.
    pub(super) is_certificate: bool,
    pub(super) path: FoldedText,
    /// What is given behind the path: `name=value`. Such a call sends them to the server.
    pub(super) arguments: Vec<FoldedText>,
    /// What of its answer is used.
    pub(super) uses: BTreeSet<AnswerPart>,
    /// A word about leases is used, such as `.LeaseDuration`, and where.
    pub(super) lease_word: Option<(String, usize)>,
}

/// A part of an answer that a template uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum AnswerPart {
    /// `.Data.data`: where the fields of KV version 2 are.
    Data,
    /// Another field below `.Data`.
    Field,
    /// `.Data` as a whole.
    Whole,
}

impl TextUses {
    /// Reads `text`.
    pub(super) fn of(text: &str, delimiters: &Delimiters) -> Result<Self, CompileError> {
        let tree = parser::parse(text, delimiters)?;
        let mut written = WrittenFiles::of(&tree, text, delimiters);
        let problems = std::mem::take(&mut written.problems);
        let mut reader = TextReader {
            tree: &tree,
            uses: Self { problems, written, ..Self::default() },
            scope: Vec::new(),
            followed: 0,
            open: Vec::new(),
        };
        reader.nodes(&tree.body, &Bound::Other);
        for body in tree.defined.values() {
            reader.nodes(body, &Bound::Other);
        }
        Ok(reader.uses)
    }
}

/// A text in pieces: a text, or the name of a variable.
pub(in crate::convert) type TextPieces = Vec<Result<String, String>>;

/// A call, in pieces.
pub(in crate::convert) struct ReadCall {
    pub(in crate::convert) path: TextPieces,
    /// What is given behind the path.
    pub(in crate::convert) arguments: Vec<TextPieces>,
    /// Whether the answer is used as that of KV version 2.
    pub(in crate::convert) is_v2: bool,
    /// Whether it is `pkiCert`.
    pub(in crate::convert) is_certificate: bool,
}

/// What a text reads; nothing where it does not compile.
pub(in crate::convert) fn reads(text: &str, delimiters: &Delimiters) -> Option<TextReads> {
    let uses = TextUses::of(text, delimiters).ok()?;
    let piece = |piece: FoldedPiece| match piece {
        FoldedPiece::Literal(text) => Ok(text),
        FoldedPiece::Variable(name) => Err(name),
    };
    let pieces = |text: FoldedText| text.0.into_iter().map(piece).collect();
    let read = |call: SecretCall| {
        let path = call.path.to_configuration();
        let is_v2 = path.contains("/data/") || path.contains('?') || call.uses.contains(&AnswerPart::Data);
        let arguments = call.arguments.into_iter().map(pieces).collect();
        ReadCall { path: pieces(call.path), arguments, is_v2, is_certificate: call.is_certificate }
    };
    Some(TextReads {
        calls: uses.calls.into_iter().map(read).collect(),
        fields: uses.fields,
        variables: uses.variables.into_keys().collect(),
    })
}

/// What is known of a value.
#[derive(Clone, Debug)]
enum Bound {
    /// The answer of a call of `secret`, by its number.
    Answer(usize),
    /// `.Data` of it.
    Data(usize),
    /// `.Data.data` of it.
    Fields(usize),
    /// The answer of a call of `pkiCert`.
    Certificate,
    /// A text that is known before anything is read.
    Text(FoldedText),
    Other,
}

struct TextReader<'t> {
    tree: &'t GoTree,
    uses: TextUses,
    /// Variables in scope.
    scope: Vec<(&'t str, Bound)>,
    followed: usize,
    /// The defined texts that are being read.
    open: Vec<&'t str>,
}

// The parser bounds the depth of a tree, and `open` that of texts within each other.
impl<'t> TextReader<'t> {
    fn nodes(&mut self, nodes: &'t [GoNode], dot: &Bound) {
        let outer = self.scope.len();
        for node in nodes {
            self.node(node, dot);
        }
        self.scope.truncate(outer);
    }

    fn node(&mut self, node: &'t GoNode, dot: &Bound) {
        match node {
            GoNode::Text(_) | GoNode::Break | GoNode::Continue => {}
            GoNode::Action(pipeline) => {
                self.pipeline(pipeline, dot);
            }
            GoNode::Branches { is_with, branches, otherwise } => {
                let outer = self.scope.len();
                for (condition, body) in branches {
                    let value = self.pipeline(condition, dot);
                    self.nodes(body, if *is_with { &value } else { dot });
                }
                self.nodes(otherwise, dot);
                self.scope.truncate(outer);
            }
            GoNode::Range { pipeline, body, otherwise } => {
                let outer = self.scope.len();
                if let Bound::Data(call) = self.commands(pipeline, dot) {
                    self.uses_part(call, AnswerPart::Whole);
                }
                self.scope.extend(pipeline.variables.iter().map(|name| (name.as_str(), Bound::Other)));
                self.nodes(body, &Bound::Other);
                self.scope.truncate(outer);
                self.nodes(otherwise, dot);
            }
            GoNode::Template { name, pipeline, .. } => {
                let value = pipeline.as_ref().map_or(Bound::Other, |pipeline| self.pipeline(pipeline, dot));
                self.defined(name, &value);
            }
        }
    }

    /// Reads a defined text with the value it gets.
    fn defined(&mut self, name: &'t str, dot: &Bound) {
        let tree = self.tree;
        self.followed += 1;
        if self.followed > MOST_USES || self.open.contains(&name) {
            return;
        }
        if let Some(body) = tree.defined.get(name) {
            self.open.push(name);
            // It sees none of the variables outside.
            let scope = std::mem::take(&mut self.scope);
            self.nodes(body, dot);
            self.scope = scope;
            self.open.pop();
        }
    }

    fn pipeline(&mut self, pipeline: &'t GoPipeline, dot: &Bound) -> Bound {
        let value = self.commands(pipeline, dot);
        for name in &pipeline.variables {
            if pipeline.is_assignment {
                // Which value it has later depends on branches.
                for (_, bound) in self.scope.iter_mut().filter(|(known, _)| known == name) {
                    *bound = Bound::Other;
                }
            } else {
                self.scope.push((name, value.clone()));
            }
        }
        value
    }

    fn commands(&mut self, pipeline: &'t GoPipeline, dot: &Bound) -> Bound {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, dot, value));
        }
        value.unwrap_or(Bound::Other)
    }

    fn command(&mut self, command: &'t GoCommand, dot: &Bound, piped: Option<Bound>) -> Bound {
        let Some((first, rest)) = command.operands.split_first() else { return Bound::Other };
        let arguments = |reader: &mut Self| -> Vec<Bound> {
            rest.iter().map(|operand| reader.operand(operand, dot)).collect()
        };
        if let GoOperandKind::Function(name) = &first.kind {
            let mut given = arguments(self);
            given.extend(piped);
            return self.call(name, first.at, &given);
        }
        let value = self.operand(first, dot);
        arguments(self);
        value
    }

    fn operand(&mut self, operand: &'t GoOperand, dot: &Bound) -> Bound {
        match &operand.kind {
            GoOperandKind::Dot => dot.clone(),
            GoOperandKind::Field(names) => self.field(dot, names, operand.at),
            GoOperandKind::Variable(name, names) => {
                let found = self.scope.iter().rev().find(|(known, _)| known == name);
                let value = found.map_or(Bound::Other, |(_, value)| value.clone());
                if names.is_empty() { value } else { self.field(&value, names, operand.at) }
            }
            GoOperandKind::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => Bound::Text(FoldedText::of(text)),
                Err(_) => Bound::Other,
            },
            GoOperandKind::Number(number) => match number.int {
                Some(int) if !number.is_float => Bound::Text(FoldedText::of(&int.to_string())),
                _ => Bound::Other,
            },
            GoOperandKind::Function(name) => self.call(name, operand.at, &[]),
            GoOperandKind::Pipeline(pipeline) => self.pipeline(pipeline, dot),
            GoOperandKind::Chain(inner, names) => {
                let value = self.operand(inner, dot);
                self.field(&value, names, operand.at)
            }
            GoOperandKind::Nil | GoOperandKind::Bool(_) => Bound::Other,
        }
    }

    /// What `names` below `value` says of the answer it belongs to.
    fn field(&mut self, value: &Bound, names: &[String], at: usize) -> Bound {
        let (call, below) = match (value, names) {
            (Bound::Answer(call), [data, below @ ..]) if data == "Data" => (*call, below),
            (Bound::Answer(call), [word, ..]) => {
                self.word(*call, word, at);
                return Bound::Other;
            }
            (Bound::Data(call), below) => (*call, below),
            (Bound::Certificate, names) => return self.part_of_certificate(names, at),
            (Bound::Fields(call), [name, ..]) => {
                self.takes(*call, name, at);
                return Bound::Other;
            }
            _ => return Bound::Other,
        };
        match below {
            [] => return Bound::Data(call),
            [name, ..] => self.data(call, name),
        }
        match below {
            [data] if data == "data" => return Bound::Fields(call),
            [data, name, ..] if data == "data" => self.takes(call, name, at),
            [name, ..] if name != "metadata" => self.takes(call, name, at),
            _ => {}
        }
        Bound::Other
    }

    /// A field of what `pkiCert` gives; `.Data` is that itself.
    fn part_of_certificate(&mut self, names: &[String], at: usize) -> Bound {
        match names.iter().find(|name| *name != "Data") {
            None => Bound::Certificate,
            Some(name) => {
                if !["Cert", "Key", "CA", "CAChain"].contains(&name.as_str()) {
                    let message =
                        format!("`.{name}`: what pkiCert gives has only .Cert, .Key, .CA and .CAChain");
                    self.refuse(at, message);
                }
                Bound::Other
            }
        }
    }

    fn data(&mut self, call: usize, name: &str) {
        match name {
            "data" => self.uses_part(call, AnswerPart::Data),
            // Only KV version 2 has it, but a field of version 1 may be called so.
            "metadata" => {}
            _ => self.uses_part(call, AnswerPart::Field),
        }
    }

    fn takes(&mut self, call: usize, name: &str, at: usize) {
        self.uses.fields.push(UsedField { call, name: name.to_owned(), at });
    }

    fn uses_part(&mut self, call: usize, part: AnswerPart) {
        if let Some(call) = self.uses.calls.get_mut(call) {
            call.uses.insert(part);
        }
    }

    /// A field of an answer beside `Data`.
    fn word(&mut self, call: usize, word: &str, at: usize) {
        match word {
            "LeaseID" | "LeaseDuration" | "Renewable" => {
                if let Some(call) = self.uses.calls.get_mut(call) {
                    call.lease_word = Some((word.to_owned(), at));
                }
            }
            _ => self.refuse(at, format!("`.{word}`: an answer has only .Data here")),
        }
    }

    fn refuse(&mut self, at: usize, message: String) {
        self.problem(at, message, false);
    }

    fn problem(&mut self, at: usize, message: String, is_warning: bool) {
        if !self.uses.problems.iter().any(|known| known.at == at && known.message == message) {
            self.uses.problems.push(TextProblem { at, message, is_warning });
        }
    }

    fn call(&mut self, name: &str, at: usize, arguments: &[Bound]) -> Bound {
        for argument in arguments {
            if let (Bound::Data(call), false) = (argument, name == "index") {
                self.uses_part(*call, AnswerPart::Whole);
            }
        }
        match (name, arguments) {
            ("secret" | "pkiCert", _) => return self.secret(name, at, arguments),
            ("env" | "mustEnv" | "envOrDefault", _) => return self.environment(name, at, arguments),
            ("index", [Bound::Fields(call), Bound::Text(key), ..]) => {
                if let Some(key) = key.literal() {
                    self.takes(*call, &key, at);
                }
            }
            ("index", [Bound::Data(call), Bound::Text(key), ..]) => match key.literal() {
                Some(key) => self.data(*call, &key),
                None => self.uses_part(*call, AnswerPart::Whole),
            },
            ("printf" | "print", _) => {
                let folded = texts(arguments).and_then(|texts| folded::call(name, &texts));
                return folded.map_or(Bound::Other, Bound::Text);
            }
            (written::NAME, _) => {
                if !self.uses.written.calls.contains(&at) {
                    self.refuse(
                        at,
                        format!("`{name}`: it must be the last of an action: {{{{ VALUE | {name} … }}}}"),
                    );
                }
            }
            _ => {
                if let Some(message) = functions::refusal(name) {
                    self.refuse(at, message);
                }
            }
        }
        Bound::Other
    }

    fn secret(&mut self, name: &str, at: usize, arguments: &[Bound]) -> Bound {
        let is_certificate = name == "pkiCert";
        let answer = |call| if is_certificate { Bound::Certificate } else { Bound::Answer(call) };
        if let Some(known) = self.uses.calls.iter().position(|call| call.at == at) {
            return answer(known);
        }
        let Some((Bound::Text(path), rest)) = arguments.split_first() else {
            let message = format!(
                "`{name}`: its path comes out of another secret or is computed. What is read must be known before: write the \
                 path as a text"
            );
            self.refuse(at, message);
            return Bound::Other;
        };
        let Some(arguments) = texts(rest) else {
            let message = format!(
                "`{name}`: its arguments come out of another secret or are computed, and must be known before: write them as \
                 texts. The value of a file is a parameter `{{ file: PATH }}` of vaultDynamic: write that secret by hand"
            );
            self.refuse(at, message);
            return Bound::Other;
        };
        self.uses.calls.push(SecretCall {
            at,
            is_certificate,
            path: path.clone(),
            arguments,
            uses: BTreeSet::new(),
            lease_word: None,
        });
        answer(self.uses.calls.len().saturating_sub(1))
    }

    fn environment(&mut self, name: &str, at: usize, arguments: &[Bound]) -> Bound {
        let Some(Bound::Text(variable)) = arguments.first() else {
            self.refuse(at, format!("`{name}`: the name of the variable is computed: write it as a text"));
            return Bound::Other;
        };
        let Some(variable) = variable.literal().filter(|name| folded::is_variable(name)) else {
            self.refuse(at, format!("`{name}`: this is no name of a variable: letters, digits and \"_\""));
            return Bound::Other;
        };
        if variable.starts_with("NOMAD_") {
            self.refuse(
                at,
                format!("`{name} \"{variable}\"`: only Nomad sets it: write the value into the template"),
            );
            return Bound::Other;
        }
        let default = match (name, arguments.get(1)) {
            ("env", None) => Some(String::new()),
            ("mustEnv", None) => None,
            ("envOrDefault", Some(Bound::Text(default))) => default.literal(),
            _ => {
                self.refuse(at, format!("`{name}`: its arguments are computed: write them as texts"));
                return Bound::Other;
            }
        };
        self.problem(
            at,
            format!(
                "`{name} \"{variable}\"`: a variable of the configuration, which is read when it is loaded"
            ),
            true,
        );
        self.uses.variables.entry(variable.clone()).or_insert(default);
        Bound::Text(FoldedText(vec![FoldedPiece::Variable(variable)]))
    }
}

/// The texts of `arguments`, if all are known.
fn texts(arguments: &[Bound]) -> Option<Vec<FoldedText>> {
    let text = |argument: &Bound| match argument {
        Bound::Text(text) => Some(text.clone()),
        _ => None,
    };
    arguments.iter().map(text).collect()
}

#[cfg(test)]
mod tests;
