//! The tree of a YAML document, which remembers where each node stands and how each scalar was written.
//!
//! A deserialiser would be shorter, but it loses what the configuration needs: the raw text of `mode: 0600`, the
//! position of every value, the second of two equal keys. The tree is bounded in depth and in size, aliases expanded.

use std::fmt;

use zeroize::Zeroizing;

use super::diagnostic::Position;

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it starts.
    pub position: Position,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// A scalar, `null` included.
    Scalar(Scalar),
    /// A sequence.
    Sequence(Vec<Node>),
    /// A mapping in the order of the document, without equal keys, merge keys (`<<`) resolved.
    Mapping(Vec<MappingEntry>),
}

/// One entry of a mapping.
#[derive(Clone, Debug)]
pub struct MappingEntry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub position: Position,
    /// The value.
    pub node: Node,
}

/// A scalar: its text after escapes and folding, and its style. It may hold a secret: `Debug` is redacted and the text
/// is wiped on drop.
#[derive(Clone)]
pub struct Scalar {
    text: Zeroizing<String>,
    style: NodeStyle,
}

/// How a scalar was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeStyle {
    /// Without quotes: the text may also be read as null, boolean or number.
    Plain,
    /// In single or double quotes, or tagged `!!str`.
    Quoted,
    /// `|`; the node's position is that of the first line that is not blank.
    Literal,
    /// `>`.
    Folded,
    /// An expression of HCL 2, which YAML does not have: the text shows it, and is no value.
    Expression,
}

impl Node {
    /// The entries of a mapping.
    pub fn entries(&self) -> Option<&[MappingEntry]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of `key` in a mapping, unless it is null.
    pub(super) fn entry(&self, key: &str) -> Option<&Self> {
        let entry = self.entries()?.iter().find(|entry| entry.key == key)?;
        Some(&entry.node).filter(|node| !node.is_null())
    }

    /// The items of a sequence.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The scalar.
    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Whether this is `null`, `~` or nothing at all.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
    }

    /// The type's name as messages use it.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(scalar) if scalar.style() == NodeStyle::Expression => "an expression",
            Value::Scalar(_) => "a text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

impl Scalar {
    pub(crate) fn new(text: String, style: NodeStyle) -> Self {
        Self { text: Zeroizing::new(text), style }
    }

    /// The text exactly as written, after escapes and folding. It may be a secret.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How it was written.
    pub fn style(&self) -> NodeStyle {
        self.style
    }

    /// Whether YAML reads it as null.
    pub fn is_null(&self) -> bool {
        self.style == NodeStyle::Plain && matches!(self.text(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// What YAML 1.2 reads as a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.text() {
            "true" | "True" | "TRUE" if self.style == NodeStyle::Plain => Some(true),
            "false" | "False" | "FALSE" if self.style == NodeStyle::Plain => Some(false),
            _ => None,
        }
    }

    /// Whether this is a number that JSON could hold with the very same digits; `0600` and `0x1f` are texts.
    pub(crate) fn is_number(&self) -> bool {
        self.style == NodeStyle::Plain && is_json_number(self.text())
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scalar(redacted)")
    }
}

fn is_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let no_zero_in_front = whole == "0" || !whole.starts_with('0');
    digits(whole)
        && no_zero_in_front
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}
