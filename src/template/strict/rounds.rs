//! The bodies of a template that may run many times, and what is inserted at the beginning of each.

use super::ROUND;
use crate::template::lexer::{CodeToken, TokenKind};

/// The beginning of a loop's or a component's body.
pub(super) struct Round {
    /// Right after its tag.
    pub(super) at: usize,
    /// Whether the tag removes the blanks after it.
    trims: bool,
    /// Bytes of text that one round writes, inner loops apart.
    text: usize,
}

impl Round {
    pub(super) fn call(&self) -> String {
        let end = if self.trims { "-%}" } else { "%}" };
        format!("{{% if {ROUND}(text={}) %}}{{% endif {end}", self.text)
    }
}

/// Finds the bodies that may run many times.
#[derive(Default)]
pub(super) struct Rounds {
    pub(super) found: Vec<Round>,
    /// Indices of those that are still open.
    open: Vec<usize>,
    /// The end of the last tag.
    end: usize,
}

impl Rounds {
    pub(super) fn block(
        &mut self,
        start: &CodeToken<'_>,
        first: Option<&CodeToken<'_>>,
        end: &CodeToken<'_>,
    ) {
        let text = start.at.saturating_sub(self.end);
        if let Some(round) = self.open.last().and_then(|innermost| self.found.get_mut(*innermost)) {
            round.text += text;
        }
        self.end = end.end();
        match first.filter(|_| start.kind == TokenKind::TagStart).map(|first| first.text) {
            Some("for" | "component") => {
                self.open.push(self.found.len());
                self.found.push(Round { at: end.end(), trims: end.text.starts_with('-'), text: 0 });
            }
            Some("endfor" | "endcomponent") => drop(self.open.pop()),
            _ => {}
        }
    }
}
