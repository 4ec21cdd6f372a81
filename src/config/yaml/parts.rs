//! Where the parts of a text stand, up to the first place where it is no YAML: for showing lines of it.

use granit_parser::{Event, Parser};

use super::position_of;
use crate::config::diagnostic::Position;

/// One part of a text, from its first letter to the one behind its last.
pub(in crate::config) struct Part {
    pub(in crate::config) kind: PartKind,
    pub(in crate::config) start: Position,
    pub(in crate::config) end: Position,
}

/// What a part is.
pub(in crate::config) enum PartKind {
    Mapping,
    Sequence,
    /// The end of the collection that began last.
    End,
    /// A scalar with its text. It may be a secret.
    Scalar(String),
    Alias,
}

/// The parts in their order. Depth and size are bounded by the reading that went before.
pub(in crate::config) fn parts(text: &str) -> impl Iterator<Item = Part> {
    let options = granit_parser::options! { emit_comments: false };
    let events = Parser::new_from_str_with_options(text, options).map_while(Result::ok);
    events.filter_map(|(event, span)| {
        let kind = match event {
            Event::MappingStart(..) => PartKind::Mapping,
            Event::SequenceStart(..) => PartKind::Sequence,
            Event::MappingEnd | Event::SequenceEnd => PartKind::End,
            Event::Scalar(text, ..) => PartKind::Scalar(text.into_owned()),
            Event::Alias(..) => PartKind::Alias,
            _ => return None,
        };
        Some(Part { kind, start: position_of(&span.start), end: position_of(&span.end) })
    })
}
