//! Names that would turn a line around or give orders to a terminal: escaped wherever somebody reads them.

use crate::daemon::{Process, Sandbox, wait_until};

/// U+202E turns round what follows; U+200B is not seen.
const NAME: &str = "tls\u{202e}gpj.\u{200b}end";

/// As Rust and as JSON escape it.
const ESCAPED: [&str; 2] = [r"tls\u{202e}gpj.\u{200b}end", r"tls\u202egpj.\u200bend"];

#[track_caller]
fn is_escaped(text: &str) {
    assert!(ESCAPED.iter().any(|name| text.contains(name)), "the name is not in {text}");
    assert!(!text.contains(['\u{202e}', '\u{200b}']), "{text:?}");
}

#[test]
fn a_name_that_turns_lines_around_is_escaped_wherever_it_is_shown() {
    let sandbox = Sandbox::new(&format!(
        "
secretStore: {{ provider: file, path: secrets.yaml }}
secrets:
  - {{ name: \"{NAME}\", key: app, files: [{{ path: out/gone, field: nope }}, {{ path: out/here, field: user }}] }}
  - {{ name: \"other-{NAME}\", key: app, files: [{{ path: \"out/{NAME}\", field: user }}] }}
"
    ));
    sandbox.write("secrets.yaml", "app: { user: alice }\n");
    for arguments in [
        &["plan"][..],
        &["validate", "--online"],
        &["validate", "--online", "--json"],
        &["run", "--once", "--log-format", "text"],
        &["run", "--once", "--log-format", "json"],
    ] {
        is_escaped(&sandbox.run(arguments).output());
    }
    let daemon = Process::start(sandbox.command(&["run", "--log-format", "text"]));
    wait_until("both have been tried", || {
        let status = sandbox.read("status.json");
        status.contains("\"synced_count\":1") && status.contains("\"failing\"")
    });
    for arguments in [&["status"][..], &["status", "--json"], &["isready"], &["isready", "--json"]] {
        is_escaped(&sandbox.run(arguments).output());
    }
    is_escaped(&daemon.stop().0.stderr);

    sandbox.write("config.yaml", format!("secrets: []\n\"{NAME}\": x\n"));
    is_escaped(&sandbox.run(&["validate"]).stderr);
}
