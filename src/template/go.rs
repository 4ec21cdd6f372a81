//! Go's `text/template`: a lexer, a parser and an interpreter over our own values.
//!
//! Two dialects share them. They differ in their functions, and in what a field is: External Secrets has texts alone.

pub(crate) mod analysis;
mod compare;
mod dialect;
mod eval;
mod exec;
mod float;
mod functions;
mod json;
pub(crate) mod lexer;
mod machine;
mod number;
pub(crate) mod parser;
mod print;
mod quoted;
mod quoting;
pub(crate) mod tree;
mod value;
mod yaml;
mod yaml_reader;

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::error::{self, CompileError, RenderError, TemplatePlace};
use super::limits::BoundedOutput;
use crate::secret::{AnswerQuery, Answers, Fields};
use analysis::{GoCall, GoUses};
pub(crate) use dialect::GoDialect;
use functions::GoScope;
use lexer::Delimiters;
use machine::GoFailure;
use tree::{GoNode, GoOperand, GoOperandKind, GoTree};
use value::{GoFault, GoValue, MapRole};

/// A Go template that compiles.
pub(super) struct GoTemplate {
    pub(super) dialect: GoDialect,
    pub(super) tree: GoTree,
    /// Whether it calls `secret` or `pkiCert`.
    pub(super) looks_up: bool,
    /// What `secret` and `pkiCert` ask for by a literal path, with the place.
    pub(super) queries: Vec<(AnswerQuery, TemplatePlace)>,
}

impl GoTemplate {
    /// Parses `source` and checks its functions.
    pub(super) fn compile(
        source: &str,
        dialect: GoDialect,
        delimiters: &Delimiters,
    ) -> Result<Self, CompileError> {
        let tree = parser::parse(source, delimiters)?;
        let uses = GoUses::of(&tree);
        for call in &uses.calls {
            check_call(source, dialect, call)?;
        }
        let reads = uses.calls.iter().filter(|call| matches!(&*call.name, "secret" | "pkiCert"));
        let looks_up = reads.clone().next().is_some();
        let mut queries = Vec::new();
        for call in reads {
            let place = TemplatePlace::of(source, call.at);
            match query(call) {
                Some(Ok(query)) => queries.push((query, place)),
                Some(Err(message)) => return Err(CompileError::at(Some(place), message)),
                None => {}
            }
        }
        Ok(Self { dialect, tree, looks_up, queries })
    }

    /// Whether it only puts fields into text.
    pub(super) fn is_plain(&self) -> bool {
        let is_field = |operand: &GoOperand| matches!(operand.kind, GoOperandKind::Field(_));
        let is_simple = |node: &GoNode| match node {
            GoNode::Text(_) => true,
            GoNode::Action(pipeline) => {
                pipeline.commands.iter().all(|command| command.operands.iter().all(is_field))
            }
            _ => false,
        };
        self.tree.body.iter().all(is_simple)
    }

    /// Renders into `output`.
    pub(super) fn render(
        &self,
        source: &str,
        data: &GoData<'_>,
        output: &mut BoundedOutput,
    ) -> Result<(), RenderError> {
        let limit = output.limit();
        let scope = GoScope {
            dialect: self.dialect,
            answers: data.answers,
            vars: data.vars,
            looked_up: RefCell::new(BTreeMap::new()),
        };
        // Where the Agent's templates have no fields, their dot is nil.
        let has_root = self.dialect == GoDialect::Go || !data.fields.is_empty();
        let root = if has_root {
            value::of_fields(data.fields, scope.style(), MapRole::Fields)
        } else {
            Ok(GoValue::Nil)
        };
        let result = match root {
            Ok(root) => exec::execute(&self.tree, source, scope, &root, output),
            Err(GoFault::Refused(refusal)) => Err(GoFailure::Refused(refusal)),
            Err(GoFault::Cause(cause)) => Err(GoFailure::Mistake { at: 0, cause }),
        };
        result.map_err(|failure| match failure {
            GoFailure::Mistake { at, cause } => {
                RenderError::Failed { place: TemplatePlace::of(source, at), cause }
            }
            GoFailure::Refused(refusal) => error::too_much(&refusal),
            GoFailure::Full => RenderError::TooLarge { limit },
        })
    }
}

/// The dialect that `source` seems to be written for.
pub(super) fn dialect_of(source: &str, delimiters: &Delimiters) -> GoDialect {
    let calls = parser::parse(source, delimiters).map(|tree| GoUses::of(&tree).calls).unwrap_or_default();
    if calls.iter().any(|call| matches!(&*call.name, "secret" | "pkiCert")) {
        GoDialect::ConsulTemplate
    } else {
        GoDialect::Go
    }
}

/// What a Go template works on.
pub(super) struct GoData<'d> {
    pub(super) fields: &'d Fields,
    pub(super) answers: &'d Answers,
    pub(super) vars: &'d BTreeMap<String, String>,
}

/// What a call of `secret` asks for; nothing where its path is not literal.
fn query(call: &GoCall) -> Option<Result<AnswerQuery, String>> {
    let (path, arguments) = call.arguments.split_first()?;
    let path = path.as_ref()?;
    let known: Option<Vec<_>> = arguments.iter().map(Option::as_deref).collect();
    Some(match known {
        None => Ok(AnswerQuery::with_any_arguments(path)),
        Some(arguments) => AnswerQuery::new(path, arguments)
            .ok_or_else(|| format!("`{}`: {}", call.name, functions::NAME_AND_VALUE)),
    })
}

/// Refuses a function that is not there, with the nearest one that is.
fn check_call(source: &str, dialect: GoDialect, call: &GoCall) -> Result<(), CompileError> {
    if functions::find(dialect, &call.name).is_some() {
        return Ok(());
    }
    let name = &call.name;
    let message = if let Some(reason) = functions::reason(dialect, name) {
        format!("the function `{name}` is refused: {reason}")
    } else {
        format!("there is no function `{name}` for `engine: {}`{}", dialect.name(), nearest(dialect, name))
    };
    Err(CompileError::at(Some(TemplatePlace::of(source, call.at)), message))
}

/// What a name that is not there may have meant.
fn nearest(dialect: GoDialect, name: &str) -> String {
    let distance = |known: &str| strsim::osa_distance(&known.to_lowercase(), &name.to_lowercase());
    let near = functions::names(dialect)
        .map(|known| (distance(known), known))
        .filter(|(distance, known)| *distance <= 2 && *distance < known.len())
        .min();
    let other = dialect.other();
    if dialect == GoDialect::ConsulTemplate && functions::find(dialect, &format!("sprig_{name}")).is_some() {
        format!("; the Agent calls it `sprig_{name}`")
    } else if let Some((_, known)) = near {
        format!("; did you mean `{known}`?")
    } else if functions::find(other, name).is_some() {
        format!("; `engine: {}` has it", other.name())
    } else {
        String::new()
    }
}
