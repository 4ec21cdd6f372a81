//! Templates: compiled when the configuration is loaded, strict, without environment, files, network, randomness or
//! time; and the document formats that need no template. Three engines: Tera, and Go's in two dialects.
//!
//! A [`Template`] keeps its source and the stricter one that `strict` made of it; the engine parses that again at
//! each rendering. Measured with a thousand small templates: 1.3 kB each and 16 µs a rendering, where an engine per
//! template takes 12 kB and 3 µs. A secret renders once in minutes; memory is held all the time.

mod context;
mod engine;
mod error;
mod filters;
mod format;
#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "../fuzz/hooks/template.rs"]
pub mod fuzzing;
pub(crate) mod go;
mod json;
mod lexer;
mod limits;
mod nesting;
mod paths;
mod strict;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::secret::{AnswerQuery, FieldValue, SecretBytes, SecretText};

pub use context::Context;
pub(crate) use error::field_list;
pub use error::{CompileError, RenderError, TemplatePlace};
pub use format::Format;
pub(crate) use limits::RENDER_TIME_LIMIT;
pub use limits::until;

use error::Translator;
use go::lexer::Delimiters;
use go::{GoData, GoDialect, GoTemplate};
use limits::BoundedOutput;
use strict::Strict;

/// Which language a template is written in.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum TemplateEngine {
    /// Tera.
    #[default]
    Tera,
    /// Go, with the functions of External Secrets.
    Go,
    /// Go, with the functions of Vault Agent and consul-template.
    ConsulTemplate,
}

impl TemplateEngine {
    /// As the configuration has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tera => "tera",
            Self::Go => GoDialect::Go.name(),
            Self::ConsulTemplate => GoDialect::ConsulTemplate.name(),
        }
    }
}

/// Which of the two Go engines `source` is for: a text that calls `secret` or `pkiCert` is the Agent's.
pub(crate) fn go_engine(source: &str, delimiters: Option<&(String, String)>) -> TemplateEngine {
    let delimiters =
        delimiters.cloned().map_or_else(Delimiters::default, |(left, right)| Delimiters { left, right });
    match go::dialect_of(source, &delimiters) {
        GoDialect::Go => TemplateEngine::Go,
        GoDialect::ConsulTemplate => TemplateEngine::ConsulTemplate,
    }
}

/// How a template is read, and what it has beside the fields.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Dialect {
    /// The language.
    pub engine: TemplateEngine,
    /// What opens and closes an action of a Go template, where that is not `{{` and `}}`.
    pub delimiters: Option<(String, String)>,
    /// `template.vars`: constants of the configuration.
    pub vars: Arc<BTreeMap<String, String>>,
}

/// One template. It cannot include another. Two of the same source are equal.
#[derive(Clone)]
pub struct Template(Arc<Compiled>);

struct Compiled {
    source: Box<str>,
    dialect: Dialect,
    program: Program,
}

enum Program {
    Tera(Strict),
    Go(Box<GoTemplate>),
}

impl Template {
    /// Whether it only puts values into text: no statement, no filter, no call.
    pub(crate) fn is_plain(&self) -> bool {
        match &self.0.program {
            Program::Tera(_) => !self.0.source.contains("{%") && !self.0.source.contains(['|', '(']),
            Program::Go(template) => template.is_plain(),
        }
    }

    /// Compiles a Tera template.
    ///
    /// # Errors
    /// Those of [`Template::compile_as`].
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        Self::compile_as(source, Dialect::default())
    }

    /// Checks syntax, filters, tests and functions.
    ///
    /// # Errors
    /// With the place in `source` where the engine gives it, and the cause in one paragraph.
    pub fn compile_as(source: &str, dialect: Dialect) -> Result<Self, CompileError> {
        let go = |of| {
            let delimiters = dialect.delimiters.clone();
            let delimiters =
                delimiters.map_or_else(Delimiters::default, |(left, right)| Delimiters { left, right });
            GoTemplate::compile(source, of, &delimiters).map(|template| Program::Go(Box::new(template)))
        };
        let program = match dialect.engine {
            TemplateEngine::Tera => Program::Tera(engine::compile(source)?),
            TemplateEngine::Go => go(GoDialect::Go)?,
            TemplateEngine::ConsulTemplate => go(GoDialect::ConsulTemplate)?,
        };
        Ok(Self(Arc::new(Compiled { source: source.into(), dialect, program })))
    }

    /// Whether it calls `secret` or `pkiCert`.
    pub(crate) fn looks_up(&self) -> bool {
        matches!(&self.0.program, Program::Go(template) if template.looks_up)
    }

    /// What `secret` and `pkiCert` of a Go template look up, where the path is literal.
    pub(crate) fn queries(&self) -> &[(AnswerQuery, TemplatePlace)] {
        match &self.0.program {
            Program::Tera(_) => &[],
            Program::Go(template) => &template.queries,
        }
    }

    /// Renders into at most `limit` bytes. Blocks its thread for up to `RENDER_TIME_LIMIT`; `limits` names what can
    /// take longer.
    ///
    /// # Errors
    /// With the place in the template, and without a value of any field.
    pub fn render(&self, context: &Context<'_>, limit: usize) -> Result<SecretBytes, RenderError> {
        self.render_in(context, limit, RENDER_TIME_LIMIT)
    }

    fn render_in(
        &self,
        context: &Context<'_>,
        limit: usize,
        time: Duration,
    ) -> Result<SecretBytes, RenderError> {
        let Compiled { source, dialect, program } = &*self.0;
        match program {
            Program::Tera(strict) => render_tera(source, strict, dialect, context, limit, time),
            Program::Go(template) => render_go(source, template, dialect, context, limit, time),
        }
    }
}

fn render_tera(
    source: &str,
    strict: &Strict,
    dialect: &Dialect,
    context: &Context<'_>,
    limit: usize,
    time: Duration,
) -> Result<SecretBytes, RenderError> {
    let mut output = BoundedOutput::new(limit);
    let with_vars = (!dialect.vars.is_empty()).then(|| context.engine_with(&dialect.vars));
    let values = with_vars.as_ref().unwrap_or_else(|| context.engine());
    let render = || engine::engine().render_str_to(&strict.source, values, false, &mut output);
    let (result, refusal) = limits::metered(limit, time, render);
    match (result, refusal) {
        (Ok(()), None) => Ok(output.finish()),
        (Ok(()), Some(refusal)) => Err(error::too_much(&refusal)),
        (Err(_), _) if output.is_full() => Err(RenderError::TooLarge { limit }),
        (Err(error), refusal) => Err(Translator { source, strict, context }.translate(&error, refusal)),
    }
}

fn render_go(
    source: &str,
    template: &GoTemplate,
    dialect: &Dialect,
    context: &Context<'_>,
    limit: usize,
    time: Duration,
) -> Result<SecretBytes, RenderError> {
    let mut output = BoundedOutput::new(limit);
    let data = GoData { fields: context.fields(), answers: context.answers(), vars: &dialect.vars };
    let (result, refusal) = limits::metered(limit, time, || template.render(source, &data, &mut output));
    match (result, refusal) {
        (Ok(()), None) => Ok(output.finish()),
        (Ok(()), Some(refusal)) => Err(error::too_much(&refusal)),
        (Err(error), _) => Err(error),
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source && self.0.dialect == other.0.dialect
    }
}

impl Eq for Template {}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.0.source).finish()
    }
}

/// A field as the text a file gets: strings as they are, numbers with the store's digits, objects and lists as JSON
/// without blanks, sorted by name.
///
/// # Errors
/// `null` has no text.
pub fn field_text(value: &FieldValue) -> Result<SecretText, RenderError> {
    format::field_text(value).map(SecretText::new)
}

/// Reads base64 of the standard or the URL-safe alphabet; padding is optional, white space is ignored.
///
/// # Errors
/// The text is anything else.
pub(crate) fn decode_base64(text: &SecretBytes) -> Result<SecretBytes, RenderError> {
    // EXPOSE: decoded into bytes that are as secret
    let bytes = filters::decode_base64(text.expose());
    bytes.map(SecretBytes::new).ok_or(RenderError::Value("the content is not base64"))
}

#[cfg(test)]
mod tests;
