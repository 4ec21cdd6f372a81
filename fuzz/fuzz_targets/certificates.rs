//! PEM files of CA certificates: no error holds anything of the file, which may be another one than was meant.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::net::fuzzing::certificates;
use secrets_sync_fuzz::MARKER;

fuzz_target!(|pem: &[u8]| {
    let begins = pem.windows(27).filter(|part| part.starts_with(b"-----BEGIN CERTIFICATE-----")).count();
    match certificates(pem) {
        Ok(count) => assert!(count <= begins, "{count} certificates of {begins}"),
        Err(cause) => {
            assert!(!cause.contains(MARKER), "{cause}");
            let bytes = format!("{:?}", MARKER.as_bytes());
            assert!(!cause.contains(bytes.trim_matches(['[', ']'])), "{cause}");
            assert!(!cause.is_empty() && cause.len() < 512, "{cause}");
        }
    }
});
