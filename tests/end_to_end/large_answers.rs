//! Many answers as large as they may be, at once: the memory they take together, and what must not wait for them.

use std::fs;
use std::time::{Duration, Instant};

use crate::daemon::{Sandbox, wait_until};
use crate::fake::{Fake, Reply};
use crate::http::{address, body};

const LARGE: usize = 9 << 20;
const SECRETS: usize = 8;

/// Most memory that `pid` has had, in MiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn large_answers_come_one_by_one_and_the_daemon_stays_quick() {
    let value = "x".repeat(LARGE);
    let server = Fake::start_without_log(move |_, seen| match seen.target.rsplit('/').next() {
        Some("small") => Reply::secret("right", 1),
        Some(_) if seen.target.contains("/data/") => Reply::secret(&value, 1),
        _ => Reply::json(200, r#"{"data":{"ttl":0,"expire_time":null}}"#),
    });
    let secret = |name: &str| {
        format!("  - {{ name: {name}, key: {name}, files: [{{ path: out/{name}, field: password }}] }}\n")
    };
    let large: Vec<_> = (0..SECRETS).map(|n| format!("s{n}")).collect();
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ address: '{}', mountPath: secret, kvVersion: v2, token: t }}
limits: {{ maxFileSize: 10MiB, maxConcurrentRequests: {} }}
secrets:\n{}{}",
        server.address(),
        SECRETS + 1,
        large.iter().map(|name| secret(name)).collect::<String>(),
        secret("small")
    ));
    let daemon = sandbox.daemon();
    let address = address(&daemon);
    let mut longest = Duration::ZERO;
    let size = |name: &str| fs::metadata(sandbox.path(&format!("out/{name}"))).map_or(0, |file| file.len());
    let mut before_small = None;
    wait_until("every secret is written", || {
        let asked = Instant::now();
        assert!(!body(&address, "/health").is_empty());
        longest = longest.max(asked.elapsed());
        let written = large.iter().filter(|name| size(name) == LARGE as u64).count();
        if size("small") > 0 {
            before_small.get_or_insert(written);
        }
        written == SECRETS && before_small.is_some()
    });
    let peak = peak(daemon.pid());
    assert!(longest < Duration::from_secs(1), "/health took {longest:?}");
    // The values of all of them, one answer, and the contents that are being written.
    assert!(peak < 150, "{peak} MiB");
    assert!(before_small < Some(SECRETS), "the small secret waited for all large ones");
}
