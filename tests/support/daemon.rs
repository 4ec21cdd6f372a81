//! The built binary as a black box: a folder of its own, a clean environment, what it prints, and its end.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_secrets-sync");

/// How long anything may take; only a test that fails waits that long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(2);
/// Times of files are those of the last tick of the kernel's clock.
const COARSE: Duration = Duration::from_millis(10);

/// Looks again and again until `condition` holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(LOOK);
    }
}

/// A folder with a configuration; commands run in it and find `config.yaml` there.
pub(crate) struct Sandbox {
    home: TempDir,
}

impl Sandbox {
    pub(crate) fn new(config: &str) -> Self {
        let sandbox = Self { home: tempfile::tempdir().unwrap() };
        sandbox.write("config.yaml", config);
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Replaces a file as a whole: a daemon may be reading it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let (path, next) = (self.path(name), self.path(&format!("{name}.next")));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&next, content).unwrap();
        fs::rename(next, path).unwrap();
    }

    /// The text of a file; empty when there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// What must not change when a file is left alone.
    pub(crate) fn identity(&self, name: &str) -> (u64, i64, i64) {
        let metadata = fs::metadata(self.path(name)).unwrap();
        (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).map_or(0, |metadata| metadata.permissions().mode() & 0o7777)
    }

    /// How long ago the status file was written.
    fn status_age(&self) -> Option<Duration> {
        let written = fs::metadata(self.path("status.json")).and_then(|metadata| metadata.modified()).ok()?;
        Some(written.elapsed().unwrap_or_default())
    }

    /// Names of what is in a directory, sorted.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Temp files of the publishing that are in a directory.
    pub(crate) fn temporaries(&self, name: &str) -> usize {
        self.list(name).iter().filter(|name| name.starts_with(".secrets-sync-")).count()
    }

    /// `program` in this folder with nothing of the test's own environment but `PATH`.
    pub(crate) fn program(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        command.env_clear().env("PATH", path).current_dir(self.home.path());
        command.env("STATUS_FILE", self.path("status.json")).env("LOG_LEVEL", "debug");
        // Daemons of several tests run side by side.
        command.env("METRICS_PORT", "0");
        command.env("INITIAL_BACKOFF", "100ms").env("MAX_BACKOFF", "500ms");
        command.env("CIRCUIT_BREAKER_TIMEOUT", "300ms");
        command
    }

    /// `secrets-sync` with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(BINARY);
        command.args(arguments);
        command
    }

    /// Runs a command that ends by itself.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        Process::start(self.command(arguments)).finish()
    }

    /// Starts the daemon.
    pub(crate) fn daemon(&self) -> Process {
        Process::start(self.command(&["run"]))
    }

    /// Starts the daemon and waits until `isready` says yes.
    #[track_caller]
    pub(crate) fn ready_daemon(&self) -> Process {
        let daemon = self.daemon();
        self.wait_until_ready(&daemon);
        daemon
    }

    #[track_caller]
    pub(crate) fn wait_until_ready(&self, daemon: &Process) {
        // The status file first: a process a look is much for a machine that runs other tests. A file that is older
        // than this daemon is that of one that was killed.
        let ready = || {
            self.status_age().is_some_and(|age| age <= daemon.started.elapsed() + COARSE)
                && self.read("status.json").contains("\"ready\":true")
                && self.run(&["isready"]).code == 0
        };
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            assert!(Instant::now() < deadline, "not ready in time:\n{}", daemon.stderr());
            thread::sleep(LOOK);
        }
    }
}

/// What a process left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Everything it said.
    pub(crate) fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A process that runs; it is killed when dropped.
pub(crate) struct Process {
    child: Child,
    started: Instant,
    stdout: Capture,
    stderr: Capture,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        let stdout = Capture::of(child.stdout.take().unwrap());
        let stderr = Capture::of(child.stderr.take().unwrap());
        Self { child, started, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on stdout so far.
    #[allow(dead_code, reason = "each test binary uses its own part of the harness")]
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Stops or resumes reading its log.
    #[allow(dead_code, reason = "each test binary uses its own part of the harness")]
    pub(crate) fn block_log(&self, blocked: bool) {
        self.stderr.is_blocked.store(blocked, Ordering::SeqCst);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// SIGTERM, and how long the end took.
    #[track_caller]
    pub(crate) fn stop(self) -> (Finished, Duration) {
        let begun = Instant::now();
        self.signal(Signal::SIGTERM);
        let finished = self.finish();
        (finished, begun.elapsed())
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Finished {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.stderr());
            thread::sleep(LOOK);
        };
        self.left(status)
    }

    /// SIGKILL: the end without a word.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn left(&mut self, status: ExitStatus) -> Finished {
        let code = status.code().unwrap_or(-1);
        Finished { code, stdout: self.stdout.end(), stderr: self.stderr.end() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or the test has failed and there is nothing more to say.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// Sends a signal to a process of ours.
pub(crate) fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
}

/// Reads a pipe to its end on a thread of its own, so that the process never waits for us.
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// While this is set, nothing is read: the pipe fills.
    is_blocked: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Capture {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let is_blocked = Arc::new(AtomicBool::new(false));
        let (sink, blocked) = (Arc::clone(&bytes), Arc::clone(&is_blocked));
        let reader = thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut chunk) {
                sink.lock().unwrap().extend_from_slice(&chunk[..length]);
                while blocked.load(Ordering::SeqCst) {
                    thread::sleep(LOOK);
                }
            }
        });
        Self { bytes, is_blocked, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    fn end(&mut self) -> String {
        self.is_blocked.store(false, Ordering::SeqCst);
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.text()
    }
}
