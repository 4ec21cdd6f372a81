//! Go's quoted strings and characters, read.

/// The bytes of a `"…"` string, quotes included; nothing when an escape is wrong.
pub(super) fn unquote(text: &str) -> Option<Box<[u8]>> {
    let mut rest = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        rest = match unit(rest, '"')? {
            (Unit::Letter(letter), rest) => {
                bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                rest
            }
            (Unit::Byte(byte), rest) => {
                bytes.push(byte);
                rest
            }
        };
    }
    Some(bytes.into())
}

/// The character of a `'…'` constant.
pub(super) fn unquote_char(text: &str) -> Option<char> {
    let rest = text.strip_prefix('\'')?.strip_suffix('\'')?;
    match unit(rest, '\'')? {
        (Unit::Letter(letter), "") => Some(letter),
        (Unit::Byte(byte), "") => Some(char::from(byte)),
        _ => None,
    }
}

enum Unit {
    Letter(char),
    Byte(u8),
}

/// The first character or escape of `text`, and what follows.
fn unit(text: &str, quote: char) -> Option<(Unit, &str)> {
    let mut letters = text.chars();
    let first = letters.next()?;
    if first == quote || first == '\n' {
        return None;
    }
    if first != '\\' {
        return Some((Unit::Letter(first), letters.as_str()));
    }
    let kind = letters.next()?;
    let rest = letters.as_str();
    let simple = |letter| Some((Unit::Letter(letter), rest));
    match kind {
        'a' => simple('\u{7}'),
        'b' => simple('\u{8}'),
        'f' => simple('\u{c}'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\u{b}'),
        '\\' => simple('\\'),
        '\'' | '"' if kind == quote => simple(kind),
        'x' => {
            let (value, rest) = digits(rest, 2, 16)?;
            Some((Unit::Byte(u8::try_from(value).ok()?), rest))
        }
        'u' | 'U' => {
            let (value, rest) = digits(rest, if kind == 'u' { 4 } else { 8 }, 16)?;
            Some((Unit::Letter(char::from_u32(value)?), rest))
        }
        '0'..='7' => {
            let (value, rest) = digits(text.get(1..)?, 3, 8)?;
            Some((Unit::Byte(u8::try_from(value).ok()?), rest))
        }
        _ => None,
    }
}

fn digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let digits = text.get(..count).filter(|digits| digits.chars().all(|digit| digit.is_digit(radix)))?;
    Some((u32::from_str_radix(digits, radix).ok()?, text.get(count..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_go() {
        let bytes = unquote(r#""a\n\x41\101é\u00e9\"\xff""#).unwrap();
        assert_eq!(&*bytes, b"a\nAA\xc3\xa9\xc3\xa9\"\xff");
        for wrong in [r#""\z""#, r#""\'""#, r#""\x4""#, r#""\ud800""#, r#""\400""#, r#""a"b""#] {
            assert!(unquote(wrong).is_none(), "{wrong}");
        }
        assert_eq!(unquote_char(r"'\''"), Some('\''));
        assert_eq!(unquote_char("'ab'"), None);
    }
}
