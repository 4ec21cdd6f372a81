//! A broken proxy between the daemon and its server sends one answer twice, so that each request after it gets the
//! answer of the one before.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::daemon::{Sandbox, wait_until};
use crate::fake::{Fake, Reply};

const SECRETS: usize = 200;

/// While `broken`, a connection that has answered before answers with its last answer, and so on.
fn proxy(broken: &Arc<AtomicBool>, mixed: &Arc<AtomicUsize>) -> Fake {
    let (broken, mixed) = (Arc::clone(broken), Arc::clone(mixed));
    let last: Mutex<HashMap<usize, String>> = Mutex::default();
    Fake::start_without_log(move |number, seen| {
        let id = format!("00000000-0000-0000-0000-{number:012}");
        let key = seen.target.rsplit('/').next().unwrap();
        let data = if seen.target.contains("/data/") {
            format!(
                r#"{{"data":{{"value":"{key}"}},"metadata":{{"version":1,"deletion_time":"","destroyed":false}}}}"#
            )
        } else {
            r#"{"ttl":0,"expire_time":null,"creation_ttl":0,"renewable":false,"num_uses":0}"#.to_owned()
        };
        let answer = format!(r#"{{"request_id":"{id}","data":{data}}}"#);
        let before = last.lock().unwrap().insert(seen.connection, answer.clone());
        match before {
            Some(before) if broken.load(Ordering::SeqCst) => {
                mixed.fetch_add(1, Ordering::SeqCst);
                Reply::json(200, &before)
            }
            _ => Reply::json(200, &answer),
        }
    })
}

#[test]
fn no_file_keeps_the_value_of_another_secret() {
    let (broken, mixed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let proxy = proxy(&broken, &mixed);
    let secret = |n| {
        format!(
            "  - {{ name: s{n}, key: s{n}, refreshInterval: 1s, files: [{{ path: out/s{n}, field: value }}] }}\n"
        )
    };
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ address: '{}', mountPath: secret, kvVersion: v2, token: t }}
limits: {{ minRefreshInterval: 100ms }}
secrets:\n{}",
        proxy.address(),
        (0..SECRETS).map(secret).collect::<String>()
    ));
    let daemon = sandbox.ready_daemon();
    let wrong = || -> Vec<usize> {
        let content = |n: &usize| fs::read_to_string(sandbox.path(&format!("out/s{n}"))).unwrap_or_default();
        (0..SECRETS).filter(|n| content(n) != format!("s{n}")).collect()
    };
    assert_eq!(wrong(), [0_usize; 0]);
    broken.store(true, Ordering::SeqCst);
    let end = Instant::now() + Duration::from_secs(8);
    let mut since: HashMap<usize, Instant> = HashMap::new();
    let mut longest = Duration::ZERO;
    while Instant::now() < end {
        let now = wrong();
        since.retain(|n, at| {
            longest = longest.max(at.elapsed());
            now.contains(n)
        });
        for n in now {
            since.entry(n).or_insert_with(Instant::now);
        }
    }
    assert!(mixed.load(Ordering::SeqCst) > 10, "the proxy has mixed up answers");
    assert!(longest < Duration::from_secs(5), "a file held another secret's value for {longest:?}");
    broken.store(false, Ordering::SeqCst);
    wait_until("every file is right", || wrong().is_empty());
    let warnings = daemon.stderr().matches("an answer came for another request").count();
    assert_eq!(warnings, 1, "{}", daemon.stderr());
}
