//! Sizes in bytes: `1MiB`, `64kB`, `512`.

const UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
    ("", 1),
];

/// Why a text is no size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SizeError {
    /// It does not begin with a whole number.
    #[error("it is not a whole number with a unit")]
    Malformed,
    /// White space.
    #[error("it holds a space; write the number and its unit together")]
    Space,
    /// Not one of the units.
    #[error("the units are B, kB, MB, GB, KiB, MiB and GiB")]
    UnknownUnit,
    /// More than the machine can address.
    #[error("it is too large")]
    Overflow,
}

/// Reads a whole number of bytes, or of a unit.
///
/// # Errors
/// A fraction, a negative number, an unknown unit, or more than `usize` holds.
pub fn parse(text: &str) -> Result<usize, SizeError> {
    if text.contains(char::is_whitespace) {
        return Err(SizeError::Space);
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() || unit.starts_with(['.', ',']) {
        return Err(SizeError::Malformed);
    }
    let (_, unit) = UNITS.iter().find(|(known, _)| *known == unit).ok_or(SizeError::UnknownUnit)?;
    let number: u64 = number.parse().map_err(|_| SizeError::Overflow)?;
    let bytes = number.checked_mul(*unit).ok_or(SizeError::Overflow)?;
    usize::try_from(bytes).map_err(|_| SizeError::Overflow)
}

/// The text with the largest unit that keeps the number whole.
pub fn format(bytes: usize) -> String {
    let bytes = bytes as u64;
    let unit = UNITS.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    let (name, unit) = unit.unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_bytes_and_units() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("512B", 512), ("1MiB", 1 << 20), ("10kB", 10_000), ("2GiB", 2 << 30)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        for (text, error) in [
            ("", SizeError::Malformed),
            ("-1", SizeError::Malformed),
            ("1.5MiB", SizeError::Malformed),
            ("1Mi", SizeError::UnknownUnit),
            ("1 MiB", SizeError::Space),
            ("99999999999999999999", SizeError::Overflow),
            ("99999999999GiB", SizeError::Overflow),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_reads_as_it_was(bytes in any::<usize>(), shift in 0..40_u32) {
            let bytes = bytes.unbounded_shl(shift);
            prop_assert_eq!(parse(&format(bytes)), Ok(bytes));
        }

        #[test]
        fn takes_no_text_without_a_number(text in ".*", digits in "[0-9]{0,30}[kKMGiB]{0,3}") {
            for text in [text, digits] {
                prop_assert!(parse(&text).is_err() || text.starts_with(|c: char| c.is_ascii_digit()), "{text}");
            }
        }
    }
}
