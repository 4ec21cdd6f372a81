//! Templates: compiled when the configuration is loaded, strict, without environment, files, network, randomness or
//! time; and the document formats that need no template.
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

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::secret::{FieldValue, SecretBytes, SecretText};

pub use context::Context;
pub(crate) use error::field_list;
pub use error::{CompileError, RenderError, TemplatePlace};
pub use format::Format;
pub(crate) use limits::RENDER_TIME_LIMIT;
pub use limits::until;

use error::Translator;
use limits::BoundedOutput;
use strict::Strict;

/// One template. It cannot include another. Two of the same source are equal.
#[derive(Clone)]
pub struct Template(Arc<Compiled>);

struct Compiled {
    source: Box<str>,
    strict: Strict,
}

impl Template {
    /// Whether it only puts values into text: no statement, no filter, no call.
    pub(crate) fn is_plain(&self) -> bool {
        !self.0.source.contains("{%") && !self.0.source.contains(['|', '('])
    }

    /// Checks syntax, filters, tests and functions.
    ///
    /// # Errors
    /// With the place in `source` where the engine gives it, and the cause in one paragraph.
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        let strict = engine::compile(source)?;
        Ok(Self(Arc::new(Compiled { source: source.into(), strict })))
    }

    /// Renders into at most `limit` bytes. Blocks its thread for up to `RENDER_TIME_LIMIT`; `limits` names what can
    /// take longer.
    ///
    /// # Errors
    /// With the place in the template, and without a value of any field.
    pub fn render(&self, context: &Context, limit: usize) -> Result<SecretBytes, RenderError> {
        self.render_in(context, limit, RENDER_TIME_LIMIT)
    }

    fn render_in(&self, context: &Context, limit: usize, time: Duration) -> Result<SecretBytes, RenderError> {
        let Compiled { source, strict } = &*self.0;
        let mut output = BoundedOutput::new(limit);
        let render = || engine::engine().render_str_to(&strict.source, context.engine(), false, &mut output);
        let (result, refusal) = limits::metered(limit, time, render);
        match (result, refusal) {
            (Ok(()), None) => Ok(output.finish()),
            (Ok(()), Some(refusal)) => Err(error::too_much(&refusal)),
            (Err(_), _) if output.is_full() => Err(RenderError::TooLarge { limit }),
            (Err(error), refusal) => Err(Translator { source, strict, context }.translate(&error, refusal)),
        }
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
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
