//! `decodingStrategy` and `nullBytePolicy`: what becomes of a value after it was chosen.

use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::{Mistake, plain_text};
use crate::config::sources::{SourceUse, ValueDecoding};
use crate::secret::{FieldValue, SecretBytes, SecretText};

/// `value` as the part says it is read.
pub(super) fn decode(part: &SourceUse, value: FieldValue) -> Result<FieldValue, Mistake> {
    let decoded = match part.decoding {
        ValueDecoding::None => value,
        ValueDecoding::Base64 => required(&value, &STANDARD)?,
        ValueDecoding::Base64Url => required(&value, &URL_SAFE)?,
        ValueDecoding::Auto => {
            let standard = decoded(&value, &STANDARD).or_else(|| decoded(&value, &URL_SAFE));
            standard.unwrap_or(value)
        }
    };
    if part.refuses_null_bytes && holds_null(&decoded) {
        return Err(Mistake::new("holds a NUL byte", "correct the value, or set \"nullBytePolicy: Ignore\""));
    }
    Ok(decoded)
}

/// Null has nothing to decode.
fn required(value: &FieldValue, alphabet: &Alphabet) -> Result<FieldValue, Mistake> {
    if matches!(value, FieldValue::Null) {
        return Ok(FieldValue::Null);
    }
    let remedy = "store the value as base64, or leave \"decodingStrategy\" out";
    decoded(value, alphabet).ok_or_else(|| Mistake::new("is not base64", remedy))
}

/// Padded base64, as Go reads it: line breaks do not matter. The decoder's words could quote the value.
fn decoded(value: &FieldValue, alphabet: &Alphabet) -> Option<FieldValue> {
    let text = plain_text(value)?;
    // EXPOSE: to the decoder
    let compact = text.expose().bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect::<Vec<_>>();
    let compact = Zeroizing::new(compact);
    let settings = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let bytes = GeneralPurpose::new(alphabet, settings).decode(&*compact).ok()?;
    Some(match String::from_utf8(bytes) {
        Ok(text) => FieldValue::Text(SecretText::new(text)),
        Err(error) => FieldValue::Bytes(SecretBytes::new(error.into_bytes())),
    })
}

fn holds_null(value: &FieldValue) -> bool {
    match value {
        // EXPOSE: looked through for one byte
        FieldValue::Text(text) => text.expose().contains('\0'),
        // EXPOSE: looked through for one byte
        FieldValue::Bytes(bytes) => bytes.expose().contains(&0),
        _ => false,
    }
}
