//! Certificates and a private key as DER, each certificate with its length before it: what is checked says nothing of
//! the key, and what is shown of a certificate has bounds.

#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use secrets_sync::certificate::fuzzing::{chain, ordered};
use secrets_sync_fuzz::MARKER;

/// More certificates make an input slow and no other.
const MOST: usize = 4;

fuzz_target!(|input: &[u8]| {
    let (mut certificates, mut rest) = (Vec::new(), input);
    while let [high, low, behind @ ..] = rest
        && let Some((der, after)) = behind.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
        && certificates.len() < MOST
    {
        certificates.push(der);
        rest = after;
    }
    match ordered(&certificates) {
        Ok(count) => assert!(count <= certificates.len(), "{count} of {}", certificates.len()),
        Err(cause) => assert!(!cause.is_empty() && cause.len() < 512 && !cause.contains('\n'), "{cause}"),
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let Some(checked) = chain(&certificates, rest, now) else { return };
    assert!(checked.names.len() <= 100, "{} names", checked.names.len());
    // What the status shows.
    let shown = secrets_sync::clock::rfc3339(checked.not_after);
    assert!(shown.len() == 24 && shown.ends_with('Z'), "{shown}");
    for cause in &checked.causes {
        assert!(!cause.contains(MARKER), "{cause}");
        assert!(!cause.is_empty() && cause.len() < 512 && !cause.contains('\n'), "{cause}");
    }
});
