//! HTTP requests to the daemon: any bytes get well-formed answers or none; nothing of a request comes back, and nothing
//! is changed by one.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use secrets_sync::admin::fuzzing::serve;
use secrets_sync::clock::Clock;
use secrets_sync::name::SecretName;
use secrets_sync::status::{SecretEntry, SecretInfo, StatusRegistry};
use secrets_sync_fuzz::MARKER;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

static BOARD: LazyLock<Arc<StatusRegistry>> = LazyLock::new(|| {
    let facts = SecretInfo {
        store: "default".to_owned(),
        path: "secret/app".to_owned(),
        sources: Vec::new(),
        required: true,
        max_staleness: None,
        files: vec!["/run/app".into()],
    };
    Arc::new(StatusRegistry::new([(SecretName::new("app"), SecretEntry::new(facts))], Clock::system()))
});

fuzz_target!(|request: &[u8]| {
    let before = BOARD.snapshot().pending;
    let answered = RUNTIME.block_on(serve(Arc::clone(&BOARD), request));
    assert_eq!(BOARD.snapshot().pending, before);
    let answered = String::from_utf8(answered).expect("answers are text");
    assert!(!answered.contains(MARKER), "a request comes back: {answered}");
    if answered.is_empty() {
        return;
    }
    assert!(answered.starts_with("HTTP/1."), "{answered}");
    let statuses = answered.match_indices("HTTP/1.1 ").chain(answered.match_indices("HTTP/1.0 "));
    for status in statuses.filter_map(|(at, _)| answered.get(at + 9..at + 12)) {
        assert!(["200", "400", "404", "405", "413", "414", "431", "503"].contains(&status), "{status}");
    }
});
