//! The examples of issued credentials, set up with the lines of their page.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::daemon::{Process, Sandbox};
use crate::databases::{Database, Kind};
use crate::guides::unpacked;
use crate::issuing::{login, within};
use crate::raft::Raft;

const EXAMPLE: &str = include_str!("../../examples/issued/README.md");
const DATABASE: &str = include_str!("../../examples/issued/database.yaml");
const CERTIFICATE: &str = include_str!("../../examples/issued/web-certificate.yaml");

/// A server that is set up with the lines of the example's page, and a folder with what the daemon logs in with.
fn example(config: &str, paths: &[(&str, &str)], database: &Database) -> (Raft, Sandbox) {
    let (bao, sandbox) = (Raft::start(), Sandbox::new(""));
    let (_, lines) = EXAMPLE.split_once("```sh\n").unwrap();
    let lines = lines.split_once("```").unwrap().0.replace("127.0.0.1:5432", &database.address());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut shell = Command::new("sh");
    shell.args(["-ec", &lines]).current_dir(root.join("examples/issued")).env("HOME", sandbox.path(""));
    shell.env("PATH", format!("{}:/usr/bin:/bin", root.join(".tools/bin").display()));
    shell.env("BAO_ADDR", format!("http://{}", bao.address())).env("BAO_TOKEN", bao.root());
    let done = shell.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let role_id = bao.call("GET", "auth/approle/role/shop/role-id", &Value::Null);
    let secret_id = bao.call("POST", "auth/approle/role/shop/secret-id", &json!({}));
    sandbox.write("role-id", role_id["data"]["role_id"].as_str().unwrap());
    sandbox.write("secret-id", secret_id["data"]["secret_id"].as_str().unwrap());
    let home = sandbox.path("").display().to_string();
    let here = |text: String, (from, to): &(&str, &str)| text.replace(from, &format!("{home}{to}"));
    sandbox.write("config.yaml", paths.iter().fold(config.replace("/etc/secrets-sync/", &home), here));
    (bao, sandbox)
}

fn example_daemon(bao: &Raft, sandbox: &Sandbox) -> Process {
    let mut command = sandbox.command(&["run"]);
    command.env("VAULT_ADDR", format!("http://{}", bao.address())).env("STATE_DIR", sandbox.path("state"));
    let daemon = Process::start(command);
    sandbox.wait_until_ready(&daemon);
    daemon
}

#[test]
fn the_example_of_a_database_login_runs() {
    let database = Database::start(Kind::Postgres);
    let config = DATABASE.replace("grace: 1m", "grace: 1s, minInterval: 1s");
    let (bao, sandbox) = example(&config, &[("/run/shop/", "run/")], &database);
    // An application that reads the file again when it gets HUP.
    sandbox.write(
        "run/app.sh",
        "trap 'cat database.json >> read' HUP\necho $$ > main.pid\nwhile :; do sleep 0.1; done\n",
    );
    let mut app = Command::new("sh");
    app.arg("app.sh").current_dir(sandbox.path("run"));
    let app = Process::start(app);
    within(60, "the application runs", || !sandbox.read("run/main.pid").is_empty());
    let daemon = example_daemon(&bao, &sandbox);
    let first = login(&sandbox, "run/database.json").unwrap();
    assert!(first.serves(&database));
    within(60, "it is told of the first one", || sandbox.read("run/read").contains(&first.0));
    let rotated = sandbox.run(&["rotate", "shop-database"]);
    assert_eq!(rotated.code, 0, "{}", rotated.output());
    within(60, "it is told of the next one", || {
        login(&sandbox, "run/database.json")
            .is_some_and(|next| next != first && sandbox.read("run/read").contains(&next.0))
    });
    within(30, "the first one is gone", || database.users() == 1);
    assert!(login(&sandbox, "run/database.json").unwrap().serves(&database), "{}", daemon.stderr());
    daemon.stop();
    app.kill();
}

#[test]
fn the_example_of_a_web_certificate_runs() {
    let database = Database::start(Kind::Postgres);
    let paths = [("/etc/nginx/tls", "tls"), ("/run/nginx.pid", "nginx.pid")];
    let config =
        CERTIFICATE.replace("kind: certificate", "kind: certificate\n      lease: { minInterval: 1s }");
    let (bao, sandbox) = example(&config, &paths, &database);
    let home = sandbox.path("").display().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    sandbox.write(
        "nginx.conf",
        format!(
            "pid {home}nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {home}b;\n\
             proxy_temp_path {home}p;\nfastcgi_temp_path {home}f;\nuwsgi_temp_path {home}u;\nscgi_temp_path {home}s;\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {home}tls/tls.crt; ssl_certificate_key {home}tls/tls.key; }} }}\n"
        ),
    );
    let serial = || {
        let script = format!(
            "openssl s_client -connect 127.0.0.1:{port} -servername www.example.org </dev/null 2>/dev/null | openssl x509 -noout -serial"
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let daemon = example_daemon(&bao, &sandbox);
    let mut nginx = Command::new(unpacked("nginx").join("sbin/nginx"));
    nginx.args(["-c", &format!("{home}nginx.conf"), "-p", &home, "-g", "daemon off;"]);
    let nginx = Process::start(nginx);
    within(60, "nginx serves", || !serial().is_empty());
    let first = serial();
    let rotated = sandbox.run(&["rotate", "site-tls"]);
    assert_eq!(rotated.code, 0, "{}", rotated.output());
    within(60, "the next certificate is served", || !serial().is_empty() && serial() != first);
    assert!(daemon.stderr().contains("hook ran"), "{}", daemon.stderr());
    daemon.stop();
    nginx.stop();
}
