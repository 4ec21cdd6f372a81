//! sprig's and External Secrets' functions for base64, base32, hashes, JSON and YAML.

use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;
use zeroize::Zeroizing;

use super::Param::{Any, Text};
use super::{GoFunction, bytes_at};
use crate::template::go::json::{self, JsonStyle};
use crate::template::go::value::{GoResult, GoValue, fault};
use crate::template::go::{yaml, yaml_reader};

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[GoFunction] = &[
    GoFunction::new("b64enc", &[Text], |_, v| GoValue::text(STANDARD.encode(bytes_at(v, 0)))),
    GoFunction::new("b64dec", &[Text], |_, v| base64_decoded(bytes_at(v, 0), &STANDARD)),
    GoFunction::new("b32enc", &[Text], |_, v| GoValue::text(base32(bytes_at(v, 0)))),
    GoFunction::new("b32dec", &[Text], |_, v| base32_decoded(bytes_at(v, 0))),
    GoFunction::new("sha1sum", &[Text], |_, v| GoValue::text(hex(&sha1::Sha1::digest(bytes_at(v, 0))))),
    GoFunction::new("sha256sum", &[Text], |_, v| GoValue::text(hex(&sha2::Sha256::digest(bytes_at(v, 0))))),
    GoFunction::new("sha512sum", &[Text], |_, v| GoValue::text(hex(&sha2::Sha512::digest(bytes_at(v, 0))))),
    GoFunction::new("adler32sum", &[Text], |_, v| GoValue::text(adler32(bytes_at(v, 0)).to_string())),
    GoFunction::new("toJson", &[Any], |_, v| encoded(v, JsonStyle::COMPACT)),
    GoFunction::new("mustToJson", &[Any], |_, v| encoded(v, JsonStyle::COMPACT)),
    GoFunction::new("toPrettyJson", &[Any], |_, v| encoded(v, JsonStyle::PRETTY)),
    GoFunction::new("mustToPrettyJson", &[Any], |_, v| encoded(v, JsonStyle::PRETTY)),
    GoFunction::new("toRawJson", &[Any], |_, v| encoded(v, JsonStyle::RAW)),
    GoFunction::new("mustToRawJson", &[Any], |_, v| encoded(v, JsonStyle::RAW)),
    GoFunction::new("fromJson", &[Text], |_, v| decoded(bytes_at(v, 0))),
    GoFunction::new("mustFromJson", &[Text], |_, v| decoded(bytes_at(v, 0))),
];

/// What External Secrets has beside sprig.
#[rustfmt::skip]
pub(super) const EXTERNAL_SECRETS: &[GoFunction] = &[
    GoFunction::new("toYaml", &[Any], |_, v| yaml_text(v)),
    GoFunction::new("fromYaml", &[Text], |_, v| from_yaml(bytes_at(v, 0))),
    GoFunction::new("hexdec", &[Text], |_, v| hex_decoded(bytes_at(v, 0))),
];

pub(super) fn encoded(values: &[GoValue], style: JsonStyle) -> GoResult {
    let json = json::encode(values.first().unwrap_or(&GoValue::Nil), style)?;
    GoValue::text(json.as_bytes())
}

pub(super) fn decoded(text: &[u8]) -> GoResult {
    json::decode(text).unwrap_or_else(|| fault("the text is no JSON"))
}

/// External Secrets gives a map alone.
fn from_yaml(text: &[u8]) -> GoResult {
    match yaml_reader::decode(text)? {
        GoValue::Nil => empty_map(),
        map @ GoValue::Map(_) => Ok(map),
        _ => fault("the YAML is no map"),
    }
}

pub(super) fn yaml_text(values: &[GoValue]) -> GoResult {
    let yaml = yaml::encode(values.first().unwrap_or(&GoValue::Nil))?;
    GoValue::text(yaml.trim_end_matches('\n').as_bytes())
}

/// Go passes over line ends within base64.
pub(super) fn base64_decoded(text: &[u8], engine: &impl base64::Engine) -> GoResult {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    match engine.decode(text) {
        Ok(bytes) => GoValue::text(Zeroizing::new(bytes).as_slice()),
        Err(_) => fault("the text is no base64"),
    }
}

/// HMAC with SHA-256 (RFC 2104).
pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> String {
    let mut block = Zeroizing::new([0_u8; 64]);
    let short = Zeroizing::new(<[u8; 32]>::from(sha2::Sha256::digest(key)));
    let key = if key.len() > block.len() { &short[..] } else { key };
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let pad = |byte: u8| sha2::Sha256::new().chain_update(*Zeroizing::new(block.map(|key| key ^ byte)));
    let inner = pad(0x36).chain_update(message).finalize();
    hex(&pad(0x5c).chain_update(inner).finalize())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |digit: u8| char::from_digit(u32::from(digit), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn hex_decoded(text: &[u8]) -> GoResult {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    match text.chunks(2).map(byte).collect::<Option<Vec<u8>>>() {
        Some(bytes) => GoValue::text(bytes),
        None => fault("the text is no hexadecimal"),
    }
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for chunk in bytes.chunks(5) {
        let bits =
            chunk.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte)) << (8 * (5 - chunk.len()));
        let count = (chunk.len() * 8).div_ceil(5);
        for index in 0..8 {
            let place = usize::try_from(bits >> (35 - 5 * index) & 31).unwrap_or_default();
            let letter = BASE32.get(place).copied().unwrap_or(b'=');
            text.push(if index < count { char::from(letter) } else { '=' });
        }
    }
    text
}

fn base32_decoded(text: &[u8]) -> GoResult {
    let mut bytes = Vec::with_capacity(text.len());
    for chunk in text.chunks(8) {
        let digits = chunk.iter().take_while(|byte| **byte != b'=').count();
        let value = |byte: &u8| {
            BASE32.iter().position(|letter| letter == byte).and_then(|place| u64::try_from(place).ok())
        };
        let is_padded = chunk.len() == 8 && chunk.iter().skip(digits).all(|byte| *byte == b'=');
        let bits = chunk.iter().take(digits).try_fold(0_u64, |bits, byte| Some(bits << 5 | value(byte)?));
        let (Some(bits), true, true) = (bits, is_padded, matches!(digits, 2 | 4 | 5 | 7 | 8)) else {
            return fault("the text is no base32");
        };
        let bits = bits << (5 * (8 - digits));
        bytes.extend(bits.to_be_bytes().iter().skip(3).take(digits * 5 / 8));
    }
    GoValue::text(bytes)
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

/// An empty map, for what reads an empty text as one.
pub(super) fn empty_map() -> GoResult {
    GoValue::map(BTreeMap::<Rc<[u8]>, GoValue>::new())
}
