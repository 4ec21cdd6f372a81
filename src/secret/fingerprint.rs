//! Keyed fingerprints: "is it the same value?" without keeping the value, and without an oracle for who reads one.

use std::fmt;

use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{FieldValue, Fields, HANDLING, wipe_stack};

/// Block length of SHA-256 in bytes (RFC 2104 calls it B).
const BLOCK: usize = 64;

/// A random key of this process. Fingerprints of two keys cannot be compared, so one that is printed tells nothing
/// about a value to anybody who tries guesses elsewhere.
#[derive(Clone)]
pub struct FingerprintKey {
    inner: Sha256,
    outer: Sha256,
}

impl FingerprintKey {
    /// A fresh key from the operating system's generator.
    ///
    /// # Errors
    /// The system has no randomness to give (`getrandom` failed).
    pub fn random() -> Result<Self, rand::rand_core::OsError> {
        let mut key = Zeroizing::new([0_u8; BLOCK]);
        OsRng.try_fill_bytes(&mut *key)?;
        Ok(Self::from_block(&key))
    }

    /// Random bytes for a key that is kept.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub(crate) fn fill(key: &mut [u8]) -> Result<(), rand::rand_core::OsError> {
        OsRng.try_fill_bytes(key)
    }

    /// The key of these bytes.
    pub(crate) fn from_bytes(key: &[u8; 32]) -> Self {
        let mut block = Zeroizing::new([0_u8; BLOCK]);
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        Self::from_block(&block)
    }

    /// HMAC-SHA-256 of `content`, cut to 128 bits (RFC 2104; the key is exactly one block long).
    pub fn of(&self, content: &[u8]) -> Fingerprint {
        self.print(|inner| inner.update(content))
    }

    /// The fingerprint of all fields, the same for equal fields however their store wrote them.
    pub fn of_fields(&self, fields: &Fields) -> Fingerprint {
        self.print(|inner| feed_fields(fields, inner))
    }

    /// The fingerprint of several pieces, each with its length.
    pub(crate) fn of_pieces<'p>(&self, pieces: impl IntoIterator<Item = &'p [u8]>) -> Fingerprint {
        self.print(|inner| pieces.into_iter().for_each(|piece| feed_bytes(b"p", piece, inner)))
    }

    /// The hash keeps up to a block of what it was fed, and its copies lie on the stack.
    fn print(&self, feed: impl FnOnce(&mut Sha256)) -> Fingerprint {
        let print = self.computed(feed);
        wipe_stack::<HANDLING>();
        print
    }

    /// Not inlined, so that its variables lie where `wipe_stack` reaches.
    #[inline(never)]
    fn computed(&self, feed: impl FnOnce(&mut Sha256)) -> Fingerprint {
        let mut inner = self.inner.clone();
        feed(&mut inner);
        self.finish(inner)
    }

    fn finish(&self, inner: Sha256) -> Fingerprint {
        let full = self.outer.clone().chain_update(inner.finalize()).finalize();
        let mut short = [0_u8; 16];
        short.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        Fingerprint(short)
    }

    fn from_block(key: &[u8; BLOCK]) -> Self {
        let pad = |byte: u8| {
            let block = Zeroizing::new(key.map(|k| k ^ byte));
            Sha256::new().chain_update(*block)
        };
        Self { inner: pad(0x36), outer: pad(0x5c) }
    }
}

/// Type, length, content: no two different values feed the same bytes.
fn feed(value: &FieldValue, hash: &mut Sha256) {
    match value {
        FieldValue::Null => hash.update(b"n"),
        FieldValue::Bool(true) => hash.update(b"t"),
        FieldValue::Bool(false) => hash.update(b"f"),
        // EXPOSE: a keyed fingerprint is all that leaves.
        FieldValue::Number(digits) => feed_bytes(b"#", digits.expose().as_bytes(), hash),
        // EXPOSE: a keyed fingerprint is all that leaves.
        FieldValue::Text(text) => feed_bytes(b"\"", text.expose().as_bytes(), hash),
        // EXPOSE: a keyed fingerprint is all that leaves.
        FieldValue::Bytes(bytes) => feed_bytes(b"b", bytes.expose(), hash),
        FieldValue::List(items) => {
            feed_head(b"[", items.len(), hash);
            for item in items {
                feed(item, hash);
            }
        }
        FieldValue::Map(fields) => feed_fields(fields, hash),
    }
}

fn feed_fields(fields: &Fields, hash: &mut Sha256) {
    feed_head(b"{", fields.len(), hash);
    for (name, value) in fields {
        feed_bytes(b"\"", name.as_bytes(), hash);
        feed(value, hash);
    }
}

fn feed_bytes(kind: &[u8], bytes: &[u8], hash: &mut Sha256) {
    feed_head(kind, bytes.len(), hash);
    hash.update(bytes);
}

fn feed_head(kind: &[u8], length: usize, hash: &mut Sha256) {
    hash.update(kind);
    hash.update((length as u64).to_le_bytes());
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(redacted)")
    }
}

/// 128 bits that stand for one value under one key. `Display` is 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fingerprint([u8; 16]);

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("takes 32 hexadecimal digits"))
    }
}

impl Fingerprint {
    /// What `Display` writes; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let is_ours = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_ours)?;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_hmac_sha_256_of_rfc_4231() {
        // Test case 2 of RFC 4231: a short key is padded with zeros to one block.
        let mut key = [0_u8; BLOCK];
        key[..4].copy_from_slice(b"Jefe");
        let print = FingerprintKey::from_block(&key).of(b"what do ya want for nothing?");
        assert_eq!(print.to_string(), "5bdcc146bf60754e6a042426089575c7");
    }

    #[test]
    fn two_keys_give_two_fingerprints() {
        let (a, b) = (FingerprintKey::random().unwrap(), FingerprintKey::random().unwrap());
        assert_ne!(a.of(b"x"), b.of(b"x"));
        assert_eq!(a.of(b"x"), a.of(b"x"));
    }

    fn text(text: &str) -> FieldValue {
        FieldValue::from(text)
    }

    fn map_of<const N: usize>(fields: [(&str, FieldValue); N]) -> Fields {
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn equal_fields_have_equal_fingerprints_and_any_difference_shows() {
        let key = FingerprintKey::random().unwrap();
        let list = |items: &[&str]| FieldValue::List(items.iter().map(|item| text(item)).collect());
        let different = [
            map_of([]),
            map_of([("a", FieldValue::Null)]),
            map_of([("a", text(""))]),
            map_of([("a", text("b"))]),
            map_of([("ab", text(""))]),
            map_of([("a", FieldValue::Bool(false))]),
            map_of([("a", FieldValue::Bool(true))]),
            map_of([("a", FieldValue::Number(crate::secret::SecretText::new("b".to_owned())))]),
            map_of([("a", list(&[]))]),
            map_of([("a", list(&["b"]))]),
            map_of([("a", list(&["b", ""]))]),
            map_of([("a", FieldValue::Map(map_of([])))]),
            map_of([("a", FieldValue::Map(map_of([("a", text("b"))])))]),
            map_of([("a", text("b")), ("b", text("a"))]),
        ];
        for (i, a) in different.iter().enumerate() {
            for (j, b) in different.iter().enumerate() {
                assert_eq!(key.of_fields(a) == key.of_fields(b), i == j, "{i} {j}");
            }
        }
    }
}
