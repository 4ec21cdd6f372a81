//! Answers to what issues: kinds `lease`, `certificate` and `ssh`. What is accepted has what its kind needs, and no fault shows
//! anything of a body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_sync::config::provider::vault::dynamic::DynamicKind;
use secrets_sync::store::vault::fuzzing::{Raw, credential_in};
use secrets_sync_fuzz::{assert_hides, parts};

fuzz_target!(|input: &str| {
    let [kind, sent, body] = parts(input);
    let kind = match kind {
        "certificate" => DynamicKind::Certificate,
        "ssh" => DynamicKind::Ssh,
        _ => DynamicKind::Lease,
    };
    let raw = Raw { status: 200, retry_after: None, body: body.as_bytes() };
    let (has_lease, outcome) = credential_in(&raw, kind, sent);
    match outcome {
        Ok(issued) => {
            assert_eq!(issued.lease.is_some(), has_lease);
            assert!(has_lease || kind != DynamicKind::Lease);
            assert!(!issued.is_renewable || kind == DynamicKind::Lease);
            assert!(issued.life.is_none_or(|life| !life.is_zero()), "it has ended");
            assert!(issued.life.is_some() || kind != DynamicKind::Certificate);
            let id = issued.lease.as_ref().map_or("", |lease| lease.as_str());
            assert!(id.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(issued.serial.is_none_or(|serial| serial.len() <= 128));
        }
        Err(fault) => {
            assert_hides(&fault, "");
            assert_hides(&fault.remedy, "");
            assert!(!fault.message.chars().any(char::is_control), "{fault}");
        }
    }
});
