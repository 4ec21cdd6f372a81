//! Filters that encode and decode. What cannot be decoded is an error, never a text about an error.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use tera::{TeraResult, Value};
use zeroize::Zeroizing;

use super::{Arguments, input_text, json, json_text, limits, missing, refuse};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The characters RFC 3986 calls unreserved stay as they are.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const UNRESERVED_AND_SLASH: &AsciiSet = &UNRESERVED.remove(b'/');

/// Reads base64 of the standard or the URL-safe alphabet; padding is optional, white space is ignored.
/// `None` for anything else: the decoder's words could quote the value.
pub(in crate::template) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let compact = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>();
    let compact = Zeroizing::new(compact);
    let is_url_safe = compact.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if is_url_safe { URL_SAFE } else { STANDARD };
    engine.decode(&*compact).ok()
}

pub(super) fn b64_encode(value: &Value, _: &Arguments) -> TeraResult<Value> {
    Ok(Value::from(general_purpose::STANDARD.encode(&*input_text(value)?)))
}

pub(super) fn b64_decode(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let bytes = decode_base64(input_text(value)?.as_bytes())
        .ok_or_else(|| arguments.wrong("got text that is not base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        arguments.wrong("decodes to bytes that are not text: write them with `field` and `decoding: base64`")
    })?;
    Ok(Value::from(text))
}

pub(super) fn json_encode(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    if value.is_undefined() {
        return Err(missing(value));
    }
    let text = json_text(value, arguments.flag("pretty")?)?;
    limits::text(text.len()).map_err(refuse)?;
    Ok(Value::from(text))
}

pub(super) fn json_decode(value: &Value, arguments: &Arguments) -> TeraResult<Value> {
    let text = input_text(value)?;
    json::parse(&text).ok_or_else(|| arguments.wrong("got text that is not JSON"))
}

pub(super) fn urlencode(value: &Value, _: &Arguments) -> TeraResult<Value> {
    Ok(Value::from(utf8_percent_encode(&input_text(value)?, UNRESERVED_AND_SLASH).to_string()))
}

pub(super) fn urlencode_strict(value: &Value, _: &Arguments) -> TeraResult<Value> {
    Ok(Value::from(utf8_percent_encode(&input_text(value)?, UNRESERVED).to_string()))
}

pub(super) fn sha256(value: &Value, _: &Arguments) -> TeraResult<Value> {
    let digest = Sha256::digest(input_text(value)?.as_bytes());
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    Ok(Value::from(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::decode_base64;

    #[test]
    fn reads_every_common_spelling_of_base64() {
        for spelling in ["+/8=", "+/8", "-_8=", "-_8", " +/\n8=\r\n"] {
            assert_eq!(decode_base64(spelling.as_bytes()).as_deref(), Some(&[0xfb, 0xff][..]), "{spelling}");
        }
        assert_eq!(decode_base64(b"").as_deref(), Some(&[][..]));
    }

    #[test]
    fn refuses_what_is_not_base64() {
        for wrong in ["+_8=", "a", "ab=c", "äöü", "{{", "aGk=aGk=", "aGl="] {
            assert_eq!(decode_base64(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
