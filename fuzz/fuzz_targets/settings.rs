//! Process settings from the environment: within their bounds, or an error that names the variable and no value.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use secrets_sync::config::settings::{Overrides, Settings};
use secrets_sync_fuzz::{MARKER, env, pairs};

fuzz_target!(|input: &str| {
    let env = env(input);
    let read = || Settings::from_env(&Overrides::default(), &env, Path::new("/work"));
    match read() {
        Ok(settings) => {
            assert_eq!(read().as_ref(), Ok(&settings));
            let backoff = settings.backoff;
            assert!(!backoff.initial.is_zero() && backoff.initial <= backoff.max);
            assert!((1.0..=100.0).contains(&backoff.multiplier));
            assert!((0.0..1.0).contains(&settings.refresh_jitter));
            assert!(settings.breaker.max_requests >= 1 && !settings.breaker.timeout.is_zero());
            assert!(settings.status_file.is_absolute());
        }
        Err(report) => {
            assert!(report.has_errors());
            let names: String = pairs(input).map(|(name, _)| name).collect();
            let shown = report.to_string();
            assert!(!shown.contains(MARKER) || names.contains(MARKER), "{shown}");
        }
    }
});
