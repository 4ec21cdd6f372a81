//! Where parts of the configuration come from.

use super::object::Object;
use crate::config::diagnostic::Position;

/// The place in the input that became an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    pub(super) file: String,
    /// What reports call it; empty for the whole file.
    pub(super) title: String,
    pub(super) position: Position,
}

impl Origin {
    pub(super) fn of(object: &Object<'_>, title: String) -> Self {
        Self { file: object.file.to_owned(), title, position: object.position() }
    }

    /// The same for a comment in the configuration.
    pub(super) fn comment(&self) -> String {
        let Self { file, title, position } = self;
        if title.is_empty() { file.clone() } else { format!("{title} ({file}, line {})", position.line) }
    }
}
