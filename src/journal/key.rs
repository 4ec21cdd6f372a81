//! The key of the fingerprints in the journal: with that of the process they could not be compared after a restart.

use zeroize::Zeroizing;

use super::directory::{StateDirectory, failed};
use crate::fault::{Fault, Kind};
use crate::secret::FingerprintKey;

/// Its file.
pub(super) const KEY: &str = "key";

/// Bytes of the key.
const LENGTH: usize = 32;

/// The key in the directory, and whether it is a new one: it is made where it is missing or damaged.
///
/// # Errors
/// The file cannot be trusted, read or made; or the system has no randomness.
pub(super) fn of(directory: &StateDirectory) -> Result<(FingerprintKey, bool), Fault> {
    if let Some(key) = read(directory)? {
        return Ok((key, false));
    }
    let mut key = Zeroizing::new([0; LENGTH]);
    FingerprintKey::fill(&mut *key).map_err(|_| {
        let message = "the system has no random numbers";
        Fault::new(Kind::Internal, message, "check that getrandom(2) is allowed")
    })?;
    directory.replace(KEY, &*key).map_err(|error| failed("write", &directory.at(KEY), error))?;
    Ok((FingerprintKey::from_bytes(&key), true))
}

/// The key in the directory, if there is one.
///
/// # Errors
/// The file cannot be trusted or read.
pub(super) fn read(directory: &StateDirectory) -> Result<Option<FingerprintKey>, Fault> {
    // One byte more is a damaged one, and no fault.
    let found = directory.read(KEY, 4096)?;
    let key = found.as_ref().and_then(|found| <&[u8; LENGTH]>::try_from(found.as_slice()).ok());
    Ok(key.map(FingerprintKey::from_bytes))
}
