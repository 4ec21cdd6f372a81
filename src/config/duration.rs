//! Durations as Go writes them (`1h30m`, `1.5s`, `250ms`), and days and weeks.

use std::fmt::Write as _;
use std::time::Duration;

/// Unit and its nanoseconds, longest first: the order in which [`format()`] takes them.
const UNITS: [(&str, u64); 9] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// Why a text is no duration. Holds nothing of the text but its number and a unit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DurationError {
    /// No text.
    #[error("it is empty")]
    Empty,
    /// A minus sign.
    #[error("it is negative")]
    Negative,
    /// A number without a unit.
    #[error("a unit is missing; for seconds write \"{0}s\"")]
    NoUnit(String),
    /// White space.
    #[error("it holds a space; write the number and its unit together")]
    Space,
    /// Not one of the units.
    #[error("the units are ns, us, ms, s, m, h, d and w")]
    UnknownUnit,
    /// Neither number nor unit.
    #[error("it is not made of numbers and units")]
    Malformed,
    /// More than 584 years.
    #[error("it is too long")]
    Overflow,
}

/// Reads `0`, or numbers with units that are added up.
///
/// # Errors
/// Anything else: a negative one, a number without unit, an unknown unit, more nanoseconds than 64 bits hold.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(Duration::ZERO),
        _ if text.starts_with('-') => return Err(DurationError::Negative),
        _ if text.contains(char::is_whitespace) => return Err(DurationError::Space),
        _ => {}
    }
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (nanoseconds, behind) = term(rest, text)?;
        total = total.checked_add(nanoseconds).ok_or(DurationError::Overflow)?;
        rest = behind;
    }
    Ok(Duration::from_nanos(total))
}

/// The shortest text that [`parse`] reads as `duration`; what is longer than 584 years is cut to that.
pub fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, unit) in UNITS {
        // Writing to a String cannot fail. Weeks are not written: "7d" is read more easily.
        if name != "w" && rest >= unit && write!(text, "{}{name}", rest / unit).is_ok() {
            rest %= unit;
        }
    }
    if text.is_empty() { "0".to_owned() } else { text }
}

/// The first number with its unit, in nanoseconds, and what follows.
fn term<'t>(rest: &'t str, whole_text: &str) -> Result<(u64, &'t str), DurationError> {
    let (number, rest) = split(rest, |c| c.is_ascii_digit() || c == '.');
    if number.is_empty() {
        return Err(DurationError::Malformed);
    }
    let (name, rest) = split(rest, |c| !c.is_ascii_digit() && c != '.');
    if name.is_empty() {
        let alone = number.len() == whole_text.len();
        return Err(if alone { DurationError::NoUnit(number.to_owned()) } else { DurationError::Malformed });
    }
    // U+03BC is the Greek letter, U+00B5 the micro sign; keyboards have either.
    let name = if name == "\u{3bc}s" { "us" } else { name };
    let unit = UNITS.iter().find(|(known, _)| *known == name).ok_or(DurationError::UnknownUnit)?.1;
    Ok((nanoseconds(number, unit)?, rest))
}

fn nanoseconds(number: &str, unit: u64) -> Result<u64, DurationError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return Err(DurationError::Malformed);
    }
    let whole =
        if whole.is_empty() { 0 } else { whole.parse::<u64>().map_err(|_| DurationError::Overflow)? };
    let mut total = whole.checked_mul(unit).ok_or(DurationError::Overflow)?;
    // Digit by digit, because 0.1 has no binary fraction; what is below a nanosecond is cut, as Go does.
    let (mut place, mut parts) = (u128::from(unit), 0_u128);
    let mut scale = 1_u128;
    for digit in fraction.bytes().take(18) {
        scale *= 10;
        parts = parts * 10 + u128::from(digit - b'0');
    }
    place = place * parts / scale;
    total = total.checked_add(u64::try_from(place).unwrap_or(u64::MAX)).ok_or(DurationError::Overflow)?;
    Ok(total)
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_go_reads_and_days_and_weeks() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1000),
            ("2000us", 2),
            ("2000µs", 2),
            ("2000\u{3bc}s", 2),
            ("3000000ns", 3),
            ("1d", 86_400_000),
            ("1w1d", 8 * 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(parse("0.1s"), Ok(Duration::from_millis(100)));
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for (text, error) in [
            ("", DurationError::Empty),
            ("-1s", DurationError::Negative),
            ("30", DurationError::NoUnit("30".into())),
            ("30.5", DurationError::NoUnit("30.5".into())),
            ("1y", DurationError::UnknownUnit),
            ("1 h", DurationError::Space),
            ("1h30", DurationError::Malformed),
            ("soon", DurationError::Malformed),
            ("1.2.3s", DurationError::Malformed),
            (".s", DurationError::Malformed),
            ("600000h9999999h", DurationError::Overflow),
            ("99999999999999999999999s", DurationError::Overflow),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn formats_for_people() {
        assert_eq!(format(Duration::from_secs(5400)), "1h30m");
        assert_eq!(format(Duration::from_millis(100)), "100ms");
        assert_eq!(format(Duration::from_secs(14 * 86_400)), "14d");
        assert_eq!(format(Duration::ZERO), "0");
    }

    proptest! {
        #[test]
        fn what_is_formatted_reads_as_it_was(nanoseconds in any::<u64>()) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn takes_no_text_without_a_number(text in ".*", digits in "[0-9.]{0,40}(ns|µs|ms|s|m|h|d|w)") {
            for text in [text, digits] {
                prop_assert!(parse(&text).is_err() || text.contains(|c: char| c.is_ascii_digit()), "{text}");
            }
        }
    }
}
