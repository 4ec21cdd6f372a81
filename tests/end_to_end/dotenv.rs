//! A dotenv file that `sh` sources gives every value back byte for byte.

use std::process::Command;

use serde_json::{Map, Value};

use crate::daemon::Sandbox;
use crate::server::{server, store};

/// Values that a careless writer would lose or, worse, run.
const NASTY: [&str; 24] = [
    "plain",
    "",
    " space at both ends ",
    "it's",
    "'",
    "''",
    "a \"quoted\" word",
    "$HOME and ${HOME} and $(id) and `id`",
    "$$",
    "two\nlines",
    "ends in newlines\n\n",
    "\n",
    "carriage\r\nreturn",
    "tab\there",
    "# no comment",
    "a # b",
    "back\\slash \\n \\\\ \\",
    "ends in a backslash\\",
    "!history!",
    "a=b&c;d|e>f<g(h)",
    "*?[a-z]~",
    "ünïcödé → 日本 🦀",
    "-n",
    "%s %d %%",
];

#[test]
fn sh_gives_every_value_back() {
    let fields: Map<_, _> =
        NASTY.iter().enumerate().map(|(i, value)| (format!("VALUE_{i}"), Value::from(*value))).collect();
    server().put("dotenv/nasty", &Value::Object(fields));
    let sandbox = Sandbox::new(&format!(
        "{}\nsecrets: [{{ name: nasty, key: dotenv/nasty, files: [{{ path: app.env, format: dotenv }}] }}]",
        store()
    ));
    let finished = sandbox.run(&["run", "--once"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);

    let names: Vec<_> = (0..NASTY.len()).map(|i| format!("\"$VALUE_{i}\"")).collect();
    let script = format!("set -eu; . ./app.env; printf '%s\\0' {}", names.join(" "));
    let shell = Command::new("sh").arg("-c").arg(script).current_dir(sandbox.path("")).output().unwrap();
    assert!(
        shell.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&shell.stderr),
        sandbox.read("app.env")
    );
    let printed = String::from_utf8(shell.stdout).unwrap();
    let values: Vec<_> = printed.strip_suffix('\0').unwrap().split('\0').collect();
    assert_eq!(values, NASTY);
}
