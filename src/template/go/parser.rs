//! The parser of Go templates: tokens become a tree, with the checks that Go makes before a template runs.
//!
//! Which functions exist depends on the dialect and is checked afterwards, by `functions`.

use std::collections::BTreeMap;

use super::super::error::{CompileError, TemplatePlace};
use super::lexer::{self, Delimiters, GoToken, GoTokenKind};
use super::number::GoNumber;
use super::quoted;
use super::tree::{GoCommand, GoNode, GoOperand, GoOperandKind, GoPipeline, GoTree};

/// Most parts and operands of one template.
const MOST_NODES: usize = 10_000;

/// How deep blocks and parentheses may lie in each other.
const DEPTH_LIMIT: usize = 128;

const KEYWORDS: [&str; 10] =
    ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

/// Parses `source`.
pub(crate) fn parse(source: &str, delimiters: &Delimiters) -> Result<GoTree, CompileError> {
    let tokens = lexer::tokens(source, delimiters)?;
    let mut parser = GoParser {
        source,
        tokens: &tokens,
        next: 0,
        variables: vec!["$".to_owned()],
        defined: BTreeMap::new(),
        ranges: 0,
        nodes: 0,
        depth: 0,
    };
    let (body, end) = parser.list(true)?;
    if let Some(end) = end {
        return Err(parser.error(end.at, &format!("`{}` without a block that it could end", end.text)));
    }
    Ok(GoTree { body, defined: parser.defined })
}

struct GoParser<'s> {
    source: &'s str,
    tokens: &'s [GoToken<'s>],
    next: usize,
    /// In scope, with their `$`.
    variables: Vec<String>,
    defined: BTreeMap<String, Vec<GoNode>>,
    /// How many `range` are open here.
    ranges: usize,
    nodes: usize,
    depth: usize,
}

type Parsed<T> = Result<T, CompileError>;

impl<'s> GoParser<'s> {
    /// Nodes up to the `end` or `else` that is no part of them, or the end of the template.
    fn list(&mut self, is_top: bool) -> Parsed<(Vec<GoNode>, Option<GoToken<'s>>)> {
        let mut nodes = Vec::new();
        loop {
            let token = self.take();
            match token.kind {
                GoTokenKind::Text => nodes.push(GoNode::Text(token.text.into())),
                GoTokenKind::Left => {
                    let word = self.peek();
                    let keyword = if word.kind == GoTokenKind::Word { word.text } else { "" };
                    if matches!(keyword, "end" | "else") {
                        self.take_visible();
                        return Ok((nodes, Some(word)));
                    }
                    if keyword == "define" && is_top {
                        self.take_visible();
                        self.define()?;
                    } else {
                        nodes.push(self.action(word, keyword)?);
                    }
                }
                _ => return Ok((nodes, None)),
            }
            self.count(token.at)?;
        }
    }

    fn action(&mut self, word: GoToken<'s>, keyword: &str) -> Parsed<GoNode> {
        if !KEYWORDS.contains(&keyword) {
            return Ok(GoNode::Action(self.pipeline("command", GoTokenKind::Right)?));
        }
        self.take_visible();
        match keyword {
            "if" | "with" => self.deeper(word.at, |parser| parser.branches(word.text, word.at)),
            "range" => self.deeper(word.at, |parser| parser.range(word.at)),
            "template" => self.template(word.at),
            "block" => self.deeper(word.at, |parser| parser.block(word.at)),
            "break" | "continue" => {
                self.expect_right(keyword)?;
                if self.ranges == 0 {
                    return Err(self.error(word.at, &format!("`{keyword}` outside of `range`")));
                }
                Ok(if keyword == "break" { GoNode::Break } else { GoNode::Continue })
            }
            _ => Err(self.error(word.at, &format!("`{keyword}` cannot be here"))),
        }
    }

    fn branches(&mut self, word: &str, at: usize) -> Parsed<GoNode> {
        let scope = self.variables.len();
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let condition = self.pipeline(word, GoTokenKind::Right)?;
            let (body, end) = self.list(false)?;
            branches.push((condition, body));
            match end {
                Some(end) if end.text == "else" => {
                    if self.peek().kind == GoTokenKind::Word && self.peek().text == word {
                        self.take_visible();
                        continue;
                    }
                    otherwise = self.otherwise()?;
                }
                Some(_) => self.expect_right("end")?,
                None => return Err(self.missing_end(word, at)),
            }
            break;
        }
        self.variables.truncate(scope);
        Ok(GoNode::Branches { is_with: word == "with", branches, otherwise })
    }

    /// What follows a last `else`, up to its `end`.
    fn otherwise(&mut self) -> Parsed<Vec<GoNode>> {
        let at = self.peek().at;
        self.expect_right("else")?;
        let (nodes, end) = self.list(false)?;
        match end {
            Some(end) if end.text == "end" => self.expect_right("end")?,
            Some(end) => return Err(self.error(end.at, "`else` follows `else`: only `end` can")),
            None => return Err(self.missing_end("else", at)),
        }
        Ok(nodes)
    }

    fn range(&mut self, at: usize) -> Parsed<GoNode> {
        let scope = self.variables.len();
        let pipeline = self.pipeline("range", GoTokenKind::Right)?;
        self.ranges += 1;
        let (body, end) = self.list(false)?;
        self.ranges -= 1;
        let otherwise = match end {
            Some(end) if end.text == "else" => self.otherwise()?,
            Some(_) => {
                self.expect_right("end")?;
                Vec::new()
            }
            None => return Err(self.missing_end("range", at)),
        };
        self.variables.truncate(scope);
        Ok(GoNode::Range { pipeline, body, otherwise })
    }

    fn template(&mut self, at: usize) -> Parsed<GoNode> {
        let name = self.name("template")?;
        let pipeline = if self.peek().kind == GoTokenKind::Right {
            self.take_visible();
            None
        } else {
            Some(self.pipeline("template", GoTokenKind::Right)?)
        };
        Ok(GoNode::Template { at, name, pipeline })
    }

    fn block(&mut self, at: usize) -> Parsed<GoNode> {
        let name = self.name("block")?;
        let pipeline = self.pipeline("block", GoTokenKind::Right)?;
        self.body_of(&name, "block", at)?;
        Ok(GoNode::Template { at, name, pipeline: Some(pipeline) })
    }

    fn define(&mut self) -> Parsed<()> {
        let at = self.peek().at;
        let name = self.name("define")?;
        self.expect_right("define")?;
        self.deeper(at, |parser| parser.body_of(&name, "define", at))
    }

    /// The body of a template of its own: it sees no variable but `$`.
    fn body_of(&mut self, name: &str, word: &str, at: usize) -> Parsed<()> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (body, end) = self.list(false)?;
        self.variables = outer;
        self.ranges = ranges;
        match end {
            Some(end) if end.text == "end" => self.expect_right("end")?,
            Some(end) => return Err(self.error(end.at, &format!("`else` cannot be in `{word}`"))),
            None => return Err(self.missing_end(word, at)),
        }
        match self.defined.get(name) {
            Some(known) if !is_empty(known) && !is_empty(&body) => {
                return Err(self.error(at, &format!("the template {name:?} is defined twice")));
            }
            Some(known) if !is_empty(known) => {}
            _ => drop(self.defined.insert(name.to_owned(), body)),
        }
        Ok(())
    }

    /// The name of a template.
    fn name(&mut self, context: &str) -> Parsed<String> {
        let token = self.take_visible();
        let bytes = match token.kind {
            GoTokenKind::Quoted => quoted::unquote(token.text),
            GoTokenKind::Raw => Some(raw(token.text)),
            _ => None,
        };
        let name = bytes.and_then(|bytes| String::from_utf8(bytes.into_vec()).ok());
        name.ok_or_else(|| self.error(token.at, &format!("`{context}` needs a name in quotes")))
    }

    /// A pipeline and the token that ends it.
    fn pipeline(&mut self, context: &str, end: GoTokenKind) -> Parsed<GoPipeline> {
        let at = self.peek().at;
        let mut pipeline =
            GoPipeline { at, end: at, is_assignment: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(context, &mut pipeline)?;
        loop {
            let token = self.peek();
            let is_close = token.kind == GoTokenKind::Sign && token.text == ")";
            if token.kind == end && (end == GoTokenKind::Right || is_close) {
                self.take_visible();
                break;
            }
            if is_close || matches!(token.kind, GoTokenKind::Right | GoTokenKind::End | GoTokenKind::Declare)
            {
                return Err(self.unexpected(token, context));
            }
            let command = self.command(context)?;
            pipeline.end = command.operands.last().map_or(at, |operand| operand.end);
            pipeline.commands.push(command);
        }
        if pipeline.commands.is_empty() {
            return Err(self.error(at, &format!("a value is missing for {}", shown_context(context))));
        }
        let mut later = pipeline.commands.iter().skip(1).filter_map(|command| command.operands.first());
        if let Some(operand) = later.find(|operand| !is_executable(&operand.kind)) {
            return Err(self.error(operand.at, "a value cannot follow `|`: only a function can"));
        }
        Ok(pipeline)
    }

    /// `$x :=`, `$x =`, and in `range` also `$i, $x :=`.
    fn declarations(&mut self, context: &str, pipeline: &mut GoPipeline) -> Parsed<()> {
        while self.peek().kind == GoTokenKind::Variable {
            let start = self.next;
            let variable = self.take_visible();
            let after = self.peek();
            let is_sign = |sign: &str| after.kind == GoTokenKind::Sign && after.text == sign;
            if after.kind == GoTokenKind::Declare || is_sign("=") {
                self.take_visible();
                pipeline.is_assignment = after.kind == GoTokenKind::Sign;
                self.declare(variable, pipeline);
                return Ok(());
            }
            if !is_sign(",") {
                self.next = start;
                return Ok(());
            }
            self.take_visible();
            self.declare(variable, pipeline);
            if context != "range" || pipeline.variables.len() > 1 {
                let message = format!("too many variables for {}", shown_context(context));
                return Err(self.error(variable.at, &message));
            }
            let next = self.peek();
            if next.kind != GoTokenKind::Variable {
                return Err(self.error(next.at, "`range` needs a variable behind the comma"));
            }
        }
        Ok(())
    }

    fn declare(&mut self, variable: GoToken<'s>, pipeline: &mut GoPipeline) {
        self.variables.push(variable.text.to_owned());
        pipeline.variables.push(variable.text.to_owned());
    }

    fn command(&mut self, context: &str) -> Parsed<GoCommand> {
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            let token = self.take();
            let is_sign = |sign: &str| token.kind == GoTokenKind::Sign && token.text == sign;
            match token.kind {
                GoTokenKind::Space => continue,
                GoTokenKind::Right => self.back(),
                GoTokenKind::Sign if is_sign(")") => self.back(),
                GoTokenKind::Sign if is_sign("|") => {}
                _ => return Err(self.unexpected(token, "an operand")),
            }
            break;
        }
        if operands.is_empty() {
            let message = format!("a command is empty in {}", shown_context(context));
            let at = self.peek().at;
            return Err(self.error(at, &message));
        }
        Ok(GoCommand { operands })
    }

    /// A term, and the fields of what it is.
    fn operand(&mut self) -> Parsed<Option<GoOperand>> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        let mut fields = Vec::new();
        while self.current().kind == GoTokenKind::Field {
            let token = self.take();
            fields.push(field_name(token));
            operand.end = token.at + token.text.len();
        }
        if fields.is_empty() {
            return Ok(Some(operand));
        }
        let (at, end) = (operand.at, operand.end);
        let kind = match operand.kind {
            GoOperandKind::Field(mut names) => {
                names.append(&mut fields);
                GoOperandKind::Field(names)
            }
            GoOperandKind::Variable(name, mut names) => {
                names.append(&mut fields);
                GoOperandKind::Variable(name, names)
            }
            GoOperandKind::Function(_) | GoOperandKind::Pipeline(_) => {
                GoOperandKind::Chain(Box::new(operand), fields)
            }
            _ => return Err(self.error(at, "a constant has no fields")),
        };
        Ok(Some(GoOperand { at, end, kind }))
    }

    fn term(&mut self) -> Parsed<Option<GoOperand>> {
        let token = self.take();
        self.count(token.at)?;
        let wrong = |what: &str| self.error(token.at, &format!("{what} {} is wrong", token.text));
        let kind = match token.kind {
            GoTokenKind::Word => match token.text {
                "nil" => GoOperandKind::Nil,
                "true" => GoOperandKind::Bool(true),
                "false" => GoOperandKind::Bool(false),
                word if KEYWORDS.contains(&word) => return Err(self.unexpected(token, "an operand")),
                word => GoOperandKind::Function(word.to_owned()),
            },
            GoTokenKind::Dot => GoOperandKind::Dot,
            GoTokenKind::Field => GoOperandKind::Field(vec![field_name(token)]),
            GoTokenKind::Variable if self.variables.iter().any(|name| name == token.text) => {
                GoOperandKind::Variable(token.text.to_owned(), Vec::new())
            }
            GoTokenKind::Variable => {
                return Err(self.error(token.at, &format!("the variable {} is not defined", token.text)));
            }
            GoTokenKind::Number => {
                GoOperandKind::Number(GoNumber::parse(token.text).ok_or_else(|| wrong("the number"))?)
            }
            GoTokenKind::Char => {
                let letter = quoted::unquote_char(token.text).ok_or_else(|| wrong("the character"))?;
                GoOperandKind::Number(GoNumber::of_char(letter))
            }
            GoTokenKind::Quoted => {
                GoOperandKind::Text(quoted::unquote(token.text).ok_or_else(|| wrong("an escape in"))?)
            }
            GoTokenKind::Raw => GoOperandKind::Text(raw(token.text)),
            GoTokenKind::Sign if token.text == "(" => {
                let pipeline =
                    self.deeper(token.at, |parser| parser.pipeline("parentheses", GoTokenKind::Sign))?;
                let end = self.tokens.get(self.next.saturating_sub(1)).map_or(token.at, |close| close.at + 1);
                return Ok(Some(GoOperand { at: token.at, end, kind: GoOperandKind::Pipeline(pipeline) }));
            }
            _ => {
                self.back();
                return Ok(None);
            }
        };
        Ok(Some(GoOperand { at: token.at, end: token.at + token.text.len(), kind }))
    }

    fn current(&self) -> GoToken<'s> {
        let end = GoToken { kind: GoTokenKind::End, text: "", at: self.source.len() };
        self.tokens.get(self.next).copied().unwrap_or(end)
    }

    fn take(&mut self) -> GoToken<'s> {
        let token = self.current();
        self.next += 1;
        token
    }

    fn back(&mut self) {
        self.next = self.next.saturating_sub(1);
    }

    fn skip_space(&mut self) {
        while self.current().kind == GoTokenKind::Space {
            self.next += 1;
        }
    }

    /// The next token that is no blank; it stays.
    fn peek(&mut self) -> GoToken<'s> {
        let start = self.next;
        self.skip_space();
        let token = self.current();
        self.next = start;
        token
    }

    fn take_visible(&mut self) -> GoToken<'s> {
        self.skip_space();
        self.take()
    }

    fn expect_right(&mut self, context: &str) -> Parsed<()> {
        let token = self.take_visible();
        if token.kind == GoTokenKind::Right { Ok(()) } else { Err(self.unexpected(token, context)) }
    }

    fn count(&mut self, at: usize) -> Parsed<()> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(self.error(at, &format!("the template has more than {MOST_NODES} parts")));
        }
        Ok(())
    }

    fn deeper<T>(&mut self, at: usize, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEPTH_LIMIT {
            return Err(
                self.error(at, &format!("blocks and parentheses are nested more than {DEPTH_LIMIT} deep"))
            );
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn unexpected(&self, token: GoToken<'_>, context: &str) -> CompileError {
        let what = match token.kind {
            GoTokenKind::End => "the end of the template".to_owned(),
            GoTokenKind::Space => "a blank".to_owned(),
            _ => format!("`{}`", token.text),
        };
        self.error(token.at, &format!("{what} cannot be in {}", shown_context(context)))
    }

    fn missing_end(&self, word: &str, at: usize) -> CompileError {
        self.error(at, &format!("`{word}` has no `end`"))
    }

    fn error(&self, at: usize, message: &str) -> CompileError {
        CompileError::at(Some(TemplatePlace::of(self.source, at)), message)
    }
}

fn field_name(token: GoToken<'_>) -> String {
    token.text.trim_start_matches('.').to_owned()
}

/// The bytes of a raw string.
fn raw(text: &str) -> Box<[u8]> {
    // As Go: without carriage returns.
    text.trim_matches('`').bytes().filter(|byte| *byte != b'\r').collect()
}

fn is_executable(kind: &GoOperandKind) -> bool {
    use GoOperandKind::{Bool, Dot, Nil, Number, Text};
    !matches!(kind, Bool(_) | Dot | Nil | Number(_) | Text(_))
}

fn is_empty(nodes: &[GoNode]) -> bool {
    nodes.iter().all(|node| matches!(node, GoNode::Text(text) if text.trim().is_empty()))
}

fn shown_context(context: &str) -> String {
    match context {
        "command" => "an action".to_owned(),
        "parentheses" | "an operand" => context.to_owned(),
        word => format!("`{word}`"),
    }
}

#[cfg(test)]
mod tests;
