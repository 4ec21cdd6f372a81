//! The lines for a shell on docs/auth.md and docs/use-in-your-app.md do what the pages say.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::bao::{Bao, ROOT};
use crate::daemon::{Finished, Process, Sandbox, wait_until};
use crate::pages::{Page, root};

/// The block of a page that is the `index`th in this language.
fn block(path: &str, language: &str, index: usize) -> String {
    let page = Page::new(path, &fs::read_to_string(root().join(path)).unwrap());
    let mut blocks = page.blocks().into_iter().filter(|block| block.language == language);
    blocks.nth(index).unwrap().text
}

/// `sh` or `bash` in the sandbox, with the programs of `.tools` and an administrator's variables.
fn shell(sandbox: &Sandbox, program: &str, bao: &Bao) -> Command {
    let mut command = sandbox.program(program);
    let tools = root().join(".tools/bin");
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", tools.display()));
    command.env("BAO_ADDR", bao.address()).env("BAO_TOKEN", ROOT).env("HOME", sandbox.path(""));
    command
}

fn run(mut command: Command, arguments: &[&str]) -> Finished {
    command.args(arguments);
    let finished = Process::start(command).finish();
    assert_eq!(finished.code, 0, "{}", finished.output());
    finished
}

/// The configuration of docs/auth.md, in the sandbox and at its server.
fn configuration(bao: &Bao) -> String {
    let text = block("docs/auth.md", "yaml", 0).replace("https://vault.example:8200", &bao.address());
    text.replace("/approle/", "").replace("/secrets/", "secrets/")
}

fn makes_credentials_with_the_least_policy(lines: &str) {
    let bao = Bao::start();
    bao.put_v2("", "secret", "app/database", &json!({ "username": "shop" }));
    bao.put_v2("", "secret", "other/database", &json!({ "username": "other" }));
    let sandbox = Sandbox::new(&configuration(&bao));
    run(shell(&sandbox, "bash", &bao), &["-euc", lines]);
    assert_eq!(sandbox.mode("secret-id"), 0o600);

    let finished = sandbox.run(&["run", "--once"]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert_eq!(sandbox.read("secrets/app.env"), "username=shop\n");
    sandbox.write("config.yaml", configuration(&bao).replace("app/database", "other/database"));
    let denied = sandbox.run(&["run", "--once"]);
    assert_eq!(denied.code, 4, "{}", denied.output());

    // An agent logs in with the same credentials, and its token is enough.
    let agent = block("docs/auth.md", "hcl", 0).replace("http://127.0.0.1:8200", &bao.address());
    sandbox.write("agent.hcl", agent);
    let mut command = shell(&sandbox, "bao", &bao);
    command.env_remove("BAO_TOKEN").args(["agent", "-config=agent.hcl"]);
    let _agent = Process::start(command);
    wait_until("the agent has written a token", || !sandbox.read("token").is_empty());
    let (before, after) = ("authMethod: approle", "authMethod: token\n  tokenFile: token");
    let with_token = configuration(&bao).replace(before, after);
    let lines =
        with_token.lines().filter(|line| !line.contains("roleIdFile") && !line.contains("secretIdFile"));
    sandbox.write("config.yaml", lines.collect::<Vec<_>>().join("\n"));
    let finished = sandbox.run(&["run", "--once"]);
    assert_eq!(finished.code, 0, "{}", finished.output());
}

#[test]
fn the_lines_with_bao_make_credentials_that_read_the_application_and_nothing_else() {
    makes_credentials_with_the_least_policy(&block("docs/auth.md", "sh", 0));
}

#[test]
fn the_lines_with_curl_do_the_same() {
    makes_credentials_with_the_least_policy(&block("docs/auth.md", "sh", 1));
}

/// An entrypoint of docs/use-in-your-app.md, with the path of the file in the sandbox.
fn entrypoint(index: usize) -> Sandbox {
    let sandbox = Sandbox::new("");
    let lines = block("docs/use-in-your-app.md", "sh", index);
    let file = sandbox.path("app.env").display().to_string();
    sandbox.write("entrypoint.sh", lines.replace("/secrets/app.env", &file));
    sandbox
}

fn started(sandbox: &Sandbox, program: &str) -> Process {
    let mut command = sandbox.program("sh");
    command.args(["entrypoint.sh", "sh", "-c", program]);
    Process::start(command)
}

#[test]
fn the_entrypoint_waits_for_the_file_and_gives_its_variables_to_the_application() {
    let sandbox = entrypoint(0);
    let application = started(&sandbox, "printf %s \"$password\"");
    sandbox.write("app.env", "password='it is \"$x\"'\n");
    let finished = application.finish();
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "it is \"$x\""), "{}", finished.stderr);
}

#[test]
fn the_second_entrypoint_ends_the_application_when_the_file_changes() {
    let sandbox = entrypoint(1);
    sandbox.write("app.env", "password=first\n");
    let mut application = started(&sandbox, "echo \"$password\" > started; exec sleep 1000");
    wait_until("the application has started", || sandbox.read("started") == "first\n");
    assert!(application.is_running());
    sandbox.write("app.env", "password=second\n");
    // Ended by SIGTERM: what a shell says about that.
    assert_eq!(application.finish().code, 128 + 15);
}
