//! Text and bytes that nobody may print: no `Display`, no `Serialize`, a redacted `Debug`, wiped on drop.

use std::fmt;

use zeroize::Zeroizing;

/// A secret string: a field's value, a token, a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes over `text`; the buffer is wiped when the value is dropped.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Call it where the value leaves for its file, its header or its request, and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Length in bytes; a length is not a secret of this program (`plan` shows it).
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(redacted)")
    }
}

/// Secret bytes: the content of a file, the body of an answer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes over `bytes`; the buffer is wiped when the value is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves. Call it where the value leaves for its file or its parser, and nowhere else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<SecretText> for SecretBytes {
    fn from(mut text: SecretText) -> Self {
        Self::new(std::mem::take(&mut *text.0).into_bytes())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_value() {
        assert_eq!(format!("{:?}", SecretText::new("hunter2".into())), "SecretText(redacted)");
        assert_eq!(format!("{:#?}", SecretBytes::new(b"hunter2".to_vec())), "SecretBytes(redacted)");
    }

    #[test]
    fn text_becomes_bytes_without_a_change() {
        let bytes = SecretBytes::from(SecretText::new("pä$s".into()));
        assert_eq!(bytes.expose(), "pä$s".as_bytes());
    }
}
