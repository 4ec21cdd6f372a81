//! Guides with the real program that they are about.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::daemon::{Process, Sandbox, wait_until};

const NGINX: &str = include_str!("../../docs/guides/nginx.md");
const HAPROXY: &str = include_str!("../../docs/guides/haproxy.md");
const KEYSTORE: &str = include_str!("../../docs/guides/java-keystore.md");
const POSTGRESQL: &str = include_str!("../../docs/guides/postgresql.md");
const WATCHING: &str = include_str!("../../docs/guides/watching.md");

/// The block of `guide` that begins with ```` ```language ````.
pub(crate) fn block(guide: &'static str, language: &str) -> &'static str {
    let (_, behind) = guide.split_once(&format!("```{language}\n")).unwrap();
    behind.split_once("```").unwrap().0
}

/// Programs of Debian's packages, unpacked here: their directory.
pub(crate) fn unpacked(packages: &str) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(packages.replace(' ', "-"));
    let script = format!(
        "set -e; mkdir -p \"$0\"; cd \"$0\"; [ -d root ] || {{ apt-get -qq download {packages} || {{ apt-get -qq update; apt-get -qq download {packages}; }}; \
         for package in *.deb; do dpkg -x $package unpacked; done; mv unpacked root; }}"
    );
    let unpacked = Command::new("sh").args(["-c", &script]).arg(&home).output().unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    home.join("root/usr")
}

/// An executable file of the sandbox.
fn program(sandbox: &Sandbox, name: &str, text: &str) {
    sandbox.write(name, text);
    fs::set_permissions(sandbox.path(name), Permissions::from_mode(0o755)).unwrap();
}

/// The sandbox's configuration, with a file store.
fn configure(sandbox: &Sandbox, config: &str) {
    sandbox.write("config.yaml", format!("secretStore: {{ provider: file, path: store.yaml }}\n{config}"));
}

/// A store with a new certificate for `name`.
fn certify(sandbox: &Sandbox, name: &str) {
    let (key, certificate) = (sandbox.path("key"), sandbox.path("crt"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            &format!("/CN={name}"),
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let pem = |name: &str| serde_json::to_string(&sandbox.read(name)).unwrap();
    let fields = format!("{{ crt: {}, key: {}, password: of-{name} }}", pem("crt"), pem("key"));
    sandbox.write("store.yaml", format!("tls/site: {fields}\ntls/app: {fields}\ntls/db: {fields}"));
}

/// Whose certificate is served.
fn served(port: u16) -> String {
    served_by("", port)
}

/// With options of `openssl s_client`.
fn served_by(options: &str, port: u16) -> String {
    let script = format!(
        "openssl s_client {options} -connect 127.0.0.1:{port} </dev/null 2>/dev/null | openssl x509 -noout -subject"
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A server that serves the certificate of a guide, made from the guide's blocks in a sandbox.
pub(crate) struct Site {
    /// Hooks and secrets of the guide.
    pub(crate) config: String,
    pub(crate) port: u16,
    pub(crate) command: Command,
}

/// nginx as its guide has it.
pub(crate) fn nginx_site(sandbox: &Sandbox) -> Site {
    let (nginx, home) = (unpacked("nginx").join("sbin/nginx"), sandbox.path(""));
    let etc = home.join("nginx");
    let (etc, home) = (etc.display().to_string(), home.display().to_string());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    sandbox.write("nginx/conf.d/empty.conf", "");
    sandbox.write(
        "nginx/nginx.conf",
        format!(
            "pid {home}nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {home}b;\n\
             proxy_temp_path {home}p;\nfastcgi_temp_path {home}f;\nuwsgi_temp_path {home}u;\nscgi_temp_path {home}s;\n\
             include {etc}/conf.d/*.conf;\nserver {{ listen 127.0.0.1:{port} ssl;\n{}\nlocation / {{ return 200; }} }} }}\n",
            block(NGINX, "nginx")
        ),
    );
    let check = block(NGINX, "sh")
        .replace("/etc/nginx", &etc)
        .replace("nginx -t", &format!("{} -t", nginx.display()));
    program(sandbox, "check-nginx", &check);
    let config = block(NGINX, "yaml")
        .replace("/usr/local/bin/", &home)
        .replace("/run/nginx.pid", &format!("{home}nginx.pid"))
        .replace("/etc/nginx", &etc);
    let mut command = Command::new(&nginx);
    command.args(["-c", &format!("{etc}/nginx.conf"), "-p", &etc, "-g", "daemon off;"]);
    Site { config, port, command }
}

/// `HAProxy` as its guide has it.
pub(crate) fn haproxy_site(sandbox: &Sandbox) -> Site {
    let haproxy = unpacked("haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1");
    let home = sandbox.path("").display().to_string();
    let libraries = haproxy.join("lib/x86_64-linux-gnu").display().to_string();
    let haproxy = haproxy.join("sbin/haproxy").display().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bind = block(HAPROXY, "haproxy").replace("8443", &port.to_string());
    sandbox.write(
        "haproxy/haproxy.cfg",
        format!(
            "defaults\nmode http\ntimeout client 9s\ntimeout server 9s\ntimeout connect 9s\nfrontend site\n{bind}http-request return status 200\n"
        )
        .replace("/etc/", &home),
    );
    let check =
        block(HAPROXY, "sh").replace("haproxy -c", &format!("LD_LIBRARY_PATH={libraries} {haproxy} -c"));
    program(sandbox, "check-haproxy", &check.replace("/etc/haproxy/", &format!("{home}haproxy/")));
    let config = block(HAPROXY, "yaml").replace("/usr/local/bin/", &home).replace("/run/", &home);
    let mut command = Command::new(&haproxy);
    command.env("LD_LIBRARY_PATH", &libraries).args([
        "-W",
        "-db",
        "-f",
        &format!("{home}haproxy/haproxy.cfg"),
    ]);
    command.args(["-p", &format!("{home}haproxy.pid")]);
    Site { config: config.replace("/etc/", &home), port, command }
}

#[test]
fn nginx_serves_what_its_gate_has_tested() {
    let sandbox = Sandbox::new("");
    let Site { config, port, command } = nginx_site(&sandbox);
    configure(&sandbox, &config);
    certify(&sandbox, "one");
    let daemon = sandbox.ready_daemon();
    let server = Process::start(command);
    wait_until("nginx serves", || served(port).ends_with("one"));

    certify(&sandbox, "two");
    daemon.signal(Signal::SIGUSR1);
    wait_until("the new certificate is served", || served(port).ends_with("two"));

    // A good pair beside a broken snippet: a reload would fail.
    sandbox.write("nginx/conf.d/broken.conf", "nonsense;");
    certify(&sandbox, "three");
    daemon.signal(Signal::SIGUSR1);
    wait_until("it is refused", || daemon.stderr().contains("change refused"));
    assert!(daemon.stderr().contains("nonsense"), "{}", daemon.stderr());
    assert!(served(port).ends_with("two"), "{}", served(port));

    fs::remove_file(sandbox.path("nginx/conf.d/broken.conf")).unwrap();
    daemon.signal(Signal::SIGUSR1);
    wait_until("it passes", || served(port).ends_with("three"));
    daemon.stop();
    server.stop();
}

#[test]
fn haproxy_serves_what_its_gate_has_tested() {
    let sandbox = Sandbox::new("");
    let Site { config, port, command } = haproxy_site(&sandbox);
    configure(&sandbox, &config);
    certify(&sandbox, "one");
    let daemon = sandbox.ready_daemon();
    let server = Process::start(command);
    wait_until("HAProxy serves", || served(port).ends_with("one"));
    certify(&sandbox, "two");
    daemon.signal(Signal::SIGUSR1);
    wait_until("the new certificate is served", || served(port).ends_with("two"));
    daemon.stop();
    server.stop();
}

#[test]
fn postgresql_serves_a_new_certificate() {
    let sandbox = Sandbox::new("");
    fs::set_permissions(sandbox.path(""), Permissions::from_mode(0o755)).unwrap();
    let home = sandbox.path("").display().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let here = |text: &str| {
        text.replace("/etc/postgresql/", &home).replace("/run/postgresql/", &format!("{home}run/"))
    };
    configure(&sandbox, &here(block(POSTGRESQL, "yaml")));
    certify(&sandbox, "one");
    let daemon = sandbox.ready_daemon();
    let settings = here(block(POSTGRESQL, "ini"));
    sandbox.write("settings", format!("{settings}port = {port}\nunix_socket_directories = '{home}run'\n"));
    let script = "set -e; cd \"$0\"; install -d -o postgres run data; bin=$(dirname \"$(readlink -f \"$(command -v postgres || ls /usr/lib/postgresql/*/bin/postgres | tail -n 1)\")\")
        runuser -u postgres -- \"$bin/initdb\" -D data >/dev/null; cat settings >> data/postgresql.conf
        exec runuser -u postgres -- \"$bin/postgres\" -D data";
    let mut command = Command::new("sh");
    command.args(["-c", script, &home]);
    let server = Process::start(command);
    wait_until("PostgreSQL serves", || served_by("-starttls postgres", port).ends_with("one"));
    certify(&sandbox, "two");
    daemon.signal(Signal::SIGUSR1);
    wait_until("the new certificate is served", || served_by("-starttls postgres", port).ends_with("two"));
    daemon.stop();
    server.stop();
}

#[test]
fn a_keystore_follows_its_pem_files() {
    let sandbox = Sandbox::new("");
    let home = sandbox.path("").display().to_string();
    fs::create_dir(sandbox.path("java")).unwrap();
    program(&sandbox, "make-keystore", &block(KEYSTORE, "sh").replace("/secrets/", &home));
    configure(
        &sandbox,
        &block(KEYSTORE, "yaml").replace("/secrets/", &home).replace("/usr/local/bin/", &home),
    );
    certify(&sandbox, "one");
    let daemon = sandbox.ready_daemon();
    let owner = |name: &str| {
        let list = [
            "-list",
            "-v",
            "-keystore",
            &format!("{home}java/keystore.p12"),
            "-storepass",
            &format!("of-{name}"),
        ];
        let output = Command::new("keytool").args(list).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains(&format!("Owner: CN={name}"))
    };
    wait_until("there is a keystore", || owner("one"));
    certify(&sandbox, "two");
    daemon.signal(Signal::SIGUSR1);
    wait_until("it is made again", || owner("two"));
    assert_eq!(
        (sandbox.mode("java/keystore.p12") & 0o777, sandbox.list("java")),
        (0o600, vec!["keystore.p12".to_owned()])
    );
    daemon.stop();
}

#[test]
fn an_application_that_watches_reads_each_generation_as_a_whole() {
    let sandbox = Sandbox::new("");
    let home = sandbox.path("").display().to_string();
    configure(&sandbox, &block(WATCHING, "yaml").replace("/secrets/", &home));
    sandbox.write("store.yaml", "app/db: { username: alice, password: '12345' }");
    let daemon = sandbox.ready_daemon();
    sandbox.write("app.py", block(WATCHING, "python").replace("/secrets/", &home));
    let mut command = Command::new("python3");
    command.arg(sandbox.path("app.py"));
    let application = Process::start(command);
    wait_until("it has read the first", || application.stdout().contains("as alice with a password of 5"));
    sandbox.write("store.yaml", "app/db: { username: bob, password: '1234567' }");
    daemon.signal(Signal::SIGUSR1);
    wait_until("it has read the second", || application.stdout().contains("as bob with a password of 7"));
    assert_eq!(application.stdout().lines().count(), 2);
    daemon.stop();
    application.kill();
}
