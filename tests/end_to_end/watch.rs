//! `WATCH_CONFIG`: the ways in which people and programs change a file, and what is no change.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::daemon::{Process, Sandbox, wait_until};

/// A configuration whose one secret has the given name, and writes that to the file `out`.
fn config(name: &str) -> String {
    format!(
        "secretStore: {{ provider: file, path: store.yaml }}
secrets: [{{ name: {name}, key: app, refreshInterval: 1h, files: [{{ path: out, field: {name} }}] }}]
"
    )
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(&config("a"));
    sandbox.write("store.yaml", "app: { a: a, b: b, c: c, d: d }");
    sandbox
}

/// Starts a daemon that watches the configuration at `path`, and waits until it does.
#[track_caller]
fn watching(sandbox: &Sandbox, path: &str) -> Process {
    let daemon = Process::start(sandbox.command(&["run", "--watch-config", "--config", path]));
    sandbox.wait_until_ready(&daemon);
    wait_until("it watches", || daemon.stderr().contains("watching the configuration"));
    assert!(daemon.stderr().contains("file system events"), "{}", daemon.stderr());
    assert_eq!(sandbox.read("out"), "a");
    daemon
}

#[track_caller]
fn wait_for(sandbox: &Sandbox, content: &str) {
    wait_until(&format!("the output is {content}"), || sandbox.read("out") == content);
}

#[test]
fn a_file_that_is_renamed_into_place_is_taken_up_again_and_again() {
    let sandbox = sandbox();
    let daemon = watching(&sandbox, "config.yaml");
    for name in ["b", "c", "d", "a"] {
        sandbox.write("config.yaml", config(name));
        wait_for(&sandbox, name);
    }
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn a_file_that_is_written_in_place_is_taken_up() {
    let sandbox = sandbox();
    let _daemon = watching(&sandbox, "config.yaml");
    for name in ["b", "c"] {
        fs::write(sandbox.path("config.yaml"), config(name)).unwrap();
        wait_for(&sandbox, name);
    }
}

#[test]
fn an_editor_that_keeps_a_backup_is_followed_and_the_gap_is_no_failure() {
    let sandbox = sandbox();
    let daemon = watching(&sandbox, "config.yaml");
    for name in ["b", "c"] {
        fs::rename(sandbox.path("config.yaml"), sandbox.path("config.yaml~")).unwrap();
        fs::write(sandbox.path("config.yaml"), config(name)).unwrap();
        wait_for(&sandbox, name);
    }
    fs::remove_file(sandbox.path("config.yaml")).unwrap();
    fs::write(sandbox.path("config.yaml"), config("d")).unwrap();
    wait_for(&sandbox, "d");
    assert!(!daemon.stderr().contains("reload failed"), "{}", daemon.stderr());
}

/// What the kubelet does: a new directory, and one rename of the link that leads to it.
fn publish(volume: &Path, generation: &str, content: &str) {
    fs::create_dir_all(volume.join(generation)).unwrap();
    fs::write(volume.join(generation).join("config.yaml"), content).unwrap();
    symlink(generation, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

#[test]
fn the_swap_of_a_config_map_is_taken_up_through_a_link_from_elsewhere_too() {
    for path in ["volume/config.yaml", "link.yaml"] {
        let sandbox = sandbox();
        let volume = sandbox.path("volume");
        publish(&volume, "..1", &config("a"));
        symlink("..data/config.yaml", volume.join("config.yaml")).unwrap();
        symlink("volume/config.yaml", sandbox.path("link.yaml")).unwrap();
        let _daemon = watching(&sandbox, path);
        for (generation, old, name) in [("..2", "..1", "b"), ("..3", "..2", "c"), ("..4", "..3", "d")] {
            publish(&volume, generation, &config(name));
            fs::remove_dir_all(volume.join(old)).unwrap();
            wait_for(&sandbox, name);
        }
    }
}

#[test]
fn a_directory_that_is_replaced_is_followed() {
    let sandbox = sandbox();
    sandbox.write("etc/config.yaml", config("a"));
    let _daemon = watching(&sandbox, "etc/config.yaml");
    for name in ["b", "c"] {
        sandbox.write("next/config.yaml", config(name));
        fs::rename(sandbox.path("etc"), sandbox.path(&format!("old-{name}"))).unwrap();
        fs::rename(sandbox.path("next"), sandbox.path("etc")).unwrap();
        wait_for(&sandbox, name);
    }
    fs::remove_dir_all(sandbox.path("etc")).unwrap();
    sandbox.write("etc/config.yaml", config("d"));
    wait_for(&sandbox, "d");
}

#[test]
fn a_touch_is_no_change_and_a_wrong_file_is_told_once() {
    let sandbox = sandbox();
    let daemon = watching(&sandbox, "config.yaml");
    sandbox.write("config.yaml", config("a"));
    sandbox.write("config.yaml.other", "a neighbour");
    sandbox.write("config.yaml", "secrets: [");
    wait_until("the mistake is told", || daemon.stderr().contains("reload failed"));
    sandbox.write("config.yaml", "secrets: [");
    sandbox.write("config.yaml", config("b"));
    wait_for(&sandbox, "b");
    // The log is written behind the work.
    wait_until("the reload is logged", || daemon.stderr().contains("reloaded the configuration"));
    let stderr = daemon.stderr();
    assert_eq!(stderr.matches("reload failed").count(), 1, "{stderr}");
    assert_eq!(stderr.matches("reloaded the configuration").count(), 1, "{stderr}");
}

#[test]
fn nobody_watches_unless_asked_to() {
    let sandbox = sandbox();
    let daemon = sandbox.ready_daemon();
    sandbox.write("config.yaml", config("b"));
    // What a watch would have noticed meanwhile, one that watches has.
    let other = Sandbox::new(&config("a"));
    other.write("store.yaml", "app: { a: a, b: b }");
    let _watching = watching(&other, "config.yaml");
    other.write("config.yaml", config("b"));
    wait_for(&other, "b");
    assert_eq!(sandbox.read("out"), "a");
    daemon.signal(Signal::SIGHUP);
    wait_for(&sandbox, "b");
}
