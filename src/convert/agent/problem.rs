//! What is in the way of a template.

/// Something that cannot be converted, or changes.
#[derive(Debug)]
pub(super) struct TextProblem {
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) is_warning: bool,
}
