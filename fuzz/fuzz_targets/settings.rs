//! Process settings from the environment: within their bounds, or an error that names the variable and no value.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use secrets_sync::config::settings::{Flags, SandboxSettings, Settings, TraceSettings};
use secrets_sync::telemetry::trace::Sampler;
use secrets_sync_fuzz::{MARKER, env, pairs};

fuzz_target!(|input: &str| {
    let env = env(input);
    let read = || Settings::from_env(&Flags::default(), &env, Path::new("/work"));
    match read() {
        Ok(settings) => {
            assert_eq!(read().as_ref(), Ok(&settings));
            let backoff = settings.backoff;
            assert!(!backoff.initial.is_zero() && backoff.initial <= backoff.max);
            assert!((1.0..=100.0).contains(&backoff.multiplier));
            assert!((0.0..1.0).contains(&settings.refresh_jitter));
            assert!(settings.breaker.max_requests >= 1 && !settings.breaker.timeout.is_zero());
            assert!(settings.status_file.path.is_absolute());
            check_sandbox(&settings.sandbox);
            settings.tracing.iter().for_each(check_tracing);
        }
        Err(report) => {
            assert!(report.has_errors());
            let names: String = pairs(input).map(|(name, _)| name).collect();
            let shown = report.to_string();
            assert!(!shown.contains(MARKER) || names.contains(MARKER), "{shown}");
        }
    }
});

/// Trees and ports of the lists, and no others.
fn check_sandbox(sandbox: &SandboxSettings) {
    for path in sandbox.read.iter().chain(&sandbox.write) {
        assert!(path.is_absolute() && path.parent().is_some(), "{path:?} would be everything");
        assert!(!path.as_os_str().as_encoded_bytes().contains(&b':'), "{path:?}");
    }
    assert!(sandbox.connect.iter().all(|port| *port > 0), "port 0 is any port");
}

fn check_tracing(tracing: &TraceSettings) {
    let TraceSettings { endpoint, headers, pipeline, .. } = tracing;
    assert!(matches!(endpoint.scheme(), "http" | "https") && endpoint.has_host());
    assert!(endpoint.username().is_empty() && endpoint.password().is_none());
    for (name, value) in headers {
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
        assert!(!format!("{value:?}").contains(MARKER));
        // Bytes from 0x80 on are legal in a value (RFC 9110, obs-text), and end no line.
        assert!(
            !value.expose().chars().any(|one| one.is_ascii_control() && one != '\t'),
            "a header of two lines"
        );
    }
    let batch = pipeline.batch;
    assert!((1..=65_536).contains(&batch.queue) && (1..=batch.queue).contains(&batch.size));
    assert!(!batch.delay.is_zero() && !pipeline.timeout.is_zero());
    assert!(!matches!(pipeline.sampler, Sampler::Share(share) if !(0.0..=1.0).contains(&share)));
}
