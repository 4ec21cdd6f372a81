//! Whether a text is YAML at all: any number of documents, with tags and keys of any kind, and no tree of it.

use granit_parser::{ErrorKind, Parser};

use super::{MAX_DEPTH, position_of};
use crate::config::diagnostic::Position;

/// Where and why a text is not YAML. Holds nothing of the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyntaxMistake {
    /// Where it was noticed.
    pub position: Position,
    /// In the parser's words.
    pub cause: String,
}

/// Reads `text` to its end.
///
/// # Errors
/// The first mistake; a text nested deeper than 64 levels is one.
pub fn check_syntax(text: &str) -> Result<(), SyntaxMistake> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        event.map_err(|error| SyntaxMistake {
            position: position_of(error.marker()),
            cause: match error.kind() {
                // Their own words would quote a part of the text.
                ErrorKind::UnexpectedCharacter { .. } => {
                    "a text begins with a character that needs quotes".to_owned()
                }
                ErrorKind::Custom(_) | ErrorKind::InputDecoding { .. } => "not YAML".to_owned(),
                kind => kind.to_string(),
            },
        })?;
    }
    Ok(())
}
