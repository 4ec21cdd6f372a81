//! Sealing: AES-256-GCM over the fields of a credential. What says which credential it is has to be the same when it is
//! opened, or nothing comes out.

mod remedy;

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::fault::{Fault, Kind};
use crate::journal::{KnownCredential, SourceId};
use crate::regular_file;
use crate::secret::{Fields, HANDLING, SecretText, json, wipe_stack};
use crate::store::issuer::TokenOrigin;

/// Bytes of a key.
const LENGTH: usize = 32;

/// What a sealed file begins with.
const MAGIC: &[u8] = b"secrets-sync sealed 1\n";

/// Bytes of a nonce.
const NONCE: usize = 12;

/// The key of sealed values.
#[derive(Clone)]
pub struct SealKey(Zeroizing<[u8; LENGTH]>);

impl SealKey {
    /// The key in the file at `path`. Blocks.
    ///
    /// # Errors
    /// There is none in it. No remedy writes to a file that is there: it may hold the key.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let fault = |cause: String, remedy| {
            let message = format!("STATE_KEY_FILE {} has no key: {cause}", path.display());
            Fault::new(Kind::NoCredentials, message, remedy)
        };
        let content = regular_file::read(path, 4096)
            .map_err(|error| fault(error.to_string(), remedy::unreadable(path, &error)))?;
        Self::of(&content).ok_or_else(|| {
            let cause = format!("it has {} bytes, not {LENGTH}", content.len());
            fault(cause, remedy::wrong_content(path, &content))
        })
    }

    /// `None` unless there are 32 bytes.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let key: &[u8; LENGTH] = bytes.try_into().ok()?;
        Some(Self(Zeroizing::new(*key)))
    }

    /// A new one; `None` where the system has no randomness.
    pub(super) fn random() -> Option<Self> {
        let mut key = Zeroizing::new([0; LENGTH]);
        aws_lc_rs::rand::fill(&mut *key).ok()?;
        Some(Self(key))
    }

    /// For the file that it is kept in.
    pub(super) fn bytes(&self) -> &[u8] {
        &*self.0
    }

    fn cipher(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, &*self.0).ok()
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(redacted)")
    }
}

/// `fields`, sealed; `None` where they have no text that reads back as them.
pub(super) fn seal(
    key: &SealKey,
    source: SourceId,
    credential: &KnownCredential,
    fields: &Fields,
) -> Option<Vec<u8>> {
    let text = json::text_of(fields);
    if json::object_in(&text).ok().as_ref() != Some(fields) {
        return None;
    }
    seal_text(key, context(source, credential), &text)
}

/// `token`, sealed.
pub(super) fn seal_token(key: &SealKey, origin: TokenOrigin, token: &SecretText) -> Option<Vec<u8>> {
    seal_text(key, token_context(origin), token)
}

fn seal_text(key: &SealKey, context: Vec<u8>, text: &SecretText) -> Option<Vec<u8>> {
    // EXPOSE: becomes ciphertext in the buffer below.
    let text = text.expose().as_bytes();
    // Large enough for the tag: a buffer that grows leaves its bytes behind.
    let mut buffer = Zeroizing::new(Vec::with_capacity(text.len() + AES_256_GCM.tag_len()));
    buffer.extend_from_slice(text);
    let nonce = key.cipher()?.seal_in_place_append_tag(Aad::from(context), &mut *buffer).ok()?;
    wipe_stack::<HANDLING>();
    Some([MAGIC, nonce.as_ref(), &buffer].concat())
}

/// What [`seal`] sealed with the same key for the same credential; `None` for anything else.
pub(super) fn unseal(
    key: &SealKey,
    source: SourceId,
    credential: &KnownCredential,
    sealed: &[u8],
) -> Option<Fields> {
    let text = unseal_text(key, context(source, credential), sealed)?;
    let fields = json::object_in(&text).ok();
    wipe_stack::<HANDLING>();
    fields
}

/// What [`seal_token`] sealed with the same key for the same origin; `None` for anything else.
pub(super) fn unseal_token(key: &SealKey, origin: TokenOrigin, sealed: &[u8]) -> Option<SecretText> {
    unseal_text(key, token_context(origin), sealed)
}

fn unseal_text(key: &SealKey, context: Vec<u8>, sealed: &[u8]) -> Option<SecretText> {
    let (nonce, sealed) = sealed.strip_prefix(MAGIC)?.split_at_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let opened = key.cipher()?.open_in_place(nonce, Aad::from(context), &mut buffer).ok()?;
    let text = str::from_utf8(opened).ok().map(|text| SecretText::new(text.to_owned()));
    wipe_stack::<HANDLING>();
    text
}

/// Which credential set it is of, and what it logs in to, as whom. No context of a credential begins like that.
fn token_context(TokenOrigin { set, login }: TokenOrigin) -> Vec<u8> {
    format!("token {set} {login}").into_bytes()
}

/// Which credential it is: its source, its number, and the millisecond in which it was issued.
fn context(source: SourceId, credential: &KnownCredential) -> Vec<u8> {
    let from = credential.from.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{source} {} {from}", credential.number).into_bytes()
}

/// What the fuzz target of sealed files uses.
#[cfg(fuzzing)]
pub mod fuzzing {
    use super::*;

    /// Opens `sealed` with a key of zeros.
    pub fn unsealed(source: SourceId, credential: &KnownCredential, sealed: &[u8]) -> Option<Fields> {
        unseal(&SealKey(Zeroizing::new([0; LENGTH])), source, credential, sealed)
    }

    /// Seals `fields` with a key of zeros.
    pub fn sealed(source: SourceId, credential: &KnownCredential, fields: &Fields) -> Option<Vec<u8>> {
        seal(&SealKey(Zeroizing::new([0; LENGTH])), source, credential, fields)
    }

    /// The fields of a JSON object.
    pub fn fields(text: &str) -> Option<Fields> {
        json::object_in(&SecretText::new(text.to_owned())).ok()
    }
}
