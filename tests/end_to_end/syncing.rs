//! The daemon at its main job: changes arrive, drift is put right, what is unchanged is left alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::daemon::{Sandbox, wait_until};
use crate::server::{server, store};

#[test]
fn a_change_in_openbao_reaches_its_file_and_leaves_the_others_alone() {
    let bao = server();
    bao.put("change/moving", &json!({ "user": "app", "password": "first" }));
    bao.put("change/still", &json!({ "user": "rock" }));
    let sandbox = Sandbox::new(&format!(
        "{}
limits: {{ minRefreshInterval: 100ms }}
secrets:
  - name: moving
    key: change/moving
    refreshInterval: 1s
    template: {{ data: {{ env: 'USER={{{{ user }}}} PASSWORD={{{{ data.password }}}}' }} }}
    files: [{{ path: out/moving, key: env, mode: '0640' }}, {{ path: out/user, field: user }}]
  - {{ name: still, key: change/still, refreshInterval: 100ms, files: [{{ path: out/still, field: user }}] }}
",
        store()
    ));
    let daemon = sandbox.ready_daemon();
    assert_eq!(sandbox.read("out/moving"), "USER=app PASSWORD=first");
    assert_eq!((sandbox.mode("out/moving"), sandbox.mode("out/user")), (0o640, 0o600));
    let before = (sandbox.identity("out/user"), sandbox.identity("out/still"));

    bao.put("change/moving", &json!({ "user": "app", "password": "second" }));
    wait_until("the file has the new password", || sandbox.read("out/moving") == "USER=app PASSWORD=second");

    assert_eq!((sandbox.identity("out/user"), sandbox.identity("out/still")), before);
    assert_eq!(sandbox.list("out"), ["moving", "still", "user"]);
    assert_eq!(daemon.stop().0.code, 0);
}

#[test]
fn drift_of_mode_content_and_existence_is_repaired() {
    let bao = server();
    bao.put("drift/all", &json!({ "mode": "a", "content": "b", "gone": "c" }));
    let sandbox = Sandbox::new(&format!(
        "{}
limits: {{ minRefreshInterval: 100ms }}
secrets:
  - name: drift
    key: drift/all
    refreshInterval: 100ms
    files: [{{ path: mode, field: mode }}, {{ path: content, field: content }}, {{ path: gone, field: gone }}]
",
        store()
    ));
    let daemon = sandbox.ready_daemon();
    fs::set_permissions(sandbox.path("mode"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(sandbox.path("content"), "somebody else's").unwrap();
    fs::remove_file(sandbox.path("gone")).unwrap();
    wait_until("the mode is back", || sandbox.mode("mode") == 0o600);
    wait_until("the content is back", || sandbox.read("content") == "b");
    wait_until("the file is back", || sandbox.read("gone") == "c");
    // Whoever looks for the cause finds it in the log.
    wait_until("the log tells of the repair", || daemon.stderr().contains("\"repaired\":"));
}

#[test]
fn sigusr1_refreshes_now_however_recently_the_secret_was_read() {
    let bao = server();
    bao.put("usr1/secret", &json!({ "value": "0" }));
    let sandbox = Sandbox::new(&format!(
        "{}
secrets: [{{ name: usr1, key: usr1/secret, refreshInterval: 1h, files: [{{ path: value, field: value }}] }}]",
        store()
    ));
    let daemon = sandbox.ready_daemon();
    for round in 1..=20 {
        bao.put("usr1/secret", &json!({ "value": round.to_string() }));
        daemon.signal(Signal::SIGUSR1);
        wait_until("the file has the new value", || sandbox.read("value") == round.to_string());
    }
}

#[test]
fn bad_secrets_never_disturb_the_good_ones() {
    let bao = server();
    let good = |index| {
        let files = format!("files: [{{ path: out/{index}, field: value }}]");
        format!("  - {{ name: good-{index}, key: many/{index}, refreshInterval: 200ms, {files} }}\n")
    };
    let config = format!(
        "{}
limits: {{ minRefreshInterval: 100ms }}
secrets:
{}
  - {{ name: absent, key: many/nothing, refreshInterval: 200ms, files: [{{ path: bad/a, field: value }}] }}
  - {{ name: field, key: many/1, refreshInterval: 200ms, files: [{{ path: bad/b, field: nothing }}] }}
  - {{ name: template, key: many/2, refreshInterval: 200ms, files: [{{ path: bad/c, template: '{{{{ nothing }}}}' }}] }}
  - {{ name: target, key: many/3, refreshInterval: 200ms, files: [{{ path: taken, field: value }}] }}
",
        store(),
        (0..20).map(good).collect::<Vec<_>>().concat()
    );
    let sandbox = Sandbox::new(&config);
    fs::create_dir(sandbox.path("taken")).unwrap();
    let mut daemon = sandbox.daemon();
    for round in ["first", "second"] {
        for index in 0..20 {
            bao.put(&format!("many/{index}"), &json!({ "value": format!("{round} {index}") }));
        }
        let is_current = |index| sandbox.read(&format!("out/{index}")) == format!("{round} {index}");
        wait_until("all good secrets are current", || (0..20).all(is_current));
    }
    let unready = sandbox.run(&["isready"]);
    assert_eq!((unready.code, unready.stderr.lines().count()), (1, 1), "{unready:?}");
    for name in ["absent", "field", "template", "target"] {
        assert!(unready.stderr.contains(name), "{name} is not in {}", unready.stderr);
    }
    assert!(daemon.is_running());
    assert!(!sandbox.path("bad").exists() || sandbox.list("bad").is_empty());
}

#[test]
fn a_failed_refresh_leaves_all_files_of_the_secret_as_they_were() {
    let bao = server();
    bao.put("failing/secret", &json!({ "one": "1", "two": "2" }));
    let sandbox = Sandbox::new(&format!(
        "{}
limits: {{ minRefreshInterval: 100ms }}
secrets:
  - name: failing
    key: failing/secret
    refreshInterval: 100ms
    files: [{{ path: one, field: one }}, {{ path: two, field: two }}]
",
        store()
    ));
    let daemon = sandbox.ready_daemon();
    let before = (sandbox.identity("one"), sandbox.identity("two"));
    bao.put("failing/secret", &json!({ "one": "changed" }));
    wait_until("the failure is told", || daemon.stderr().contains("keeping the last files"));
    assert_eq!((sandbox.identity("one"), sandbox.identity("two")), before);
    assert_eq!((sandbox.read("one"), sandbox.read("two")), ("1".into(), "2".into()));
    // A later failure alone does not unready it.
    assert_eq!(sandbox.run(&["isready"]).code, 0);
    bao.delete("failing/secret");
    wait_until("the deletion is told", || daemon.stderr().contains("\"kind\":\"deleted\""));
    assert_eq!((sandbox.read("one"), sandbox.read("two")), ("1".into(), "2".into()));
}

#[test]
fn deletion_policy_delete_removes_the_files_when_the_source_is_gone() {
    let bao = server();
    bao.put("policy/secret", &json!({ "value": "x" }));
    let sandbox = Sandbox::new(&format!(
        "{}
limits: {{ minRefreshInterval: 100ms }}
secrets:
  - name: going
    key: policy/secret
    refreshInterval: 100ms
    deletionPolicy: delete
    files: [{{ path: out/value, field: value }}]
",
        store()
    ));
    let _daemon = sandbox.ready_daemon();
    bao.delete("policy/secret");
    wait_until("the file is gone", || !sandbox.path("out/value").exists());
    wait_until("it is told so", || sandbox.run(&["status"]).stdout.contains("deleted  going"));
    wait_until("it is not ready without the files", || sandbox.run(&["isready"]).code == 1);
    bao.put("policy/secret", &json!({ "value": "back" }));
    wait_until("the file is back", || sandbox.read("out/value") == "back");
    wait_until("it is ready again", || sandbox.run(&["isready"]).code == 0);
}
