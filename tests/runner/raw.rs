//! A runner without a daemon.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A runner's process and the daemon's end of its socket pair.
pub(crate) struct RawRunner {
    pub(crate) process: Child,
    pub(crate) channel: UnixStream,
    pub(crate) home: TempDir,
    hooks: Value,
}

impl RawRunner {
    /// Starts a runner with `hooks`, and with the tree `out` of its home.
    pub(crate) fn new(hooks: impl FnOnce(&Path) -> Value) -> Self {
        let home = TempDir::new().unwrap();
        fs::create_dir(home.path().join("out")).unwrap();
        let (channel, theirs) = UnixStream::pair().unwrap();
        channel.set_read_timeout(Some(LIMIT)).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_secrets-sync"))
            .arg0("secrets-sync: runner")
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let hooks = hooks(home.path());
        let mut runner = Self { process, channel, home, hooks };
        let start = json!({ "start": { "table": runner.table(), "source": null } });
        assert_eq!(runner.ask(start), "started");
        runner
    }

    /// One hook with a shell script.
    pub(crate) fn script(text: &str, timeout: Duration) -> Self {
        Self::new(|home| json!([command(&script(home, text), timeout)]))
    }

    pub(crate) fn table(&self) -> Value {
        json!({ "hooks": self.hooks, "trees": [self.home.path().canonicalize().unwrap().join("out")] })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// What the runner answers to `request`.
    #[expect(clippy::needless_pass_by_value, reason = "tests write it in place")]
    pub(crate) fn ask(&mut self, request: Value) -> Value {
        self.send(&request);
        self.answer()
    }

    pub(crate) fn send(&mut self, request: &Value) {
        let message = json!({ "number": 7, "content": request }).to_string();
        self.channel.write_all(&u32::try_from(message.len()).unwrap().to_be_bytes()).unwrap();
        self.channel.write_all(message.as_bytes()).unwrap();
    }

    pub(crate) fn answer(&mut self) -> Value {
        let mut header = [0; 4];
        self.channel.read_exact(&mut header).unwrap();
        let mut message = vec![0; usize::try_from(u32::from_be_bytes(header)).unwrap()];
        self.channel.read_exact(&mut message).unwrap();
        let answer: Value = serde_json::from_slice(&message).unwrap();
        assert_eq!(answer["number"], 7);
        answer["content"].clone()
    }

    /// A request to run `hook`, which a test may change.
    pub(crate) fn call(&self, hook: &str) -> Value {
        let hooks: Vec<RunnerHook> = serde_json::from_value(self.hooks.clone()).unwrap();
        let digest = BASE64_STANDARD.encode(Sha256::digest(serde_json::to_vec(&hooks).unwrap()));
        json!({ "run": { "hook": hook, "digest": digest, "kind": "changed", "secrets": ["one", "two"],
                         "event": "{\"id\":\"e\"}", "staging": null } })
    }

    /// Runs the only hook; its outcome, and what it printed at the end.
    pub(crate) fn run(&mut self) -> (Value, String) {
        let call = self.call("it");
        outcome(&self.ask(call))
    }

    /// Why the runner did not run what `request` asks for.
    pub(crate) fn refusal(&mut self, request: Value) -> String {
        let (outcome, output) = outcome(&self.ask(request));
        assert_eq!(output, "");
        outcome["failed"]["reason"].as_str().unwrap_or_else(|| panic!("{outcome}")).to_owned()
    }
}

impl Drop for RawRunner {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A hook called `it`.
pub(crate) fn command(program: &Path, timeout: Duration) -> Value {
    hook(json!({ "command": { "argv": [program, "{staging}"] } }), timeout)
}

#[expect(clippy::needless_pass_by_value, reason = "tests write it in place")]
pub(crate) fn hook(action: Value, timeout: Duration) -> Value {
    let timeout = json!({ "secs": timeout.as_secs(), "nanos": timeout.subsec_nanos() });
    json!({ "name": "it", "is_gate": false, "keeps_output": true, "timeout": timeout, "action": action })
}

/// An executable file.
pub(crate) fn script(home: &Path, text: &str) -> PathBuf {
    let path = home.join("script");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn outcome(answer: &Value) -> (Value, String) {
    let outcome = answer["ran"].clone();
    let output = outcome["failed"]["output"].as_str().or(outcome["timed_out"]["output"].as_str());
    let output = BASE64_STANDARD.decode(output.unwrap_or_default()).unwrap();
    (outcome, String::from_utf8_lossy(&output).into_owned())
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// The same fields in the same order as the program has: the digest is that of their JSON.
#[derive(serde::Deserialize, serde::Serialize)]
struct RunnerHook {
    name: String,
    is_gate: bool,
    keeps_output: bool,
    timeout: Duration,
    action: Value,
}
