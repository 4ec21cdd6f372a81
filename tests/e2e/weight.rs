//! What issued credentials weigh, and what they ask for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bao::{Bao, ROOT};
use crate::daemon::{Process, Sandbox};
use crate::issuing::within;

/// Memory of a process without the pages of its program, which differ with the code that has run, in KiB.
fn memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn two_hundred_leases_weigh_little_and_ask_once() {
    const SECRETS: usize = 200;
    let (bao, sandbox) = (Bao::start_leasing(), Sandbox::new(""));
    for number in 0..SECRETS {
        bao.must("POST", "", &format!("secret/a{number}"), &json!({ "password": "x", "ttl": "1h" }));
    }
    let runs = std::cell::Cell::new(0);
    let measured = |source: &dyn Fn(usize) -> String| {
        // Each run begins with nothing.
        let run = runs.replace(runs.get() + 1);
        let secrets: String = (0..SECRETS)
            .map(|number| {
                let source = source(number);
                format!(
                    "- {{ name: a{number}, {source}, files: [{{ path: out{run}/a{number}, field: password }}] }}\n"
                )
            })
            .collect();
        let store = format!(
            "secretStore: {{ address: \"{}\", token: {ROOT}, mountPath: secret, kvVersion: v1 }}\n",
            bao.address()
        );
        sandbox.write("config.yaml", format!("{store}secrets:\n{secrets}"));
        let mut command = sandbox.command(&["run"]);
        command.env("STATE_DIR", sandbox.path(&format!("state{run}")));
        let daemon = Process::start(command);
        sandbox.wait_until_ready(&daemon);
        // What the start needed goes back.
        let mut least = memory(&daemon);
        let settled = Instant::now() + Duration::from_secs(5);
        within(10, "it is idle", || {
            least = least.min(memory(&daemon));
            Instant::now() > settled
        });
        let log = daemon.stop().0.stderr;
        (least, log)
    };
    // What the allocator keeps differs from run to run: the smaller of two runs is what is needed.
    let smaller = |source: &dyn Fn(usize) -> String| {
        let (first, log) = measured(source);
        (first.min(measured(source).0), log)
    };
    let (reads, _) = smaller(&|number| format!("key: a{number}"));
    let (leases, log) = smaller(&|number| format!("vaultDynamic: {{ path: secret/a{number} }}"));
    println!("200 secrets: {reads} KiB; 200 leases: {leases} KiB");
    let count =
        |place: &str| log.lines().filter(|line| line.contains("request") && line.contains(place)).count();
    assert_eq!((count("/v1/secret/a"), count("/v1/sys/leases/")), (SECRETS, 0), "{log}");
    assert!(leases <= reads + 2048, "{leases} KiB with leases, {reads} KiB without");
}
