//! Files of kept credentials: what is no sealed file opens to nothing, what was sealed opens to the same fields, and
//! with one changed byte to nothing.

#![no_main]

use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use secrets_sync::issue::fuzzing::{fields, sealed, unsealed};
use secrets_sync::journal::{CredentialTimes, KnownCredential, SourceId};
use secrets_sync::name::CredentialNumber;

fuzz_target!(|input: &[u8]| {
    let source: SourceId = "0123456789abcdef0123456789abcdef".parse().expect("32 digits");
    let credential = KnownCredential {
        number: CredentialNumber::new(1),
        from: SystemTime::UNIX_EPOCH,
        lease: None,
        serial: None,
        is_renewable: false,
        life_seconds: None,
        token: None,
        times: CredentialTimes::default(),
        is_lost: false,
    };
    assert_eq!(unsealed(source, &credential, input), None);
    let Some(fields) = str::from_utf8(input).ok().and_then(fields) else { return };
    let Some(mut file) = sealed(source, &credential, &fields) else { return };
    assert_eq!(unsealed(source, &credential, &file), Some(fields));
    let at = input.len() * 31 % file.len();
    file[at] ^= 1;
    assert_eq!(unsealed(source, &credential, &file), None, "byte {at}");
});
