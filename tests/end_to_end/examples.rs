//! The examples, as a newcomer runs them: from the root of the repository, here a copy of it.

use std::fs;
use std::path::Path;

use crate::bao::ROOT;
use crate::daemon::{Process, Sandbox, wait_until};
use crate::server::server;

/// A folder with the examples in it.
fn repository() -> Sandbox {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sandbox = Sandbox::new("");
    for example in ["quickstart", "vault"] {
        let folder = root.join("examples").join(example);
        for entry in fs::read_dir(&folder).unwrap() {
            let (from, name) = {
                let entry = entry.unwrap();
                (entry.path(), entry.file_name())
            };
            let to = sandbox.path("examples").join(example).join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, to).unwrap();
        }
    }
    std::os::unix::fs::symlink(root.join(".tools"), sandbox.path(".tools")).unwrap();
    sandbox
}

#[test]
fn the_quickstart_is_valid_without_a_warning_and_writes_what_it_shows() {
    let sandbox = repository();
    let config = "examples/quickstart/config.yaml";
    let validated = sandbox.run(&["validate", "-c", config]);
    assert_eq!((validated.code, validated.stderr.as_str()), (0, ""), "{validated:?}");
    let finished = sandbox.run(&["-c", config, "run", "--once"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let output = "run/quickstart";
    assert_eq!(sandbox.list(output), ["app.env", "mail.env", "tls", "tokens", "url"]);
    assert_eq!(
        sandbox.read(&format!("{output}/app.env")),
        "DB_USER=shop\nDB_PASS=correct-horse-battery-staple\n"
    );
    assert_eq!(sandbox.read(&format!("{output}/url")), "postgres://shop@db.internal:5432/app");
    assert_eq!(sandbox.list(&format!("{output}/tokens")), ["metrics", "webhook"]);
    let modes = ["url", "tls/site.crt", "tls/site.key", "tokens/metrics"];
    assert_eq!(modes.map(|file| sandbox.mode(&format!("{output}/{file}"))), [0o640, 0o644, 0o600, 0o400]);

    let daemon = Process::start(sandbox.command(&["-c", config]));
    sandbox.wait_until_ready(&daemon);
    let source = "examples/quickstart/secrets.yaml";
    sandbox.write(source, sandbox.read(source).replace("shop\n", "store\n"));
    wait_until("the change has arrived", || {
        sandbox.read(&format!("{output}/url")) == "postgres://store@db.internal:5432/app"
    });
}

#[test]
fn the_vault_example_runs_against_the_server_that_its_script_fills() {
    let sandbox = repository();
    let address = format!("http://{}", server().address());
    let config = "examples/vault/config.yaml";
    let validated = sandbox.run(&["validate", "-c", config]);
    assert_eq!(validated.code, 0, "{validated:?}");

    // Twice: it says that it can be run again.
    for _ in 0..2 {
        let mut script = sandbox.program("bash");
        script.arg("examples/vault/fill-dev-server.sh");
        script.env("VAULT_ADDR", &address).env("VAULT_TOKEN", ROOT).env("HOME", sandbox.path(""));
        let filled = Process::start(script).finish();
        assert_eq!(filled.code, 0, "{filled:?}");
    }

    let mut command = sandbox.command(&["-c", config, "run", "--once"]);
    command.env("VAULT_ADDR", &address);
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let file = |name: &str| sandbox.read(&format!("run/vault/files/{name}"));
    assert_eq!(file("app.env"), "DB_USER=shop\nDB_PASS=second-made-up-password\n");
    assert_eq!(file("first-password"), "first-made-up-password");
    assert_eq!(sandbox.list("run/vault/files/tls"), ["tls.crt", "tls.key"]);
    assert!(file("mail.env").contains("smtp.example.org"));
}
