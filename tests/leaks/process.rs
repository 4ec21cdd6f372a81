//! What the process keeps from its neighbours: no core, no access for others of its user, no descriptor to inherit.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use nix::unistd::geteuid;

use crate::daemon::{Process, Sandbox};

const CONFIG: &str = "
secretStore: { provider: file, path: secrets.yaml }
secrets:
  - { name: a, key: a, files: [{ path: out/deep/open, field: value, mode: '0644' }, { path: out/deep/shut, field: value },
      { path: out/deep/group, field: value, mode: '0660' }] }
";

/// A user without rights.
const NOBODY: u32 = 65534;

/// `O_CLOEXEC` as `/proc` prints it: in octal.
const CLOSE_ON_EXEC: u32 = 0o2_000_000;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(CONFIG);
    sandbox.write("secrets.yaml", "{ a: { value: 1 } }");
    sandbox
}

/// The descriptors of a process that a program it starts would inherit, with what they lead to.
fn inheritable(process: &str) -> BTreeMap<u32, PathBuf> {
    let entries = fs::read_dir(format!("/proc/{process}/fdinfo")).unwrap();
    let numbers = entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse::<u32>().unwrap());
    let stays_open = |number: &u32| {
        // One that was closed while we looked is no matter.
        let info = fs::read_to_string(format!("/proc/{process}/fdinfo/{number}")).ok();
        info.is_some_and(|info| u32::from_str_radix(&word(&info, "flags:"), 8).unwrap() & CLOSE_ON_EXEC == 0)
    };
    let leads_to = |number| fs::read_link(format!("/proc/{process}/fd/{number}")).unwrap_or_default();
    numbers.filter(stays_open).map(|number| (number, leads_to(number))).collect()
}

/// The word behind `name` in a file of `/proc`.
fn word(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

#[test]
fn a_running_daemon_leaves_no_core_and_makes_private_files() {
    let sandbox = sandbox();
    let mut command = sandbox.command(&["run"]);
    if geteuid().is_root() {
        // Of root's own processes everything is root's anyway.
        for path in [sandbox.path(""), sandbox.path("config.yaml"), sandbox.path("secrets.yaml")] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let proc = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", daemon.pid())).unwrap();
    assert_eq!(word(&proc("limits"), "Max core file size"), "0");
    assert_eq!(word(&proc("status"), "Umask:"), "0077");
    // The kernel gives root what belongs to a process that may not be dumped; no debugger of the same user may attach.
    assert_eq!(fs::metadata(format!("/proc/{}/mem", daemon.pid())).unwrap().uid(), 0);
}

#[test]
fn files_have_the_modes_that_are_configured_whatever_the_umask() {
    let sandbox = sandbox();
    assert_eq!(sandbox.run(&["run", "--once"]).code, 0);
    let modes = ["out/deep/open", "out/deep/shut", "out/deep/group"].map(|name| sandbox.mode(name));
    assert_eq!(modes, [0o644, 0o600, 0o660]);
    let daemon = sandbox.ready_daemon();
    assert_eq!(sandbox.mode("status.json"), 0o644);
    drop(daemon);
}

#[test]
fn every_descriptor_is_closed_for_a_program_that_would_be_started() {
    let sandbox = sandbox();
    let mut command = sandbox.command(&["run"]);
    command.env("AUDIT_LOG", sandbox.path("audit.jsonl")).env("WATCH_CONFIG", "true");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    // The standard streams, and what the test itself passed on, are not the daemon's own.
    let passed_on = inheritable("self");
    let mut own = inheritable(&daemon.pid().to_string());
    own.retain(|number, leads_to| *number > 2 && passed_on.get(number) != Some(leads_to));
    assert!(own.is_empty(), "{own:?}");
    let all = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    assert!(all > 6, "{all} descriptors are less than a daemon has");
}
