//! What the process keeps from its neighbours: no core, no access for others of its user, no descriptor to inherit.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde_json::json;

use crate::bao::{Bao, TLS_NAME};
use crate::collector::Collector;
use crate::daemon::{Process, Sandbox, wait_until};

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

/// Every file below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
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
    for name in ["mem", "environ", "maps", "fd", "auxv"] {
        assert_eq!(fs::metadata(format!("/proc/{}/{name}", daemon.pid())).unwrap().uid(), 0, "{name}");
    }
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

/// The inodes of a process's TCP connections to `port`.
fn connections_to(port: u16) -> Vec<String> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let to_port = |words: &Vec<&str>| words[2].ends_with(&format!(":{port:04X}"));
    lines.filter(to_port).map(|words| format!("socket:[{}]", words[9])).collect()
}

/// What the descriptors of a process lead to.
fn open_in(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.map(|link| link.display().to_string()).collect()
}

/// With a TLS store that is read all the time, HTTP endpoints with a client, the audit stream, a watch on the
/// configuration, traces and a service manager.
#[test]
fn every_descriptor_is_closed_for_a_program_that_would_be_started() {
    let (bao, collector) = (Bao::shared(), Collector::start(|_| Some(200)));
    bao.put_v2("", "secret", "descriptors", &json!({ "value": "1" }));
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ address: '{}', tlsCACert: '{}', tlsServerName: {TLS_NAME}, mountPath: secret, kvVersion: v2, \
         authMethod: token, token: root }}\nlimits: {{ minRefreshInterval: 100ms }}\n\
         secrets: [{{ name: a, key: descriptors, refreshInterval: 100ms, files: [{{ path: out/a, field: value }}] }}]",
        bao.tls_address(),
        bao.authority().display()
    ));
    let manager = UnixDatagram::bind(sandbox.path("notify")).unwrap();
    let mut command = sandbox.command(&["run"]);
    command.env("AUDIT_LOG", sandbox.path("audit.jsonl")).env("WATCH_CONFIG", "true");
    command.env("ENABLE_TRACING", "true").env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    command.env("OTEL_BSP_SCHEDULE_DELAY", "50").env("NOTIFY_SOCKET", sandbox.path("notify"));
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let log = daemon.stderr();
    let listen = log.split("\"listen\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let client = TcpStream::connect(listen).unwrap();
    let own_port = client.local_addr().unwrap().port();
    let port = |address: &str| address.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let ports = [port(&bao.tls_address()), port(&collector.url()), own_port];
    // The standard streams, and what the test itself passed on, are not the daemon's own.
    let passed_on = inheritable("self");
    let mut seen = [false; 5];
    wait_until("everything was open while it was looked at", || {
        let open = open_in(daemon.pid());
        let mut own = inheritable(&daemon.pid().to_string());
        own.retain(|number, leads_to| *number > 2 && passed_on.get(number) != Some(leads_to));
        assert!(own.is_empty(), "{own:?}");
        let connected = ports.map(|port| connections_to(port).iter().any(|socket| open.contains(socket)));
        let audited = open.iter().any(|link| link.ends_with("audit.jsonl"));
        let watched = open.iter().any(|link| link.contains("inotify"));
        let now = connected.into_iter().chain([audited, watched]);
        seen.iter_mut().zip(now).for_each(|(seen, now)| *seen |= now);
        seen.iter().all(|seen| *seen)
    });
    let mut buffer = [0; 256];
    assert!(manager.recv(&mut buffer).unwrap() > 0, "the service manager was never told anything");
}

/// `std::process` has more than programs in it; `Command` is how one is started, and `unsafe` code is forbidden. The runner of
/// hooks holds no value and no credential.
#[test]
fn the_runner_alone_starts_programs() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let starts = sources(&home).into_iter().filter(|path| {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        !is_test
            && !path.starts_with(home.join("lifecycle/runner"))
            && ["process::Command", "Command::new", "execve", "posix_spawn", "fork("]
                .iter()
                .any(|word| code.contains(word))
    });
    assert_eq!(starts.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}
