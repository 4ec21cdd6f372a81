//! File modes that may hold a secret.

use std::fmt;

/// Permission bits of a file or directory: no other-writable, setuid, setgid or sticky bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileMode(u32);

/// Why a mode is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ModeError(String);

impl FileMode {
    /// `0600`, the default of files.
    pub const PRIVATE: Self = Self(0o600);
    /// `0750`, the default of directories.
    pub const DIRECTORY: Self = Self(0o750);

    /// Reads octal digits with or without `0` or `0o` in front.
    ///
    /// # Errors
    /// The text is not octal, or the mode is one that is refused. The text itself is not repeated: it may come from
    /// the environment.
    pub fn parse(text: &str) -> Result<Self, ModeError> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|digit| matches!(digit, b'0'..=b'7')) {
            return refuse("is not an octal mode; write up to four digits from 0 to 7, as in \"0640\"");
        }
        match u32::from_str_radix(digits, 8) {
            Ok(bits) if bits > 0o7777 => refuse("is larger than 0777"),
            Ok(bits) if bits & 0o7000 != 0 => refuse(
                "has a setuid, setgid or sticky bit, which a secret has no use for; the largest mode is 0775",
            ),
            Ok(bits) if bits & 0o002 != 0 => {
                refuse("lets every user write; take the 2 out of the last digit, as in \"0664\"")
            }
            Ok(bits) => Ok(Self(bits)),
            Err(_) => refuse("is larger than 0777"),
        }
    }

    /// The permission bits.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

fn refuse(reason: &str) -> Result<FileMode, ModeError> {
    Err(ModeError(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_octal_with_and_without_a_prefix() {
        for text in ["644", "0644", "0o644", "00644"] {
            assert_eq!(FileMode::parse(text).unwrap().bits(), 0o644, "{text}");
        }
        assert_eq!(FileMode::parse("0").unwrap().bits(), 0);
        assert_eq!(FileMode::parse("0775").unwrap().to_string(), "0775");
    }

    #[test]
    fn each_refusal_has_its_own_reason() {
        for (text, reason) in [
            ("0666", "every user write"),
            ("0002", "every user write"),
            ("4755", "setuid"),
            ("2755", "setgid"),
            ("1777", "sticky"),
            ("10644", "larger"),
            ("7777777777777777", "larger"),
            ("0888", "not an octal"),
            ("rw-r--r--", "not an octal"),
            ("+644", "not an octal"),
            (" 644", "not an octal"),
            ("0x1a4", "not an octal"),
            ("", "not an octal"),
            ("0o", "not an octal"),
        ] {
            let error = FileMode::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_never_admits_a_dangerous_bit(text in "[0-9oO+ x]{0,8}|.{0,8}") {
            if let Ok(mode) = FileMode::parse(&text) {
                prop_assert_eq!(mode.bits() & !0o775, 0);
                prop_assert_eq!(FileMode::parse(&mode.to_string()).unwrap(), mode);
            }
        }
    }
}
