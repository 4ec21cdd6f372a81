//! Numbers as a Go template writes them.

/// A constant: a whole number, a fraction, or both (`1e3`).
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct GoNumber {
    /// Its value as `int`, where it has one.
    pub(crate) int: Option<i64>,
    /// Its value as `float64`.
    pub(crate) float: f64,
    /// Whether it is a `float64` where nothing asks for another type.
    pub(crate) is_float: bool,
}

impl GoNumber {
    /// Reads what the lexer took for a number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.trim_start_matches(['+', '-']);
        let is_hex = digits.starts_with("0x") || digits.starts_with("0X");
        if !has_good_separators(digits) {
            return None;
        }
        let looks_like_float = text.contains(['.', 'p', 'P']) || !is_hex && text.contains(['e', 'E']);
        if !looks_like_float {
            let int = whole(text)?;
            #[expect(clippy::cast_precision_loss, reason = "as Go: the nearest float64")]
            return Some(Self { int: Some(int), float: int as f64, is_float: false });
        }
        let float = if is_hex { hex_float(text)? } else { text.replace('_', "").parse::<f64>().ok()? };
        if !float.is_finite() {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the comparison takes only what fits")]
        let int = float as i64;
        #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "whether it is this whole number")]
        let is_whole = int as f64 == float;
        Some(Self { int: is_whole.then_some(int), float, is_float: true })
    }

    /// The number of a character constant.
    pub(super) fn of_char(letter: char) -> Self {
        let code = u32::from(letter);
        Self { int: Some(i64::from(code)), float: f64::from(code), is_float: false }
    }
}

/// `_` only between digits, or behind a prefix, and only where a number has a prefix, as in Go.
fn has_good_separators(digits: &str) -> bool {
    if !digits.contains('_') {
        return true;
    }
    let has_prefix = digits.starts_with('0') && digits.len() > 1;
    let is_decimal = !has_prefix && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let body = digits.strip_prefix('0').unwrap_or(digits).trim_start_matches(['x', 'X', 'o', 'O', 'b', 'B']);
    let is_separated = !digits.contains("__")
        && !digits.ends_with('_')
        && !digits.starts_with('_')
        && !body.contains("_.")
        && !body.contains("._");
    is_separated && (has_prefix || is_decimal || body.contains(['.', 'e', 'E']))
}

/// A whole number in the notations of Go: `10`, `0x1F`, `0b1`, `0o17`, `017`.
pub(super) fn whole(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let lower = digits.replace('_', "").to_ascii_lowercase();
    let (radix, body) = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((radix, lower.strip_prefix(prefix)?)))
        .unwrap_or(if lower.len() > 1 && lower.starts_with('0') { (8, &lower) } else { (10, &lower) });
    if body.is_empty() || body.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(body, radix).ok()?;
    i64::try_from(if is_negative { -value } else { value }).ok()
}

/// `0x1.8p3`.
fn hex_float(text: &str) -> Option<f64> {
    let text = text.replace('_', "").to_ascii_lowercase();
    let is_negative = text.starts_with('-');
    let (mantissa, exponent) = text.trim_start_matches(['+', '-']).strip_prefix("0x")?.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = u64::from_str_radix(&format!("{whole}{fraction}"), 16).ok()?;
    let scale =
        exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    #[expect(clippy::cast_precision_loss, reason = "as Go: the nearest float64")]
    let value = digits as f64 * 2_f64.powi(scale);
    Some(if is_negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_go() {
        for (text, int) in [
            ("1_000", 1000),
            ("0x1F", 31),
            ("0o17", 15),
            ("017", 15),
            ("0b101", 5),
            ("-3", -3),
            ("+4", 4),
            ("0", 0),
        ] {
            let number = GoNumber::parse(text).unwrap();
            assert_eq!((number.int, number.is_float), (Some(int), false), "{text}");
        }
        assert_eq!(
            GoNumber::parse("1e3").map(|number| (number.int, number.is_float)),
            Some((Some(1000), true))
        );
        assert_eq!(GoNumber::parse("1.5").map(|number| (number.int, number.float)), Some((None, 1.5)));
        assert_eq!(GoNumber::parse("0x1.8p1").map(|number| number.float), Some(3.0));
        for text in ["08", "1__0", "1_", "0x", "9223372036854775808", "1e999", "-", "0b2"] {
            assert_eq!(GoNumber::parse(text), None, "{text}");
        }
    }
}
