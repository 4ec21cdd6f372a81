//! The signature of a request: HMAC-SHA-256 of its body, in the header that GitHub uses.

use std::path::Path;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};

use crate::regular_file;

/// The header.
pub(super) const HEADER: &str = "x-hub-signature-256";

/// Most bytes of a file of keys.
const MOST: usize = 64 << 10;

/// The header's value for `body`. The first line of the file at `keys` is the key; the others are those that a receiver
/// still accepts.
///
/// # Errors
/// The file cannot be read, or its first line is empty.
pub(super) fn signature(keys: &Path, body: &[u8]) -> Result<String, String> {
    let shown = keys.display();
    let content = regular_file::read(keys, MOST).map_err(|error| format!("cannot sign: {shown}: {error}"))?;
    let key = content.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    if key.is_empty() {
        return Err(format!("cannot sign: the first line of {shown} is empty"));
    }
    let tag = sign(&Key::new(HMAC_SHA256, key), body);
    let digits: Vec<String> = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256={}", digits.concat()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tempfile::NamedTempFile;

    use super::*;

    fn with_keys(keys: &str, body: &[u8]) -> Result<String, String> {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(keys.as_bytes()).unwrap();
        signature(file.path(), body)
    }

    #[test]
    fn the_first_line_signs_as_in_rfc_4231() {
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        for keys in ["Jefe", "Jefe\n", "Jefe\r\nolder\n"] {
            assert_eq!(with_keys(keys, b"what do ya want for nothing?").unwrap(), expected, "{keys:?}");
        }
    }

    #[test]
    fn without_a_key_nothing_is_signed() {
        for keys in ["", "\n", " \nkey"] {
            assert!(with_keys(keys, b"x").unwrap_err().contains("is empty"), "{keys:?}");
        }
        assert!(signature(Path::new("/nowhere/key"), b"x").unwrap_err().contains("/nowhere/key"));
    }
}
