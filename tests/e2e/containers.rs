//! The guides for containers, word for word: the snippets of docs/deploy and README.md are taken from there and
//! run with the image that is built FROM scratch, with real engines and a real `OpenBao`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]
#![expect(clippy::disallowed_methods, reason = "tests write their input and look at the clock")]

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::engines::{Engines, repository, until};

/// What an application does that has no other way to see files: it says what is there when it starts, and waits.
const APP: &str = r#"FROM scratch
COPY busybox /bin/busybox
ENTRYPOINT ["/bin/busybox", "sh", "-c"]
CMD ["for file in /secrets/*; do stat -c 'found %n %u:%g %a' $file; cat $file; done; touch /secrets/of-app && echo wrote; trap 'exit 0' TERM; sleep 1000 & wait"]
"#;

pub(crate) const BEFORE: &str = "Zq7marker-before";
pub(crate) const AFTER: &str = "Zq7marker-after";

/// The engines, for one test at a time, and a directory such as the guides begin with.
pub(crate) struct Guide {
    engines: &'static Engines,
    directory: TempDir,
    /// What no log may hold: role id and secret id.
    pub(crate) identity: (String, String),
    _turn: MutexGuard<'static, ()>,
}

impl Guide {
    pub(crate) fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        static IMAGES: Once = Once::new();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let engines = Engines::shared();
        IMAGES.call_once(|| images(engines));
        let directory = tempfile::tempdir().unwrap();
        let identity = engines.secret(BEFORE);
        fs::write(directory.path().join("role-id"), &identity.0).unwrap();
        fs::write(directory.path().join("secret-id"), &identity.1).unwrap();
        Self { engines, directory, identity, _turn: turn }
    }

    pub(crate) fn engines(&self) -> &'static Engines {
        self.engines
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn container(&self, engine: &'static str, id: String) -> Container<'_> {
        Container { guide: self, engine, id }
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The server's authority, where the configuration looks for it.
    pub(crate) fn trust(&self, name: &str) {
        self.write(name, &fs::read_to_string(self.engines.authority()).unwrap());
    }

    pub(crate) fn shell(&self, lines: &str) -> String {
        self.engines.shell(self.directory.path(), lines)
    }

    /// Docker Compose with the guide's file and what only this test needs.
    fn compose(&self, arguments: &[&str]) -> String {
        let files = ["--project-name", "guide", "-f", "compose.yaml", "-f", "test.yaml"];
        let command = [self.engines.compose().as_slice(), &files, arguments].concat();
        self.engines.run(self.directory.path(), &command)
    }

    fn of_compose(&self, service: &str) -> Container<'_> {
        let id = self.compose(&["ps", "--quiet", service]).trim().to_owned();
        self.container("docker", id)
    }
}

/// A container that a guide has made.
pub(crate) struct Container<'a> {
    guide: &'a Guide,
    engine: &'static str,
    id: String,
}

impl Container<'_> {
    /// One verb of the engine, such as `stop`, with what stands before the container's name and after it.
    #[track_caller]
    fn engine(&self, before: &[&str], after: &[&str]) -> String {
        let command = [&[self.engine], before, &[self.id.as_str()], after].concat();
        self.guide.engines.run(self.guide.directory.path(), &command)
    }

    pub(crate) fn inspect(&self) -> Value {
        serde_json::from_str::<Value>(&self.engine(&["inspect"], &[])).unwrap()[0].take()
    }

    pub(crate) fn state(&self, key: &str) -> Value {
        self.inspect()["State"][key].take()
    }

    /// Both channels.
    pub(crate) fn log(&self) -> String {
        let lines = format!("{} logs {} 2>&1", self.engine, self.id);
        self.guide.shell(&lines)
    }

    /// A file of `/proc` of its first process.
    fn proc(&self, name: &str) -> String {
        self.guide.engines.file(&format!("/proc/{}/{name}", self.state("Pid")))
    }

    pub(crate) fn reads(&self, path: &str) -> String {
        self.engine(&["exec"], &["/bin/busybox", "cat", path])
    }

    pub(crate) fn is_ready(&self) {
        self.engine(&["exec"], &["secrets-sync", "isready"]);
    }
}

/// Both images, in both engines.
fn images(engines: &Engines) {
    let context = tempfile::tempdir().unwrap();
    fs::write(context.path().join("Dockerfile"), APP).unwrap();
    let busybox = engines.shell(Path::new("/"), "readlink -f \"$(command -v busybox)\"");
    fs::copy(busybox.trim(), context.path().join("busybox")).unwrap();
    for engine in ["docker", "podman"] {
        engines.run(context.path(), &[engine, "build", "--tag", "my-app", "."]);
        let build = format!("ENGINE={engine} .ci/image {}", env!("CARGO_BIN_EXE_secrets-sync"));
        engines.shell(&repository(), &build);
        let label = "{{index .Config.Labels \"org.opencontainers.image.version\"}}";
        let version =
            engines.run(&repository(), &[engine, "image", "inspect", "--format", label, "secrets-sync"]);
        assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"), "{engine}");
    }
}

/// The fenced block of a document that is the `index`th below this heading.
pub(crate) fn snippet(document: &str, heading: &str, index: usize) -> String {
    let text = fs::read_to_string(repository().join(document)).unwrap();
    let section = text.split_once(&format!("\n{heading}\n")).expect(heading).1;
    let block = section.split("\n```").nth(2 * index + 1).unwrap();
    block.split_once('\n').unwrap().1.to_owned()
}

/// What is different from guide to guide.
struct Expected {
    user: &'static str,
    capabilities: &'static str,
    /// The file as the application finds it: owner and mode.
    file: &'static str,
}

const HARDENED: Expected =
    Expected { user: "65532", capabilities: "0000000000000000", file: "65532:65532 440" };

/// The whole life of a sidecar that a guide has started, and of the application beside it.
fn lives_as_promised(sidecar: &Container, app: &Container, expected: &Expected) {
    until("the application says nothing", || app.log().contains("password="));
    let found = app.log();
    assert!(found.contains(&format!("found /secrets/app.env {}\n", expected.file)), "{found}");
    assert!(found.contains(BEFORE) && !found.contains("wrote"), "{found}");

    is_confined(sidecar, expected);
    let first = sidecar.state("Pid");

    // Both signals come to process 1, for which the kernel has no default action.
    sidecar.guide.engines.secret(AFTER);
    sidecar.engine(&["kill", "--signal", "USR1"], &[]);
    until("USR1 brings no new value", || app.reads("/secrets/app.env").contains(AFTER));
    sidecar.engine(&["kill", "--signal", "HUP"], &[]);
    until("HUP reloads nothing", || sidecar.log().contains("reloaded the configuration"));
    assert_eq!(sidecar.state("Pid"), first, "{}", sidecar.log());

    sidecar.engine(&["stop"], &[]);
    assert_eq!(sidecar.state("ExitCode"), 0, "{}", sidecar.log());
    stopped_at_once(&sidecar.log());
    assert!(app.reads("/secrets/app.env").contains(AFTER), "the files went with the daemon");
    sidecar.engine(&["start"], &[]);
    until("it does not start again", || sidecar.log().matches("\"msg\":\"ready\"").count() == 2);
    sidecar.is_ready();

    let log = sidecar.log();
    let (role, secret) = &sidecar.guide.identity;
    for hidden in ["Zq7marker", role.as_str(), secret.as_str()] {
        assert!(!log.contains(hidden), "{hidden} is in\n{log}");
    }
}

/// By its own clock, since the engines are slow on a machine that is busy.
pub(crate) fn stopped_at_once(log: &str) {
    let time = |event: &str| {
        let line = log.lines().find(|line| line.contains(&format!("\"msg\":\"{event}\""))).expect(log);
        // The journal puts words of its own before it.
        let line: Value = serde_json::from_str(line.get(line.find('{').unwrap()..).unwrap()).unwrap();
        humantime::parse_rfc3339(line["ts"].as_str().unwrap()).unwrap()
    };
    let took = time("stopped").duration_since(time("stopping")).unwrap();
    assert!(took < Duration::from_secs(1), "stop took {took:?}");
}

fn is_confined(sidecar: &Container, expected: &Expected) {
    let status = sidecar.proc("status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(field("Uid:"), expected.user, "{status}");
    assert_eq!(field("NoNewPrivs:"), "1", "{status}");
    assert_eq!(field("Seccomp:"), "2", "{status}");
    assert_eq!(field("CapEff:"), expected.capabilities, "{status}");
    assert_eq!(field("CapBnd:"), expected.capabilities, "{status}");
    assert!(sidecar.log().contains("\"msg\":\"sandbox enabled\""), "{}", sidecar.log());
    let mounts = sidecar.proc("mounts");
    let options = |place: &str| {
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(place)).expect(place);
        line.split(' ').nth(3).unwrap().to_owned()
    };
    assert!(options("/").starts_with("ro,"), "{mounts}");
    assert!(options("/secrets").contains("nosuid,nodev,noexec"), "{mounts}");
    let limits = sidecar.proc("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let words = [sidecar.proc("environ"), sidecar.proc("cmdline")].concat();
    let (role, secret) = &sidecar.guide.identity;
    assert!(!words.contains(role.as_str()) && !words.contains(secret.as_str()), "{words}");
}

/// Compose starts the application when the health check says yes for the first time, not before.
pub(crate) fn waited_for_health(sidecar: &Container, app: &Container) {
    let health = sidecar.state("Health");
    assert_eq!(health["Status"], "healthy");
    let time = |value: &Value| humantime::parse_rfc3339(value.as_str().unwrap()).unwrap();
    let log = health["Log"].as_array().unwrap();
    let healthy = log.iter().find(|entry| entry["ExitCode"] == 0).unwrap();
    assert!(time(&app.state("StartedAt")) >= time(&healthy["End"]), "{health}");
}

#[test]
fn the_guide_for_compose_makes_a_sidecar_that_is_confined_and_lives_as_promised() {
    let guide = Guide::new();
    guide.write("secrets-sync/config.yaml", &snippet("docs/deploy/compose.md", "## Your stack", 0));
    guide.trust("secrets-sync/ca.pem");
    guide.shell(&snippet("docs/deploy/compose.md", "## Your stack", 1));
    guide.write("compose.yaml", &snippet("docs/deploy/compose.md", "## Your stack", 2));
    guide.write(
        "test.yaml",
        // A journal that has to be kept, although nothing here has hooks.
        &format!(
            "services: {{ secrets-sync: {{ extra_hosts: ['{}'], environment: {{ STATE_DIR: /var/lib/secrets-sync }} }} }}",
            Engines::host()
        ),
    );
    guide.compose(&["up", "--detach"]);
    let (sidecar, app) = (guide.of_compose("secrets-sync"), guide.of_compose("app"));
    let history = sidecar.engine(&["exec"], &["secrets-sync", "history", "--verify"]);
    assert!(history.contains("the chain holds"), "{history}");
    waited_for_health(&sidecar, &app);
    lives_as_promised(&sidecar, &app, &HARDENED);
    guide.compose(&["down", "--volumes", "--timeout", "0"]);
}

#[test]
fn the_sidecar_of_the_readme_gives_files_to_another_user() {
    let guide = Guide::new();
    guide.write("compose.yaml", &snippet("README.md", "## As a sidecar", 0));
    guide.write("secrets-sync/config.yaml", &snippet("README.md", "## As a sidecar", 1));
    guide.trust("approle/ca.pem");
    guide.shell("mv role-id secret-id approle/");
    let only_here = format!(
        "services: {{ secrets: {{ environment: {{ VAULT_CACERT: /approle/ca.pem }}, extra_hosts: ['{}'] }} }}",
        Engines::host()
    );
    guide.write("test.yaml", &only_here);
    guide.compose(&["up", "--detach"]);
    let (sidecar, app) = (guide.of_compose("secrets"), guide.of_compose("app"));
    waited_for_health(&sidecar, &app);
    // The capabilities that Docker leaves to root; CHOWN is one of them.
    let expected = Expected { user: "0", capabilities: "00000000a80425fb", file: "1000:0 400" };
    lives_as_promised(&sidecar, &app, &expected);
    guide.compose(&["down", "--volumes", "--timeout", "0"]);
}

#[test]
fn the_guide_for_podman_makes_a_sidecar_that_is_confined_and_lives_as_promised() {
    let guide = Guide::new();
    guide.write("secrets-sync/config.yaml", &snippet("docs/deploy/compose.md", "## Your stack", 0));
    guide.trust("secrets-sync/ca.pem");
    guide.shell(&snippet("docs/deploy/compose.md", "## Your stack", 1));
    guide.shell(&snippet("docs/deploy/podman.md", "## With `podman run`", 0));
    let container = |name: &str| Container { guide: &guide, engine: "podman", id: name.to_owned() };
    let (sidecar, app) = (container("secrets-sync"), container("app"));
    // The health check of the image, which timers of systemd would ask for.
    sidecar.engine(&["healthcheck", "run"], &[]);
    lives_as_promised(&sidecar, &app, &HARDENED);
    guide.shell("podman rm --force --time 0 app secrets-sync; podman volume rm secrets");
}
