//! Directories that are removed and made again while the daemon runs: with the sandbox, as it is by default, it heals as
//! it would without; and where a rule cannot follow, it says so and what helps.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::bao::ROOT;
use crate::daemon::{BINARY, Process, Sandbox, wait_until};
use crate::server::{server, store_with};

/// Trees of their own, each directly in a directory where trees come and go.
struct Trees {
    home: TempDir,
}

impl Trees {
    fn new() -> Self {
        Self::within("/var/tmp")
    }

    fn within(directory: &str) -> Self {
        Self { home: tempfile::tempdir_in(directory).unwrap() }
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    /// Removes the tree and makes another one; the name is the same, the directory is not.
    fn replace(&self) {
        self.remove();
        fs::create_dir(self.path()).unwrap();
    }

    fn remove(&self) {
        fs::remove_dir_all(self.path()).unwrap();
    }
}

fn local(output: &Path) -> String {
    format!(
        "secretStore: {{ provider: file, path: all.yaml }}
secrets: [{{ name: one, key: one, refreshInterval: 1h, files: [{{ path: '{}', field: value }}] }}]",
        output.display()
    )
}

fn sandbox(config: &str) -> Sandbox {
    let sandbox = Sandbox::new(config);
    sandbox.write("all.yaml", "one: { value: '1' }");
    sandbox
}

/// A daemon that would not run if nothing restricted it.
#[track_caller]
fn restricted(sandbox: &Sandbox, arguments: &[&str], environment: &[(&str, &Path)]) -> Process {
    let mut command = sandbox.command(arguments);
    command.env("SANDBOX", "require").envs(environment.iter().copied());
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    daemon
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Has every secret read now, and waits until the file is there.
#[track_caller]
fn heals(daemon: &Process, output: &Path) {
    daemon.signal(Signal::SIGUSR1);
    wait_until(&format!("{} is there again: {}", output.display(), daemon.stderr()), || text(output) == "1");
}

#[test]
fn the_sandbox_is_there_without_being_asked_for() {
    let sandbox = sandbox(&local(Path::new("out/one")));
    let daemon = sandbox.ready_daemon();
    let status: Value = serde_json::from_str(&sandbox.read("status.json")).unwrap();
    assert_eq!(status["daemon"]["sandbox"], "file system and network", "{}", daemon.stderr());
}

#[test]
fn an_output_directory_that_is_removed_or_made_again_is_filled_again() {
    for parent in ["/var/tmp", "/tmp", "/run", "/srv", "/dev/shm"] {
        let trees = Trees::within(parent);
        let output = trees.path().join("deep/one");
        let sandbox = sandbox(&local(&output));
        let daemon = restricted(&sandbox, &["run"], &[]);
        for _ in 0..2 {
            // As systemd does with the runtime directory of an application that restarts.
            trees.replace();
            heals(&daemon, &output);
            // And nobody makes it: the daemon does, as it did the first time.
            trees.remove();
            heals(&daemon, &output);
            fs::remove_dir_all(output.parent().unwrap()).unwrap();
            heals(&daemon, &output);
        }
        assert_eq!(daemon.stop().0.code, 0);
    }
}

#[test]
fn a_user_without_any_right_of_roots_heals_what_root_made_again() {
    const USER: u32 = 54_321;
    let trees = Trees::within("/run");
    let hand_over = |path: &Path| {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        chown(path, Some(USER), Some(USER)).unwrap();
    };
    let output = trees.path().join("one");
    let sandbox = sandbox(&local(&output));
    hand_over(&sandbox.path(""));
    hand_over(trees.path());
    let mut command = sandbox.program("setpriv");
    let user = [format!("--reuid={USER}"), format!("--regid={USER}")];
    command.args(user).args(["--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
    command.args([BINARY, "run"]).env("SANDBOX", "require");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    trees.replace();
    hand_over(trees.path());
    heals(&daemon, &output);
}

#[test]
fn an_output_directory_that_nobody_had_made_at_the_start_is_written_when_somebody_does() {
    let trees = Trees::new();
    let output = trees.path().join("one");
    trees.remove();
    fs::write(trees.path(), "in the way").unwrap();
    let sandbox = sandbox(&local(&output));
    let daemon = Process::start({
        let mut command = sandbox.command(&["run"]);
        command.env("SANDBOX", "require");
        command
    });
    wait_until("the failure is told", || {
        daemon.stderr().contains("is not a directory") || daemon.stderr().contains("Not a directory")
    });
    fs::remove_file(trees.path()).unwrap();
    fs::create_dir(trees.path()).unwrap();
    heals(&daemon, &output);
}

#[test]
fn a_configuration_whose_directory_is_removed_and_made_again_is_taken_up() {
    let trees = Trees::new();
    let path = trees.path().join("config.yaml");
    let sandbox = sandbox("");
    fs::write(&path, local(Path::new("out/one"))).unwrap();
    let daemon = restricted(&sandbox, &["run", "--watch-config", "--config", path.to_str().unwrap()], &[]);
    for name in ["two", "three"] {
        trees.replace();
        fs::write(&path, local(&Path::new("out").join(name))).unwrap();
        wait_until(&format!("it is taken up: {}", daemon.stderr()), || {
            sandbox.read(&format!("out/{name}")) == "1"
        });
    }
    trees.replace();
    fs::write(&path, local(Path::new("out/four"))).unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_until("it is taken up", || sandbox.read("out/four") == "1");
    assert!(!daemon.stderr().contains("Permission denied"), "{}", daemon.stderr());
}

#[test]
fn a_token_whose_directory_is_removed_and_made_again_is_read() {
    let trees = Trees::new();
    let key = "sandbox/token-tree";
    server().put(key, &serde_json::json!({ "value": "1" }));
    let token = trees.path().join("agent/token");
    let write = |text: &str| {
        fs::create_dir_all(token.parent().unwrap()).unwrap();
        fs::write(&token, text).unwrap();
    };
    let powerless = server().powerless_token();
    write(&powerless);
    let settings = format!("authMethod: token, tokenFile: '{}'", token.display());
    let sandbox = Sandbox::new(&format!(
        "{}
limits: {{ minRefreshInterval: 100ms }}
secrets: [{{ name: one, key: {key}, refreshInterval: 200ms, files: [{{ path: one, field: value }}] }}]",
        store_with(server().address(), &settings)
    ));
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require");
    let daemon = Process::start(command);
    wait_until("the token is refused", || daemon.stderr().contains("403"));
    trees.replace();
    write(ROOT);
    wait_until("the new token is read", || sandbox.read("one") == "1");
    assert!(!daemon.stderr().contains("Permission denied"), "{}", daemon.stderr());
}

#[test]
fn a_status_file_whose_directory_is_removed_comes_back() {
    let trees = Trees::new();
    let path = trees.path().join("status.json");
    let sandbox = sandbox(&local(Path::new("out/one")));
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require").env("STATUS_FILE", &path);
    let daemon = Process::start(command);
    wait_until("it is ready", || text(&path).contains("\"ready\":true"));
    for replace in [Trees::replace, Trees::remove] {
        replace(&trees);
        // A change of state is told at once.
        sandbox.write("all.yaml", "one: {}");
        daemon.signal(Signal::SIGUSR1);
        wait_until("the status is there again", || text(&path).contains("\"state\":\"degraded\""));
        sandbox.write("all.yaml", "one: { value: '1' }");
        daemon.signal(Signal::SIGUSR1);
        wait_until("the status is true again", || text(&path).contains("\"state\":\"synced\""));
    }
}

/// Directories of which the one above is never granted: what the system runs or whom it trusts lies there.
#[test]
fn where_a_rule_cannot_follow_the_cause_and_the_remedy_are_told_and_both_remedies_help() {
    let trees = Trees::within("/opt");
    let output = trees.path().join("one");
    let sandbox = sandbox(&local(&output));
    let daemon = restricted(&sandbox, &["run"], &[]);
    let start = daemon.stderr();
    let told: PathBuf = trees.path().into();
    let line = start.lines().find(|line| line.contains("\"sandbox enabled\"")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let write: Vec<&Path> =
        line["write"].as_array().unwrap().iter().map(|path| Path::new(path.as_str().unwrap())).collect();
    assert!(write.contains(&told.as_path()) && !write.contains(&Path::new("/opt")), "{start}");
    trees.replace();
    daemon.signal(Signal::SIGUSR1);
    let advice = format!("the sandbox does not allow {}: restart secrets-sync", told.display());
    wait_until("the cause is told", || daemon.stderr().contains(&advice));
    assert!(daemon.stderr().contains("needs the directory above it in SANDBOX_WRITE"), "{}", daemon.stderr());
    wait_until("the status says so", || sandbox.read("status.json").contains(&advice));
    daemon.stop();

    let daemon = restricted(&sandbox, &["run"], &[]);
    assert_eq!(text(&output), "1", "a restart helps");
    daemon.stop();
    let daemon = restricted(&sandbox, &["run"], &[("SANDBOX_WRITE", Path::new("/opt"))]);
    trees.replace();
    heals(&daemon, &output);
}

#[test]
fn a_mount_is_granted_and_nothing_around_it() {
    let trees = Trees::new();
    fs::create_dir(trees.path().join("beside")).unwrap();
    let volume = trees.path().join("volume");
    fs::create_dir(&volume).unwrap();
    let sandbox = sandbox(&local(&volume.join("one")));
    let script = "mount -t tmpfs tmpfs \"$1\" && exec \"$0\" run";
    let mut command = sandbox.program("unshare");
    command.args(["--mount", "sh", "-ec", script, BINARY]).arg(&volume).env("SANDBOX", "require");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    let log = daemon.stderr();
    let told = log.lines().find(|line| line.contains("\"sandbox enabled\"")).unwrap();
    assert!(told.contains(trees.path().to_str().unwrap()) && !told.contains("\"/var/tmp\""), "{told}");
}

#[test]
fn a_file_that_a_variable_names_is_read_again_wherever_it_is() {
    let trees = Trees::new();
    let address = trees.path().join("address");
    fs::write(&address, format!("http://{}", server().address())).unwrap();
    let key = "sandbox/address-file";
    server().put(key, &serde_json::json!({ "value": "1" }));
    let config = |output: &str| {
        format!(
            "secretStore: {{ mountPath: secret, kvVersion: v2, authMethod: token, token: {ROOT} }}
secrets: [{{ name: one, key: {key}, files: [{{ path: {output}, field: value }}] }}]"
        )
    };
    // At first the address stands in the configuration, and nobody asks for the file.
    let sandbox = Sandbox::new(
        &config("one").replace("mountPath", &format!("address: 'http://{}', mountPath", server().address())),
    );
    let daemon = restricted(&sandbox, &["run"], &[("VAULT_ADDR_FILE", &address)]);
    sandbox.write("config.yaml", config("two"));
    daemon.signal(Signal::SIGHUP);
    wait_until(&format!("it is taken up: {}", daemon.stderr()), || sandbox.read("two") == "1");
    // Everything is there, and as it was at first.
    trees.replace();
    fs::write(&address, format!("http://{}", server().address())).unwrap();
    sandbox.write("config.yaml", config("three"));
    daemon.signal(Signal::SIGHUP);
    wait_until("it is taken up", || sandbox.read("three") == "1");
}

/// A directory in `/`, which no rule could allow before it is there.
#[test]
fn what_is_missing_in_the_root_directory_keeps_the_sandbox_off_unless_it_is_required() {
    let trees = Trees::within("/");
    let source = trees.path().join("all.yaml");
    trees.remove();
    let sandbox = Sandbox::new(&format!(
        "secretStore: {{ provider: file, path: '{}' }}
secrets: [{{ name: one, key: one, refreshInterval: 1h, files: [{{ path: one, field: value }}] }}]",
        source.display()
    ));
    let appears = || {
        fs::create_dir(trees.path()).unwrap();
        fs::write(&source, "one: { value: '1' }").unwrap();
    };
    let failing = |daemon: &Process| wait_until("it fails", || daemon.stderr().contains("\"sync failed\""));

    let daemon = sandbox.daemon();
    failing(&daemon);
    assert!(daemon.stderr().contains("is missing, and no rule could allow it"), "{}", daemon.stderr());
    appears();
    heals(&daemon, &sandbox.path("one"));
    daemon.stop();
    fs::remove_file(sandbox.path("one")).unwrap();
    trees.remove();

    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require");
    let refused = Process::start(command).finish();
    assert_eq!(refused.code, 9, "{refused:?}");
    assert!(refused.stderr.contains("is missing, and no rule could allow it"), "{refused:?}");
    appears();
    let daemon = restricted(&sandbox, &["run"], &[]);
    assert_eq!(sandbox.read("one"), "1", "making it helps: {}", daemon.stderr());
}
