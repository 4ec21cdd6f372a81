//! HTML being written. Markup is literals of this program; everything else is escaped, because there is no other way
//! in.

use std::time::SystemTime;

use crate::clock;
use crate::printable::one_line;

/// A document.
pub(super) struct Html(String);

impl Html {
    pub(super) fn new() -> Self {
        Self(String::with_capacity(8 * 1024))
    }

    /// Markup.
    pub(super) fn raw(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// Text or the value of an attribute in double quotes. What a browser would not show, or would turn the
    /// rest of the text around by, is escaped.
    pub(super) fn text(&mut self, text: &str) {
        for character in one_line(text).chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                _ => self.0.push(character),
            }
        }
    }

    /// Text in which what stands between backquotes, and the rule of a policy, is code.
    pub(super) fn prose(&mut self, text: &str) {
        for (index, part) in text.split('`').enumerate() {
            let rule = part
                .find("path \"")
                .and_then(|start| Some((start, start + part.get(start..)?.find('}')? + 1)));
            match rule {
                _ if index % 2 == 1 => self.code(part),
                Some((start, end)) => {
                    self.text(part.get(..start).unwrap_or_default());
                    self.code(part.get(start..end).unwrap_or_default());
                    self.text(part.get(end..).unwrap_or_default());
                }
                None => self.text(part),
            }
        }
    }

    fn code(&mut self, text: &str) {
        self.raw("<code>");
        self.text(text);
        self.raw("</code>");
    }

    /// A moment in words, with the exact one for programs and on hovering.
    pub(super) fn time(&mut self, at: SystemTime, words: &str) {
        let exact = clock::rfc3339(at);
        self.raw("<time datetime=\"");
        self.text(&exact);
        self.raw("\" title=\"");
        self.text(&exact);
        self.raw("\">");
        self.text(words);
        self.raw("</time>");
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}
