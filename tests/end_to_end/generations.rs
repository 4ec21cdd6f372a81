//! Generations in a daemon: one switch for all files of a secret, under the sandbox, with a real OpenBao.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::daemon::{Process, Sandbox, wait_until};
use crate::server::{server, store};

fn config(key: &str, keys: &str) -> String {
    format!(
        "{}
limits: {{ minRefreshInterval: 100ms }}
secrets:
  - name: pair
    key: {key}
    refreshInterval: 200ms
    {keys}
    files: [{{ path: out/tls/crt, field: crt }}, {{ path: out/tls/sub/key, field: key }}]
",
        store()
    )
}

fn put(key: &str, text: &str) {
    server().put(key, &json!({ "crt": text, "key": text }));
}

/// Both files of one generation.
fn pair(sandbox: &Sandbox) -> [String; 2] {
    let directory = File::open(sandbox.path("out/tls/..data")).unwrap();
    let below = format!("/proc/self/fd/{}", directory.as_raw_fd());
    ["crt", "sub/key"].map(|name| fs::read_to_string(Path::new(&below).join(name)).unwrap())
}

#[test]
fn all_files_of_a_secret_switch_as_one_and_drift_is_mended() {
    put("generations/pair", "0");
    let sandbox =
        Sandbox::new(&config("generations/pair", "generations: { path: out/tls, keep: 1, grace: 10s }"));
    let mut command = sandbox.command(&["run"]);
    command.env("SANDBOX", "require").env("AUDIT_LOG", "audit.log");
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    for rotation in 1..=5 {
        let text = rotation.to_string();
        put("generations/pair", &text);
        wait_until("the new pair is there", || {
            let [crt, key] = pair(&sandbox);
            assert_eq!(crt, key);
            crt == text
        });
    }
    assert_eq!(sandbox.read("out/tls/crt"), "5");
    assert_eq!(sandbox.read("out/tls/sub/key"), "5");
    let paths: Vec<Value> = sandbox
        .read("audit.log")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["event"] == "write")
        .map(|line| line["file"].clone())
        .collect();
    let crt = sandbox.path("out/tls/crt");
    assert!(paths.contains(&json!(crt)), "the paths of outputs are told: {paths:?}");
    assert!(!paths.iter().any(|path| path.as_str().unwrap().contains("..")), "{paths:?}");

    fs::remove_file(&crt).unwrap();
    wait_until("the link is back", || fs::read_link(&crt).is_ok_and(|text| text == Path::new("..data/crt")));
    let data = sandbox.path("out/tls/..data");
    let current = fs::read_link(&data).unwrap();
    fs::remove_file(sandbox.path("out/tls").join(&current).join("crt")).unwrap();
    wait_until("there is a new generation", || fs::read_link(&data).is_ok_and(|now| now != current));
    wait_until("it is whole", || pair(&sandbox) == ["5", "5"]);
    fs::remove_file(&data).unwrap();
    symlink("/etc", &data).unwrap();
    wait_until("..data is right again", || data.join("crt").exists());
    fs::remove_dir_all(sandbox.path("out/tls")).unwrap();
    wait_until("an emptied volume is filled", || data.exists() && pair(&sandbox) == ["5", "5"]);
    assert_eq!(daemon.stop().0.code, 0);

    // A restart finds them right.
    let before = fs::read_link(&data).unwrap();
    let once = sandbox.run(&["run", "--once"]);
    assert_eq!(once.code, 0, "{}", once.stderr);
    assert_eq!(fs::read_link(&data).unwrap(), before);
    let plan = sandbox.run(&["plan"]);
    assert!(plan.code == 0 && plan.stdout.contains("2 unchanged"), "{}", plan.stdout);
}

#[test]
fn a_reload_goes_to_generations_and_back_and_a_deletion_empties_them() {
    put("generations/moving", "1");
    let sandbox = Sandbox::new(&config("generations/moving", "generations: out/tls"));
    let daemon = sandbox.ready_daemon();
    assert!(sandbox.path("out/tls/crt").is_symlink());
    sandbox.write("config.yaml", config("generations/moving", "maxStaleness: 1h"));
    daemon.signal(Signal::SIGHUP);
    wait_until("the files are plain", || {
        !sandbox.path("out/tls/..data").exists() && !sandbox.path("out/tls/crt").is_symlink()
    });
    wait_until("the generations are gone", || sandbox.list("out/tls") == ["crt", "sub"]);
    assert_eq!((sandbox.read("out/tls/crt"), sandbox.read("out/tls/sub/key")), ("1".into(), "1".into()));
    sandbox.write(
        "config.yaml",
        config(
            "generations/moving",
            "deletionPolicy: delete\n    generations: { path: out/tls, keep: 0, grace: 0s }",
        ),
    );
    daemon.signal(Signal::SIGHUP);
    wait_until("the files are links again", || sandbox.path("out/tls/sub/key").is_symlink());
    assert_eq!(sandbox.read("out/tls/crt"), "1");
    server().delete("generations/moving");
    wait_until("the links are gone", || !sandbox.path("out/tls/crt").is_symlink());
    wait_until("an empty generation is left", || sandbox.list("out/tls").len() == 3);
    assert_eq!(fs::read_dir(sandbox.path("out/tls/..data")).unwrap().count(), 0);
    put("generations/moving", "back");
    wait_until("the files are back", || {
        sandbox.path("out/tls/crt").exists() && pair(&sandbox) == ["back", "back"]
    });
}
