//! What the fuzz targets reach of templates: a rendering with a time limit of its own, because the real one would make
//! every loop that runs away a slow unit. Exists under `cfg(fuzzing)` alone.

use std::time::Duration;

use super::{Context, RenderError, Template};
use crate::secret::SecretBytes;

/// As [`Template::render`], for at most `time`.
///
/// # Errors
/// Those of [`Template::render`].
pub fn render(
    template: &Template,
    context: &Context,
    limit: usize,
    time: Duration,
) -> Result<SecretBytes, RenderError> {
    template.render_in(context, limit, time)
}
