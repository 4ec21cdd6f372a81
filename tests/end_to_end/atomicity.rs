//! The first promise: a file is either the last good value or the new one, whoever looks and whatever dies.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::daemon::{Sandbox, wait_until};
use crate::server::{server, store};

/// Long enough to be written in several pieces, if anybody did.
const PADDING: usize = 64 * 1024;

/// The round of a whole content; `None` for an empty, a cut or a mixed one.
fn round_of(content: &str) -> Option<u32> {
    let mut lines = content.lines();
    let (first, middle, last) = (lines.next()?, lines.next()?, lines.next()?);
    let is_whole = first == last && middle.len() == PADDING && lines.next().is_none();
    is_whole.then(|| first.parse().ok())?
}

#[test]
fn a_reader_never_sees_an_empty_or_a_mixed_file_through_200_updates() {
    let bao = server();
    bao.put("reader/secret", &json!({ "round": "0", "padding": "x".repeat(PADDING) }));
    let sandbox = Sandbox::new(&format!(
        "{}
secrets:
  - name: reader
    key: reader/secret
    refreshInterval: 1h
    files: [{{ path: file, template: \"{{{{ round }}}}\\n{{{{ padding }}}}\\n{{{{ round }}}}\\n\" }}]
",
        store()
    ));
    let daemon = sandbox.ready_daemon();
    let (file, done) = (sandbox.path("file"), Arc::new(AtomicBool::new(false)));
    let reader = {
        let (file, done) = (file.clone(), Arc::clone(&done));
        thread::spawn(move || {
            let (mut reads, mut seen) = (0, BTreeSet::new());
            while !done.load(Relaxed) {
                let content = fs::read_to_string(&file).expect("the file is always there");
                let round = round_of(&content);
                let start: String = content.chars().take(20).collect();
                seen.insert(round.unwrap_or_else(|| panic!("{} bytes: {start:?}…", content.len())));
                reads += 1;
            }
            (reads, seen)
        })
    };
    for round in 1..=200 {
        bao.put("reader/secret", &json!({ "round": round.to_string(), "padding": "x".repeat(PADDING) }));
        daemon.signal(Signal::SIGUSR1);
        let arrived = || fs::read_to_string(&file).is_ok_and(|content| round_of(&content) == Some(round));
        wait_until("the update has arrived", || reader.is_finished() || arrived());
    }
    done.store(true, Relaxed);
    let (reads, seen) = reader.join().unwrap();
    assert!(reads > 1000 && seen.len() > 100, "{reads} reads saw {} rounds", seen.len());
}

const FILES: usize = 30;

/// A document for the file store; each of its fields becomes a file.
fn document(round: u32) -> String {
    let line = format!("{round}\\n{}\\n{round}\\n", "x".repeat(PADDING));
    let fields: Vec<_> = (0..FILES).map(|index| format!("  field-{index}: \"{line}\"\n")).collect();
    format!("secret:\n{}", fields.concat())
}

#[test]
fn sigkill_while_it_publishes_leaves_whole_files_and_the_next_start_no_litter() {
    let outputs: Vec<_> = (0..FILES).map(|i| format!("{{ path: out/{i}, field: field-{i} }}")).collect();
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ provider: file, path: source.yaml }}
limits: {{ maxFileSize: 1MiB }}
secrets: [{{ name: many, key: secret, refreshInterval: 1h, files: [{}] }}]",
        outputs.join(", ")
    ));
    let rounds = || -> Vec<_> { (0..FILES).map(|i| round_of(&sandbox.read(&format!("out/{i}")))).collect() };
    sandbox.write("source.yaml", document(0));
    let begun = Instant::now();
    assert_eq!(sandbox.run(&["run", "--once"]).code, 0);
    let whole_run = begun.elapsed();
    fs::write(sandbox.path("out/.somebody-else.tmp"), "").unwrap();

    let (mut littered, mut before) = (0, vec![Some(0); FILES]);
    for round in 1..=50 {
        sandbox.write("source.yaml", document(round));
        let mut daemon = sandbox.daemon();
        // In turn at the first temp file, somewhere among the renames, and anywhere at all.
        let begun = Instant::now();
        match round % 3 {
            0 => wait_until("it stages", || sandbox.temporaries("out") > 0),
            1 => wait_until("it publishes", || sandbox.read("out/0").starts_with(&format!("{round}\n"))),
            _ => wait_until("time has passed", || begun.elapsed() > whole_run * (round % 10) / 10),
        }
        assert!(daemon.is_running());
        daemon.kill();
        littered += usize::from(sandbox.temporaries("out") > 0);
        let found = rounds();
        let is_one_of_two = |(found, before): (&_, &_)| *found == Some(round) || found == before;
        assert!(
            found.iter().zip(&before).all(is_one_of_two),
            "killed in round {round}: {before:?} → {found:?}"
        );
        before = found;
    }
    assert!(littered >= 10, "only {littered} of 50 kills met it at work");

    let _daemon = sandbox.ready_daemon();
    assert_eq!(rounds(), vec![Some(50); FILES]);
    assert_eq!(sandbox.temporaries("out"), 0);
    assert!(sandbox.path("out/.somebody-else.tmp").exists(), "what is not ours stays");
    assert!(begun.elapsed() < Duration::from_secs(60));
}
