//! Nobody reads the log: the files, the endpoints and the end do not wait for a reader.

use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;

use crate::daemon::{Sandbox, send, wait_until};

const CONFIG: &str = "
secretStore: { provider: file, path: secrets.yaml }
limits: { minRefreshInterval: 100ms }
secrets: [{ name: app, key: app, refreshInterval: 100ms, files: [{ path: out/app, field: value }] }]
";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(CONFIG);
    sandbox.write("secrets.yaml", "app: { value: first }");
    sandbox
}

/// Writes until there is no room.
fn fill(stream: impl AsFd + Into<OwnedFd>) -> OwnedFd {
    fcntl(stream.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut stream = File::from(stream.into());
    while stream.write(&[b'\n'; 512]).is_ok() {}
    fcntl(&stream, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    stream.into()
}

fn full_pipe() -> (PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, fill(writer))
}

/// Ends it when a test fails.
struct Daemon(Child);

impl Daemon {
    fn start(mut command: Command, stderr: OwnedFd) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap())
    }

    #[track_caller]
    fn stop(&mut self) -> Option<i32> {
        send(self.0.id(), Signal::SIGTERM);
        let begun = Instant::now();
        let mut status = None;
        wait_until("it ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        status.unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

/// The counter of lost lines, from the endpoint that the status file names.
fn lost(sandbox: &Sandbox) -> Option<u64> {
    let status: serde_json::Value = serde_json::from_str(&sandbox.read("status.json")).ok()?;
    let metrics = super::http::body(status["daemon"]["listen"].as_str()?, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix("secrets_sync_log_lines_lost_total "))?;
    line.parse().ok()
}

/// Changes the secret until the file has followed `times` times.
#[track_caller]
fn files_follow(sandbox: &Sandbox, times: usize) {
    for turn in 0..times {
        let value = format!("turn-{turn}");
        sandbox.write("secrets.yaml", format!("app: {{ value: {value} }}"));
        wait_until("the file follows", || sandbox.read("out/app") == value);
    }
}

#[test]
fn a_full_pipe_costs_lines_and_neither_files_nor_endpoints_nor_the_end() {
    let sandbox = sandbox();
    let (mut reader, full) = full_pipe();
    let mut command = sandbox.command(&["run"]);
    command.env("LOG_LEVEL", "info");
    let mut daemon = Daemon::start(command, full);
    wait_until("it is ready", || sandbox.run(&["isready"]).code == 0);
    files_follow(&sandbox, 3);
    assert_eq!(lost(&sandbox), Some(0), "what fits is kept");
    wait_until("lines are lost", || {
        // A reload that fails is a line for each mistake.
        let mistakes: Vec<_> = (0..2000).map(|number| format!("mistake{number}: 1")).collect();
        sandbox.write("config.yaml", format!("{CONFIG}\n{}\n", mistakes.join("\n")));
        send(daemon.0.id(), Signal::SIGHUP);
        lost(&sandbox) > Some(0)
    });
    files_follow(&sandbox, 3);

    // Somebody reads again.
    let log = thread::spawn(move || {
        let mut text = String::new();
        drop(reader.read_to_string(&mut text));
        text
    });
    wait_until("there is room again", || {
        let before = lost(&sandbox);
        files_follow(&sandbox, 1);
        before == lost(&sandbox)
    });
    assert_eq!(daemon.stop(), Some(0));
    let log = log.join().unwrap();
    let told: Vec<_> = log.lines().filter(|line| line.contains("log lines were lost")).collect();
    assert!(!told.is_empty() && told[0].contains("\"lines\":"), "{told:?}");
    assert!(log.trim_end().ends_with("\"msg\":\"stopped\"}"), "the last lines are there");
}

#[test]
fn a_reader_that_never_comes_back_does_not_hold_up_the_end() {
    let sandbox = sandbox();
    let (_kept, full) = full_pipe();
    let mut daemon = Daemon::start(sandbox.command(&["run"]), full);
    wait_until("it is ready", || sandbox.run(&["isready"]).code == 0);
    assert_eq!(daemon.stop(), Some(0));
    assert!(!sandbox.path("status.json").exists());
}

#[test]
fn a_socket_that_nobody_reads_is_the_same() {
    let sandbox = sandbox();
    let (_kept, stream) = UnixStream::pair().unwrap();
    let mut daemon = Daemon::start(sandbox.command(&["run"]), fill(stream));
    wait_until("it is ready", || sandbox.run(&["isready"]).code == 0);
    files_follow(&sandbox, 3);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn errors_of_a_start_do_not_wait_for_a_reader_either() {
    let sandbox = Sandbox::new("secretStore: { provider: nothing }");
    for arguments in [&["run"][..], &["run", "--once"]] {
        let (_kept, full) = full_pipe();
        let mut daemon = Daemon::start(sandbox.command(arguments), full);
        let mut status = None;
        wait_until("it ends", || {
            status = daemon.0.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(3));
    }
}

#[test]
fn the_last_lines_are_written_when_somebody_reads() {
    let sandbox = sandbox();
    for _ in 0..20 {
        let finished = sandbox.run(&["run", "--once"]);
        assert!(finished.stderr.contains("\"unchanged\"") || finished.stderr.contains("\"synced\""));
        let mut broken = sandbox.command(&["run", "--once"]);
        broken.env("CONFIG_FILE", "nothing");
        let finished = crate::daemon::Process::start(broken).finish();
        assert!(finished.stderr.contains("\"hint\":"), "{finished:?}");
    }
}
