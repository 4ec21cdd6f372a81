//! The examples for Docker Swarm and for Podman's Quadlet, with the commands of their pages.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;

use crate::compose::images;
use crate::containers::{Guide, snippet};
use crate::engines::{Engines, repository, until};

/// What only this test has to say: the server's certificate is signed by an authority of its own.
const ADDRESS: &str = "https://vault.example:8200\n";
const WITH_AUTHORITY: &str = "https://vault.example:8200\n  tlsCACert: /etc/secrets-sync/ca.pem\n";

/// The guide's directory with the files of an example.
fn example(name: &str) -> Guide {
    let guide = Guide::new();
    guide.shell(&format!("cp -r {}/examples/{name}/. .", repository().display()));
    guide
}

#[track_caller]
fn edit(guide: &Guide, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(guide.directory().join(name)).unwrap();
    assert!(text.contains(from), "{name} has no {from:?}");
    guide.write(name, &text.replace(from, to));
}

#[test]
fn the_stack_for_swarm_fills_its_volume_before_the_application_reads_and_after_a_restart() {
    let guide = example("swarm");
    images(guide.engines(), "docker");
    guide.trust("ca.pem");
    edit(&guide, "config.yaml", ADDRESS, WITH_AUTHORITY);
    let host = format!("    extra_hosts: ['{}']\n    configs:\n", Engines::host());
    let authority = "      - { source: ca, target: /etc/secrets-sync/ca.pem }\n";
    edit(&guide, "stack.yaml", "    configs:\n", &format!("{host}{authority}"));
    edit(&guide, "stack.yaml", "\nconfigs:\n", "\nconfigs:\n  ca: { file: ca.pem }\n");
    guide.shell("docker swarm init --advertise-addr 127.0.0.1");
    guide.shell(&snippet("docs/deploy/swarm.md", "## Deploy it", 0));

    let log = |service: &str| guide.shell(&format!("docker service logs shop_{service} 2>&1"));
    until("the application does not read its file", || log("app").contains("password="));
    until("the daemon has no sandbox", || log("secrets-sync").contains("\"msg\":\"sandbox enabled\""));

    let container = |service: &str| guide.shell(&format!("docker ps --quiet --filter name=shop_{service}"));
    let before = container("app");
    guide.engines().restart_docker();
    let reads = || {
        let id = container("app");
        let read = ["docker", "exec", id.trim(), "cat", "/secrets/app.env"];
        id != before && guide.engines().says(guide.directory(), &read).is_some()
    };
    until("the files are not there after a restart of the engine", reads);
    guide.shell("docker stack rm shop; docker swarm leave --force");
}

/// What Quadlet of Podman 4.4 makes of a `.container` file, for the keys that the example uses.
fn command(quadlet: &str, name: &str) -> String {
    let value = |key: &str| quadlet.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
    let all = |key: &str| {
        let key = format!("{key}=");
        quadlet.lines().filter_map(move |line| line.strip_prefix(key.as_str())).collect::<Vec<_>>()
    };
    let notify = if value("Notify").is_some() { "container" } else { "conmon" };
    let mut words =
        vec![format!("podman run --name=systemd-{name} --replace --rm --sdnotify={notify} --detach")];
    words.extend(value("NoNewPrivileges").map(|_| "--security-opt=no-new-privileges".to_owned()));
    words.extend(all("DropCapability").iter().map(|name| format!("--cap-drop={name}")));
    words.extend(value("ReadOnly").map(|_| "--read-only --read-only-tmpfs=false".to_owned()));
    words.push(format!("--user {}:{}", value("User").unwrap(), value("Group").unwrap()));
    words.extend(all("Volume").iter().map(|volume| format!("-v {volume}")));
    words.extend(all("PodmanArgs").iter().map(|&words| words.to_owned()));
    words.push(value("Image").unwrap().to_owned());
    words.extend(value("Exec").map(str::to_owned));
    words.join(" ")
}

#[test]
fn the_quadlets_make_a_daemon_that_reports_when_its_files_are_written() {
    let guide = example("podman");
    images(guide.engines(), "podman");
    guide.trust("config/ca.pem");
    edit(&guide, "config/config.yaml", ADDRESS, WITH_AUTHORITY);
    // /etc is that of this machine.
    let here = guide.directory().join("etc").display().to_string();
    let install =
        snippet("docs/deploy/podman.md", "## With systemd: Quadlet", 0).replace("/etc/", &format!("{here}/"));
    guide.shell(&format!("install -d etc/tmpfiles.d\n{install}"));
    let run = |name: &str| {
        let quadlet = fs::read_to_string(guide.directory().join(format!("{name}.container"))).unwrap();
        let quadlet = quadlet.replace("Volume=/etc/", &format!("Volume={here}/"));
        format!("{}\n", command(&quadlet, name))
    };

    let socket = guide.directory().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    // Podman reports the start by itself where the daemon does not. So the daemon has to wait first.
    guide.shell("mv etc/secrets-sync/approle/secret-id later");
    guide.shell(&format!("NOTIFY_SOCKET={} {}", socket.display(), run("secrets-sync")));
    let sidecar = guide.container("podman", "systemd-secrets-sync".to_owned());
    until("the daemon does not miss its secret id", || sidecar.log().contains("no_credentials"));
    let message = || {
        let mut message = [0; 4096];
        let length = manager.recv(&mut message).ok()?;
        Some(std::str::from_utf8(message.get(..length).unwrap()).unwrap().to_owned())
    };
    manager.set_nonblocking(true).unwrap();
    let early: String = std::iter::from_fn(message).collect();
    assert!(!early.contains("READY=1"), "{early}");
    guide.shell("mv later etc/secrets-sync/approle/secret-id");
    until("the daemon does not report that it is ready", || {
        message().is_some_and(|message| message.contains("READY=1"))
    });
    // It is ready: the application finds its file at once.
    guide.shell(&run("app"));
    let app = guide.container("podman", "systemd-app".to_owned());
    until("the application does not read its file", || app.log().contains("password="));

    let unit = fs::read_to_string(guide.directory().join("secrets-sync.container")).unwrap();
    guide.shell(unit.lines().find_map(|line| line.strip_prefix("ExecReload=")).unwrap());
    until("the reload is not obeyed", || sidecar.log().contains("reloaded the configuration"));
    assert!(sidecar.log().contains("\"msg\":\"sandbox enabled\""), "{}", sidecar.log());
    guide.shell("podman rm --force --time 0 systemd-app systemd-secrets-sync");
}
