//! TLS files on a mount that hangs: they cost one thread, and nobody else notices.

use std::fs;

use crate::daemon::{Process, Sandbox, wait_until};
use crate::hanging::{Hanging, wait_until_it_hangs};
use crate::support::certs::Authority;

fn threads(process: &Process) -> usize {
    fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap().count()
}

#[test]
fn tls_files_on_a_mount_that_hangs_cost_one_thread_and_hold_up_nobody() {
    // Nobody listens there: it is about the files, which are looked at before each connection.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sandbox = Sandbox::new(&format!(
        "limits: {{ minRefreshInterval: 100ms }}
secretStore: {{ address: 'https://{nobody}', token: t, tlsCACert: pki/ca.pem, timeout: 5s }}
secretStores: {{ lab: {{ provider: file, path: all.yaml }} }}
secrets:
  - {{ name: remote, key: app, mountPath: secret, kvVersion: v2, refreshInterval: 100ms, files: [{{ path: out/remote, field: value }}] }}
  - {{ name: local, store: lab, key: one, refreshInterval: 100ms, files: [{{ path: out/local, field: value }}] }}"
    ));
    fs::create_dir(sandbox.path("pki")).unwrap();
    Authority::new(&sandbox.path("pki"), "ca");
    sandbox.write("all.yaml", "one: { value: '1' }");
    crate::hanging::mounts_of_our_own();
    let mut command = sandbox.command(&["run"]);
    command.env("CIRCUIT_BREAKER_TIMEOUT", "10ms");
    let daemon = Process::start(command);
    wait_until("the server is missed", || daemon.stderr().contains("cannot connect"));
    // In the same mounts as the daemon: it was started after they were made.
    let hanging = Hanging::mount_over(&sandbox.path("pki"));
    wait_until_it_hangs(&daemon);
    wait_until("the local file is there", || sandbox.read("out/local") == "1");
    let before = threads(&daemon);
    let failures = || daemon.stderr().matches("cannot connect").count();
    let seen = failures();
    wait_until("further connections were tried", || failures() >= seen + 10);
    assert!(threads(&daemon) <= before + 1, "{} threads, then {}", before, threads(&daemon));
    sandbox.write("all.yaml", "one: { value: '2' }");
    wait_until("the local file follows", || sandbox.read("out/local") == "2");
    let (finished, took) = daemon.stop();
    assert!(finished.code == 0 && took.as_secs() < 5, "{took:?}: {}", finished.stderr);
    drop(hanging);
}
