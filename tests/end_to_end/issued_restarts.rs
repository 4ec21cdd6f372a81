//! Restarts of many sources with a journal and no values: where files are there, the next issues are spread.

use std::fs;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::daemon::{Process, Sandbox, wait_until};
use crate::fake::{Fake, Reply};
use crate::issued_lies::{config, name, of_leases};

#[test]
fn sixty_sources_issue_again_one_after_the_other_and_at_once_where_files_are_missing() {
    let asked: Arc<Mutex<Vec<(String, Instant)>>> = Arc::default();
    let notes = Arc::clone(&asked);
    let fake = Fake::start(move |number, seen| {
        let Some(name) = name(seen) else { return of_leases(seen) };
        notes.lock().unwrap().push((name.to_owned(), Instant::now()));
        let answer = json!({
            "lease_id": format!("creds/{name}/{number}"), "lease_duration": 40, "renewable": true, "data": { "password": name },
        });
        Reply::json(200, &answer.to_string())
    });
    let names: Vec<_> = (0..60).map(|n| format!("s{n}")).collect();
    let sandbox =
        Sandbox::new(&config(&fake.address(), &names).replace("minInterval: 2s", "minInterval: 1s"));
    let start = || {
        let mut command = sandbox.command(&["run"]);
        command.env("STATE_DIR", sandbox.path("state"));
        Process::start(command)
    };
    fs::create_dir(sandbox.path("state")).unwrap();
    let count = || asked.lock().unwrap().len();
    let daemon = start();
    sandbox.wait_until_ready(&daemon);
    let last = Instant::now();
    daemon.kill();
    assert_eq!(count(), 60);
    wait_until("minInterval is over", || last.elapsed() > Duration::from_secs(1));
    for name in &names[..5] {
        fs::remove_file(sandbox.path(&format!("out/{name}"))).unwrap();
    }
    let daemon = start();
    wait_until("each source has the next one", || count() >= 120);
    let asked = asked.lock().unwrap().split_off(60);
    let first = asked[0].1;
    let after = |(_, at): &(String, Instant)| at.duration_since(first);
    let is_missing = |(name, _): &&(String, Instant)| names[..5].contains(name);
    assert!(asked.iter().filter(is_missing).all(|one| after(one) < Duration::from_secs(1)), "{asked:?}");
    // A quarter of 40 s.
    let late: Vec<_> = asked.iter().map(after).filter(|after| *after > Duration::from_secs(2)).collect();
    assert!(late.len() > 20, "{late:?}");
    assert_eq!((asked.len(), daemon.stop().0.code), (60, 0));
}
