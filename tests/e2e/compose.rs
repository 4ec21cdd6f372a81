//! `examples/compose` as it stands: a real `OpenBao`, the one-shot that fills it, secrets-sync and an application. The
//! images that nothing can pull here are built FROM scratch, under the names that the files use.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "tests write their input")]

use std::fs;
use std::time::{Duration, Instant};

use crate::containers::{Container, Guide, snippet, stopped_at_once, waited_for_health};
use crate::engines::{Engines, repository, until};

/// What docs/getting-started.md may take, without the image.
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// A shell with the usual programs, and the real server.
const SERVER: &str = r#"FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY bao /bin/bao
"#;

/// What the files call `busybox`.
const APP: &str = r#"FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
"#;

pub(crate) fn images(engines: &Engines, engine: &str) {
    let context = tempfile::tempdir().unwrap();
    let copy = "cp \"$(readlink -f \"$(command -v busybox)\")\" busybox; cp \"$0\" bao";
    let bao = repository().join(".tools/bin/bao");
    engines.run(context.path(), &["bash", "-euc", copy, bao.to_str().unwrap()]);
    for (name, dockerfile) in [("openbao/openbao:2.7.2", SERVER), ("busybox", APP)] {
        fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
        engines.run(context.path(), &[engine, "build", "--tag", name, "."]);
    }
}

/// The example's services, in the directory that holds its files.
struct Example {
    guide: Guide,
    files: &'static [&'static str],
}

impl Example {
    fn new(files: &'static [&'static str]) -> Self {
        let guide = Guide::new();
        images(guide.engines(), "docker");
        guide.shell(&format!("cp -r {}/examples/compose/. .", repository().display()));
        Self { guide, files }
    }

    fn command<'a>(&self, arguments: &[&'a str]) -> Vec<&'a str> {
        let files = self.files.iter().flat_map(|file| ["-f", *file]).collect::<Vec<_>>();
        [&self.guide.engines().compose(), &["--project-name", "example"][..], &files, arguments].concat()
    }

    fn compose(&self, arguments: &[&str]) -> String {
        self.guide.engines().run(self.guide.directory(), &self.command(arguments))
    }

    /// What it prints where it succeeds.
    fn says(&self, arguments: &[&str]) -> Option<String> {
        self.guide.engines().says(self.guide.directory(), &self.command(arguments))
    }

    fn service(&self, name: &str) -> Container<'_> {
        let id = self.compose(&["ps", "--quiet", name]).trim().to_owned();
        self.guide.container("docker", id)
    }

    fn shows(&self, words: &str) {
        let app = self.service("app");
        until(&format!("the application does not show {words:?}"), || app.log().contains(words));
    }

    /// Runs the commands of docs/getting-started.md below this heading.
    fn follow(&self, heading: &str) {
        let lines = snippet("docs/getting-started.md", heading, 0);
        let compose = format!("{} --project-name example", self.guide.engines().compose().join(" "));
        // The files are here already, and there is no terminal.
        let lines = lines.replace("cd examples/compose\n", "").replace("docker compose", &compose);
        self.guide.shell(&lines.replace(" exec ", " exec -T "));
    }

    /// Writes the secret with the line of the README, and asks for it.
    fn write(&self, password: &str) {
        let password = format!("password={password}");
        let put = ["bao", "kv", "put", "-mount=secret", "app/database", "username=shop", &password];
        self.compose(&[&["exec", "-T", "-e", "BAO_TOKEN=root", "openbao"], &put[..]].concat());
        self.compose(&["kill", "-s", "USR1", "secrets-sync"]);
    }
}

#[test]
fn the_example_for_compose_lives_through_rotation_crash_outage_and_reboot() {
    let example = Example::new(&["compose.yaml"]);
    let begun = Instant::now();
    example.follow("## 2. Start");
    let (sidecar, app) = (example.service("secrets-sync"), example.service("app"));
    example.shows("password=first-made-up-password");
    let took = begun.elapsed();
    println!("from `up` to the files in the application: {took:.1?}");
    assert!(took < FIVE_MINUTES, "{took:?}");
    waited_for_health(&sidecar, &app);
    example.shows("a-made-up-token");
    example.follow("## 4. Look at it");
    let status = example.compose(&["exec", "-T", "secrets-sync", "secrets-sync", "status"]);
    assert!(status.contains("database") && status.contains("api"), "{status}");
    example.compose(&["kill", "-s", "HUP", "secrets-sync"]);
    until("HUP reloads nothing", || sidecar.log().contains("reloaded the configuration"));

    example.follow("## 3. Change a secret");
    example.shows("password=second");

    // A crash, after two signals that came through the engine.
    let first = sidecar.state("Pid").to_string();
    example.guide.shell(&format!("kill -KILL {first}"));
    until("the sidecar does not come back", || {
        let pid = sidecar.state("Pid").to_string();
        pid != "0" && pid != first && sidecar.log().matches("\"msg\":\"ready\"").count() == 2
    });
    sidecar.is_ready();
    example.write("third");
    example.shows("password=third");

    example.compose(&["stop", "openbao"]);
    example.compose(&["kill", "-s", "USR1", "secrets-sync"]);
    until("the outage is not seen", || sidecar.log().contains("\"kind\":\"unreachable\""));
    assert!(app.reads("/secrets/app.env").contains("password=third"));
    // The server has forgotten everything: role id and secret id are new ones.
    example.compose(&["up", "--detach"]);
    until("the files do not follow the new server", || {
        app.reads("/secrets/app.env").contains("first-made-up-password")
    });

    example.guide.engines().restart_docker();
    until("the services do not come back", || {
        ["openbao", "secrets-sync", "app"].iter().all(|name| example.service(name).state("Running") == true)
    });
    // The volume is empty again and the application was started beside the daemon: it waits.
    example.compose(&["up", "--detach"]);
    until("the files are not there after a restart of the engine", || {
        let read = ["exec", "-T", "app", "cat", "/secrets/app.env", "/secrets/api-token"];
        example.says(&read).is_some()
    });

    example.compose(&["stop", "secrets-sync"]);
    stopped_at_once(&sidecar.log());
    example.follow("## 5. Stop");
}

#[test]
fn the_example_for_an_existing_server_logs_in_with_tls_and_approle() {
    let example = Example::new(&["existing-server.yaml", "test.yaml"]);
    let guide = &example.guide;
    guide.trust("existing-server/secrets-sync/ca.pem");
    let readme = fs::read_to_string(repository().join("examples/compose/README.md")).unwrap();
    let install = readme.lines().filter_map(|line| line.trim_start().strip_prefix("sudo "));
    guide.shell(&install.collect::<Vec<_>>().join("\n"));
    let bao = repository().join(".tools/bin/bao");
    guide.shell(&format!("{} kv put -mount=secret app/api token=a-made-up-token", bao.display()));
    // What the README exports, and a name that only this test has to give.
    guide.write(".env", "VAULT_ADDR=https://vault.example:8200\n");
    let host = format!("services: {{ secrets-sync: {{ extra_hosts: ['{}'] }} }}", Engines::host());
    guide.write("test.yaml", &host);

    let validate = ["run", "--rm", "-T", "--no-deps", "secrets-sync", "validate", "--online"];
    let said = example.says(&validate);
    assert!(said.as_ref().is_some_and(|said| said.contains("valid, 2 secrets")), "{said:?}");
    example.compose(&["up", "--detach"]);
    waited_for_health(&example.service("secrets-sync"), &example.service("app"));
    example.shows("username=shop");
    example.shows("a-made-up-token");
    example.compose(&["down", "--volumes", "--timeout", "0"]);
}

/// The configuration as a single file, and files of the volume for `env_file`.
const TRAPS: &str = r#"services:
  secrets-sync:
    image: secrets-sync
    volumes: ["./config.yaml:/etc/secrets-sync/config.yaml:ro", "secrets:/secrets"]
  app: { image: busybox, env_file: /secrets/app.env }
volumes: { secrets: {} }
"#;

#[test]
fn a_configuration_that_is_mounted_as_a_file_is_not_reloaded_and_env_file_is_read_on_the_host() {
    let example = Example::new(&["traps.yaml"]);
    let guide = &example.guide;
    let config = |interval: &str| {
        format!(
            "secretStore: {{ provider: file, path: /none.yaml }}\nsecrets: [{{ name: a, key: a, \
             refreshInterval: {interval}, files: [{{ path: /secrets/a, field: a }}] }}]\n"
        )
    };
    guide.write("config.yaml", &config("1h"));
    guide.write("traps.yaml", TRAPS);
    let command = example.command(&["config"]).join(" ");
    let said = guide.shell(&format!("{command} 2>&1 || true"));
    assert!(said.contains("Couldn't find env file") || said.contains("env file /secrets"), "{said}");

    guide.write("traps.yaml", &TRAPS.replace("env_file: /secrets/app.env", "command: [\"true\"]"));
    example.compose(&["up", "--detach", "secrets-sync"]);
    let sidecar = example.service("secrets-sync");
    until("it does not start", || sidecar.log().contains("\"msg\":\"started\""));
    // As an editor does it.
    guide.write("next.yaml", &config("2h"));
    guide.shell("mv next.yaml config.yaml");
    example.compose(&["kill", "-s", "HUP", "secrets-sync"]);
    until("it does not reload", || sidecar.log().contains("reloaded the configuration"));
    assert!(sidecar.log().contains("\"changed\":0"), "{}", sidecar.log());
    example.compose(&["down", "--volumes", "--timeout", "0"]);
}
